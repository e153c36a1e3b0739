package caddymodule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// printer writes for people. Every mark has its word, so that nothing is said
// by a colour or a sign alone. What came from elsewhere is shown and never
// obeyed.
type printer struct {
	out   io.Writer
	ascii bool
	color bool
	err   error
}

// newPrinter returns a printer that suits the terminal and the locale.
func newPrinter(out io.Writer) *printer {
	return &printer{
		out: out, ascii: !utf8Locale(os.Getenv),
		color: terminal(out) != nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// utf8Locale reports whether the locale's encoding is UTF-8 (POSIX: the first
// of these variables that is set counts).
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// line writes one line.
func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// text makes s harmless and keeps it on its line.
func (p *printer) text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case !isGraphic(r) && p.ascii, r > '~' && p.ascii:
			return '?'
		case !isGraphic(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// The marks of results.
var marks = map[string]struct{ sign, ascii, word, color string }{
	"pass": {"✓", "+", "ok  ", "\x1b[32m"},
	"fail": {"✗", "x", "FAIL", "\x1b[31m"},
	"skip": {"–", "-", "skip", "\x1b[33m"},
}

func (p *printer) mark(result string) string {
	m := marks[result]
	s := m.sign + " " + m.word
	if p.ascii {
		s = m.ascii + " " + m.word
	}
	if p.color && m.color != "" {
		s = m.color + s + "\x1b[0m"
	}
	return s
}

func (p *printer) explanation(x *explanation, show bool) error {
	p.line("%s %s", p.text(x.Request.Method), p.text(x.Request.Scheme+"://"+x.Request.Host+x.Request.Path))
	if x.End != nil {
		p.line("  leads to %s", p.text(strings.TrimSpace(x.End.Handler+" "+strings.Join(x.End.Upstreams, " "))))
	}
	for _, w := range x.Warnings {
		p.line("  note: %s", p.text(w))
	}
	for i := range x.Gates {
		p.gate(&x.Gates[i])
	}
	if len(x.Gates) == 0 {
		p.line("")
		p.line("  %s %-15s %s", p.mark("fail"), "gate", p.text(x.Summary))
		p.hint("put `jwtgate` on this route, or look whether host, path and method are those of the site; `caddy jwtgate check` lists every route without a gate")
	}
	p.claims(x, show)
	p.headers(x, show)
	p.answer(x.Answer)
	p.line("")
	p.line("%s", p.text(x.Summary))
	return p.err
}

func (p *printer) gate(g *explainedGate) {
	p.line("")
	name := "Gate"
	if g.Gate != "" {
		name += " " + p.text(g.Gate)
	}
	p.line("%s (%s: %s)", name, g.Mode, g.Note)
	for i := range g.Steps {
		p.step(&g.Steps[i])
	}
}

func (p *printer) step(s *explainedStep) {
	text := s.Found
	if s.Expected != "" && s.Expected != s.Found {
		text = cmp.Or(text, "-") + " (expected: " + s.Expected + ")"
	}
	if s.Note != "" {
		text = strings.TrimPrefix(text+"; "+s.Note, "; ")
	}
	p.line("  %s %-15s %s", p.mark(s.Result), s.Step, p.text(text))
	p.hint(s.Hint)
}

func (p *printer) hint(text string) {
	if text == "" {
		return
	}
	arrow := "→"
	if p.ascii {
		arrow = "->"
	}
	p.line("         %s %s", arrow, p.text(text))
}

func (p *printer) claims(x *explanation, show bool) {
	if len(x.Claims) == 0 {
		return
	}
	p.line("")
	what := "what the token says, types only; --show-claims shows values"
	if show {
		what = "what the token says"
	}
	if x.Token != nil && !x.Token.Verified {
		what += "; its signature is not known to hold"
	}
	p.line("Claims (%s)", what)
	for _, name := range slices.Sorted(maps.Keys(x.Claims)) {
		value := string(x.Claims[name])
		if !show {
			value = strings.Trim(value, `"`)
		}
		p.line("  %-20s %s", p.text(name), p.text(value))
	}
}

func (p *printer) headers(x *explanation, show bool) {
	if len(x.Headers) == 0 {
		return
	}
	p.line("")
	p.line("Headers for the backend")
	for i := range x.Headers {
		h := &x.Headers[i]
		value := "set"
		switch {
		case h.Absent != "":
			value = "absent: " + h.Absent
		case show:
			value = h.Value
		}
		from := h.Claim
		if h.Form != "default" {
			from += " " + h.Form
		}
		p.line("  %-20s %-24s %s", p.text(h.Name), p.text(from), p.text(value))
	}
}

func (p *printer) answer(a *explainedAnswer) {
	if a == nil {
		return
	}
	p.line("")
	p.line("Answer to the client")
	p.line("  %s", strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))))
	for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
		for _, value := range a.Headers[name] {
			p.line("  %s: %s", p.text(name), p.text(value))
		}
	}
	if a.Body != "" {
		p.line("")
		p.line("  %s", p.text(a.Body))
	}
}

// writeASCII writes v as JSON that no terminal obeys.
func writeASCII(out io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	var ascii bytes.Buffer
	for _, r := range b.String() {
		switch {
		case r < 0x7f:
			ascii.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		}
	}
	_, err := out.Write(ascii.Bytes())
	return err
}
