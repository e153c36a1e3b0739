package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// said reads one of our problems.
func said(t testing.TB, a got) *adminProblem {
	t.Helper()
	p := new(adminProblem)
	if err := json.Unmarshal([]byte(a.Body), p); err != nil {
		t.Fatalf("%d %q: %v", a.Status, a.Body, err)
	}
	if a.Header.Get("Content-Type") != "application/problem+json" || p.Status != a.Status ||
		p.Type != adminProblemTypes+string(p.Code) || p.Title == "" {
		t.Errorf("no whole problem: %d %v %s", a.Status, a.Header, a.Body)
	}
	return p
}

// TestAdminRevokeFieldErrors: every mistake is named with its field, nothing is
// applied, nothing of the request is quoted.
func TestAdminRevokeFieldErrors(t *testing.T) {
	b := newAdminBench(t)
	secret := "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.c2lnbmF0dXJl"
	future := time.Now().Add(time.Hour).Format(time.RFC3339)
	for _, tt := range []struct {
		name, body string
		field      string
		want       string
	}{
		{"empty", ``, "", "ends too early"},
		{"array", `[]`, "", "a JSON object is wanted, not an array"},
		{"null", `null`, "", "a JSON object is wanted, not null"},
		{"cut off", `{"kind":"token"`, "", "ends too early"},
		{"trailing", `{"kind":"token","issuer":"ISSUER","value":"x"}{}`, "", "something follows"},
		{"trailing comma", `{"kind":"token",}`, "", "no valid JSON at byte"},
		{"repeated member", `{"kind":"token","kind":"subject","issuer":"ISSUER","value":"x"}`, "", "a member is repeated"},
		{"repeated by escape", `{"kind":"token","\u006bind":"subject","issuer":"ISSUER","value":"x"}`, "", "a member is repeated"},
		{"not UTF-8", "{\"kind\":\"token\",\"issuer\":\"ISSUER\",\"value\":\"\xff\"}", "", "no valid JSON"},
		{"unknown member", `{"kind":"token","issuer":"ISSUER","value":"x","befor":"now"}`, "befor", "unknown member"},
		{"other case", `{"Kind":"token","issuer":"ISSUER","value":"x"}`, "", "unknown member"},
		{"member of an export", `{"kind":"token","issuer":"ISSUER","value":"x","until":"2030-01-01T00:00:00Z"}`, "until", "unknown member"},
		{"token as a name", `{"kind":"token","issuer":"ISSUER","` + secret + `":"x"}`, "", "unknown member at byte"},
		{"no kind", `{"issuer":"ISSUER","value":"x"}`, "kind", "missing: one of"},
		{"unknown kind", `{"kind":"` + secret + `","issuer":"ISSUER","value":"x"}`, "kind", "one of token, session"},
		{"kind in capitals", `{"kind":"Token","issuer":"ISSUER","value":"x"}`, "kind", "one of token, session"},
		{"kind is a number", `{"kind":1,"issuer":"ISSUER","value":"x"}`, "kind", "a string is wanted, not a number"},
		{"kind is null", `{"kind":null,"issuer":"ISSUER","value":"x"}`, "kind", "a string is wanted, not null"},
		{"no issuer", `{"kind":"subject","value":"x"}`, "issuer", "missing"},
		{"issuer is an object", `{"kind":"subject","issuer":{},"value":"x"}`, "issuer", "a string is wanted, not an object"},
		{"unknown issuer", `{"kind":"subject","issuer":"ISSUER/","value":"x"}`, "issuer", "which has http://127.0.0.1"},
		{"no value", `{"kind":"subject","issuer":"ISSUER"}`, "value", "missing: the sub"},
		{"empty value", `{"kind":"token","issuer":"ISSUER","value":""}`, "value", "missing: the jti"},
		{"value is a boolean", `{"kind":"token","issuer":"ISSUER","value":true}`, "value", "a string is wanted, not a boolean"},
		{"long value", `{"kind":"token","issuer":"ISSUER","value":"` + strings.Repeat("x", revocation.MaxValue+1) + `"}`, "value", "at most 16384"},
		{"value of an issuer", `{"kind":"issuer","issuer":"ISSUER","value":"x"}`, "value", "takes none"},
		{"token as value", `{"kind":"token","issuer":"ISSUER","value":"` + secret + `"}`, "value", "this is a token"},
		{"token in the note", `{"kind":"token","issuer":"ISSUER","value":"x","note":"it was ` + secret + `"}`, "note", "holds a token"},
		{"value and token", `{"kind":"token","issuer":"ISSUER","value":"x","token":"` + secret + `"}`, "value", "not both"},
		{"token is no string", `{"token":["` + secret + `"]}`, "token", "a string is wanted, not an array"},
		{"empty token", `{"token":""}`, "token", "empty"},
		{"token for an issuer", `{"kind":"issuer","token":"` + secret + `"}`, "token", "name the issuer"},
		{"before is no time", `{"kind":"subject","issuer":"ISSUER","value":"x","before":"yesterday"}`, "before", "RFC 3339"},
		{"before without zone", `{"kind":"subject","issuer":"ISSUER","value":"x","before":"2026-01-31T13:45:00"}`, "before", "RFC 3339"},
		{"before is a number", `{"kind":"subject","issuer":"ISSUER","value":"x","before":1700000000}`, "before", "a string is wanted"},
		{"before is empty", `{"kind":"subject","issuer":"ISSUER","value":"x","before":""}`, "before", "RFC 3339"},
		{"before the epoch", `{"kind":"subject","issuer":"ISSUER","value":"x","before":"0001-01-01T00:00:00Z"}`, "before", "before 1970"},
		{"before in the future", `{"kind":"subject","issuer":"ISSUER","value":"x","before":"` + future + `"}`, "before", "future"},
		{"before of a session", `{"kind":"session","issuer":"ISSUER","value":"x","before":"2026-01-31T13:45:00Z"}`, "before", "only with kind subject"},
		{"long note", `{"kind":"token","issuer":"ISSUER","value":"x","note":"` + strings.Repeat("n", revocation.MaxNote+1) + `"}`, "note", "at most 1024"},
		{"note is null", `{"kind":"token","issuer":"ISSUER","value":"x","note":null}`, "note", "not null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := said(t, b.post(b.asks(tt.body)))
			if p.Status != http.StatusBadRequest || p.Code != codeInvalid || len(p.Errors) == 0 || p.ErrorCount != len(p.Errors) {
				t.Fatalf("%+v", p)
			}
			found := false
			for _, f := range p.Errors {
				found = found || f.Field == tt.field && strings.Contains(f.Detail, tt.want)
			}
			if !found {
				t.Errorf("%+v; want %q: %q", p.Errors, tt.field, tt.want)
			}
			if text := fmt.Sprintf("%+v", p); strings.Contains(text, "eyJ") {
				t.Errorf("the answer quotes a token: %s", text)
			}
			// The same line in bulk is refused with its number.
			if strings.TrimSpace(tt.body) == "" || strings.Contains(tt.name, "export") {
				return
			}
			bulk := said(t, b.postLines(b.asks(`{"kind":"token","issuer":"ISSUER","value":"good"}`), "", b.asks(tt.body)))
			if bulk.Status != http.StatusBadRequest || len(bulk.Errors) == 0 || bulk.Errors[0].Line != 3 {
				t.Errorf("in bulk: %+v", bulk)
			}
		})
	}
	if b.list.applied != 0 {
		t.Errorf("%d entries were applied", b.list.applied)
	}
}

func TestAdminRevokeSaysAllMistakesAtOnce(t *testing.T) {
	b := newAdminBench(t)
	p := said(t, b.post(`{"kind":"no","issuer":7,"before":"x","note":1,"more":2}`))
	var fields []string
	for _, f := range p.Errors {
		fields = append(fields, f.Field)
	}
	for _, want := range []string{"kind", "issuer", "before", "note", "more"} {
		if !strings.Contains(strings.Join(fields, " "), want) {
			t.Errorf("%s is not named: %+v", want, p.Errors)
		}
	}
}

func TestAdminRevoke(t *testing.T) {
	b := newAdminBench(t)
	now := time.Now()
	exp := now.Add(5 * time.Minute).Truncate(time.Second)
	old := now.Add(-time.Hour).Truncate(time.Second)
	signed := b.iss.Sign(map[string]any{"jti": "j9", "sid": "s9", "sub": "u9", "client_id": "c9", "exp": exp.Unix()})
	nameless := b.iss.Sign(map[string]any{"jti": nil, "exp": exp.Unix()})
	parsed, err := token.Parse(nameless, 1<<14)
	if err != nil {
		t.Fatal(err)
	}
	stale := b.iss.Sign(map[string]any{"sub": "u8", "exp": old.Unix(), "iat": old.Add(-time.Minute).Unix()})
	ahead := b.iss.Sign(map[string]any{"sub": "u7", "iat": now.Add(20 * time.Second).Unix(), "exp": exp.Unix()})
	for _, tt := range []struct {
		name, body, kind, value string
		cutoff                  time.Time // zero: none; one that is near now matches now
		until                   time.Time
	}{
		{"token", `{"kind":"token","issuer":"ISSUER","value":"j1","note":"lost phone"}`, "token", "j1", time.Time{}, now.Add(time.Hour)},
		{"session", `{"kind":"session","issuer":"ISSUER","value":"s1"}`, "session", "s1", time.Time{}, now.Add(time.Hour)},
		{"subject", `{"kind":"subject","issuer":"ISSUER","value":"ann"}`, "subject", "ann", now, now.Add(time.Hour)},
		{"subject before", `{"kind":"subject","issuer":"ISSUER","value":"bob","before":"` + old.Format(time.RFC3339) + `"}`, "subject", "bob", old, now.Add(time.Hour)},
		{"client", `{"kind":"client","issuer":"ISSUER","value":"app"}`, "client", "app", now, now.Add(time.Hour)},
		{"issuer", `{"kind":"issuer","issuer":"ISSUER"}`, "issuer", "", now, now.Add(time.Hour)},
		{"by token", `{"token":"` + signed + `"}`, "token", "j9", time.Time{}, exp},
		{"by token and issuer", `{"issuer":"ISSUER","token":"` + signed + `"}`, "token", "j9", time.Time{}, exp},
		{"session by token", `{"kind":"session","token":"` + signed + `"}`, "session", "s9", time.Time{}, now.Add(time.Hour)},
		{"subject by token", `{"kind":"subject","token":"` + signed + `"}`, "subject", "u9", now, now.Add(time.Hour)},
		{"client by token", `{"kind":"client","token":"` + signed + `"}`, "client", "c9", now, now.Add(time.Hour)},
		{"by token without jti", `{"token":"` + nameless + `"}`, "token", revocation.TokenValue(parsed), time.Time{}, exp},
		{"subject by an expired token", `{"kind":"subject","token":"` + stale + `"}`, "subject", "u8", now, now.Add(time.Hour)},
		{"subject by a token dated ahead", `{"kind":"subject","token":"` + ahead + `"}`, "subject", "u7", now.Add(20 * time.Second), now.Add(time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := b.post(b.asks(tt.body))
			var answer map[string]any
			if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || a.Status != http.StatusOK {
				t.Fatalf("%d %s %v", a.Status, a.Body, err)
			}
			id := revocation.DigestOf(mustKind(t, tt.kind), b.view.issuers[0].name, tt.value)
			if answer["id"] != id.String() || answer["kind"] != tt.kind || answer["issuer"] != b.view.issuers[0].name ||
				answer["durable"] != true || answer["fed"] != true {
				t.Errorf("answer %v", answer)
			}
			e := b.list.entries[id]
			if e.Value != tt.value || e.Via != "admin" || e.By != "192.0.2.7" || time.Since(e.RevokedAt).Abs() > time.Minute {
				t.Errorf("entry %+v", e)
			}
			if strings.Contains(tt.body, "lost phone") != (e.Note == "lost phone") {
				t.Errorf("note %q", e.Note)
			}
			near := func(what string, got, want time.Time, slack time.Duration) {
				if got.IsZero() != want.IsZero() || got.Sub(want).Abs() > slack {
					t.Errorf("%s %v, want %v", what, got, want)
				}
			}
			near("cutoff", e.Cutoff, tt.cutoff, 5*time.Second)
			near("until", e.Until, tt.until, 6*time.Minute)
			if e.Until.Before(tt.until) {
				t.Errorf("until %v is too early", e.Until)
			}
			if tt.name == "subject before" && !e.Cutoff.Equal(old) || tt.name == "subject by a token dated ahead" && e.Cutoff.Before(now.Add(19*time.Second)) {
				t.Errorf("cutoff %v", e.Cutoff)
			}
		})
	}
}

func mustKind(t testing.TB, name string) revocation.Kind {
	t.Helper()
	kind, ok := revocation.ParseKind(name)
	if !ok {
		t.Fatalf("kind %q", name)
	}
	return kind
}

// TestAdminRevokeTakesGenuineTokensAlone: what no configured issuer signed names
// nothing.
func TestAdminRevokeTakesGenuineTokensAlone(t *testing.T) {
	b := newAdminBench(t)
	other := issuertest.New(t)
	good := b.iss.Sign(nil)
	for _, tt := range []struct {
		name, token, kind string
		status            int
		want              string
	}{
		{"no token", "abc", "token", 422, "token_malformed"},
		{"issuer unknown", other.Sign(nil), "token", 422, "iss_unknown"},
		{"forged", other.Sign(map[string]any{"iss": b.iss.URL()}), "token", 422, "kid_unknown"},
		{"signature cut", b.iss.Sign(nil, issuertest.Signature(func(_ string, s []byte) []byte { return s[:100] })), "token", 422, "sig_invalid"},
		{"two parts", good[:strings.LastIndexByte(good, '.')], "token", 422, "token_malformed"},
		{"signature of another", b.iss.Sign(nil, issuertest.Signature(func(_ string, s []byte) []byte { s[9] ^= 1; return s })), "token", 422, "sig_invalid"},
		{"alg none", b.iss.Sign(nil, issuertest.RawHeader(`{"alg":"none"}`)), "token", 422, "alg_not_allowed"},
		{"without exp", b.iss.Sign(map[string]any{"exp": nil}), "token", 422, "exp_missing"},
		{"expired", b.iss.Sign(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "token", 422, "nothing left to revoke"},
		{"logout token", b.iss.Sign(nil, issuertest.Header("typ", "logout+jwt")), "token", 422, "typ_mismatch"},
		{"without sid", b.iss.Sign(nil), "session", 400, "names no session"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := b.post(`{"kind":"` + tt.kind + `","token":"` + tt.token + `"}`)
			p := said(t, a)
			if p.Status != tt.status || len(p.Errors) != 1 || p.Errors[0].Field != "token" || !strings.Contains(p.Errors[0].Detail, tt.want) {
				t.Errorf("%s; want %d %s", a.Body, tt.status, tt.want)
			}
			if len(tt.token) > 10 && strings.Contains(a.Body, tt.token[:10]) {
				t.Errorf("the answer quotes the token: %s", a.Body)
			}
		})
	}
	if p := said(t, b.post(`{"issuer":"https://other.example","token":"`+good+`"}`)); p.Errors[0].Field != "issuer" || p.Status != 400 {
		t.Errorf("another issuer beside a token: %+v", p)
	}
	if b.list.applied != 0 {
		t.Errorf("%d entries were applied", b.list.applied)
	}
}

// TestAdminRevokeWithoutKeys: nobody can tell, and it is not the caller's fault.
func TestAdminRevokeWithoutKeys(t *testing.T) {
	iss := issuertest.New(t)
	signed := iss.Sign(nil)
	iss.Down()
	b := benchWith(t, iss.URL(), jwks.Config{Issuer: iss.URL(), JWKS: iss.KeysURL()})
	a := b.post(`{"token":"` + signed + `"}`)
	p := said(t, a)
	if p.Status != 503 || p.Code != codeNoKeys || a.Header.Get("Retry-After") == "" || !strings.Contains(p.Errors[0].Detail, "revoke by jti") {
		t.Errorf("%s", a.Body)
	}
	if a := b.post(b.asks(`{"kind":"token","issuer":"ISSUER","value":"x"}`)); a.Status != 200 {
		t.Errorf("by jti: %s", a.Body)
	}
}

// TestAdminRevokeThatIsNotDurable is in force, says so and is no success.
func TestAdminRevokeThatIsNotDurable(t *testing.T) {
	b := newAdminBench(t)
	b.list.failure = fmt.Errorf("%w: no space left on device", revocation.ErrNotDurable)
	a := b.post(b.asks(`{"kind":"subject","issuer":"ISSUER","value":"ann"}`))
	p := said(t, a)
	if p.Status != 503 || p.Code != codeNotDurable || p.Revocation == nil || p.Revocation.Durable || p.Revocation.Value != "ann" ||
		!strings.Contains(p.Detail, "no space left") || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s", a.Body)
	}
	if len(b.list.entries) != 1 {
		t.Error("it is not in force")
	}
	if p := said(t, b.postLines(b.asks(`{"kind":"subject","issuer":"ISSUER","value":"bob"}`))); p.Code != codeNotDurable {
		t.Errorf("in bulk: %+v", p)
	}
	if p := said(t, b.send("DELETE", "/jwtgate/revocations/"+revocation.DigestOf(revocation.Subject, b.iss.URL(), "ann").String(), "", "")); p.Code != codeNotDurable {
		t.Errorf("undoing: %+v", p)
	}
}

// TestAdminRequestsThatAreNotServed covers paths, methods, types and sizes.
func TestAdminRequestsThatAreNotServed(t *testing.T) {
	b := newAdminBench(t)
	body := b.asks(`{"kind":"token","issuer":"ISSUER","value":"x"}`)
	for _, tt := range []struct {
		name, method, path, contentType, body string
		status                                int
		code                                  adminCode
	}{
		{"form", "POST", "/jwtgate/revocations", "application/x-www-form-urlencoded", body, 415, codeMediaType},
		{"text, as a page may send it", "POST", "/jwtgate/revocations", "text/plain;application/json", body, 415, codeMediaType},
		{"no type", "POST", "/jwtgate/revocations", "", body, 415, codeMediaType},
		{"query as a form", "POST", "/jwtgate/revocations/query", "text/plain", `{}`, 415, codeMediaType},
		{"get", "GET", "/jwtgate/revocations", "", "", 405, codeMethod},
		{"put", "PUT", "/jwtgate/revocations", "application/json", body, 405, codeMethod},
		{"post to count", "POST", "/jwtgate/revocations/count", "application/json", `{}`, 405, codeMethod},
		{"get of one", "GET", "/jwtgate/revocations/AAAAAAAAAAAAAAAAAAAAAA", "", "", 405, codeMethod},
		{"no such path", "GET", "/jwtgate/revocation", "", "", 404, codeNotFound},
		{"deep path", "DELETE", "/jwtgate/revocations/a/b", "", "", 404, codeNotFound},
		{"large", "POST", "/jwtgate/revocations", "application/json", strings.Repeat(" ", maxAdminBody+1), 413, codeTooLarge},
		{"large import", "POST", "/jwtgate/revocations", "application/x-ndjson", strings.Repeat("\n", maxImportBody+1), 413, codeTooLarge},
		{"no id", "DELETE", "/jwtgate/revocations/xyz", "", "", 404, codeNotFound},
		{"id of nothing", "DELETE", "/jwtgate/revocations/AAAAAAAAAAAAAAAAAAAAAA", "", "", 404, codeNotFound},
		{"loose id", "DELETE", "/jwtgate/revocations/AAAAAAAAAAAAAAAAAAAAAB", "", "", 404, codeNotFound},
		{"undoing with a wrong body", "DELETE", "/jwtgate/revocations/AAAAAAAAAAAAAAAAAAAAAA", "application/json", `{"why":"x"}`, 400, codeInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := b.send(tt.method, tt.path, tt.contentType, tt.body)
			if p := said(t, a); a.Status != tt.status || p.Code != tt.code {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if tt.status == 405 && a.Header.Get("Allow") == "" {
				t.Error("no Allow")
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Error("it may be stored")
			}
		})
	}
	if b.list.applied != 0 {
		t.Errorf("%d entries were applied", b.list.applied)
	}
}

// TestAdminAsksAgainWhenAReloadClosedTheList: between question and answer, a
// reload may have taken the list away.
func TestAdminAsksAgainWhenAReloadClosedTheList(t *testing.T) {
	b := newAdminBench(t)
	opened := 0
	api := &AdminAPI{open: func() (*adminView, error) {
		opened++
		v := &adminView{list: b.list, issuers: b.view.issuers, circumstances: b.view.circumstances, logger: b.view.logger, now: time.Now, release: func() {}}
		if opened == 1 {
			v.list = closedList{b.list}
		}
		return v, nil
	}}
	mux := http.NewServeMux()
	for _, route := range api.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { _ = route.Handler.ServeHTTP(w, r) })
	}
	b.mux = mux
	if a := b.post(b.asks(`{"kind":"token","issuer":"ISSUER","value":"x"}`)); a.Status != 200 || opened != 2 {
		t.Errorf("%d after %d openings: %s", a.Status, opened, a.Body)
	}
}
