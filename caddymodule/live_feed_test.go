package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/redistest"
	"github.com/jwtgate/jwtgate/revocation"
)

// neighbour is another gateway on the same Redis, without HTTP.
type neighbour struct {
	*revocation.Store
	feed *revocation.Feed
}

func newNeighbour(t *testing.T, u *url.URL) *neighbour {
	t.Helper()
	s, err := revocation.Open(revocation.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := revocation.NewFeed(s, revocation.FeedOptions{URLs: []*url.URL{u}})
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	t.Cleanup(func() {
		f.Close()
		s.Close()
	})
	return &neighbour{s, f}
}

func (n *neighbour) revoke(t *testing.T, issuer, subject string) {
	t.Helper()
	now := time.Now().Add(time.Second) // of a token made this second, too
	e := revocation.Entry{Kind: revocation.Subject, Issuer: issuer, Value: subject, Cutoff: now, Until: now.Add(time.Hour), Via: "admin"}
	if _, err := n.Revoke(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// hears waits until n subjects are revoked.
func (n *neighbour) hears(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); n.Count()[revocation.Subject] != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the other gateway knows %d entries, want %d", n.Count()[revocation.Subject], want)
		}
	}
}

// becomes asks until the answer has that status and code.
func (g *gateway) becomes(path, token string, status int, code string) {
	g.t.Helper()
	var h heard
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if h = g.ask(path, token); h.err == nil && h.Status == status && (code == "" || strings.Contains(h.Body, code)) {
			return
		}
	}
	g.t.Fatalf("%s: %v %s, not %d %s", path, h, h.Body, status, code)
}

const feedSites = `GATEWAY {
	jwtgate_ready /ready
	jwtgate_revoke /revoke {
		secret 0123456789abcdef0123456789abcdef
	}
	jwtgate
	reverse_proxy BACKEND
}`

// TestGatewaysHearOfEachOther: what is revoked on one is refused on the other;
// while Redis is silent requests are refused or pass, as on_stale says, and
// probes hear of it; what is revoked meanwhile is answered with 202 and goes out
// later; reloads disturb nothing.
func TestGatewaysHearOfEachOther(t *testing.T) {
	for _, onStale := range []string{"deny", "allow"} {
		t.Run(onStale, func(t *testing.T) {
			server := redistest.Start(t, redistest.Options{Persist: true})
			s := &setup{Sites: feedSites, Revocation: fmt.Sprintf("journal %s\nredis %s {\ntimeout 1s\n}\nstale_after 2s\non_stale %s",
				filepath.Join(t.TempDir(), "list.db"), server.URL(), onStale)}
			g := s.start(t)
			other := newNeighbour(t, server.URL())
			alice, bob, carol := g.mint(t, "alice"), g.mint(t, "bob"), g.mint(t, "carol")
			g.becomes("/", alice, 200, "")
			g.becomes("/ready", "", 200, `"ready":true`)
			other.revoke(t, g.Issuer.URL(), "alice")
			g.becomes("/", alice, 401, "token_revoked")
			if status := g.post(t, "/revoke", `{"kind":"subject","issuer":"`+g.Issuer.URL()+`","value":"dave"}`); status != 200 {
				t.Errorf("revoked with Redis: %d", status)
			}
			other.hears(t, 2)

			server.Kill()
			if status := g.post(t, "/revoke", `{"kind":"subject","issuer":"`+g.Issuer.URL()+`","value":"bob"}`); status != 202 {
				t.Errorf("revoked without Redis: %d", status)
			}
			g.becomes("/", bob, 401, "token_revoked")
			if onStale == "deny" {
				g.becomes("/", carol, 503, "revocation_unavailable")
				g.becomes("/ready", "", 503, "stale")
			} else {
				for end := time.Now().Add(60 * time.Second); !lists.feeds.current.Load().Stale(); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatal("the feed is not stale 15 s after Redis went")
					}
				}
				g.becomes("/", carol, 200, "")
				g.becomes("/ready", "", 200, `"ready":true`)
			}
			g.becomes("/", alice, 401, "token_revoked")

			server.Restart()
			g.becomes("/", carol, 200, "")
			g.becomes("/ready", "", 200, `"ready":true`)
			other.hears(t, 3)

			feed := lists.feeds.current.Load()
			g.load(s.config(g))
			if lists.feeds.current.Load() != feed {
				t.Error("a reload replaced the feed")
			}
			if h := g.again("/", carol); h.Status != 200 {
				t.Errorf("after a reload: %v", h)
			}
			s.Revocation = strings.Replace(s.Revocation, "timeout 1s", "timeout 2s", 1)
			g.load(s.config(g))
			if lists.feeds.current.Load() == feed {
				t.Error("a reload with other settings did not replace the feed")
			}
			if h := g.again("/", carol); h.Status != 200 {
				t.Errorf("after a reload with other settings: %v", h)
			}
			other.revoke(t, g.Issuer.URL(), "carol")
			g.becomes("/", carol, 401, "token_revoked")
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			if lists.feeds.current.Load() != nil {
				t.Error("a feed remains after the end")
			}
		})
	}
}

func (g *gateway) mint(t *testing.T, subject string) string {
	t.Helper()
	return g.Issuer.Sign(map[string]any{"sub": subject, "aud": "api"})
}

func (g *gateway) post(t *testing.T, path, body string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+g.Addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer 0123456789abcdef0123456789abcdef")
	r.Header.Set("Content-Type", "application/json")
	resp, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer revocationAnswer
	if err := json.Unmarshal(text, &answer); err != nil || answer.Fed != (resp.StatusCode == 200) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	return resp.StatusCode
}
