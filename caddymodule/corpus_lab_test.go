package caddymodule_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/caddymodule"
	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// lab is a gateway with one gate per path prefix, all of one issuer, an issuer,
// a backend that remembers, and a canary that nobody may visit.
type lab struct {
	t       testing.TB
	keys    *corpusKeys
	issuer  *issuertest.Issuer
	iss     string // the issuer of nearly all gates
	partner string // another issuer, with keys of its own
	plain   *issuertest.Issuer
	addr    string
	log     string
	codes   map[string]contract
	gates   map[string]gateSpec
	backend *recorder
	canary  *canary

	minted []string // tokens
	count  int
}

// gateSpec is one gate, at /name/.
type gateSpec struct {
	name   string
	issuer string // lines of the issuer's block
	rest   string // further lines of the gate
	outer  string // further directives before the proxy
	realm  string
	silent bool // it has no keys
}

// newLab starts everything and waits until every gate has its keys.
func newLab(t testing.TB) *lab {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Caddy")
	}
	l := &lab{t: t, keys: newCorpusKeys(t), issuer: issuertest.New(t, "ES256"), partner: "urn:example:partner",
		codes: readContract(t), gates: map[string]gateSpec{}, backend: newRecorder(t), canary: newCanary(t)}
	l.iss = l.issuer.URL()
	l.issuer.Publish([]byte(l.mainKeys()))

	var site strings.Builder
	site.WriteString("http://:PORT {\nheader >X-Reason {jwtgate.reason}\n")
	for _, g := range l.specs() {
		l.gates[g.name] = g
		block := g.rest
		if g.issuer != "" {
			block = fmt.Sprintf("issuer %s {\n%s\n}\n%s", l.iss, g.issuer, g.rest)
		}
		fmt.Fprintf(&site, "handle /%s/* {\njwtgate {\n%s\n}\n%s\nreverse_proxy %s\n}\n", g.name, block, g.outer, l.backend.addr)
	}
	site.WriteString("}\n")
	l.plain, l.addr, l.log = caddymodule.LiveGateway(t, "servers {\nprotocols h1 h2c\n}\n", site.String())
	l.awaitKeys()
	return l
}

// awaitKeys asks every gate until none of them says 503.
func (l *lab) awaitKeys() {
	l.t.Helper()
	for name, g := range l.gates {
		for end := time.Now().Add(60 * time.Second); !g.silent && !l.hasKeys(name); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				l.t.Fatalf("gate %s has no keys after 10 s", name)
			}
		}
	}
}

// hasKeys asks a gate with tokens of nobody, one for each kind of key.
func (l *lab) hasKeys(gate string) bool {
	for _, k := range []*corpusKey{l.keys.ec.as("of-nobody"), l.keys.hmac} {
		if a := l.exchange(http.MethodGet, l.request(attack{gate: gate, token: l.token(k)})); a.err != nil || a.status == http.StatusServiceUnavailable {
			return false
		}
	}
	return true
}

// claims returns the claims of a good token with edits: "name=json" sets a
// member, "-name" removes it, "+text" adds a member as it is.
func (l *lab) claims(edits ...string) string {
	now := time.Now().Unix()
	return object([][2]string{
		{"iss", quoted(l.iss)}, {"aud", `"orders-api"`}, {"sub", `"alice"`},
		{"iat", fmt.Sprint(now)}, {"exp", fmt.Sprint(now + 300)}, {"jti", quoted(fmt.Sprintf("jti-%d", serial.Add(1)))},
	}, edits)
}

var serial atomic.Int64

// header returns the header of a token of k, with edits as for claims.
func header(k *corpusKey, edits ...string) string {
	members := [][2]string{{"alg", quoted(k.alg)}, {"typ", `"at+jwt"`}}
	if k.kid != "" {
		members = append(members, [2]string{"kid", quoted(k.kid)})
	}
	return object(members, edits)
}

func object(members [][2]string, edits []string) string {
	var extra []string
edits:
	for _, edit := range edits {
		name, value, _ := strings.Cut(edit, "=")
		switch edit[0] {
		case '+':
			extra = append(extra, edit[1:])
			continue
		case '-':
			name, value = edit[1:], ""
		}
		for i := range members {
			if members[i][0] == name {
				members[i][1] = value
				continue edits
			}
		}
		members = append(members, [2]string{name, value})
	}
	var parts []string
	for _, m := range members {
		if m[1] != "" {
			parts = append(parts, quoted(m[0])+":"+m[1])
		}
	}
	return "{" + strings.Join(append(parts, extra...), ",") + "}"
}

// token returns a token of k with the usual header.
func (l *lab) token(k *corpusKey, edits ...string) string {
	return l.jws(k, header(k), l.claims(edits...))
}

// jws signs these texts with k's algorithm, whatever they say.
func (l *lab) jws(k *corpusKey, header, payload string) string {
	l.t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	signed := input + "." + b64(k.sign(l.t, k.alg, input))
	l.minted = append(l.minted, signed)
	return signed
}

// recorder is the backend.
type recorder struct {
	addr string

	mu   sync.Mutex
	hits int
	last *seen
}

// seen is a request as the backend got it.
type seen struct {
	Method, URI string
	Header      http.Header
	Trailer     http.Header
	Body        string
}

// field returns the one value of a header; "" and false if it is absent, and
// an error text if there is more than one, in whatever spelling.
func (s *seen) field(name string) (value string, present bool) {
	var all []string
	for n, lines := range s.Header {
		if gate.Fold(n) == gate.Fold(name) {
			all = append(all, lines...)
		}
	}
	if len(all) > 1 {
		return fmt.Sprintf("%d fields: %q", len(all), all), true
	}
	if len(all) == 0 {
		return "", false
	}
	return all[0], true
}

func newRecorder(t testing.TB) *recorder {
	b := new(recorder)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.hits++
		b.last = &seen{r.Method, r.RequestURI, r.Header.Clone(), r.Trailer.Clone(), string(body)}
		b.mu.Unlock()
		_, _ = io.WriteString(w, "backend")
	}))
	t.Cleanup(server.Close)
	b.addr = server.Listener.Addr().String()
	return b
}

// since returns how many requests came after the first n, and the latest.
func (b *recorder) since(n int) (int, *seen) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hits - n, b.last
}

// canary counts visits.
type canary struct {
	url    string
	visits atomic.Int64
}

func newCanary(t testing.TB) *canary {
	c := new(canary)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.visits.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// reply is an answer of the gateway.
type reply struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	hits   int // requests that reached the backend meanwhile
	seen   *seen
	err    error
}

// exchange sends raw bytes over a connection of its own and reads one answer.
func (l *lab) exchange(method, raw string) reply {
	before, _ := l.backend.since(0)
	start := time.Now()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return reply{err: err}
	}
	defer conn.Close()
	_ = conn.SetDeadline(start.Add(60 * time.Second))
	// A server that has heard enough answers and closes: that is no failure.
	_, _ = io.WriteString(conn, raw)
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return reply{err: err}
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusContinue && err == nil {
			continue
		}
		a := reply{status: resp.StatusCode, header: resp.Header, body: string(body), took: time.Since(start), err: err}
		a.hits, a.seen = l.backend.since(before)
		return a
	}
}
