package token

import (
	"strconv"
	"unicode/utf8"
)

// node is one value, or one member name, of a scanned text. A container is
// followed by its content: elements, or names and values in turn.
type node struct {
	off  uint32 // start of its text; for a string, behind the quote
	size uint32 // bytes of its text; of a container, nodes with itself
	meta uint32 // kind, whether a string has escapes, children of a container
}

const (
	metaKind    = 7
	metaEscaped = 8
	metaCount   = 4 // bits to shift
)

func (n node) kind() Kind    { return Kind(n.meta & metaKind) }
func (n node) escaped() bool { return n.meta&metaEscaped != 0 }
func (n node) count() int    { return int(n.meta >> metaCount) }

// next returns the index of what follows nodes[i] and its content.
func next(nodes []node, i uint32) uint32 {
	if nodes[i].kind() >= Array {
		return i + nodes[i].size
	}
	return i + 1
}

// scanner reads strict JSON (RFC 8259, RFC 7493): one object with nothing
// before or after it but blanks, valid UTF-8, no lone surrogates, no name twice
// in one object, at most MaxDepth deep. It validates and lists the nodes in one
// pass.
type scanner struct {
	src   string
	pos   int
	nodes []node
	names nameTable
	what  string // the first mistake; it is at pos
}

// syntaxError says what is wrong with a JSON text, and where.
type syntaxError struct {
	what string
	at   int
}

func (e syntaxError) Error() string { return e.what + " at byte " + strconv.Itoa(e.at) }

// object scans src. The nodes are good until the next scan.
func (s *scanner) object(src string) ([]node, error) {
	s.src, s.pos, s.what = src, 0, ""
	s.nodes = s.nodes[:0]
	s.names.reset()
	s.blanks()
	if s.peek() != '{' {
		s.fail("no JSON object")
	} else if s.value(0) {
		if s.blanks(); s.pos < len(src) {
			s.fail("text after the object")
		}
	}
	if s.what != "" {
		return nil, syntaxError{s.what, s.pos}
	}
	return s.nodes, nil
}

func (s *scanner) fail(what string) bool {
	s.what = what
	return false
}

// peek returns the byte at pos, 0 at the end: no legal text has a NUL.
func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) blanks() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// value scans the value at pos, which depth containers enclose.
func (s *scanner) value(depth int) bool {
	switch c := s.peek(); c {
	case '"':
		return s.text()
	case '{', '[':
		if depth == MaxDepth {
			return s.fail("nested too deep")
		}
		if c == '{' {
			return s.members(depth + 1)
		}
		return s.elements(depth + 1)
	case 't':
		return s.literal("true", Bool)
	case 'f':
		return s.literal("false", Bool)
	case 'n':
		return s.literal("null", Null)
	default:
		return s.number()
	}
}

func (s *scanner) add(k Kind, from, to int, flags uint32) {
	s.nodes = append(s.nodes, node{uint32(from), uint32(to - from), uint32(k) | flags})
}

func (s *scanner) open(k Kind) (self int) {
	self = len(s.nodes)
	s.add(k, s.pos, s.pos, 0)
	s.pos++
	s.blanks()
	return self
}

func (s *scanner) close(self, count int) bool {
	s.pos++
	n := &s.nodes[self]
	n.size = uint32(len(s.nodes) - self)
	n.meta |= uint32(count) << metaCount
	return true
}

func (s *scanner) members(depth int) bool {
	self := s.open(Object)
	if s.peek() == '}' {
		return s.close(self, 0)
	}
	for count := 1; ; count++ {
		if s.peek() != '"' {
			return s.fail("no member name")
		}
		name, start := len(s.nodes), s.pos
		if !s.text() {
			return false
		}
		if !s.names.add(s, uint32(self), uint32(name)) {
			s.pos = start
			return s.fail("duplicate member name")
		}
		s.blanks()
		if s.peek() != ':' {
			return s.fail("no colon")
		}
		s.pos++
		s.blanks()
		if !s.value(depth) {
			return false
		}
		s.blanks()
		switch s.peek() {
		case ',':
			s.pos++
			s.blanks()
		case '}':
			return s.close(self, count)
		default:
			return s.fail("no comma or closing brace")
		}
	}
}

func (s *scanner) elements(depth int) bool {
	self := s.open(Array)
	if s.peek() == ']' {
		return s.close(self, 0)
	}
	for count := 1; ; count++ {
		if !s.value(depth) {
			return false
		}
		s.blanks()
		switch s.peek() {
		case ',':
			s.pos++
			s.blanks()
		case ']':
			return s.close(self, count)
		default:
			return s.fail("no comma or closing bracket")
		}
	}
}

func (s *scanner) literal(word string, k Kind) bool {
	if len(s.src)-s.pos < len(word) || s.src[s.pos:s.pos+len(word)] != word {
		return s.fail("no JSON value")
	}
	s.add(k, s.pos, s.pos+len(word), 0)
	s.pos += len(word)
	return true
}

// number scans the grammar of RFC 8259 section 6: no plus, no leading zero, no
// bare point, no NaN.
func (s *scanner) number() bool {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		if s.pos == start {
			return s.fail("no JSON value")
		}
		return s.fail("no digit")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("no digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("no digit")
		}
	}
	s.add(Number, start, s.pos, 0)
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// plain are the bytes of a string that stand for themselves, in ASCII.
var plain = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// text scans the string at pos. Its node spans what is between the quotes.
func (s *scanner) text() bool {
	src := s.src
	start := s.pos + 1
	i := start
	flags := uint32(0)
	for {
		for i < len(src) && plain[src[i]] {
			i++
		}
		s.pos = i
		if i == len(src) {
			return s.fail("no closing quote")
		}
		switch c := src[i]; {
		case c == '"':
			s.add(String, start, i, flags)
			s.pos = i + 1
			return true
		case c == '\\':
			n := escapeLen(src[i:])
			if n == 0 {
				return s.fail("no legal escape")
			}
			flags = metaEscaped
			i += n
		case c < ' ':
			return s.fail("raw control character")
		default:
			r, n := utf8.DecodeRuneInString(src[i:])
			if r == utf8.RuneError && n == 1 {
				return s.fail("invalid UTF-8")
			}
			i += n
		}
	}
}
