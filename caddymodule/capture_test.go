package caddymodule

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// captures are texts that a running gateway gave, by name. In a document each
// stands between <!-- capture: NAME --> and <!-- end -->.
type captures map[string]string

var captured = regexp.MustCompile(`(?s)<!-- capture: ([a-z0-9_ -]+) -->\n(.*?)<!-- end -->`)

// check compares a document with the captures; with -update it writes them into
// the document instead.
func (c captures) check(t *testing.T, file string) {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	written := captured.ReplaceAllStringFunc(string(doc), func(block string) string {
		m := captured.FindStringSubmatch(block)
		text, ok := c[m[1]]
		switch {
		case !ok:
			t.Errorf("%s has a place for %q, and no test captures it", file, m[1])
			return block
		case !*update && text != m[2]:
			t.Errorf("%s, %s: the gateway gives\n%s\nwhere the document has\n%s\n(go test ./caddymodule -run Documented -update writes it)", file, m[1], text, m[2])
		}
		there[m[1]] = true
		return "<!-- capture: " + m[1] + " -->\n" + text + "<!-- end -->"
	})
	for name := range c {
		if !there[name] {
			t.Errorf("%s has no place for %q", file, name)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(written), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var dateLine = regexp.MustCompile(`(?m)^Date: .*\r$`)

// answered is one answer as it came over the wire.
type answered struct {
	raw    string // header and body, with a Date that does not change
	status int
	header http.Header
	body   string
}

// wire sends a request by hand, header lines as they are, and reads the answer.
// A 503 while the keys are on their way is asked again, unless it is wanted.
func (g *gateway) wire(method, target, host string, lines ...string) answered {
	g.t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		a, err := g.wireOnce(method, target, host, lines...)
		if err != nil {
			g.t.Fatal(err)
		}
		if !strings.Contains(a.body, `"keys_unavailable"`) || strings.HasPrefix(host, "down.") || time.Now().After(end) {
			return a
		}
	}
}

func (g *gateway) wireOnce(method, target, host string, lines ...string) (a answered, err error) {
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	head := append([]string{method + " " + target + " HTTP/1.1", "Host: " + host}, lines...)
	if _, err := io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		return a, err
	}
	var seen bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &seen)), &http.Request{Method: method})
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return a, err
		}
		a.body = string(body)
	}
	head1, _, _ := strings.Cut(seen.String(), "\r\n\r\n")
	a.raw = dateLine.ReplaceAllString(head1+"\r\n", "Date: Sat, 21 Nov 2026 12:00:00 GMT\r") + "\r\n" + a.body
	a.status, a.header = resp.StatusCode, resp.Header
	return a, nil
}

// block is the answer as a fenced block, with what the request was.
func (a answered) block(asked string) string {
	return asked + "\n\n```http\n" + strings.TrimRight(strings.ReplaceAll(a.raw, "\r\n", "\n"), "\n") + "\n```\n"
}

// rawBackend is an API that keeps the bytes of what reaches it and agrees to
// every upgrade.
type rawBackend struct {
	addr string

	mu   sync.Mutex
	head []string // header blocks, without the blank line
}

func newRawBackend(t testing.TB) *rawBackend {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &rawBackend{addr: l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return b
}

func (b *rawBackend) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	in := bufio.NewReader(conn)
	var head []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line = strings.TrimSuffix(line, "\r\n"); line == "" {
			break
		}
		head = append(head, line)
	}
	block := strings.Join(head, "\r\n")
	b.mu.Lock()
	b.head = append(b.head, block)
	b.mu.Unlock()
	if lower := strings.ToLower(block); strings.Contains(lower, "\r\nupgrade: websocket") {
		protocol := ""
		if _, offered, found := strings.Cut(lower, "\r\nsec-websocket-protocol: "); found {
			first, _, _ := strings.Cut(offered, "\r\n")
			first, _, _ = strings.Cut(first, ",")
			protocol = "Sec-WebSocket-Protocol: " + first + "\r\n"
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"+protocol+"\r\n")
		_, _ = io.Copy(conn, in) // echoes frames
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{\"orders\": [42]}")
}

// last returns the latest header block and how many there were.
func (b *rawBackend) last() (string, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.head) == 0 {
		return "", 0
	}
	return b.head[len(b.head)-1], len(b.head)
}

// field returns the bytes of a header's value in a block, and whether it is
// there; more than one is an error.
func field(t *testing.T, block, name string) (value string, present bool) {
	t.Helper()
	for line := range strings.SplitSeq(block, "\r\n") {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			if present {
				t.Errorf("%s comes twice in %q", name, block)
			}
			value, present = v, true
		}
	}
	return value, present
}

// code shows a value in a table: ASCII as it is, other bytes also as numbers.
func code(value string) string {
	ascii, escaped := true, ""
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			ascii = false
		}
		escaped += fmt.Sprintf("%02X ", value[i])
	}
	text := "`" + strings.ReplaceAll(value, "|", `\|`) + "`"
	if ascii {
		return text
	}
	return text + " (" + strings.TrimSpace(escaped) + ")"
}

// rawMembers adds members to the claims of a good token, as they are written. A
// sub among them takes the place of the usual one.
func rawMembers(g *gateway, members string) issuertest.Option {
	now := time.Now().Unix()
	if !strings.Contains(members, `"sub":`) {
		members += `,"sub":"alice"`
	}
	return issuertest.RawPayload(fmt.Sprintf(`{"iss":%q,"aud":"api","iat":%d,"exp":%d,"jti":%q%s}`, g.Issuer.URL(), now, now+300, rand.Text(), members))
}
