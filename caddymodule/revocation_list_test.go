package caddymodule

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// views makes views of lists in a registry of its own.
type views struct {
	t        *testing.T
	registry *listRegistry
	dir      string
}

func newViews(t *testing.T) *views {
	return &views{t: t, registry: newListRegistry(), dir: t.TempDir()}
}

// view is the view of a configuration with that journal, off when it is empty.
func (s *views) view(journal string) *listView {
	settings := &revocationSettings{onDamage: "refuse"}
	if journal != "" {
		settings.journal = filepath.Join(s.dir, journal)
	}
	v := newListView(s.t.Context(), s.registry, settings, &lender{logger: slog.New(slog.DiscardHandler)})
	s.t.Cleanup(func() { _ = v.end() })
	return v
}

func (s *views) started(journal string) *listView {
	s.t.Helper()
	v := s.view(journal)
	if err := v.start(); err != nil {
		s.t.Fatal(err)
	}
	return v
}

func end(t *testing.T, v *listView) {
	t.Helper()
	if err := v.end(); err != nil {
		t.Fatal(err)
	}
}

func testEntry(value string) revocation.Entry {
	return revocation.Entry{Kind: revocation.Token, Issuer: "i", Value: value, Until: time.Now().Add(time.Hour), Via: "test"}
}

func withdraw(t *testing.T, l *openList, value string) {
	t.Helper()
	if _, err := l.Revoke(t.Context(), testEntry(value)); err != nil {
		t.Fatalf("revoking %s: %v", value, err)
	}
}

// wantRevoked checks each value of a view.
func wantRevoked(t *testing.T, v *listView, values ...string) {
	t.Helper()
	for _, value := range values {
		kind, err := v.Revoked(&revocation.IDs{Token: revocation.DigestOf(revocation.Token, "i", value)})
		if kind != revocation.Token || err != nil {
			t.Errorf("%s: %v, %v", value, kind, err)
		}
	}
}

func wantAlive(t *testing.T, v *listView, value string) {
	t.Helper()
	if kind, err := v.Revoked(&revocation.IDs{Token: revocation.DigestOf(revocation.Token, "i", value)}); kind != 0 || err != nil {
		t.Errorf("%s: %v, %v", value, kind, err)
	}
}

// wantClosed checks that nothing is open.
func (s *views) wantClosed() {
	s.t.Helper()
	s.registry.pool.Range(func(key, _ any) bool {
		s.t.Errorf("%s is still open", key)
		return true
	})
}

func TestProvisionOpensNothing(t *testing.T) {
	s := newViews(t)
	v := s.view("a.db")
	_, err := v.Revoked(new(revocation.IDs))
	var refused *token.Refusal
	if !errors.As(err, &refused) || refused.Reason != token.RevocationLoading {
		t.Errorf("before the start: %v", err)
	}
	list, release := v.open()
	defer release()
	if _, err := list.Revoke(t.Context(), testEntry("x")); !errors.Is(err, revocation.ErrClosed) {
		t.Errorf("revoking before the start: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Revoked(new(revocation.IDs)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	end(t, v)
	if files, _ := os.ReadDir(s.dir); len(files) != 0 {
		t.Errorf("there are files: %v", files)
	}
	s.wantClosed()
}

// TestRevokedTokensOutliveReloads: also a failed one, whose configuration never
// starts or is taken back after it did.
func TestRevokedTokensOutliveReloads(t *testing.T) {
	for _, journal := range []string{"", "a.db"} {
		t.Run("journal "+journal, func(t *testing.T) {
			s := newViews(t)
			first := s.started(journal)
			list, release := first.open()
			withdraw(t, list, "1")
			release()

			second := s.view(journal)
			wantRevoked(t, second, "1") // HTTP may serve before our app starts
			if err := second.start(); err != nil {
				t.Fatal(err)
			}
			list, release = second.open()
			withdraw(t, list, "2")
			release()
			wantRevoked(t, first, "1", "2")
			end(t, second) // the reload failed
			wantRevoked(t, first, "1", "2")
			list, release = first.open()
			withdraw(t, list, "3")
			release()

			third := s.started(journal)
			end(t, first)
			wantRevoked(t, third, "1", "2", "3")
			wantRevoked(t, first, "1", "2", "3") // late requests
			end(t, third)
			wantRevoked(t, third, "1", "2", "3")
			if journal != "" {
				s.wantClosed()
			}
			wantRevoked(t, s.started(journal), "1", "2", "3")
		})
	}
}

// TestOneFileIsOneList however its path is written.
func TestOneFileIsOneList(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real", "deep")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	link, dangling := filepath.Join(dir, "link"), filepath.Join(dir, "dangling.db")
	for target, name := range map[string]string{filepath.Join("real", "deep"): link, filepath.Join("link", "a.db"): dangling} {
		if err := os.Symlink(target, name); err != nil {
			t.Skip(err)
		}
	}
	resolved, err := filepath.EvalSymlinks(real)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(resolved, "a.db")
	paths := []string{want, filepath.Join(link, "a.db"), dangling, filepath.Join(real, ".", "a.db")}
	check := func(when string) {
		for _, path := range paths {
			if got, err := resolveJournal(path); got != want || err != nil {
				t.Errorf("%s, %s: %s, %v", when, path, got, err)
			}
		}
	}
	check("before there is a file")
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("with the file")
	if got, err := resolveJournal(filepath.Join(link, "none", "b.db")); got != filepath.Join(resolved, "none", "b.db") || err != nil {
		t.Errorf("in a directory to be made: %s, %v", got, err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if got, err := resolveJournal(filepath.Join(dir, "loop")); err == nil || !strings.Contains(err.Error(), "revocation journal "+filepath.Join(dir, "loop")) {
		t.Errorf("a loop is %s", got)
	}
}

// TestTrapFileLockDeadlocksAReload: old and new configuration overlap.
func TestTrapFileLockDeadlocksAReload(t *testing.T) {
	s := newViews(t)
	before := goruntime.NumGoroutine()
	v := s.started("a.db")
	for range 50 {
		next := s.started("a.db")
		end(t, v)
		v = next
	}
	end(t, v)
	s.wantClosed()
	eventually(t, "goroutines as before", func() bool { return goruntime.NumGoroutine() <= before })
}

// TestLockedJournal: another process has it. The error names the file, and the
// configuration before goes on.
func TestLockedJournal(t *testing.T) {
	s, other := newViews(t), newViews(t)
	other.dir = s.dir
	other.started("taken.db")
	v := s.started("a.db")
	begin := time.Now()
	err := s.view("taken.db").start()
	if err == nil || !strings.Contains(err.Error(), "taken.db") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	list, release := v.open()
	defer release()
	withdraw(t, list, "1")
	wantRevoked(t, v, "1")
}
