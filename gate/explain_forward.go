package gate

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/jwtgate/jwtgate/token"
)

// ForwardFinding is what became of one `forward` line.
type ForwardFinding struct {
	Header, Claim, Form string
	// Value is what the backend gets; empty when Absent says why it gets
	// nothing.
	Value, Absent string
	// Refused is set when the line refuses the token.
	Refused *token.Refusal
}

// Explain is Headers, one finding a line, and goes on after one that refuses.
func (f *Forward) Explain(c *token.Claims) []ForwardFinding {
	if f == nil {
		return nil
	}
	var found []ForwardFinding
	for i := range f.lines {
		line := &f.lines[i]
		v := line.value(c)
		one := ForwardFinding{Header: line.header, Claim: line.path.String(), Form: line.formName()}
		if line.whole {
			one.Claim = wholeSet
		}
		switch value, fate := line.render(nil, v, f.maxHeader); fate {
		case lineSet:
			one.Value = string(value)
		case lineNothing:
			one.Absent = "the claim is " + silence(v)
		case lineUnsayable:
			one.Absent = line.unsayable(v)
		case lineTooLong:
			one.Absent = fmt.Sprintf("%d bytes, max_header allows %d", len(value), f.maxHeader)
			if f.refuse {
				one.Refused = f.tooLong(line, len(value))
			}
		}
		found = append(found, one)
	}
	return found
}

// formName is the form as it is configured.
func (l *forwardLine) formName() string {
	switch l.form {
	case formJoin:
		return "join " + strconv.Quote(string(rune(l.sep)))
	case formJSON:
		return "json"
	case formBase64URL:
		return "base64url"
	case formUTF8:
		return "utf8"
	}
	return "default"
}

// silence says why nothing(v).
func silence(v token.Value) string {
	switch v.Kind() {
	case token.Missing:
		return "missing"
	case token.Null:
		return "null"
	}
	return "empty"
}

// unsayable says why the form cannot say v, and which can.
func (l *forwardLine) unsayable(v token.Value) string {
	switch {
	case v.Kind() == token.Object:
		return "an object has no " + l.formName() + " form; write json"
	case v.Kind() == token.Array && l.form == formJoin:
		return "an element of the array is empty, null, an array or an object; write json"
	case v.Kind() == token.Array:
		return "an array has no " + l.formName() + " form; write join , or json"
	}
	return "the string has control characters or outer blanks, which utf8 cannot say; leave utf8 out"
}

// forwarding is Headers as a refusal: the first line that refuses.
func forwarding(found []ForwardFinding) error {
	for i := range found {
		if found[i].Refused != nil {
			return found[i].Refused
		}
	}
	return nil
}

// asRefusal returns the refusal in err, nil if there is none.
func asRefusal(err error) *token.Refusal {
	var refused *token.Refusal
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}
