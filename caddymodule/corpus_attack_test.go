package caddymodule_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// attack is one case of the corpus: a request and what must come of it.
type attack struct {
	name   string
	gate   string
	token  string   // sent as Authorization: Bearer; empty: no such line
	head   []string // further header lines, as they are
	method string   // default GET
	target string   // default /gate/x
	body   string   // sent as it is behind the header
	raw    string   // the whole request instead
	want   want
}

// want is what must come of an attack.
type want struct {
	// reasons: it is refused, for one of these. What the client must hear follows
	// from them and from docs/mobile.md.
	reasons []token.Reason
	scope   string // in the challenge
	// server: the HTTP server answers with one of these before any gate sees the
	// request, or passes it on when 200 is among them.
	server []int
	// backend: it is accepted, and the backend gets these headers exactly once
	// with this value, or not at all where it is empty.
	backend map[string]string
	also    func(t *testing.T, a reply)
}

// refused expects one of these reasons.
func refused(reasons ...token.Reason) want { return want{reasons: reasons} }

// accepted expects the request at the backend with these pairs of header and
// value; an empty value is no header.
func accepted(pairs ...string) want {
	w := want{backend: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		w.backend[pairs[i]] = pairs[i+1]
	}
	return w
}

// stopped expects one of these from the HTTP server.
func stopped(statuses ...int) want { return want{server: statuses} }

// request returns the bytes of a.
func (l *lab) request(a attack) string {
	if a.raw != "" {
		return strings.ReplaceAll(a.raw, "HOST", l.addr)
	}
	method, target := a.method, a.target
	if method == "" {
		method = http.MethodGet
	}
	if target == "" {
		target = "/" + a.gate + "/x"
	}
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\nHost: " + l.addr + "\r\n")
	if a.token != "" {
		b.WriteString("Authorization: Bearer " + a.token + "\r\n")
	}
	for _, line := range a.head {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n" + a.body)
	return b.String()
}

// run carries out the attacks of one class.
func (l *lab) run(t *testing.T, class string, attacks []attack) {
	t.Run(class, func(t *testing.T) {
		names := map[string]bool{}
		for _, a := range attacks {
			if names[a.gate+a.name] {
				t.Errorf("%s: two cases of that name", a.name)
			}
			names[a.gate+a.name] = true
			t.Run(a.gate+"/"+a.name, func(t *testing.T) { l.attack(t, a) })
		}
	})
}

// slowest is the time that a refusal may take (conformance 3.10, 19.1).
const slowest = 100 * time.Millisecond

func (l *lab) attack(t *testing.T, a attack) {
	raw := l.request(a)
	method, _, _ := strings.Cut(raw, " ")
	got := l.exchange(method, raw)
	// On a busy machine one measurement says little; ten bad ones say enough.
	for range 9 {
		if got.err != nil || len(a.want.reasons) == 0 || got.took < slowest {
			break
		}
		again := l.exchange(method, raw)
		again.took = min(again.took, got.took)
		got = again
	}
	if got.err != nil {
		t.Fatalf("no answer: %v", got.err)
	}
	switch w := a.want; {
	case w.server != nil:
		if !slices.Contains(w.server, got.status) || got.status != http.StatusOK && got.hits > 0 {
			t.Errorf("status %d, %d at the backend, want %v\n%s", got.status, got.hits, w.server, got.body)
		}
	case w.reasons != nil:
		l.checkRefusal(t, a, got)
		if got.took >= slowest {
			t.Errorf("the refusal took %s", got.took)
		}
	default:
		l.checkAccepted(t, a, got)
	}
	if a.want.also != nil && !t.Failed() {
		a.want.also(t, got)
	}
	if !t.Failed() {
		l.agrees(t, a, raw, got)
	}
}

func (l *lab) checkAccepted(t *testing.T, a attack, got reply) {
	t.Helper()
	if got.status != http.StatusOK || got.hits != 1 {
		t.Fatalf("status %d %s, %d at the backend, want 200", got.status, got.header.Get("X-Reason"), got.hits)
	}
	if challenges := got.header["Www-Authenticate"]; len(challenges) > 0 {
		t.Errorf("accepted, with the challenge %q", challenges)
	}
	for name, value := range a.want.backend {
		have, present := got.seen.field(name)
		if have != value || present != (value != "") {
			t.Errorf("%s: the backend got %q (there: %v), want %q", name, have, present, value)
		}
	}
	for name := range got.seen.Header {
		if strings.HasPrefix(strings.ToLower(name), "x-auth") {
			if value, _ := got.seen.field(name); strings.Contains(value, "mallory") {
				t.Errorf("the client's %s got through: %q", name, value)
			}
		}
	}
}

// contract is a row of docs/mobile.md.
type contract struct {
	status    int
	oauth     string // error parameter
	challenge bool
	scope     bool
	retry     bool
	action    string
}

var contractRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]+)( and `Retry-After`)? \\| ([^|]*) \\| ([a-z]+) \\|")

// readContract reads the table of codes out of docs/mobile.md.
func readContract(t testing.TB) map[string]contract {
	t.Helper()
	doc, err := os.ReadFile("../docs/mobile.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]contract{}
	for _, m := range contractRow.FindAllStringSubmatch(string(doc), -1) {
		c := contract{action: m[5], retry: m[3] != "", challenge: m[4] != "(no challenge)", scope: strings.Contains(m[4], "scope=")}
		c.status, _ = strconv.Atoi(m[2])
		if _, after, ok := strings.Cut(m[4], `error="`); ok {
			c.oauth, _, _ = strings.Cut(after, `"`)
		}
		rows[m[1]] = c
	}
	if len(rows) < 10 {
		t.Fatalf("docs/mobile.md has a table of %d codes", len(rows))
	}
	return rows
}

// titles are the titles seen so far, which never change for a code.
var titles = map[string]string{}

func (l *lab) checkRefusal(t *testing.T, a attack, got reply) {
	t.Helper()
	reason := got.header.Get("X-Reason")
	i := slices.IndexFunc(a.want.reasons, func(r token.Reason) bool { return r.String() == reason })
	if i < 0 || got.hits > 0 {
		t.Fatalf("status %d, reason %q, %d at the backend, want %v\n%s", got.status, reason, got.hits, a.want.reasons, got.body)
	}
	code := string(a.want.reasons[i].Code())
	row := l.codes[code]
	if got.status != row.status {
		t.Errorf("status %d, want %d", got.status, row.status)
	}
	checkChallenge(t, l.gates[a.gate].realm, row, a.want.scope, got.header)
	if retry := got.header["Retry-After"]; row.retry != (len(retry) == 1) {
		t.Errorf("Retry-After %q", retry)
	} else if row.retry {
		if n, err := strconv.Atoi(retry[0]); err != nil || n < 1 || n > 300 {
			t.Errorf("Retry-After %q", retry)
		}
	}
	for name, value := range map[string]string{"Cache-Control": "no-store", "Content-Type": "application/problem+json"} {
		if lines := got.header[name]; len(lines) != 1 || lines[0] != value {
			t.Errorf("%s: %q", name, lines)
		}
	}
	for _, name := range []string{"Location", "Set-Cookie", "X-Backend"} {
		if lines := got.header[name]; lines != nil {
			t.Errorf("%s: %q", name, lines)
		}
	}
	if method, _, _ := strings.Cut(l.request(a), " "); method == http.MethodHead {
		if got.body != "" {
			t.Errorf("HEAD with the body %q", got.body)
		}
	} else {
		checkProblem(t, code, row, got.body)
	}
	l.checkEcho(t, a, got)
}

func checkProblem(t *testing.T, code string, row contract, body string) {
	t.Helper()
	var problem map[string]any
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Errorf("body %q: %v", body, err)
		return
	}
	title, _ := problem["title"].(string)
	if known, ok := titles[code]; ok && known != title || title == "" {
		t.Errorf("title %q, and %q before", title, known)
	}
	titles[code] = title
	want := map[string]any{"type": "https://github.com/jwtgate/jwtgate/blob/main/docs/mobile.md#" + code,
		"title": title, "status": float64(row.status), "code": code, "action": row.action}
	if !maps.Equal(problem, want) {
		t.Errorf("body %v\nwant %v", problem, want)
	}
}

var authParam = regexp.MustCompile(`^([a-z_]+)="((?:[^"\\]|\\.)*)"(?:, |$)`)

// checkChallenge checks RFC 6750 section 3: one challenge, a realm always, no
// parameter twice, and nothing in them but what may be.
func checkChallenge(t *testing.T, realm string, row contract, scope string, h http.Header) {
	t.Helper()
	lines := h["Www-Authenticate"]
	if !row.challenge {
		if lines != nil {
			t.Errorf("challenge %q", lines)
		}
		return
	}
	if len(lines) != 1 {
		t.Errorf("%d challenges: %q", len(lines), lines)
		return
	}
	rest, ok := strings.CutPrefix(lines[0], "Bearer ")
	if !ok {
		t.Errorf("challenge %q", lines[0])
	}
	params := map[string]string{}
	for rest != "" {
		m := authParam.FindStringSubmatch(rest)
		if m == nil {
			t.Errorf("challenge %q", lines[0])
			return
		}
		if _, twice := params[m[1]]; twice {
			t.Errorf("challenge with %s twice: %q", m[1], lines[0])
		}
		params[m[1]] = m[2]
		rest = rest[len(m[0]):]
	}
	if realm == "" {
		realm = "api"
	}
	want := map[string]string{"realm": realm}
	if row.oauth != "" {
		want["error"] = row.oauth
	}
	if row.scope {
		want["scope"] = scope
	}
	if !maps.Equal(params, want) {
		t.Errorf("challenge %q, want %v", lines[0], want)
	}
}

// checkEcho finds texts of the request's credential in the answer.
func (l *lab) checkEcho(t *testing.T, a attack, got reply) {
	t.Helper()
	var dump strings.Builder
	_ = got.header.Write(&dump)
	dump.WriteString(got.body)
	for _, text := range credentialTexts(a.token) {
		if strings.Contains(dump.String(), text) {
			t.Errorf("the answer repeats %q", text)
		}
	}
}

// credentialTexts returns the parts of a token, and the strings in it that
// cannot be found elsewhere by chance.
func credentialTexts(raw string) []string {
	var texts []string
	for part := range strings.SplitSeq(raw, ".") {
		if len(part) >= 16 {
			texts = append(texts, part)
		}
	}
	return texts
}
