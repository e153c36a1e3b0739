package gate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jwtgate/jwtgate/token"
)

// DefaultMaxHeader bounds one forwarded value, in bytes, when the
// configuration names no bound.
const DefaultMaxHeader = 4 << 10

// wholeSet stands for the whole claims set in place of a claim path.
const wholeSet = "*"

// ForwardConfig is one line of `forward`.
type ForwardConfig struct {
	Header string
	Claim  string // path, or * for the whole claims set (json or base64url only)
	Form   string // "", join, json, base64url, utf8
	Sep    string // for join: one printable ASCII character, a blank included, that is no letter, digit or %
}

// Forward turns claims into headers. Immutable; safe for concurrent use. The
// nil *Forward forwards nothing.
type Forward struct {
	lines     []forwardLine
	names     []string
	maxHeader int
	refuse    bool
}

type forwardLine struct {
	header string // canonical
	path   token.Path
	whole  bool
	form   form
	sep    byte
}

// form is how a claim becomes the value of a header. A value that a form
// cannot say is left out and counted; what is missing, null or an empty
// string, array or object has no header in any form.
type form uint8

const (
	formDefault   form = iota // scalars, strings percent-encoded
	formJoin                  // arrays of scalars; a scalar is an array of one
	formJSON                  // compact, ASCII, members in the token's order, numbers verbatim
	formBase64URL             // of the string's UTF-8 or of formJSON, without padding
	formUTF8                  // scalars, strings as they are
)

// NewForward compiles lines and reports all mistakes. maxHeader bounds one
// value in bytes, 0 stands for DefaultMaxHeader; refuse says whether a longer
// one refuses the token (HeaderTooLarge) or leaves the header out.
func NewForward(lines []ForwardConfig, maxHeader int, refuse bool) (*Forward, error) {
	f := &Forward{maxHeader: maxHeader, refuse: refuse}
	var errs []error
	switch {
	case maxHeader < 0:
		errs = append(errs, fmt.Errorf("max_header: %d is negative", maxHeader))
	case maxHeader == 0:
		f.maxHeader = DefaultMaxHeader
	}
	seen := make(map[string]string, len(lines))
	for _, cfg := range lines {
		line, err := compileForward(cfg)
		if err != nil {
			errs = append(errs, fmt.Errorf("forward %s: %w", cfg.Header, err))
			continue
		}
		folded := Fold(line.header)
		if first, twice := seen[folded]; twice {
			errs = append(errs, fmt.Errorf("forward %s: the same header as %s, which is there already", cfg.Header, first))
			continue
		}
		seen[folded] = cfg.Header
		f.lines = append(f.lines, line)
		f.names = append(f.names, line.header)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return f, nil
}

func compileForward(cfg ForwardConfig) (forwardLine, error) {
	line := forwardLine{header: textproto.CanonicalMIMEHeaderKey(cfg.Header), whole: cfg.Claim == wholeSet}
	if err := CheckManagedName(cfg.Header); err != nil {
		return line, err
	}
	switch cfg.Form {
	case "":
		line.form = formDefault
	case "join":
		line.form = formJoin
	case "json":
		line.form = formJSON
	case "base64url":
		line.form = formBase64URL
	case "utf8":
		line.form = formUTF8
	default:
		return line, fmt.Errorf("unknown form %q; there are join, json, base64url, utf8, and none for the default", cfg.Form)
	}
	switch {
	case line.form == formJoin && !separator(cfg.Sep):
		return line, fmt.Errorf("join: the separator %q is not one printable ASCII character other than letters, digits and %%", cfg.Sep)
	case line.form == formJoin:
		line.sep = cfg.Sep[0]
	case cfg.Sep != "":
		return line, errors.New("only join takes a separator")
	}
	if line.whole {
		if line.form != formJSON && line.form != formBase64URL {
			return line, errors.New("the whole claims set * needs the form json or base64url")
		}
		return line, nil
	}
	var err error
	line.path, err = token.ParsePath(cfg.Claim)
	return line, err
}

// separator reports whether s can separate the elements of join and still be
// told from an encoded one.
func separator(s string) bool {
	if len(s) != 1 || s[0] < ' ' || s[0] > '~' || s[0] == '%' {
		return false
	}
	c := s[0] | 0x20
	return !('0' <= s[0] && s[0] <= '9' || 'a' <= c && c <= 'z')
}

// Names returns the canonical names of all headers, in order. The caller must
// not change it.
func (f *Forward) Names() []string {
	if f == nil {
		return nil
	}
	return f.names
}

// Headers formats the headers of c. omitted lists the headers that were left
// out although their claim is there. The error is a *token.Refusal. A value has
// no control characters and no outer blanks, and is never cut.
func (f *Forward) Headers(c *token.Claims) (headers []Header, omitted []string, err error) {
	if f == nil || len(f.lines) == 0 {
		return nil, nil, nil
	}
	headers = make([]Header, 0, len(f.lines))
	var scratch [256]byte
	buf := scratch[:0]
	for i := range f.lines {
		line := &f.lines[i]
		var fate lineFate
		switch buf, fate = line.render(buf[:0], line.value(c), f.maxHeader); {
		case fate == lineTooLong && f.refuse:
			return nil, nil, f.tooLong(line, len(buf))
		case fate == lineSet:
			headers = append(headers, Header{Name: line.header, Value: string(buf)})
		case fate != lineNothing:
			omitted = append(omitted, line.header)
		}
	}
	return headers, omitted, nil
}

// lineFate is what becomes of one line for one claims set.
type lineFate uint8

const (
	lineSet       lineFate = iota
	lineNothing            // the claim says nothing
	lineUnsayable          // the form cannot say the claim
	lineTooLong
)

// value returns what the line forwards.
func (l *forwardLine) value(c *token.Claims) token.Value {
	if l.whole {
		return c.Root()
	}
	return c.Get(l.path)
}

// render appends v to the empty dst in the form of the line.
func (l *forwardLine) render(dst []byte, v token.Value, most int) ([]byte, lineFate) {
	if nothing(v) {
		return dst, lineNothing
	}
	dst, ok := l.append(dst, v)
	switch {
	case !ok || len(dst) == 0:
		return dst, lineUnsayable
	case len(dst) > most:
		return dst, lineTooLong
	}
	return dst, lineSet
}

func (f *Forward) tooLong(l *forwardLine, n int) *token.Refusal {
	return token.Refuse(token.HeaderTooLarge, l.header+" of at most "+strconv.Itoa(f.maxHeader)+" bytes", strconv.Itoa(n)+" bytes")
}

// Text renders v in the default form, for placeholders: empty when there is
// nothing to say. Arrays and objects have no default form and are empty as well.
func Text(v token.Value) string {
	switch v.Kind() {
	case token.String:
		text := v.Text()
		if plain(text, '%') {
			return text
		}
		return string(appendEncoded(nil, text, '%'))
	case token.Number, token.Bool:
		return v.Text()
	default:
		return ""
	}
}

// nothing reports whether v has no header in any form. False is something.
func nothing(v token.Value) bool {
	switch v.Kind() {
	case token.Missing, token.Null:
		return true
	case token.String:
		return v.Text() == ""
	case token.Array, token.Object:
		return v.Len() == 0
	default:
		return false
	}
}

// append appends v in the form of the line. It reports false when the form
// cannot say v.
func (l *forwardLine) append(dst []byte, v token.Value) ([]byte, bool) {
	switch l.form {
	case formJSON:
		return v.AppendJSON(dst), true
	case formBase64URL:
		if v.Kind() == token.String {
			return base64.RawURLEncoding.AppendEncode(dst, []byte(v.Text())), true
		}
		return base64.RawURLEncoding.AppendEncode(dst, v.AppendJSON(nil)), true
	case formJoin:
		if v.Kind() != token.Array {
			return appendScalar(dst, v, l.sep)
		}
		for e := range v.Elements() {
			if len(dst) > 0 {
				dst = append(dst, l.sep)
			}
			var ok bool
			if dst, ok = appendScalar(dst, e, l.sep); !ok {
				return dst, false
			}
		}
		return dst, true
	case formUTF8:
		if v.Kind() == token.String {
			return append(dst, v.Text()...), safeUTF8(v.Text())
		}
		return appendScalar(dst, v, '%')
	default:
		return appendScalar(dst, v, '%')
	}
}

// appendScalar appends a non-empty string, a number or a boolean, sep encoded.
func appendScalar(dst []byte, v token.Value, sep byte) ([]byte, bool) {
	switch v.Kind() {
	case token.String, token.Number, token.Bool:
		text := v.Text()
		return appendEncoded(dst, text, sep), text != ""
	default:
		return dst, false
	}
}

// appendEncoded percent-encodes bytes outside 0x20-0x7E, %, sep and all outer
// blanks. Percent-decoding gives s back, so that two strings never look the
// same to a backend.
func appendEncoded(dst []byte, s string, sep byte) []byte {
	const hex = "0123456789ABCDEF"
	first := len(s) - len(strings.TrimLeft(s, " "))
	last := len(strings.TrimRight(s, " "))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c > '~' || c == '%' || c == sep || c == ' ' && (i < first || i >= last) {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// plain reports whether appendEncoded would leave s as it is.
func plain(s string, sep byte) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '%' || c == sep {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

// safeUTF8 reports whether s survives as the raw value of a header: valid, no
// control character (C0, DEL, C1), no blank at its ends, which HTTP or the
// backend would trim.
func safeUTF8(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	return !unicode.IsSpace(first) && !unicode.IsSpace(last)
}
