package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/jwtgate/jwtgate/gate"
)

// endingBody is a request body that runs a function before it ends.
type endingBody struct {
	io.Reader
	end func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.end()
	}
	return n, err
}

// sendTrailers makes a request with trailers of which only some are announced.
func sendTrailers(t *testing.T, server *httptest.Server, announced, sent http.Header) {
	t.Helper()
	req, err := http.NewRequest("POST", server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = announced.Clone()
	if req.Trailer == nil {
		req.Trailer = http.Header{}
	}
	req.ContentLength = -1
	req.Body = io.NopCloser(&endingBody{strings.NewReader(strings.Repeat("body", 5000)), func() {
		for name, lines := range sent {
			req.Trailer[name] = lines
		}
	}})
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// serveOver starts a server of HTTP/1.1 or HTTP/2.
func serveOver(t *testing.T, major int, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != major {
			t.Errorf("the request came over %s", r.Proto)
		}
		handler(w, r)
	}))
	if major == 2 {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// caddyProxy returns Caddy's reverse proxy to a backend.
func caddyProxy(t *testing.T, backend string) *reverseproxy.Handler {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}, Logging: quietLogs(t)})
	if err != nil {
		t.Fatal(err)
	}
	proxy := &reverseproxy.Handler{Upstreams: reverseproxy.UpstreamPool{{Dial: strings.TrimPrefix(backend, "http://")}}}
	if err := proxy.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Cleanup() })
	return proxy
}

var trailerCases = []struct {
	name            string
	announced, sent http.Header
	want            http.Header // over HTTP/1.1; HTTP/2 drops what was not announced
	wantHTTP2       http.Header
}{
	{
		name: "none announced, none sent",
	},
	{
		name:      "harmless",
		announced: http.Header{"X-Checksum": nil},
		sent:      http.Header{"X-Checksum": {"1"}},
		want:      http.Header{"X-Checksum": {"1"}},
		wantHTTP2: http.Header{"X-Checksum": {"1"}},
	},
	{
		name:      "managed, announced",
		announced: http.Header{"X-User-Id": nil},
		sent:      http.Header{"X-User-Id": {"mallory"}},
	},
	{
		name:      "managed, announced beside a harmless one",
		announced: http.Header{"X-User-Id": nil, "X-Checksum": nil, "X_user_email": nil},
		sent:      http.Header{"X-User-Id": {"mallory"}, "X-Checksum": {"1"}, "X_user_email": {"m"}},
		want:      http.Header{"X-Checksum": {"1"}},
		wantHTTP2: http.Header{"X-Checksum": {"1"}},
	},
	{
		name:      "managed, another one announced",
		announced: http.Header{"X-Checksum": nil},
		sent:      http.Header{"X-User-Id": {"mallory"}, "X.internal.a": {"m"}, "X-Checksum": {"1"}, "X-Other": {"2"}},
		want:      http.Header{"X-Checksum": {"1"}, "X-Other": {"2"}},
		wantHTTP2: http.Header{"X-Checksum": {"1"}},
	},
	{
		name: "managed, none announced",
		sent: http.Header{"X-User-Id": {"mallory"}},
	},
}

// TestTrailersAtBackend looks at what comes out behind Caddy's proxy.
func TestTrailersAtBackend(t *testing.T) {
	var got http.Header
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 20000 {
			t.Errorf("the backend got %d bytes: %v", n, err)
		}
		got = r.Trailer
	}))
	defer backend.Close()
	proxy := caddyProxy(t, backend.URL)
	var managed *gate.ManagedNames
	gates := 1
	gateway := func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, &caddyhttp.Server{})
		for range gates {
			clean(r, managed, nil)
		}
		// Handlers in between often continue with a copy.
		r = r.WithContext(r.Context())
		if err := proxy.ServeHTTP(w, r, nil); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadGateway)
		}
	}
	for _, major := range []int{1, 2} {
		server := serveOver(t, major, gateway)
		for gates = 1; gates <= 2; gates++ {
			for _, tc := range trailerCases {
				t.Run(fmt.Sprintf("http%d/gates%d/%s", major, gates, tc.name), func(t *testing.T) {
					managed = testManaged
					sendTrailers(t, server, tc.announced, tc.sent)
					want := tc.want
					if major == 2 {
						want = tc.wantHTTP2
					}
					if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
						t.Errorf("the backend got %v, want %v", got, want)
					}
				})
			}
		}
		t.Run(fmt.Sprintf("http%d/control", major), func(t *testing.T) {
			managed = nil
			tc := trailerCases[2]
			sendTrailers(t, server, tc.announced, tc.sent)
			if got.Get("X-User-Id") == "" {
				t.Error("trailers do not come through at all: the cases above prove nothing")
			}
		})
	}
}

// TestTrailersOfTheServersOwnRequest cleans the very request that net/http
// writes unannounced trailers into.
func TestTrailersOfTheServersOwnRequest(t *testing.T) {
	for _, how := range []string{"read", "close"} {
		for _, major := range []int{1, 2} {
			for _, tc := range trailerCases {
				t.Run(fmt.Sprintf("http%d/%s/%s", major, how, tc.name), func(t *testing.T) {
					server := serveOver(t, major, func(_ http.ResponseWriter, r *http.Request) {
						clean(r, testManaged, nil)
						if how == "read" {
							if _, err := io.Copy(io.Discard, r.Body); err != nil {
								t.Error(err)
							}
						} else {
							_ = r.Body.Close()
						}
						for name, lines := range r.Trailer {
							if testManaged.Match(name) || name == "Authorization" {
								t.Errorf("trailer %s: %q", name, lines)
							}
						}
						if how == "read" && r.Trailer.Get("X-Checksum") != tc.want.Get("X-Checksum") {
							t.Errorf("trailers are %v", r.Trailer)
						}
					})
					sendTrailers(t, server, tc.announced, tc.sent)
				})
			}
		}
	}
}

func TestTrailersCostNothingWithout(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"HTTP/1.1 with a length": {ProtoMajor: 1, ContentLength: 3, Body: io.NopCloser(strings.NewReader("abc"))},
		"HTTP/1.1 without body":  {ProtoMajor: 1, Body: http.NoBody},
		"HTTP/2 of any length":   {ProtoMajor: 2, ContentLength: -1, Body: io.NopCloser(strings.NewReader("abc"))},
	} {
		body := r.Body
		clean(r, testManaged, nil)
		if r.Body != body || r.Trailer != nil {
			t.Errorf("%s: the body was wrapped", name)
		}
	}
}

// TestTrailersThatAreCredentials: over HTTP/2 the server resets the stream.
func TestTrailersThatAreCredentials(t *testing.T) {
	server := serveOver(t, 1, func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(r.Context())
		clean(r, nil, nil)
		_, _ = io.Copy(io.Discard, r.Body)
		if want := (http.Header{"X-Checksum": {"1"}}); !reflect.DeepEqual(r.Trailer, want) {
			t.Errorf("trailers are %v", r.Trailer)
		}
	})
	sendTrailers(t, server, http.Header{"X-Checksum": nil, "Authorization": nil},
		http.Header{"X-Checksum": {"1"}, "Authorization": {"Bearer x"}})
}

// TestTrailersThatCameAlready: a handler ahead of the gate may have read the
// body.
func TestTrailersThatCameAlready(t *testing.T) {
	r := &http.Request{ProtoMajor: 2, Body: http.NoBody, Trailer: http.Header{"X-User-Id": {"m"}, "X-Checksum": {"1"}}}
	clean(r, testManaged, nil)
	if want := (http.Header{"X-Checksum": {"1"}}); !reflect.DeepEqual(r.Trailer, want) || r.Body != http.NoBody {
		t.Errorf("trailers are %v", r.Trailer)
	}
}
