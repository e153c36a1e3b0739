package jwks

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeIssuer speaks discovery and JWKS, and fails in the ways that a test asks.
type fakeIssuer struct {
	mu      sync.Mutex
	issuer  string
	jwksURI string
	keys    []object
	etag    string
	header  http.Header
	status  int // of the key set; 0: 200
	body    string
	hang    bool // answers the key set never
	delay   time.Duration
	noOIDC  bool
	seen    []*http.Request
}

func (f *fakeIssuer) set(change func(*fakeIssuer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeIssuer) rotate(keys ...object) { f.set(func(f *fakeIssuer) { f.keys = keys }) }

// fetches counts the requests for the key set.
func (f *fakeIssuer) fetches() int { return f.count("/keys") }

func (f *fakeIssuer) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.seen {
		if r.URL.Path == path {
			n++
		}
	}
	return n
}

func (f *fakeIssuer) last() *http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[len(f.seen)-1]
}

func (f *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r)
	issuer, jwksURI, keys, etag, header := f.issuer, f.jwksURI, f.keys, f.etag, f.header
	status, body, hang, delay, noOIDC := f.status, f.body, f.hang, f.delay, f.noOIDC
	f.mu.Unlock()

	oauth := strings.HasPrefix(r.URL.Path, oauthPrefix)
	if strings.HasSuffix(r.URL.Path, oidcSuffix) && !noOIDC || oauth {
		_ = json.NewEncoder(w).Encode(object{"issuer": issuer, "jwks_uri": jwksURI, "extra": []int{1}})
		return
	}
	if r.URL.Path != "/keys" {
		http.NotFound(w, r)
		return
	}
	if hang {
		<-r.Context().Done()
		return
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if status != 0 {
		w.WriteHeader(status)
	}
	if body == "" {
		body = keySet(keys...)
	}
	_, _ = w.Write([]byte(body))
}

// RoundTrip lets the issuer be asked without a network, under a fake clock.
func (f *fakeIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// The issuer as tests without a network know it.
const issuerURL = "https://id.example.com"

func newFakeIssuer(keys ...object) *fakeIssuer {
	return &fakeIssuer{issuer: issuerURL, jwksURI: issuerURL + "/keys", keys: keys}
}

// serve puts f on a real port.
func serve(t testing.TB, f *fakeIssuer) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.set(func(f *fakeIssuer) { f.issuer, f.jwksURI = srv.URL, srv.URL+"/keys" })
	return srv
}
