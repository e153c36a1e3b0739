package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/token"
)

func TestAdminReady(t *testing.T) {
	b := newAdminBench(t)
	if a := b.send("GET", "/jwtgate/ready", "", ""); a.Status != 200 || strings.TrimSpace(a.Body) != `{"ready":true}` {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	unreachable := benchWith(t, "http://127.0.0.1:1", jwks.Config{Issuer: "http://127.0.0.1:1", JWKS: "http://127.0.0.1:1/keys"})
	none := unreachable.send("GET", "/jwtgate/ready", "", "")
	if p := said(t, none); p.Status != 503 || len(p.Reasons) != 1 || p.Reasons[0] != "no issuer has usable keys" || len(p.Degraded) != 1 {
		t.Errorf("%s", none.Body)
	}
	b.view.issuers = append(b.view.issuers, unreachable.view.issuers...)
	a := b.send("GET", "/jwtgate/ready", "", "")
	var state readiness
	if err := json.Unmarshal([]byte(a.Body), &state); err != nil || a.Status != 200 || !state.Ready || len(state.Degraded) != 1 ||
		state.Degraded[0] != (degradedIssuer{"http://127.0.0.1:1", "keys_never_obtained"}) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	b.list.ready = token.Refuse(token.RevocationLoading, "", "")
	a = b.send("GET", "/jwtgate/ready", "", "")
	p := said(t, a)
	if p.Status != 503 || p.Code != codeNotReady || p.Ready == nil || *p.Ready || len(p.Reasons) != 1 || !strings.Contains(p.Reasons[0], "3 of 10") {
		t.Errorf("%s", a.Body)
	}
	for path, method := range map[string]string{"query": "POST", "count": "GET", "export": "GET", "AAAAAAAAAAAAAAAAAAAAAA": "DELETE"} {
		if p := said(t, b.send(method, "/jwtgate/revocations/"+path, "application/json", "{}")); path != "AAAAAAAAAAAAAAAAAAAAAA" && (p.Status != 503 || p.Code != codeLoading) {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p := said(t, b.send("DELETE", "/jwtgate/revocations/AAAAAAAAAAAAAAAAAAAAAA", "", "")); p.Code != codeLoading {
		t.Errorf("undo: %+v", p)
	}
	// A revocation does not wait for the list.
	if a := b.post(b.asks(`{"kind":"token","issuer":"ISSUER","value":"x"}`)); a.Status != 200 {
		t.Errorf("revoke: %s", a.Body)
	}
}

// FuzzAdminRevoke: whatever comes is answered, and an entry that comes of it is
// whole.
func FuzzAdminRevoke(f *testing.F) {
	b := newAdminBench(f)
	for _, seed := range []string{
		`{"kind":"token","issuer":"ISSUER","value":"x"}`, `{"kind":"subject","issuer":"ISSUER","value":"x","before":"2026-01-31T13:45:00Z","note":"n"}`,
		`{"kind":"issuer","issuer":"ISSUER"}`, `{"token":"eyJhbGciOiJub25lIn0.eyJpc3MiOiJJU1NVRVIifQ.AA"}`, "{}\n{}", `{"kind":"token","issuer":"ISSUER","value":"x","until":"2030-01-01T00:00:00Z","revoked_at":"2020-01-01T00:00:00Z","via":"admin"}`,
		`{"a":{"b":[1,2,{"c":null}]}}`, `[`, "\x00", `{"kind":"token","issuer":"ISSUER","value":"\ud800"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b.t = t
		for _, contentType := range []string{"application/json", "application/x-ndjson"} {
			clear(b.list.entries)
			b.list.applied = 0
			a := b.send("POST", "/jwtgate/revocations", contentType, b.asks(body))
			switch {
			case a.Status == 200:
				for id, e := range b.list.entries {
					if err := e.Validate(); err != nil || id != e.Digest() || e.Via == "" {
						t.Errorf("entry %+v: %v", e, err)
					}
				}
			case a.Status >= 500 && a.Status != 503:
				t.Errorf("%d %s", a.Status, a.Body)
			default:
				said(t, a)
				if b.list.applied > 0 {
					t.Errorf("%d entries of a refused request were applied: %s", b.list.applied, a.Body)
				}
			}
		}
	})
}

// TestEveryAdminCodeIsDocumented under the anchor that its type names.
func TestEveryAdminCodeIsDocumented(t *testing.T) {
	content, err := os.ReadFile("../docs/revocations.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, known := range adminCodes {
		if !strings.Contains(string(content), fmt.Sprintf("\n### `%s`\n\n%d.", code, known.status)) {
			t.Errorf("%s is not in docs/revocations.md", code)
		}
	}
	for _, name := range slices.Concat(askedMembers, exportedOnly, []string{"undone", "cursor", "limit"}) {
		if !strings.Contains(string(content), "`"+name+"`") {
			t.Errorf("the member %s is not in docs/revocations.md", name)
		}
	}
}
