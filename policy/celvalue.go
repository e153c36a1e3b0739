package policy

import (
	"math"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/jwtgate/jwtgate/token"
)

// celClaims returns c as the variable `claims`. Objects are map[string]any, the
// form that CEL selects members of without wrapping; everything below is a CEL
// value made once. The result must only be read.
func celClaims(c *token.Claims) map[string]any { return celObject(c.Root()) }

func celObject(v token.Value) map[string]any {
	m := make(map[string]any, v.Len())
	for name, member := range v.Members() {
		if member.Kind() == token.Object {
			m[name] = celObject(member)
		} else {
			m[name] = celValue(member)
		}
	}
	return m
}

func celValue(v token.Value) ref.Val {
	switch v.Kind() {
	case token.Bool:
		return types.Bool(v.Text() == "true")
	case token.Number:
		return celNumber(v.Text())
	case token.String:
		return types.String(v.Text())
	case token.Array:
		elements := make([]ref.Val, 0, v.Len())
		for e := range v.Elements() {
			elements = append(elements, celValue(e))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, elements)
	case token.Object:
		return types.NewStringInterfaceMap(types.DefaultTypeAdapter, celObject(v))
	default:
		return types.NullValue
	}
}

// celNumber keeps an integer an int, makes a number with a fraction or an
// exponent a double, and what neither holds exactly enough a string of its
// digits: a comparison with a number then fails instead of going wrong.
func celNumber(digits string) ref.Val {
	if !strings.ContainsAny(digits, ".eE") {
		if i, err := strconv.ParseInt(digits, 10, 64); err == nil {
			return types.Int(i)
		}
		return types.String(digits)
	}
	if f, err := strconv.ParseFloat(digits, 64); err == nil && !math.IsInf(f, 0) {
		return types.Double(f)
	}
	return types.String(digits)
}
