package issuer

import (
	"encoding/json"
	"testing"
	"time"
)

// refreshing is an issuer whose clock the test moves.
type refreshing struct {
	*Issuer
	now time.Time
}

func newRefreshing(t *testing.T, grace time.Duration) *refreshing {
	r := &refreshing{now: time.Unix(1_800_000_000, 0)}
	r.Issuer = newIssuer(t, func(c *Config) {
		c.Now = func() time.Time { return r.now }
		c.RefreshGrace = grace
	})
	return r
}

// ask returns the access token's sid and scope, the refresh token and the error.
func (r *refreshing) ask(t *testing.T, form string) (sid, scope any, refresh, code string) {
	t.Helper()
	w := do(r.Issuer, "POST", TokenPath, form)
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if answer.Error == "" {
		_, claims := verified(t, r.Issuer, answer.Access)
		sid, scope = claims["sid"], claims["scope"]
	}
	return sid, scope, answer.Refresh, answer.Error
}

const login = "username=alice&scope=orders:read+offline_access"

func TestRefreshTokensAreReplaced(t *testing.T) {
	r := newRefreshing(t, -1)
	sid, scope, first, _ := r.ask(t, login)
	if first == "" || scope != "orders:read" {
		t.Fatalf("login: refresh token %q, scope %v", first, scope)
	}
	again, scope, second, code := r.ask(t, "grant_type=refresh_token&refresh_token="+first)
	if code != "" || again != sid || scope != "orders:read" || second == "" || second == first {
		t.Fatalf("refresh: sid %v, want %v; scope %v; refresh token %q after %q; %s", again, sid, scope, second, first, code)
	}
	if _, _, _, code := r.ask(t, "grant_type=refresh_token&refresh_token="+first); code != "invalid_grant" {
		t.Errorf("a used token: %q", code)
	}
	if _, _, _, code := r.ask(t, "grant_type=refresh_token&refresh_token="+second); code != "invalid_grant" {
		t.Errorf("the family lives on after a token was used twice: %q", code)
	}
}

func TestLostAnswerIsGivenOnceMore(t *testing.T) {
	r := newRefreshing(t, time.Minute)
	_, _, first, _ := r.ask(t, login)
	_, _, second, _ := r.ask(t, "grant_type=refresh_token&refresh_token="+first)
	if _, _, again, code := r.ask(t, "grant_type=refresh_token&refresh_token="+first); again != second {
		t.Errorf("within the grace: %q %s, want %q", again, code, second)
	}
	r.now = r.now.Add(time.Minute)
	if _, _, _, code := r.ask(t, "grant_type=refresh_token&refresh_token="+first); code != "invalid_grant" {
		t.Errorf("after the grace: %q", code)
	}
}

func TestRefreshTokensAreForTheirClientAndSession(t *testing.T) {
	r := newRefreshing(t, -1)
	if _, _, refresh, _ := r.ask(t, "username=alice"); refresh != "" {
		t.Error("a refresh token that nobody asked for")
	}
	if _, _, refresh, _ := r.ask(t, "grant_type=client_credentials&scope=offline_access"); refresh != "" {
		t.Error("a refresh token without a user")
	}
	_, _, alice, _ := r.ask(t, login+"&client_id=phone")
	_, _, bob, _ := r.ask(t, "username=bob&scope=offline_access")
	if _, _, _, code := r.ask(t, "grant_type=refresh_token&client_id=other&refresh_token="+alice); code != "invalid_grant" {
		t.Errorf("another client: %q", code)
	}
	if n := r.EndSessions("alice"); n != 1 {
		t.Errorf("%d sessions ended, want 1", n)
	}
	if _, _, _, code := r.ask(t, "grant_type=refresh_token&client_id=phone&refresh_token="+alice); code != "invalid_grant" {
		t.Errorf("after its session: %q", code)
	}
	if _, scope, _, code := r.ask(t, "grant_type=refresh_token&refresh_token="+bob); code != "" || scope != "orders:read" {
		t.Errorf("bob: %v %q", scope, code)
	}
}

func TestFamiliesAreBounded(t *testing.T) {
	f := newFamilies(-1, time.Now)
	first := f.begin(Request{Username: "first"})
	for range maxFamilies {
		f.begin(Request{Username: "other"})
	}
	if _, _, ok := f.use(first, ""); ok {
		t.Error("the oldest is still there")
	}
	token := f.begin(Request{Username: "busy"})
	for range 200 {
		_, token, _ = f.use(token, "")
	}
	if len(f.order) != maxFamilies || len(f.tokens) > maxFamilies+64 {
		t.Errorf("%d families, %d tokens", len(f.order), len(f.tokens))
	}
}
