package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/token"
)

// observing loads a gate that observes, with more settings of it.
func (g *adminGateway) observing(more string) {
	g.t.Helper()
	g.mustLoadApp(fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["api"]}], "revocation": {"journal": "off"}}`, g.iss.URL()),
		`{"handler": "jwtgate", "observe": true`+more+`},`)
	g.ready()
}

func (g *adminGateway) observed() *observeReport {
	g.t.Helper()
	a := g.admin("GET", "/jwtgate/observe-report", "", nil)
	r := new(observeReport)
	if err := json.Unmarshal([]byte(a.Body), r); err != nil || a.Status != 200 {
		g.t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return r
}

// TestObserveReport: what would be refused is listed by reason, issuer and
// client, the client of a genuine token alone, and nobody's subject.
func TestObserveReport(t *testing.T) {
	g := newAdminGateway(t)
	g.observing("")
	began := time.Now()
	sign := func(claims map[string]any, opts ...issuertest.Option) string {
		t.Helper()
		claims["sub"] = "the-subject"
		return g.iss.Sign(claims, opts...)
	}
	for range 6 {
		g.mustUse(sign(map[string]any{"client_id": "web"}))
	}
	for range 3 {
		g.mustUse(sign(map[string]any{"aud": "other", "client_id": "app-one", "azp": "not this"}))
	}
	for range 2 {
		g.mustUse(sign(map[string]any{"aud": "other", "azp": "app\x1b[31m-two\u202e" + strings.Repeat("é", 200)}))
	}
	forger := issuertest.New(t)
	g.mustUse(forger.Sign(map[string]any{"iss": g.iss.URL(), "client_id": "forged"}, issuertest.Header("kid", g.iss.Key().ID())))
	g.mustUse(sign(map[string]any{"client_id": "expired", "exp": time.Now().Add(-time.Hour).Unix()}))
	g.mustUse("not.a.token")
	raw := g.admin("GET", "/jwtgate/observe-report", "", nil).Body
	for _, hidden := range []string{"the-subject", "forged", "expired\"", "not this", "\\u001b", "\u202e"} {
		if strings.Contains(strings.ReplaceAll(raw, "token_expired", ""), hidden) {
			t.Errorf("%q is in %s", hidden, raw)
		}
	}
	r := g.observed()
	if len(r.Gates) != 1 || r.Since.Before(began.Add(-time.Minute)) || r.Since.After(time.Now()) {
		t.Fatalf("%s", raw)
	}
	gate := r.Gates[0]
	if gate.WouldPass != 6 || gate.Unlisted != 0 || len(gate.WouldRefuse) != 5 || gate.refused() != 8 || gate.Route == "" {
		t.Fatalf("%s", raw)
	}
	for i, want := range []struct {
		reason, client string
		count          uint64
	}{{"aud_mismatch", "app-one", 3}, {"aud_mismatch", "app\uFFFD[31m-two\uFFFDé", 2}, {"exp_passed", "", 1}, {"sig_invalid", "", 1}, {"token_malformed", "", 1}} {
		row := gate.WouldRefuse[i]
		if row.Reason != want.reason || !strings.HasPrefix(row.Client, want.client) || want.client == "" && row.Client != "" || row.Count != want.count ||
			row.Code == "" || row.FirstAt.Before(began.Add(-time.Second)) || row.LastAt.Before(row.FirstAt) || len(row.Client) > maxObservedClient+8 {
			t.Errorf("%d: %+v, want %+v", i, row, want)
		}
		if issuer := row.Issuer; want.reason != "token_malformed" && issuer != g.iss.URL() {
			t.Errorf("issuer %q", issuer)
		}
	}
	out := g.must("", "observe-report")
	if !strings.HasPrefix(out, "Enforcing now would refuse 8 of 14 requests (57.1 %).\n") || strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("%q", out)
	}
	t.Logf("\n%s", out)
	for limit, code := range map[string]int{"60%": 0, "57": 1, "0": 1, "100 %": 0} {
		if _, _, err := g.run("", "observe-report", "--fail-above", limit); cli.Code(err) != code {
			t.Errorf("--fail-above %s: %v", limit, err)
		}
	}
	if out := g.must("", "observe-report", "--json", "--reset"); !strings.Contains(out, `"would_pass":6`) {
		t.Errorf("%s", out)
	}
	if r := g.observed(); len(r.Gates) != 1 || r.Gates[0].WouldPass != 0 || len(r.Gates[0].WouldRefuse) != 0 || !r.Since.After(began) {
		t.Errorf("after --reset: %+v", r)
	}
	if out, _, err := g.run("", "observe-report", "--fail-above", "100%"); cli.Code(err) != cli.Refused || !strings.HasPrefix(out, "No request yet.\n") {
		t.Errorf("nothing to judge by: %v\n%s", err, out)
	}
}

func (g *adminGateway) mustUse(token string) {
	g.t.Helper()
	if got := g.use(token); got != "in" {
		g.t.Fatalf("a gate that observes answers %s", got)
	}
}

// TestObserveReportOverReloads: counts are kept as long as the gate asks the
// same, wherever the reload came from, and begin again when it does not.
func TestObserveReportOverReloads(t *testing.T) {
	g := newAdminGateway(t)
	g.observing("")
	g.mustUse("not.a.token")
	g.observing("")
	g.mustUse("not.a.token")
	if r := g.observed(); r.Gates[0].refused() != 2 {
		t.Errorf("after a reload: %+v", r)
	}
	if err := g.loadApp(`{"issuers": 7}`, `{"handler": "jwtgate"},`); err == nil {
		t.Fatal("a bad configuration loads")
	}
	if r := g.observed(); r.Gates[0].refused() != 2 {
		t.Errorf("after a reload that failed: %+v", r)
	}
	g.observing(`, "require": [{"kind": "scope", "values": ["x"]}]`)
	if r := g.observed(); r.Gates[0].refused() != 0 {
		t.Errorf("with other rules: %+v", r)
	}
	g.mustLoadApp(fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["api"]}], "revocation": {"journal": "off"}}`, g.iss.URL()), `{"handler": "jwtgate"},`)
	g.ready()
	if r := g.observed(); len(r.Gates) != 0 || r.Gates == nil {
		t.Errorf("without a gate that observes: %+v", r)
	}
	if out := g.must("", "observe-report"); !strings.HasPrefix(out, "No gate observes.") {
		t.Errorf("%s", out)
	}
	if a := g.admin(http.MethodDelete, "/jwtgate/observe-report", "", nil); a.Status != 204 {
		t.Errorf("DELETE: %d", a.Status)
	}
	observedPool.Range(func(key, _ any) bool { t.Errorf("%v is left", key); return true })
}

// TestObservationsAreBounded: kinds beyond the limit are counted, not listed.
func TestObservationsAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	o := newObservations(func() time.Time { return now })
	for i := range 2 * maxObserved {
		o.refuse(observedRefusal{token.ScopeMissing, "i", fmt.Sprint(i)})
	}
	now = now.Add(time.Minute)
	o.refuse(observedRefusal{token.ScopeMissing, "i", "0"})
	r := o.report()
	if len(r.WouldRefuse) != maxObserved || r.Unlisted != maxObserved || r.refused() != 2*maxObserved+1 ||
		r.WouldRefuse[0].Client != "0" || r.WouldRefuse[0].Count != 2 || r.WouldRefuse[0].LastAt.Sub(r.WouldRefuse[0].FirstAt) != time.Minute {
		t.Errorf("%+v", r)
	}
	other := newObservations(func() time.Time { return now })
	other.refuse(observedRefusal{token.ScopeMissing, "i", "0"})
	other.refuse(observedRefusal{token.ScopeMissing, "i", "new"})
	other.passed.Add(5)
	o.add(other)
	if r := o.report(); r.WouldPass != 5 || r.WouldRefuse[0].Count != 3 || r.Unlisted != maxObserved+1 || len(other.report().WouldRefuse) != 0 {
		t.Errorf("merged: %+v", r)
	}
	for _, client := range []string{strings.Repeat("é", 64), strings.Repeat("é", 65), "a" + strings.Repeat("é", 100), ""} {
		got := observedClient(client)
		if want := len(client) <= maxObservedClient; (got == client) != want || !want && (!strings.HasSuffix(got, "…") || strings.Contains(got, "\uFFFD")) {
			t.Errorf("%q becomes %q", client, got)
		}
	}
}
