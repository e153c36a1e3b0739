package jwks

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// goroutines waits until no more than n run.
func goroutines(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for runtime.NumGoroutine() > n {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, want at most %d:\n%s", runtime.NumGoroutine(), n, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestTrapGoroutineLeakedPerReload(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	srv := serve(t, f)
	file := write(t, "keys.json", keySet(ecJWKObject("e")))
	client := &http.Client{}
	if resp, err := client.Get(srv.URL + "/keys"); err == nil { // the server's own goroutines
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	client.CloseIdleConnections()
	srv.CloseClientConnections()
	before := runtime.NumGoroutine()
	m := newMemory()
	for i := range 200 {
		for _, cfg := range []Config{
			{Issuer: srv.URL}, {Issuer: "i", JWKS: srv.URL + "/keys"}, {Issuer: "i", JWKSFile: file},
			{Issuer: "i", Secret: []byte(strings.Repeat("s", 32))}, {Issuer: "i", JWKS: "http://127.0.0.1:1/"},
		} {
			s, err := New(cfg, Options{Storage: m})
			if err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				_ = s.RefreshNow(context.Background())
			}
			if err := s.Destruct(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(Config{Issuer: "i", JWKSFile: file + ".missing"}, Options{}); err == nil {
			t.Fatal("a missing file is accepted")
		}
	}
	goroutines(t, before+2)
}

func TestCloseEndsHangingFetch(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("e"))
	f.hang = true
	srv := serve(t, f)
	s := start(t, Config{Issuer: "i", JWKS: srv.URL + "/keys", Timeout: maxTimeout}, Options{})
	eventually(t, "the fetch", func() bool { return f.fetches() == 1 })
	began := time.Now()
	s.Close()
	if d := time.Since(began); d >= maxTimeout {
		t.Errorf("Close took %s", d)
	}
	if st := s.Status(); st.LastError != "" {
		t.Errorf("being closed is no failure of the issuer: %q", st.LastError)
	}
}

// Requests ask for keys while the set changes under them.
func TestConcurrentUse(t *testing.T) {
	f := newFakeIssuer(ecJWKObject("a"), ecJWKObject("b"))
	srv := serve(t, f)
	s := start(t, Config{Issuer: srv.URL, MaxStale: time.Hour}, Options{Storage: newMemory(), OnFetch: func(string) {}, OnSuppressed: func() {}})
	eventually(t, "first keys", func() bool { return hasKeys(s) })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				set, _ := s.Keys(time.Now())
				if k := set.Candidates(10, "a", true); len(k) > 0 && !set.Has(k[0]) {
					t.Error("set lacks its candidate")
				}
				s.Refetch(ctx, set)
				s.Status()
			}
		})
	}
	for i := 0; ctx.Err() == nil; i++ {
		if i%2 == 0 {
			f.rotate(ecJWKObject("a"))
		} else {
			f.rotate(ecJWKObject("a"), ecJWKObject("b"))
		}
		_ = s.RefreshNow(ctx)
	}
	wg.Wait()
}

func TestStatus(t *testing.T) {
	f := newFakeIssuer(rsaJWKObject("r").with(object{"alg": "RS256"}), ecJWKObject("e"), object{"kty": "AKP", "kid": "pq"})
	srv := serve(t, f)
	s := start(t, Config{Issuer: srv.URL}, Options{})
	eventually(t, "first keys", func() bool { return hasKeys(s) && s.Status().LastError == "" && !s.Status().FetchedAt.IsZero() })
	st := s.Status()
	if st.Issuer != srv.URL || st.Kind != "discovery" || st.Location != srv.URL+oidcSuffix {
		t.Errorf("status %+v", st)
	}
	if len(st.Keys) != 2 || st.Keys[0].ID != "r" || st.Keys[0].Bits != 2048 || !slices.Equal(st.Keys[0].Algorithms, []string{"RS256"}) ||
		st.Keys[1].Curve != "P-256" || len(st.Skipped) != 1 || !strings.Contains(st.Skipped[0], "pq") {
		t.Errorf("status %+v", st)
	}
	if st.Stale || !st.NextRefresh.After(st.FetchedAt) || !st.UsableUntil.After(st.NextRefresh) {
		t.Errorf("status %+v", st)
	}
}

// Every word that OnFetch can be told is in the closed list.
func TestFetchResultsIsTheClosedList(t *testing.T) {
	want := []string{resultOK, resultNotModified, resultNetwork, resultTLS, resultDNS, resultTimeout, resultStatus, resultContent, resultIssuer}
	if !slices.Equal(FetchResults, want) {
		t.Errorf("%v, want %v", FetchResults, want)
	}
}

func TestLogNamesTheIssuer(t *testing.T) {
	var b strings.Builder
	var mu sync.Mutex
	s := start(t, Config{Issuer: "https://id.example.com", JWKS: "http://127.0.0.1:1/keys"},
		Options{Logger: slog.New(slog.NewTextHandler(writer(func(p []byte) { mu.Lock(); b.Write(p); mu.Unlock() }), nil))})
	text := func() string { mu.Lock(); defer mu.Unlock(); return b.String() }
	eventually(t, "an error in the log", func() bool { return strings.Contains(text(), "level=ERROR") })
	s.Close()
	if got := text(); !strings.Contains(got, "issuer=https://id.example.com") || !strings.Contains(got, "result=network") {
		t.Errorf("log:\n%s", got)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
