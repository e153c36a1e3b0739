package revocation

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const testIssuer = "https://issuer.test/"

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: epoch} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// lines records what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func tempPath(t testing.TB) string { return filepath.Join(t.TempDir(), "list", "revocations.db") }

// openTest opens a store that does nothing on its own, and closes it at the end
// of the test.
func openTest(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen closes s, without a last checkpoint if crash is set, and opens the
// same file again.
func reopen(t testing.TB, s *Store, crash bool) *Store {
	t.Helper()
	if crash {
		s.crash()
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, s.options)
	if err := again.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return again
}

// crash leaves the files as they are, like the end of the process.
func (s *Store) crash() {
	s.closeOnce.Do(func() {
		s.cancelLoad.Store(true)
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.stop)
		s.others.Wait()
		s.writer.Wait()
		s.journal.close()
	})
}

// entry is one of the kind for value that lives for an hour.
func entry(kind Kind, value string) Entry {
	e := Entry{Kind: kind, Issuer: testIssuer, Value: value, Until: epoch.Add(time.Hour), RevokedAt: epoch, Via: "admin", By: "ops", Note: "n"}
	if kind.hasCutoff() {
		e.Cutoff = epoch
	}
	return e
}

// inForce reports whether e withdraws a token that it names.
func inForce(t testing.TB, s *Store, e *Entry) bool {
	t.Helper()
	ids := IDs{IssuedAt: NoIssuedAt}
	setID(&ids, e.Kind, e.Digest())
	kind, err := s.Revoked(&ids)
	if err != nil {
		t.Fatal(err)
	}
	return kind == e.Kind
}

func mustRevoke(t testing.TB, s *Store, e Entry) Entry {
	t.Helper()
	r, err := s.Revoke(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	if r.Durable != (s.options.Path != "") {
		t.Fatalf("durable: %v", r.Durable)
	}
	return r.Entry
}

func mustUndo(t testing.TB, s *Store, id Digest) Entry {
	t.Helper()
	r, err := s.Undo(context.Background(), id, "admin", "ops", "mistake")
	if err != nil {
		t.Fatal(err)
	}
	return r.Entry
}

// dump is everything that a store holds, in order.
func dump(t testing.TB, s *Store) []string {
	t.Helper()
	var list []string
	err := s.ExportWire(context.Background(), func(id Digest, wire []byte) error {
		list = append(list, fmt.Sprintf("%x", wire))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// modes are the ways in which a change can be on disk.
var modes = []struct {
	name  string
	after func(t testing.TB, s *Store) *Store
}{
	{"memory", func(t testing.TB, s *Store) *Store { return s }},
	{"checkpoint", func(t testing.TB, s *Store) *Store {
		if err := s.checkpoint(false); err != nil {
			t.Fatal(err)
		}
		return s
	}},
	{"restart", func(t testing.TB, s *Store) *Store { return reopen(t, s, false) }},
	{"crash", func(t testing.TB, s *Store) *Store { return reopen(t, s, true) }},
	{"crash after checkpoint", func(t testing.TB, s *Store) *Store {
		if err := s.checkpoint(false); err != nil {
			t.Fatal(err)
		}
		return reopen(t, s, true)
	}},
	{"two crashes", func(t testing.TB, s *Store) *Store { return reopen(t, reopen(t, s, true), true) }},
}
