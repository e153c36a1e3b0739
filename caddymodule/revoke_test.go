package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/revocation"
)

const testSecret = "0123456789abcdef-and-more"

// post sends a body to the endpoint. A header without a value is left out.
func (s *logoutSite) post(body string, headers ...string) got {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.server.URL+"/internal/revoke", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if value != "" {
			r.Header.Add(name, value)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(answer)}
}

const (
	asForm = "Content-Type: application/x-www-form-urlencoded"
	asJSON = "Content-Type: application/json"
	known  = "Authorization: Bearer " + testSecret
)

func newRevokeSite(t *testing.T) *logoutSite {
	return newLogoutSite(t, "jwtgate_revoke {\nsecret "+testSecret+"\n}", status(200))
}

// TestRevokeForm is RFC 7009: only a genuine token is entered, and nobody is
// told whether it was one.
func TestRevokeForm(t *testing.T) {
	s := newRevokeSite(t)
	good := s.issuer.Sign(map[string]any{"jti": "good"})
	for _, tt := range []struct {
		name, body string
		status     int
		value      string // of the entry; empty: none
	}{
		{"a token", "token=" + good, 200, "good"},
		{"again", "token=" + good, 200, "good"},
		{"with a hint", "token=" + s.issuer.Sign(map[string]any{"jti": "hint"}) + "&token_type_hint=refresh_token&client_id=x", 200, "hint"},
		{"for another audience", "token=" + s.issuer.Sign(map[string]any{"jti": "aud", "aud": "others"}), 200, "aud"},
		{"a forged one", "token=" + s.issuer.Sign(map[string]any{"jti": "forged"}, issuertest.Signature(func(_ string, sig []byte) []byte {
			sig[0] ^= 1
			return sig
		})), 200, ""},
		{"of another issuer", "token=" + s.issuer.Sign(map[string]any{"jti": "other", "iss": "https://other.example"}), 200, ""},
		{"an expired one", "token=" + s.issuer.Sign(map[string]any{"jti": "old", "exp": time.Now().Add(-time.Hour).Unix()}), 200, ""},
		{"within the skew", "token=" + s.issuer.Sign(map[string]any{"jti": "skew", "exp": time.Now().Add(-10 * time.Second).Unix()}), 200, "skew"},
		{"an unknown one", "token=45ghiukldjahdnhzdauz", 200, ""},
		{"an ID token", "token=" + s.issuer.Sign(map[string]any{"jti": "id"}, issuertest.Header("typ", "logout+jwt")), 200, ""},
		{"no token", "token_type_hint=access_token", 400, ""},
		{"an empty token", "token=", 400, ""},
		{"two tokens", "token=" + good + "&token=" + good, 400, ""},
		{"two hints", "token=" + good + "&token_type_hint=a&token_type_hint=b", 400, ""},
		{"no form", "token=%zz", 400, ""},
		{"nothing", "", 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.entries())
			a := s.post(tt.body, known, asForm)
			if a.Status != tt.status {
				t.Errorf("%d, want %d: %s", a.Status, tt.status, a.Body)
			}
			switch {
			case tt.status == 400 && strings.TrimSpace(a.Body) != `{"error":"invalid_request"}`:
				t.Errorf("%q", a.Body)
			case tt.status == 200 && a.Body != "":
				t.Errorf("%q tells something", a.Body)
			}
			entries := s.entries()
			if tt.value == "" {
				if len(entries) != before {
					t.Errorf("%d entries, %d before", len(entries), before)
				}
				return
			}
			for _, e := range entries {
				if e.Kind == revocation.Token && e.Value == tt.value && e.Via == "revoke" && e.By == "127.0.0.1" {
					return
				}
			}
			t.Errorf("%q is not among %+v", tt.value, entries)
		})
	}
	// A token in the URL ends up in logs: it is not looked at.
	r, _ := http.NewRequestWithContext(t.Context(), "POST", s.server.URL+"/?token="+s.issuer.Sign(nil), strings.NewReader(""))
	r.Header.Set("Authorization", "Bearer "+testSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err := http.DefaultTransport.RoundTrip(r); err != nil || resp.StatusCode != 400 {
		t.Errorf("token in the query: %v, %v", resp, err)
	}
}

// TestRevokeBodies: sizes and types.
func TestRevokeBodies(t *testing.T) {
	s := newRevokeSite(t)
	for _, tt := range []struct {
		name, body string
		headers    []string
		status     int
	}{
		{"64 KiB", "token=" + strings.Repeat("x", maxRevokeBody-6), []string{asForm}, 200},
		{"one more", "token=" + strings.Repeat("x", maxRevokeBody-5), []string{asForm}, 413},
		{"JSON, one more", `{"note":"` + strings.Repeat("x", maxRevokeBody) + `"}`, []string{asJSON}, 413},
		{"with a charset", "token=x", []string{asForm + "; charset=utf-8"}, 200},
		{"no type", "token=x", nil, 415},
		{"plain text", "token=x", []string{"Content-Type: text/plain"}, 415},
		{"compressed", "token=x", []string{asForm, "Content-Encoding: gzip"}, 415},
		{"multipart", "token=x", []string{"Content-Type: multipart/form-data; boundary=x"}, 415},
	} {
		if a := s.post(tt.body, append(tt.headers, known)...); a.Status != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.name, a.Status, tt.status, a.Body)
		}
	}
}

// TestRevokeJSON: the other kinds, by name or by token.
func TestRevokeJSON(t *testing.T) {
	s := newRevokeSite(t)
	iss := s.issuer.URL()
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	raw := s.issuer.Sign(map[string]any{"jti": "j", "sid": "s", "sub": "carol", "client_id": "app"})
	for _, tt := range []struct {
		name, body string
		status     int
		want       string // kind, issuer, value of the answer
		fault      string // field of the first fault
	}{
		{"subject", `{"kind":"subject","issuer":"` + iss + `","value":"alice","note":"fired"}`, 200, "subject alice", ""},
		{"subject before", `{"kind":"subject","issuer":"` + iss + `","value":"bob","before":"` + at.Format(time.RFC3339) + `"}`, 200, "subject bob", ""},
		{"session", `{"kind":"session","issuer":"` + iss + `","value":"1"}`, 200, "session 1", ""},
		{"client", `{"kind":"client","issuer":"` + iss + `","value":"app"}`, 200, "client app", ""},
		{"token by jti", `{"kind":"token","issuer":"` + iss + `","value":"jti"}`, 200, "token jti", ""},
		{"issuer", `{"kind":"issuer","issuer":"` + iss + `"}`, 200, "issuer ", ""},
		{"token", `{"token":"` + raw + `"}`, 200, "token j", ""},
		{"session of a token", `{"kind":"session","token":"` + raw + `"}`, 200, "session s", ""},
		{"subject of a token", `{"kind":"subject","token":"` + raw + `"}`, 200, "subject carol", ""},
		{"unknown member", `{"kind":"subject","issuer":"` + iss + `","value":"a","valeu":"b"}`, 400, "", "valeu"},
		{"unknown kind", `{"kind":"user","issuer":"` + iss + `","value":"a"}`, 400, "", "kind"},
		{"no kind", `{"issuer":"` + iss + `","value":"a"}`, 400, "", "kind"},
		{"no value", `{"kind":"subject","issuer":"` + iss + `"}`, 400, "", "value"},
		{"no issuer", `{"kind":"subject","value":"a"}`, 400, "", "issuer"},
		{"unknown issuer", `{"kind":"subject","issuer":"https://none.example","value":"a"}`, 400, "", "issuer"},
		{"repeated", `{"kind":"subject","kind":"issuer","issuer":"` + iss + `"}`, 400, "", ""},
		{"before in the future", `{"kind":"subject","issuer":"` + iss + `","value":"a","before":"2100-01-01T00:00:00Z"}`, 400, "", "before"},
		{"forged token", `{"token":"` + raw + `x"}`, 422, "", "token"},
		{"no object", `[]`, 400, "", ""},
		{"two objects", `{}{}`, 400, "", ""},
		{"nothing", ``, 400, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.entries())
			a := s.post(tt.body, known, asJSON)
			if a.Status != tt.status {
				t.Fatalf("%d, want %d: %s", a.Status, tt.status, a.Body)
			}
			if tt.status != 200 {
				var p adminProblem
				if err := json.Unmarshal([]byte(a.Body), &p); err != nil || len(p.Errors) == 0 || p.Errors[0].Field != tt.fault {
					t.Errorf("%s, %v", a.Body, err)
				}
				if a.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(a.Body, raw) {
					t.Errorf("%v %s", a.Header, a.Body)
				}
				if len(s.entries()) != before {
					t.Error("something was entered")
				}
				return
			}
			var answer revocationAnswer
			if err := json.Unmarshal([]byte(a.Body), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Kind+" "+answer.Value != tt.want || answer.Issuer != iss || !answer.Durable || len(answer.ID) != 22 || answer.Until.Before(time.Now()) {
				t.Errorf("%s", a.Body)
			}
			if tt.name == "subject before" && !answer.Cutoff.Equal(at) {
				t.Errorf("cutoff %s, want %s", answer.Cutoff, at)
			}
			if len(s.entries()) != before+1 {
				t.Error("nothing was entered")
			}
		})
	}
}

// TestRevokeThatCannotBeStored or verified is a 503: 200 would be a promise.
func TestRevokeThatCannotBeStored(t *testing.T) {
	s := newRevokeSite(t)
	if err := s.app.state.list.own.Load().Close(); err != nil {
		t.Fatal(err)
	}
	for form, body := range map[string]string{
		asForm: "token=" + s.issuer.Sign(nil), asJSON: `{"token":"` + s.issuer.Sign(nil) + `"}`,
	} {
		if a := s.post(body, known, form); a.Status != 503 || a.Header.Get("Retry-After") == "" || strings.Contains(a.Body, ".db") {
			t.Errorf("%s: %d %s", form, a.Status, a.Body)
		}
	}
	if a := s.post("token=unknown", known, asForm); a.Status != 200 {
		t.Errorf("an unknown token: %d", a.Status)
	}
}

// FuzzRevokeBody: whatever a known caller sends, the answer is one of ours and
// never repeats what came.
func FuzzRevokeBody(f *testing.F) {
	for _, body := range []string{"token=a.b.c", "token=&token=", `{"kind":"subject","issuer":"i","value":"v"}`, `{"token":"eyJhbGciOiJub25lIn0.e30."}`, "%", "{"} {
		f.Add(body, true)
		f.Add(body, false)
	}
	state := &appState{revocation: &revocationSettings{maxLifetime: time.Hour}}
	registry := newListRegistry()
	state.list = newListView(f.Context(), registry, &revocationSettings{}, quietLender())
	if err := state.list.start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = state.list.end() })
	run := &revokeRuntime{app: state, logger: zap.NewNop(), now: time.Now}
	f.Fuzz(func(t *testing.T, body string, form bool) {
		marked := body + "canary-7f3a"
		contentType := "application/json"
		if form {
			contentType = "application/x-www-form-urlencoded"
		}
		w, r := formRequest("POST", marked, contentType)
		run.serve(w, r, revokeCaller{name: "x"})
		if w.Code != 200 && w.Code != 400 && w.Code != 413 && w.Code != 422 {
			t.Errorf("%d", w.Code)
		}
		if strings.Contains(w.Body.String(), "canary-7f3a") {
			t.Errorf("%q repeats the request", w.Body)
		}
		for kind, n := range state.list.current().Count() {
			if n > 0 {
				t.Errorf("%d of kind %s were entered for no issuer", n, kind)
			}
		}
	})
}
