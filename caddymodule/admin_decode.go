package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// members are the members of one JSON object that were read strictly, and what
// is wrong with them. Reading a member twice is fine; what was never allowed is
// a fault from the start.
type members struct {
	values map[string]jsontext.Value
	faults []fault
	broken bool // no JSON object: nothing more can be said
}

// whole reports whether there is an object to look into.
func (m *members) whole() bool { return !m.broken }

// readMembers reads one JSON object and nothing behind it. Repeated members and
// invalid UTF-8 are errors (RFC 8259 section 4: receivers differ over the
// former), those outside allowed are faults. No error quotes the text.
func readMembers(b []byte, allowed ...string) *members {
	m := &members{values: make(map[string]jsontext.Value, len(allowed))}
	d := jsontext.NewDecoder(bytes.NewReader(b))
	if kind := d.PeekKind(); kind != '{' && kind != 0 {
		m.refuse("a JSON object is wanted, not %s", kindName(kind))
		return m
	}
	if _, err := d.ReadToken(); err != nil {
		m.syntax(b, err)
		return m
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			m.syntax(b, err)
			return m
		}
		text := name.String()
		value, err := d.ReadValue()
		if err != nil {
			m.syntax(b, err)
			return m
		}
		if !slices.Contains(allowed, text) {
			m.unknown(text, d.InputOffset()-int64(len(value)), allowed)
			continue
		}
		m.values[text] = value.Clone()
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace, or why there is none
		m.syntax(b, err)
		return m
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		m.refuse("something follows the object")
	}
	return m
}

func (m *members) fault(field, format string, args ...any) {
	m.faults = append(m.faults, fault{Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (m *members) refuse(format string, args ...any) {
	m.broken = true
	m.fault("", format, args...)
}

// syntax reports where b stops to be JSON, without what is there.
func (m *members) syntax(b []byte, err error) {
	what := "no valid JSON"
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		what = "a member is repeated"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		what = "it ends too early"
	}
	at := int64(len(b))
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		at = syntactic.ByteOffset
	}
	m.refuse("%s at byte %d", what, at)
}

// unknown reports a member outside allowed. Its name appears if it looks like
// one: it might be a token.
func (m *members) unknown(name string, at int64, allowed []string) {
	field := ""
	if len(name) <= 24 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "" {
		field = name
	}
	m.fault(field, "unknown member at byte %d; known are %s", at, strings.Join(allowed, ", "))
}

func (m *members) has(name string) bool { return m.values[name] != nil }

// text returns a member that has to be a string, empty if it is missing.
func (m *members) text(name string) string {
	v := m.values[name]
	if v == nil {
		return ""
	}
	if v.Kind() != '"' {
		m.fault(name, "a string is wanted, not %s", kindName(v.Kind()))
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		m.fault(name, "no valid string")
		return ""
	}
	return string(text)
}

// time returns a member that has to be a time, zero if it is missing.
func (m *members) time(name string) time.Time {
	text := m.text(name)
	if text == "" {
		if m.has(name) && m.values[name].Kind() == '"' {
			m.fault(name, "no time as in RFC 3339, such as 2026-01-31T13:45:00Z")
		}
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		m.fault(name, "no time as in RFC 3339, such as 2026-01-31T13:45:00Z")
		return time.Time{}
	}
	// The zero time means that none is given, and entries begin in 1970.
	if at.Unix() < 1 {
		m.fault(name, "lies before 1970")
		return time.Time{}
	}
	return at.UTC()
}

// number returns a member that has to be a whole number, byDefault if it is
// missing.
func (m *members) number(name string, byDefault, least, most int) int {
	v := m.values[name]
	if v == nil {
		return byDefault
	}
	n, err := strconv.Atoi(string(v))
	if v.Kind() != '0' || err != nil || n < least || n > most {
		m.fault(name, "a whole number from %d to %d is wanted", least, most)
		return byDefault
	}
	return n
}

// boolean returns a member that has to be true or false.
func (m *members) boolean(name string) bool {
	v := m.values[name]
	if v == nil {
		return false
	}
	if kind := v.Kind(); kind != 't' && kind != 'f' {
		m.fault(name, "true or false is wanted, not %s", kindName(kind))
	}
	return v.Kind() == 't'
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	case '{':
		return "an object"
	}
	return "that"
}

// looksLikeToken reports whether s is a token rather than a name. Names go into
// the list and its audit log, tokens must not.
func looksLikeToken(s string) bool {
	return len(s) > 20 && strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") >= 2
}

// lists returns a member that has to be an object of arrays of strings, as
// headers are; nil if it is missing.
func (m *members) lists(name string) map[string][]string {
	v := m.values[name]
	if v == nil {
		return nil
	}
	lists := make(map[string][]string)
	if v.Kind() != '{' || json.Unmarshal(v, &lists) != nil {
		m.fault(name, `an object of arrays of strings is wanted, such as {"Accept": ["*/*"]}`)
	}
	return lists
}
