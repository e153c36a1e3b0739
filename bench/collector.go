package main

import (
	"fmt"
	"strings"
)

// measureCollector compares the shipped binary, as it comes, with itself under
// fixed settings of Go's garbage collector.
func (b *bench) measureCollector() (string, error) {
	warm := send("RS256", false, false)
	all := []*variant{{name: "gogc-none", about: "as it comes", config: gated(""), wrk: warm}}
	for _, percent := range []string{"100", "200", "400", "800"} {
		all = append(all, &variant{name: "gogc-" + percent, about: "`GOGC=" + percent + "`", config: gated(""), wrk: warm, env: []string{"GOGC=" + percent}})
	}
	defer stopThem(all)
	if err := b.turns(all); err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString("| gate, warm RS256 | req/s | of `GOGC=100` | CPU s for 10,000 | of `GOGC=100` | resident MiB |\n|---|---|---|---|---|---|\n")
	base := named(all, "gogc-100")
	for _, v := range all {
		f := v.figures(base)
		fmt.Fprintf(&text, "| %s | %.0f | %.2f | %.2f | %.2f | %.0f |\n", v.about, f.rate, f.rateOf, f.cpu, f.cpuOf, v.rss)
	}
	return text.String(), nil
}
