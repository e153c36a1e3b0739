package revocation

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestOutbox(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			c := newClock()
			s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
			mustRevoke(t, s, entry(Token, "before"))
			s.EnableOutbox(true)
			s.EnableOutbox(true)
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
			want := []string{}
			drain := func(max int) {
				t.Helper()
				for max > 0 {
					list, err := s.Outbox(min(max, 3))
					if err != nil {
						t.Fatal(err)
					}
					if len(list) == 0 {
						return
					}
					for _, o := range list {
						e, err := DecodeEntry(o.Wire)
						if err != nil || len(want) == 0 || e.Value != want[0] {
							t.Fatalf("%s, %v instead of %v", e.Value, err, want[:min(3, len(want))])
						}
						want = want[1:]
					}
					s.Ack(list[len(list)-1].Seq)
					max -= len(list)
				}
			}
			for i := range 30 {
				e := mustRevoke(t, s, entry(Token, fmt.Sprint(i)))
				want = append(want, e.Value)
				if i%4 == 0 {
					mustUndo(t, s, e.Digest())
					want = append(want, e.Value)
				}
				if i%9 == 0 {
					if _, err := s.Apply(t.Context(), []Entry{entry(Token, fmt.Sprint("bulk", i))}); err != nil {
						t.Fatal(err)
					}
					want = append(want, fmt.Sprint("bulk", i))
				}
				if i%7 == 0 {
					drain(2)
					// What is acknowledged is so for good with the next checkpoint.
					if err := s.checkpoint(false); err != nil {
						t.Fatal(err)
					}
					s = mode.after(t, s)
				}
			}
			if n := s.Stats().Outbox; n != len(want) {
				t.Errorf("%d in the outbox, want %d", n, len(want))
			}
			other := entry(Token, "from elsewhere")
			if _, _, err := s.ApplyFeed(t.Context(), [][]byte{AppendEntry(nil, &other)}, []byte("1")); err != nil {
				t.Fatal(err)
			}
			s = mode.after(t, s)
			drain(1000)
			if len(want) > 0 || s.Stats().Outbox != 0 {
				t.Errorf("%v were not handed out", want)
			}
			mustRevoke(t, s, entry(Token, "last"))
			s.EnableOutbox(false)
			if list, err := s.Outbox(10); len(list) != 0 || err != nil {
				t.Errorf("turned off: %v, %v", list, err)
			}
			mustRevoke(t, s, entry(Token, "after"))
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
			s = mode.after(t, s)
			if n := s.Stats().Outbox; n != 0 {
				t.Errorf("%d in an outbox that is off", n)
			}
		})
	}
}

func TestOutboxNotifiesAndForgetsExpired(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
	s.EnableOutbox(true)
	mustRevoke(t, s, entry(Token, "short"))
	select {
	case <-s.OutboxReady():
	default:
		t.Error("nobody is told of a change")
	}
	if err := s.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Hour)
	long := entry(Token, "long")
	long.Until = c.now().Add(time.Hour)
	mustRevoke(t, s, long)
	if err := s.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	list, err := s.Outbox(10)
	if err != nil || len(list) != 1 || !bytes.Contains(list[0].Wire, []byte("long")) {
		t.Errorf("%d in the outbox, %v", len(list), err)
	}
}

// TestFeedPositionNeverAhead crashes at every moment: a position that is there
// comes with everything that was read before it.
func TestFeedPositionNeverAhead(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
	if s.FeedPosition() != nil {
		t.Errorf("a position out of nothing: %q", s.FeedPosition())
	}
	for step, i := 0, 0; i < 60; step++ {
		e := entry(Token, fmt.Sprint(i))
		if _, _, err := s.ApplyFeed(t.Context(), [][]byte{AppendEntry(nil, &e)}, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		if !inForce(t, s, &e) {
			t.Fatal("not in force on return")
		}
		i++
		if step%4 == 1 {
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		}
		if step%7 != 3 {
			continue
		}
		s = reopen(t, s, true)
		at := -1
		if p := s.FeedPosition(); p != nil {
			fmt.Sscan(string(p), &at)
		}
		if at >= i || at < i-5 {
			t.Errorf("position %d after %d", at, i-1)
		}
		for k := range at + 1 {
			if e := entry(Token, fmt.Sprint(k)); !inForce(t, s, &e) {
				t.Fatalf("%d is missing at position %d", k, at)
			}
		}
		i = at + 1
	}
}

func TestEntriesOfAnotherRelease(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
	e := entry(Token, "t")
	foreign := AppendEntry(nil, &e)
	foreign[0] = 9
	short := []byte{9, 77, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}
	known := entry(Session, "s")
	batch := [][]byte{foreign, short, AppendEntry(nil, &known), {1, 2}, foreign}
	changed, malformed, err := s.ApplyFeed(t.Context(), batch, []byte("1"))
	if changed != 3 || malformed != 1 || err != nil {
		t.Errorf("changed %d, malformed %d, %v", changed, malformed, err)
	}
	for _, mode := range modes {
		s = mode.after(t, s)
		if mode.name == "memory" {
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Stats().Foreign; n != 2 {
			t.Errorf("%s: %d kept", mode.name, n)
		}
		if got := dump(t, s); len(got) != 3 || !slices.Contains(got, fmt.Sprintf("%x", short)) {
			t.Errorf("%s: %q", mode.name, got)
		}
		if changed, _, _ := s.ApplyFeed(t.Context(), batch, []byte("1")); changed != 0 {
			t.Errorf("%s: %d changed again", mode.name, changed)
		}
		n := 0
		if err := s.Export(t.Context(), true, func(*Entry) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("%s: exported %d, %v", mode.name, n, err)
		}
	}
	c.advance(2 * time.Hour)
	s.sweep(true)
	if n := s.Stats().Foreign; n != 1 {
		t.Errorf("%d kept after one expired", n)
	}
}

func TestCopyTo(t *testing.T) {
	c := newClock()
	from := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
	from.EnableOutbox(true)
	var all []Entry
	for i := range 100 {
		all = append(all, mustRevoke(t, from, entry(Token, fmt.Sprint(i))))
		if i%10 == 0 {
			all[i] = mustUndo(t, from, all[i].Digest())
		}
		if i == 50 {
			if err := from.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign := AppendEntry(nil, &all[0])
	foreign[0] = 9
	if _, _, err := from.ApplyFeed(t.Context(), [][]byte{foreign}, []byte("7")); err != nil {
		t.Fatal(err)
	}
	from.NoteExpiry(testIssuer, epoch.Add(time.Hour))
	to := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
	to.EnableOutbox(true)
	for range 2 {
		if err := from.CopyTo(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
	to = reopen(t, to, true)
	if got, want := dump(t, to), dump(t, from); !slices.Equal(got, want) {
		t.Errorf("%d entries copied of %d", len(got), len(want))
	}
	for i := range all {
		if inForce(t, to, &all[i]) != all[i].InForce() {
			t.Errorf("%d: in force is not %v", i, all[i].InForce())
		}
	}
	if n := to.Stats().Outbox; n < 110 {
		t.Errorf("%d of the outbox, want the 110 of the other's", n)
	}
	if to.FeedPosition() != nil || to.LongestExpiry(testIssuer).Before(epoch.Add(time.Hour)) {
		t.Errorf("position %q, expiry %s", to.FeedPosition(), to.LongestExpiry(testIssuer))
	}
}
