//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package revocation

import "os"

// letGo closes a file that bbolt may have left locked.
func letGo(f *os.File) error { return f.Close() }
