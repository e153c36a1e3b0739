package caddymodule

import (
	"encoding/json"
	"slices"
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
	if token, _ := order["token"].(string); token != "" && strings.Contains(a.Body, strings.Trim(token, "\"\n ")) {
		g.t.Errorf("the answer repeats the token: %s", a.Body)
	}
	return x
}

func TestAdminExplain(t *testing.T) {
	g := newAdminGateway(t)
	g.mustLoad(true)
	good := g.iss.Sign(map[string]any{"sub": "alice", "email": "alice@example.com"})

	x := g.explained(map[string]any{"token": "\"Bearer " + good + "\"\n"})
	if !x.Allowed || x.Verdict != "allowed" || x.Answer != nil || x.End == nil || x.End.Handler != "static_response" || len(x.Gates) != 1 || len(x.Warnings) != 3 {
		t.Errorf("%+v", x)
	}
	if string(x.Claims["email"]) != `"string"` || string(x.Claims["exp"]) != `"number"` || x.Token == nil || !x.Token.Verified {
		t.Errorf("claims %s, token %+v", x.Claims, x.Token)
	}
	if x = g.explained(map[string]any{"token": good, "show_claims": true}); string(x.Claims["email"]) != `"alice@example.com"` {
		t.Errorf("claims %s", x.Claims)
	}

	x = g.explained(map[string]any{"token": g.iss.Sign(map[string]any{"aud": "other", "exp": 1})})
	var failed []string
	for _, s := range x.Gates[0].Steps {
		if s.Result == "fail" {
			failed = append(failed, s.Step)
		}
	}
	if x.Allowed || x.Gates[0].Reason != "exp_passed" || x.Gates[0].Code != "token_expired" || !slices.Equal(failed, []string{"expiry", "audience"}) {
		t.Errorf("%v %+v", failed, x.Gates)
	}
	if x.Answer == nil || x.Answer.Status != 401 || x.Answer.Code != "token_expired" || x.Answer.Action != "refresh" || !strings.Contains(x.Answer.Body, `"code":"token_expired"`) {
		t.Errorf("%+v", x.Answer)
	}
	if x = g.explained(map[string]any{}); x.Verdict != "refused" || x.Gates[0].Reason != "token_missing" || x.Token != nil {
		t.Errorf("%+v", x)
	}
	if x = g.explained(map[string]any{"headers": map[string][]string{"Authorization": {"Bearer " + good, "Bearer " + good}}}); x.Answer == nil || x.Answer.Status != 400 {
		t.Errorf("%+v", x)
	}

	for _, tt := range []struct {
		name, method, contentType, body, want string
		status                                int
	}{
		{"no JSON", "POST", "application/json", "token=" + good, "request_invalid", 400},
		{"unknown member", "POST", "application/json", `{"tokn":"x"}`, "unknown member", 400},
		{"two of a name", "POST", "application/json", `{"token":"x","token":"y"}`, "repeated", 400},
		{"path", "POST", "application/json", `{"path":"orders"}`, `"field":"path"`, 400},
		{"headers", "POST", "application/json", `{"headers":{"Accept":"x"}}`, `"field":"headers"`, 400},
		{"Authorization twice", "POST", "application/json", `{"token":"x","headers":{"authorization":["y"]}}`, "Authorization beside token", 400},
		{"form", "POST", "application/x-www-form-urlencoded", "token=x", "media_type_unsupported", 415},
		{"GET", "GET", "", "", "method_not_allowed", 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := g.admin(tt.method, "/jwtgate/explain", tt.contentType, strings.NewReader(tt.body))
			if a.Status != tt.status || !strings.Contains(a.Body, tt.want) || strings.Contains(a.Body, good) {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	g.mustLoad(false)
	if a := g.admin("POST", "/jwtgate/explain", "application/json", strings.NewReader("{}")); a.Status != 503 || !strings.Contains(a.Body, "not_configured") {
		t.Errorf("without the app: %d %s", a.Status, a.Body)
	}
}
