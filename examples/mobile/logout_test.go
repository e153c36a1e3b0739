package mobile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// keeps reports whether the app's store has a text in it.
func (w *world) keeps(text string) bool {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "session.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return bytes.Contains(data, []byte(text))
}

func TestLogoutEndsTheSession(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.launch(start, nil)
		login := w.issuer.login(t)
		token := login["access_token"].(string)
		c.do("signIn", map[string]any{"answer": login})
		if r := c.get(); !r.ok() || !w.keeps(token) {
			t.Fatalf("%+v", r)
		}
		if r := c.do("logout", nil); r.Logout != "done" {
			t.Errorf("logout: %q", r.Logout)
		}
		if r := c.get(); r.Error != "login_required" {
			t.Errorf("a call after the logout: %+v", r)
		}
		if status, code := w.gateway.get(token); status != 401 || code != "token_revoked" {
			t.Errorf("the token after the logout: %d %s", status, code)
		}
		if w.keeps(token) || w.keeps(login["refresh_token"].(string)) {
			t.Error("a token is still in the store")
		}
		if n, m := len(w.backend.requests("/orders")), len(w.backend.requests("/auth/logout")); n != 1 || m != 1 {
			t.Errorf("the backend saw %d calls and %d logouts, want one each", n, m)
		}
		if s := c.state(); s.SignedIn || len(s.Ended) != 0 {
			t.Errorf("the app is asked to log in though the user wanted out: %+v", s)
		}
		w.judge()
	})
}

// TestLogoutOffline: it is queued, outlives the app, and counts although its token has
// expired when it is sent.
func TestLogoutOffline(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, 4*time.Second)
		c := w.launch(start, nil)
		login := w.issuer.login(t)
		token := login["access_token"].(string)
		c.do("signIn", map[string]any{"answer": login})
		w.gateway.stop(syscall.SIGKILL)
		if r := c.do("logout", nil); r.Logout != "queued" {
			t.Errorf("logout without a gateway: %q", r.Logout)
		}
		if r := c.get(); r.Error != "login_required" {
			t.Errorf("a call after the logout: %+v", r)
		}
		c.kill()
		if !w.keeps(token) || w.keeps(login["refresh_token"].(string)) {
			t.Error("the store must have the queued token, and no refresh token")
		}
		w.gateway.start()
		w.gateway.awaitReady()
		until(t, "the token expires", func() bool { _, code := w.gateway.get(token); return code == "token_expired" })

		c = w.launch(start, nil)
		if s := c.state(); s.SignedIn {
			t.Error("the session is back after a restart")
		}
		until(t, "the logout is sent", func() bool { return c.state().Queued == 0 })
		if n := len(w.backend.requests("/auth/logout")); n != 1 {
			t.Errorf("the backend saw %d logouts, want one", n)
		}
		c.do("signIn", map[string]any{"answer": w.issuer.login(t)})
		if r := c.get(); !r.ok() {
			t.Errorf("the login after it: %+v", r)
		}
		w.judge()
	})
}

// TestQueuedLogoutThatWasDoneAlready: 401 token_revoked is success, and no reason to
// ask the user to log in.
func TestQueuedLogoutThatWasDoneAlready(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.launch(start, nil)
		login := w.issuer.login(t)
		c.do("signIn", map[string]any{"answer": login})
		w.gateway.stop(syscall.SIGKILL)
		if r := c.do("logout", nil); r.Logout != "queued" {
			t.Errorf("logout without a gateway: %q", r.Logout)
		}
		c.kill()
		w.gateway.start()
		w.gateway.awaitReady()
		w.gateway.revoke(map[string]any{"kind": "token", "token": login["access_token"]})
		c = w.launch(start, nil)
		until(t, "the logout is settled", func() bool { return c.state().Queued == 0 })
		if n := len(w.backend.requests("/auth/logout")); n != 0 {
			t.Errorf("the backend saw %d logouts, want none", n)
		}
		if s := c.state(); len(s.Ended) != 0 {
			t.Errorf("%+v", s)
		}
		w.judge()
	})
}

// TestLogoutThatTheBackendRefuses stays queued until it succeeds.
func TestLogoutThatTheBackendRefuses(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		w.backend.answerLogouts(500)
		c := w.signedIn(start, nil)
		if r := c.do("logout", nil); r.Logout != "queued" {
			t.Errorf("logout with a broken backend: %q", r.Logout)
		}
		w.backend.answerLogouts(204)
		until(t, "the logout is sent again", func() bool { return c.state().Queued == 0 })
		w.judge()
	})
}
