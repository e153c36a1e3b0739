package caddymodule

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// logLine is what a line of an access log has of ours.
type logLine struct {
	Msg     string
	Level   string
	UserID  string `json:"user_id"`
	Request struct{ URI string }
	Jwtgate map[string]string
}

// access waits for the line of the access log about uri.
func access(t *testing.T, file, uri string) (line logLine) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(data)) {
			line = logLine{}
			if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "handled request" && line.Request.URI == uri {
				return line
			}
		}
	}
	t.Fatalf("no line about %s", uri)
	return line
}

func TestAccessLogSaysWhatBecameOfARequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	g := live(t, `GATEWAY {
		log {
			output file `+file+`
			format filter {
				fields {
					jwtgate>reason delete
				}
			}
		}
		jwtgate /quiet* {
			log_user off
		}
		jwtgate /public* {
			public
		}
		jwtgate /observe* {
			require scope nothing
			observe
		}
		jwtgate /both* {
			require scope nothing
			observe
		}
		jwtgate /never* {
			issuer http://127.0.0.1:1 {
				audience api
			}
		}
		@rest not path /quiet* /public* /observe* /never* /open*
		jwtgate @rest {
			preflight on
		}
		respond 204
	}`)
	g.passes204(t, g.Issuer.Sign(nil))
	issuer := g.Issuer.URL()
	stranger := issuertest.New(t)
	never := "Authorization: Bearer " + stranger.Sign(map[string]any{"iss": "http://127.0.0.1:1"})
	for _, tt := range []struct {
		uri, header string
		user        string
		want        map[string]string
	}{
		{"/good", g.bearer(nil), "alice", map[string]string{"result": "allow", "issuer": issuer}},
		{"/none", "X-Nothing: x", "", map[string]string{"result": "deny", "code": "token_missing"}},
		{"/late", g.bearer(map[string]any{"exp": 1}), "", map[string]string{"result": "deny", "issuer": issuer, "code": "token_expired"}},
		{"/strange", "Authorization: Bearer " + stranger.Sign(nil), "", map[string]string{"result": "deny", "code": "token_invalid"}},
		{"/never", never, "", map[string]string{"result": "error", "issuer": "http://127.0.0.1:1", "code": "keys_unavailable"}},
		{"/quiet", g.bearer(nil), "", map[string]string{"result": "allow", "issuer": issuer}},
		{"/public", g.bearer(nil), "", map[string]string{"result": "public"}},
		{"/observe", g.bearer(nil), "", map[string]string{"result": "observe", "issuer": issuer, "code": "insufficient_scope"}},
		{"/observe/none", "X-Nothing: x", "", map[string]string{"result": "observe", "code": "token_missing"}},
		{"/both", g.bearer(nil), "alice", map[string]string{"result": "allow", "issuer": issuer}},
		{"/open", g.bearer(nil), "", nil},
	} {
		g.once("GET", tt.uri, tt.header)
		line := access(t, file, tt.uri)
		if line.UserID != tt.user || !maps.Equal(line.Jwtgate, tt.want) {
			t.Errorf("%s: user %q, %v; want %q, %v", tt.uri, line.UserID, line.Jwtgate, tt.user, tt.want)
		}
	}
	g.once("OPTIONS", "/preflight", "Origin: https://app.example.com", "Access-Control-Request-Method: PUT")
	if line := access(t, file, "/preflight"); line.Jwtgate["result"] != "preflight" {
		t.Errorf("preflight: %v", line.Jwtgate)
	}
}

// passes204 waits until the keys are there.
func (g *gateway) passes204(t *testing.T, raw string) {
	t.Helper()
	eventually(t, "the keys are there", func() bool { return g.ask("/warm", raw).Status == 204 })
}

// TestAccessLogCostsNothingWhenItIsOff counts allocations with a server that has
// no access log.
func TestAccessLogCostsNothingWhenItIsOff(t *testing.T) {
	repl := caddy.NewReplacer()
	extra := new(caddyhttp.ExtraLogFields)
	server := new(caddyhttp.Server)
	ctx := context.WithValue(context.Background(), caddyhttp.ServerCtxKey, server)
	ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, extra)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	st := &requestState{repl: repl}
	if n := testing.AllocsPerRun(100, func() { st.tellAccessLog(r) }); n != 0 {
		t.Errorf("%v allocations without an access log", n)
	}
	server.Logs = new(caddyhttp.ServerLogConfig)
	if n := testing.AllocsPerRun(100, func() { st.tellAccessLog(r) }); n > 1 {
		t.Errorf("%v allocations with one", n)
	}
}

// TestRefusalIsOneLine with everything but the token.
func TestRefusalIsOneLine(t *testing.T) {
	g := live(t, "http://:PORT {\n jwtgate\n respond 204\n}")
	g.passes204(t, g.Issuer.Sign(nil))
	raw := g.Issuer.Sign(map[string]any{"exp": time.Now().Add(-90 * time.Second)}, issuertest.Kid("old"))
	g.once("GET", "/orders/"+raw+"/x?token="+raw, "Authorization: Bearer "+raw, "Host: api.example.com")
	g.once("GET", "/a/"+raw[:30], g.bearer(nil, issuertest.Kid("unknown")))
	for _, want := range [][]string{
		{`"request refused"`, `"reason":"exp_passed"`, `"code":"token_expired"`, `"seconds":9`, `"kid":"old"`, `"alg":"`, `"token_sha256":"`,
			`"issuer":"` + g.Issuer.URL() + `"`, `"keys_age_seconds":`, `"method":"GET"`, `"host":"api.example.com"`, `"path":"/orders/.../x"`,
			`"client_ip":"127.0.0.1"`, `"server":"srv0"`},
		{`"request refused"`, `"reason":"kid_unknown"`, `"kid":"unknown"`, `"path":"/a/..."`},
	} {
		line := g.logged(want...)
		if strings.Contains(line, raw[:30]) {
			t.Errorf("the token is in %s", line)
		}
		if n := len(g.linesWith(want[:2]...)); n != 1 {
			t.Errorf("%d lines with %s", n, want[1])
		}
	}
}

// linesWith returns the lines of the log that have all of these texts.
func (g *gateway) linesWith(texts ...string) (found []string) {
lines:
	for _, line := range g.lines(true) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}
