package jwks

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefreshNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		f.etag = `"1"`
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		for i := range 5 {
			if err := s.RefreshNow(t.Context()); err != nil || f.fetches() != i+2 {
				t.Errorf("%v, %d fetches", err, f.fetches())
			}
		}
		// It uses nobody's budget.
		f.set(func(f *fakeIssuer) { f.etag, f.keys = "", []object{ecFresh("new")} })
		if known, _ := ask(s, "new"); !known {
			t.Error("the budget is gone")
		}
		f.set(func(f *fakeIssuer) { f.hang = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.RefreshNow(ctx); err != context.DeadlineExceeded {
			t.Errorf("error %v", err)
		}
		s.Close()
		if err := s.RefreshNow(t.Context()); err == nil {
			t.Error("a closed source refreshes")
		}
		set, _ := s.Keys(time.Now())
		if set == nil || s.Refetch(t.Context(), set) != Failed {
			t.Error("a closed source must answer with what it has, and fetch nothing")
		}
	})
}

func TestCloseReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.hang = true })
		set, _ := s.Keys(time.Now())
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if outcome := s.Refetch(context.Background(), set); outcome != Failed {
				t.Errorf("outcome %d", outcome)
			}
			if err := s.RefreshNow(context.Background()); err == nil {
				t.Error("refreshed")
			}
		}()
		synctest.Wait()
		s.Close()
		s.Close()
		<-done
		if time.Since(began) != 0 {
			t.Errorf("Close took %s", time.Since(began))
		}
	})
}

// TestRefreshNowIsShared: callers who come while a fetch is under way share the
// next one.
func TestRefreshNowIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		before := f.fetches()
		f.set(func(f *fakeIssuer) { f.delay = time.Second })
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if err := s.RefreshNow(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := f.fetches() - before; n > 2 {
			t.Errorf("%d fetches", n)
		}
	})
}
