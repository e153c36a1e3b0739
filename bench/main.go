// Command bench drives a gateway end to end and says what the gate costs: the
// same binary as a plain reverse proxy, with three constant header_up lines, and
// with the gate in several states, in alternating short runs, the proxy pinned
// to one core and everything else to the others.
//
//	go run ./bench -seconds 3 -rounds 5
//
// It needs wrk and taskset (Debian: wrk, util-linux). The figure to trust on a
// noisy machine is CPU: what the proxy's process used for 10,000 requests.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	seconds := flag.Int("seconds", 3, "seconds of one run")
	rounds := flag.Int("rounds", 5, "runs of each variant")
	serve := flag.String("serve-backend", "", "be the backend on this address")
	entries := flag.Int("entries", 1_000_000, "live revocations of the variant many-revoked")
	only := flag.String("only", "", "variants, separated by commas; default: all")
	flag.Parse()
	if *serve != "" {
		backend(*serve)
	}
	if err := run(*seconds, *rounds, *entries, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// backend is as small and fast as net/http is.
func backend(address string) {
	body := []byte("ok\n")
	server := &http.Server{
		Addr: address, ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"text/plain"}
			_, _ = w.Write(body)
		}),
	}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

func run(seconds, rounds, entries int, only string) error {
	for _, tool := range []string{"wrk", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing (Debian: apt-get install wrk util-linux)", tool)
		}
	}
	dir, err := os.MkdirTemp("", "jwtgate-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{dir: dir, caddy: filepath.Join(dir, "caddy")}
	defer b.stop()
	if err := b.prepare(); err != nil {
		return err
	}
	all := variants()
	more, err := b.withRevocations(entries)
	if err != nil {
		return err
	}
	all = append(all, more...)
	if only != "" {
		names := strings.Split(only, ",")
		all = slices.DeleteFunc(all, func(v *variant) bool { return v.name != "plain" && !slices.Contains(names, v.name) })
	}
	for _, v := range all {
		if err := b.start(v); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		if v.started != nil {
			v.started()
		}
		if err := b.load(v, 1, nil); err != nil { // warm-up
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	for range rounds {
		for _, v := range all {
			if err := b.load(v, seconds, &v.runs); err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
		}
	}
	report(all)
	return nil
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed on the next line
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
