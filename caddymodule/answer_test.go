package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

// answerTo writes the answer to refused, as a gate of the realm "api" does.
func answerTo(method string, refused *token.Refusal) *httptest.ResponseRecorder {
	run := &runtime{realm: "api"}
	w := httptest.NewRecorder()
	a := run.reply(refused)
	a.announce(w.Header())
	a.write(w, httptest.NewRequest(method, "/", nil))
	return w
}

// TestAnswers is the contract of docs/mobile.md, byte by byte.
func TestAnswers(t *testing.T) {
	const types = "https://github.com/jwtgate/jwtgate/blob/main/docs/mobile.md#"
	tests := []struct {
		reason    token.Reason
		status    int
		challenge string
		retry     string
		body      string
	}{
		{token.TokenMissing, 401, `Bearer realm="api"`, "",
			`{"type":"` + types + `token_missing","title":"No access token came with the request","status":401,"code":"token_missing","action":"login"}`},
		{token.AuthorizationMalformed, 400, `Bearer realm="api", error="invalid_request"`, "",
			`{"type":"` + types + `request_invalid","title":"The request carries its access token in a wrong way","status":400,"code":"request_invalid","action":"none"}`},
		{token.SignatureInvalid, 401, `Bearer realm="api", error="invalid_token"`, "",
			`{"type":"` + types + `token_invalid","title":"The access token is not valid here","status":401,"code":"token_invalid","action":"refresh"}`},
		{token.NotBeforeAhead, 401, `Bearer realm="api", error="invalid_token"`, "42",
			`{"type":"` + types + `token_not_yet_valid","title":"The access token is not valid yet","status":401,"code":"token_not_yet_valid","action":"retry"}`},
		{token.Expired, 401, `Bearer realm="api", error="invalid_token"`, "",
			`{"type":"` + types + `token_expired","title":"The access token has expired","status":401,"code":"token_expired","action":"refresh"}`},
		{token.RevokedSession, 401, `Bearer realm="api", error="invalid_token"`, "",
			`{"type":"` + types + `token_revoked","title":"The access token has been revoked","status":401,"code":"token_revoked","action":"login"}`},
		{token.ScopeMissing, 403, `Bearer realm="api", error="insufficient_scope", scope="orders:read profile"`, "",
			`{"type":"` + types + `insufficient_scope","title":"The access token lacks a required scope","status":403,"code":"insufficient_scope","action":"none"}`},
		{token.ClaimDenied, 403, `Bearer realm="api", error="insufficient_scope"`, "",
			`{"type":"` + types + `access_denied","title":"The access token does not allow this request","status":403,"code":"access_denied","action":"none"}`},
		{token.KeysNeverObtained, 503, "", "5",
			`{"type":"` + types + `keys_unavailable","title":"The keys that verify access tokens are not available","status":503,"code":"keys_unavailable","action":"retry"}`},
		{token.RevocationStale, 503, "", "5",
			`{"type":"` + types + `revocation_unavailable","title":"The list of revoked access tokens is not available","status":503,"code":"revocation_unavailable","action":"retry"}`},
	}
	if len(tests) != len(answers) {
		t.Errorf("%d codes are tested of %d", len(tests), len(answers))
	}
	for _, tt := range tests {
		t.Run(string(tt.reason.Code()), func(t *testing.T) {
			refused := &token.Refusal{
				Reason: tt.reason, Want: "secret-want", Got: "secret-got",
				Scope: "orders:read profile", Err: errors.New("secret-cause"),
			}
			if tt.reason == token.NotBeforeAhead {
				refused.Seconds = 42
			}
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				w := answerTo(method, refused)
				body := tt.body
				if method == http.MethodHead {
					body = ""
				}
				if w.Code != tt.status || w.Body.String() != body {
					t.Errorf("%s: %d %s\nwant %d %s", method, w.Code, w.Body, tt.status, body)
				}
				for name, want := range map[string]string{
					"Www-Authenticate": tt.challenge, "Retry-After": tt.retry,
					"Cache-Control": "no-store", "Content-Type": "application/problem+json", "Location": "",
				} {
					if got := strings.Join(w.Header()[name], " | "); got != want {
						t.Errorf("%s: %s: %q, want %q", method, name, got, want)
					}
				}
			}
		})
	}
}

// TestEveryReasonHasAnAnswer also holds the table against the one in the docs.
func TestEveryReasonHasAnAnswer(t *testing.T) {
	used := make(map[token.Code]bool)
	for _, reason := range token.Reasons() {
		used[reason.Code()] = true
		if answers[reason.Code()] == nil {
			t.Errorf("%s has the code %q without an answer", reason, reason.Code())
		}
	}
	docs, err := os.ReadFile("../docs/mobile.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d+)[^|]*\\| [^|]*\\| (\\w+) \\| (\\d+) ")
	rows := row.FindAllStringSubmatch(string(docs), -1)
	if len(rows) != len(answers) {
		t.Errorf("docs/mobile.md has %d codes, we %d", len(rows), len(answers))
	}
	for _, r := range rows {
		a := answers[token.Code(r[1])]
		if a == nil {
			t.Errorf("docs/mobile.md has an unknown code %s", r[1])
			continue
		}
		got, _ := json.Marshal([]any{a.status, a.action, a.grpc})
		if want := "[" + r[2] + `,"` + r[3] + `",` + r[4] + "]"; string(got) != want {
			t.Errorf("%s: %s, docs/mobile.md says %s", r[1], got, want)
		}
		if !used[a.code] {
			t.Errorf("%s is the code of no reason", a.code)
		}
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	for seconds, want := range map[int64]string{-5: "1", 0: "1", 1: "1", 299: "299", 301: "300", 1 << 60: "300"} {
		w := answerTo(http.MethodGet, &token.Refusal{Reason: token.IssuedAtAhead, Seconds: seconds})
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("%d seconds: Retry-After %q, want %q", seconds, got, want)
		}
	}
}

func TestChallengeQuoting(t *testing.T) {
	for _, tt := range []struct{ name, realm, scope, want string }{
		{"realm with quotes", `a"b\c`, "x", `Bearer realm="a\"b\\c", error="insufficient_scope", scope="x"`},
		{"scope with a quote", "api", `a"b`, `Bearer realm="api", error="insufficient_scope"`},
		{"scope with a backslash", "api", `a\b`, `Bearer realm="api", error="insufficient_scope"`},
		{"scope with a line feed", "api", "a\nb", `Bearer realm="api", error="insufficient_scope"`},
		{"scope beyond ASCII", "api", "é", `Bearer realm="api", error="insufficient_scope"`},
		{"no scope", "api", "", `Bearer realm="api", error="insufficient_scope"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := challenge(tt.realm, answers[token.CodeInsufficientScope], tt.scope); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestAnswerReplacesWhatOthersPrepared: headers that an earlier handler set for
// the backend's response do not describe ours.
func TestAnswerReplacesWhatOthersPrepared(t *testing.T) {
	w := httptest.NewRecorder()
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified", "Content-Length", "Cache-Control", "Www-Authenticate", "Retry-After"} {
		w.Header().Set(name, "other")
	}
	a := (&runtime{realm: "api"}).reply(token.Refuse(token.KeysStale, "", ""))
	a.announce(w.Header())
	a.write(w, httptest.NewRequest(http.MethodGet, "/", nil))
	for name, lines := range w.Header() {
		if strings.Join(lines, "") == "other" {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestCORSOnOurOwnAnswers(t *testing.T) {
	run := &runtime{cors: map[string]struct{}{"https://app.example.com": {}}}
	for _, tt := range []struct {
		name   string
		run    *runtime
		origin []string
		allow  string
		vary   string
	}{
		{"listed", run, []string{"https://app.example.com"}, "https://app.example.com", "Accept | Origin"},
		{"not listed", run, []string{"https://evil.example.com"}, "", "Accept | Origin"},
		{"two lines", run, []string{"https://app.example.com", "https://app.example.com"}, "", "Accept | Origin"},
		{"no origin", run, nil, "", "Accept | Origin"},
		{"not configured", new(runtime), []string{"https://app.example.com"}, "", "Accept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Origin"] = tt.origin
			header := http.Header{"Vary": {"Accept"}}
			tt.run.allowOrigin(header, r)
			if got := header.Get("Access-Control-Allow-Origin"); got != tt.allow {
				t.Errorf("Allow-Origin %q, want %q", got, tt.allow)
			}
			if got := strings.Join(header["Vary"], " | "); got != tt.vary {
				t.Errorf("Vary %q, want %q", got, tt.vary)
			}
			expose := ""
			if tt.allow != "" {
				expose = "WWW-Authenticate, Retry-After, Date"
			}
			if got := header.Get("Access-Control-Expose-Headers"); got != expose {
				t.Errorf("Expose-Headers %q, want %q", got, expose)
			}
		})
	}
}

func TestGRPCAnswer(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "Application/GRPC-web": true, "application/json": false, "": false, "application/grp": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Content-Type", contentType)
		if got := isGRPC(r); got != want {
			t.Errorf("isGRPC(%q) = %v", contentType, got)
		}
	}
	for code, a := range answers {
		w := httptest.NewRecorder()
		reason := token.ReasonNone
		for _, r := range token.Reasons() {
			if r.Code() == code {
				reason = r
			}
		}
		out := (&runtime{realm: "api"}).reply(&token.Refusal{Reason: reason})
		out.announce(w.Header())
		out.writeGRPC(w)
		if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Grpc-Message") != string(code) || w.Header().Get("Content-Type") != "application/grpc" {
			t.Errorf("%s: %d %v %q", code, w.Code, w.Header(), w.Body)
		}
		if got := w.Header().Get("Retry-After") != ""; got != (a.retry > 0) {
			t.Errorf("%s: Retry-After %q", code, w.Header().Get("Retry-After"))
		}
	}
}
