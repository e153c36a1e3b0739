package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// bench holds the processes of one run.
type bench struct {
	ctx          context.Context
	dir          string
	settings     settings
	caddy, stock string // binaries
	backend      string // address
	token        string // a good one, RS256
	processes    []*exec.Cmd
	measured     map[string]float64 // what the aims are judged by
}

// prepare builds the gateways, starts the backend and makes tokens.
func (b *bench) prepare() error {
	if b.settings.caddy != "" {
		b.caddy = b.settings.caddy
	} else if err := b.build("./cmd/caddy", b.caddy); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.backend = freeAddress()
	if _, err := b.spawn("backend", nil, "taskset", "-c", others(), self, "-child", "backend", b.backend); err != nil {
		return err
	}
	return b.makeTokens()
}

func (b *bench) build(what, into string) error {
	cmd := exec.CommandContext(b.ctx, "go", "build", "-o", into, what)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s from the top of the repository: %w", what, err)
	}
	return nil
}

// others are the cores that are not the proxy's.
func others() string {
	if n := runtime.NumCPU(); n > 2 {
		return fmt.Sprintf("1-%d", n-1)
	}
	return strconv.Itoa(min(1, runtime.NumCPU()-1))
}

// spawn starts a process that lives until kill or the end of bench. What it
// says goes into a file of its name.
func (b *bench) spawn(name string, env []string, program string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(b.ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = attributes()
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.processes = append(b.processes, cmd)
	return cmd, nil
}

func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func (b *bench) stopAll() {
	for _, p := range b.processes {
		kill(p)
	}
}

// start runs a variant's gateway on core 0 and waits until it decides.
func (b *bench) start(v *variant) error {
	v.address, v.admin = freeAddress(), freeAddress()
	program, args := b.caddy, []string{"run", "--adapter", "caddyfile", "--config"}
	switch v.program {
	case "":
	case "stock":
		program = b.stock
	case "haproxy":
		program, args = "haproxy", []string{"-db", "-f"}
	default:
		program = v.program
	}
	file := filepath.Join(b.dir, v.name+".conf")
	text := strings.NewReplacer("ADDRESS", v.address, "ADMIN", v.admin, "BACKEND", b.backend, "DIR", b.dir).Replace(v.config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	env := []string{"GOMAXPROCS=1", "HOME=" + b.dir, "XDG_DATA_HOME=" + filepath.Join(b.dir, "data-"+v.name)}
	if b.settings.gogc != "" {
		env = append(env, "GOGC="+b.settings.gogc)
	}
	v.began = time.Now()
	cmd, err := b.spawn(v.name, append(env, v.env...), "taskset", append([]string{"-c", "0", program}, append(args, file)...)...)
	if err != nil {
		return err
	}
	v.process, v.pid = cmd, cmd.Process.Pid
	if v.ready, err = b.awaitReady(v); err != nil {
		log, _ := os.ReadFile(filepath.Join(b.dir, v.name+".log"))
		return fmt.Errorf("%w: %s", err, log)
	}
	if v.started != nil {
		v.started()
	}
	return nil
}

// awaitReady returns how long after began the first answer came that is none of
// a gateway that cannot decide yet.
func (b *bench) awaitReady(v *variant) (time.Duration, error) {
	probe := v.probe
	if probe == "" {
		probe = "/orders"
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+v.address+probe, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+b.token)
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return time.Since(v.began), nil
			}
		}
		if b.ctx.Err() != nil {
			return 0, b.ctx.Err()
		}
		nap(int64(500 * time.Microsecond))
	}
	return 0, errors.New("not ready within five minutes")
}

// stop ends a variant's gateway.
func (v *variant) stop() { kill(v.process) }

// cpuTime is what a process has used, from its stat file: user and system time
// in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+)`)

// residentMiB is the memory of a process that is in RAM.
func residentMiB(pid int) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if m := resident.FindSubmatch(status); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return float64(n) / 1024
	}
	return 0
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed on the next line
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
