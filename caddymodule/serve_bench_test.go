package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// bareWriter is a ResponseWriter that costs nothing.
type bareWriter struct{ header http.Header }

func (w *bareWriter) Header() http.Header         { return w.header }
func (w *bareWriter) WriteHeader(int)             {}
func (w *bareWriter) Write(p []byte) (int, error) { return len(p), nil }

// benchmarkServe measures the gate without what Caddy does for each request,
// whose preparation is not timed.
func benchmarkServe(b *testing.B, authorization func(raw string) string, forwarded bool) {
	hs, iss := gates(b, "forward {\nX-User-ID sub\nX-Issuer iss\n}")
	h := hs[0]
	value := authorization(iss.Sign(nil))
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		if !forwarded {
			b.Error("a refused request went on")
		}
		return nil
	})
	template := httptest.NewRequest(http.MethodGet, "/orders", nil)
	template.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}
	if value != "" {
		template.Header.Set("Authorization", value)
	}
	const batch = 256
	requests := make([]*http.Request, batch)
	writers := make([]*bareWriter, batch)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		b.StopTimer()
		for i := range requests {
			writers[i] = &bareWriter{header: make(http.Header, 8)}
			r := template.Clone(b.Context())
			requests[i] = prepared(r, writers[i])
		}
		b.StartTimer()
		for i := range min(batch, b.N-done) {
			if err := h.ServeHTTP(writers[i], requests[i], next); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkServeWarm is a token that the verdict cache knows.
func BenchmarkServeWarm(b *testing.B) {
	benchmarkServe(b, func(raw string) string { return "Bearer " + raw }, true)
}

func BenchmarkServeRefuse(b *testing.B) {
	b.Run("missing", func(b *testing.B) {
		benchmarkServe(b, func(string) string { return "" }, false)
	})
	b.Run("malformed", func(b *testing.B) {
		benchmarkServe(b, func(string) string { return "Bearer a.b.c" }, false)
	})
}

// TestServeWarmAllocates holds the number of allocations of the common way.
func TestServeWarmAllocates(t *testing.T) {
	hs, iss := gates(t, "forward {\nX-User-ID sub\nX-Issuer iss\n}")
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	value := "Bearer " + iss.Sign(nil)
	fresh := func() (*http.Request, http.ResponseWriter) {
		w := &bareWriter{header: make(http.Header, 8)}
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", value)
		return prepared(r, w), w
	}
	serve := func(r *http.Request, w http.ResponseWriter) {
		if err := hs[0].ServeHTTP(w, r, next); err != nil {
			t.Fatal(err)
		}
	}
	without := testing.AllocsPerRun(200, func() { fresh() })
	with := testing.AllocsPerRun(200, func() { serve(fresh()) })
	if got := with - without; got > 6 {
		t.Errorf("%v allocations a request, want at most 6", got)
	}
}
