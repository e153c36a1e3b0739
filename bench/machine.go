package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine describes where and with what was measured, in one line.
func machine(binary string) string {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(info); m != nil {
			model = strings.TrimSpace(string(m[1]))
		}
	}
	parts := []string{
		fmt.Sprintf("%s, %d cores, %s/%s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
	}
	if info, err := buildinfo.ReadFile(binary); err == nil {
		parts = append(parts, "Go "+strings.TrimPrefix(info.GoVersion, "go"))
		for _, dep := range info.Deps {
			if dep.Path == "github.com/caddyserver/caddy/v2" {
				parts = append(parts, "Caddy "+strings.TrimPrefix(dep.Version, "v"))
			}
		}
	}
	if out, err := exec.Command("haproxy", "-v").Output(); err == nil { //nolint:noctx // answers at once
		if m := regexp.MustCompile(`version (\d+\.\d+\.\d+)`).FindSubmatch(out); m != nil {
			parts = append(parts, "HAProxy "+string(m[1]))
		}
	}
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil { //nolint:noctx // answers at once
		if m := regexp.MustCompile(`v=(\S+)`).FindSubmatch(out); m != nil {
			parts = append(parts, "Redis "+string(m[1]))
		}
	}
	return strings.Join(parts, "; ") + "."
}
