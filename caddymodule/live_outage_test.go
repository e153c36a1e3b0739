package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// TestIssuerFailingAtStart: a gate whose issuer cannot be asked says so at once,
// disturbs no other gate, and works within seconds once the issuer does, without
// a reload.
func TestIssuerFailingAtStart(t *testing.T) {
	failures := []struct {
		name string
		fail func(*issuertest.Issuer)
	}{
		{"refused connections", (*issuertest.Issuer).Down},
		{"500", func(iss *issuertest.Issuer) { iss.Fail(issuertest.ServerError) }},
		{"a web page", func(iss *issuertest.Issuer) { iss.Fail(issuertest.HTML) }},
		{"no keys", func(iss *issuertest.Issuer) { iss.FailKeys(issuertest.EmptyKeys) }},
		{"half a document", func(iss *issuertest.Issuer) { iss.FailKeys(issuertest.HalfDocument) }},
		{"no answer", func(iss *issuertest.Issuer) { iss.Fail(issuertest.Hang) }},
		{"a byte each 50 ms", func(iss *issuertest.Issuer) { iss.Fail(issuertest.SlowBody) }},
		{"discovery of another issuer", func(iss *issuertest.Issuer) { iss.DiscoverAs("https://id.example.com") }},
	}
	var sites strings.Builder
	sites.WriteString("GATEWAY {\njwtgate /healthy\n")
	issuers := make([]*issuertest.Issuer, len(failures))
	for i, f := range failures {
		issuers[i] = issuertest.New(t, "ES256")
		f.fail(issuers[i])
		fmt.Fprintf(&sites, "jwtgate /%d {\nissuer %s {\naudience api\ntimeout 1s\n}\n}\n", i, issuers[i].URL())
	}
	sites.WriteString("reverse_proxy BACKEND\n}")
	began := time.Now()
	g := (&setup{Sites: sites.String()}).start(t)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the start took %s", took)
	}
	healthy := g.Issuer.Sign(nil)
	g.passes(patience, "/healthy", healthy)
	slow, asked := 0, 0 // one slow answer says little on a busy machine
	for range 5 {
		for i, f := range failures {
			for name, raw := range map[string]string{"good": issuers[i].Sign(nil), "unknown kid": issuers[i].Sign(nil, issuertest.Kid("x"))} {
				h := g.ask(fmt.Sprintf("/%d", i), raw)
				if !h.unavailable() {
					t.Errorf("%s, %s: %s, Retry-After %q", f.name, name, h, h.Header.Get("Retry-After"))
				}
				if asked++; h.took >= time.Second {
					slow++
				}
			}
			if h := g.ask("/healthy", healthy); h.Status != http.StatusOK {
				t.Errorf("the healthy issuer beside %s: %s", f.name, h)
			}
		}
	}
	if slow > asked/5 {
		t.Errorf("%d of %d refusals took as long as the issuer may", slow, asked)
	}
	for _, iss := range issuers {
		iss.Up()
		iss.Fail(issuertest.Healthy)
		iss.DiscoverAs("")
	}
	up := time.Now()
	for i, f := range failures {
		g.t = t
		g.passes(patience, fmt.Sprintf("/%d", i), issuers[i].Sign(nil))
		t.Logf("%s: works %s after the issuer does", f.name, time.Since(up).Round(10*time.Millisecond))
	}
}

// TestIssuerDownForLong: the old keys serve until max_stale is over, then nobody
// can know, and then the issuer is back. Not one answer in between is a 401, and
// each change is logged once.
func TestIssuerDownForLong(t *testing.T) {
	const refresh, stale = time.Second, 3 * time.Second
	iss := issuertest.New(t, "ES256")
	iss.SetCacheControl("-")
	var last atomic.Int64 // when the issuer was asked last
	iss.Intercept(func(http.ResponseWriter, *http.Request) bool {
		last.Store(time.Now().UnixNano())
		return false
	})
	g := (&setup{Issuer: iss, Keys: fmt.Sprintf("refresh %s\nmax_stale %s", refresh, stale), Sites: gateSite}).start(t)
	old := iss.Sign(nil)
	g.passes(patience, "/", old)
	asks := iss.KeyRequests()
	eventually(t, "a refresh", func() bool { return iss.KeyRequests() > asks })
	iss.Down()
	asked := time.Unix(0, last.Load())
	fresh := iss.Rotate() // which the gateway cannot hear of

	served, refused := 0, 0
	for end := time.Now().Add(patience); refused < 20; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no 503 within a minute of the end of the issuer, %d times 200", served)
		}
		h := g.ask("/", old)
		switch {
		case h.err == nil && h.Status == http.StatusOK && refused == 0:
			served++
			if after := h.began.Sub(asked); after > refresh+stale {
				t.Errorf("let through %s after the keys were asked for last", after)
			}
		case h.unavailable():
			refused++
			if after := h.began.Add(h.took).Sub(asked); after < stale-500*time.Millisecond {
				t.Errorf("503 already %s after the keys were asked for last", after)
			}
		default:
			t.Fatalf("after %d times 200 and %d times 503: %s", served, refused, h)
		}
		if h := g.ask("/", iss.Sign(nil, issuertest.Key(fresh))); !h.unavailable() {
			t.Errorf("a token of a key that nobody can know: %s", h)
		}
	}
	if served < 10 {
		t.Errorf("let through %d times only", served)
	}
	iss.Up()
	g.passes(patience, "/", old)
	g.passes(patience, "/", iss.Sign(nil, issuertest.Key(fresh)))

	g.logged("keys are refreshed again")
	data, err := os.ReadFile(g.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"keys cannot be refreshed; the last good ones stay in use", "keys will soon pass max_stale", "no usable keys", "keys are refreshed again"} {
		if n := strings.Count(string(data), message); n != 1 {
			t.Errorf("%d lines say %q", n, message)
		}
	}
}

// TestIssuerHanging: while the issuer accepts and never answers, known keys are
// as quick as ever, a token of an unknown key is held for at most the timeout,
// and of those at most 256 at once.
func TestIssuerHanging(t *testing.T) {
	const timeout, slack = 5 * time.Second, 2 * time.Second
	g := (&setup{Keys: "timeout " + timeout.String(), Sites: gateSite, Level: "INFO"}).start(t)
	known := g.Issuer.Sign(nil)
	g.passes(patience, "/", known)
	g.Issuer.Fail(issuertest.Hang)

	const strangers, most = 400, 256
	heards := make([]heard, strangers)
	tokens := make([]string, strangers)
	for i := range tokens {
		tokens[i] = g.Issuer.Sign(nil, issuertest.Kid(fmt.Sprint("unknown-", i)))
	}
	var waiting atomic.Int64
	var clients sync.WaitGroup
	for i := range strangers {
		waiting.Add(1)
		clients.Go(func() {
			defer waiting.Add(-1)
			heards[i] = g.ask("/", tokens[i])
		})
	}
	eventually(t, "somebody asks the issuer", func() bool { return g.Issuer.KeyRequests() > 1 })
	meanwhile := 0
	for waiting.Load() > 0 {
		h := g.ask("/", known)
		if h.err != nil || h.Status != http.StatusOK || h.took > timeout/2 {
			t.Errorf("a token of a known key meanwhile: %s", h)
		}
		meanwhile++
		g.Backend.take()
	}
	clients.Wait()
	held, longest := 0, time.Duration(0)
	for _, h := range heards {
		if !h.unavailable() || h.took > timeout+2*slack {
			t.Errorf("a token of an unknown key: %s, Retry-After %q", h, h.Header.Get("Retry-After"))
		}
		if h.took >= timeout-slack/2 {
			held++
		}
		longest = max(longest, h.took)
	}
	t.Logf("%d of %d held, the longest %s; %d known tokens meanwhile", held, strangers, longest.Round(time.Millisecond), meanwhile)
	if held == 0 || held > most || meanwhile < 10 {
		t.Errorf("%d requests held, want 1 to %d; %d others meanwhile", held, most, meanwhile)
	}
	if n := g.Issuer.KeyRequests(); n != 2 {
		t.Errorf("%d fetches, want the first and one", n)
	}
	// With the budget spent nobody waits at all.
	if h := g.ask("/", g.Issuer.Sign(nil, issuertest.Kid("another"))); !h.unavailable() || h.took > timeout/2 {
		t.Errorf("with the budget spent: %s", h)
	}
	if h := g.ask("/", known); h.Status != http.StatusOK {
		t.Errorf("a token of a known key afterwards: %s", h)
	}
}

// TestReloadWhileTheIssuerHangs: neither waits for the other, and the requests
// that the old configuration holds are answered.
func TestReloadWhileTheIssuerHangs(t *testing.T) {
	const timeout = 6 * time.Second
	s := setup{Keys: "timeout " + timeout.String(), Sites: gateSite}
	g := s.start(t)
	known := g.Issuer.Sign(nil)
	g.passes(patience, "/", known)
	g.Issuer.Fail(issuertest.Hang)
	held := make(chan heard, 1)
	stranger := g.Issuer.Sign(nil, issuertest.Kid("unknown"))
	go func() { held <- g.ask("/", stranger) }()
	eventually(t, "it asks the issuer", func() bool { return g.Issuer.KeyRequests() == 2 })

	s.Sites = strings.Replace(gateSite, "forward {", "realm another\nforward {", 1)
	began := time.Now()
	g.load(s.config(g))
	if took := time.Since(began); took > timeout*2/3 {
		t.Errorf("the reload took %s", took)
	}
	h := g.again("/", known)
	if h.err != nil || h.Status != http.StatusOK {
		t.Errorf("after the reload: %s", h)
	}
	if h := <-held; !h.unavailable() || h.took > 2*timeout {
		t.Errorf("a request that was held: %s", h)
	}
	if n := g.Issuer.KeyRequests(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}
