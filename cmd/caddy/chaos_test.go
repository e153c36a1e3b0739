//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/internal/redistest"
)

// TestGatewaysAgreeAfterChaos puts three gateway processes under load while
// Redis, the network to it and the gateways themselves fail. The short form has
// one of each blow; JWTGATE_LONG=1 deals them at random for four minutes, a
// duration in its place for so long.
func TestGatewaysAgreeAfterChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("three gateways and a Redis take some seconds")
	}
	redistest.Need(t)
	c := &chaos{t: t, issuer: issuertest.New(t), redis: redistest.Start(t, redistest.Options{Persist: true}), revoked: make(map[string]revokedToken)}
	for range 40 {
		c.good = append(c.good, c.token("good"))
	}
	for n := range 3 {
		c.gateways = append(c.gateways, newChaosGateway(c, n))
	}
	for _, g := range c.gateways {
		g.awaitReady()
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); load.Wait() })
	defer end()
	for _, g := range c.gateways {
		for _, work := range []func(*chaosGateway, int){c.logout, c.revoke, c.request} {
			load.Go(func() {
				pace := time.NewTicker(20 * time.Millisecond)
				defer pace.Stop()
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-pace.C:
						work(g, n)
					}
				}
			})
		}
	}
	began := time.Now()
	blows := c.blows()
	dealt := 0
	deal := func(n int) {
		at := time.Now()
		blows[n].deal()
		c.underLoad()
		dealt++
		t.Logf("%5.1fs %s (%d ms)", at.Sub(began).Seconds(), blows[n].name, time.Since(at).Milliseconds())
	}
	for n := range blows {
		deal(n)
	}
	if long := os.Getenv("JWTGATE_LONG"); long != "" {
		duration, err := time.ParseDuration(long)
		if err != nil {
			duration = 4 * time.Minute
		}
		for time.Since(began) < duration && !t.Failed() {
			deal(rand.IntN(len(blows)))
		}
	}
	end()
	t.Logf("%d blows in %.1f s: %d revocations acknowledged, %d of them with 202, %d undone again; %d requests answered; without an answer %d, with 503 %d",
		dealt, time.Since(began).Seconds(), c.acks.Load(), c.accepted.Load(), c.undone.Load(), c.answered.Load(), c.silent.Load(), c.unavailable.Load())
	c.checkLists()
	c.checkTokens()
	c.checkLogs()
}

type chaos struct {
	t        *testing.T
	issuer   *issuertest.Issuer
	redis    *redistest.Server
	gateways []*chaosGateway
	good     []string // never revoked

	mu      sync.Mutex
	revoked map[string]revokedToken // by jti; all for which it was asked

	acks, accepted, undone, answered, silent, unavailable, failures atomic.Int64
}

// revokedToken is what is known about a token that was to be revoked. Where no
// answer came, or a 503, either state is right.
type revokedToken struct {
	token                         string
	acknowledged, undone, unknown bool
}

var chaosTokens atomic.Int64

func (c *chaos) token(kind string) string {
	return c.issuer.Sign(map[string]any{"jti": fmt.Sprintf("%s-%d", kind, chaosTokens.Add(1)), "exp": time.Now().Add(2 * time.Hour)})
}

func (c *chaos) newVictim(kind string) (jti, token string) {
	jti = fmt.Sprintf("%s-%d", kind, chaosTokens.Add(1))
	token = c.issuer.Sign(map[string]any{"jti": jti, "exp": time.Now().Add(2 * time.Hour)})
	c.note(jti, revokedToken{token: token, unknown: true})
	return jti, token
}

func (c *chaos) note(jti string, r revokedToken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revoked[jti] = r
}

// fail reports the first failures only.
func (c *chaos) fail(format string, args ...any) {
	c.t.Helper()
	if n := c.failures.Add(1); n <= 10 {
		c.t.Errorf(format, args...)
	}
}

// acknowledged sorts an answer to a revocation.
func (c *chaos) acknowledged(g *chaosGateway, what string, status int, body string) bool {
	switch {
	case status == 0:
		c.silent.Add(1)
	case status == http.StatusServiceUnavailable:
		c.unavailable.Add(1)
	case status/100 == 2:
		if status == http.StatusAccepted {
			c.accepted.Add(1)
		}
		return true
	default:
		c.fail("gateway %d: %s: %d %s", g.number, what, status, body)
	}
	return false
}

func (c *chaos) logout(g *chaosGateway, _ int) {
	jti, token := c.newVictim("logout")
	if status, body := g.ask("POST", g.site+"/auth/logout", token, nil); c.acknowledged(g, "logout", status, body) {
		c.note(jti, revokedToken{token: token, acknowledged: true})
		c.acks.Add(1)
		c.refusedHere(g, token)
	}
}

// revoke uses the admin API, and undoes every eighth revocation there.
func (c *chaos) revoke(g *chaosGateway, n int) {
	jti, token := c.newVictim("admin")
	asked, err := json.Marshal(map[string]string{"kind": "token", "token": token})
	if err != nil {
		c.fail("%v", err)
		return
	}
	status, body := g.ask("POST", g.admin+"/jwtgate/revocations", "", asked)
	if !c.acknowledged(g, "revoke", status, body) {
		return
	}
	var entry struct{ ID string }
	if err := json.Unmarshal([]byte(body), &entry); err != nil || entry.ID == "" {
		c.fail("gateway %d: revoke: no id in %s", g.number, body)
	}
	if n%8 != 0 {
		c.note(jti, revokedToken{token: token, acknowledged: true})
		c.acks.Add(1)
		c.refusedHere(g, token)
		return
	}
	status, body = g.ask("DELETE", g.admin+"/jwtgate/revocations/"+entry.ID, "", nil)
	if c.acknowledged(g, "undo", status, body) {
		c.note(jti, revokedToken{token: token, acknowledged: true, undone: true})
		c.acks.Add(1)
		c.undone.Add(1)
	}
}

// refusedHere: what a gateway acknowledged it refuses from then on, restarted
// or not.
func (c *chaos) refusedHere(g *chaosGateway, token string) {
	if status, body := g.ask("GET", g.site+"/orders", token, nil); status != 0 && status != http.StatusServiceUnavailable &&
		(status != http.StatusUnauthorized || !strings.Contains(body, `"token_revoked"`)) {
		c.fail("gateway %d: right after the revocation was acknowledged: %d %s", g.number, status, body)
	}
}

func (c *chaos) request(g *chaosGateway, n int) {
	switch status, body := g.ask("GET", g.site+"/orders", c.good[n%len(c.good)], nil); status {
	case 0:
		c.silent.Add(1)
	case http.StatusServiceUnavailable:
		c.unavailable.Add(1)
	case http.StatusOK:
		c.answered.Add(1)
	default:
		c.fail("gateway %d: a token that nobody revoked: %d %s", g.number, status, body)
	}
}

// underLoad returns when some more revocations are acknowledged.
func (c *chaos) underLoad() {
	c.t.Helper()
	target := c.acks.Load() + 100
	c.await("revocations under load", func() bool { return c.acks.Load() >= target })
}

func (c *chaos) await(what string, done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within a minute: %s", what)
		}
	}
}

type blow struct {
	name string
	deal func()
}

func (c *chaos) blows() []blow {
	one := func() *chaosGateway { return c.gateways[rand.IntN(len(c.gateways))] }
	return []blow{
		{"gateways reloaded", func() {
			for _, g := range c.gateways {
				g.reload()
			}
		}},
		{"gateway killed", func() { g := one(); g.kill(); c.underLoad(); g.start(); g.awaitReady() }},
		{"Redis paused", func() { c.redis.Pause(); c.underLoad(); c.redis.Resume() }},
		{"Redis killed, restarted with its data", func() { c.redis.Kill(); c.underLoad(); c.redis.Restart() }},
		{"Redis restarted empty", func() { c.redis.RestartEmpty() }},
		{"Redis killed, gateways reloaded, Redis restarted empty", func() {
			c.redis.Kill()
			for _, g := range c.gateways {
				g.reload()
			}
			c.underLoad()
			c.redis.RestartEmpty()
		}},
		{"gateway cut off", func() { p := one().proxy; p.Cut(); c.underLoad(); p.Heal() }},
		{"gateway's packets swallowed, then Redis emptied", func() {
			p := one().proxy
			p.Swallow()
			c.underLoad()
			c.redis.RestartEmpty()
			p.Heal()
		}},
		{"connections slow, half-closed and dropped", func() {
			for _, g := range c.gateways {
				g.proxy.Delay(50 * time.Millisecond)
			}
			c.underLoad()
			for n, g := range c.gateways {
				if n%2 == 0 {
					g.proxy.HalfClose()
				} else {
					g.proxy.Drop()
				}
			}
			c.underLoad()
			for _, g := range c.gateways {
				g.proxy.Heal()
			}
		}},
		{"gateway with an outbox killed, started without Redis, Redis restarted empty", func() {
			g := one()
			c.redis.Kill()
			c.underLoad()
			g.kill()
			g.start()
			c.underLoad()
			c.redis.RestartEmpty()
			g.awaitReady()
		}},
		{"gateway killed in the middle of a reload", func() {
			g := one()
			reloaded := make(chan struct{})
			go func() {
				defer close(reloaded)
				g.load()
			}()
			time.Sleep(rand.N(100 * time.Millisecond)) // a reload takes some 70 ms
			g.kill()
			<-reloaded
			g.start()
			g.awaitReady()
		}},
	}
}
