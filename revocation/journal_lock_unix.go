//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package revocation

import (
	"os"
	"syscall"
)

// letGo unlocks and closes a file whose mapping may be there still, after bbolt
// panicked: the mapping would hold the lock until the process ends.
func letGo(f *os.File) error {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	return f.Close()
}
