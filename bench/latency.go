package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// rate is how many requests a second the section latency sends.
const rate = 1000

// measureLatency compares plain and the warm gate at a constant rate, in turns.
func (b *bench) measureLatency() (string, error) {
	all := []*variant{
		{name: "latency-plain", about: "plain", config: plainSite},
		{name: "latency-warm", about: "gate, warm RS256", config: gated("")},
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	rounds := make([][][]float64, len(all)) // percentiles
	for i, v := range all {
		if err := b.start(v); err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		defer v.stop()
		if _, err := b.atRate(self, v, 1); err != nil { // warm-up
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		rounds[i] = make([][]float64, len(percentiles))
	}
	for range b.settings.rounds {
		for i, v := range all {
			took, err := b.atRate(self, v, b.settings.latencySeconds)
			if err != nil {
				return "", fmt.Errorf("%s: %w", v.name, err)
			}
			for p, of := range percentiles {
				rounds[i][p] = append(rounds[i][p], float64(took[min(int(float64(len(took))*of), len(took)-1)]))
			}
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "| at %s requests a second | p50 | p99 | p99.9 |\n|---|---|---|---|\n", thousands(rate))
	for i, v := range all {
		fmt.Fprintf(&text, "| %s |", v.about)
		for p := range percentiles {
			fmt.Fprintf(&text, " %.0f us |", median(rounds[i][p]))
		}
		text.WriteString("\n")
	}
	text.WriteString("| of plain |")
	for p := range percentiles {
		var ratios []float64
		for r := range rounds[1][p] {
			ratios = append(ratios, rounds[1][p][r]/rounds[0][p][r])
		}
		fmt.Fprintf(&text, " %.2f |", median(ratios))
		b.measured[fmt.Sprintf("p%g of plain", percentiles[p]*100)] = median(ratios)
	}
	return text.String() + "\n", nil
}

var percentiles = []float64{0.5, 0.99, 0.999}

// atRate returns the sorted latencies of one run, in microseconds.
func (b *bench) atRate(self string, v *variant, seconds int) ([]int64, error) {
	cmd := exec.CommandContext(b.ctx, "taskset", "-c", others(), self, "-child", "rate", v.address, b.token, strconv.Itoa(rate), strconv.Itoa(seconds))
	cmd.SysProcAttr = attributes()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var took []int64
	if err := json.Unmarshal(out, &took); err != nil {
		return nil, err
	}
	if want := rate * seconds; len(took) != want {
		return nil, fmt.Errorf("%d latencies of %d requests", len(took), want)
	}
	slices.Sort(took)
	return took, nil
}
