package caddymodule

import (
	"context"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/token"
)

func TestExtractRemovesQueryTokens(t *testing.T) {
	for _, tc := range []struct{ name, query, want string }{
		{"alone", "access_token=a.b.c", ""},
		{"first", "access_token=a.b.c&b=2", "b=2"},
		{"last", "z=1&access_token=a.b.c", "z=1"},
		{"order and encoding stay", "z=%7e+&access_token=a.b.c&&a=%2f&A;B=;&z=1", "z=%7e+&&a=%2f&A;B=;&z=1"},
		{"escaped name", "a=1&access%5ftoken=a.b.c", "a=1"},
		{"empty", "access_token=&a=1", "a=1"},
		{"without a value", "access_token&a=1", "a=1"},
		{"refused, too", "access_token=a.b.c&x=1&access_token=d.e.f", "x=1"},
		{"malformed, too", "access_token=a'b&x=1", "x=1"},
		{"broken escapes elsewhere", "%zz=1&access_token=a.b.c", "%zz=1"},
		{"nothing to remove", "a=%zz&&b", "a=%zz&&b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request("/p/%2F", "")
			r.URL.RawQuery = tc.query
			r.RequestURI = "/p/%2F?" + tc.query
			original := *r
			original.URL = &url.URL{Path: "/before", RawQuery: tc.query}
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original))
			testHandler(fromQuery).extract(r)
			if r.URL.RawQuery != tc.want {
				t.Errorf("the query became %q, want %q", r.URL.RawQuery, tc.want)
			}
			if want := strings.TrimSuffix("/p/%2F?"+tc.want, "?"); r.RequestURI != want {
				t.Errorf("RequestURI became %q, want %q", r.RequestURI, want)
			}
			if original.URL.RawQuery != tc.want {
				t.Errorf("the original request's query became %q, want %q", original.URL.RawQuery, tc.want)
			}
		})
	}
	t.Run("rewritten", func(t *testing.T) {
		r := request("/p", "")
		r.RequestURI = "/old?access_token=a.b.c&b=1"
		testHandler(fromQuery).extract(r)
		if r.RequestURI != "/old?b=1" {
			t.Errorf("RequestURI is %q", r.RequestURI)
		}
	})
}

func TestExtractRemovesWebsocketTokens(t *testing.T) {
	for _, tc := range []struct {
		name       string
		head       string
		lines      []string
		wantHeader []string
	}{
		{"alone", upgrade, []string{"jwtgate.bearer.a.b.c"}, nil},
		{"in a list", upgrade, []string{"chat, jwtgate.bearer.a.b.c,superchat"}, []string{"chat, superchat"}},
		{"in several lines", upgrade, []string{"chat", "jwtgate.bearer.a.b.c", "superchat"}, []string{"chat", "superchat"}},
		{"refused, too", upgrade, []string{"jwtgate.bearer.a, x, jwtgate.bearer.b"}, []string{"x"}},
		{"without an upgrade, too", "", []string{"jwtgate.bearer.a.b.c, x"}, []string{"x"}},
		{"nothing to remove", upgrade, []string{"chat,x", "jwtgate"}, []string{"chat,x", "jwtgate"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request("/", tc.head)
			r.Header["Sec-Websocket-Protocol"] = tc.lines
			testHandler(fromWebsocket).extract(r)
			got, there := r.Header["Sec-Websocket-Protocol"]
			if !reflect.DeepEqual(got, tc.wantHeader) || there != (tc.wantHeader != nil) {
				t.Errorf("got %q, want %q", got, tc.wantHeader)
			}
		})
	}
}

func TestExtractCookieOrigin(t *testing.T) {
	const none = token.ReasonNone
	for _, tc := range []struct {
		name, method, fields string
		want                 token.Reason
	}{
		{"reading", "GET", "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example", none},
		{"no browser", "POST", "", none},
		{"own page", "POST", "Sec-Fetch-Site: same-origin", none},
		{"typed in", "POST", "Sec-Fetch-Site: none", none},
		{"other site", "POST", "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example", token.CrossOrigin},
		{"sibling", "DELETE", "Sec-Fetch-Site: same-site\nOrigin: https://evil.example.com", token.CrossOrigin},
		{"old browser", "POST", "Origin: https://evil.example", token.CrossOrigin},
		{"old browser, own page", "POST", "Origin: https://api.example.com", none},
		{"sandboxed page", "POST", "Origin: null", token.CrossOrigin},
		{"trusted origin", "POST", "Sec-Fetch-Site: same-site\nOrigin: https://app.example.com", none},
		{"trusted host, other scheme", "POST", "Sec-Fetch-Site: cross-site\nOrigin: http://app.example.com", token.CrossOrigin},
		{"two origins", "POST", "Origin: https://app.example.com\nOrigin: https://evil.example", token.CrossOrigin},
		{"unknown method", "PURGE", "Sec-Fetch-Site: cross-site", token.CrossOrigin},

		{"upgrade of own page", "GET", upgrade + "Origin: https://api.example.com", none},
		{"upgrade of own page, plain", "GET", upgrade + "Origin: http://API.example.com", none},
		{"upgrade of a trusted origin", "GET", upgrade + "Origin: https://app.example.com", none},
		{"upgrade without an origin", "GET", upgrade, token.CrossOrigin},
		{"upgrade of another site", "GET", upgrade + "Origin: https://evil.example", token.CrossOrigin},
		{"upgrade that says same-origin", "GET", upgrade + "Sec-Fetch-Site: same-origin\nOrigin: https://evil.example", token.CrossOrigin},
		{"upgrade of another port", "GET", upgrade + "Origin: https://api.example.com:8443", token.CrossOrigin},
		{"upgrade of a sandboxed page", "GET", upgrade + "Origin: null", token.CrossOrigin},
		{"upgrade with the host as user", "GET", upgrade + "Origin: https://api.example.com@evil.example", token.CrossOrigin},
		{"upgrade with two origins", "GET", upgrade + "Origin: https://api.example.com\nOrigin: https://api.example.com", token.CrossOrigin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request("/", tc.fields+"\nCookie: session=a.b.c")
			r.Method = tc.method
			c, refusal := testHandler(fromCookie).extract(r)
			want := ""
			if tc.want == none {
				want = "a.b.c"
			}
			checkExtracted(t, c, refusal, want, tc.want)

			// A token that the page itself has put there is proof enough.
			r = request("/", tc.fields+"\nAuthorization: Bearer a.b.c")
			r.Method = tc.method
			c, refusal = testHandler(fromCookie).extract(r)
			checkExtracted(t, c, refusal, "a.b.c", none)
		})
	}
}
