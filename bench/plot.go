package main

import (
	"fmt"
	"html"
	"strings"
)

// Measures of the picture, in its own units.
const (
	plotWidth  = 760
	labelWidth = 330
	rowHeight  = 24
	plotTop    = 50
	numberRoom = 120
)

// bars draws the CPU of a request of each variant. The picture follows the
// reader's light or dark scheme.
func bars(all []*variant) string {
	most := 0.0
	for _, v := range all {
		most = max(most, v.figures(all[0]).cpu)
	}
	height := plotTop + rowHeight*len(all) + 16
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="CPU of one request, by variant">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.number { font-variant-numeric: tabular-nums }
.back { fill: #ffffff }
.plain { fill: #8c959f } .gate { fill: #0969da } .refused { fill: #1a7f37 } .outside { fill: #bf8700 }
.base { stroke: #8c959f; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .back { fill: #0d1117 }
.plain { fill: #6e7681 } .gate { fill: #58a6ff } .refused { fill: #3fb950 } .outside { fill: #d29922 }
.base { stroke: #6e7681 }
}
</style>
<rect class="back" width="100%%" height="100%%" rx="6"/>
<text class="title" x="16" y="28">CPU of the proxy for one request, in microseconds (times plain)</text>
`, plotWidth, height, plotWidth, height)
	scale := float64(plotWidth-labelWidth-numberRoom) / most
	for i, v := range all {
		f := v.figures(all[0])
		y := plotTop + rowHeight*i
		fmt.Fprintf(&b, "<text x=\"16\" y=\"%d\">%s</text>", y+16, html.EscapeString(strings.ReplaceAll(v.about, "`", "")))
		fmt.Fprintf(&b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", v.class(), labelWidth, y+3, max(f.cpu*scale, 1), rowHeight-7)
		fmt.Fprintf(&b, "<text class=\"number\" x=\"%.1f\" y=\"%d\">%.1f (%.2f)</text>\n", labelWidth+f.cpu*scale+8, y+16, f.cpu*100, f.cpuOf)
	}
	x := labelWidth + all[0].figures(all[0]).cpu*scale
	fmt.Fprintf(&b, "<line class=\"base\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n</svg>\n", x, plotTop, x, height-16)
	return b.String()
}

// class is the colour of a variant.
func (v *variant) class() string {
	switch {
	case v.program == "haproxy":
		return "outside"
	case v.refuses:
		return "refused"
	case strings.Contains(v.config, "jwtgate"):
		return "gate"
	}
	return "plain"
}
