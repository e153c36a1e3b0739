package caddymodule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// demands is what a set of matchers asks for, as far as ways are told apart by
// it. A nil list is no demand.
type demands struct {
	hosts, paths, methods []string
	notPaths              []string // of `not path`
	others                []matcherText
}

// matcherText is a matcher that is not looked into. Two with one key match the
// same requests.
type matcherText struct{ name, key string }

func (m matcherText) negated() matcherText {
	if rest, ok := strings.CutPrefix(m.name, "not "); ok {
		return matcherText{rest, strings.TrimPrefix(m.key, "not ")}
	}
	return matcherText{"not " + m.name, "not " + m.key}
}

// demandsOf reads a set of matchers.
func demandsOf(set caddyhttp.MatcherSet) demands {
	var d demands
	for _, matcher := range set {
		switch m := matcher.(type) {
		case *caddyhttp.MatchHost:
			d.hosts = *m
		case caddyhttp.MatchHost:
			d.hosts = m
		case *caddyhttp.MatchPath:
			d.paths = *m
		case caddyhttp.MatchPath:
			d.paths = m
		case *caddyhttp.MatchMethod:
			d.methods = *m
		case caddyhttp.MatchMethod:
			d.methods = m
		case *caddyhttp.MatchNot:
			d.not(m.MatcherSets)
		case caddyhttp.MatchNot:
			d.not(m.MatcherSets)
		default:
			// A matcher that cannot be written down is like no other.
			value, err := json.Marshal(m)
			key := shortName(matcher) + " " + string(value)
			if err != nil {
				key = fmt.Sprintf("%s %p", shortName(matcher), m)
			}
			d.others = append(d.others, matcherText{shortName(matcher), key})
		}
	}
	return d
}

func (d *demands) not(sets []caddyhttp.MatcherSet) {
	for _, set := range sets {
		inner := demandsOf(set)
		if len(inner.hosts) == 0 && len(inner.methods) == 0 && len(inner.others) == 0 && len(inner.notPaths) == 0 {
			d.notPaths = append(d.notPaths, inner.paths...)
			continue
		}
		d.others = append(d.others, inner.text().negated())
	}
}

// text is all matchers together.
func (d demands) text() matcherText {
	var names, keys []string
	for _, m := range d.list() {
		names, keys = append(names, m.name), append(keys, m.key)
	}
	return matcherText{strings.Join(names, " and "), strings.Join(keys, " and ")}
}

// list lists the matchers.
func (d demands) list() []matcherText {
	var all []matcherText
	for _, m := range []struct {
		name   string
		values []string
	}{{"host", d.hosts}, {"path", d.paths}, {"method", d.methods}, {"not path", d.notPaths}} {
		if len(m.values) > 0 {
			text := m.name + " " + strings.Join(m.values, " ")
			all = append(all, matcherText{text, text})
		}
	}
	return append(all, d.others...)
}

// outside translates patterns for the path behind a stripped prefix into such
// for the path that the client sent. What was rewritten otherwise cannot be
// translated.
func (w *way) outside(d demands) demands {
	switch {
	case w.Rewritten && len(d.paths)+len(d.notPaths) > 0:
		text := func(patterns []string) matcherText {
			name := "rewritten path " + strings.Join(patterns, " ")
			return matcherText{name, fmt.Sprintf("%s #%d", name, w.rewrites)}
		}
		if len(d.paths) > 0 {
			d.others = append(slices.Clip(d.others), text(d.paths))
		}
		if len(d.notPaths) > 0 {
			d.others = append(slices.Clip(d.others), text(d.notPaths).negated())
		}
		d.paths, d.notPaths = nil, nil
	case w.Stripped != "":
		d.paths, d.notPaths = under(w.Stripped, d.paths), under(w.Stripped, d.notPaths)
	}
	return d
}

func under(prefix string, patterns []string) []string {
	var out []string
	for _, p := range patterns {
		if p == "*" {
			p = "/*"
		}
		if strings.HasPrefix(p, "/") {
			p = prefix + p
		}
		out = append(out, p)
	}
	return out
}

// match narrows w to what set matches, and reports whether anything is left.
func (w *way) match(set caddyhttp.MatcherSet) bool {
	d := w.outside(demandsOf(set))
	possible := true
	narrow := func(have *[]string, want, except []string, covers, disjoint func(a, b string) bool, join bool) {
		if want == nil {
			return
		}
		*have = intersect(*have, want, covers, disjoint, join)
		*have = slices.DeleteFunc(slices.Clone(*have), func(v string) bool {
			return slices.ContainsFunc(except, func(e string) bool { return covers(e, v) })
		})
		possible = possible && len(*have) > 0
	}
	narrow(&w.Hosts, d.hosts, w.exceptHosts, hostCovers, hostDisjoint, false)
	narrow(&w.Paths, d.paths, w.exceptPaths, pathCovers, pathDisjoint, true)
	narrow(&w.Methods, d.methods, w.exceptMethods, equal, unequal, false)
	for _, p := range d.notPaths {
		possible = possible && w.excludePath(p)
	}
	for _, other := range append(slices.Clip(d.others), d.text()) {
		possible = possible && !slices.Contains(w.keys, other.negated().key)
	}
	for _, other := range d.others {
		w.demand(other)
	}
	w.keys = append(w.keys, d.text().key)
	return possible
}

// demand takes note of a matcher that is not looked into.
func (w *way) demand(m matcherText) {
	if !slices.Contains(w.keys, m.key) {
		w.keys = append(w.keys, m.key)
	}
	if !slices.Contains(w.Others, m.name) {
		w.Others = append(w.Others, m.name)
	}
}

// exclude narrows w to what set does not match, and reports whether anything is
// left.
func (w *way) exclude(set caddyhttp.MatcherSet) bool {
	d := w.outside(demandsOf(set))
	if slices.Contains(w.keys, d.text().key) {
		return false
	}
	w.keys = append(w.keys, d.text().negated().key)
	// Demands that everything on this way meets make no difference.
	if len(w.Hosts) > 0 && allCovered(d.hosts, w.Hosts, hostCovers) {
		d.hosts = nil
	}
	if allCovered(d.paths, w.Paths, pathCovers) || slices.ContainsFunc(d.paths, func(p string) bool { return p == "*" || p == "/*" }) {
		d.paths = nil
	}
	if len(w.Methods) > 0 && allCovered(d.methods, w.Methods, equal) {
		d.methods = nil
	}
	d.others = slices.DeleteFunc(slices.Clone(d.others), func(m matcherText) bool { return slices.Contains(w.keys, m.key) })
	switch left := d.list(); {
	case len(left) == 0:
		return false
	case len(left) > 1:
		w.Except = append(w.Except, d.text().name)
		w.keys = append(w.keys, d.text().negated().key)
	case d.hosts != nil:
		w.exceptHosts = append(w.exceptHosts, d.hosts...)
	case d.paths != nil:
		for _, p := range d.paths {
			if !w.excludePath(p) {
				return false
			}
		}
	case d.methods != nil:
		w.exceptMethods = append(w.exceptMethods, d.methods...)
		if len(w.Methods) > 0 {
			w.Methods = slices.DeleteFunc(slices.Clone(w.Methods), func(m string) bool { return slices.Contains(d.methods, m) })
			return len(w.Methods) > 0
		}
	case len(d.notPaths) > 0:
		w.Paths = intersect(w.Paths, d.notPaths, pathCovers, pathDisjoint, true)
		return len(w.Paths) > 0
	default:
		w.demand(d.others[0].negated())
	}
	return true
}

// excludePath takes the paths of pattern out of w.
func (w *way) excludePath(pattern string) bool {
	w.exceptPaths = append(w.exceptPaths, pattern)
	if len(w.Paths) == 0 {
		return true
	}
	w.Paths = slices.DeleteFunc(slices.Clone(w.Paths), func(p string) bool { return pathCovers(pattern, p) })
	return len(w.Paths) > 0
}

// intersect returns what is in have and in want; have empty is everything.
// Where neither covers the other both are kept, joined, or else the wanted one.
func intersect(have, want []string, covers, disjoint func(a, b string) bool, join bool) []string {
	if len(have) == 0 {
		return slices.Clone(want)
	}
	var out []string
	add := func(v string) {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	for _, h := range have {
		for _, v := range want {
			switch {
			case covers(v, h):
				add(h)
			case covers(h, v):
				add(v)
			case disjoint(h, v):
			case join:
				add(h + " & " + v)
			default:
				add(v)
			}
		}
	}
	return out
}

// allCovered reports whether each of have is covered by one of by.
func allCovered(by, have []string, covers func(a, b string) bool) bool {
	if len(by) == 0 || len(have) == 0 {
		return false
	}
	for _, h := range have {
		if !slices.ContainsFunc(by, func(b string) bool { return covers(b, h) }) {
			return false
		}
	}
	return true
}
