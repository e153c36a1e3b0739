package caddymodule

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// mobileSites are an API, one that a web page of another origin uses, one with
// WebSockets, and one whose issuer cannot be reached. DOWN stands for that.
const mobileSites = `
http://api.example.com:PORT {
	jwtgate_logout /auth/logout {
		allow_expired 720h
	}
	jwtgate {
		forward {
			X-User-ID sub
		}
	}
	@writes {
		method POST
		path /orders
	}
	jwtgate @writes {
		require scope orders:write
	}
	jwtgate /admin {
		require claim realm_access.roles admin
	}
	respond /auth/logout 204
	reverse_proxy RAW
}
http://web.example.com:PORT {
	jwtgate {
		cors https://app.example.com
	}
	reverse_proxy RAW
}
http://live.example.com:PORT {
	jwtgate_logout /auth/logout
	jwtgate {
		issuer ISSUER {
			audience api
			skew 0s
		}
		token_from websocket
	}
	respond /auth/logout 204
	reverse_proxy RAW
}
http://down.example.com:PORT {
	jwtgate_logout /auth/logout
	jwtgate {
		issuer DOWN {
			audience api
		}
	}
	respond /auth/logout 204
	reverse_proxy RAW
}
`

// refusal is a request that is refused, for one code.
type refusal struct {
	asked        string // in words
	method, path string
	host         string
	lines        []string
}

// TestMobileContractIsDocumented captures every answer of docs/mobile.md from a
// running gateway.
func TestMobileContractIsDocumented(t *testing.T) {
	raw := newRawBackend(t)
	down := "http://" + freeAddress(t)
	s := &setup{Options: "servers {\nprotocols h1 h2c\n}", Sites: strings.NewReplacer("RAW", raw.addr, "DOWN", down).Replace(mobileSites)}
	g := s.start(t)
	got := captures{}
	refusals := g.refusals(t, down)
	t.Run("codes", func(t *testing.T) { g.captureCodes(t, got, refusals) })
	t.Run("states", func(t *testing.T) { g.captureStates(t, got, down) })
	t.Run("grpc", func(t *testing.T) { g.captureGRPC(t, got, refusals) })
	t.Run("cors", func(t *testing.T) { g.captureCORS(t, got) })
	t.Run("websocket", func(t *testing.T) { g.captureWebSocket(t, got, raw, s.config(g)) })
	t.Run("no list", func(t *testing.T) { captureNoList(t, g, s, got) })
	if t.Failed() {
		return
	}
	got["states"] = "| session | a request | its logout |\n|---|---|---|\n" + got["state rows"] + got["no list row"]
	got["grpc codes"] += got["grpc no list"]
	for _, part := range []string{"state rows", "no list row", "grpc no list"} {
		delete(got, part)
	}
	got.check(t, "../docs/mobile.md")
}

func (g *gateway) authorization(claims map[string]any) string {
	return "Authorization: Bearer " + g.Issuer.Sign(claims)
}

// refusals has a request for every code but revocation_unavailable, which needs
// a gateway of its own.
func (g *gateway) refusals(t *testing.T, down string) map[token.Code]refusal {
	t.Helper()
	revoked := g.authorization(nil)
	if a := g.wire("POST", "/auth/logout", "api.example.com", revoked); a.status != http.StatusNoContent {
		t.Fatalf("logout: %s", a.raw)
	}
	api := func(asked, path string, lines ...string) refusal {
		return refusal{asked, "GET", path, "api.example.com", lines}
	}
	write := api("`POST /orders`, which needs the scope `orders:write`, with a token that has another:", "/orders", g.authorization(map[string]any{"scope": "orders:read"}))
	write.method = "POST"
	return map[token.Code]refusal{
		token.CodeTokenMissing:      api("`GET /orders` without a token:", "/orders"),
		token.CodeRequestInvalid:    api("`GET /orders` with `Authorization: Bearer` and nothing after it:", "/orders", "Authorization: Bearer"),
		token.CodeTokenInvalid:      api("`GET /orders` with a token for another audience:", "/orders", g.authorization(map[string]any{"aud": "another-api"})),
		token.CodeTokenExpired:      api("`GET /orders` with a token that expired an hour ago:", "/orders", g.authorization(map[string]any{"exp": time.Now().Add(-time.Hour)})),
		token.CodeTokenNotYetValid:  api("`GET /orders` with a token whose `nbf` is an hour ahead:", "/orders", g.authorization(map[string]any{"nbf": time.Now().Add(time.Hour)})),
		token.CodeTokenRevoked:      api("`GET /orders` with a token that logged out:", "/orders", revoked),
		token.CodeInsufficientScope: write,
		token.CodeAccessDenied:      api("`GET /admin`, which is for administrators:", "/admin", g.authorization(nil)),
		token.CodeKeysUnavailable: {"`GET /orders` with a token of an issuer that cannot be reached:", "GET", "/orders", "down.example.com",
			[]string{g.authorization(map[string]any{"iss": down})}},
	}
}

func (g *gateway) captureCodes(t *testing.T, got captures, refusals map[token.Code]refusal) {
	for code, r := range refusals {
		a := g.wire(r.method, r.path, r.host, r.lines...)
		if !strings.Contains(a.body, `"`+string(code)+`"`) {
			t.Errorf("%s: %s", code, a.raw)
		}
		got[string(code)] = a.block(r.asked)
	}
	expired := refusals[token.CodeTokenExpired]
	got["head"] = g.wire("HEAD", "/orders", expired.host, expired.lines...).block("`HEAD /orders` with the same token:")
	got["success"] = g.wire("GET", "/orders", "api.example.com", g.authorization(nil)).block("`GET /orders` with a good token; this is your API's answer, as it sent it:")
	good := g.authorization(nil)
	got["logout"] = g.wire("POST", "/auth/logout", "api.example.com", good).block("`POST /auth/logout` with a good token:") +
		"\n" + g.wire("POST", "/auth/logout", "api.example.com", good).block("The same once more, because the first answer got lost. It has been done:")
}

// captureStates has a row for each state of a session.
func (g *gateway) captureStates(t *testing.T, got captures, down string) {
	ago := func(d time.Duration) map[string]any {
		return map[string]any{"iat": time.Now().Add(-10 * time.Minute), "exp": time.Now().Add(-d)}
	}
	rows := ""
	for _, state := range []struct {
		name, host string
		claims     map[string]any
		after      func(auth string)
	}{
		{"**fresh**", "api.example.com", nil, nil},
		{"**expiring**: `exp` in 20 s", "api.example.com", ago(-20 * time.Second), nil},
		{"expired 5 s ago, within the skew of 30 s", "api.example.com", ago(5 * time.Second), nil},
		{"**expired**, where logout has `allow_expired`", "api.example.com", ago(time.Hour), nil},
		{"expired, where it has not", "live.example.com", ago(time.Hour), nil},
		{"**revoked**", "api.example.com", nil, func(auth string) { g.wire("POST", "/auth/logout", "api.example.com", auth) }},
		{"**the gateway cannot decide**: no keys", "down.example.com", map[string]any{"iss": down}, nil},
	} {
		auth := g.authorization(state.claims)
		if state.after != nil {
			state.after(auth)
		}
		request := g.wire("GET", "/orders", state.host, auth)
		logout := g.wire("POST", "/auth/logout", state.host, auth)
		rows += "| " + state.name + " | " + request.cell() + " | " + logout.cell() + " |\n"
	}
	got["state rows"] = rows
}

// cell is the answer in a table.
func (a answered) cell() string {
	code := got{a.status, a.header, a.body}.code()
	if code == "" {
		return strconv.Itoa(a.status)
	}
	_, action, _ := strings.Cut(a.body, `"action":"`)
	action, _, _ = strings.Cut(action, `"`)
	text := strconv.Itoa(a.status) + " `" + code + "`, action `" + action + "`"
	if after := a.header.Get("Retry-After"); after != "" {
		text += " after " + after + " s"
	}
	return text
}

// captureGRPC asks the same over gRPC.
func (g *gateway) captureGRPC(t *testing.T, got captures, refusals map[token.Code]refusal) {
	rows := "| code | `grpc-status` | `grpc-message` | `retry-after` |\n|---|---|---|---|\n"
	for _, code := range slices.Sorted(maps.Keys(refusals)) {
		r := refusals[code]
		resp := g.grpc(t, r)
		rows += grpcRow(t, code, resp)
		if code == token.CodeTokenExpired {
			text := "A call with an expired token:\n\n```http\n:status: 200\n"
			for _, name := range slices.Sorted(maps.Keys(resp)) {
				text += strings.ToLower(name) + ": " + strings.Join(resp[name], ", ") + "\n"
			}
			got["grpc"] = text + "```\n"
		}
	}
	got["grpc codes"] = rows
}

func grpcRow(t *testing.T, code token.Code, h http.Header) string {
	t.Helper()
	if h.Get("Grpc-Message") != string(code) {
		t.Errorf("%s: %v", code, h)
	}
	return fmt.Sprintf("| `%s` | %s | `%s` | %s |\n", code, h.Get("Grpc-Status"), h.Get("Grpc-Message"), h.Get("Retry-After"))
}

// grpc makes a call over HTTP/2 and returns the header of the answer.
func (g *gateway) grpc(t *testing.T, r refusal) http.Header {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.Addr+r.path, strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = r.host
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	resp, err := h2c(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) > 0 || len(resp.Trailer) > 0 || resp.StatusCode != http.StatusOK {
		t.Errorf("%d %q, trailer %v, %v", resp.StatusCode, body, resp.Trailer, err)
	}
	resp.Header.Set("Date", "Sat, 21 Nov 2026 12:00:00 GMT")
	return resp.Header
}

func (g *gateway) captureCORS(t *testing.T, got captures) {
	const web, app = "web.example.com", "Origin: https://app.example.com"
	got["cors refused"] = g.wire("GET", "/orders", web, app).block("A page of `https://app.example.com`, which is listed, without a token:")
	overGRPC := g.grpc(t, refusal{"", "POST", "/orders", web, []string{app}})
	got["cors grpc"] = "The same over gRPC-Web: `Access-Control-Expose-Headers: " + overGRPC.Get("Access-Control-Expose-Headers") + "`.\n"
	got["cors elsewhere"] = g.wire("GET", "/orders", web, "Origin: https://elsewhere.example").block("A page of an origin that is not listed:")
	preflight := []string{app, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}
	a := g.wire("OPTIONS", "/orders", web, preflight...)
	if a.status != http.StatusOK || !strings.Contains(a.body, "orders") {
		t.Errorf("the preflight did not reach the backend: %s", a.raw)
	}
	rows := "| request | without `cors` | with `cors`, or `preflight on` |\n|---|---|---|\n"
	for _, r := range []struct {
		name  string
		lines []string
	}{
		{"a preflight: `OPTIONS`, one `Origin`, one `Access-Control-Request-Method`", preflight},
		{"`OPTIONS` without `Origin`", []string{"Access-Control-Request-Method: GET"}},
		{"`OPTIONS` with `Origin` alone", []string{app}},
		{"a preflight with a body", append(preflight[:len(preflight):len(preflight)], "Content-Length: 2\r\n\r\n{}")},
	} {
		row := "| " + r.name
		for _, host := range []string{"api.example.com", web} {
			cell := g.wire("OPTIONS", "/orders", host, r.lines...).cell()
			if cell == "200" {
				cell = "reaches the API"
			}
			row += " | " + cell
		}
		rows += row + " |\n"
	}
	got["preflights"] = rows
}

// captureNoList runs a gateway whose revocation list waits for a Redis that is
// not there.
func captureNoList(t *testing.T, old *gateway, s *setup, got captures) {
	s.Revocation = fmt.Sprintf("journal %s\nredis redis://%s {\ntimeout 1s\n}", filepath.Join(old.t.TempDir(), "list.db"), freeAddress(t))
	old.load(s.config(old))
	auth := old.authorization(nil)
	r := refusal{"`GET /orders` while the list is out of touch:", "GET", "/orders", "api.example.com", []string{auth}}
	var a answered
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if a, err = old.wireOnce(r.method, r.path, r.host, r.lines...); err == nil && strings.Contains(a.body, "revocation_unavailable") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s, %v", a.raw, err)
		}
	}
	got["revocation_unavailable"] = a.block(r.asked)
	logout := old.wire("POST", "/auth/logout", "api.example.com", auth)
	got["no list row"] = "| the gateway cannot decide: no revocation list | " + a.cell() + " | " + logout.cell() + " |\n"
	got["grpc no list"] = grpcRow(t, token.CodeRevocationUnavailable, old.grpc(t, r))
}
