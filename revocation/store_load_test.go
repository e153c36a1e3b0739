package revocation

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func TestStoreLoadsInBackground(t *testing.T) {
	c := newClock()
	path := tempPath(t)
	s := openTest(t, Options{Path: path, Now: c.now, idle: true})
	var entries []Entry
	for i := range 20_000 {
		e := entry(Kind(i%4+1), fmt.Sprint(i))
		e.Cutoff, e.Until = epoch, epoch.Add(time.Duration(1+i%30)*time.Hour)
		entries = append(entries, e)
	}
	if n, err := s.Apply(t.Context(), entries); n != len(entries) || err != nil {
		t.Fatal(n, err)
	}
	undone := mustUndo(t, s, entries[7].Digest())
	s.Close()

	// Loading stops at the stripe of one entry, while others change.
	o := Options{Path: path, Now: c.now, idle: true, background: 1}
	s, err := openStore(withDefaults(o))
	if err != nil {
		t.Fatal(err)
	}
	blocked := entries[11].Digest()
	s.stripe(blocked).Lock()
	s.start()
	t.Cleanup(func() { s.Close() })
	var refusal *token.Refusal
	if _, err := s.Revoked(new(IDs)); !errors.As(err, &refusal) || refusal.Reason != token.RevocationLoading {
		t.Fatalf("while loading: %v", err)
	}
	if s.Ready() == nil {
		t.Error("ready while loading")
	}
	other := func(i int) Entry {
		for ; s.stripe(entries[i].Digest()) == s.stripe(blocked); i++ {
		}
		return entries[i]
	}
	revoked := entry(Token, "new")
	if s.stripe(revoked.Digest()) == s.stripe(blocked) {
		revoked.Value = "newer"
	}
	mustRevoke(t, s, revoked)
	victim := other(100)
	gone := mustUndo(t, s, victim.Digest())
	back := undone
	if s.stripe(undone.Digest()) != s.stripe(blocked) {
		back.RevokedAt = epoch // before the undoing that is only on disk
		back = mustRevoke(t, s, back)
	}
	s.stripe(blocked).Unlock()
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, total := s.Progress(); done != 20_000 || total != done {
		t.Errorf("progress %d of %d", done, total)
	}
	check := func() {
		t.Helper()
		if !inForce(t, s, &revoked) || inForce(t, s, &gone) || !inForce(t, s, &back) {
			t.Errorf("in force: new %v, undone %v, back %v", inForce(t, s, &revoked), inForce(t, s, &gone), inForce(t, s, &back))
		}
		for i := range entries {
			if entries[i].Value != gone.Value && !inForce(t, s, &entries[i]) {
				t.Fatalf("entry %d is lost", i)
			}
		}
	}
	check()
	s = reopen(t, s, true)
	check()
	s = reopen(t, s, false)
	check()
	if n := len(dump(t, s)); n != 20_001 {
		t.Errorf("%d entries", n)
	}
}

func withDefaults(o Options) Options {
	o.Logger, o.background = slog.New(slog.DiscardHandler), max(o.background, 1)
	return o
}

func TestStoreCloseWhileLoading(t *testing.T) {
	path := tempPath(t)
	s := openTest(t, Options{Path: path, Now: newClock().now, idle: true})
	e := mustRevoke(t, s, entry(Token, "t"))
	s.Close()
	for range 20 {
		s, err := Open(Options{Path: path, Now: newClock().now, background: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = openTest(t, Options{Path: path, Now: newClock().now})
	if !inForce(t, s, &e) {
		t.Error("forgotten")
	}
}
