package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/internal/signing"
)

// lines returns the lines of the log with a level of at least info, or all.
func (g *gateway) lines(all bool) []string {
	g.t.Helper()
	data, err := os.ReadFile(g.log)
	if err != nil {
		g.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if all || !strings.Contains(line, `"level":"debug"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestLogsSayNeitherTokenNorClaims looks for what must not be there in every
// line of a run with a success, refusals of every kind, a failing backend and
// a failing issuer: for tokens, their parts and the secret from DEBUG up; for
// what the claims say from INFO up, where only the access log's user_id may.
func TestLogsSayNeitherTokenNorClaims(t *testing.T) {
	const secret = "s3cret-s3cret-s3cret-s3cret-s3cret"
	t.Setenv("JWTGATE_TEST_SECRET", secret)
	other := issuertest.New(t, "ES256")
	other.Down()
	g := (&setup{Sites: `GATEWAY {
		log
		jwtgate /scope {
			require scope orders:write
		}
		jwtgate /claim {
			require claim tenant somebody-else
		}
		jwtgate /expr {
			require expr "claims.tenant + 1 == 2"
		}
		jwtgate /observe {
			require scope orders:write
			observe
		}
		jwtgate /small {
			forward {
				X-User-Email email
			}
			max_header 16B refuse
		}
		jwtgate /cookie {
			token_from cookie session
		}
		jwtgate /secret {
			issuer urn:example:legacy {
				audience api
				secret {env.JWTGATE_TEST_SECRET}
			}
			forward {
				X-Claims * json
			}
		}
		jwtgate /unreachable {
			issuer ` + other.URL() + ` {
				audience api
				timeout 1s
			}
		}
		jwtgate /dead {
			strip_token
		}
		@all not path /cookie /secret /unreachable
		jwtgate @all {
			forward {
				X-User-ID sub
				X-User-Email email
			}
		}
		reverse_proxy /dead 127.0.0.1:1
		reverse_proxy BACKEND
	}`}).start(t)
	hmac, err := signing.FromSecret([]byte(secret), "HS256")
	if err != nil {
		t.Fatal(err)
	}
	claims := func(changes map[string]any) map[string]any {
		c := map[string]any{"sub": "sub-of-alice", "email": "alice.secret@example.com", "tenant": "tenant-of-alice",
			"jti": "jti-of-alice", "sid": "sid-of-alice", "scope": "orders:of-alice", "nested": map[string]any{"deep": "deep-of-alice"}}
		for name, value := range changes {
			c[name] = value
		}
		return c
	}
	g.passes(patience, "/", g.Issuer.Sign(nil))
	var tokens []string
	for _, tt := range []struct {
		path, raw string
		status    int
		line      string // Authorization unless given
	}{
		{"/", g.Issuer.Sign(claims(nil)), 200, ""},
		{"/dead", g.Issuer.Sign(claims(nil)), 502, ""},
		{"/scope", g.Issuer.Sign(claims(nil)), 403, ""},
		{"/claim", g.Issuer.Sign(claims(nil)), 403, ""},
		{"/expr", g.Issuer.Sign(claims(nil)), 403, ""},
		{"/small", g.Issuer.Sign(claims(nil)), 403, ""},
		{"/observe", g.Issuer.Sign(claims(nil)), 200, ""},
		{"/", g.Issuer.Sign(claims(map[string]any{"exp": time.Now().Add(-time.Hour)})), 401, ""},
		{"/", g.Issuer.Sign(claims(map[string]any{"nbf": time.Now().Add(time.Hour)})), 401, ""},
		{"/", g.Issuer.Sign(claims(map[string]any{"exp": nil})), 401, ""},
		{"/", g.Issuer.Sign(claims(map[string]any{"aud": "somebody"})), 401, ""},
		{"/", g.Issuer.Sign(claims(nil), issuertest.Kid("unknown")), 401, ""},
		{"/", g.Issuer.Sign(claims(nil), issuertest.Header("typ", "logout+jwt")), 401, ""},
		{"/", g.Issuer.Sign(claims(nil), issuertest.Header("crit", []string{"exp"})), 401, ""},
		{"/", g.Issuer.Sign(claims(nil), issuertest.RawPayload(`{"sub":"sub-of-alice","sub":"alice.secret@example.com"}`)), 401, ""},
		{"/", g.Issuer.Sign(claims(nil), issuertest.Signature(func(_ string, s []byte) []byte { s[0] ^= 1; return s })), 401, ""},
		{"/", g.Issuer.Sign(claims(nil)) + "=", 401, ""},
		{"/", g.Issuer.Sign(claims(nil)) + " and more", 400, ""},
		{"/secret", g.Issuer.Sign(claims(map[string]any{"iss": "urn:example:legacy"}), issuertest.Key(hmac)), 200, ""},
		{"/secret", g.Issuer.Sign(claims(map[string]any{"iss": "urn:example:legacy", "exp": 1}), issuertest.Key(hmac)), 401, ""},
		{"/unreachable", other.Sign(claims(nil)), 503, ""},
		{"/cookie", g.Issuer.Sign(claims(nil)), 200, "Cookie: session="},
		{"/cookie", g.Issuer.Sign(claims(map[string]any{"exp": 1})), 401, "Cookie: session="},
	} {
		tokens = append(tokens, tt.raw)
		header := "Authorization: Bearer " + tt.raw
		if tt.line != "" {
			header = tt.line + tt.raw
		}
		if a := g.once("GET", tt.path, header); a.Status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.path, a.Status, a.Body, tt.status)
		}
	}
	g.logged(`"http.log.error`, `"uri":"/dead"`)
	g.logged(`"http.log.access`, `"uri":"/cookie"`, `"status":401`)
	g.logged(`"request refused"`, `"reason":"sig_invalid"`)
	g.logged(`"request would be refused"`)
	g.logged(`"http.log.access`, `"user_id":"sub-of-alice"`, `"status":200`)

	var forbidden []string
	for _, raw := range tokens {
		raw, _, _ = strings.Cut(raw, " ")
		for part := range strings.SplitSeq(raw, ".") {
			// A cut off part is a part, too.
			forbidden = append(forbidden, part[:min(len(part), 24)], part[max(len(part)-24, 0):])
		}
	}
	slices.Sort(forbidden)
	forbidden = append(slices.Compact(forbidden), secret, signing.Encode([]byte(secret)))
	for _, line := range g.lines(true) {
		for _, text := range forbidden {
			if text != "" && strings.Contains(line, text) {
				t.Errorf("%q is in the log: %s", text, line)
			}
		}
	}
	users := 0
	for _, line := range g.lines(false) {
		users += strings.Count(line, `"user_id":"sub-of-alice"`)
		line = strings.Replace(line, `"user_id":"sub-of-alice"`, "", 1)
		for _, text := range []string{"of-alice", "alice.secret", "deep"} {
			if strings.Contains(line, text) {
				t.Errorf("%q is in the log: %s", text, line)
			}
		}
	}
	if users == 0 {
		t.Error("no user_id in the log")
	}
}

// TestTokenInOddPlacesStaysOutOfLogs: with the filter that the warning about
// the place prints, in a site's access log for what that is told, and in the
// default log for everything; for requests that pass, are refused and fail
// behind the gate. The backend sees the token of a query or of a WebSocket in
// no case.
func TestTokenInOddPlacesStaysOutOfLogs(t *testing.T) {
	const sites = `GATEWAY {
		log {
			ACCESS
		}
		jwtgate {
			token_from PLACE
			strip_token
		}
		reverse_proxy /dead 127.0.0.1:1
		reverse_proxy BACKEND
	}`
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket"}
	for _, place := range []struct {
		name string
		send func(raw string) (query string, headers []string)
	}{
		{"query access_token", func(raw string) (string, []string) { return "?x=1&access_token=" + raw + "&y=2", nil }},
		{"query access_token", func(raw string) (string, []string) { return "?access%5Ftoken=" + raw, nil }},
		{"header X-Token", func(raw string) (string, []string) { return "", []string{"X-Token: " + raw} }},
		{"websocket", func(raw string) (string, []string) {
			return "", append(upgrade, "Sec-WebSocket-Protocol: chat, jwtgate.bearer."+raw)
		}},
	} {
		t.Run(place.name, func(t *testing.T) {
			with := func(access string) string {
				return strings.NewReplacer("ACCESS", access, "PLACE", place.name).Replace(sites)
			}
			s := setup{Sites: with("")}
			g := s.start(t)
			var warning struct{ Caddyfile string }
			if err := json.Unmarshal([]byte(g.logged("token_from "+strings.Fields(place.name)[0], `"level":"warn"`)), &warning); err != nil {
				t.Fatal(err)
			}
			filter := braced(t, warning.Caddyfile, "format filter {")

			g.log = filepath.Join(t.TempDir(), "rest.log")
			access := filepath.Join(t.TempDir(), "access.log")
			s.Sites = with("output file " + access + "\n" + filter)
			g.load(s.config(g))
			g.tokenNotLogged(access, place.send)

			g.log = filepath.Join(t.TempDir(), "all.log")
			s.Sites, s.Format = with(""), filter
			g.load(s.config(g))
			g.tokenNotLogged(g.log, place.send)
		})
	}
}

// tokenNotLogged sends tokens in a place of their own and looks for them in the
// log at that path and at the backend.
func (g *gateway) tokenNotLogged(log string, place func(raw string) (query string, headers []string)) {
	t := g.t
	t.Helper()
	g.client.CloseIdleConnections() // to the configuration before
	g.passes(patience, "/", g.Issuer.Sign(nil))
	g.Backend.take()
	good, expired := g.Issuer.Sign(nil), g.Issuer.Sign(map[string]any{"exp": 1})
	for _, tt := range []struct {
		path, raw string
		status    int
		more      []string
	}{
		{"/good", good, 200, nil},
		{"/expired", expired, 401, nil},
		{"/two", good, 400, []string{"Authorization: Bearer " + expired}},
		{"/dead", good, 502, nil},
	} {
		query, headers := place(tt.raw)
		if a := g.once("GET", tt.path+query, append(headers, tt.more...)...); a.Status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.path, a.Status, a.Body, tt.status)
		}
	}
	r := g.one()
	if got := fmt.Sprint(r.RequestURI, r.URL, r.Header); strings.Contains(got, good[:30]) {
		t.Errorf("the backend got %s", got)
	}
	query, _ := place("")
	if want := strings.Contains(query, "x=1"); (r.URL.RawQuery == "x=1&y=2") != want {
		t.Errorf("the backend got the query %q", r.URL.RawQuery)
	}
	g.logged(`"level":"error"`, `http.log.error`)
	g.logged(`http.handlers.reverse_proxy`, `upstream roundtrip`)
	g.log = log
	for _, path := range []string{"/good", "/expired", "/two", "/dead"} {
		g.logged(`http.log.access`, `"uri":"`+path)
	}
	for _, line := range g.lines(true) {
		for part := range strings.SplitSeq(good+"."+expired, ".") {
			if strings.Contains(line, part) {
				t.Errorf("a token is in the log: %s", line)
				break
			}
		}
	}
}

// braced returns the part of a Caddyfile that begins with opening and ends where
// its braces are closed.
func braced(t *testing.T, caddyfile, opening string) string {
	t.Helper()
	_, rest, found := strings.Cut(caddyfile, opening)
	depth := 1
	for i, c := range rest {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return opening + rest[:i+1]
		}
	}
	t.Fatalf("%q is found: %v, and does not end in %s", opening, found, caddyfile)
	return ""
}
