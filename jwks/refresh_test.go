package jwks

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func cacheControl(v string) http.Header { return http.Header{"Cache-Control": {v}} }

func remoteConfig() Config { return Config{Issuer: issuerURL, JWKS: issuerURL + "/keys"} }

func TestRefreshAheadOfExpiry(t *testing.T) {
	tests := []struct {
		name    string
		header  http.Header
		refresh time.Duration
		fresh   time.Duration // what the answer comes to
	}{
		{"no header", nil, 0, DefaultRefresh},
		{"operator's own, below what answers may say", nil, time.Second, time.Second},
		{"operator's own, above", nil, 24 * time.Hour, 24 * time.Hour},
		{"max-age", cacheControl("public, max-age=1200"), time.Second, 20 * time.Minute},
		{"max-age in capitals and quotes", cacheControl(`Max-Age="1200"`), 0, 20 * time.Minute},
		{"max-age short", cacheControl("max-age=5"), 0, time.Minute},
		{"max-age zero", cacheControl("max-age=0, must-revalidate"), 0, time.Minute},
		{"max-age long", cacheControl("max-age=604800"), 0, time.Hour},
		{"max-age beyond numbers", cacheControl("max-age=99999999999999999999"), 0, time.Hour},
		{"max-age nonsense", cacheControl("max-age=-5"), 0, DefaultRefresh},
		{"no-cache says nothing of time", cacheControl("no-cache, no-store"), 0, DefaultRefresh},
		{"age counts", http.Header{"Cache-Control": {"max-age=1200"}, "Age": {"600"}}, 0, 10 * time.Minute},
		{"age beyond max-age", http.Header{"Cache-Control": {"max-age=1200"}, "Age": {"6000"}}, 0, time.Minute},
		{"expires", http.Header{"Date": {"Sat, 01 Jan 2000 00:00:00 GMT"}, "Expires": {"Sat, 01 Jan 2000 00:30:00 GMT"}}, 0, 30 * time.Minute},
		{"expires in the past", http.Header{"Date": {"Sat, 01 Jan 2000 00:00:00 GMT"}, "Expires": {"0"}}, 0, DefaultRefresh},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeIssuer(ecJWKObject("e"))
				f.header = tt.header
				cfg := remoteConfig()
				cfg.Refresh = tt.refresh
				began := time.Now()
				s := start(t, cfg, Options{transport: f})
				synctest.Wait()
				if set, _ := s.Keys(time.Now()); set == nil || time.Since(began) != 0 {
					t.Fatal("no keys at once")
				}
				st := s.Status()
				if st.UsableUntil != began.Add(tt.fresh) { // max_stale is 0
					t.Errorf("fresh for %s, want %s", st.UsableUntil.Sub(began), tt.fresh)
				}
				if d := st.NextRefresh.Sub(began); d < tt.fresh*3/4 || d > tt.fresh*9/10 {
					t.Errorf("next refresh after %s of %s", d, tt.fresh)
				}
				const rounds = 20
				for range rounds * 10 {
					time.Sleep(tt.fresh / 10)
					if set, _ := s.Keys(time.Now()); set == nil {
						t.Fatal("keys ran out although the issuer is up")
					}
				}
				synctest.Wait()
				if n := f.fetches() - 1; n < rounds || n > rounds*4/3+1 {
					t.Errorf("%d fetches in %d times the lifetime", n, rounds)
				}
			})
		})
	}
}

func TestJitterDiffers(t *testing.T) {
	seen := map[time.Time]bool{}
	for range 20 {
		seen[jittered(time.Unix(0, 0), time.Hour)] = true
	}
	if len(seen) < 15 {
		t.Errorf("%d different times of 20", len(seen))
	}
}

func TestNoKeysAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		f := newFakeIssuer(ecJWKObject("e"))
		f.status = 500
		var at []time.Time
		s := start(t, remoteConfig(), Options{transport: f, Logger: slog.New(log), OnFetch: func(string) { at = append(at, time.Now()) }})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < time.Second || gap > 5*time.Second {
				t.Errorf("attempt %d after %s", i+1, gap)
			}
		}
		if len(at) < 24 {
			t.Errorf("%d attempts in two minutes", len(at))
		}
		if set, reason := s.Keys(time.Now()); set != nil || reason != token.KeysNeverObtained {
			t.Errorf("keys %v, %v", set, reason)
		}
		if n := log.count(slog.LevelError); n != 1 {
			t.Errorf("%d errors logged:\n%s", n, log.text())
		}
		f.set(func(f *fakeIssuer) { f.status = 0 })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !hasKeys(s) {
			t.Error("no keys 5 s after the issuer is back")
		}
		if e, w, i := log.count(slog.LevelError), log.count(slog.LevelWarn), log.count(slog.LevelInfo); e != 1 || w != 0 || i != 2 {
			t.Errorf("%d errors, %d warnings, %d infos:\n%s", e, w, i, log.text())
		}
	})
}

// An outage that outlasts max_stale: old keys until then, one line in the log
// for each change of state.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		f := newFakeIssuer(ecJWKObject("e"))
		cfg := remoteConfig()
		cfg.MaxStale = 10 * time.Hour
		began := time.Now()
		s := start(t, cfg, Options{transport: f, Logger: slog.New(log)})
		synctest.Wait()
		first, _ := s.Keys(time.Now())

		f.set(func(f *fakeIssuer) { f.status = 503 })
		end := began.Add(DefaultRefresh + cfg.MaxStale)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if st := s.Status(); !st.Stale || st.UsableUntil != end || !strings.Contains(st.LastError, "status 503") {
			t.Errorf("status %+v", st)
		}
		if n := log.count(slog.LevelWarn); n != 1 {
			t.Errorf("%d warnings:\n%s", n, log.text())
		}
		attempts := f.fetches()
		time.Sleep(time.Hour)
		if n := f.fetches() - attempts; n < 90 || n > 160 {
			t.Errorf("%d attempts an hour", n)
		}
		time.Sleep(time.Until(began.Add(DefaultRefresh + 8*time.Hour + time.Second)))
		synctest.Wait()
		if n := log.count(slog.LevelWarn); n != 2 || !strings.Contains(log.text(), "soon pass max_stale") {
			t.Errorf("%d warnings:\n%s", n, log.text())
		}
		if set, reason := s.Keys(end.Add(-1)); set != first || reason != token.ReasonNone {
			t.Errorf("just before the end: %v, %v", set, reason)
		}
		if set, reason := s.Keys(end); set != nil || reason != token.KeysStale {
			t.Errorf("at the end: %v, %v", set, reason)
		}
		if n := log.count(slog.LevelError); n != 0 {
			t.Errorf("%d errors too early", n)
		}
		time.Sleep(time.Until(end))
		synctest.Wait()
		if n := log.count(slog.LevelError); n != 1 {
			t.Errorf("%d errors:\n%s", n, log.text())
		}
		if st := s.Status(); st.Stale || len(st.Keys) != 0 {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Hour)
		f.set(func(f *fakeIssuer) { f.status = 0 })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if set, _ := s.Keys(time.Now()); set != first {
			t.Error("the same keys come back as another set")
		}
		if e, w, i := log.count(slog.LevelError), log.count(slog.LevelWarn), log.count(slog.LevelInfo); e != 1 || w != 2 || i != 2 {
			t.Errorf("%d errors, %d warnings, %d infos:\n%s", e, w, i, log.text())
		}
		// And a second outage is told anew.
		f.set(func(f *fakeIssuer) { f.status = 503 })
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if n := log.count(slog.LevelWarn); n != 3 {
			t.Errorf("%d warnings after the second outage began", n)
		}
	})
}

func TestMaxStaleZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.hang = true })
		began := time.Now()
		if set, _ := s.Keys(began.Add(DefaultRefresh - 1)); set == nil {
			t.Error("fresh keys are not used")
		}
		if set, reason := s.Keys(began.Add(DefaultRefresh)); set != nil || reason != token.KeysStale {
			t.Errorf("keys %v, %v", set, reason)
		}
	})
}

func TestWithdrawnKeyAndKeptPointers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(rsaJWKObject("a"), ecJWKObject("b"))
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		first, _ := s.Keys(time.Now())
		a, b := first.keys[0], first.keys[1]

		time.Sleep(2 * DefaultRefresh)
		if set, _ := s.Keys(time.Now()); set != first || f.fetches() < 2 {
			t.Errorf("an identical document makes another set (%d fetches)", f.fetches())
		}
		// The same in another spelling and order.
		f.rotate(ecJWKObject("b").with(object{"use": "sig"}), rsaJWKObject("a").with(object{"x5c": []string{"x"}}))
		time.Sleep(DefaultRefresh)
		if set, _ := s.Keys(time.Now()); set != first {
			t.Error("another spelling makes another set")
		}
		f.rotate(ecJWKObject("b"), edJWKObject("c"))
		time.Sleep(DefaultRefresh)
		set, _ := s.Keys(time.Now())
		if set.Has(a) || !set.Has(b) || set.keys[0] != b || len(set.keys) != 2 {
			t.Errorf("after a rotation: has a %t, has b %t", set.Has(a), set.Has(b))
		}
		if !first.Has(a) {
			t.Error("the old set changed")
		}
	})
}

func TestNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		f.etag = `W/"1"`
		var results []string
		s := start(t, remoteConfig(), Options{transport: f, OnFetch: func(r string) { results = append(results, r) }})
		synctest.Wait()
		first, _ := s.Keys(time.Now())
		time.Sleep(5 * DefaultRefresh)
		synctest.Wait()
		if set, _ := s.Keys(time.Now()); set != first {
			t.Error("304 does not keep the keys fresh")
		}
		if results[0] != "ok" || results[1] != "not_modified" || results[len(results)-1] != "not_modified" {
			t.Errorf("results %v", results)
		}
		f.set(func(f *fakeIssuer) { f.etag, f.keys = `W/"2"`, []object{ecFresh("n")} })
		time.Sleep(DefaultRefresh)
		if set, _ := s.Keys(time.Now()); !set.HasKid("n") {
			t.Error("another ETag, same keys")
		}
	})
}

// The ETag of an answer that was no good must not make the next one "unchanged".
func TestETagOfABadAnswerIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		f.etag = `"good"`
		s := start(t, remoteConfig(), Options{transport: f})
		synctest.Wait()
		f.set(func(f *fakeIssuer) { f.etag, f.body = `"bad"`, `{"keys":[]}` })
		time.Sleep(DefaultRefresh)
		f.set(func(f *fakeIssuer) { f.body, f.keys = "", []object{ecFresh("n")} })
		time.Sleep(time.Minute)
		if set, _ := s.Keys(time.Now()); set == nil || !set.HasKid("n") {
			t.Error("the good document under the same ETag is not taken")
		}
	})
}

func TestTrapKeyOfIssuerAVouchingForIssuerB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fa, fb := newFakeIssuer(ecJWKObject("same-kid")), newFakeIssuer(ecFresh("same-kid"))
		a := start(t, Config{Issuer: "https://a", JWKS: "https://a/keys"}, Options{transport: fa})
		b := start(t, Config{Issuer: "https://b", JWKS: "https://b/keys"}, Options{transport: fb})
		synctest.Wait()
		setA, _ := a.Keys(time.Now())
		setB, _ := b.Keys(time.Now())
		if setB.Has(setA.keys[0]) || setA.Has(setB.keys[0]) {
			t.Error("a key is in the set of the other issuer")
		}
		signature := sign(token.ES256, ecKey())
		for _, k := range setB.Candidates(token.ES256, "same-kid", true) {
			if k.Verify(token.ES256, signingInput, signature) == nil {
				t.Error("a signature of A verifies for B")
			}
		}
		// And the outage of one is none of the other's business.
		fa.set(func(f *fakeIssuer) { f.hang = true })
		time.Sleep(2 * DefaultRefresh)
		if hasKeys(a) || !hasKeys(b) {
			t.Errorf("a has keys %t, b has keys %t", hasKeys(a), hasKeys(b))
		}
	})
}

func TestAttemptSurvivesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer(ecJWKObject("e"))
		var mended atomic.Bool
		s := start(t, remoteConfig(), Options{transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if !mended.Load() {
				panic("boom")
			}
			return f.RoundTrip(r)
		})})
		synctest.Wait()
		if hasKeys(s) || s.Status().LastError == "" {
			t.Error("a panic is no failure")
		}
		mended.Store(true)
		time.Sleep(5 * time.Second)
		if !hasKeys(s) {
			t.Error("no recovery")
		}
	})
}

func TestExposedPrivateKeyIsWarnedAboutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		f := newFakeIssuer(ecJWKObject("e"), rsaJWKObject("r").with(object{"d": "AQABAQABAQAB"}))
		s := start(t, remoteConfig(), Options{transport: f, Logger: slog.New(log)})
		time.Sleep(3 * DefaultRefresh)
		synctest.Wait()
		if n := log.count(slog.LevelWarn); n != 1 {
			t.Errorf("%d warnings:\n%s", n, log.text())
		}
		if st := s.Status(); len(st.Skipped) != 1 || !strings.Contains(st.Skipped[0], `kid "r"`) {
			t.Errorf("skipped %q", st.Skipped)
		}
		if strings.Contains(log.text(), "AQABAQAB") {
			t.Error("key material in the log")
		}
	})
}
