package caddymodule

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// describeRoute is a route on one line.
func describeRoute(m *mappedRoute) string {
	s := m.label() + " -> " + m.End
	if len(m.Except) > 0 {
		s += " except " + strings.Join(m.Except, ", ")
	}
	if m.Stripped != "" {
		s += " strips " + m.Stripped
	}
	return s + " gates " + strconv.Itoa(len(m.Gates))
}

const gateBlock = "{\n issuer https://id.example\n audience a\n}\n"

func TestMapRoutes(t *testing.T) {
	for _, test := range []struct {
		name, caddyfile string
		want            []string
	}{
		{"a gate for all", "api.example {\n jwtgate " + gateBlock + " reverse_proxy localhost:1\n}", []string{
			"api.example /* -> reverse_proxy gates 1"}},
		{"a gate for some", "api.example {\n jwtgate /api/* " + gateBlock + " reverse_proxy localhost:1\n}", []string{
			"api.example /api/* -> reverse_proxy gates 1",
			"api.example /* -> reverse_proxy except /api/* gates 0"}},
		{"handle blocks", "api.example {\n handle_path /api/* {\n jwtgate /v1/* " + gateBlock + " reverse_proxy localhost:1\n }\n handle {\n respond hello\n }\n}", []string{
			"api.example /api/v1/* -> reverse_proxy strips /api gates 1",
			"api.example /api/* -> reverse_proxy except /api/v1/* strips /api gates 0",
			"api.example /* -> static_response except /api/* gates 0"}},
		{"two sites", "a.example {\n jwtgate " + gateBlock + " reverse_proxy localhost:1\n}\nb.example {\n reverse_proxy localhost:1\n}", []string{
			"a.example /* -> reverse_proxy gates 1",
			"b.example /* -> reverse_proxy gates 0"}},
		{"one matcher used twice", "a.example {\n @w header X-A b\n jwtgate @w " + gateBlock + " reverse_proxy @w localhost:1\n}", []string{
			"a.example /* (header) -> reverse_proxy gates 1"}},
		{"two matchers of a kind", "a.example {\n @v header X-A b\n @w header X-A c\n jwtgate @v " + gateBlock + " reverse_proxy @w localhost:1\n}", []string{
			"a.example /* (header) -> reverse_proxy gates 1",
			"a.example /* (header, not header) ->  gates 1",
			"a.example /* (not header, header) -> reverse_proxy gates 0"}},
		{"not", "a.example {\n @w not path /public/*\n jwtgate @w " + gateBlock + " reverse_proxy localhost:1\n}", []string{
			"a.example /* -> reverse_proxy except /public/* gates 1",
			"a.example /public/* -> reverse_proxy gates 0"}},
		{"methods", "a.example {\n @w method POST PUT\n jwtgate @w " + gateBlock + " reverse_proxy localhost:1\n}", []string{
			"a.example /* POST,PUT -> reverse_proxy gates 1",
			"a.example /* -> reverse_proxy except method POST, method PUT gates 0"}},
		{"a named route", "&(back) {\n reverse_proxy localhost:1\n}\na.example {\n jwtgate " + gateBlock + " invoke back\n}", []string{
			"a.example /* -> reverse_proxy gates 1"}},
		{"route keeps the order", "a.example {\n route {\n reverse_proxy /early localhost:1\n jwtgate " + gateBlock + " reverse_proxy localhost:1\n }\n}", []string{
			"a.example /early -> reverse_proxy gates 0",
			"a.example /* -> reverse_proxy except /early gates 1"}},
		{"what a rewrite did", "a.example {\n rewrite /old/* /new{uri}\n jwtgate /new/* " + gateBlock + " reverse_proxy /new/* localhost:1\n}", []string{
			"a.example /old/* (rewritten path /new/*) -> reverse_proxy gates 1",
			"a.example /old/* (not rewritten path /new/*) ->  gates 0",
			"a.example /new/* -> reverse_proxy gates 1"}},
		{"nothing that answers", ":80 {\n jwtgate " + gateBlock + "}", []string{":80 /* ->  gates 1"}},
		{"forward_auth goes on", "a.example {\n forward_auth localhost:9 {\n uri /auth\n }\n jwtgate " + gateBlock + " reverse_proxy localhost:1\n}", []string{
			"a.example /* -> reverse_proxy gates 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := loadOffline(t.Context(), writeFile(t, "Caddyfile", test.caddyfile), "")
			if err != nil {
				t.Fatal(err)
			}
			defer o.close()
			var got []string
			for _, m := range mapRoutes(o.http) {
				got = append(got, describeRoute(m))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestGateLabels(t *testing.T) {
	o, err := loadOffline(t.Context(), writeFile(t, "Caddyfile", `a.example, b.example {
	handle /orders* {
		jwtgate `+gateBlock+`
		jwtgate `+gateBlock+`
		reverse_proxy localhost:1
	}
	handle_errors {
		jwtgate `+gateBlock+`
		respond sorry
	}
}`), "")
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	var got []string
	for _, label := range gateLabels(o.http) {
		got = append(got, label)
	}
	slices.Sort(got)
	want := []string{"a.example,b.example /*", "a.example,b.example /orders*", "a.example,b.example /orders* #2"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if m := mapErrorRoutes(o.http); len(m) != 1 || m[0].End != "static_response" || len(m[0].Gates) != 1 {
		t.Errorf("error routes %+v", m)
	}
}
