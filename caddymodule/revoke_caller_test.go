package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// TestRevokeCallers: nobody without the secret gets as far as the body.
func TestRevokeCallers(t *testing.T) {
	s := newRevokeSite(t)
	raw := s.issuer.Sign(nil)
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
		error   bool // in the challenge
	}{
		{"nothing", nil, 401, false},
		{"the secret", []string{known}, 200, false},
		{"scheme in lower case", []string{"Authorization: bearer " + testSecret}, 200, false},
		{"another", []string{"Authorization: Bearer 0123456789abcdef"}, 401, true},
		{"a longer one", []string{known + "x"}, 401, true},
		{"empty", []string{"Authorization: Bearer"}, 401, true},
		{"Basic", []string{"Authorization: Basic " + testSecret}, 401, true},
		{"twice", []string{known, known}, 401, true},
		{"a user's token", []string{"Authorization: Bearer " + raw}, 401, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.post("token="+s.issuer.Sign(nil), append(tt.headers, asForm)...)
			challenge := a.Header.Get("Www-Authenticate")
			if a.Status != tt.status || (challenge != "") != (a.Status == 401) || strings.Contains(challenge, "error=") != tt.error {
				t.Errorf("%d, challenge %q", a.Status, challenge)
			}
			if a.Status == 401 && strings.TrimSpace(a.Body) != `{"error":"invalid_client"}` {
				t.Errorf("%q", a.Body)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
			}
			if a := s.post("{}", append(tt.headers, asJSON)...); a.Status == 401 && a.code() != "caller_unauthorized" || (a.Status == 401) != (tt.status == 401) {
				t.Errorf("JSON: %d %s", a.Status, a.Body)
			}
		})
	}
	if entries := s.entries(); len(entries) != 2 {
		t.Errorf("%d entries, want 2", len(entries))
	}
	for method, want := range map[string]int{"GET": 405, "HEAD": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
		if a := s.ask(method, testSecret); a.Status != want || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
		}
	}
}

// TestRevokeByCallersWithTokens: the scope is needed, and opens what is the
// caller's issuer's alone.
func TestRevokeByCallersWithTokens(t *testing.T) {
	other := issuertest.New(t)
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, other.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newLogoutSite(t, fmt.Sprintf(`jwtgate_revoke /a* {
			secret %s
		}
		jwtgate {
			issuer %s {
				audience api
				jwks_file %s
			}
		}`, testSecret, other.URL(), file), status(200))
	// The endpoint needs the address of the issuer, which is known only now.
	h := &Revoke{Issuer: s.issuer.URL(), Scope: []string{"tokens:revoke", "admin"}}
	h.run = &revokeRuntime{app: s.app.state, logger: zap.NewNop(), now: time.Now}
	h.gate = &Handler{UseIssuers: []string{h.Issuer}, Require: []*Requirement{{Kind: "scope", Values: h.Scope}}, Realm: revokeRealm, leases: new(leases)}
	var err error
	if h.gate.run, err = h.gate.build(s.app, s.app.state.lender, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.ServeHTTP(w, prepared(r, w), nil); err != nil {
			t.Error(err)
		}
	})
	service := "Authorization: Bearer " + s.issuer.Sign(map[string]any{"sub": "svc", "client_id": "billing", "scope": "tokens:revoke"})
	for _, tt := range []struct {
		name, caller, body, form string
		status                   int
		entered                  bool
	}{
		{"subject", service, `{"kind":"subject","issuer":"` + s.issuer.URL() + `","value":"fired"}`, asJSON, 200, true},
		{"form", service, "token=" + s.issuer.Sign(nil), asForm, 200, true},
		{"by token", service, `{"token":"` + s.issuer.Sign(nil) + `"}`, asJSON, 200, true},
		{"without scope", "Authorization: Bearer " + s.issuer.Sign(nil), "token=x", asForm, 403, false},
		{"nobody", "", "token=x", asForm, 401, false},
		{"of the other issuer", "Authorization: Bearer " + other.Sign(map[string]any{"scope": "admin"}), "token=x", asForm, 401, false},
		{"the whole issuer", service, `{"kind":"issuer","issuer":"` + s.issuer.URL() + `"}`, asJSON, 403, false},
		{"another issuer's subject", service, `{"kind":"subject","issuer":"` + other.URL() + `","value":"alice"}`, asJSON, 403, false},
		{"another issuer's token", service, "token=" + other.Sign(nil), asForm, 403, false},
		{"another issuer's token in JSON", service, `{"token":"` + other.Sign(nil) + `"}`, asJSON, 403, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.entries())
			a := s.post(tt.body, tt.caller, tt.form)
			if a.Status != tt.status || (len(s.entries()) == before+1) != tt.entered {
				t.Errorf("%d %s, %d entries before, %d now", a.Status, a.Body, before, len(s.entries()))
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Error("may be stored")
			}
		})
	}
	for _, e := range s.entries() {
		if e.By != "billing" {
			t.Errorf("by %q", e.By)
		}
	}
	// The caller logs itself out.
	caller := "Authorization: Bearer " + s.issuer.Sign(map[string]any{"scope": "admin", "sub": "once"})
	if a := s.post("token="+strings.TrimPrefix(caller, "Authorization: Bearer "), caller, asForm); a.Status != 200 {
		t.Errorf("itself: %d", a.Status)
	}
	if a := s.post("token=x", caller, asForm); a.code() != "token_revoked" {
		t.Errorf("afterwards: %d %s", a.Status, a.Body)
	}
}

// TestSecretFile: another secret in the file takes the place of the one before,
// and a broken file leaves it.
func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(content string) {
		t.Helper()
		// As an editor or a secret store does: another file in its place.
		next := path + ".next"
		if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(secret string) *http.Request {
		return &http.Request{Header: http.Header{"Authorization": {"Bearer " + secret}}}
	}
	core, logs := observer.New(zap.InfoLevel)
	for content, want := range map[string]string{"": "0 bytes", "short\n": "5 bytes", "0123456789abcdef\nmore\n": "visible ASCII"} {
		write(content)
		if _, err := fileSecret(path, zap.New(core)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	write("first-0123456789\n")
	s, err := fileSecret(path, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		content     string
		opens, shut string
	}{
		{"first-0123456789\n", "first-0123456789", "first-0123456789\n"},
		{"second-0123456789\r\n", "second-0123456789", "first-0123456789"},
		{"broken", "second-0123456789", "broken"},
		{"broken too", "second-0123456789", "broken too"},
		{"third-0123456789", "third-0123456789", "second-0123456789"},
	} {
		write(step.content)
		if !s.opens(shows(step.opens)) || s.opens(shows(step.shut)) {
			t.Errorf("%q: opens %v, shut %v", step.content, s.opens(shows(step.opens)), s.opens(shows(step.shut)))
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !s.opens(shows("third-0123456789")) {
		t.Error("without the file")
	}
	if broke, mended := logs.FilterLevelExact(zap.WarnLevel).Len(), logs.FilterLevelExact(zap.InfoLevel).Len(); broke != 2 || mended != 1 {
		t.Errorf("%d and %d lines, want one each time it broke and one when it was mended: %v", broke, mended, logs.All())
	}
	for _, entry := range logs.All() {
		if strings.Contains(fmt.Sprint(entry.Message, entry.ContextMap()), "0123456789") {
			t.Errorf("the secret is in the log: %v", entry)
		}
	}
}
