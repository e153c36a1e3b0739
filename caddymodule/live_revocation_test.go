package caddymodule

import (
	"crypto/elliptic"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// TestLogoutIsTrueOnTheNextRequest: from the moment the client has its 2xx, no
// request that begins with that token succeeds, whatever is warm and however
// many ask at once.
func TestLogoutIsTrueOnTheNextRequest(t *testing.T) {
	g := newLogoutGateway(t)
	g.mustLoad("a.db", logoutAndAPI)
	g.ready()
	rounds := 100
	switch {
	case os.Getenv("JWTGATE_LONG") != "":
		rounds = 1000
	case raceEnabled:
		rounds = 30
	}
	const clients = 16
	var pool []*http.Client
	for range clients {
		pool = append(pool, g.client())
	}
	var accepted, refused atomic.Int64
	for round := range rounds {
		raw := g.issuer.Sign(nil)
		for range 3 { // the verdict is warm
			if a := g.send(pool[0], "GET", "/", raw); a.Status != 200 {
				t.Fatalf("round %d: %d %s", round, a.Status, a.Body)
			}
		}
		var out atomic.Bool // somebody has the 2xx of a logout
		var asking sync.WaitGroup
		for n, client := range pool {
			asking.Go(func() {
				for i := 0; i < 200; i++ {
					over := out.Load()
					if n < 2 && i == 5 {
						switch a := g.send(client, "POST", "/auth/logout", raw); {
						case a.Status == 204 && !over:
							out.Store(true)
						case a.Status != 401 && over, a.Status != 204 && a.Status != 401:
							t.Errorf("round %d: logout: %d %s", round, a.Status, a.Body)
						}
						continue
					}
					a := g.send(client, "GET", "/", raw)
					switch {
					case a.Status == 200 && over:
						t.Errorf("round %d: accepted after the logout was acknowledged", round)
						return
					case a.Status == 200:
						accepted.Add(1)
					case a.Status == 401 && a.code() == "token_revoked":
						refused.Add(1)
						if over {
							return
						}
					default:
						t.Errorf("round %d: %d %s", round, a.Status, a.Body)
						return
					}
				}
			})
		}
		asking.Wait()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds: %d accepted before, %d refused after", rounds, accepted.Load(), refused.Load())
	if accepted.Load() < int64(rounds) || refused.Load() < int64(rounds*clients/2) {
		t.Errorf("%d accepted, %d refused: the race was none", accepted.Load(), refused.Load())
	}
}

// negated is an ES256 signature with s replaced by n-s: as good as before.
func negated(_ string, signature []byte) []byte {
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s)
	return append(signature[:32:32], s.FillBytes(make([]byte, 32))...)
}

// TestRevokedTokensInOtherClothes: one token has one spelling, and whatever else
// carries its identity is revoked with it.
func TestRevokedTokensInOtherClothes(t *testing.T) {
	g := newLogoutGateway(t, "ES256", "RS256")
	g.mustLoad("a.db", logoutAndAPI)
	client := g.ready()
	for _, claims := range []map[string]any{{"jti": "same"}, {"jti": nil, "sub": "carol"}} {
		raw := g.issuer.Sign(claims, issuertest.Alg("ES256"))
		dot := strings.LastIndexByte(raw, '.')
		signature, err := decodeSegment(raw[dot+1:])
		if err != nil {
			t.Fatal(err)
		}
		other := raw[:dot+1] + encodeSegment(negated("", signature))
		for name, token := range map[string]string{"as signed": raw, "n-s": other} {
			if a := g.send(client, "GET", "/", token); a.Status != 200 {
				t.Fatalf("%s: %d %s", name, a.Status, a.Body)
			}
		}
		if a := g.send(client, "POST", "/auth/logout", raw); a.Status != 204 {
			t.Fatalf("logout: %d %s", a.Status, a.Body)
		}
		for name, token := range map[string]string{"as signed": raw, "n-s": other} {
			if a := g.send(client, "GET", "/", token); a.code() != "token_revoked" {
				t.Errorf("%v, %s: %d %s", claims, name, a.Status, a.code())
			}
		}
		for name, token := range map[string]string{
			"padded": raw + "=", "trailing bits": raw[:len(raw)-1] + string(nextBase64(raw[len(raw)-1])),
			"a line break": raw[:10] + "\n" + raw[10:], "standard base64": strings.NewReplacer("-", "+", "_", "/").Replace(raw) + "==",
		} {
			r, _ := http.NewRequest("GET", "http://gateway/", nil)
			r.Header["Authorization"] = []string{"Bearer " + token}
			resp, err := client.Do(r)
			if err != nil {
				continue // the client itself refuses to send it
			}
			resp.Body.Close()
			if resp.StatusCode != 401 && resp.StatusCode != 400 {
				t.Errorf("%s: %d", name, resp.StatusCode)
			}
		}
	}
	// Another key, another order of members: the same jti.
	again := g.issuer.Sign(nil, issuertest.Alg("RS256"), issuertest.RawPayload(fmt.Sprintf(
		`{ "jti":"s\u0061me", "exp":%d, "aud":["api"], "sub":"alice", "iss":%q}`, time.Now().Add(time.Minute).Unix(), g.issuer.URL())))
	if a := g.send(client, "GET", "/", again); a.code() != "token_revoked" {
		t.Errorf("another token text of the same jti: %d %s", a.Status, a.code())
	}
}

// TestAllowExpiredIsEffectiveNowhereElse than behind the logout's mark.
func TestAllowExpiredIsEffectiveNowhereElse(t *testing.T) {
	g := newLogoutGateway(t)
	g.mustLoad("a.db", `jwtgate_logout /auth/logout {
			allow_expired 720h
		}
		jwtgate
		respond /auth/logout 204
		respond ok`)
	client := g.ready()
	expired := func(ago time.Duration) string {
		return g.issuer.Sign(map[string]any{"iat": time.Now().Add(-ago - time.Minute), "exp": time.Now().Add(-ago)})
	}
	old := expired(time.Hour)
	for _, path := range []string{"/", "/auth/logout/", "/auth/logout2", "/auth", "/AUTH/logouts"} {
		if a := g.send(client, "GET", path, old); a.code() != "token_expired" {
			t.Errorf("%s: %d %s", path, a.Status, a.code())
		}
	}
	for _, c := range []struct {
		ago    time.Duration
		status int
		code   string
	}{{time.Hour, 204, ""}, {719 * time.Hour, 204, ""}, {721 * time.Hour, 401, "token_expired"}} {
		raw := expired(c.ago)
		if a := g.send(client, "POST", "/auth/logout", raw); a.Status != c.status || a.code() != c.code {
			t.Errorf("%s ago: %d %s", c.ago, a.Status, a.code())
		}
		if a := g.send(client, "GET", "/", raw); a.code() != "token_expired" {
			t.Errorf("%s ago, elsewhere: %d %s", c.ago, a.Status, a.code())
		}
	}
	if a := g.send(client, "POST", "/auth/logout", old); a.Status != 204 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := g.send(client, "POST", "/auth/logout", old); a.code() != "token_revoked" {
		t.Errorf("sent again: %d %s", a.Status, a.code())
	}
}
