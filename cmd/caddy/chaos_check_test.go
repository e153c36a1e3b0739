//go:build unix

package main

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// listed is what of an entry must be the same everywhere.
type listed struct {
	ID, Value, Until string
	Undone           bool
}

// checkLists waits until the lists are the same, and compares them with what
// was acknowledged and asked for.
func (c *chaos) checkLists() {
	c.t.Helper()
	began := time.Now()
	lists := make([]map[string]listed, len(c.gateways))
	for deadline := began.Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		for n, g := range c.gateways {
			lists[n] = g.export()
		}
		if maps.Equal(lists[0], lists[1]) && maps.Equal(lists[0], lists[2]) {
			break
		}
		if time.Now().After(deadline) {
			for n := 1; n < len(lists); n++ {
				c.reportDifference(n, lists[0], lists[n])
			}
			break
		}
	}
	c.t.Logf("lists of %d, %d and %d entries, compared after %d ms", len(lists[0]), len(lists[1]), len(lists[2]), time.Since(began).Milliseconds())
	for n, list := range lists {
		for jti, r := range c.revoked {
			e, found := list[jti]
			switch {
			case r.acknowledged && !found:
				c.fail("gateway %d: %s is acknowledged and not in the list", n, jti)
			case r.acknowledged && e.Undone != r.undone:
				c.fail("gateway %d: %s: undone is %v, want %v", n, jti, e.Undone, r.undone)
			}
		}
		for jti := range list {
			if _, asked := c.revoked[jti]; !asked {
				c.fail("gateway %d: %s is in the list, and nobody asked for it", n, jti)
			}
		}
	}
}

func (c *chaos) reportDifference(n int, first, other map[string]listed) {
	c.t.Helper()
	for jti, e := range first {
		if other[jti] != e {
			c.fail("gateway 0 has %+v, gateway %d %+v", e, n, other[jti])
		}
	}
	for jti, e := range other {
		if _, found := first[jti]; !found {
			c.fail("gateway %d has %+v, gateway 0 nothing", n, e)
		}
	}
}

// checkTokens presents every token to every gateway.
func (c *chaos) checkTokens() {
	began := time.Now()
	var asking sync.WaitGroup
	var refused, passed atomic.Int64
	c.good = append(c.good, c.token("good"))
	for _, g := range c.gateways {
		asking.Go(func() {
			for jti, r := range c.revoked {
				if r.unknown {
					continue
				}
				status, body := g.ask("GET", g.site+"/orders", r.token, nil)
				switch {
				case r.undone && status == http.StatusOK:
					passed.Add(1)
				case !r.undone && status == http.StatusUnauthorized && strings.Contains(body, `"token_revoked"`):
					refused.Add(1)
				default:
					c.fail("gateway %d: %s (undone: %v): %d %s", g.number, jti, r.undone, status, body)
				}
			}
			for _, token := range c.good {
				status, body := g.ask("GET", g.site+"/orders", token, nil)
				if status != http.StatusOK {
					c.fail("gateway %d: a token that nobody revoked: %d %s", g.number, status, body)
					continue
				}
				passed.Add(1)
			}
		})
	}
	asking.Wait()
	c.t.Logf("%d answers token_revoked, %d answers 200, in %.1f s", refused.Load(), passed.Load(), time.Since(began).Seconds())
}

// checkLogs looks for what must never be there. The gateways are as much
// race-enabled as the test.
func (c *chaos) checkLogs() {
	header, _, _ := strings.Cut(c.good[0], ".")
	for _, g := range c.gateways {
		log, err := os.ReadFile(g.log)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", header} {
			if at := bytes.Index(log, []byte(bad)); at >= 0 {
				c.t.Errorf("gateway %d: %q in its log: %.2000s", g.number, bad, log[at:])
			}
		}
	}
}
