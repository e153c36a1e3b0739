package caddymodule_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/jwtgate/jwtgate/caddymodule"
)

// explained is what a test reads of an explanation.
type explained struct {
	Allowed bool
	Verdict string
	Gates   []struct {
		Result, Reason, Code string
		Steps                []struct{ Step, Result, Expected, Found, Note, Hint string }
	}
	Headers []struct{ Name, Value, Absent string }
	Answer  *struct {
		Status  int
		Code    string
		Headers map[string][]string
		Body    string
	}
}

// explain has the gateway explain the request in raw; nil for what cannot be
// said to it: a request that the HTTP server refuses, or one with a body.
func (l *lab) explain(t *testing.T, raw string) *explained {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil || r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Method == http.MethodConnect || !strings.HasPrefix(r.RequestURI, "/") {
		return nil
	}
	for name := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil
		}
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	order, err := json.Marshal(map[string]any{"method": r.Method, "host": r.Host, "path": path, "query": query,
		"headers": r.Header, "remote_ip": "127.0.0.1", "show_claims": true})
	if err != nil {
		t.Fatal(err)
	}
	x := new(explained)
	if err := json.Unmarshal(caddymodule.ExplainLive(t, order), x); err != nil {
		t.Fatal(err)
	}
	return x
}

// agrees says of an attack what an explanation of it has to say: the same
// verdict, the same reason, the same headers as those that were seen.
func (l *lab) agrees(t *testing.T, a attack, raw string, got reply) {
	t.Helper()
	x := l.explain(t, raw)
	if x == nil {
		return
	}
	if reason := got.header.Get("X-Reason"); reason != "" && got.hits == 0 {
		l.agreesRefused(t, x, reason, got)
		return
	}
	if got.hits == 0 {
		return
	}
	if !x.Allowed || x.Answer != nil {
		t.Errorf("explained as %s: %+v", x.Verdict, x.Gates)
	}
	for _, h := range x.Headers {
		value, present := got.seen.field(h.Name)
		if value != h.Value || present != (h.Absent == "") {
			t.Errorf("%s: explained as %q (absent: %s), the backend got %q", h.Name, h.Value, h.Absent, value)
		}
	}
}

func (l *lab) agreesRefused(t *testing.T, x *explained, reason string, got reply) {
	t.Helper()
	if x.Allowed || x.Answer == nil || len(x.Gates) == 0 {
		t.Fatalf("refused for %s, explained as %s", reason, x.Verdict)
	}
	g := x.Gates[len(x.Gates)-1]
	if g.Reason != reason || x.Answer.Status != got.status || x.Answer.Body != got.body {
		t.Errorf("%d %s %s\nexplained as %d %s %s", got.status, reason, got.body, x.Answer.Status, g.Reason, x.Answer.Body)
	}
	if i := slices.IndexFunc(g.Steps, func(s struct{ Step, Result, Expected, Found, Note, Hint string }) bool { return s.Result == "fail" }); i < 0 {
		t.Errorf("refused for %s without a step that failed: %+v", reason, g.Steps)
	}
	for _, name := range []string{"Www-Authenticate", "Cache-Control", "Content-Type", "Access-Control-Allow-Origin", "Vary"} {
		want := x.Answer.Headers[name]
		if name == "Www-Authenticate" {
			want = x.Answer.Headers["WWW-Authenticate"]
		}
		if !slices.Equal(got.header[name], want) {
			t.Errorf("%s: %q, explained as %q", name, got.header[name], want)
		}
	}
	if (got.header.Get("Retry-After") != "") != (len(x.Answer.Headers["Retry-After"]) > 0) {
		t.Errorf("Retry-After %q, explained as %q", got.header.Get("Retry-After"), x.Answer.Headers["Retry-After"])
	}
}
