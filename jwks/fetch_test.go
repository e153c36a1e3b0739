package jwks

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(b)
	_ = w.Close()
	return buf.Bytes()
}

// Answers that hold no good keys, each with what the operator is told.
func TestTrapEmptyJWKSReplacingAGoodOne(t *testing.T) {
	good := keySet(ecJWKObject("good"))
	serve := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	bomb := gzipped(make([]byte, 50<<20))
	tests := []struct {
		name   string
		answer http.HandlerFunc
		result string
		words  string
	}{
		{"empty key set", serve(`{"keys":[]}`), "content", "no keys"},
		{"empty object", serve(`{}`), "content", "no member keys"},
		{"empty body", serve(``), "content", "empty"},
		{"half a document", serve(good[:len(good)/2]), "content", "ends in the middle"},
		{"html", serve("<html>Sign in</html>"), "content", "text/html"},
		{"keys twice", serve(`{"keys":[],` + good[1:]), "content", "twice"},
		{"only unusable keys", serve(keySet(object{"kty": "AKP"})), "content", "no usable key"},
		{"50 MB", func(w http.ResponseWriter, _ *http.Request) {
			chunk := make([]byte, 1<<20)
			for range 50 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "content", "longer than"},
		{"says it is long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
		}, "content", "longer than"},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, "content", "decompressed"},
		{"says gzip, is not", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, good)
		}, "content", "gzip"},
		{"half of a gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			b := gzipped([]byte(good))
			_, _ = w.Write(b[:len(b)-9])
		}, "content", "gzip"},
		{"encoding nobody asked for", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, good)
		}, "content", "br"},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, good) }, "status", "status 500"},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "status", "status 503"},
		{"203", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(203); fmt.Fprint(w, good) }, "status", "status 203"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "status", "status 204"},
		{"304 that nobody asked for", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "status", "status 304"},
		{"401", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(401)
		}, "status", "status 401"},
		{"redirect loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", 302) }, "status", "redirects"},
		{"redirected a fourth time", func(w http.ResponseWriter, r *http.Request) {
			if len(r.URL.Path) < len("/keys")+4 {
				http.Redirect(w, r, r.URL.Path+"x", 302)
				return
			}
			fmt.Fprint(w, good)
		}, "status", "more than 3 redirects"},
		{"redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", 302)
		}, "status", "another origin"},
		{"redirect to another port", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://127.0.0.1:1/keys", 302) }, "status", "another origin"},
		{"redirect to another scheme", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+r.Host+"/keys", 302)
		}, "status", "another origin"},
		{"redirect to a file", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		}, "status", "another origin"},
		{"redirect with a password", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://u:p@"+r.Host+"/keys")
			w.WriteHeader(302)
		}, "status", "another origin"},
		{"connection cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			fmt.Fprint(w, good)
			panic(http.ErrAbortHandler)
		}, "network", "network"},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout", "timeout"},
		{"a byte now and then", func(w http.ResponseWriter, r *http.Request) {
			for i := 0; r.Context().Err() == nil; i++ {
				fmt.Fprint(w, good[i%len(good):][:1])
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, "timeout", "timeout"},
		{"headers without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
			fmt.Fprint(w, good)
		}, "network", "network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var answer atomic.Value
			answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) }))
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer.Load().(http.HandlerFunc)(w, r) }))
			defer srv.Close()
			defer srv.CloseClientConnections()
			var result atomic.Value
			s := start(t, Config{Issuer: "i", JWKS: srv.URL + "/keys", Timeout: 400 * time.Millisecond, MaxStale: time.Hour},
				Options{OnFetch: func(word string) { result.Store(word) }})
			eventually(t, "first keys", func() bool { return hasKeys(s) })
			before, _ := s.Keys(s.now())

			answer.Store(tt.answer)
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			err := s.RefreshNow(context.Background())
			runtime.ReadMemStats(&m1)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.words) || strings.Contains(err.Error(), "u:p@") {
				t.Errorf("error %q, want words %q", err, tt.words)
			}
			if got := result.Load(); got != tt.result {
				t.Errorf("result %q, want %q", got, tt.result)
			}
			if after, _ := s.Keys(s.now()); after != before {
				t.Error("the good keys are gone")
			}
			if st := s.Status(); st.LastError != err.Error() || st.LastErrorAt.IsZero() || len(st.Keys) != 1 {
				t.Errorf("status %+v", st)
			}
			if tt.name == "gzip bomb" && m1.TotalAlloc-m0.TotalAlloc > 4<<20 {
				t.Errorf("allocated %d bytes", m1.TotalAlloc-m0.TotalAlloc)
			}

			answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) }))
			if err := s.RefreshNow(context.Background()); err != nil {
				t.Errorf("no recovery: %v", err)
			}
			if st := s.Status(); st.LastError != "" {
				t.Errorf("error stays: %q", st.LastError)
			}
		})
	}
}

func TestAnswersAccepted(t *testing.T) {
	good := keySet(ecJWKObject("good"))
	plain := func(w http.ResponseWriter, contentType string) {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, good)
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"json", func(w http.ResponseWriter, _ *http.Request) { plain(w, "application/json") }},
		{"jwk set", func(w http.ResponseWriter, _ *http.Request) { plain(w, "application/jwk-set+json") }},
		{"text", func(w http.ResponseWriter, _ *http.Request) { plain(w, "text/plain; charset=utf-8") }},
		{"octets", func(w http.ResponseWriter, _ *http.Request) { plain(w, "application/octet-stream") }},
		{"gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped([]byte(good)))
		}},
		{"redirected thrice within the origin", func(w http.ResponseWriter, r *http.Request) {
			if len(r.URL.Path) < len("/keys")+3 {
				http.Redirect(w, r, r.URL.Path+"x", 307)
				return
			}
			plain(w, "application/json")
		}},
		{"sets a cookie", func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			plain(w, "application/json")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
					t.Errorf("request carries %v", r.Header)
				}
				tt.answer(w, r)
			}))
			defer srv.Close()
			s := start(t, Config{Issuer: "i", JWKS: srv.URL + "/keys"}, Options{})
			for range 2 {
				if err := s.RefreshNow(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestNetworkFaultsAreNamed(t *testing.T) {
	closed := must(net.Listen("tcp", "127.0.0.1:0"))
	refused := closed.Addr().String()
	closed.Close()
	tlsServer := httptest.NewTLSServer(newFakeIssuer(ecJWKObject("e")))
	defer tlsServer.Close()
	tlsServer.Config.ErrorLog = nil
	plainServer := httptest.NewServer(newFakeIssuer(ecJWKObject("e")))
	defer plainServer.Close()
	tests := []struct{ name, url, result, words string }{
		{"refused", "http://" + refused + "/keys", "network", "connection refused"},
		{"unknown authority", tlsServer.URL + "/keys", "tls", "TLS"},
		{"plain behind https", strings.Replace(plainServer.URL, "http:", "https:", 1) + "/keys", "tls", "TLS"},
		{"no such host", "https://jwtgate.invalid/keys", "dns", "DNS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			results := make(chan string, 100)
			s := start(t, Config{Issuer: "i", JWKS: tt.url}, Options{OnFetch: func(r string) { results <- r }})
			if got := <-results; got != tt.result {
				t.Errorf("result %q, want %q", got, tt.result)
			}
			if err := s.Status().LastError; !strings.Contains(err, tt.words) {
				t.Errorf("error %q, want words %q", err, tt.words)
			}
		})
	}
}

func TestCAFile(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	srv := httptest.NewTLSServer(f)
	defer srv.Close()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	s := start(t, Config{Issuer: "i", JWKS: srv.URL + "/keys", CAFile: ca}, Options{})
	if err := s.RefreshNow(context.Background()); err != nil {
		t.Error(err)
	}
	for name, path := range map[string]string{"missing": ca + ".missing", "no certificate": write(t, "x.pem", "nothing")} {
		if _, err := New(Config{Issuer: "i", JWKS: srv.URL, CAFile: path}, Options{}); err == nil || !strings.Contains(err.Error(), "tls_ca") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	f.etag = `"v1"`
	srv := serve(t, f)
	s := start(t, Config{Issuer: "i", JWKS: srv.URL + "/keys"}, Options{})
	eventually(t, "first keys", func() bool { return hasKeys(s) })
	if h := f.last().Header; h.Get("Cache-Control") != "" || h.Get("User-Agent") != "jwtgate" || h.Get("If-None-Match") != "" {
		t.Errorf("first fetch: %v", h)
	}
	set, _ := s.Keys(s.now())
	if got := s.Refetch(context.Background(), set); got != Current {
		t.Errorf("outcome %d", got)
	}
	if h := f.last().Header; h.Get("Cache-Control") != "no-cache" || h.Get("If-None-Match") != "" {
		t.Errorf("refetch must go past caches: %v", h)
	}
}

func TestProxyFromEnvironment(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.String())
		f.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	s := start(t, Config{Issuer: "i", JWKS: "http://keys.example.com/keys", Insecure: true}, Options{})
	if err := s.RefreshNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := asked.Load(); got != "http://keys.example.com/keys" {
		t.Errorf("proxy was asked for %v", got)
	}
	u := must(url.Parse(proxy.URL))
	if p := environmentProxies(); !p.addrs[u.Host] {
		t.Errorf("proxy %s is not among %v", u.Host, p.addrs)
	}
}
