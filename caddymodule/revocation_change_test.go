package caddymodule

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// TestReloadWithAnotherPath: the new list has all of the old one before it
// answers, both take what is revoked meanwhile, and a reload that fails in the
// end has cost the old one nothing.
func TestReloadWithAnotherPath(t *testing.T) {
	for _, c := range []struct{ name, from, to string }{
		{"file to file", "a.db", "b.db"}, {"file to memory", "a.db", ""}, {"memory to file", "", "b.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newViews(t)
			old := s.started(c.from)
			list, releaseOld := old.open() // a logout that takes long
			withdraw(t, list, "before")

			failing := s.started(c.to)
			wantRevoked(t, failing, "before")
			during, release := failing.open()
			withdraw(t, during, "during")
			release()
			end(t, failing)
			wantRevoked(t, old, "before", "during")

			again := s.started(c.to)
			end(t, old)
			withdraw(t, list, "late") // its own configuration is gone
			releaseOld()
			wantRevoked(t, again, "before", "during", "late")
			wantRevoked(t, old, "before", "during", "late")
			end(t, again)
			// A restart of the process.
			fresh := &views{t: t, registry: newListRegistry(), dir: s.dir}
			if c.to != "" {
				wantRevoked(t, fresh.started(c.to), "before", "during", "late")
			}
		})
	}
}

// TestBlockDroppedAndPutBack: the app leaves the configuration while a logout is
// under way, and comes back with the same journal or another one.
func TestBlockDroppedAndPutBack(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"same", "a.db", "a.db"}, {"another", "a.db", "b.db"}, {"memory", "", ""}, {"memory, then a file", "", "b.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newViews(t)
			v := s.started(c.before)
			list, release := v.open()
			withdraw(t, list, "before")
			end(t, v)
			withdraw(t, list, "while there is none")
			wantRevoked(t, v, "before", "while there is none")
			wantAlive(t, v, "other")
			release()
			eventually(t, "closed or kept", func() bool {
				s.registry.changes.Lock()
				defer s.registry.changes.Unlock()
				n := 0
				s.registry.pool.Range(func(any, any) bool { n++; return true })
				return n == 0 || s.registry.kept != nil
			})
			back := s.started(c.after)
			wantRevoked(t, back, "before", "while there is none")
			end(t, back)
			wantRevoked(t, s.started(c.after), "before", "while there is none")
		})
	}
}

// TestNothingIsLostWhileThePathChanges revokes without a pause while
// configurations come and go: whatever was acknowledged is in force at once for
// every view, and in the end on disk.
func TestNothingIsLostWhileThePathChanges(t *testing.T) {
	s := newViews(t)
	v := s.started("a.db")
	var current struct {
		sync.RWMutex
		*listView
	}
	current.listView = v
	var clients sync.WaitGroup
	stop := make(chan struct{})
	acknowledged := make([][]string, 4)
	for n := range acknowledged {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				current.RLock()
				mine := current.listView
				list, release := mine.open()
				current.RUnlock()
				value := strings.Repeat("x", n+1) + time.Now().Format(time.RFC3339Nano)
				withdraw(t, list, value)
				acknowledged[n] = append(acknowledged[n], value)
				current.RLock()
				wantRevoked(t, current.listView, value)
				current.RUnlock()
				wantRevoked(t, mine, value)
				release()
			}
		})
	}
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		next := s.view([]string{"b.db", "a.db", "a.db", ""}[i%4])
		if err := next.start(); err != nil {
			t.Error(err)
			break
		}
		if i%5 == 4 { // a reload that fails in the end
			end(t, next)
			continue
		}
		current.Lock()
		old := current.listView
		current.listView = next
		current.Unlock()
		end(t, old)
	}
	close(stop)
	clients.Wait()
	last := s.started("last.db")
	end(t, current.listView)
	end(t, last)
	fresh := &views{t: t, registry: newListRegistry(), dir: s.dir}
	reopened := fresh.started("last.db")
	all := 0
	for _, values := range acknowledged {
		all += len(values)
		wantRevoked(t, reopened, values...)
	}
	t.Logf("%d revocations over %d changes of the path", all, rounds)
	if all < rounds {
		t.Errorf("only %d revocations", all)
	}
}

// TestUndoneStaysUndoneAcrossAPathChange: undoing waits out a copy.
func TestUndoneStaysUndoneAcrossAPathChange(t *testing.T) {
	s := newViews(t)
	v := s.started("a.db")
	list, release := v.open()
	defer release()
	withdraw(t, list, "1")
	e := testEntry("1")
	s.registry.copying.Lock()
	if _, err := list.Undo(t.Context(), e.Digest(), "test", "", ""); !errors.Is(err, errCopying) {
		t.Errorf("while a list is copied: %v", err)
	}
	s.registry.copying.Unlock()
	if _, err := list.Undo(t.Context(), e.Digest(), "test", "", ""); err != nil {
		t.Fatal(err)
	}
	next := s.started("b.db")
	wantAlive(t, next, "1")
	wantAlive(t, v, "1")
}

// TestChangesGoToEveryListInUse and an acknowledgement waits for all of them.
func TestChangesGoToEveryListInUse(t *testing.T) {
	s := newViews(t)
	a := s.started("a.db")
	b := s.started("b.db")
	list, release := a.open()
	defer release()
	result, err := list.Revoke(t.Context(), testEntry("1"))
	if err != nil || !result.Durable {
		t.Fatalf("%+v, %v", result, err)
	}
	for _, v := range []*listView{a, b} {
		if _, err := v.own.Load().Get(result.Entry.Digest()); err != nil {
			t.Errorf("%s: %v", v.settings.journal, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := list.Revoke(ctx, testEntry("2")); err != nil && !errors.Is(err, revocation.ErrNotDurable) {
		t.Errorf("a caller who left: %v", err)
	}
	wantRevoked(t, a, "2")
}
