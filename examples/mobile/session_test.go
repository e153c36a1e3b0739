package mobile_test

import (
	"testing"
	"time"
)

func TestRefreshBeforeTheTokenExpires(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, 6*time.Second)
		c := w.signedIn(start, func(o *options) { o.Margin = 2000 })
		for end := time.Now().Add(14 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if r := c.get(); !r.ok() || r.Body != "hello alice" {
				t.Fatalf("%+v", r)
			}
		}
		for rid, statuses := range w.gateway.answers() {
			if len(statuses) != 1 || statuses[0] != 200 {
				t.Errorf("%s: the gateway answered %v: no token should have been seen after its end", rid, statuses)
			}
		}
		asked, granted, _, most := w.issuer.counts()
		if granted < 2 || asked > 6 || most != 1 {
			t.Errorf("%d refreshes asked for, %d granted, %d at a time; want about three, one at a time", asked, granted, most)
		}
	})
}

func TestFiveParallelRefusalsAreOneRefresh(t *testing.T) {
	clients(t, func(t *testing.T, start startClient) {
		w := newWorld(t, time.Hour)
		c := w.signedIn(start, nil)
		// All five go out with the token before the first is refused.
		stale := w.issuer.login(t)
		stale["access_token"] = w.issuer.answer(t, map[string][]string{"username": {"alice"}, "lifetime": {"-1h"}})["access_token"]
		delete(stale, "expires_in")
		c.do("signIn", map[string]any{"answer": stale})
		if r := c.call(map[string]any{"parallel": 5}); !r.ok() {
			t.Fatalf("%+v", r)
		}
		if asked, granted, _, most := w.issuer.counts(); asked != 1 || granted != 1 || most != 1 {
			t.Errorf("%d refreshes asked for, %d granted, %d at a time; want one", asked, granted, most)
		}
		for rid, statuses := range w.gateway.answers() {
			if len(statuses) > 2 || statuses[len(statuses)-1] != 200 {
				t.Errorf("%s: the gateway answered %v", rid, statuses)
			}
		}
		if n := len(w.backend.requests("/orders")); n != 5 {
			t.Errorf("the backend saw %d requests, want 5", n)
		}
	})
}
