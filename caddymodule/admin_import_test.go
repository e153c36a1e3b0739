package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// closedList is a list that a reload has closed.
type closedList struct{ *fakeList }

func (closedList) Revoke(context.Context, revocation.Entry) (revocation.Result, error) {
	return revocation.Result{}, revocation.ErrClosed
}

// exportedLine is a line as an export writes it.
func exportedLine(t testing.TB, e revocation.Entry) string {
	t.Helper()
	line, err := json.Marshal(e.JSON())
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestAdminImport(t *testing.T) {
	b := newAdminBench(t)
	now := time.Now().UTC().Truncate(time.Second)
	foreign := revocation.Entry{Kind: revocation.Subject, Issuer: "https://elsewhere.example", Value: "ann", Cutoff: now.Add(-time.Minute),
		Until: now.Add(time.Hour), RevokedAt: now.Add(-time.Minute), Via: "logout", By: "198.51.100.1", Note: "n"}
	undone := foreign
	undone.Value, undone.UndoneAt = "bob", now.Add(-time.Second)
	over := foreign
	over.Value, over.Until = "eve", now.Add(-time.Second)
	a := b.postLines(exportedLine(t, foreign), exportedLine(t, undone), exportedLine(t, over), "  ",
		b.asks(`{"kind":"session","issuer":"ISSUER","value":"s1","note":"x"}`), b.asks(`{"token":"`+b.iss.Sign(map[string]any{"jti": "j1"})+`"}`)+"\r", "")
	var answer importAnswer
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if answer != (importAnswer{Lines: 5, Changed: 4, Expired: 1, Durable: true, Fed: true}) {
		t.Errorf("%+v", answer)
	}
	for _, want := range []revocation.Entry{foreign, undone} {
		if got := b.list.entries[want.Digest()]; got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	own := b.list.entries[revocation.DigestOf(revocation.Session, b.iss.URL(), "s1")]
	if own.Via != "import" || own.By != "192.0.2.7" || own.Note != "x" || !own.InForce() {
		t.Errorf("%+v", own)
	}
	if _, ok := b.list.entries[revocation.DigestOf(revocation.Token, b.iss.URL(), "j1")]; !ok {
		t.Error("the token was not revoked")
	}
}

// TestAdminImportIsAllOrNothing: one bad line, and no other is applied.
func TestAdminImportIsAllOrNothing(t *testing.T) {
	b := newAdminBench(t)
	good := b.asks(`{"kind":"subject","issuer":"ISSUER","value":"%d"}`)
	now := time.Now().UTC()
	export := revocation.Entry{Kind: revocation.Subject, Issuer: "i", Value: "ann", Cutoff: now, Until: now.Add(time.Hour), RevokedAt: now, Via: "admin"}
	damaged := func(old, replacement string) string {
		line := exportedLine(t, export)
		if !strings.Contains(line, old) {
			t.Fatalf("no %s in %s", old, line)
		}
		return strings.Replace(line, old, replacement, 1)
	}
	later := now.Add(time.Hour).Format(time.RFC3339)
	for name, bad := range map[string]string{
		"no JSON":             `kind: subject`,
		"id of another":       damaged(`"value":"ann"`, `"value":"bob"`),
		"before in an export": damaged(`"via"`, `"before":"`+now.Format(time.RFC3339)+`","via"`),
		"no until":            `{"kind":"token","issuer":"i","value":"x","revoked_at":"2026-01-01T00:00:00Z"}`,
		"bad time":            damaged(`"until":"`, `"until":"x`),
		"cutoff ahead":        damaged(`"cutoff":"`+now.Format(time.RFC3339Nano), `"cutoff":"`+later),
		"undone ahead":        damaged(`"via"`, `"undone_at":"`+later+`","via"`),
		"unknown issuer":      `{"kind":"subject","issuer":"https://typo.example","value":"x"}`,
		"long line":           `{"kind":"subject","issuer":"i","value":"` + strings.Repeat("x", maxImportLine) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := said(t, b.postLines(fmt.Sprintf(good, 1), bad, fmt.Sprintf(good, 2)))
			if p.Status != 400 || len(p.Errors) == 0 || p.Errors[0].Line != 2 || p.Detail != "nothing was applied" {
				t.Errorf("%+v", p)
			}
		})
	}
	many := make([]string, maxImportLines+1)
	for i := range many {
		many[i] = fmt.Sprintf(good, i)
	}
	if p := said(t, b.postLines(many...)); p.Status != 413 || !strings.Contains(p.Detail, "10000 lines") {
		t.Errorf("%+v", p)
	}
	for i := range many {
		many[i] = "x"
	}
	if p := said(t, b.postLines(many[:300]...)); p.ErrorCount != 300 || len(p.Errors) != maxFaults {
		t.Errorf("%d of %d faults", len(p.Errors), p.ErrorCount)
	}
	if b.list.applied != 0 {
		t.Errorf("%d entries were applied", b.list.applied)
	}
}

// TestAdminOrderOutlivesAnUndoing that a faster clock dated ahead.
func TestAdminOrderOutlivesAnUndoing(t *testing.T) {
	b := newAdminBench(t)
	now := time.Now()
	e := revocation.Entry{Kind: revocation.Session, Issuer: b.iss.URL(), Value: "s", Until: now.Add(time.Hour), RevokedAt: now, UndoneAt: now.Add(time.Minute), Via: "admin"}
	b.list.entries[e.Digest()] = e
	if a := b.postLines(b.asks(`{"kind":"session","issuer":"ISSUER","value":"s"}`)); a.Status != 200 {
		t.Fatal(a.Body)
	}
	if e := b.list.entries[e.Digest()]; !e.InForce() {
		t.Errorf("%+v", e)
	}
}

func TestAdminQueryCountUndo(t *testing.T) {
	b := newAdminBench(t)
	for _, body := range []string{
		`{"kind":"token","issuer":"ISSUER","value":"j1"}`, `{"kind":"token","issuer":"ISSUER","value":"j2"}`, `{"kind":"subject","issuer":"ISSUER","value":"<ann>"}`,
	} {
		if a := b.post(b.asks(body)); a.Status != 200 {
			t.Fatal(a.Body)
		}
	}
	query := func(body string) []revocation.EntryJSON {
		t.Helper()
		a := b.send("POST", "/jwtgate/revocations/query", "application/json", b.asks(body))
		var page queryAnswer
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil || a.Status != 200 || page.Revocations == nil {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return page.Revocations
	}
	if all := query(`{}`); len(all) != 3 {
		t.Errorf("%d entries", len(all))
	}
	exact := query(`{"kind":"subject","issuer":"ISSUER","value":"<ann>"}`)
	if len(exact) != 1 || exact[0].Value != "<ann>" || exact[0].Via != "admin" {
		t.Fatalf("%+v", exact)
	}
	for body, field := range map[string]string{
		`{"kind":"x"}`: "kind", `{"limit":0}`: "limit", `{"limit":10001}`: "limit", `{"limit":"5"}`: "limit", `{"limit":1.5}`: "limit",
		`{"limit":1e2}`: "limit", `{"undone":1}`: "undone", `{"cursor":7}`: "cursor", `{"x":1}`: "x",
	} {
		if p := said(t, b.send("POST", "/jwtgate/revocations/query", "application/json", body)); p.Status != 400 || p.Errors[0].Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	a := b.send("GET", "/jwtgate/revocations/count", "", "")
	if want := `{"total":3,"kinds":{"client":0,"issuer":0,"session":0,"subject":1,"token":2},"undone":7}`; strings.TrimSpace(a.Body) != want {
		t.Errorf("count %s", a.Body)
	}
	if a := b.send("DELETE", "/jwtgate/revocations/"+exact[0].ID, "application/json", `{"note":"mistake"}`); a.Status != 204 || a.Body != "" {
		t.Errorf("undo: %d %s", a.Status, a.Body)
	}
	if e := b.list.entries[revocation.DigestOf(revocation.Subject, b.iss.URL(), "<ann>")]; e.InForce() || e.Note != "mistake" || e.By != "192.0.2.7" || e.Via != "admin" {
		t.Errorf("%+v", e)
	}
	if a := b.send("DELETE", "/jwtgate/revocations/"+exact[0].ID, "", ""); a.Status != 404 {
		t.Errorf("undone twice: %d", a.Status)
	}
	if left := query(`{"kind":"subject","issuer":"ISSUER","value":"<ann>"}`); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	if left := query(`{"kind":"subject","issuer":"ISSUER","value":"<ann>","undone":true}`); len(left) != 1 {
		t.Errorf("%+v", left)
	}
}

// TestAdminExportIsTakenByImport, with angle brackets and all.
func TestAdminExportIsTakenByImport(t *testing.T) {
	from, to := newAdminBench(t), newAdminBench(t)
	for i := range 50 {
		if a := from.post(from.asks(fmt.Sprintf(`{"kind":"subject","issuer":"ISSUER","value":"<&\u2028 %d","note":"\u0000"}`, i))); a.Status != 200 {
			t.Fatal(a.Body)
		}
	}
	id := revocation.DigestOf(revocation.Subject, from.iss.URL(), "<&\u2028 7")
	if a := from.send("DELETE", "/jwtgate/revocations/"+id.String(), "", ""); a.Status != 204 {
		t.Fatal(a.Body)
	}
	export := from.send("GET", "/jwtgate/revocations/export", "", "")
	if export.Header.Get("Content-Type") != "application/x-ndjson" || strings.Count(export.Body, "\n") != 50 {
		t.Fatalf("%v %s", export.Header, export.Body)
	}
	if a := to.postLines(export.Body); a.Status != 200 {
		t.Fatal(a.Body)
	}
	for id, e := range from.list.entries {
		if got := to.list.entries[id]; got.JSON() != e.JSON() {
			t.Errorf("got  %+v\nwant %+v", got, e)
		}
	}
}

// slowList exports at the pace of a slow reader.
type slowList struct {
	*fakeList
	pace time.Duration
	fail bool
}

func (l *slowList) Export(ctx context.Context, _ bool, yield func(*revocation.Entry) error) error {
	e := revocation.Entry{Kind: revocation.Session, Issuer: "i", Value: strings.Repeat("v", 1000), Until: time.Now().Add(time.Hour), RevokedAt: time.Now(), Via: "admin"}
	for i := range 300 {
		if i%30 == 0 {
			time.Sleep(l.pace)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(&e); err != nil {
			return err
		}
	}
	if l.fail {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// TestAdminExportOutlastsTheReadTimeout of Caddy's admin server, and breaks the
// connection when it cannot be finished.
func TestAdminExportOutlastsTheReadTimeout(t *testing.T) {
	b := newAdminBench(t)
	server := httptest.NewUnstartedServer(b.mux)
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	export := func() (int, error) {
		response, err := http.Get(server.URL + "/jwtgate/revocations/export")
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return strings.Count(string(body), "\n"), err
	}
	b.view.list = &slowList{fakeList: b.list, pace: 40 * time.Millisecond}
	if lines, err := export(); lines != 300 || err != nil {
		t.Errorf("%d lines, %v", lines, err)
	}
	b.view.list = &slowList{fakeList: b.list, fail: true}
	if lines, err := export(); err == nil {
		t.Errorf("an export that failed looks whole: %d lines", lines)
	}
}
