package mobile_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRefreshBeforeTheTokenExpires on devices whose clocks are wrong: no request goes
// out with a token that is past its end. Each client runs here with the clock that
// TestChaos does not give it.
func TestRefreshBeforeTheTokenExpires(t *testing.T) {
	clocks := map[string]struct {
		by    string
		wrong time.Duration
	}{"kotlin": {"-2h", -2 * time.Hour}, "typescript": {"+2h", 2 * time.Hour}}
	clients(t, func(t *testing.T, start startClient) {
		clock := clocks[filepath.Base(t.Name())]
		w := newWorld(t, 6*time.Second)
		c := w.signedIn(start, func(o *options) { o.Margin = 2000 }, clock.by)
		for end := time.Now().Add(11 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if r := c.get(); !r.ok() || r.Body != "hello alice" {
				t.Fatalf("%+v", r)
			}
		}
		for rid, statuses := range w.gateway.answers() {
			if len(statuses) != 1 || statuses[0] != 200 {
				t.Errorf("%s: the gateway answered %v", rid, statuses)
			}
		}
		if asked, granted, _, _ := w.issuer.counts(); granted < 1 || asked > 5 {
			t.Errorf("%d refreshes asked for, %d granted, want about two", asked, granted)
		}
		s, now := c.state(), float64(time.Now().UnixMilli())
		if off := float64(s.Wall) - now - float64(clock.wrong.Milliseconds()); math.Abs(off) > 60_000 {
			t.Errorf("the device's clock is wrong by %v, the test by %v ms", clock.wrong, off)
		}
		if off := s.Server - now; math.Abs(off) > 5_000 {
			t.Errorf("the client is mistaken by %v ms about the server's time", off)
		}
		w.judge()
	})
}

func TestFiveParallelRefusalsAreOneRefresh(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.launch(start, nil)
		// Nothing has told this client the time: all five go out with the old token.
		c.do("signIn", map[string]any{"answer": w.issuer.expired(t)})
		if r := c.call(map[string]any{"parallel": 5, "method": "POST"}); !r.ok() {
			t.Fatalf("%+v", r)
		}
		if asked, granted, _, _ := w.issuer.counts(); asked != 1 || granted != 1 {
			t.Errorf("%d refreshes asked for, %d granted, want one", asked, granted)
		}
		if n := len(w.backend.requests("/orders")); n != 5 {
			t.Errorf("the backend saw %d requests, want 5", n)
		}
		w.judge()
	})
}

// TestSessionEndsOnceAndIsTold: what the gate or the issuer says ends the session, and
// the app hears of it once, however many calls were under way.
func TestSessionEndsOnceAndIsTold(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.launch(start, nil)
		for n, tt := range []struct {
			name, path, why string
			login           func() map[string]any
			refreshes       int
		}{
			{"token revoked", "/orders", "token_revoked", func() map[string]any {
				login := w.issuer.login(t)
				w.gateway.revoke(map[string]any{"kind": "token", "token": login["access_token"]})
				return login
			}, 0},
			{"token lost on the way", "/stripped", "token_missing", func() map[string]any { return w.issuer.login(t) }, 0},
			{"refresh token refused", "/orders", "invalid_grant", func() map[string]any {
				login := w.issuer.expired(t)
				w.issuer.EndSessions("alice")
				return login
			}, 1},
		} {
			before, _, _, _ := w.issuer.counts()
			c.do("signIn", map[string]any{"answer": tt.login()})
			for _, r := range c.do("call", map[string]any{"parallel": 5, "path": tt.path}).Calls {
				if r.Error != "login_required" && (r.Status != 401 || r.Code != tt.why) {
					t.Errorf("%s: %+v, want %s", tt.name, r, tt.why)
				}
			}
			if r := c.get(); r.Error != "login_required" {
				t.Errorf("%s: a call after the end: %+v", tt.name, r)
			}
			until(t, "the app is told", func() bool { return len(c.state().Ended) > n })
			if s := c.state(); s.SignedIn || s.Queued != 0 || len(s.Ended) != n+1 || s.Ended[n] != tt.why {
				t.Errorf("%s: %+v, want one more end because of %s", tt.name, s, tt.why)
			}
			if asked, _, _, _ := w.issuer.counts(); asked-before != tt.refreshes {
				t.Errorf("%s: %d refreshes, want %d", tt.name, asked-before, tt.refreshes)
			}
		}
		// An end outlives the process.
		c.kill()
		if s := w.launch(start, nil).state(); s.SignedIn {
			t.Error("the session is back after a restart")
		}
		w.judge()
	})
}

func TestTokenFromTheFutureIsRetried(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		w.issuer.mu.Lock()
		w.issuer.ahead = 3 * time.Second
		w.issuer.mu.Unlock()
		c := w.signedIn(start, nil)
		r := c.get()
		if !r.ok() {
			t.Fatalf("%+v", r)
		}
		if got := w.gateway.answers()[r.RID]; len(got) != 2 || got[0] != 401 {
			t.Errorf("the gateway answered %v, want 401, then 200", got)
		}
		if asked, _, _, _ := w.issuer.counts(); asked != 0 {
			t.Errorf("%d refreshes for a token that is too young", asked)
		}
	})
}

// TestRefusedFreshTokensAreNoLoop: an API that takes none of the issuer's tokens, as
// after a mistake in its configuration, makes nobody refresh without end, and nobody
// lose the session within a minute. JWTGATE_LONG=1 waits for the end of the minute.
func TestRefusedFreshTokensAreNoLoop(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := emptyWorld(t, time.Hour, "another-api")
		w.gateway.start()
		w.gateway.awaitReady()
		c := w.signedIn(start, nil)
		began := time.Now()
		c.do("load", map[string]any{"parallel": 5, "pause": 200})
		time.Sleep(6 * time.Second)
		if s := c.state(); !s.SignedIn && time.Since(began) < time.Minute {
			t.Errorf("the session is gone: %+v", s)
		}
		if os.Getenv("JWTGATE_LONG") != "" {
			time.Sleep(time.Minute)
			until(t, "the session ends", func() bool { return len(c.state().Ended) > 0 })
			if s := c.state(); s.SignedIn || len(s.Ended) != 1 || s.Ended[0] != "token_invalid" || time.Since(began) < time.Minute {
				t.Errorf("after %v: %+v", time.Since(began), s)
			}
		}
		asked, _, _, _ := w.issuer.counts()
		if most := 6 + int(time.Since(began)/(2500*time.Millisecond)); asked < 1 || asked > most {
			t.Errorf("%d refreshes within %v, want at most %d", asked, time.Since(began), most)
		}
		t.Logf("%d refreshes within %v", asked, time.Since(began))
		c.do("stop", nil)
		signedIn := c.state().SignedIn
		for _, r := range c.calls() {
			if r.Code != "token_invalid" && r.Error != "unavailable" && (signedIn || r.Error != "login_required") {
				t.Errorf("%+v", r)
			}
		}
		w.judge()
	})
}
