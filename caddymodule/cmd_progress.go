package caddymodule

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// progressBar shows on a terminal how far something is. All methods may be
// called on nil and do nothing then.
type progressBar struct {
	out   interface{ WriteString(string) (int, error) }
	size  int64 // bytes in all, 0 if nobody knows
	now   func() time.Time
	began time.Time
	shown time.Time
	// Where it began, so that rates are of this run.
	firstOffset int64
	firstLines  int
	started     bool
}

const (
	barWidth = 30
	redraw   = 200 * time.Millisecond
)

// newProgressBar returns nil if out is nil: no terminal, no bar.
func newProgressBar(out *os.File, size int64, now func() time.Time) *progressBar {
	if out == nil {
		return nil
	}
	return &progressBar{out: out, size: size, now: now}
}

// show draws the bar, a few times a second.
func (b *progressBar) show(offset int64, lines int) {
	if b == nil {
		return
	}
	now := b.now()
	if !b.started {
		b.started, b.began, b.firstOffset, b.firstLines = true, now, offset, lines
	}
	if now.Sub(b.shown) < redraw {
		return
	}
	b.shown = now
	_, _ = b.out.WriteString("\r\x1b[K" + b.text(now, offset, lines))
}

func (b *progressBar) text(now time.Time, offset int64, lines int) string {
	passed := now.Sub(b.began).Seconds()
	rate := 0.0
	if passed > 0 {
		rate = float64(lines-b.firstLines) / passed
	}
	s := fmt.Sprintf("%d lines  %.0f/s", lines, rate)
	if b.size <= 0 {
		return s
	}
	part := min(float64(offset)/float64(b.size), 1)
	filled := int(part * barWidth)
	s = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), part*100, s)
	if moved := offset - b.firstOffset; moved > 0 && passed > 0 {
		left := time.Duration(float64(b.size-offset) / float64(moved) * passed * float64(time.Second))
		s += "  " + left.Round(time.Second).String() + " left"
	}
	return s
}

// clear makes room for a line of text.
func (b *progressBar) clear() {
	if b == nil || !b.started {
		return
	}
	_, _ = b.out.WriteString("\r\x1b[K")
	b.shown = time.Time{}
}

func (b *progressBar) finish() { b.clear() }
