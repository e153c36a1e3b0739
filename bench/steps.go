package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// step is one line of the table of steps.
type step struct {
	name, who string
	ns        []float64
	allocs    float64
}

// resultLine is what go test prints of a benchmark, the last part of whose name
// says which requests pay for the step.
var resultLine = regexp.MustCompile(`(?m)^BenchmarkStep/(.+)/(every|warm|cold|refused)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op(?:.*?\s(\d+) allocs/op)?`)

// measureSteps runs the microbenchmarks of the steps and adds up what they cost
// a warm and a cold request.
func (b *bench) measureSteps() (string, error) {
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkStep$", "-benchtime", "100ms", "-count", strconv.Itoa(b.settings.rounds), "./gate", "./caddymodule")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attributes()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go test -bench: %w: %s", err, out)
	}
	var all []*step
	for _, m := range resultLine.FindAllSubmatch(out, -1) {
		name := strings.ReplaceAll(string(m[1]), "_", " ")
		i := slices.IndexFunc(all, func(s *step) bool { return s.name == name })
		if i < 0 {
			i = len(all)
			all = append(all, &step{name: name, who: string(m[2])})
		}
		ns, _ := strconv.ParseFloat(string(m[3]), 64)
		all[i].ns = append(all[i].ns, ns)
		all[i].allocs, _ = strconv.ParseFloat(string(m[4]), 64)
	}
	if len(all) == 0 {
		return "", errors.New("go test printed no BenchmarkStep")
	}
	slices.SortStableFunc(all, func(x, y *step) int { return strings.Compare(x.name, y.name) })
	for _, s := range all {
		if _, alg, ok := strings.Cut(s.name, "signature "); ok {
			b.measured["signature "+alg] = median(s.ns) / 1000
		}
	}
	return stepTable(all), nil
}

func stepTable(all []*step) string {
	var b strings.Builder
	b.WriteString("| step | allocations | warm | cold RS256 |\n|---|---|---|---|\n")
	var warm, cold, refused float64
	for _, s := range all {
		ns := median(s.ns)
		var ofWarm, ofCold string
		text := fmt.Sprintf("%.2f us", ns/1000)
		switch s.who {
		case "every":
			ofWarm, ofCold, warm, cold = text, text, warm+ns, cold+ns
		case "warm":
			ofWarm, warm = text, warm+ns
		case "refused":
			refused = ns
			continue
		case "cold":
			ofCold = text
			if strings.Contains(s.name, "signature") && !strings.HasSuffix(s.name, "RS256") {
				ofCold = "(" + text + ")"
			} else {
				cold += ns
			}
		}
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s |\n", s.name, s.allocs, ofWarm, ofCold)
	}
	fmt.Fprintf(&b, "| **sum** | | **%.1f us** | **%.1f us** |\n", warm/1000, cold/1000)
	fmt.Fprintf(&b, "\nA refusal without a token takes %.1f us beside the first steps, its answer included.\n", refused/1000)
	return b.String()
}
