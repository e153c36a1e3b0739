package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// documented is when the outputs in the documents were printed.
var documented = time.Date(2026, 1, 31, 3, 12, 0, 0, time.UTC)

const documentedIssuer, documentedPartner = "https://id.example.com", "https://login.partner.example"

// steady puts what differs from run to run in the place of what was measured.
func steady(s *gatewayStatus) *gatewayStatus {
	at := func(d time.Duration) *time.Time { t := documented.Add(d); return &t }
	s.Time, s.StartedAt, s.Version, s.Caddy = documented, *at(-76 * time.Hour), "v1.0.0", "v2.11.9"
	s.Decisions = slices.DeleteFunc(s.Decisions, func(d decisionStatus) bool { return d.Issuer != documentedIssuer })
	for n := range s.Issuers {
		i := &s.Issuers[n]
		if i.Issuer == documentedPartner {
			i.LastError = i.Location + ": DNS: no such host login.partner.example"
			i.LastErrorAt, i.NextRefresh = at(-2*time.Second), at(3*time.Second)
			continue
		}
		i.Location = documentedIssuer + "/keys"
		i.FetchedAt, i.NextRefresh, i.UsableUntil = at(-4*time.Minute), at(4*time.Minute), at(24*time.Hour)
		for k := range i.Keys {
			i.Keys[k].ID, i.Keys[k].SeenAt = "2026-01", at(-76*time.Hour)
			i.Keys[k].Thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" // of RFC 7638 section 3.1
		}
	}
	s.Revocations.Journal.Path, s.Revocations.Journal.Bytes = "/var/lib/caddy/.local/share/caddy/jwtgate/revocations.db", 4<<20+1<<18
	s.Cache.Entries, s.Cache.Bytes, s.Cache.Hits, s.Cache.Misses = 4, 11<<10, 8, 4
	s.judge()
	return s
}

// TestStatusInTheDocs: docs/operate.md shows what a running gateway answers, but
// for times, sizes and names.
func TestStatusInTheDocs(t *testing.T) {
	g := newAdminGateway(t)
	load := func(more string) {
		g.mustLoadApp(fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["api"], "jwks": %q}%s], "revocation": {"journal": %q}}`,
			documentedIssuer, g.iss.KeysURL(), more, g.dir+"/list.db"), `{"handler": "jwtgate"},`)
		g.ready()
	}
	load("")
	sign := func(claims map[string]any) string {
		claims["iss"] = documentedIssuer
		return g.iss.Sign(claims)
	}
	for claims, n := range map[*map[string]any]int{{}: 9, {"exp": time.Now().Add(-time.Hour).Unix()}: 2, {"aud": "other"}: 1} {
		for range n {
			g.use(sign(*claims))
		}
	}
	g.must("", "revoke", "--issuer", documentedIssuer, "--session", "x")
	g.must("", "revoke", "--issuer", documentedIssuer, "--jti", "x")
	shown := func(s *gatewayStatus) string {
		var b bytes.Buffer
		if err := steady(s).print(&b, false); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	inDocs(t, "$ caddy jwtgate status\n"+shown(g.statusOf()))
	load(fmt.Sprintf(`, {"issuer": %q, "audience": ["api"]}`, documentedPartner))
	var s *gatewayStatus
	eventually(t, "the partner fails", func() bool {
		s = g.statusOf()
		return len(s.Issuers) == 2 && s.Issuers[1].LastErrorFor != ""
	})
	s.Issuers[1].LastErrorFor = "dns" // where this test runs, no resolver may answer at all
	text := shown(s)
	inDocs(t, "$ caddy jwtgate status\n"+text[:strings.Index(text, "\n\n"+documentedIssuer)]+"\n")

	g.iss.Rotate()
	var answer refreshAnswer
	a := g.admin("POST", "/jwtgate/refresh", "", nil)
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || len(answer.Issuers) != 2 || len(answer.Issuers[0].Added) != 1 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	answer.Issuers[0].Added[0], answer.Issuers[1].Error = "2026-02", s.Issuers[1].LastError
	inDocs(t, "$ caddy jwtgate refresh\n"+answer.text())
}

// TestObserveReportInTheDocs is the same for the report.
func TestObserveReportInTheDocs(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoadApp(fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["orders-api"], "jwks": %q}], "revocation": {"journal": "off"}}`, documentedIssuer, g.iss.KeysURL()),
		`{"handler": "subroute", "routes": [{"match": [{"host": ["api.example.com"], "path": ["/orders*"]}], "handle": [{"handler": "jwtgate", "observe": true}]}]},`)
	g.ready()
	ask := func(n int, claims map[string]any, opts ...issuertest.Option) {
		t.Helper()
		claims["iss"] = documentedIssuer
		for range n {
			r, err := http.NewRequest("GET", "http://"+g.address+"/orders/1", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "api.example.com"
			if claims["none"] == nil {
				r.Header.Set("Authorization", "Bearer "+g.iss.Sign(claims, opts...))
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != 200 {
				t.Fatalf("observing: %d", response.StatusCode)
			}
		}
	}
	ask(188, map[string]any{"aud": "orders-api"})
	ask(7, map[string]any{"aud": "account", "azp": "old-ios-app"})
	ask(3, map[string]any{"none": true})
	ask(2, map[string]any{"aud": "orders-api", "exp": time.Now().Add(-time.Hour).Unix()})
	report := g.observed()
	report.Gates[0].Since = documented.Add(-50 * time.Hour)
	for i := range report.Gates[0].WouldRefuse {
		report.Gates[0].WouldRefuse[i].LastAt = documented.Add(-time.Duration(i*i+1) * 7 * time.Minute)
	}
	var b bytes.Buffer
	if err := report.print(&b, documented); err != nil {
		t.Fatal(err)
	}
	inDocs(t, "$ caddy jwtgate observe-report\n"+b.String())
}

// jsonMembers lists the names of the members of v.
func jsonMembers(v any) []string {
	var names []string
	typ := reflect.TypeOf(v)
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// inDocs looks for an output in docs/operate.md.
func inDocs(t *testing.T, output string) {
	t.Helper()
	content, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(output) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	block := "```text\n" + strings.Join(lines, "\n") + "\n```\n"
	if !strings.Contains(string(content), block) {
		t.Errorf("docs/operate.md does not show this:\n%s", block)
	}
}

// TestStatusMembersAreDocumented: every member of the answers is in
// docs/operate.md.
func TestStatusMembersAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{gatewayStatus{}, statusProblem{}, issuerStatus{}, keyStatus{}, cacheStatus{}, revocationStatus{}, journalStatus{}, feedStatus{},
		streamStatus{}, decisionStatus{}, refreshedIssuer{}, observeReport{}, observeGate{}, observedRow{}} {
		for _, name := range jsonMembers(v) {
			if !strings.Contains(string(content), "`"+name+"`") && !strings.Contains(string(content), `"`+name+`"`) {
				t.Errorf("the member %s of %T is not in docs/operate.md", name, v)
			}
		}
	}
}
