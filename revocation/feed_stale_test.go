package revocation

import (
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// TestRedisFeedStale: silence for long enough is a state, told once.
func TestRedisFeedStale(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	proxy := redistest.NewProxy(t, server)
	g := join(t, proxy.URL(), "", func(o *FeedOptions) { o.StaleAfter, o.Timeout = 1500*time.Millisecond, 200*time.Millisecond })
	if got := g.feed.State(); got != FeedStarting {
		t.Errorf("at the start it is %v", got)
	}
	g.caughtUp(t)
	time.Sleep(2 * time.Second) // nothing to read: each empty answer counts
	if got := g.feed.State(); got != FeedFresh {
		t.Errorf("an idle feed is %v", got)
	}
	proxy.Swallow()
	eventually(t, "it is stale", g.feed.Stale)
	eventually(t, "it is told", func() bool { return strings.Contains(g.log.String(), "is stale") })
	time.Sleep(time.Second)
	if n := strings.Count(g.log.String(), "is stale"); n != 1 {
		t.Errorf("told %d times", n)
	}
	proxy.Heal()
	eventually(t, "it is fresh again", func() bool { return !g.feed.Stale() })
	eventually(t, "that is told", func() bool { return strings.Contains(g.log.String(), "fresh again") })
}

// TestRedisFeedStaleAtTheStart: without an answer it is stale after a stated
// time.
func TestRedisFeedStaleAtTheStart(t *testing.T) {
	g := join(t, &url.URL{Scheme: "redis", Host: "127.0.0.1:1"}, "", func(o *FeedOptions) { o.StartWithin = 200 * time.Millisecond })
	if got := g.feed.State(); got != FeedStarting {
		t.Errorf("at the start it is %v", got)
	}
	eventually(t, "it is stale", g.feed.Stale)
}

// TestRedisFeedSlowServer: a server that answers after 5 s slows neither
// requests nor revocations down, and everything arrives.
func TestRedisFeedSlowServer(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	proxy := redistest.NewProxy(t, server)
	a, b := join(t, proxy.URL(), tempJournal(t), func(o *FeedOptions) { o.Timeout = 20 * time.Second }), join(t, server.URL(), "")
	a.caughtUp(t)
	b.caughtUp(t)
	proxy.Delay(5 * time.Second)
	began := time.Now()
	a.revoke(t, "s")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a revocation took %v", took)
	}
	began = time.Now()
	for range 10_000 {
		if !a.knows("s") {
			t.Fatal("not in force")
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("10,000 requests took %v", took)
	}
	eventually(t, "b knows it", func() bool { return b.knows("s") })
}

func TestRedisFeedOptionsAreChecked(t *testing.T) {
	u := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name    string
		options FeedOptions
		want    string
	}{
		{"no URL", FeedOptions{}, "no URL"},
		{"two servers", FeedOptions{URLs: []*url.URL{u("redis://a"), u("redis://b")}}, "several only"},
		{"another scheme", FeedOptions{URLs: []*url.URL{u("http://:sesame@a")}}, "begins neither"},
		{"no database", FeedOptions{URLs: []*url.URL{u("redis://a/sesame")}}, "database is no number"},
		{"a database of a cluster", FeedOptions{Cluster: true, URLs: []*url.URL{u("redis://a/1")}}, "database 0 only"},
		{"a socket of a cluster", FeedOptions{Cluster: true, URLs: []*url.URL{u("unix:///a")}}, "socket"},
		{"both", FeedOptions{Cluster: true, Sentinel: "m", URLs: []*url.URL{u("redis://a")}}, "exclude"},
		{"replicas without a time", FeedOptions{WaitReplicas: 1, URLs: []*url.URL{u("redis://a")}}, "belong together"},
		{"keep beyond the window", FeedOptions{Keep: 2, Window: 1, URLs: []*url.URL{u("redis://a")}}, "longer than the window"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = NewFeed(s, c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("error %v; wanted is %q", err, c.want)
			}
		})
	}
}

func TestRedisFeedKeysShareASlot(t *testing.T) {
	for prefix, want := range map[string]string{
		"jwtgate:": "jwtgate:{jwtgate:}revocations", "a{b}:": "a{b}:revocations", "a{}:": "a{}:{a:}revocations",
	} {
		if got := newFeedKeys(&FeedOptions{Prefix: prefix, Cluster: true}).stream; got != want {
			t.Errorf("prefix %s: key %s, not %s", prefix, got, want)
		}
	}
}

func FuzzFeedPosition(f *testing.F) {
	f.Add([]byte("1 1700000000000-5 0123456789abcdef"))
	f.Add([]byte("2 1-1 00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseAnchor(b)
		if !ok {
			return
		}
		again, ok := parseAnchor(a.encode())
		if !ok || again != a {
			t.Errorf("%q is read as %v, and again as %v", b, a, again)
		}
	})
}

// TestRedisFeedTroubleEnds: changes may leave the outbox by another way than
// appending, as when their answer was lost and they are read. Then nothing is
// left that could show that appending works again.
func TestRedisFeedTroubleEnds(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	a := join(t, server.URL(), "")
	a.caughtUp(t)
	a.feed.failed(appending, io.ErrUnexpectedEOF)
	if errs := a.feed.Status().Errors; len(errs) != 1 {
		t.Fatalf("errors: %q", errs)
	}
	a.feed.rewound <- struct{}{}
	eventually(t, "no trouble is reported", func() bool { return len(a.feed.Status().Errors) == 0 })
}
