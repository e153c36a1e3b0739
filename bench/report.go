package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func median(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

// figures are the medians of a variant's runs. Ratios are medians of ratios
// within one round, so that a drift of the machine falls out.
type figures struct{ rate, rateOf, cpu, cpuOf float64 }

func (v *variant) figures(base *variant) figures {
	var rate, rateOf, cpu, cpuOf []float64
	for i, r := range v.runs {
		rate, cpu = append(rate, r.perSecond), append(cpu, r.cpu)
		rateOf = append(rateOf, r.perSecond/base.runs[i].perSecond)
		cpuOf = append(cpuOf, r.cpu/base.runs[i].cpu)
	}
	return figures{median(rate), median(rateOf), median(cpu), median(cpuOf)}
}

func named(all []*variant, name string) *variant {
	for _, v := range all {
		if v.name == name {
			return v
		}
	}
	return nil
}

func loadTable(all []*variant) string {
	var b strings.Builder
	b.WriteString("| what | req/s | of plain | CPU s for 10,000 | of plain | resident MiB |\n|---|---|---|---|---|---|\n")
	for _, v := range all {
		f := v.figures(all[0])
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %.2f | %.2f | %.0f |\n", v.about, f.rate, f.rateOf, f.cpu, f.cpuOf, v.rss)
	}
	return b.String()
}

// thousands writes 10000000 as 10,000,000.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// writePage puts each part between its markers, <!-- bench:load --> and
// <!-- /bench:load -->, and leaves the rest of the page alone. A part that was
// not measured stays as it is.
func writePage(path string, parts map[string]string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(text)
	for name, part := range parts {
		begin, end := "<!-- bench:"+name+" -->", "<!-- /bench:"+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			return fmt.Errorf("%s has no markers %s and %s", path, begin, end)
		}
		page = before + begin + "\n" + strings.Trim(part, "\n") + "\n" + end + after
	}
	return os.WriteFile(path, []byte(page), 0o644) //nolint:gosec // a page of the documentation
}

// plot writes the picture beside the page, if there is to be one.
func (b *bench) plot(all []*variant) {
	if b.settings.write == "" {
		return
	}
	picture := strings.TrimSuffix(b.settings.write, filepath.Ext(b.settings.write)) + ".svg"
	if err := os.WriteFile(picture, []byte(bars(all)), 0o644); err != nil { //nolint:gosec // a picture of the documentation
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}
