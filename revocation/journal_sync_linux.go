package revocation

import (
	"os"
	"syscall"
)

// syncFile returns when what was written to f is on the disk. It leaves out
// times, which cost another write and nobody needs.
func syncFile(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
