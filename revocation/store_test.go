package revocation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStoreRevokeAndUndo(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			c := newClock()
			s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
			var all []Entry
			for _, k := range Kinds() {
				e := entry(k, "v-"+k.String())
				if k == Issuer {
					e.Value = ""
				}
				all = append(all, mustRevoke(t, s, e))
			}
			s = mode.after(t, s)
			for i := range all {
				if !inForce(t, s, &all[i]) {
					t.Errorf("%s is forgotten", all[i].Kind)
				}
				if got, err := s.Get(all[i].Digest()); err != nil || got != all[i] {
					t.Errorf("got %+v, %v; want %+v", got, err, all[i])
				}
			}
			c.advance(time.Minute)
			for i := range all {
				all[i] = mustUndo(t, s, all[i].Digest())
			}
			s = mode.after(t, s)
			for i := range all {
				if inForce(t, s, &all[i]) {
					t.Errorf("%s is in force after it was undone", all[i].Kind)
				}
				if got, err := s.Get(all[i].Digest()); err != nil || got != all[i] {
					t.Errorf("got %+v, %v; want %+v", got, err, all[i])
				}
				if _, err := s.Undo(t.Context(), all[i].Digest(), "admin", "", ""); !errors.Is(err, ErrNotFound) {
					t.Errorf("undone again: %v", err)
				}
			}
			// A clock that was set back must not keep a new revocation from winning.
			c.advance(-2 * time.Minute)
			for i := range all {
				e := all[i]
				e.RevokedAt = time.Time{}
				all[i] = mustRevoke(t, s, e)
			}
			s = mode.after(t, s)
			for i := range all {
				if !inForce(t, s, &all[i]) {
					t.Errorf("%s was revoked again and is not in force", all[i].Kind)
				}
			}
			if n := len(dump(t, s)); n != len(all) {
				t.Errorf("%d entries, want %d", n, len(all))
			}
		})
	}
}

func TestStoreExtends(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			c := newClock()
			s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
			e := entry(Subject, "alice")
			mustRevoke(t, s, e)
			s = mode.after(t, s)
			longer := e
			longer.Until = e.Until.Add(10*time.Hour + time.Nanosecond)
			longer.RevokedAt = e.RevokedAt.Add(time.Second)
			mustRevoke(t, s, longer)
			s = mode.after(t, s)
			shorter := e
			shorter.Cutoff = e.Cutoff.Add(time.Minute)
			got := mustRevoke(t, s, shorter)
			s = mode.after(t, s)
			if want := e.Until.Add(10*time.Hour + time.Second); !got.Until.Equal(want) || !got.Cutoff.Equal(shorter.Cutoff) || !got.RevokedAt.Equal(longer.RevokedAt) {
				t.Errorf("merged to %+v", got)
			}
			if n := len(dump(t, s)); n != 1 {
				t.Errorf("%d entries, want 1", n)
			}
			c.advance(2 * time.Hour)
			s.sweep(true)
			s = mode.after(t, s)
			if !inForce(t, s, &e) {
				t.Error("forgotten at its first until")
			}
			c.advance(9*time.Hour + time.Second)
			if inForce(t, s, &e) {
				t.Error("in force after its until")
			}
			s = mode.after(t, s)
			s.sweep(true)
			if n := len(dump(t, s)); n != 0 {
				t.Errorf("%d entries are left of an expired one", n)
			}
			if _, err := s.Get(e.Digest()); !errors.Is(err, ErrNotFound) {
				t.Errorf("got an expired entry: %v", err)
			}
		})
	}
}

func TestStoreInMemory(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Now: c.now, idle: true})
	e := mustRevoke(t, s, entry(Session, "s1"))
	undone := mustRevoke(t, s, entry(Session, "s2"))
	mustUndo(t, s, undone.Digest())
	if !inForce(t, s, &e) || s.Count()[Session] != 1 {
		t.Error("not in force")
	}
	if list, next, err := s.Query(t.Context(), Filter{}); err != nil || next != "" || len(list) != 1 || list[0] != e {
		t.Errorf("query: %v, %q, %v", list, next, err)
	}
	if n, err := s.Apply(t.Context(), []Entry{e, entry(Token, "t")}); n != 1 || err != nil {
		t.Errorf("applied %d, %v", n, err)
	}
	c.advance(2 * time.Hour)
	s.sweep(true)
	if st := s.Stats(); s.active.len() != 0 || st.Undone != 0 {
		t.Errorf("%d entries and %+v are left", s.active.len(), st)
	}
}

func TestStoreRefusesInvalid(t *testing.T) {
	s := openTest(t, Options{Path: tempPath(t), Now: newClock().now, idle: true})
	e := entry(Token, "")
	if _, err := s.Revoke(t.Context(), e); err == nil || !strings.Contains(err.Error(), "value: missing") {
		t.Errorf("revoked: %v", err)
	}
	if n, err := s.Apply(t.Context(), []Entry{entry(Token, "good"), e}); n != 0 || err == nil || !strings.Contains(err.Error(), "entry 2: value: missing") {
		t.Errorf("applied %d: %v", n, err)
	}
	if len(dump(t, s)) != 0 {
		t.Error("something of it was applied")
	}
	if _, err := s.Undo(t.Context(), Digest{1}, "admin", "", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("undone: %v", err)
	}
	if _, _, err := s.Query(t.Context(), Filter{Cursor: "%"}); err == nil {
		t.Error("a cursor of nobody was taken")
	}
	if _, _, err := s.Query(t.Context(), Filter{Limit: maxLimit + 1}); err == nil {
		t.Error("a limit beyond all was taken")
	}
}

func TestStoreClosed(t *testing.T) {
	s := openTest(t, Options{Path: tempPath(t), Now: newClock().now})
	e := mustRevoke(t, s, entry(Token, "t"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !inForce(t, s, &e) {
		t.Error("the list does not answer after it was closed")
	}
	_, revoke := s.Revoke(t.Context(), entry(Token, "u"))
	_, undo := s.Undo(t.Context(), e.Digest(), "admin", "", "")
	_, apply := s.Apply(t.Context(), []Entry{entry(Token, "w")})
	_, _, feed := s.ApplyFeed(t.Context(), nil, []byte("1"))
	_, _, query := s.Query(t.Context(), Filter{})
	_, get := s.Get(e.Digest())
	for name, err := range map[string]error{"revoke": revoke, "undo": undo, "apply": apply, "feed": feed, "query": query, "get": get} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStoreHasOneOwner(t *testing.T) {
	path := tempPath(t)
	s := openTest(t, Options{Path: path})
	began := time.Now()
	_, err := Open(Options{Path: path, RenameDamaged: true})
	if err == nil || !strings.Contains(err.Error(), "another process has it") || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v", err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("waited %s for the lock", d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, Options{Path: path})
}

func TestStoreFileModes(t *testing.T) {
	path := tempPath(t)
	openTest(t, Options{Path: path, idle: true})
	for name, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, path: 0o600, path + ".wal": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

func TestStoreQueryPages(t *testing.T) {
	c := newClock()
	s := openTest(t, Options{Path: tempPath(t), Now: c.now, idle: true})
	want := map[string]bool{}
	for i := range 500 {
		e := entry(Kind(i%3+1), fmt.Sprint(i))
		e.Cutoff, e.Until = epoch, epoch.Add(time.Duration(1+i%7)*time.Hour)
		mustRevoke(t, s, e)
		if i%5 == 0 {
			mustUndo(t, s, e.Digest())
		} else if e.Kind == Session {
			want[e.Value] = true
		}
		if i == 200 || i == 400 {
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, limit := range []int{1, 7, 1000} {
		got := map[string]bool{}
		for f := (Filter{Kind: Session, Issuer: testIssuer, Limit: limit}); ; {
			page, next, err := s.Query(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if got[e.Value] || !want[e.Value] {
					t.Fatalf("limit %d: %s twice, or not asked for", limit, e.Value)
				}
				got[e.Value] = true
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		if len(got) != len(want) {
			t.Errorf("limit %d: %d entries, want %d", limit, len(got), len(want))
		}
	}
	one := Filter{Kind: Token, Issuer: testIssuer, Value: "3"}
	if page, next, err := s.Query(t.Context(), one); len(page) != 1 || next != "" || err != nil {
		t.Errorf("one: %v %q %v", page, next, err)
	}
	gone := Filter{Kind: Token, Issuer: testIssuer, Value: "30"}
	if page, _, _ := s.Query(t.Context(), gone); len(page) != 0 {
		t.Errorf("undone: %v", page)
	}
	gone.Undone = true
	if page, _, _ := s.Query(t.Context(), gone); len(page) != 1 {
		t.Errorf("undone, asked for: %v", page)
	}
	n := 0
	if err := s.Export(t.Context(), false, func(*Entry) error { n++; return nil }); err != nil || n != 400 {
		t.Errorf("exported %d, %v", n, err)
	}
	stop := errors.New("stop")
	if err := s.Export(t.Context(), true, func(*Entry) error { return stop }); err != stop {
		t.Errorf("export: %v", err)
	}
}

func TestStoreAudit(t *testing.T) {
	var log lines
	s := openTest(t, Options{Path: tempPath(t), Now: newClock().now, Logger: log.logger(), idle: true})
	e := mustRevoke(t, s, entry(Subject, "alice"))
	mustUndo(t, s, e.Digest())
	for _, want := range []string{
		"level=INFO msg=revoked id=" + e.ID() + " kind=subject issuer=https://issuer.test/ value=alice cutoff=",
		`msg="revocation undone" id=` + e.ID(), "via=admin by=ops note=mistake durable=true",
	} {
		if log.count(want) != 1 {
			t.Errorf("%q is logged %d times in\n%s", want, log.count(want), log.text.String())
		}
	}
}

func TestStoreExpiries(t *testing.T) {
	s := openTest(t, Options{Path: tempPath(t), Now: newClock().now, idle: true})
	if !s.LongestExpiry(testIssuer).IsZero() {
		t.Error("an expiry out of nothing")
	}
	at := epoch.Add(100*time.Hour + 1)
	s.NoteExpiry(testIssuer, at)
	s.NoteExpiry(testIssuer, at.Add(-time.Hour))
	if got := s.LongestExpiry(testIssuer); !got.Equal(at) {
		t.Errorf("%s, want %s", got, at)
	}
	if n := testing.AllocsPerRun(100, func() { s.NoteExpiry(testIssuer, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := s.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		s.NoteExpiry(testIssuer, at.Add(time.Duration(i)))
	}
	if s.expiries.dirty.Load() {
		t.Error("a few nanoseconds more have to be saved")
	}
	s = reopen(t, s, true)
	if got := s.LongestExpiry(testIssuer); got.Before(at.Add(9)) || got.After(at.Add(time.Minute)) {
		t.Errorf("%s after a crash, want %s or a little more", got, at)
	}
}

func TestStoreRevokedAllocatesNothing(t *testing.T) {
	s := openTest(t, Options{Now: newClock().now, idle: true})
	e := mustRevoke(t, s, entry(Token, "t"))
	ids := IDs{Token: e.Digest(), Subject: Digest{1}, IssuedAt: NoIssuedAt}
	if n := testing.AllocsPerRun(100, func() { s.Revoked(&ids) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	s.loaded.Store(false)
	if n := testing.AllocsPerRun(100, func() { s.Revoked(&ids) }); n != 0 {
		t.Errorf("%v allocations while loading", n)
	}
}
