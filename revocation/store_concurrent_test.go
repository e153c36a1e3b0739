package revocation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStoresConverge gives the same entries to lists in different orders, some
// twice, in wire form and otherwise, and with restarts in between: all end up
// with the same.
func TestStoresConverge(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	c := newClock()
	for round := range 10 {
		var all []Entry
		for range 200 {
			e := entry(Kind(1+r.IntN(4)), fmt.Sprint(r.IntN(20)))
			e.Cutoff = epoch.Add(time.Duration(r.IntN(5)) * time.Second)
			e.Until = epoch.Add(time.Duration(1+r.IntN(5*3600)) * time.Second)
			e.RevokedAt = epoch.Add(time.Duration(r.IntN(6)))
			if r.IntN(2) == 0 {
				e.UndoneAt = epoch.Add(time.Duration(r.IntN(6)))
			}
			e.Via, e.By, e.Note = fmt.Sprint("v", r.IntN(3)), fmt.Sprint(r.IntN(3)), fmt.Sprint(r.IntN(3))
			all = append(all, e)
		}
		var want []string
		for range 4 {
			s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
			list := slices.Clone(all)
			for range 50 {
				list = append(list, all[r.IntN(len(all))])
			}
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			for len(list) > 0 {
				n := min(1+r.IntN(30), len(list))
				if r.IntN(2) == 0 {
					if _, err := s.Apply(t.Context(), list[:n]); err != nil {
						t.Fatal(err)
					}
				} else {
					var wire [][]byte
					for i := range list[:n] {
						wire = append(wire, AppendEntry(nil, &list[i]))
					}
					if _, bad, err := s.ApplyFeed(t.Context(), wire, []byte("p")); bad != 0 || err != nil {
						t.Fatal(bad, err)
					}
				}
				list = list[n:]
				if r.IntN(5) == 0 {
					s = reopen(t, s, false)
				}
			}
			// Again, all of it: nothing changes.
			if n, err := s.Apply(t.Context(), all); n != 0 || err != nil {
				t.Fatalf("applied again: %d changed, %v", n, err)
			}
			got := dump(t, s)
			for i := range all {
				e, err := s.Get(all[i].Digest())
				if err != nil || e.InForce() != inForce(t, s, &all[i]) {
					t.Fatalf("%v: in force %v in the journal, %v for requests", err, e.InForce(), inForce(t, s, &all[i]))
				}
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: lists differ", round)
			}
		}
	}
}

// TestStoreManyCallers changes the same few identities from 64 goroutines, with
// checkpoints and reads between; what the last one was told is what is so.
func TestStoreManyCallers(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Path: tempPath(t), Now: c.now})
	s.EnableOutbox(true)
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			own := entry(Subject, fmt.Sprint("own-", g))
			for i := range 30 {
				shared := entry(Session, fmt.Sprint("shared-", i%3))
				shared.Until = epoch.Add(time.Duration(1+g%5) * time.Hour)
				if _, err := s.Revoke(context.Background(), shared); err != nil {
					t.Error(err)
				}
				e := own
				e.RevokedAt = time.Time{}
				r, err := s.Revoke(context.Background(), e)
				if err != nil || !r.Durable || !inForce(t, s, &own) {
					t.Errorf("revoked: %+v, %v", r, err)
				}
				if i%2 == 0 {
					if _, err := s.Undo(context.Background(), own.Digest(), "t", "", ""); err != nil || inForce(t, s, &own) {
						t.Errorf("undone: %v", err)
					}
					if _, err := s.Undo(context.Background(), shared.Digest(), "t", "", ""); err != nil && !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
				}
				switch (g + i) % 16 {
				case 0:
					if err := s.checkpoint(false); err != nil {
						t.Error(err)
					}
				case 1:
					if _, _, err := s.Query(context.Background(), Filter{}); err != nil {
						t.Error(err)
					}
					s.Stats()
				case 2:
					if list, err := s.Outbox(10); err != nil || len(list) == 0 {
						t.Errorf("outbox: %d, %v", len(list), err)
					}
				case 3:
					s.NoteExpiry(testIssuer, epoch.Add(time.Duration(g*i)*time.Minute))
				}
			}
		})
	}
	wg.Wait()
	state := dump(t, s)
	for _, crash := range []bool{true, false, true} {
		s = reopen(t, s, crash)
		for g := range 64 {
			if e := entry(Subject, fmt.Sprint("own-", g)); !inForce(t, s, &e) {
				t.Errorf("own-%d is forgotten", g)
			}
		}
		if got := dump(t, s); !slices.Equal(got, state) {
			t.Fatal("the list is another after a restart")
		}
	}
}

// TestTrapListGrowsForEver revokes at a constant rate for days: file, log and
// memory stay within what is alive.
func TestTrapListGrowsForEver(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Path: tempPath(t), Now: c.now, noSync: true, idle: true})
	var early, late int64
	for h := range 96 {
		list := make([]Entry, 300)
		for i := range list {
			list[i] = entry(Token, fmt.Sprint(h, "-", i))
			list[i].RevokedAt, list[i].Until = c.now(), c.now().Add(2*time.Hour)
		}
		if _, err := s.Apply(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			e := list[i]
			e.Value += "x"
			mustRevoke(t, s, e)
			mustUndo(t, s, list[i].Digest())
		}
		c.advance(time.Hour)
		for range 40 {
			s.sweep(true)
		}
		if err := s.checkpoint(false); err != nil {
			t.Fatal(err)
		}
		switch h {
		case 12:
			early = s.DiskSize()
		case 95:
			late = s.DiskSize()
		}
	}
	if late > early*3/2 {
		t.Errorf("%d bytes on disk after half a day, %d after four", early, late)
	}
	if n := s.Stats(); n.Entries[Token] > 4*320 || n.Undone > 100 || n.Pending > 0 {
		t.Errorf("in memory: %+v", n)
	}
	if total, err := s.journal.total(); err != nil || total > 4*320 {
		t.Errorf("%d entries in the journal, %v", total, err)
	}
	c.advance(48 * time.Hour)
	if err := s.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	if total, _ := s.journal.total(); total != 0 || s.journal.oldest() != noHour {
		t.Errorf("%d expired entries are in the journal", total)
	}
}

// TestTrapRevocationEndsWithItsRequest: a caller that leaves while the disk is
// busy hears that nothing is certain, and the write goes on.
func TestTrapRevocationEndsWithItsRequest(t *testing.T) {
	var slow atomic.Bool
	release := make(chan struct{})
	s := openTest(t, Options{Path: tempPath(t), Now: newClock().now, idle: true, syncLog: func(f *os.File) error {
		if slow.Load() {
			<-release
		}
		return syncFile(f)
	}})
	slow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := entry(Token, "t")
	r, err := s.Revoke(ctx, e)
	if !errors.Is(err, ErrNotDurable) || !errors.Is(err, context.Canceled) || r.Durable || !inForce(t, s, &e) {
		t.Errorf("revoked: %v, %v, in force: %v", r, err, inForce(t, s, &e))
	}
	close(release)
	if s = reopen(t, s, true); !inForce(t, s, &e) {
		t.Error("the write ended with the caller")
	}
}

func TestStoreLeavesNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 10 {
		o := Options{Path: tempPath(t), background: int64(1 + i%2*smallJournal)}
		if i%5 == 4 {
			o.Path = ""
		}
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		e := entry(Token, "t")
		e.Until = time.Now().Add(time.Hour)
		if _, err := s.Revoke(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := s.Destruct(); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(60 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestLogWrapsAround writes many rounds of a small log, restarts at every point
// and finds everything.
func TestLogWrapsAround(t *testing.T) {
	c := newClock()
	path := tempPath(t)
	s := openTest(t, Options{Path: path, Now: c.now, idle: true, noSync: true, logHalf: logAllocate})
	pad := strings.Repeat("n", 900)
	full := 0
	for i := range 4000 {
		e := entry(Token, fmt.Sprint(i))
		e.Note = pad
		mustRevoke(t, s, e)
		if s.journal.log.offset < 2000 {
			full++
		}
		if i%50 == 49 && i%1000 < 600 {
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		}
		if i%370 == 0 {
			s = reopen(t, s, true)
		}
	}
	if full < 10 {
		t.Errorf("the log wrapped around %d times", full)
	}
	s = reopen(t, s, true)
	for i := range 4000 {
		if e := entry(Token, fmt.Sprint(i)); !inForce(t, s, &e) {
			t.Fatalf("%d is forgotten", i)
		}
	}
}
