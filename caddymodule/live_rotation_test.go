package caddymodule

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/internal/signing"
)

// TestKeysRotateAndNoValidTokenIsRefused: clients go on while the issuer
// rotates. The first new key is used at once, the others are published before
// they are used, and the oldest is withdrawn after its last token.
func TestKeysRotateAndNoValidTokenIsRefused(t *testing.T) {
	iss := issuertest.New(t, "ES256")
	iss.SetCacheControl("-") // so that refresh counts
	g := (&setup{Issuer: iss, Keys: "refresh 1s", Sites: gateSite, Level: "INFO"}).start(t)
	g.passes(patience, "/", iss.Sign(nil))

	type issued struct {
		key  *signing.Key
		warm string
	}
	var mu sync.RWMutex // held for reading from the choice of a key to the answer
	var valid []issued
	use := func(key *signing.Key) {
		next := issued{key, iss.Sign(nil, issuertest.Key(key))}
		mu.Lock()
		defer mu.Unlock()
		valid = append(valid, next)
	}
	use(iss.Key())

	var stop atomic.Bool
	var asked, refused atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				mu.RLock()
				from := valid[rand.IntN(len(valid))]
				raw := from.warm
				if rand.IntN(2) == 0 {
					raw = iss.Sign(nil, issuertest.Key(from.key))
				}
				h := g.ask("/", raw)
				mu.RUnlock()
				asked.Add(1)
				if (h.err != nil || h.Status != http.StatusOK) && refused.Add(1) < 5 {
					t.Errorf("a valid token of key %s: %s", from.key.ID(), h)
				}
				g.Backend.take()
			}
		})
	}
	goOn := func() {
		since := asked.Load()
		eventually(t, "40 more requests", func() bool { return asked.Load() >= since+40 })
	}

	goOn()
	use(iss.Rotate())
	goOn()
	for range 3 {
		next := iss.Rotate()
		asks := iss.KeyRequests()
		// When the second one comes, the first is in use.
		eventually(t, "two refreshes", func() bool { return iss.KeyRequests() >= asks+2 })
		use(next)
		goOn()
		mu.Lock()
		old := valid[0].key
		valid = valid[1:]
		mu.Unlock()
		iss.Withdraw(old.ID())
		goOn()
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d requests over 4 rotations and 3 withdrawals, %d fetches", asked.Load(), iss.KeyRequests())
}

// TestRotationIsAcceptedAtOnce: without a flood the first token of a new key
// passes at its first try, with one fetch past all caches. So does new material
// under an old kid.
func TestRotationIsAcceptedAtOnce(t *testing.T) {
	for name, next := range map[string]func(*issuertest.Issuer) *signing.Key{
		"a new kid": func(iss *issuertest.Issuer) *signing.Key { return iss.Rotate() },
		"new material under the same kid": func(iss *issuertest.Issuer) *signing.Key {
			old := iss.Key().ID()
			fresh := iss.RotateWithdraw().WithID(old)
			iss.Publish(signing.MarshalJWKS(fresh))
			return fresh
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup{Sites: gateSite}
			g := s.start(t)
			g.passes(patience, "/", g.Issuer.Sign(nil))
			key, asks := next(g.Issuer), g.Issuer.KeyRequests()
			for range 3 {
				if h := g.ask("/", g.Issuer.Sign(nil, issuertest.Key(key))); h.err != nil || h.Status != http.StatusOK {
					t.Errorf("a token of the new key: %s", h)
				}
			}
			if n := g.Issuer.KeyRequests() - asks; n != 1 {
				t.Errorf("%d fetches, want 1", n)
			}
			if got := g.Issuer.LastKeyRequest().Get("Cache-Control"); got != "no-cache" {
				t.Errorf("the fetch asked with Cache-Control %q", got)
			}
		})
	}
}

// TestTrapCachedVerdictOutlivingAWithdrawnKey: what the key vouched for is
// refused from the next refresh on, however often it was let through before.
func TestTrapCachedVerdictOutlivingAWithdrawnKey(t *testing.T) {
	iss := issuertest.New(t, "ES256")
	iss.SetCacheControl("-")
	g := (&setup{Issuer: iss, Keys: "refresh 1s", Sites: gateSite}).start(t)
	var warm []string
	for range 3 {
		warm = append(warm, iss.Sign(nil))
	}
	g.passes(patience, "/", warm[0])
	for range 3 {
		for _, raw := range warm {
			if h := g.ask("/", raw); h.err != nil || h.Status != http.StatusOK {
				t.Fatalf("before the withdrawal: %s", h)
			}
		}
	}
	iss.RotateWithdraw()
	asks := iss.KeyRequests()
	eventually(t, "two refreshes", func() bool { return iss.KeyRequests() >= asks+2 })
	for range 3 {
		for _, raw := range warm {
			if h := g.ask("/", raw); h.err != nil || h.Status != http.StatusUnauthorized || h.code() != "token_invalid" {
				t.Errorf("after the withdrawal: %s", h)
			}
		}
		if h := g.ask("/", iss.Sign(nil)); h.err != nil || h.Status != http.StatusOK {
			t.Errorf("a token of the new key: %s", h)
		}
	}
	g.logged(`"keys changed"`, `"withdrawn"`)
}
