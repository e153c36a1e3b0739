//go:build unix

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// TestClusterExample runs examples/cluster as its README says, on free ports.
func TestClusterExample(t *testing.T) {
	redistest.Need(t)
	for _, tool := range []string{"sh", "curl", "redis-cli"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the lines need %s", tool)
		}
	}
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var replace, ports []string
	for _, port := range []string{"8080", "8090", "8100", "8081", "8082", "6390", "2019", "2029", "2039"} {
		free := strconv.Itoa(redistest.FreePort(t))
		ports = append(ports, free)
		replace = append(replace, "127.0.0.1:"+port, "127.0.0.1:"+free, "-p "+port, "-p "+free)
	}
	cmd := exec.Command(filepath.Join(top, "examples/cluster/start.sh"))
	cmd.Env = append(os.Environ(), "CADDY="+exe, runMain+"=1",
		"GATEWAY_PORTS="+strings.Join(ports[:3], " "), "ISSUER_PORT="+ports[3], "BACKEND_PORT="+ports[4],
		"REDIS_PORT="+ports[5], "ADMIN_PORTS="+strings.Join(ports[6:], " "))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(90 * time.Second):
			t.Error("it does not end")
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}()
	ready := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "ready: ") {
				close(ready)
			}
		}
		ended <- cmd.Wait()
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("it ended: %v\n%s", err, stderr.String())
	case <-time.After(90 * time.Second):
		t.Fatal("it does not start")
	}
	dir := t.TempDir()
	for _, block := range shellBlocks(t, filepath.Join(top, "examples/cluster/README.md")) {
		if len(block) == 1 && strings.HasSuffix(block[0], "start.sh") {
			continue
		}
		tryBlock(t, dir, block, strings.NewReplacer(replace...))
	}
	if n := strings.TrimSpace(shell(t, dir, fmt.Sprintf("redis-cli -p %s xlen jwtgate:revocations", ports[5]))); n != "1" {
		t.Errorf("after the loss the stream has %s entries", n)
	}
}
