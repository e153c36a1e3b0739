package caddymodule

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// stdio points stdout and stderr of the process at files until the test ends.
func stdio(t *testing.T) (files []string) {
	t.Helper()
	for _, f := range []**os.File{&os.Stdout, &os.Stderr} {
		path := filepath.Join(t.TempDir(), "stdio")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		was := *f
		*f = file
		t.Cleanup(func() {
			*f = was
			file.Close()
		})
		files = append(files, path)
	}
	return files
}

// oddFilter keeps the places out of Caddy's own logs that it does not know to
// hold tokens, as the warnings at load and docs/configure.md say.
const oddFilter = `format filter {
	request>uri query {
		replace access_token REDACTED
	}
	request>headers>Sec-Websocket-Protocol delete
}`

// TestNoLogOfAnythingSaysTokensOrClaims runs everything that handles tokens, with
// the default log and a second one of everything at DEBUG, a site's access log,
// and what the process writes to stdout and stderr: a success, a 502, refusals,
// observe, logouts, revocations in every way, an upgraded connection, tokens in
// a query and in a cookie, forged and malformed ones, reloads. No log has any
// half of a token, at whatever level; from INFO up, none has what a claim says,
// but for user_id and the line of a revocation.
func TestNoLogOfAnythingSaysTokensOrClaims(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Caddy")
	}
	dir := t.TempDir()
	std := stdio(t)
	logs := []string{filepath.Join(dir, "all.log"), filepath.Join(dir, "access.log")}
	upgrader := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, rw, err := http.NewResponseController(w).Hijack(); err == nil {
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_ = rw.Flush()
			conn.Close()
		}
	}))
	t.Cleanup(upgrader.Close)
	s := &setup{Revocation: "journal " + filepath.Join(dir, "list.db"), Format: oddFilter, Options: `log all {
			output file ` + logs[0] + ` {
				roll_disabled
			}
			` + oddFilter + `
			level DEBUG
		}`, Sites: `GATEWAY {
		log {
			output file ` + logs[1] + ` {
				roll_disabled
			}
			` + oddFilter + `
		}
		jwtgate_logout /logout
		jwtgate_logout /session session
		jwtgate_revoke /revoke {
			secret ` + testSecret + `
		}
		jwtgate_revoke /revoke/jwt {
			issuer ISSUER
			scope revoke
		}
		jwtgate /scope {
			require scope orders:write
		}
		jwtgate /claim {
			require claim tenant nobody
		}
		jwtgate /observe {
			require scope orders:write
			observe
		}
		@odd path /odd /socket
		jwtgate @odd {
			token_from query access_token
			token_from websocket
			token_from cookie session
		}
		@rest not path /odd /socket /revoke*
		jwtgate @rest {
			forward {
				X-User-ID sub
				X-Claims * json
			}
			max_header 2KiB refuse
		}
		reverse_proxy /dead 127.0.0.1:1
		reverse_proxy /socket ` + upgrader.Listener.Addr().String() + `
		reverse_proxy BACKEND
	}`}
	g := s.prepare(t)
	config := s.config(g)
	g.load(config)
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	mint := func(changes map[string]any, opts ...issuertest.Option) string {
		c := map[string]any{"sub": "sub-of-alice", "email": "mail-of-alice@example.com", "tenant": "tenant-of-alice", "jti": fmt.Sprintf("jti-%d-of-alice", time.Now().UnixNano()),
			"sid": "sid-of-alice", "scope": "scope-of-alice revoke", "nested": map[string]any{"deep": "deep-of-alice"}}
		for name, value := range changes {
			c[name] = value
		}
		return g.Issuer.Sign(c, opts...)
	}
	var tokens []string
	try := func(status int, method, path, body string, headers ...string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.Addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Add(name, value)
		}
		var resp *http.Response
		for range 5 { // Caddy closes connections at a reload
			if resp, err = g.client.Do(r.Clone(t.Context())); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s %.20s: %d, want %d", method, path, resp.StatusCode, status)
		}
	}
	token := func(raw string) string { tokens = append(tokens, raw); return raw }
	bearer := func(raw string) string { return "Authorization: Bearer " + token(raw) }
	g.passes(patience, "/", token(mint(nil)))
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	round := func() {
		try(200, "GET", "/", "", bearer(mint(nil)))
		try(502, "GET", "/dead", "", bearer(mint(nil)))
		try(403, "GET", "/scope", "", bearer(mint(nil)))
		try(403, "GET", "/claim", "", bearer(mint(nil)))
		try(403, "GET", "/", "", bearer(mint(map[string]any{"long": strings.Repeat("long-of-alice ", 200)})))
		try(200, "GET", "/observe", "", bearer(mint(nil)))
		try(401, "GET", "/", "", bearer(mint(map[string]any{"exp": 1})))
		try(401, "GET", "/", "", bearer(mint(nil, issuertest.Kid("other"))))
		try(401, "GET", "/", "", bearer(mint(nil, issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s }))))
		try(401, "GET", "/", "", bearer(mint(map[string]any{"aud": "aud-of-alice"})))
		try(401, "GET", "/", "", bearer(mint(map[string]any{"iss": "iss-of-alice"})))
		try(401, "GET", "/", "", bearer(mint(nil))+"=")
		try(400, "GET", "/", "", bearer(mint(nil))+" more")
		try(400, "GET", "/", "", bearer(mint(nil)), bearer(mint(nil)))
		try(200, "GET", "/odd?x=1&access_token="+token(mint(nil)), "")
		try(401, "GET", "/odd?access_token="+token(mint(map[string]any{"exp": 1})), "")
		try(400, "GET", "/odd?access_token="+token(mint(nil)), "", bearer(mint(nil)))
		try(200, "GET", "/odd", "", "Cookie: session="+token(mint(nil)))
		try(101, "GET", "/socket", "", append(upgrade, "Sec-WebSocket-Protocol: jwtgate, jwtgate.bearer."+token(mint(nil)))...)
		try(401, "GET", "/socket", "", append(upgrade, "Sec-WebSocket-Protocol: jwtgate.bearer."+token(mint(map[string]any{"exp": 1})))...)
		gone := token(mint(nil))
		try(200, "POST", "/logout", "", "Authorization: Bearer "+gone)
		try(401, "POST", "/logout", "", "Authorization: Bearer "+gone)
		try(200, "POST", "/session", "", bearer(mint(map[string]any{"sid": fmt.Sprint(time.Now().UnixNano(), "-of-alice")})))
		try(200, "POST", "/session", "", bearer(mint(map[string]any{"sid": nil})))
		form := "Content-Type: application/x-www-form-urlencoded"
		try(200, "POST", "/revoke", "token="+token(mint(nil)), form, "Authorization: Bearer "+testSecret)
		try(401, "POST", "/revoke", "token="+token(mint(nil)), form, "Authorization: Bearer wrong")
		try(200, "POST", "/revoke/jwt", "token="+token(mint(nil)), form, bearer(mint(nil)))
		try(200, "POST", "/revoke/jwt", `{"kind":"token","issuer":"`+g.Issuer.URL()+`","token":"`+token(mint(nil))+`"}`, "Content-Type: application/json", bearer(mint(nil)))
	}
	round()
	g.load(bytes.Replace(config, []byte(`"grace_period":10000000000`), []byte(`"grace_period":9000000000`), 1))
	round()

	var forbidden []string
	for _, raw := range tokens {
		for part := range strings.SplitSeq(raw, ".") {
			forbidden = append(forbidden, part[:min(len(part), 24)], part[max(len(part)-24, 0):])
			forbidden = append(forbidden, part[:len(part)/2], part[len(part)/2:])
		}
	}
	slices.Sort(forbidden)
	forbidden = append(slices.Compact(forbidden), testSecret)
	users, audits, refusals := 0, 0, 0
	logs = append(logs, g.log)
	for _, file := range append(logs, std...) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(std, file) && len(content) < 1000 {
			t.Errorf("%s holds %d bytes", file, len(content))
		}
		for _, text := range forbidden {
			if text != "" && bytes.Contains(content, []byte(text)) {
				at := bytes.Index(content, []byte(text))
				t.Errorf("%q is in a log: ...%s...", text, content[max(at-300, 0):min(at+100, len(content))])
			}
		}
		for line := range strings.Lines(string(content)) {
			if strings.Contains(line, `"request refused"`) {
				refusals++
			}
			if strings.Contains(line, `"level":"debug"`) {
				continue
			}
			users += strings.Count(line, `"user_id":"sub-of-alice"`)
			line = strings.Replace(line, `"user_id":"sub-of-alice"`, "", 1)
			if strings.Contains(line, `"msg":"revoked"`) {
				audits++
				continue
			}
			if strings.Contains(line, "of-alice") {
				t.Errorf("a claim is in the log: %s", line)
			}
		}
	}
	if users == 0 || audits < 2*6 || refusals < 2*13 {
		t.Errorf("%d user ids, %d revocations, %d refusals in the logs", users, audits, refusals)
	}
}
