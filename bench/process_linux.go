package main

import "syscall"

// attributes end a child with bench, however that ends, and keep the terminal's
// interrupt from it: bench ends its children in its own order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// sharpen lets the calling thread's sleeps end when they should: by default the
// kernel adds up to 50 us.
func sharpen() {
	const setTimerSlack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
}

// nap sleeps in the kernel: Go's own timers can be a millisecond late when the
// process is idle.
func nap(nanoseconds int64) {
	t := syscall.NsecToTimespec(nanoseconds)
	_ = syscall.Nanosleep(&t, nil)
}
