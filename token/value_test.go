package token

import (
	"fmt"
	"slices"
	"testing"
)

func TestValue(t *testing.T) {
	c := mustClaims(t, `"null":null,"true":true,"false":false,"zero":0,"big":98765432109876543210,"float":1E+06,"empty":"","text":"a\u0062\"",`+
		`"array":[1,"x",null],"none":[],"object":{"k":1,"l":2},"nothing":{}`)
	cases := []struct {
		name  string
		kind  Kind
		text  string
		count int
		empty bool
	}{
		{"missing", Missing, "", 0, true},
		{"null", Null, "", 0, true},
		{"true", Bool, "true", 0, false},
		{"false", Bool, "false", 0, true},
		{"zero", Number, "0", 0, false},
		{"big", Number, "98765432109876543210", 0, false},
		{"float", Number, "1E+06", 0, false},
		{"empty", String, "", 0, true},
		{"text", String, `ab"`, 0, false},
		{"array", Array, "", 3, false},
		{"none", Array, "", 0, true},
		{"object", Object, "", 2, false},
		{"nothing", Object, "", 0, true},
	}
	for _, want := range cases {
		v := c.Get(must(ParsePath(want.name)))
		if v.Kind() != want.kind || v.Text() != want.text || v.Len() != want.count || v.Empty() != want.empty {
			t.Errorf("%s: %v %q %d %v, want %+v", want.name, v.Kind(), v.Text(), v.Len(), v.Empty(), want)
		}
		elements := 0
		for range v.Elements() {
			elements++
		}
		members := 0
		for range v.Members() {
			members++
		}
		if got := elements + members; got != want.count || elements > 0 && want.kind != Array || members > 0 && want.kind != Object {
			t.Errorf("%s: %d elements, %d members", want.name, elements, members)
		}
	}
}

func TestValueWalksStopEarly(t *testing.T) {
	c := mustClaims(t, `"a":[1,2,3]`)
	for range c.Root().Members() {
		break
	}
	for v := range c.Get(must(ParsePath("a"))).Elements() {
		if v.Text() != "1" {
			t.Error(v.Text())
		}
		break
	}
}

func TestValueOrder(t *testing.T) {
	c := mustClaims(t, `"z":{"b":[{}],"a":1},"y":[],"\u0061":0`)
	var names []string
	for name := range c.Root().Members() {
		names = append(names, name)
	}
	if want := []string{"iss", "exp", "z", "y", "a"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestAppendJSON(t *testing.T) {
	cases := []struct{ in, want string }{
		{` { } `, `{}`},
		{`[ ]`, `[]`},
		{`[[],{},[{}]]`, `[[],{},[{}]]`},
		{`{ "b" : [ 1 , 2.50 , -0 , 1e+06 , 98765432109876543210 ] , "a" : null }`, `{"b":[1,2.50,-0,1e+06,98765432109876543210],"a":null}`},
		{`[true,false,null]`, `[true,false,null]`},
		{`"a\/b<>&'+"`, `"a/b<>&'+"`},
		{`"\u0041\u00e9\u20ac"`, `"A\u00e9\u20ac"`},
		{`"é€😀"`, `"\u00e9\u20ac\ud83d\ude00"`},
		{`"\uD83D\uDE00"`, `"\ud83d\ude00"`},
		{`"\b\f\n\r\t\u0000\u001F` + "\x7f" + `"`, `"\u0008\u000c\u000a\u000d\u0009\u0000\u001f\u007f"`},
		{`"\"\\"`, `"\"\\"`},
		{`{"\"é":{"\n":1}}`, `{"\"\u00e9":{"\u000a":1}}`},
		{`"` + "\u2028\ufeff\uffff" + `"`, `"\u2028\ufeff\uffff"`},
		{`"\u010d\u010a"`, `"\u010d\u010a"`},
	}
	for _, c := range cases {
		v := mustClaims(t, `"v":`+c.in).Get(must(ParsePath("v")))
		if got := string(v.AppendJSON([]byte("x"))); got != "x"+c.want {
			t.Errorf("%s: %s, want %s", c.in, got[1:], c.want)
		}
	}
	if got := (Value{}).AppendJSON(nil); got != nil {
		t.Errorf("missing: %q", got)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	c, err := ParseClaims(bigPayload)
	if err != nil {
		t.Fatal(err)
	}
	p := must(ParsePath("realm_access.roles"))
	buf := make([]byte, 0, 4096)
	var total int
	if n := testing.AllocsPerRun(100, func() {
		v := c.Get(p)
		for e := range v.Elements() {
			total += len(e.Text())
		}
		buf = c.Root().AppendJSON(buf[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if total == 0 {
		t.Error(fmt.Sprint("roles not found in ", string(buf)))
	}
}
