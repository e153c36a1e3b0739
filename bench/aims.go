package main

import (
	"fmt"
	"strings"
)

// aim is what a figure should be.
type aim struct {
	what   string
	figure string // key of what was measured
	format string
	most   bool // the bound is the most that it may be, else the least
	bound  float64
}

var aims = []aim{
	{"warm RS256 against plain, req/s", "warm rate of plain", "%.2f", false, 0.95},
	{"warm RS256 against plain, CPU", "warm cpu of plain", "%.2f", true, 1.05},
	{"warm, the shipped binary as it comes against a stock build of plain Caddy, req/s", "warm rate of stock", "%.2f", false, 1},
	{"the same, CPU", "warm cpu of stock", "%.2f", true, 1},
	{"cold RS256 against plain, req/s", "cold-RS256 rate of plain", "%.2f", false, 0.67},
	{"cold ES256 against plain, req/s", "cold-ES256 rate of plain", "%.2f", false, 0.56},
	{"bad signatures, CPU seconds for 10,000", "bad-signature cpu", "%.2f", true, 0.95},
	{"p99 at 1,000 requests a second, of plain's", "p99 of plain", "%.2f", true, 1.10},
	{"memory after a million distinct tokens, MiB beyond plain", "memory beyond plain", "%.0f", true, 100},
	{"signature checks of one token on 1 to 16 routes", "checks of a token", "%.0f", true, 1},
}

// aims compares what was measured with what it should be.
func (b *bench) aims() string {
	var text strings.Builder
	text.WriteString("| what | aim | measured | |\n|---|---|---|---|\n")
	for _, a := range aims {
		bound := "at least "
		if a.most {
			bound = "at most "
		}
		got, ok := b.measured[a.figure]
		if !ok {
			continue
		}
		verdict := "missed"
		if a.most && got <= a.bound || !a.most && got >= a.bound {
			verdict = "reached"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", a.what, bound+fmt.Sprintf(a.format, a.bound), fmt.Sprintf(a.format, got), verdict)
	}
	plain := b.measured["plain cpu"] * 100 // microseconds a request
	for _, alg := range []string{"RS256", "ES256"} {
		if check := b.measured["signature "+alg]; check > 0 && plain > 0 {
			fmt.Fprintf(&text, "\nAn %s check of Go's standard library takes %.0f us by itself, a request through plain %.0f us: a gate that did nothing else would reach %.2f.\n", alg, check, plain, plain/(plain+check))
		}
	}
	return text.String()
}
