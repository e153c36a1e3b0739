package caddymodule

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/redistest"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// sickList is a list whose figures the test chooses.
type sickList struct {
	*fakeList
	stats revocation.Stats
}

func (l *sickList) Stats() revocation.Stats { return l.stats }

// TestStatusWhileThingsAreMissing: what is not there yet, or not any more, is
// named, and nothing else breaks for it.
func TestStatusWhileThingsAreMissing(t *testing.T) {
	now := time.Now()
	stale := &revocation.FeedStatus{State: revocation.FeedStale, Redis: "r:6379", Synced: true, Age: time.Hour, Outbox: 3, Errors: []string{"read: refused"}}
	feed := func(status *revocation.FeedStatus, onStale string) func(*adminBench) {
		return func(b *adminBench) {
			b.view.about.settings = &revocationSettings{redis: &redisSettings{urls: []*url.URL{{Scheme: "redis", Host: "r:6379", User: url.UserPassword("u", "hidden")}}, password: "hidden"}, onStale: onStale}
			b.view.about.feed = func() *revocation.FeedStatus { return status }
			b.view.feed = func() error { return nil }
		}
	}
	for _, tt := range []struct {
		name  string
		sick  func(b *adminBench)
		state string
		exit  int
		words []string // on the screen
	}{
		{"nothing", func(*adminBench) {}, stateOK, 0, []string{"OK  Everything is in order."}},
		{"loading", func(b *adminBench) { b.list.ready = token.Refuse(token.RevocationLoading, "", "") }, stateNotReady, 1,
			[]string{"NOT READY", "is being loaded", "3 of 10 entries are read", "NOT LOADED, 3 of 10 read"}},
		{"damaged", func(b *adminBench) { b.list.ready = &revocation.DamageError{Path: "/j", Reason: "torn"} }, stateNotReady, 1,
			[]string{"cannot be read", "revocation journal /j: torn", "on_damage rename"}},
		{"a list that was never opened", func(b *adminBench) {
			v := newListView(t.Context(), newListRegistry(), &revocationSettings{}, &lender{logger: slog.New(slog.DiscardHandler)})
			list, release := v.open()
			t.Cleanup(release)
			b.view.list = list
		}, stateNotReady, 1, []string{"is being loaded"}},
		{"disk", func(b *adminBench) {
			b.view.about.journal = "/var/j.db"
			b.view.list = &sickList{b.list, revocation.Stats{NotDurable: 2, DiskBytes: 4096, DiskError: "no space left on device"}}
		}, stateDegraded, 1, []string{"2 revocations cannot be saved", "no space left on device", "Look at the disk of /var/j.db", "DISK FAILS", "4.0 KiB"}},
		{"no issuer", func(b *adminBench) { b.view.issuers = nil }, stateOK, 0, []string{"No issuer is configured."}},
		{"keys on their way", func(b *adminBench) {
			iss := benchWith(t, "http://127.0.0.1:1", jwks.Config{Issuer: "http://127.0.0.1:1", JWKS: "http://127.0.0.1:1/keys"})
			b.view.issuers = iss.view.issuers
		}, stateNotReady, 1, []string{"NOT READY", "No usable keys", "connection refused"}},
		{"feed not begun", feed(nil, "deny"), stateDegraded, 1, []string{"is being read from Redis", "STARTING, r:6379, never read to its end"}},
		{"feed stale, deny", feed(stale, "deny"), stateDegraded, 1, []string{"(`on_stale deny`)", "read: refused", "Waiting here for it: 3 changes.", "read to its end 1h0m ago"}},
		{"feed stale, allow", feed(stale, "allow"), stateWarning, 0, []string{"WARNING  In order, with 1 warning.", "(`on_stale allow`)"}},
		{"feed fresh, with trouble", feed(&revocation.FeedStatus{State: revocation.FeedFresh, Synced: true, Errors: []string{"write: NOPERM"}}, "deny"), stateWarning, 0, []string{"write: NOPERM"}},
		{"feed fresh", feed(&revocation.FeedStatus{State: revocation.FeedFresh, Redis: "r:6379", Synced: true, Lag: 1500 * time.Microsecond}, "deny"), stateOK, 0, []string{"FRESH, r:6379", "lag 1.5 ms"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newAdminBench(t)
			b.view.now = func() time.Time { return now }
			tt.sick(b)
			c := serveAdmin(t, b.mux)
			a := b.send("GET", "/jwtgate/status", "", "")
			var s gatewayStatus
			if err := json.Unmarshal([]byte(a.Body), &s); err != nil || a.Status != 200 || s.State != tt.state || strings.Contains(a.Body, "hidden") || strings.Contains(a.Body, "null,null") {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			for _, list := range []string{"problems", "reasons", "degraded", "issuers", "decisions"} {
				if strings.Contains(a.Body, `"`+list+`":null`) {
					t.Errorf("%s is null", list)
				}
			}
			var out string
			waitFor := func() bool {
				var err error
				out, _, err = c.run("", "status")
				if cli.Code(err) != tt.exit {
					return false
				}
				for _, words := range tt.words {
					if !strings.Contains(out, words) {
						return false
					}
				}
				return true
			}
			for end := time.Now().Add(60 * time.Second); !waitFor(); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("want exit %d and %q:\n%s", tt.exit, tt.words, out)
				}
			}
		})
	}
}

// TestStatusOfTheFeed with a real Redis: fresh, then gone, and back. Its
// password is nowhere.
func TestStatusOfTheFeed(t *testing.T) {
	redistest.Need(t)
	g := newAdminGateway(t)
	const password = "the-password-of-redis"
	server := redistest.Start(t, redistest.Options{Persist: true, Args: []string{"requirepass " + password}})
	u := *server.URL()
	u.User = url.UserPassword("", password)
	g.mustLoadApp(fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["api"]}],
		"revocation": {"journal": %q, "stale_after": "2s", "redis": {"urls": [%q], "timeout": "1s"}}}`,
		g.iss.URL(), filepath.Join(g.dir, "list.db"), u.String()), `{"handler": "jwtgate"},`)
	becomes := func(state, feed string) *gatewayStatus {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			s := g.statusOf()
			if s.State == state && s.Feed != nil && s.Feed.State == feed {
				return s
			}
			if time.Now().After(end) {
				t.Fatalf("want %s, feed %s: %+v %+v", state, feed, s, s.Feed)
			}
		}
	}
	s := becomes(stateOK, "fresh")
	if s.Feed.Redis != u.Host || s.Feed.LastAnswer == nil || s.Feed.OnStale != "deny" {
		t.Errorf("%+v", s.Feed)
	}
	server.Kill()
	g.must("", "revoke", "--issuer", g.iss.URL(), "--jti", "x")
	s = becomes(stateNotReady, "stale")
	if s.Feed.Outbox != 1 || s.Feed.LastError == "" || s.Ready || len(s.Reasons) != 1 {
		t.Errorf("%+v %+v", s, s.Feed)
	}
	if raw := g.admin("GET", "/jwtgate/status", "", nil).Body; strings.Contains(raw, password) {
		t.Errorf("the password is in %s", raw)
	}
	server.Restart()
	becomes(stateOK, "fresh")
	eventually(t, "the outbox is empty", func() bool { return g.statusOf().Feed.Outbox == 0 })
}
