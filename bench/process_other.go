//go:build !linux

package main

import (
	"syscall"
	"time"
)

func attributes() *syscall.SysProcAttr { return nil }

func sharpen() {}

func nap(nanoseconds int64) { time.Sleep(time.Duration(nanoseconds)) }
