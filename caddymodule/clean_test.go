package caddymodule

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/gate"
)

var testManaged = gate.NewManagedNames("X-User-ID", "X-User-Email", "X-Internal-*")

func TestClean(t *testing.T) {
	for _, tc := range []struct {
		name     string
		in, want http.Header
		keep     []string
	}{
		{name: "nothing there", in: http.Header{}, want: http.Header{}},
		{
			name: "others stay",
			in:   http.Header{"Accept": {"a", "b"}, "X-Username": {"u"}, "X-User": {"u"}, "X-Internal": {"i"}, "Xuserid": {"u"}},
			want: http.Header{"Accept": {"a", "b"}, "X-Username": {"u"}, "X-User": {"u"}, "X-Internal": {"i"}, "Xuserid": {"u"}},
		},
		{
			name: "letter case",
			in:   http.Header{"X-User-Id": {"m"}, "x-user-id": {"m"}, "X-USER-ID": {"m"}, "x-uSeR-eMail": {"m", "n"}},
			want: http.Header{},
		},
		{
			name: "other characters",
			in: http.Header{
				"X_user_id": {"m"}, "X.User.ID": {"m"}, "X--User--Id": {"m"}, "X!user#id": {"m"},
				"X$user%id": {"m"}, "X&user'id": {"m"}, "X*user+id": {"m"}, "X^user`id": {"m"}, "X|user~id": {"m"}, "X-_.user-id": {"m"},
			},
			want: http.Header{},
		},
		{
			name: "wildcard keeps its hyphen",
			in:   http.Header{"X-Internal-Anything": {"m"}, "X_internal_a": {"m"}, "X.INTERNAL.": {"m"}, "X-Internals": {"ok"}},
			want: http.Header{"X-Internals": {"ok"}},
		},
		{
			name: "what an earlier gate set stays, its aliases do not",
			in:   http.Header{"X-User-Id": {"ours"}, "X_user_id": {"m"}, "X-User-Email": {"m"}},
			want: http.Header{"X-User-Id": {"ours"}},
			keep: []string{"X-User-Id"},
		},
		{
			name: "connection loses managed names",
			in:   http.Header{"Connection": {"X-User-ID"}},
			want: http.Header{},
		},
		{
			name: "connection in several lines and spellings",
			in:   http.Header{"Connection": {"Upgrade, x-user-id", "X_User_Email ,\tX-Internal-A", "close,,keep-alive", "TE"}},
			want: http.Header{"Connection": {"Upgrade", "close, keep-alive", "TE"}},
		},
		{
			name: "connection loses authorization",
			in:   http.Header{"Connection": {"keep-alive, AUTHORIZATION"}},
			want: http.Header{"Connection": {"keep-alive"}},
		},
		{
			name: "connection without such names stays byte for byte",
			in:   http.Header{"Connection": {"Upgrade ,  TE", ""}},
			want: http.Header{"Connection": {"Upgrade ,  TE", ""}},
		},
		{
			name: "connection naming a kept header",
			in:   http.Header{"Connection": {"x-user-id"}, "X-User-Id": {"ours"}},
			want: http.Header{"X-User-Id": {"ours"}},
			keep: []string{"X-User-Id"},
		},
		{
			name: "announcement of trailers that net/http left alone",
			in:   http.Header{"Trailer": {"X-Checksum, X-User-ID"}},
			want: http.Header{"Trailer": {"X-Checksum"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &http.Request{Header: tc.in, ProtoMajor: 1}
			clean(r, testManaged, tc.keep)
			if !reflect.DeepEqual(r.Header, tc.want) {
				t.Errorf("got %v, want %v", r.Header, tc.want)
			}
		})
	}
}

func TestCleanWithoutManagedNames(t *testing.T) {
	r := &http.Request{Header: http.Header{"X-User-Id": {"a"}, "Connection": {"authorization, X-User-ID"}}}
	clean(r, nil, nil)
	want := http.Header{"X-User-Id": {"a"}, "Connection": {"X-User-ID"}}
	if !reflect.DeepEqual(r.Header, want) {
		t.Errorf("got %v, want %v", r.Header, want)
	}
}

// TestCleanLeavesSharedSlicesAlone: Caddy's logger holds on to the lines.
func TestCleanLeavesSharedSlicesAlone(t *testing.T) {
	lines := []string{"X-User-ID, Upgrade", "close"}
	r := &http.Request{Header: http.Header{"Connection": lines}}
	clean(r, testManaged, nil)
	if want := []string{"X-User-ID, Upgrade", "close"}; !slices.Equal(lines, want) {
		t.Errorf("the client's lines became %q", lines)
	}
}

func TestCleanAllocatesNothingOnTheCommonPath(t *testing.T) {
	r := usualRequest()
	if n := testing.AllocsPerRun(100, func() { clean(r, testManaged, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func usualRequest() *http.Request {
	r := httptest.NewRequest("GET", "https://api.example.com/orders/17?fields=a,b&page=2", nil)
	for name, value := range map[string]string{
		"Accept": "application/json", "Accept-Encoding": "gzip, br", "Accept-Language": "de-DE,de;q=0.9",
		"User-Agent": "Orders/4.2 (iPhone; iOS 19.1)", "Cache-Control": "no-cache", "Connection": "keep-alive",
		"If-None-Match": `"abc"`, "X-Request-Id": "3f1c1e0c", "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"Cookie": "theme=dark; lang=de", "Authorization": "Bearer " + strings.Repeat("abcDEF019-_.", 75),
	} {
		r.Header.Set(name, value)
	}
	return r
}

func FuzzClean(f *testing.F) {
	f.Add("X-User-ID", "x_user_id, close", "X.Internal.a")
	f.Add("X!USER!ID", "Upgrade,,authorization ", "")
	f.Add("Accept", "X-User-ID\t,\rX-User-Email", "trailer")
	f.Add("Accept", "close,\vAuthorization", "\u00a0X-User-ID")
	f.Fuzz(func(t *testing.T, name, connection, trailer string) {
		r := &http.Request{
			ProtoMajor: 1,
			Header:     http.Header{name: {"v"}, "Connection": {connection}},
			Trailer:    http.Header{trailer: nil},
		}
		before := maps.Clone(r.Header)
		clean(r, testManaged, nil)
		for n := range r.Header {
			if testManaged.Match(n) {
				t.Errorf("%q is left", n)
			}
		}
		for n := range before {
			if _, ok := r.Header[n]; !ok && n != "Connection" && !testManaged.Match(n) {
				t.Errorf("%q is gone", n)
			}
		}
		for n := range r.Trailer {
			if testManaged.Match(n) {
				t.Errorf("trailer %q is left", n)
			}
		}
		// What Caddy's proxy would delete, by its own reading of the line.
		for _, line := range r.Header["Connection"] {
			for n := range strings.SplitSeq(line, ",") {
				if n = http.CanonicalHeaderKey(strings.TrimSpace(n)); testManaged.Match(n) || n == "Authorization" {
					t.Errorf("Connection names %q", n)
				}
			}
		}
	})
}

func BenchmarkCleanAndExtract(b *testing.B) {
	h := testHandler()
	r := usualRequest()
	b.ReportAllocs()
	for b.Loop() {
		clean(r, testManaged, nil)
		if _, refusal := h.extract(r); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

func BenchmarkClean(b *testing.B) {
	r := usualRequest()
	b.ReportAllocs()
	for b.Loop() {
		clean(r, testManaged, nil)
	}
}
