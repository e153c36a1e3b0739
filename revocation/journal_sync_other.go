//go:build !linux

package revocation

import "os"

// syncFile returns when what was written to f is on the disk.
func syncFile(f *os.File) error { return f.Sync() }
