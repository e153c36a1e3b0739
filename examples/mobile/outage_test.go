package mobile_test

import (
	"syscall"
	"testing"
	"time"
)

func TestGatewayThatCannotDecideKeepsTheSession(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		// A gateway that has never had the issuer's keys.
		w := emptyWorld(t, time.Hour, "orders-api")
		w.issuer.set(away)
		w.gateway.start()
		w.gateway.listening()
		c := w.signedIn(start, nil)
		r := c.get()
		if r.Status != 503 || r.Code != "keys_unavailable" {
			t.Fatalf("%+v", r)
		}
		if got := w.gateway.answers()[r.RID]; len(got) != 2 || r.MS < 1000 {
			t.Errorf("the gateway answered %v within %d ms: want two 503, a Retry-After between them", got, r.MS)
		}
		if s := c.state(); !s.SignedIn {
			t.Errorf("the session is gone: %+v", s)
		}
		w.issuer.set(healthy)
		until(t, "a call succeeds", func() bool { return c.get().ok() })
		if asked, _, _, _ := w.issuer.counts(); asked != 0 {
			t.Errorf("%d refreshes because of a 503", asked)
		}
		w.judge()
	})
}

func TestNetworkErrorKeepsTheSession(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.signedIn(start, func(o *options) { o.Patience = 2000 })
		if r := c.get(); !r.ok() {
			t.Fatalf("%+v", r)
		}
		w.gateway.stop(syscall.SIGKILL)
		for _, method := range []string{"GET", "POST"} {
			if r := c.call(map[string]any{"method": method}); r.Error != "network" || r.MS > 30_000 {
				t.Errorf("%s: %+v", method, r)
			}
		}
		if s := c.state(); !s.SignedIn || len(s.Ended) != 0 {
			t.Errorf("the session is gone: %+v", s)
		}
		// The session also outlives the app.
		c.kill()
		c = w.launch(start, nil)
		call := c.send("call", nil)
		w.gateway.start()
		if r := c.await(call, "call").Calls[0]; !r.ok() {
			t.Errorf("a call that had to wait for the gateway: %+v", r)
		}
		if asked, _, _, _ := w.issuer.counts(); asked != 0 {
			t.Errorf("%d refreshes because of the network", asked)
		}
		w.judge()
	})
}

func TestFailingRefreshKeepsTheSession(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.signedIn(start, func(o *options) { o.Patience, o.RefreshTimeout = 3000, 1000 })
		for _, f := range []fault{broken, hanging, away, wrong} {
			before, granted, _, _ := w.issuer.counts()
			w.issuer.set(f)
			c.do("signIn", map[string]any{"answer": w.issuer.expired(t)})
			began, asked := time.Now(), 0
			for asked < 2 {
				if r := c.call(map[string]any{"parallel": 5}); r.Error != "unavailable" {
					t.Fatalf("%s: %+v, want unavailable", f, r)
				}
				asked, _, _, _ = w.issuer.counts()
				asked -= before
			}
			// The pauses grow from a quarter of a second to at least two and a half.
			if most := 5 + int(time.Since(began)/(2500*time.Millisecond)); asked > most {
				t.Errorf("%s: %d refreshes within %v, want at most %d", f, asked, time.Since(began), most)
			}
			if s := c.state(); !s.SignedIn || len(s.Ended) != 0 {
				t.Errorf("%s: the session is gone: %+v", f, s)
			}
			w.issuer.set(healthy)
			until(t, "a call succeeds", func() bool { return c.get().ok() })
			if _, now, _, _ := w.issuer.counts(); now != granted+1 {
				t.Errorf("%s: %d refreshes were granted, want one", f, now-granted)
			}
		}
		w.judge()
	})
}

// TestSlowIssuerHoldsUpNobody: while the old token is good, no call waits for the new one.
func TestSlowIssuerHoldsUpNobody(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.signedIn(start, func(o *options) { o.Margin = 40 * 60 * 1000 })
		w.issuer.set(hanging)
		// The first answer tells the time. A third of an hour is the margin at most.
		soon := w.issuer.login(t)
		soon["access_token"] = w.issuer.answer(t, map[string][]string{"username": {"alice"}, "lifetime": {"5m"}})["access_token"]
		c.get()
		c.do("signIn", map[string]any{"answer": soon})
		if r := c.get(); !r.ok() {
			t.Fatalf("%+v", r)
		}
		until(t, "the refresh begins", func() bool { asked, _, _, _ := w.issuer.counts(); return asked > 0 })
		if r := c.get(); !r.ok() {
			t.Errorf("%+v", r)
		}
		if _, granted, _, _ := w.issuer.counts(); granted != 0 {
			t.Error("the refresh is over: the test shows nothing")
		}
		w.judge()
	})
}
