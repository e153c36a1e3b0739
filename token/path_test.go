package token

import (
	"slices"
	"testing"
)

func TestParsePath(t *testing.T) {
	cases := []struct {
		path string
		want []string
	}{
		{"sub", []string{"sub"}},
		{"realm_access.roles", []string{"realm_access", "roles"}},
		{"a.b.c", []string{"a", "b", "c"}},
		{"https://example.com/roles", []string{"https://example.com/roles"}},
		{"urn://x.y", []string{"urn://x.y"}},
		{"a/b", []string{"a/b"}},
		{"rôle", []string{"rôle"}},
		{"a~0b", []string{"a~0b"}},
		{"/", []string{""}},
		{"/a", []string{"a"}},
		{"/a/b", []string{"a", "b"}},
		{"/a.b", []string{"a.b"}},
		{"/a b", []string{"a b"}},
		{"/a//b", []string{"a", "", "b"}},
		{"/https:~1~1example.com~1roles", []string{"https://example.com/roles"}},
		{"/~0~1", []string{"~/"}},
		{"/~01", []string{"~1"}},
	}
	for _, c := range cases {
		p, err := ParsePath(c.path)
		if err != nil || !slices.Equal(p.steps, c.want) || p.String() != c.path {
			t.Errorf("%q: %q %v, want %q", c.path, p.steps, err, c.want)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", " a", "a ", "a b", "a\tb", "a\nb", "a\x00b", "a\u00a0b", "a\u0085b",
		"https://x y", "\xff", "/\xff", "/~", "/~2", "/a~", "/~x/a"} {
		if p, err := ParsePath(bad); err == nil {
			t.Errorf("%q: accepted as %q", bad, p.steps)
		}
	}
}
