package jwks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// With a secret beside remote keys that never came, HMAC tokens work and
// nothing can be said about the others.
func TestSecretBesideRemoteKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := []byte("0123456789abcdef0123456789abcdef")
		f := newFakeIssuer(ecJWKObject("e"))
		f.status = 500
		cfg := remoteConfig()
		cfg.Secret, cfg.Refresh = secret, time.Minute
		s := start(t, cfg, Options{transport: f})
		synctest.Wait()
		check := func(when string, ec int, kid bool) *Set {
			t.Helper()
			set, reason := s.Keys(time.Now())
			if reason != token.ReasonNone {
				t.Fatalf("%s: %v", when, reason)
			}
			hs := set.Candidates(token.HS256, "any", true)
			if len(hs) != 1 || hs[0].Verify(token.HS256, signingInput, sign(token.HS256, secret)) != nil {
				t.Errorf("%s: the secret does not work", when)
			}
			if n := len(set.Candidates(token.ES256, "e", true)); n != ec || set.HasKid("e") != kid || set.HasKid("other") {
				t.Errorf("%s: %d candidates, has kid %t", when, n, set.HasKid("e"))
			}
			return set
		}
		set := check("never obtained", 0, false)
		began := time.Now()
		if outcome := s.Refetch(context.Background(), set); outcome != Failed || time.Since(began) != 0 {
			t.Errorf("never obtained: outcome %d after %s", outcome, time.Since(began))
		}
		f.set(func(f *fakeIssuer) { f.status = 0 })
		time.Sleep(5 * time.Second)
		both := check("obtained", 1, true)
		if !both.Has(set.keys[0]) {
			t.Error("the secret is another key in another set")
		}
		f.set(func(f *fakeIssuer) { f.status = 500 })
		time.Sleep(2 * time.Minute)
		stale := check("stale", 0, false)
		if outcome := s.Refetch(context.Background(), stale); outcome != Failed {
			t.Errorf("stale: outcome %d", outcome)
		}
		if outcome := s.Refetch(context.Background(), both); outcome != Failed {
			t.Errorf("stale since: outcome %d", outcome)
		}
	})
}
