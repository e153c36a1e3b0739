package mobile_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestChaos: tokens of three seconds and no skew, twenty calls at a time, keys that
// rotate, an issuer that goes away for ten seconds, a gateway that is restarted and
// killed, a device's clock that is wrong by two hours, and a logout in the middle.
//
// What a client promises, and what is checked:
//
//   - A GET succeeds if it could have within its patience, which here is longer than any
//     outage. The exception: a GET that the gate refused, and then refused once more,
//     goes to the app as it is, because a request is repeated once. With a token of three
//     seconds that takes two stalls of the machine in a row; one call in twenty may.
//   - A POST fails only if the gateway was down while it was under way, since nobody knows
//     whether it arrived. No POST arrives twice.
//   - One refresh at a time, none that the refresh token was used for before, and no more
//     than the tokens' life calls for.
//   - The session ends by the logout alone. What is called after it does not leave the device.
//
// JWTGATE_LONG=1 makes it go on for minutes, with both clocks for both clients.
func TestChaos(t *testing.T) {
	long := os.Getenv("JWTGATE_LONG") != ""
	clocks := map[string][]string{"kotlin": {"+2h"}, "typescript": {"-2h"}}
	rounds := 1
	if long {
		clocks = map[string][]string{"kotlin": {"+2h", "-2h"}, "typescript": {"-2h", "+2h"}}
		rounds = 6
	}
	clients(t, func(t *testing.T, start startClient) {
		for _, clock := range clocks[filepath.Base(t.Name())] {
			t.Run(clock, func(t *testing.T) {
				t.Parallel()
				newChaos(t, start, clock).run(rounds)
			})
		}
	})
}

type chaos struct {
	*world
	t     *testing.T
	c     *client
	began time.Time
	down  []window // of the gateway
}

type window struct{ from, to time.Time }

func newChaos(t *testing.T, start startClient, clock string) *chaos {
	w := newWorld(t, 3*time.Second)
	c := w.signedIn(start, func(o *options) {
		o.Patience, o.RefreshTimeout = int(patient.Milliseconds()), int(patient.Milliseconds()/2)
	}, clock)
	return &chaos{world: w, t: t, c: c, began: time.Now()}
}

func (x *chaos) run(rounds int) {
	x.c.do("load", map[string]any{"parallel": 18, "pause": 100, "prefix": "get"})
	x.c.do("load", map[string]any{"parallel": 2, "pause": 200, "prefix": "post", "method": "POST"})
	x.goesOn("the start")
	for range rounds {
		if _, err := x.issuer.Rotate("", false); err != nil {
			x.t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		x.restart(syscall.SIGTERM)
		x.goesOn("a restart of the gateway")
		x.issuer.set(away)
		time.Sleep(5 * time.Second)
		x.restart(syscall.SIGKILL)
		time.Sleep(5 * time.Second)
		x.issuer.set(healthy)
		x.goesOn("the issuer's return")
		if rounds > 1 {
			// A gateway looks for an unknown key at most twice a minute.
			time.Sleep(20 * time.Second)
		}
	}
	if s := x.c.state(); !s.SignedIn || len(s.Ended) != 0 {
		x.t.Errorf("the session is lost: %+v", s)
	}
	leaving := time.Now()
	done := x.c.do("logout", nil)
	if done.Logout != "done" {
		x.t.Errorf("logout: %q", done.Logout)
	}
	out := time.Now()
	time.Sleep(2 * time.Second)
	x.c.do("stop", nil)
	x.judgeCalls(leaving, out)
	x.judgeRefreshes(out)
}

// restart ends the gateway and starts it again.
func (x *chaos) restart(signal os.Signal) {
	from := time.Now()
	x.gateway.stop(signal)
	time.Sleep(500 * time.Millisecond)
	x.gateway.start()
	x.gateway.awaitReady()
	x.down = append(x.down, window{from, time.Now()})
}

// goesOn waits until calls that begin from here on succeed.
func (x *chaos) goesOn(after string) {
	x.t.Helper()
	from := time.Now()
	until(x.t, "calls succeed after "+after, func() bool {
		good := 0
		for _, r := range x.c.calls() {
			if r.ok() && r.began().After(from) {
				good++
			}
		}
		return good >= 40
	})
}

func (x *chaos) judgeCalls(leaving, out time.Time) {
	answers := x.gateway.answers()
	arrived := make(map[string]int)
	for _, s := range x.backend.requests("/orders") {
		arrived[s.rid]++
		if s.at.After(out.Add(time.Second)) {
			x.t.Errorf("%s: the backend saw it %v after the logout", s.rid, s.at.Sub(out))
		}
	}
	gets, posts, refusedTwice, cut, after := 0, 0, 0, 0, 0
	for _, r := range x.c.calls() {
		post := strings.HasPrefix(r.RID, "post")
		switch {
		case r.After:
			after++
			if r.Error != "login_required" || len(answers[r.RID]) != 0 || arrived[r.RID] != 0 {
				x.t.Errorf("called after the logout, answered %v by the gateway, seen %d times by the backend: %+v", answers[r.RID], arrived[r.RID], r)
			}
			continue
		case r.ok():
		case r.Error == "login_required" && r.ended.After(leaving): // the logout broke it off
		case len(answers[r.RID]) >= 2 && r.Status != 0 && (r.Status == 401 || r.Status == 503):
			refusedTwice++
			x.t.Logf("refused twice: %v, at last %s, within %d ms", answers[r.RID], r.Code, r.MS)
		case post && r.Error == "network" && x.wasDown(r):
			cut++
		default:
			x.t.Errorf("failed, and need not have: %+v, answered %v", r, answers[r.RID])
		}
		if post {
			posts++
			if arrived[r.RID] > 1 {
				x.t.Errorf("a POST arrived %d times: %+v", arrived[r.RID], r)
			}
		} else {
			gets++
		}
		// While the gateway goes down it may answer, and the answer be lost.
		if most := 2 + len(x.down); len(answers[r.RID]) > most {
			x.t.Errorf("the gateway answered %v: %+v", answers[r.RID], r)
		}
	}
	if 20*refusedTwice > gets+posts {
		x.t.Errorf("%d of %d calls were refused twice", refusedTwice, gets+posts)
	}
	if after == 0 {
		x.t.Error("nothing was called after the logout: the test shows nothing")
	}
	x.t.Logf("%d GET, %d POST; refused twice: %d; POST cut off by a restart: %d; called after the logout: %d, sent: 0",
		gets, posts, refusedTwice, cut, after)
}

func (x *chaos) wasDown(r result) bool {
	for _, w := range x.down {
		if r.began().Before(w.to.Add(time.Second)) && r.ended.After(w.from.Add(-time.Second)) {
			return true
		}
	}
	return false
}

func (x *chaos) judgeRefreshes(out time.Time) {
	asked, granted, refused, most := x.issuer.counts()
	if most != 1 {
		x.t.Errorf("%d refreshes under way at a time", most)
	}
	if refused != 0 {
		x.t.Errorf("%d refreshes with a token that was used before", refused)
	}
	// A token of three seconds is refreshed after two.
	if limit := 5 + int(out.Sub(x.began)/time.Second); asked > limit {
		x.t.Errorf("%d refreshes within %v, want at most %d", asked, out.Sub(x.began), limit)
	}
	if s := x.c.state(); len(s.Ended) != 0 || s.Queued != 0 {
		x.t.Errorf("%+v", s)
	}
	if last := x.issuer.last(); last.After(out.Add(time.Second)) {
		x.t.Errorf("a refresh %v after the logout", last.Sub(out))
	}
	x.t.Logf("%d refreshes within %v, %d of them granted, one at a time", asked, out.Sub(x.began).Round(time.Second), granted)
}
