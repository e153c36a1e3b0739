package caddymodule

import (
	"slices"
	"strings"
)

func equal(a, b string) bool   { return a == b }
func unequal(a, b string) bool { return a != b }

// pathCovers reports whether pattern a surely matches every path that b
// matches. Patterns are those of Caddy's path matcher, in lower case; several
// are joined by " & ".
func pathCovers(a, b string) bool {
	for part := range strings.SplitSeq(a, " & ") {
		if !slices.ContainsFunc(strings.Split(b, " & "), func(b string) bool { return patternCovers(part, b) }) {
			return false
		}
	}
	return true
}

func patternCovers(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b || a == "*" || a == "/*" {
		return true
	}
	if strings.ContainsAny(a+b, "{%") {
		return false
	}
	switch stars := strings.Count(a, "*"); {
	case stars == 1 && strings.HasSuffix(a, "*"):
		before, _, _ := strings.Cut(b, "*")
		return strings.HasPrefix(before, a[:len(a)-1])
	case stars == 1 && strings.HasPrefix(a, "*"):
		return strings.HasSuffix(b[strings.LastIndexByte(b, '*')+1:], a[1:])
	}
	return false
}

// pathDisjoint reports whether surely no path matches both patterns.
func pathDisjoint(a, b string) bool {
	for _, a := range strings.Split(a, " & ") {
		for _, b := range strings.Split(b, " & ") {
			if patternDisjoint(strings.ToLower(a), strings.ToLower(b)) {
				return true
			}
		}
	}
	return false
}

func patternDisjoint(a, b string) bool {
	if strings.ContainsAny(a+b, "{%") {
		return false
	}
	beforeA, _, openA := strings.Cut(a, "*")
	beforeB, _, openB := strings.Cut(b, "*")
	switch {
	case !openA && !openB:
		return a != b
	case !openA:
		return !patternCovers(b, a) && strings.Count(b, "*") == 1 && (strings.HasSuffix(b, "*") || strings.HasPrefix(b, "*"))
	case !openB:
		return patternDisjoint(b, a)
	}
	return !strings.HasPrefix(beforeA, beforeB) && !strings.HasPrefix(beforeB, beforeA)
}

func pathsDisjoint(a, b []string) bool { return allDisjoint(a, b, pathDisjoint) }
func hostsDisjoint(a, b []string) bool { return allDisjoint(a, b, hostDisjoint) }

func allDisjoint(a, b []string, disjoint func(a, b string) bool) bool {
	for _, a := range a {
		for _, b := range b {
			if !disjoint(a, b) {
				return false
			}
		}
	}
	return true
}

// hostCovers reports whether host pattern a surely matches every host of b. A
// star stands for one label.
func hostCovers(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	if strings.ContainsAny(a+b, "{") {
		return false
	}
	labelsA, labelsB := strings.Split(strings.ToLower(a), "."), strings.Split(strings.ToLower(b), ".")
	if len(labelsA) != len(labelsB) {
		return false
	}
	for i := range labelsA {
		if labelsA[i] != "*" && labelsA[i] != labelsB[i] {
			return false
		}
	}
	return true
}

// hostDisjoint reports whether surely no host matches both patterns.
func hostDisjoint(a, b string) bool {
	if strings.ContainsAny(a+b, "{") {
		return false
	}
	labelsA, labelsB := strings.Split(strings.ToLower(a), "."), strings.Split(strings.ToLower(b), ".")
	if len(labelsA) != len(labelsB) {
		return true
	}
	for i := range labelsA {
		if labelsA[i] != "*" && labelsB[i] != "*" && labelsA[i] != labelsB[i] {
			return true
		}
	}
	return false
}
