package token

import "iter"

// Kind is the JSON type of a Value.
type Kind uint8

// The kinds. Missing is no JSON type: nothing was there.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"missing", "null", "boolean", "number", "string", "array", "object"}

// String returns the JSON name of k.
func (k Kind) String() string { return kindNames[k] }

// Value is one JSON value of a claims set. The zero Value is Missing. A Value
// is good as long as its Claims are.
type Value struct {
	claims *Claims
	index  uint32
}

func (v Value) node() node { return v.claims.nodes[v.index] }

// raw returns the text of a scalar as the token has it, a string's without
// its quotes.
func (v Value) raw() string {
	n := v.node()
	return v.claims.src[n.off : n.off+n.size]
}

// Kind returns the JSON type of v.
func (v Value) Kind() Kind {
	if v.claims == nil {
		return Missing
	}
	return v.node().kind()
}

// Text returns a string unescaped, a number's literal digits, a boolean as
// true or false, and an empty string for every other kind. It allocates for
// strings with escapes alone.
func (v Value) Text() string {
	switch v.Kind() {
	case Bool, Number:
		return v.raw()
	case String:
		if v.node().escaped() {
			return string(appendUnescaped(nil, v.raw()))
		}
		return v.raw()
	}
	return ""
}

// Len returns the number of elements or members; 0 for other kinds.
func (v Value) Len() int {
	if v.Kind() < Array {
		return 0
	}
	return v.node().count()
}

// Empty reports what `require claim X` treats as not there: missing, null,
// false, and an empty string, array or object.
func (v Value) Empty() bool {
	switch v.Kind() {
	case Missing, Null:
		return true
	case Bool:
		return v.raw() == "false"
	case String:
		return v.node().size == 0
	case Array, Object:
		return v.node().count() == 0
	}
	return false
}

// Elements yields the elements of an array, nothing for other kinds.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		nodes := v.claims.nodes
		end := v.index + nodes[v.index].size
		for i := v.index + 1; i < end; i = next(nodes, i) {
			if !yield(Value{v.claims, i}) {
				return
			}
		}
	}
}

// Members yields the members of an object in the order of the token.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		nodes := v.claims.nodes
		end := v.index + nodes[v.index].size
		for i := v.index + 1; i < end; i = next(nodes, i+1) {
			if !yield(Value{v.claims, i}.Text(), Value{v.claims, i + 1}) {
				return
			}
		}
	}
}

// member returns the member of that exact name of an object.
func (v Value) member(name string) Value {
	nodes := v.claims.nodes
	end := v.index + nodes[v.index].size
	for i := v.index + 1; i < end; i = next(nodes, i+1) {
		// A name with escapes is longer in the token than what it stands for.
		if n := nodes[i]; int(n.size) == len(name) || n.escaped() {
			if (Value{v.claims, i}).Text() == name {
				return Value{v.claims, i + 1}
			}
		}
	}
	return Value{}
}

// element returns the element at index i of an array.
func (v Value) element(i int) Value {
	for element := range v.Elements() {
		if i == 0 {
			return element
		}
		i--
	}
	return Value{}
}

// AppendJSON appends v as compact JSON: member order kept, numbers verbatim,
// all text printable ASCII (\uXXXX escapes). Missing appends nothing.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.Kind() {
	case Missing:
		return dst
	case Null, Bool, Number:
		return append(dst, v.raw()...)
	case String:
		return appendQuoted(dst, v.Text())
	case Array:
		dst = append(dst, '[')
		for element := range v.Elements() {
			dst = append(element.AppendJSON(dst), ',')
		}
		return closeWith(dst, ']', v.Len())
	default:
		dst = append(dst, '{')
		for name, member := range v.Members() {
			dst = append(appendQuoted(dst, name), ':')
			dst = append(member.AppendJSON(dst), ',')
		}
		return closeWith(dst, '}', v.Len())
	}
}

// closeWith puts the closing bracket in place of the last comma.
func closeWith(dst []byte, bracket byte, count int) []byte {
	if count == 0 {
		return append(dst, bracket)
	}
	dst[len(dst)-1] = bracket
	return dst
}
