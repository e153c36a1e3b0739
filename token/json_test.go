package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// oracle is an independent strict reader: jsontext, which refuses duplicate
// names and invalid UTF-8. It gives what kind and text each node must have.
func oracle(src string) ([]string, error) {
	dec := jsontext.NewDecoder(bytes.NewReader([]byte(src)))
	var nodes []string
	for {
		tok, err := dec.ReadToken()
		if err == io.EOF {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		switch tok.Kind() {
		case '{', '[':
			if dec.StackDepth() == 1 && len(nodes) > 0 {
				return nil, fmt.Errorf("second value")
			}
			if dec.StackDepth() > MaxDepth {
				return nil, fmt.Errorf("too deep")
			}
			nodes = append(nodes, string(tok.Kind()))
		case '}', ']':
			nodes = append(nodes, string(tok.Kind()))
		default:
			nodes = append(nodes, string(tok.Kind())+tok.String())
		}
		if dec.StackDepth() == 0 && tok.Kind() != '}' {
			return nil, fmt.Errorf("no object")
		}
	}
}

// ours lists the nodes of a scanned text in the form of oracle.
func ours(v Value) []string {
	switch v.Kind() {
	case Object:
		nodes := []string{"{"}
		for name, member := range v.Members() {
			nodes = append(append(nodes, `"`+name), ours(member)...)
		}
		return append(nodes, "}")
	case Array:
		nodes := []string{"["}
		for element := range v.Elements() {
			nodes = append(nodes, ours(element)...)
		}
		return append(nodes, "]")
	case String:
		return []string{`"` + v.Text()}
	case Number:
		return []string{"0" + v.Text()}
	case Bool:
		return []string{v.Text()[:1] + v.Text()}
	}
	return []string{"nnull"}
}

func compareJSON(t *testing.T, src string) {
	t.Helper()
	var s scanner
	nodes, err := s.object(src)
	want, wantErr := oracle(src)
	// An empty text has no object; jsontext sees no error in it.
	if wantErr == nil && len(want) == 0 {
		wantErr = io.ErrUnexpectedEOF
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, want %v", src, err, wantErr)
	}
	if err != nil {
		if at := err.(syntaxError).at; at < 0 || at > len(src) {
			t.Fatalf("%q: mistake at %d", src, at)
		}
		return
	}
	root := (&Claims{src: src, nodes: nodes}).Root()
	if got := ours(root); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%q: %q, want %q", src, got, want)
	}
	// What we write again is ASCII, means the same and is written stably.
	again := root.AppendJSON(nil)
	for _, c := range again {
		if c < ' ' || c > '~' {
			t.Fatalf("%q: not printable ASCII: %q", src, again)
		}
	}
	if !json.Valid(again) {
		t.Fatalf("%q: not JSON: %s", src, again)
	}
	if meant, err := oracle(string(again)); err != nil || strings.Join(meant, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%q: %s means something else, %v", src, again, err)
	}
}

// FuzzJSON: our scanner and jsontext accept and refuse the same texts, but for
// the depth, and read the same out of them.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"", "{}", " {} ", "{}{}", "[]", "null", goodPayload, bigPayload, `{"a":{"a":[1,-0.5e+7,"\ud83d\ude00\n",true,false,null]}}`,
		`{"a":1,"\u0061":2}`, "{\"\xff\":1}", `{"a":"\ud800"}`, `{"a":01}`, `{"":{}}`, "{\"a\":\"\x7f\"}",
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`} {
		f.Add(s)
	}
	f.Fuzz(compareJSON)
}

// TestJSONMutations runs the comparison over many small edits of good texts, so
// that a plain test run has it too.
func TestJSONMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, `{`, `}`, `[`, `]`, `,`, `:`, `0`, `-`, `.`, `e`, `\u`, `\ud83d`, `\ude00`, `\u0061`, "\x00", "\xff", "\xed\xa0\x80", "é", " ", "\n", `"a":1,`, `"iss":2`, "null", "tru"}
	sources := []string{goodPayload, bigPayload, `{"a":"x\ud83d\ude00\"y","b":[1,2.5,-0,{"c":null}],"d":{}}`}
	for range 60000 {
		b := []byte(sources[rng.IntN(len(sources))])
		for range 1 + rng.IntN(3) {
			i := rng.IntN(len(b))
			switch rng.IntN(4) {
			case 0:
				b = append(b[:i], b[i+1:]...)
			case 1:
				b[i] = byte(rng.IntN(256))
			default:
				b = append(b[:i], append([]byte(pieces[rng.IntN(len(pieces))]), b[i:]...)...)
			}
		}
		compareJSON(t, string(b))
	}
}

func TestJSONDepth(t *testing.T) {
	for depth := 1; depth <= 40; depth++ {
		arrays := `{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
		if depth == 1 {
			arrays = `{"a":1}`
		}
		objects := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
		for _, src := range []string{arrays, objects} {
			var s scanner
			if _, err := s.object(src); (err == nil) != (depth <= MaxDepth) {
				t.Errorf("depth %d: %v", depth, err)
			}
		}
	}
}

// TestNamesAreFoundInLinearTime: a hundred times the names cost about a
// hundred times as long, not ten thousand, also when all need unescaping.
func TestNamesAreFoundInLinearTime(t *testing.T) {
	text := func(n int, name string) string {
		var b strings.Builder
		b.WriteString(`{"x":0`)
		for i := range n {
			fmt.Fprintf(&b, `,"`+name+`":0`, i)
		}
		return b.String() + "}"
	}
	for _, name := range []string{"%d", `\u0061%d`} {
		var s scanner
		cost := func(n int) time.Duration {
			src := text(n, name)
			best := time.Hour
			for range 5 {
				start := time.Now()
				if _, err := s.object(src); err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		if small, big := cost(200), cost(20000); big > 4000*small {
			t.Errorf("%s: 200 names %v, 20000 names %v", name, small, big)
		}
	}
}

func TestClip(t *testing.T) {
	for n := range 10 {
		s := strings.Repeat("a", maxQuoted-5+n) + "€€€"
		if got := clip(s); len(got) > maxQuoted || !utf8.ValidString(got) || !strings.HasPrefix(s, got) {
			t.Errorf("%d: %q", n, got)
		}
	}
}
