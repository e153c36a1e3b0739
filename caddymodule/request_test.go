package caddymodule

import (
	"context"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestRequestViewPath(t *testing.T) {
	for path, want := range map[string]string{
		"/":             "/",
		"":              "",
		"*":             "*",
		"/a/b":          "/a/b",
		"/a/b/":         "/a/b/",
		"//a///b":       "/a/b",
		"/a/./b/../c":   "/a/c",
		"/a/b/..":       "/a/",
		"/a/.":          "/a/",
		"/../../a":      "/a",
		"/..":           "/",
		"/a b/\u00e9":   "/a b/\u00e9",
		"/public/..;/a": "/public/..;/a",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		if got := newRequestView(r).Path(); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
	r := httptest.NewRequest("GET", "/%61dmin/%2e%2e/x%2Fy", nil)
	if got := newRequestView(r).Path(); got != "/x/y" {
		t.Errorf("got %q", got)
	}
}

func TestRequestViewHost(t *testing.T) {
	for host, want := range map[string]string{
		"API.Example.com":      "api.example.com",
		"api.example.com:8443": "api.example.com",
		"[2001:DB8::1]:443":    "2001:db8::1",
		"[2001:DB8::1]":        "2001:db8::1",
		"::1":                  "::1",
		"192.0.2.1:80":         "192.0.2.1",
		"":                     "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		if got := newRequestView(r).Host(); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

func TestRequestViewHeader(t *testing.T) {
	r := request("/", "X-Tenant: a\nX-Tenant: b\nAccept: c")
	r.Header["x-tenant"] = []string{"d"}
	r.Header["X-Tenant"] = slices.Grow(r.Header["X-Tenant"], 4)
	got := newRequestView(r).Header()
	slices.Sort(got["x-tenant"])
	want := map[string][]string{"x-tenant": {"a", "b", "d"}, "accept": {"c"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if lines := r.Header["X-Tenant"]; !slices.Equal(lines[:cap(lines)][:3], []string{"a", "b", ""}) {
		t.Errorf("the request's own lines became %q", lines[:cap(lines)])
	}
}

func TestRequestViewQuery(t *testing.T) {
	r := request("/?a=1&a=%32&b&%zz=1&c=%zz&d=1;e=2&f=+", "")
	want := map[string][]string{"a": {"1", "2"}, "b": {""}, "f": {" "}}
	if got := newRequestView(r).Query(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRequestViewAddresses(t *testing.T) {
	for _, tc := range []struct {
		remote         string
		client         any
		wantIP, wantCl string
	}{
		{"192.0.2.1:1234", nil, "192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:1234", "", "192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:1234", "198.51.100.7", "192.0.2.1", "198.51.100.7"},
		{"192.0.2.1:1234", "198.51.100.7:99", "192.0.2.1", "198.51.100.7"},
		{"[fe80::1%eth0]:1234", nil, "fe80::1", "fe80::1"},
		{"[2001:db8::1]:1234", "2001:db8::2", "2001:db8::1", "2001:db8::2"},
		{"@", nil, "@", "@"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tc.remote
		if tc.client != nil {
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: tc.client}))
		}
		v := newRequestView(r)
		if got := v.RemoteIP(); got != tc.wantIP {
			t.Errorf("%s: remote IP %q", tc.remote, got)
		}
		if got := v.ClientIP(); got != tc.wantCl {
			t.Errorf("%s: client IP %q", tc.remote, got)
		}
	}
}

// TestRequestViewIsLazyAndRemembers: one value asked for twice is computed
// once, and none asked for costs the view itself at most.
func TestRequestViewIsLazyAndRemembers(t *testing.T) {
	r := usualRequest()
	if n := testing.AllocsPerRun(100, func() { _ = newRequestView(r).Method() }); n > 1 {
		t.Errorf("%v allocations for a view that nobody asks", n)
	}
	v := newRequestView(r)
	ask := func() { v.Path(); v.Host(); v.Header(); v.Query(); v.RemoteIP() }
	ask()
	if n := testing.AllocsPerRun(100, ask); n != 0 {
		t.Errorf("%v allocations when asked again", n)
	}
}
