package caddymodule

import (
	"encoding/json"
	"strings"
	"testing"
)

// explained asks the admin endpoint of g.
func (g *adminGateway) explained(order map[string]any) *explanation {
	g.t.Helper()
	body, err := json.Marshal(order)
	if err != nil {
		g.t.Fatal(err)
	}
	a := g.admin("POST", "/jwtgate/explain", "application/json", strings.NewReader(string(body)))
	x := new(explanation)
	if err := json.Unmarshal([]byte(a.Body), x); err != nil || a.Status != 200 {
		g.t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		g.t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
	}
	return x
}

func TestAdminExplain(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoad(true)
	good := g.iss.Sign(nil)
	x := g.explained(map[string]any{"token": "\"Bearer " + good + "\"\n"})
	b, _ := json.MarshalIndent(x, "", " ")
	t.Logf("%s", b)
	x = g.explained(map[string]any{"token": g.iss.Sign(map[string]any{"aud": "other", "exp": 1795240000})})
	b, _ = json.MarshalIndent(x, "", " ")
	t.Logf("%s", b)
}
