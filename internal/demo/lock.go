package demo

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockData makes the directory and holds it for this process: two demos in one
// directory would overwrite each other's keys. The lock dies with the process.
func lockData(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	held, err := tryLock(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("data directory: locking %s: %w", f.Name(), err)
	}
	if !held {
		_ = f.Close()
		return nil, fmt.Errorf("another demo is using %s; choose another directory with --data DIR", dir)
	}
	return func() { _ = f.Close() }, nil
}
