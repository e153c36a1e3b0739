package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wants reports whether the flags ask for a variant.
func (b *bench) wants(name string) bool {
	return b.settings.only == "" || name == "plain" || slices.Contains(strings.Split(b.settings.only, ","), name)
}

// measureLoad drives all variants in turns.
func (b *bench) measureLoad() (string, error) {
	all, err := b.variants()
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(v *variant) bool { return !b.wants(v.name) })
	if b.wants("stock") {
		if err := b.build("./bench/stock", b.stock); err != nil {
			return "", err
		}
	}
	defer stopThem(all)
	if err := b.turns(all); err != nil {
		return "", err
	}
	for _, v := range all {
		if err := b.profile(v); err != nil {
			return "", fmt.Errorf("profile of %s: %w", v.name, err)
		}
	}
	b.plot(all)
	for _, v := range all {
		f := v.figures(all[0])
		b.measured[v.name+" rate of plain"], b.measured[v.name+" cpu of plain"], b.measured[v.name+" cpu"] = f.rateOf, f.cpuOf, f.cpu
	}
	if stock, warm := named(all, "stock"), named(all, "warm"); stock != nil && warm != nil {
		f := warm.figures(stock)
		b.measured["warm rate of stock"], b.measured["warm cpu of stock"] = f.rateOf, f.cpuOf
	}
	return loadTable(all), nil
}

// turns starts all variants and drives them in turns.
func (b *bench) turns(all []*variant) error {
	for _, v := range all {
		if err := b.start(v); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		if err := b.load(v, 1, nil); err != nil { // warm-up
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	for range b.settings.rounds {
		for _, v := range all {
			if err := b.load(v, b.settings.seconds, &v.runs); err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
		}
	}
	return nil
}

func stopThem(all []*variant) {
	for _, v := range all {
		if v.process != nil {
			v.stop()
		}
	}
}

var (
	requests = regexp.MustCompile(`(\d+) requests in ([0-9.]+)(s|m)`)
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
	cmd := exec.CommandContext(b.ctx, "taskset", "-c", others(), "wrk", "-t1", "-c16", "-d"+strconv.Itoa(seconds)+"s", "-s", script, "http://"+v.address+"/orders")
	cmd.SysProcAttr = attributes()
	cmd.Env = append(os.Environ(), "TOKENS="+filepath.Join(b.dir, "tokens"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := cpuTime(v.pid)
	if err != nil {
		return err
	}
	m := requests.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("wrk said %s", out)
	}
	n, _ := strconv.ParseFloat(string(m[1]), 64)
	took, _ := strconv.ParseFloat(string(m[2]), 64)
	if string(m[3]) == "m" {
		took *= 60
	}
	if n == 0 || took == 0 {
		return fmt.Errorf("no request was answered: %s", out)
	}
	if bytes.Contains(out, []byte("Socket errors")) {
		return fmt.Errorf("connections broke: %s", out)
	}
	var no float64
	if m := refused.FindSubmatch(out); m != nil {
		no, _ = strconv.ParseFloat(string(m[1]), 64)
	}
	if want := v.refuses; want && no < n || !want && no > 0 {
		return fmt.Errorf("%.0f of %.0f requests were refused", no, n)
	}
	if runs != nil {
		*runs = append(*runs, measured{perSecond: n / took, cpu: (after - before).Seconds() / n * 10_000})
	}
	v.rss = residentMiB(v.pid)
	return nil
}

// profile writes a CPU profile of v under load, if the flags ask for one.
func (b *bench) profile(v *variant) error {
	if b.settings.profiles == "" || v.program == "haproxy" {
		return nil
	}
	if err := os.MkdirAll(b.settings.profiles, 0o750); err != nil {
		return err
	}
	const seconds = 15
	loaded := make(chan error, 1)
	go func() { loaded <- b.load(v, seconds+1, nil) }()
	time.Sleep(300 * time.Millisecond) // into the load
	text, err := b.get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", v.admin, seconds))
	if err := errors.Join(err, <-loaded); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.settings.profiles, v.name+".pprof"), text, 0o600)
}

// get reads a document of an admin endpoint.
func (b *bench) get(url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", url, resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}
