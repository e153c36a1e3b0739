package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// plainShare is which part of the requests plain gets, whose memory does not
// depend on tokens.
const plainShare = 5

// measureMemory sends a million requests, each with another token, and looks at
// the resident memory on the way.
func (b *bench) measureMemory() (string, error) {
	withSecret := strings.Replace(app(""), "jwks_file DIR/keys.json", "jwks_file DIR/keys.json\n\t\t\tsecret "+floodSecret, 1)
	all := []*variant{
		{name: "memory-plain", about: fmt.Sprintf("plain, after one in %d of them", plainShare), config: plainSite},
		{name: "memory-gate", about: "gate, default cache", config: fmt.Sprintf(site, withSecret, gateBlock, "")},
	}
	marks := make([][]float64, len(all))
	for i, v := range all {
		if err := b.start(v); err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		var err error
		count := b.settings.tokens
		if i == 0 {
			count /= plainShare
		}
		marks[i], err = b.flooded(v, count)
		v.stop()
		if err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
	}
	var text strings.Builder
	text.WriteString("| resident MiB after | ")
	shown := []int{0, 2, 4, 6, 8, 9}
	for _, m := range shown {
		fmt.Fprintf(&text, "%s | ", thousands(b.settings.tokens*(m+1)/10))
	}
	text.WriteString("\n|---" + strings.Repeat("|---", len(shown)) + "|\n")
	for i, v := range all {
		fmt.Fprintf(&text, "| %s |", v.about)
		for _, m := range shown {
			fmt.Fprintf(&text, " %.0f |", marks[i][m])
		}
		text.WriteString("\n")
	}
	last := len(marks[0]) - 1
	b.measured["memory beyond plain"] = marks[1][last] - marks[0][last]
	fmt.Fprintf(&text, "\nDistinct tokens, one request each. After %s of them the gate holds %.0f MiB more than plain.\n",
		thousands(b.settings.tokens), marks[1][last]-marks[0][last])
	return text.String(), nil
}

// flooded returns the resident memory after each tenth of a flood.
func (b *bench) flooded(v *variant, count int) ([]float64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(b.ctx, "taskset", "-c", others(), self, "-child", "flood", v.address, floodSecret, strconv.Itoa(count))
	cmd.SysProcAttr = attributes()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var marks []float64
	for lines := bufio.NewScanner(out); lines.Scan(); {
		marks = append(marks, residentMiB(v.pid))
	}
	if err := cmd.Wait(); err != nil {
		return nil, err
	}
	if len(marks) < 10 {
		return nil, fmt.Errorf("%d marks of 10: too few tokens", len(marks))
	}
	return marks[:10], nil
}
