package jwks

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// ask does what a gate does with a token of that kid.
func ask(s *Source, kid string) (known bool, outcome Outcome) {
	set, _ := s.Keys(time.Now())
	if len(set.Candidates(token.ES256, kid, true)) > 0 {
		return true, Current
	}
	outcome = s.Refetch(context.Background(), set)
	if outcome == Changed {
		set, _ = s.Keys(time.Now())
		return len(set.Candidates(token.ES256, kid, true)) > 0, outcome
	}
	return false, outcome
}

func TestRotationIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.rotate(ecJWKObject("old"), ecFresh("new"))
		if known, outcome := ask(s, "new"); !known || outcome != Changed || f.fetches() != 2 {
			t.Errorf("known %t, outcome %d, %d fetches", known, outcome, f.fetches())
		}
	})
}

func TestHundredRequestsForOneNewKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.delay, f.keys = 300*time.Millisecond, []object{ecFresh("new")} })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if known, _ := ask(s, "new"); !known {
					t.Error("a request is left out")
				}
			})
		}
		wg.Wait()
		if f.fetches() != 2 {
			t.Errorf("%d fetches, want 1 + 1", f.fetches())
		}
		if s.waiters != 0 {
			t.Errorf("%d still wait", s.waiters)
		}
	})
}

func TestTrapRandomKidsAmplifiedIntoFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		suppressed := 0
		s := start(t, remoteConfig(), Options{transport: f, OnSuppressed: func() { suppressed++ }})
		synctest.Wait()
		const asked = 59_000
		for range asked { // 1,000 a second for a minute less a second
			if known, outcome := ask(s, "random"); known || outcome != Current {
				t.Fatalf("known %t, outcome %d", known, outcome)
			}
			time.Sleep(time.Millisecond)
		}
		if n := f.fetches() - 1; n != 2 {
			t.Errorf("%d fetches for %d bogus kids in a minute", n, asked)
		}
		if suppressed != asked-2 {
			t.Errorf("%d suppressed", suppressed)
		}
		if set, _ := s.Keys(time.Now()); len(set.byKid) != 1 {
			t.Error("bogus kids are remembered")
		}
	})
}

func TestTrapRandomKidsStarvingARealRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		for i := range 100 {
			ask(s, "random")
			time.Sleep(time.Duration(i) * time.Millisecond)
		}
		f.rotate(ecFresh("new"))
		rotated := time.Now()
		for {
			ask(s, "random")
			if known, _ := ask(s, "new"); known {
				break
			}
			if time.Since(rotated) > refetchInterval {
				t.Fatal("the rotation is not found within 30 s")
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// A flood against an issuer that fails does not ask it more often.
func TestBudgetCountsAttemptsNotSuccesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		cfg := remoteConfig()
		cfg.MaxStale = time.Hour
		s := start(t, cfg, Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.status = 500 })
		if _, outcome := ask(s, "x"); outcome != Failed {
			t.Errorf("outcome %d of a failed fetch", outcome)
		}
		forced := 0
		for range 25 {
			time.Sleep(time.Second)
			before := f.fetches()
			if _, outcome := ask(s, "x"); outcome != Failed {
				t.Errorf("outcome %d while the last attempt failed", outcome)
			}
			forced += f.fetches() - before
		}
		if forced != 0 {
			t.Errorf("%d fetches beyond the budget", forced)
		}
		f.set(func(f *fakeIssuer) { f.status = 0 })
		time.Sleep(30 * time.Second)
		if _, outcome := ask(s, "x"); outcome != Current {
			t.Errorf("outcome %d after recovery", outcome)
		}
	})
}

func TestScheduledFetchesDoNotUseTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		cfg := remoteConfig()
		cfg.Refresh = time.Second
		s := start(t, cfg, Options{transport: f})
		time.Sleep(time.Minute)
		synctest.Wait()
		before := f.fetches()
		f.rotate(ecFresh("new"))
		if known, _ := ask(s, "new"); !known || f.fetches() != before+1 {
			t.Errorf("known %t after %d fetches", known, f.fetches()-before)
		}
	})
}

// A scheduled fetch that began before the rotation carries the old keys; the
// request gets one that begins after it.
func TestRefetchDuringAScheduledFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		next := s.Status().NextRefresh
		f.set(func(f *fakeIssuer) { f.delay = time.Second })
		time.Sleep(time.Until(next) + 500*time.Millisecond)
		synctest.Wait()
		f.rotate(ecFresh("new")) // the fetch under way has read the old keys
		before := f.fetches()
		if known, _ := ask(s, "new"); !known || f.fetches() != before+1 {
			t.Errorf("known %t after %d fetches more", known, f.fetches()-before)
		}
	})
}

// When the scheduled fetch that is under way already brings other keys, the
// queued one is not made, and its budget is there for the next.
func TestScheduledFetchSatisfiesRefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		next := s.Status().NextRefresh
		f.set(func(f *fakeIssuer) { f.delay, f.keys = time.Second, []object{ecFresh("new")} })
		time.Sleep(time.Until(next) + 500*time.Millisecond)
		synctest.Wait()
		before := f.fetches()
		if known, outcome := ask(s, "new"); !known || outcome != Changed || f.fetches() != before {
			t.Errorf("known %t, outcome %d, %d fetches more", known, outcome, f.fetches()-before)
		}
		f.rotate(ecFresh("newer"))
		if known, _ := ask(s, "newer"); !known {
			t.Error("the budget of the fetch that was not made is gone")
		}
	})
}

func TestTrapFetchWithoutTimeoutOrWithALockHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		cfg := remoteConfig()
		cfg.MaxStale, cfg.Timeout = time.Hour, 3*time.Second
		s := start(t, cfg, Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.hang = true })
		began := time.Now()
		done := make(chan Outcome)
		go func() {
			_, outcome := ask(s, "new")
			done <- outcome
		}()
		synctest.Wait() // the fetch hangs
		if known, _ := ask(s, "old"); !known || time.Since(began) != 0 {
			t.Error("known keys wait for the fetch")
		}
		s.Status()
		if outcome := <-done; outcome != Failed || time.Since(began) != cfg.Timeout {
			t.Errorf("outcome %d after %s", outcome, time.Since(began))
		}
		synctest.Wait()
		if st := s.Status(); !strings.Contains(st.LastError, "timeout") {
			t.Errorf("status %+v", st)
		}
	})
}

func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.hang = true })
		set, _ := s.Keys(time.Now())
		began := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		atOnce, waited := 0, 0
		for range 1000 {
			wg.Go(func() {
				outcome := s.Refetch(context.Background(), set)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case outcome != Failed:
					t.Errorf("outcome %d", outcome)
				case time.Since(began) == 0:
					atOnce++
				case time.Since(began) <= DefaultTimeout:
					waited++
				}
			})
		}
		wg.Wait()
		if waited != maxWaiters || atOnce != 1000-maxWaiters {
			t.Errorf("%d waited, %d were answered at once", waited, atOnce)
		}
		if s.waiters != 0 {
			t.Errorf("%d still wait", s.waiters)
		}
	})
}

func TestWaiterWhoseRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("old"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.delay, f.keys = 2*time.Second, []object{ecFresh("new")} })
		set, _ := s.Keys(time.Now())
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if outcome := s.Refetch(ctx, set); outcome != Failed || time.Since(began) != time.Second {
			t.Errorf("outcome %d after %s", outcome, time.Since(began))
		}
		// The fetch is everybody's: it goes on.
		time.Sleep(2 * time.Second)
		if now, _ := s.Keys(time.Now()); !now.HasKid("new") {
			t.Error("the fetch ended with the request")
		}
		if s.Refetch(context.Background(), set) != Changed {
			t.Error("an older set is not told of the new one at once")
		}
	})
}

// The same kid with other material: a bad signature asks, and the set changes.
func TestSameKidNewMaterial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecFresh("k"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.rotate(ecJWKObject("k"))
		set, _ := s.Keys(time.Now())
		old := set.keys[0]
		if outcome := s.Refetch(context.Background(), set); outcome != Changed {
			t.Fatalf("outcome %d", outcome)
		}
		set, _ = s.Keys(time.Now())
		if set.Has(old) || set.keys[0].Verify(token.ES256, signingInput, sign(token.ES256, ecKey())) != nil {
			t.Error("the new material is not in use")
		}
	})
}
