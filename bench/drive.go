package main

import (
	"context"
	"fmt"
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
	dir, caddy string
	backend    string // address
	token      string // a good one
	processes  []*exec.Cmd
}

// measured is one run of one variant.
type measured struct {
	perSecond float64
	cpu       float64 // seconds of the proxy for 10,000 requests
}

type variant struct {
	name    string
	config  string // Caddyfile; ADDRESS and BACKEND are filled in
	wrk     string // Lua for wrk: the requests
	env     []string
	started func() // called once the gateway answers
	refuses bool   // every answer is a refusal; otherwise none
	address string
	pid     int
	rss     int // KiB after the last run
	runs    []measured
}

func (b *bench) prepare() error {
	build := exec.Command("go", "build", "-o", b.caddy, "./cmd/caddy") //nolint:noctx // ends by itself
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building ./cmd/caddy from the top of the repository: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.backend = freeAddress()
	if _, err := b.spawn(nil, "taskset", "-c", others(), self, "-serve-backend", b.backend); err != nil {
		return err
	}
	return b.makeTokens()
}

// others are the cores that are not the proxy's.
func others() string {
	if n := runtime.NumCPU(); n > 2 {
		return fmt.Sprintf("1-%d", n-1)
	}
	return "1"
}

func (b *bench) spawn(env []string, name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...) //nolint:noctx // ended by stop
	cmd.Env = append(os.Environ(), env...)
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.processes = append(b.processes, cmd)
	return cmd, nil
}

func (b *bench) stop() {
	for _, p := range b.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

// start runs a variant's gateway on core 0.
func (b *bench) start(v *variant) error {
	v.address = freeAddress()
	file := filepath.Join(b.dir, v.name+".Caddyfile")
	text := strings.NewReplacer("ADDRESS", v.address, "BACKEND", b.backend, "DIR", b.dir).Replace(v.config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	cmd, err := b.spawn(append(v.env, "GOMAXPROCS=1", "HOME="+b.dir, "XDG_DATA_HOME="+filepath.Join(b.dir, "data-"+v.name)), "taskset", "-c", "0", b.caddy, "run", "--config", file, "--adapter", "caddyfile")
	if err != nil {
		return err
	}
	v.pid = cmd.Process.Pid
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+v.address+"/", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+b.token)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable { // the list is loaded
				return nil
			}
		}
	}
	log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	return fmt.Errorf("not ready within two minutes: %s", log)
}

var (
	requests = regexp.MustCompile(`(\d+) requests in ([0-9.]+)s`)
	refused  = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// load drives a variant from the other cores and adds what was measured to runs.
func (b *bench) load(v *variant, seconds int, runs *[]measured) error {
	script := filepath.Join(b.dir, v.name+".lua")
	if err := os.WriteFile(script, []byte(v.wrk), 0o600); err != nil {
		return err
	}
	before, err := cpuTime(v.pid)
	if err != nil {
		return err
	}
	cmd := exec.Command("taskset", "-c", others(), "wrk", "-t1", "-c16", "-d"+strconv.Itoa(seconds)+"s", //nolint:noctx // bounded by -d
		"-s", script, "http://"+v.address+"/orders")
	cmd.Env = append(os.Environ(), "TOKENS="+filepath.Join(b.dir, "tokens"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := cpuTime(v.pid)
	if err != nil {
		return err
	}
	m := requests.FindStringSubmatch(string(out))
	if m == nil {
		return fmt.Errorf("wrk said %s", out)
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	took, _ := strconv.ParseFloat(m[2], 64)
	if n == 0 {
		return fmt.Errorf("no request was answered: %s", out)
	}
	var no float64
	if m := refused.FindStringSubmatch(string(out)); m != nil {
		no, _ = strconv.ParseFloat(m[1], 64)
	}
	if want := v.refuses; want && no < n || !want && no > 0 {
		return fmt.Errorf("%.0f of %.0f requests were refused", no, n)
	}
	if runs != nil {
		*runs = append(*runs, measured{perSecond: n / took, cpu: (after - before).Seconds() / n * 10_000})
	}
	v.rss = residentKiB(v.pid)
	return nil
}

// cpuTime is what a process has used, from its stat file: user and system time
// in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

func residentKiB(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
