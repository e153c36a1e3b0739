//go:build linux

package revocation

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unlimited is RLIM_INFINITY.
const unlimited = ^uint64(0)

// full runs into a limit on the size of files, and out of it.
func full() error {
	signal.Ignore(syscall.SIGXFSZ)
	var log lines
	s, err := Open(Options{Path: os.Getenv(pathEnv), Logger: log.logger()})
	if err != nil {
		return err
	}
	ctx := context.Background()
	limit := func(n uint64) error {
		limit := syscall.Rlimit{Cur: n, Max: unlimited}
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	}
	if err := limit(400 << 10); err != nil {
		return err
	}
	note := strings.Repeat("n", MaxNote)
	failed, i := 0, 0
	for ; failed < 20; i++ {
		e := churned(fmt.Sprint(i))
		e.Note = note
		r, err := s.Revoke(ctx, e)
		ids := IDs{Session: e.Digest()}
		if kind, refused := s.Revoked(&ids); kind != Session || refused != nil {
			return fmt.Errorf("%d is not in force: %v", i, refused)
		}
		switch {
		case err == nil && !r.Durable:
			return errors.New("acknowledged and not durable")
		case err == nil:
			fmt.Println("revoked", i)
		case !errors.Is(err, ErrNotDurable):
			return err
		default:
			failed++
		}
		if i > 5000 {
			return errors.New("the disk does not get full")
		}
	}
	if stats := s.Stats(); !stats.Failing || stats.DiskError == "" {
		return fmt.Errorf("the disk fails, and the figures do not say why: %+v", stats)
	}
	if n := s.Stats().NotDurable; n < 20 {
		return fmt.Errorf("%d are said to be in memory only", n)
	}
	if n := log.count("level=ERROR"); n != 1 {
		return fmt.Errorf("%d errors logged: %s", n, log.text.String()[:min(3000, log.text.Len())])
	}
	if err := limit(unlimited); err != nil {
		return err
	}
	for began := time.Now(); s.Stats().NotDurable > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			return errors.New("not retried")
		}
	}
	if n := log.count("revocations are saved again"); n != 1 {
		return fmt.Errorf("%d recoveries logged", n)
	}
	if _, err := s.Revoke(ctx, churned(fmt.Sprint(i))); err != nil {
		return fmt.Errorf("after it: %w", err)
	}
	fmt.Println("all", i+1)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestTrapFullDisk fills the disk under a list: revocations are in force at
// once, the callers hear that they are not durable, and what was said to be
// durable is, also what is retried after there is room again.
func TestTrapFullDisk(t *testing.T) {
	path := tempPath(t)
	out, err := child(t.Context(), "full", path).Output()
	last := strings.Split(strings.TrimSpace(string(out)), "\n")
	var all int
	if n, _ := fmt.Sscanf(last[len(last)-1], "all %d", &all); n != 1 {
		t.Fatalf("%v: %s", err, last[len(last)-1])
	}
	s := openTest(t, Options{Path: path, idle: true})
	for i := range all {
		if e := churned(fmt.Sprint(i)); !inForce(t, s, &e) {
			t.Errorf("%d of %d is forgotten", i, all)
		}
	}
}

// TestTrapTwoGatewaysOneJournal opens the journal of another process.
func TestTrapTwoGatewaysOneJournal(t *testing.T) {
	path := tempPath(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := child(ctx, "churn", path, roundEnv+"=0")
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	if !lines.Scan() {
		t.Fatal("the other process says nothing")
	}
	_, err = Open(Options{Path: path, RenameDamaged: true})
	if err == nil || !strings.Contains(err.Error(), "another process has it") || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v", err)
	}
	c.Process.Kill()
	for lines.Scan() {
	}
	c.Wait()
	openTest(t, Options{Path: path})
}
