package caddymodule

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestIsPreflight(t *testing.T) {
	const preflight = "Origin: https://app.example.com\nAccess-Control-Request-Method: PUT\n"
	for _, tc := range []struct {
		name   string
		fields string
		edit   func(*http.Request)
		want   bool
	}{
		{"true one", preflight, nil, true},
		{"with requested headers", preflight + "Access-Control-Request-Headers: authorization", nil, true},
		{"with a cookie of another purpose", preflight + "Cookie: theme=dark", nil, true},
		{"sandboxed page", "Origin: null\nAccess-Control-Request-Method: PUT", nil, true},
		{"every OPTIONS", "", nil, false},
		{"without Origin", "Access-Control-Request-Method: PUT", nil, false},
		{"without method", "Origin: https://app.example.com", nil, false},
		{"empty Origin", "Origin:\nAccess-Control-Request-Method: PUT", nil, false},
		{"empty method", "Origin: https://app.example.com\nAccess-Control-Request-Method:", nil, false},
		{"two origins", preflight + "Origin: https://app.example.com", nil, false},
		{"two methods", preflight + "Access-Control-Request-Method: PUT", nil, false},
		{"Authorization", preflight + "Authorization: Basic YTpi", nil, false},
		{"empty Authorization", preflight + "Authorization:", nil, false},
		{"upgrade", preflight + upgrade, nil, false},
		{"Upgrade that Connection does not name", preflight + "Upgrade: h2c", nil, false},
		{"GET", preflight, func(r *http.Request) { r.Method = "GET" }, false},
		{"lower case method", preflight, func(r *http.Request) { r.Method = "options" }, false},
		{"body", preflight, func(r *http.Request) { r.ContentLength = 2 }, false},
		{"body of unknown length", preflight, func(r *http.Request) { r.ContentLength = -1 }, false},
		{"transfer coding", preflight, func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request("/", tc.fields)
			r.Method = "OPTIONS"
			if tc.edit != nil {
				tc.edit(r)
			}
			if got := isPreflight(r); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestDropMethodOverrides(t *testing.T) {
	r := &http.Request{Header: http.Header{
		"X-Http-Method-Override": {"DELETE"}, "x_http_method_override": {"DELETE"}, "X.HTTP.Method": {"PUT"},
		"X-Method-Override": {"PUT"}, "X!method~Override": {"PUT"},
		"X-Http-Methods": {"stays"}, "Access-Control-Request-Method": {"DELETE"},
	}}
	dropMethodOverrides(r)
	want := http.Header{"X-Http-Methods": {"stays"}, "Access-Control-Request-Method": {"DELETE"}}
	if !reflect.DeepEqual(r.Header, want) {
		t.Errorf("got %v", r.Header)
	}
}

// TestTrapEveryOptionsPassing goes through what attackers send to have OPTIONS
// taken for a preflight.
func TestTrapEveryOptionsPassing(t *testing.T) {
	for _, fields := range []string{
		"", "Origin: https://a.example", "Access-Control-Request-Headers: x",
		"origin: https://a.example\nAccess_Control_Request_Method: GET",
		strings.Repeat("Origin: https://a.example\n", 2) + "Access-Control-Request-Method: GET",
	} {
		r := request("/", fields)
		r.Method = "OPTIONS"
		if isPreflight(r) {
			t.Errorf("%q passes", fields)
		}
	}
}
