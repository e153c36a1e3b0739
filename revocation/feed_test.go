package revocation

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// longRun reports whether tests take the time that they deserve.
func longRun() bool { return os.Getenv("JWTGATE_LONG") == "1" }

// feedLog collects what a feed says.
type feedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *feedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *feedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// gateway is a store with its feed.
type gateway struct {
	*Store
	feed    *Feed
	log     *feedLog
	options FeedOptions
	path    string // of the journal
}

// join starts a gateway. An empty path is a list in memory.
func join(t testing.TB, u *url.URL, path string, change ...func(*FeedOptions)) *gateway {
	t.Helper()
	g := &gateway{log: new(feedLog), path: path}
	g.options = FeedOptions{
		URLs: []*url.URL{u}, Timeout: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&g.options)
	}
	g.start(t)
	t.Cleanup(func() {
		g.stop(t)
		if t.Failed() {
			t.Logf("log of a gateway:\n%s", g.log)
		}
	})
	return g
}

func (g *gateway) start(t testing.TB) {
	t.Helper()
	var err error
	if g.Store, err = Open(Options{Path: g.path}); err != nil {
		t.Fatal(err)
	}
	if g.feed, err = NewFeed(g.Store, g.options); err != nil {
		t.Fatal(err)
	}
	g.feed.Start()
}

func (g *gateway) stop(t testing.TB) {
	t.Helper()
	if err := g.feed.Close(); err != nil {
		t.Errorf("closing the feed: %v", err)
	}
	if err := g.Store.Close(); err != nil {
		t.Errorf("closing the store: %v", err)
	}
}

func (g *gateway) revoke(t testing.TB, value string) Entry {
	t.Helper()
	r, err := g.Revoke(t.Context(), feedEntry(value))
	if err != nil {
		t.Fatal(err)
	}
	return r.Entry
}

func feedEntry(value string) Entry {
	return Entry{Kind: Session, Issuer: "https://id.example.com", Value: value, Until: time.Now().Add(time.Hour), Via: "admin"}
}

func (g *gateway) knows(value string) bool {
	ids := IDs{Session: DigestOf(Session, "https://id.example.com", value)}
	kind, err := g.Revoked(&ids)
	return err == nil && kind == Session
}

func (g *gateway) caughtUp(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := g.feed.CaughtUp(ctx); err != nil {
		t.Fatalf("not caught up: %v\n%s", err, g.log)
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	const within = time.Minute
	for deadline := time.Now().Add(within); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// list returns the identities in force.
func (g *gateway) list(t testing.TB) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	err := g.Export(t.Context(), false, func(e *Entry) error {
		all[e.ID()] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameLists(a, b map[string]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for id := range a {
		if !b[id] {
			return false
		}
	}
	return true
}

const streamKey = DefaultFeedPrefix + "revocations"

func TestRedisFeedCarriesRevocationsAndUndoings(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	a, b := join(t, server.URL(), tempJournal(t)), join(t, server.URL(), tempJournal(t))
	a.caughtUp(t)
	b.caughtUp(t)
	e := a.revoke(t, "s1")
	eventually(t, "the session is revoked on b", func() bool { return b.knows("s1") })
	if !a.feed.Fed(t.Context()) {
		t.Error("not fed")
	}
	if _, err := b.Undo(t.Context(), e.Digest(), "admin", "", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is undone on a", func() bool { return !a.knows("s1") })
	eventually(t, "both outboxes are empty", func() bool { return a.Stats().Outbox+b.Stats().Outbox == 0 })
	for _, g := range []*gateway{a, b} {
		status := g.feed.Status()
		if status.State != FeedFresh || !status.Synced || len(status.Errors) != 0 || status.Losses != 0 {
			t.Errorf("status %+v", status)
		}
	}
}

func tempJournal(t testing.TB) string { return filepath.Join(t.TempDir(), "list.db") }

// TestRedisFeedAfterAnOutage: what is revoked while Redis is down applies here at
// once, waits, also over a restart, and goes out in order.
func TestRedisFeedAfterAnOutage(t *testing.T) {
	server := redistest.Start(t, redistest.Options{Persist: true})
	a, b := join(t, server.URL(), tempJournal(t)), join(t, server.URL(), tempJournal(t))
	a.caughtUp(t)
	b.caughtUp(t)
	a.revoke(t, "before")
	eventually(t, "before", func() bool { return b.knows("before") })
	server.Kill()
	a.revoke(t, "during")
	if !a.knows("during") || b.knows("during") {
		t.Fatal("a revocation made without Redis is not in force here alone")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if a.feed.Fed(ctx) {
		t.Error("fed without Redis")
	}
	a.stop(t)
	a.start(t)
	if got := a.feed.Status().Outbox; got != 1 {
		t.Errorf("outbox after a restart: %d entries", got)
	}
	a.revoke(t, "later")
	server.Restart()
	eventually(t, "during and later on b", func() bool { return b.knows("during") && b.knows("later") })
	eventually(t, "an empty outbox", func() bool { return a.feed.Status().Outbox == 0 && a.Stats().Outbox == 0 })
	if n := server.Int("XLEN", streamKey); n != 3 {
		t.Errorf("the stream has %d entries", n)
	}
	if n := a.feed.Status().Losses + b.feed.Status().Losses; n != 0 {
		t.Errorf("%d losses of a server that lost nothing", n)
	}
	if n := strings.Count(b.log.String(), "level=WARN"); n > 2 {
		t.Errorf("one outage, %d warnings", n)
	}
}

// TestRedisFeedPutsBackOnceAfterAFlush: of several gateways one puts back what the
// server lost; entries that were undone stay undone.
func TestRedisFeedPutsBackOnceAfterAFlush(t *testing.T) {
	for name, lose := range map[string]func(*redistest.Server){
		"flushed":         func(s *redistest.Server) { s.Do("FLUSHALL") },
		"restarted empty": func(s *redistest.Server) { s.RestartEmpty() },
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t, redistest.Options{})
			var all []*gateway
			for range 3 {
				all = append(all, join(t, server.URL(), tempJournal(t)))
			}
			const n = 1200
			entries := make([]Entry, n)
			for i := range entries {
				entries[i] = feedEntry(fmt.Sprint("s", i))
				entries[i].RevokedAt = time.Now()
			}
			if _, err := all[0].Apply(t.Context(), entries); err != nil {
				t.Fatal(err)
			}
			if _, err := all[0].Undo(t.Context(), entries[0].Digest(), "admin", "", ""); err != nil {
				t.Fatal(err)
			}
			for _, g := range all {
				eventually(t, "everybody knows all", func() bool { return g.Count()[Session] == n-1 && g.knows(fmt.Sprint("s", n-1)) })
				eventually(t, "all are read back", func() bool { return g.Stats().Outbox == 0 })
			}
			lose(server)
			all[1].revoke(t, "after")
			eventually(t, "the stream has all again", func() bool { return server.Int("XLEN", streamKey) >= n+1 })
			for _, g := range all {
				eventually(t, "all have settled", func() bool {
					g.feed.mu.Lock()
					defer g.feed.mu.Unlock()
					return g.feed.seen == nil && g.feed.figures.losses == 1
				})
				eventually(t, "everybody knows the new one", func() bool { return g.knows("after") })
				if g.knows("s0") {
					t.Error("an undone entry is in force again")
				}
			}
			var restored uint64
			for _, g := range all {
				restored += g.feed.Status().Restored
			}
			if restored != n {
				t.Errorf("%d entries were put back, not %d", restored, n)
			}
			// A change under way at the time of the loss may be there twice.
			if got := server.Int("XLEN", streamKey); got > n+2 {
				t.Errorf("the stream has %d entries, not %d", got, n+1)
			}
			fresh := join(t, server.URL(), tempJournal(t))
			fresh.caughtUp(t)
			if want := all[0].list(t); !sameLists(fresh.list(t), want) {
				t.Errorf("who joins now knows %d entries, not %d", len(fresh.list(t)), len(want))
			}
		})
	}
}

// TestRedisFeedGoesOnFromItsJournal: a restarted gateway reads what it missed and no
// more.
func TestRedisFeedGoesOnFromItsJournal(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	a, b := join(t, server.URL(), tempJournal(t)), join(t, server.URL(), tempJournal(t))
	for i := range 50 {
		a.revoke(t, fmt.Sprint("s", i))
	}
	eventually(t, "b has 50", func() bool { return b.Count()[Session] == 50 })
	b.stop(t)
	a.revoke(t, "meanwhile")
	eventually(t, "sent", func() bool { return a.feed.Status().Outbox == 0 })
	b.start(t)
	b.caughtUp(t)
	if !b.knows("meanwhile") {
		t.Error("caught up without what was revoked meanwhile")
	}
	if got := b.feed.Status().Read; got != 1 {
		t.Errorf("read %d entries, not 1", got)
	}
}

// TestRedisFeedLeavesNoGoroutine also with a server that does not answer.
func TestRedisFeedLeavesNoGoroutine(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := runtime.NumGoroutine()
	for i := range 6 {
		f, err := NewFeed(s, FeedOptions{URLs: []*url.URL{server.URL()}, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		f.Start()
		switch i % 3 {
		case 1:
			f.CaughtUp(t.Context())
		case 2:
			server.Pause()
		}
		began := time.Now()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("close took %v", took)
		}
		server.Resume()
	}
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}
