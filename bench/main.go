// Command bench drives gateways end to end and says what the gate costs: the
// same binary as a plain reverse proxy and with the gate in each of its states,
// a stock build of Caddy and, where it is installed, HAProxy. Runs are short
// and take turns; the proxy has one core to itself and everything else the
// others.
//
//	go run ./bench
//	go run ./bench -seconds 1 -rounds 3 -only plain,warm -sections load
//
// It needs wrk and taskset (Debian: wrk, util-linux); redis-server and haproxy
// are measured when they are there. The figure to trust on a noisy machine is
// CPU: what the proxy's process used for 10,000 requests. With -write, tables and
// plot go into the page of that name, between its markers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	seconds, rounds int
	entries, tokens int
	latencySeconds  int
	only, sections  string
	caddy           string
	profiles        string
	write           string
	gogc            string
}

func main() {
	var s settings
	flag.IntVar(&s.seconds, "seconds", 2, "seconds of one run of wrk")
	flag.IntVar(&s.rounds, "rounds", 5, "runs of each variant, in turns")
	flag.IntVar(&s.entries, "entries", 10_000_000, "live revocations of the variant `many-revoked`; 0: leave it out")
	flag.IntVar(&s.tokens, "tokens", 1_000_000, "distinct tokens of the section memory")
	flag.IntVar(&s.latencySeconds, "latency-seconds", 6, "seconds of one run at a constant rate")
	flag.StringVar(&s.only, "only", "", "variants of the section load, separated by commas; plain is always among them")
	flag.StringVar(&s.sections, "sections", strings.Join(sectionNames(), ","), "what to measure, separated by commas")
	flag.StringVar(&s.caddy, "caddy", "", "this binary instead of a build of ./cmd/caddy")
	flag.StringVar(&s.profiles, "profiles", "", "write a CPU profile of each variant of the section load into this folder")
	flag.StringVar(&s.write, "write", "", "put tables and plot into this page, between its markers")
	flag.StringVar(&s.gogc, "gogc", "", "run every gateway with this GOGC")
	child := flag.String("child", "", "used by bench itself: backend, rate or flood")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if *child != "" {
		err = runChild(ctx, *child, flag.Args())
	} else {
		err = run(ctx, s)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// section is one part of the report.
type section struct {
	name string
	run  func(b *bench) (markdown string, err error)
}

var sections = []section{
	{"load", (*bench).measureLoad},
	{"latency", (*bench).measureLatency},
	{"start", (*bench).measureStart},
	{"memory", (*bench).measureMemory},
	{"routes", (*bench).measureRoutes},
	{"collector", (*bench).measureCollector},
	{"steps", (*bench).measureSteps},
}

func sectionNames() []string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

func run(ctx context.Context, s settings) error {
	for _, tool := range []string{"wrk", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing (Debian: apt-get install wrk util-linux)", tool)
		}
	}
	wanted := strings.Split(s.sections, ",")
	for _, name := range wanted {
		if !slices.Contains(sectionNames(), name) {
			return fmt.Errorf("-sections: there is no %q; there are %s", name, strings.Join(sectionNames(), ", "))
		}
	}
	if s.seconds < 1 || s.rounds < 1 || s.latencySeconds < 1 || s.tokens < 1 || s.entries < 0 {
		return fmt.Errorf("seconds, rounds and tokens must be positive")
	}
	dir, err := os.MkdirTemp("", "jwtgate-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{ctx: ctx, dir: dir, settings: s, caddy: filepath.Join(dir, "caddy"), stock: filepath.Join(dir, "stock"), measured: make(map[string]float64)}
	defer b.stopAll()
	if err := b.prepare(); err != nil {
		return err
	}
	page := map[string]string{"machine": machine(b.caddy)}
	fmt.Println(page["machine"])
	for _, part := range sections {
		if !slices.Contains(wanted, part.name) {
			continue
		}
		began := time.Now()
		text, err := part.run(b)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted; %s is not complete and nothing was written", part.name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", part.name, time.Since(began).Round(time.Second))
		fmt.Println(text)
		page[part.name] = text
	}
	page["aims"] = b.aims()
	fmt.Println(page["aims"])
	if s.write == "" {
		return nil
	}
	return writePage(s.write, page)
}
