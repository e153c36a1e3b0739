//go:build linux

package revocation

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestSyncBeforeAcknowledgement keeps an image of the log as of its last sync,
// which is all that a power cut leaves, and starts from that.
func TestSyncBeforeAcknowledgement(t *testing.T) {
	for _, syncing := range []bool{true, false} {
		t.Run(fmt.Sprintf("syncing=%v", syncing), func(t *testing.T) {
			path := tempPath(t)
			clean := openTest(t, Options{Path: path, Now: newClock().now, idle: true})
			clean.crash()
			read := func(name string) []byte {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			var mu sync.Mutex
			image := map[string][]byte{path: read(path), path + ".wal": read(path + ".wal")}
			o := Options{Path: path, Now: newClock().now, idle: true, noSync: !syncing}
			o.syncLog = func(f *os.File) error {
				mu.Lock()
				defer mu.Unlock()
				image[path+".wal"] = read(path + ".wal")
				return syncFile(f)
			}
			s := openTest(t, o)
			lost := 0
			for i := range 20 {
				e := mustRevoke(t, s, entry(Token, fmt.Sprint(i)))
				// The power fails here.
				dir := t.TempDir()
				mu.Lock()
				for name, b := range image {
					if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				mu.Unlock()
				again, err := Open(Options{Path: filepath.Join(dir, filepath.Base(path)), Now: newClock().now, idle: true})
				if err != nil {
					t.Fatal(err)
				}
				if !inForce(t, again, &e) {
					lost++
				}
				again.Close()
			}
			if syncing && lost > 0 {
				t.Errorf("%d of 20 acknowledged revocations were not on the disk", lost)
			}
			if !syncing && lost != 20 {
				t.Errorf("without syncs %d of 20 were lost; this test cannot tell", lost)
			}
		})
	}
}

// few makes some revocations, each between two marks that strace sees.
func few() error {
	s, err := Open(Options{Path: os.Getenv(pathEnv), noSync: os.Getenv(syncEnv) != "", idle: true})
	if err != nil {
		return err
	}
	for i := range 5 {
		fmt.Println("begin", i)
		if _, err := s.Revoke(context.Background(), churned(fmt.Sprint(i))); err != nil {
			return err
		}
		fmt.Println("end", i)
	}
	return nil
}

// TestSystemCallsBeforeAcknowledgement looks at what the kernel is asked: after
// the last write to the log comes a sync of the same file, before the answer.
func TestSystemCallsBeforeAcknowledgement(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	for _, syncing := range []bool{true, false} {
		t.Run(fmt.Sprintf("syncing=%v", syncing), func(t *testing.T) {
			path, trace := tempPath(t), filepath.Join(t.TempDir(), "trace")
			c := child(t.Context(), "few", path)
			if !syncing {
				c.Env = append(c.Env, syncEnv+"=1")
			}
			c.Path = strace
			c.Args = []string{strace, "-f", "-y", "-o", trace, "-e", "trace=write,pwrite64,fdatasync,fsync", os.Args[0], "-test.run=^$"}
			if out, err := c.Output(); err != nil {
				t.Skipf("strace may not trace here: %v %s", err, out)
			}
			text, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			written, durable, open, ends := false, false, false, 0
			for line := range strings.Lines(string(text)) {
				log := strings.Contains(line, "revocations.db.wal>")
				switch {
				case strings.Contains(line, `"begin `):
					written, durable = false, false
				case log && strings.Contains(line, "pwrite64("):
					written, durable = true, false
				case log && strings.Contains(line, "fdatasync("):
					durable = strings.Contains(line, "= 0")
					open = !durable
				case open && strings.Contains(line, "fdatasync resumed>"):
					durable, open = strings.Contains(line, "= 0"), false
				case strings.Contains(line, `"end `):
					ends++
					if !written || durable != syncing {
						t.Errorf("acknowledgement %d: written %v, synced %v", ends, written, durable)
					}
				}
			}
			if ends != 5 {
				t.Fatalf("%d acknowledgements in the trace", ends)
			}
		})
	}
}
