package revocation

import (
	"fmt"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// old puts entries into the stream as if it had been long ago.
func old(server *redistest.Server, n int, ago time.Duration, name string, until time.Time) {
	ms := time.Now().Add(-ago).UnixMilli()
	for i := range n {
		e := feedEntry(fmt.Sprint(name, i))
		e.RevokedAt, e.Until = time.Now().Add(-ago), until
		server.Do("XADD", streamKey, fmt.Sprintf("%d-%d", ms, i+1), fieldNew, AppendEntry(nil, &e))
	}
}

func TestRedisFeedIsTrimmed(t *testing.T) {
	dead, live := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, c := range []struct {
		name string
		fill func(*redistest.Server)
		// The length afterwards, with the one entry that is always there, and
		// the live entries.
		length, live int
	}{
		{"what is over goes before the window", func(s *redistest.Server) {
			old(s, 700, 2*time.Hour, "dead", dead)
		}, 1, 1},
		{"the few live ones among it are appended again", func(s *redistest.Server) {
			old(s, 300, 3*time.Hour, "dead", dead)
			old(s, 20, 2*time.Hour, "live", live)
			old(s, 300, time.Hour, "gone", dead)
		}, 21, 21},
		{"live ones stay within the window", func(s *redistest.Server) {
			old(s, 100, 2*time.Hour, "live", live)
			old(s, 100, time.Hour, "dead", dead)
		}, 201, 101},
		{"live ones beyond the window are appended again", func(s *redistest.Server) {
			old(s, 600, 30*time.Hour, "live", live)
			old(s, 100, 2*time.Hour, "here", live)
		}, 701, 701},
		{"nothing younger than keep goes", func(s *redistest.Server) {
			old(s, 100, 5*time.Minute, "dead", dead)
		}, 101, 1},
		{"what was over a moment ago may be live elsewhere", func(s *redistest.Server) {
			old(s, 100, time.Hour, "dead", time.Now().Add(-time.Minute))
		}, 101, 1},
		{"another release's is kept while it is live", func(s *redistest.Server) {
			old(s, 100, 3*time.Hour, "dead", dead)
			e := feedEntry("other")
			wire := AppendEntry(nil, &e)
			wire[0] = 99
			s.Do("XADD", streamKey, fmt.Sprint(time.Now().Add(-2*time.Hour).UnixMilli()), fieldNew, wire)
		}, 2, 1},
		{"what is no entry goes", func(s *redistest.Server) {
			s.Do("XADD", streamKey, "1-1", "other", "field")
			s.Do("XADD", streamKey, "1-2", fieldNew, "short")
		}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.Options{})
			c.fill(server)
			g := join(t, server.URL(), "")
			g.caughtUp(t)
			g.revoke(t, "last")
			eventually(t, "it is fed", func() bool { return g.Stats().Outbox == 0 })
			for range 2 {
				if err := g.feed.trim(); err != nil {
					t.Fatal(err)
				}
			}
			if got := server.Int("XLEN", streamKey); got != int64(c.length) {
				t.Errorf("%d entries are left, not %d", got, c.length)
			}
			b := join(t, server.URL(), "")
			b.caughtUp(t)
			if got := len(b.list(t)); got != c.live {
				t.Errorf("who joins now knows %d entries, not %d", got, c.live)
			}
			if n := g.feed.Status().Losses; n != 0 {
				t.Errorf("%d losses", n)
			}
		})
	}
}

// TestRedisFeedTrimmedPastAGateway: one that was away for so long that the
// stream does not reach back to where it was reads it from the beginning.
func TestRedisFeedTrimmedPastAGateway(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	old(server, 300, 20*time.Hour, "dead", time.Now().Add(-time.Hour))
	a, b := join(t, server.URL(), ""), join(t, server.URL(), tempJournal(t))
	a.caughtUp(t)
	b.caughtUp(t)
	b.stop(t)
	a.revoke(t, "meanwhile")
	eventually(t, "it is fed", func() bool { return a.Stats().Outbox == 0 })
	if err := a.feed.trim(); err != nil {
		t.Fatal(err)
	}
	if n := server.Int("XLEN", streamKey); n != 1 {
		t.Fatalf("%d entries", n)
	}
	b.start(t)
	b.caughtUp(t)
	if !b.knows("meanwhile") {
		t.Error("caught up without what was revoked meanwhile")
	}
	if n := b.feed.Status().Losses; n != 0 {
		t.Errorf("%d losses of a server that lost nothing", n)
	}
	if n := server.Int("XLEN", streamKey); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// TestRedisFeedClocksApart: who does not know the time says nothing is over.
func TestRedisFeedClocksApart(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	old(server, 100, 2*time.Hour, "dead", time.Now().Add(-time.Hour))
	g := join(t, server.URL(), "", func(o *FeedOptions) {
		o.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	})
	g.caughtUp(t)
	for range 2 {
		if err := g.feed.trim(); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Int("XLEN", streamKey); n != 100 {
		t.Errorf("%d entries are left", n)
	}
}
