package ui_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

const (
	goodIssuer    = "https://id.example.com"
	partnerIssuer = "https://login.partner.example"
	deadIssuer    = "https://old.example.com/realms/staff"
)

// object is JSON.
type object = map[string]any

// fakeGateway is an admin endpoint in memory, with the shapes of the real one,
// whose state the test chooses.
type fakeGateway struct {
	mu        sync.Mutex
	away      bool // nothing answers
	started   time.Time
	state     string // of the status
	summary   string
	problems  []object
	issuers   []object
	decisions []object
	entries   []revocation.Entry
	observed  []object
	feed      object
	asked     []string // method, path and body of every call
	answer    func(question object) object
}

func newFakeGateway() *fakeGateway {
	now := time.Now()
	g := &fakeGateway{started: now.Add(-42 * time.Hour), state: "ok", summary: "Everything is in order."}
	issuer := func(name, source, location string, keys ...object) object {
		return object{"issuer": name, "source": source, "location": location, "keys": keys, "skipped": []string{},
			"fetched_at": now.Add(-4 * time.Minute), "age_seconds": 240, "next_refresh": now.Add(6 * time.Minute), "usable_until": now.Add(24 * time.Hour),
			"stale": false, "usable": true, "last_error": "", "last_error_kind": ""}
	}
	g.issuers = []object{
		issuer(goodIssuer, "discovery", goodIssuer+"/.well-known/openid-configuration",
			object{"kid": "2026-11-a", "kty": "RSA", "alg": "RS256", "bits": 2048, "use": "sig", "thumbprint": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
			object{"kid": "2026-10-b", "kty": "EC", "alg": "ES256", "crv": "P-256", "use": "sig", "thumbprint": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"}),
		issuer(partnerIssuer, "jwks", partnerIssuer+"/keys", object{"kid": "p1", "kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "thumbprint": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}),
	}
	for i := range 60 {
		kind := []revocation.Kind{revocation.Token, revocation.Session, revocation.Subject}[i%3]
		g.entries = append(g.entries, revocation.Entry{Kind: kind, Issuer: goodIssuer, Value: fmt.Sprintf("value-%02d", i),
			RevokedAt: now.Add(-time.Duration(i) * time.Minute), Until: now.Add(time.Duration(i+1) * time.Hour), Via: "logout", By: "192.0.2.7"})
	}
	g.decisions = []object{
		{"result": "allow", "reason": "", "code": "", "issuer": goodIssuer, "total": 120_000, "last_1m": 600, "last_5m": 3000, "last_15m": 9000},
		{"result": "deny", "reason": "exp_passed", "code": "token_expired", "issuer": goodIssuer, "total": 400, "last_1m": 4, "last_5m": 20, "last_15m": 61},
		{"result": "deny", "reason": "aud_mismatch", "code": "token_invalid", "issuer": partnerIssuer, "total": 12, "last_1m": 0, "last_5m": 0, "last_15m": 0},
	}
	return g
}

// change changes the state.
func (g *fakeGateway) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *fakeGateway) calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

// Send implements ui.Admin.
func (g *fakeGateway) Send(_ context.Context, method, path string, body []byte) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, method+" "+path+" "+string(body))
	if g.away {
		return nil, errors.New("the admin endpoint at localhost:2019 does not answer: connection refused\nIs Caddy running?")
	}
	var in object
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
	}
	status, out := g.serve(method, path, in)
	w := httptest.NewRecorder()
	if out == nil {
		w.WriteHeader(status)
		return w.Result(), nil
	}
	contentType := "application/json"
	if status >= 400 {
		contentType = "application/problem+json"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
	return w.Result(), nil
}

func fakeProblem(status int, code, detail string) (int, any) {
	return status, object{"title": "No", "status": status, "code": code, "detail": detail}
}

func (g *fakeGateway) serve(method, path string, in object) (int, any) {
	path = strings.TrimPrefix(path, "/jwtgate/")
	switch method + " " + path {
	case "GET status":
		return 200, g.status()
	case "POST refresh":
		var all []object
		for _, i := range g.issuers {
			all = append(all, object{"issuer": i["issuer"], "source": i["source"], "location": i["location"], "ok": i["usable"], "keys": 2, "changed": false, "error": i["last_error"]})
		}
		return 200, object{"issuers": all}
	case "POST refresh/https:%2F%2Fid%2Eexample%2Ecom":
		return 200, object{"issuers": []object{{"issuer": goodIssuer, "ok": true, "keys": 2, "changed": true}}}
	case "POST explain":
		return 200, g.answer(in)
	case "GET observe-report":
		return 200, object{"since": time.Now().Add(-time.Hour), "gates": g.observed}
	case "DELETE observe-report":
		g.observed = nil
		return 204, nil
	case "POST revocations/query":
		return g.query(in)
	case "POST revocations":
		return g.revoke(in)
	}
	if id, ok := strings.CutPrefix(path, "revocations/"); ok && method == "DELETE" {
		for i := range g.entries {
			if e := &g.entries[i]; e.ID() == id && e.InForce() {
				e.UndoneAt = time.Now()
				return 204, nil
			}
		}
		return fakeProblem(404, "not_found", "no revocation of that id is in force")
	}
	return fakeProblem(404, "not_found", "there is no such path")
}

func (g *fakeGateway) status() object {
	kinds := object{}
	for _, kind := range revocation.Kinds() {
		n := 0
		for i := range g.entries {
			if g.entries[i].Kind == kind && g.entries[i].InForce() {
				n++
			}
		}
		kinds[kind.String()] = n
	}
	return object{"time": time.Now(), "started_at": g.started, "version": "v1", "ready": g.state != "not_ready", "reasons": []string{}, "degraded": []object{},
		"state": g.state, "summary": g.summary, "problems": g.problems,
		"issuers": g.issuers, "decisions": g.decisions, "feed": g.feed, "streams": object{"upgraded": 3},
		"cache":       object{"entries": 1200, "bytes": 900_000, "max_bytes": 64 << 20, "hits": 118_000, "misses": 2_400},
		"revocations": object{"loaded": true, "done": 0, "total": 0, "by_kind": kinds, "journal": object{"path": "/var/lib/caddy/jwtgate/revocations.db", "bytes": 262_144}}}
}

func (g *fakeGateway) query(in object) (int, any) {
	text := func(name string) string { s, _ := in[name].(string); return s }
	limit := int(in["limit"].(float64))
	offset := 0
	_, _ = fmt.Sscan(text("cursor"), &offset)
	var found []revocation.EntryJSON
	undone, _ := in["undone"].(bool)
	for i := range g.entries {
		e := &g.entries[i]
		if (text("kind") == "" || text("kind") == e.Kind.String()) && (text("issuer") == "" || text("issuer") == e.Issuer) &&
			(text("value") == "" || text("value") == e.Value) && (undone || e.InForce()) {
			found = append(found, e.JSON())
		}
	}
	answer := object{"revocations": []revocation.EntryJSON{}}
	if offset < len(found) {
		end := min(offset+limit, len(found))
		answer["revocations"] = found[offset:end]
		if end < len(found) {
			answer["cursor"] = fmt.Sprint(end)
		}
	}
	return 200, answer
}

func (g *fakeGateway) revoke(in object) (int, any) {
	text := func(name string) string { s, _ := in[name].(string); return s }
	if text("token") != "" {
		in["issuer"], in["value"] = goodIssuer, "of-the-token"
	}
	known := slices.ContainsFunc(g.issuers, func(i object) bool { return i["issuer"] == in["issuer"] })
	if !known {
		return 400, object{"title": "The request is not valid", "status": 400, "code": "request_invalid", "detail": "nothing was applied",
			"errors": []object{{"field": "issuer", "detail": "not configured; known are " + goodIssuer}}, "error_count": 1}
	}
	kind, _ := revocation.ParseKind(text("kind"))
	e := revocation.Entry{Kind: kind, Issuer: text("issuer"), Value: text("value"), RevokedAt: time.Now(), Until: time.Now().Add(24 * time.Hour), Via: "admin", By: "127.0.0.1", Note: text("note")}
	if kind != revocation.Token && kind != revocation.Session {
		e.Cutoff = time.Now()
		if before, err := time.Parse(time.RFC3339Nano, text("before")); err == nil {
			e.Cutoff = before
		}
	}
	g.entries = append(g.entries, e)
	return 200, object{"id": e.ID(), "kind": text("kind"), "issuer": e.Issuer, "value": e.Value, "until": e.Until, "durable": true, "fed": true}
}

// readAll is the body of an answer.
func readAll(r *http.Response) string {
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return string(text)
}
