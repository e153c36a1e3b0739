package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startEntries is how many revocations the journal holds that a start reads.
const startEntries = 1_000_000

// measureStart takes the time from the start of the process to the first 200.
func (b *bench) measureStart() (string, error) {
	if err := b.build("./bench/stock", b.stock); err != nil {
		return "", err
	}
	journal := filepath.Join(b.dir, "start.db")
	if err := fill(b.ctx, journal, startEntries, other); err != nil {
		return "", err
	}
	loaded := b.listed("start-many", fmt.Sprintf("gate, a journal of %s entries", thousands(startEntries)), "journal "+journal)
	all := []*variant{
		{name: "start-stock", about: "plain, a stock build of Caddy", program: "stock", config: plainSite},
		{name: "start-plain", about: "plain, the shipped binary", config: plainSite},
		{name: "start-gate", about: "gate", config: gated("")},
		loaded,
	}
	took := make([][]float64, len(all))
	cpu := make([][]float64, len(all))
	for range b.settings.rounds {
		for i, v := range all {
			if err := b.start(v); err != nil {
				return "", fmt.Errorf("%s: %w", v.name, err)
			}
			used, err := cpuTime(v.pid)
			v.stop()
			if err != nil {
				return "", err
			}
			took[i] = append(took[i], float64(v.ready)/float64(time.Millisecond))
			cpu[i] = append(cpu[i], used.Seconds())
		}
	}
	var text strings.Builder
	text.WriteString("| start, to the first 200 | time | CPU |\n|---|---|---|\n")
	for i, v := range all {
		fmt.Fprintf(&text, "| %s | %.0f ms | %.2f s |\n", v.about, median(took[i]), median(cpu[i]))
	}
	return text.String(), os.Remove(journal)
}
