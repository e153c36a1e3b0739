//go:build !linux

package caddymodule

// statFileSystem knows nothing here.
func statFileSystem(string) (diskKind, string) { return diskUnknown, "" }
