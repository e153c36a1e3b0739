package token

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path names a claim: `realm_access.roles` (dots nest), a name with `://` in
// it (one literal top-level name), or a JSON pointer (RFC 6901) that starts
// with `/`. Names compare exactly. The zero Path is invalid and finds nothing.
type Path struct {
	written string
	steps   []string
	// pointer lets a step be an index into an array.
	pointer bool
}

// ParsePath reads a path as written in a configuration. A top-level claim
// whose own name contains a dot is reached by a pointer alone.
func ParsePath(s string) (Path, error) {
	switch {
	case s == "":
		return Path{}, errors.New("empty claim path")
	case !utf8.ValidString(s):
		return Path{}, fmt.Errorf("claim path %q is not valid UTF-8", s)
	case s[0] == '/':
		return parsePointer(s)
	}
	for i, r := range s {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return Path{}, fmt.Errorf("claim path %q: blank or control character at byte %d (a JSON pointer like /name may have one)", s, i)
		}
	}
	if strings.Contains(s, "://") {
		return Path{written: s, steps: []string{s}}, nil
	}
	steps := strings.Split(s, ".")
	for _, step := range steps {
		if step == "" {
			return Path{}, fmt.Errorf("claim path %q has an empty name between its dots", s)
		}
	}
	return Path{written: s, steps: steps}, nil
}

// parsePointer reads an RFC 6901 pointer, which starts with a slash.
func parsePointer(s string) (Path, error) {
	steps := strings.Split(s[1:], "/")
	for i, step := range steps {
		for j := 0; j < len(step); j++ {
			if step[j] == '~' && (j+1 == len(step) || step[j+1] != '0' && step[j+1] != '1') {
				return Path{}, fmt.Errorf("claim path %q: ~ must be written ~0 and / ~1 in a JSON pointer", s)
			}
		}
		// ~1 goes first, so that ~01 becomes ~1 (RFC 6901 section 4).
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
	}
	return Path{written: s, steps: steps, pointer: true}, nil
}

// String returns the path as it was written.
func (p Path) String() string { return p.written }

// arrayIndex reads an array index of a pointer: digits without leading zero.
func arrayIndex(step string) (int, bool) {
	if step == "" || len(step) > 9 || step[0] == '0' && len(step) > 1 {
		return 0, false
	}
	n := 0
	for i := range len(step) {
		if step[i] < '0' || step[i] > '9' {
			return 0, false
		}
		n = 10*n + int(step[i]-'0')
	}
	return n, true
}
