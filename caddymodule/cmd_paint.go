package caddymodule

import "os"

// paint colours text for people; none of it means anything that is not also
// said in words.
type paint bool

// paintFor returns the paint for out: colours only on a terminal that can show
// them, and not with NO_COLOR (https://no-color.org).
func paintFor(out any) paint {
	return paint(terminal(out) != nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p paint) with(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) red(s string) string    { return p.with("31;1", s) }
func (p paint) yellow(s string) string { return p.with("33;1", s) }
func (p paint) green(s string) string  { return p.with("32;1", s) }
func (p paint) bold(s string) string   { return p.with("1", s) }
func (p paint) dim(s string) string    { return p.with("2", s) }
