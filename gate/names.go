package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxManagedName bounds the length of a managed name, so that Match folds
// whatever a client sends into a buffer of fixed size.
const maxManagedName = 128

// Fold returns the spelling under which header names count as the same:
// ASCII letters lower case, every run of bytes other than letters and digits
// one hyphen. CGI, WSGI, PHP and their kin map most of those bytes to `_`
// before an application sees the name, so X-User-ID, x_user_id, X.User.ID and
// X--User!ID may be one header to a backend.
func Fold(name string) string {
	return string(appendFolded(make([]byte, 0, len(name)), name, len(name)))
}

// appendFolded appends at most limit bytes of the folded name to dst.
func appendFolded(dst []byte, name string, limit int) []byte {
	hyphen := false
	for i := 0; i < len(name) && len(dst) < limit; i++ {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			if hyphen {
				continue
			}
			c = '-'
		}
		hyphen = c == '-'
		dst = append(dst, c)
	}
	return dst
}

// refusedNames may not be managed, in folded spelling: framing and routing of
// the request, hop-by-hop fields (RFC 9110 section 7.6.1), credentials, which
// the gate treats on its own, and what the proxy writes. An entry that ends in
// a hyphen stands for every name that begins so, and for the word alone: to CGI,
// Proxy is the environment variable HTTP_PROXY.
var refusedNames = []string{
	"host", "content-", "connection", "keep-alive", "proxy-", "te", "trailer", "transfer-encoding",
	"upgrade", "http2-settings", "sec-websocket-", "expect", "authorization", "cookie",
	"accept-encoding", "range", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
}

// CheckManagedName says why name cannot be a managed header, one that the gate
// deletes from every client's request and may set itself; nil if it can.
func CheckManagedName(name string) error {
	if err := checkSpelling(name); err != nil {
		return fmt.Errorf("header %q: %w", name, err)
	}
	folded, squashed := Fold(name), squash(name)
	for _, refused := range refusedNames {
		family := strings.HasSuffix(refused, "-")
		if family && (strings.HasPrefix(folded, refused) || squash(refused) == squashed) ||
			!family && squash(refused) == squashed {
			return fmt.Errorf("header %q: %s cannot be managed, it belongs to the protocol or to the proxy", name, display(refused))
		}
	}
	return nil
}

// CheckManagedPattern is CheckManagedName for a `strip` line: a name, or a
// wildcard, which is one trailing * after at least three letters and a hyphen
// and keeps that hyphen: X-User-* does not stand for X-Username.
func CheckManagedPattern(pattern string) error {
	prefix, wild := strings.CutSuffix(pattern, "*")
	if !wild {
		return CheckManagedName(pattern)
	}
	letters := 0
	for i := 0; i < len(prefix); i++ {
		if c := prefix[i] | 0x20; 'a' <= c && c <= 'z' {
			letters++
		}
	}
	if letters < 3 || !strings.HasSuffix(prefix, "-") {
		return fmt.Errorf("header pattern %q: a wildcard is one trailing * after at least three letters and a hyphen, as in X-User-*", pattern)
	}
	if err := checkSpelling(prefix); err != nil {
		return fmt.Errorf("header pattern %q: %w", pattern, err)
	}
	folded := Fold(prefix)
	for _, refused := range refusedNames {
		if strings.HasPrefix(refused, folded) || strings.HasSuffix(refused, "-") && strings.HasPrefix(folded, refused) {
			return fmt.Errorf("header pattern %q: it would match %s, which belongs to the protocol or to the proxy", pattern, display(refused))
		}
	}
	return nil
}

// squash is Fold without the hyphens: what may be managed is judged more
// strictly than what is matched.
func squash(name string) string { return strings.ReplaceAll(Fold(name), "-", "") }

// display writes an entry of refusedNames as an operator knows it.
func display(folded string) string {
	b := []byte(folded)
	for i := range b {
		if (i == 0 || b[i-1] == '-') && 'a' <= b[i] && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	if b[len(b)-1] == '-' {
		b = append(b, '*')
	}
	return string(b)
}

// checkSpelling wants a field name (RFC 9110 section 5.1) without the two
// characters that servers in front of us drop and backends alias.
func checkSpelling(name string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	if len(name) > maxManagedName {
		return fmt.Errorf("the name is longer than %d bytes", maxManagedName)
	}
	alphanumeric := false
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			alphanumeric = true
		case c == '_' || c == '.':
			return fmt.Errorf("%q is not allowed in the name: Caddy and many servers drop such headers; write a hyphen", string(rune(c)))
		case c == '*':
			return errors.New("* stands at the end of a wildcard and nowhere else")
		case strings.IndexByte("!#$%&'+-^`|~", c) < 0:
			return fmt.Errorf("%q is not allowed in a header name", string(rune(c)))
		}
	}
	if !alphanumeric {
		return errors.New("the name has neither a letter nor a digit")
	}
	return nil
}

// ManagedNames is the set of header names that clients may never send,
// compared folded. Immutable; safe for concurrent use. The nil set is empty.
type ManagedNames struct {
	exact    map[string]struct{} // folded
	prefixes []string            // folded, each ends in a hyphen
	patterns []string            // as configured, sorted
	longest  int                 // of exact and prefixes
}

// NewManagedNames returns the set of names and of patterns (one trailing *),
// which CheckManagedPattern must have accepted.
func NewManagedNames(names ...string) *ManagedNames {
	m := &ManagedNames{exact: make(map[string]struct{}, len(names))}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		prefix, wild := strings.CutSuffix(name, "*")
		folded := Fold(prefix)
		switch {
		case wild && !seen[folded+"*"]:
			seen[folded+"*"] = true
			m.prefixes = append(m.prefixes, folded)
		case !wild && !seen[folded]:
			seen[folded] = true
			m.exact[folded] = struct{}{}
		default:
			continue
		}
		m.patterns = append(m.patterns, name)
		m.longest = max(m.longest, len(folded))
	}
	slices.Sort(m.patterns)
	return m
}

// Union returns the set of what m or any of others holds.
func (m *ManagedNames) Union(others ...*ManagedNames) *ManagedNames {
	all := slices.Clone(m.Patterns())
	for _, o := range others {
		all = append(all, o.Patterns()...)
	}
	return NewManagedNames(all...)
}

// Patterns returns the names and patterns of m as configured, sorted, one
// spelling of each. The caller must not change it.
func (m *ManagedNames) Patterns() []string {
	if m == nil {
		return nil
	}
	return m.patterns
}

// Match reports whether name, in any spelling, is in m. It allocates nothing.
func (m *ManagedNames) Match(name string) bool {
	if m == nil || m.longest == 0 {
		return false
	}
	// One byte more than the longest entry tells a longer name from an equal one.
	var buf [maxManagedName + 1]byte
	folded := appendFolded(buf[:0], name, m.longest+1)
	if _, ok := m.exact[string(folded)]; ok {
		return true
	}
	for _, p := range m.prefixes {
		if len(folded) >= len(p) && string(folded[:len(p)]) == p {
			return true
		}
	}
	return false
}
