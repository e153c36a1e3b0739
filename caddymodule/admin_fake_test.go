package caddymodule

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/revocation"
)

// fakeList is a list in memory whose failures the test chooses.
type fakeList struct {
	mu      sync.Mutex
	entries map[revocation.Digest]revocation.Entry

	ready   error // what Ready says
	failure error // what changes return
	applied int   // calls of Apply and Revoke that changed something
	now     func() time.Time
}

func newFakeList() *fakeList {
	return &fakeList{entries: make(map[revocation.Digest]revocation.Entry), now: time.Now}
}

func (l *fakeList) Ready() error                   { return l.ready }
func (l *fakeList) Progress() (done, total int)    { return 3, 10 }
func (l *fakeList) LongestExpiry(string) time.Time { return time.Time{} }

func (l *fakeList) merge(e revocation.Entry) (revocation.Entry, error) {
	if err := e.Validate(); err != nil {
		return e, err
	}
	if old, ok := l.entries[e.Digest()]; ok {
		old.Merge(&e)
		e = old
	}
	l.entries[e.Digest()] = e
	l.applied++
	return e, nil
}

func (l *fakeList) Revoke(_ context.Context, e revocation.Entry) (revocation.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.RevokedAt.IsZero() {
		e.RevokedAt = l.now()
	}
	merged, err := l.merge(e)
	if err != nil {
		return revocation.Result{}, err
	}
	return revocation.Result{Entry: merged, Durable: l.failure == nil}, l.failure
}

func (l *fakeList) Undo(_ context.Context, id revocation.Digest, via, by, note string) (revocation.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[id]
	if !ok || !e.InForce() {
		return revocation.Result{}, revocation.ErrNotFound
	}
	e.UndoneAt, e.Via, e.By, e.Note = l.now().Add(time.Nanosecond), via, by, note
	l.entries[id] = e
	return revocation.Result{Entry: e, Durable: l.failure == nil}, l.failure
}

func (l *fakeList) Apply(_ context.Context, entries []revocation.Entry) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if _, err := l.merge(e); err != nil {
			return 0, err
		}
	}
	return len(entries), l.failure
}

func (l *fakeList) Get(id revocation.Digest) (revocation.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[id]
	if !ok {
		return e, revocation.ErrNotFound
	}
	return e, nil
}

func (l *fakeList) Query(_ context.Context, f revocation.Filter) (out []revocation.Entry, next string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if (f.Kind == 0 || f.Kind == e.Kind) && (f.Issuer == "" || f.Issuer == e.Issuer) && (f.Undone || e.InForce()) {
			out = append(out, e)
		}
	}
	return out, "", nil
}

func (l *fakeList) Count() map[revocation.Kind]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[revocation.Kind]int)
	for _, e := range l.entries {
		if e.InForce() {
			counts[e.Kind]++
		}
	}
	return counts
}

func (l *fakeList) Stats() revocation.Stats { return revocation.Stats{Undone: 7} }

func (l *fakeList) Export(_ context.Context, _ bool, yield func(*revocation.Entry) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if err := yield(&e); err != nil {
			return err
		}
	}
	return l.failure
}

// adminBench is the admin API over a fake list and a real issuer.
type adminBench struct {
	t    testing.TB
	iss  *issuertest.Issuer
	list *fakeList
	view *adminView
	mux  *http.ServeMux
}

func newAdminBench(t testing.TB) *adminBench {
	t.Helper()
	iss := issuertest.New(t)
	b := benchWith(t, iss.URL(), jwks.Config{Issuer: iss.URL(), JWKS: iss.KeysURL()})
	b.iss = iss
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
		if set, _ := b.view.issuers[0].source.Keys(time.Now()); set != nil {
			return b
		}
		if time.Now().After(end) {
			t.Fatal("no keys within a minute")
		}
	}
}

func benchWith(t testing.TB, name string, keys jwks.Config) *adminBench {
	t.Helper()
	source, err := jwks.New(keys, jwks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	b := &adminBench{t: t, list: newFakeList(), mux: http.NewServeMux()}
	b.view = &adminView{
		list: b.list,
		issuers: []*trustedIssuer{{issuerSettings: &issuerSettings{
			name: name, keys: keys, skew: 30 * time.Second,
		}, source: source}},
		circumstances: func(_ string, now time.Time) revocation.Circumstances {
			return revocation.Circumstances{Now: now, Skew: 30 * time.Second, MaxTokenLifetime: time.Hour}
		},
		durable: true,
		logger:  slog.New(slog.DiscardHandler),
		now:     time.Now,
		release: func() {},
	}
	api := &AdminAPI{open: func() (*adminView, error) {
		v := &adminView{list: b.view.list, issuers: b.view.issuers, circumstances: b.view.circumstances, durable: b.view.durable,
			about: b.view.about, logger: b.view.logger, now: b.view.now, release: b.view.release}
		return v, nil
	}}
	for _, route := range api.Routes() {
		b.mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { _ = route.Handler.ServeHTTP(w, r) })
	}
	return b
}

// send sends a request and returns the answer.
func (b *adminBench) send(method, path, contentType, body string) got {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:1234"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	return got{w.Code, w.Header(), w.Body.String()}
}

func (b *adminBench) post(body string) got {
	b.t.Helper()
	return b.send(http.MethodPost, "/jwtgate/revocations", "application/json", body)
}

func (b *adminBench) postLines(lines ...string) got {
	b.t.Helper()
	return b.send(http.MethodPost, "/jwtgate/revocations", "application/x-ndjson", strings.Join(lines, "\n"))
}

// asks replaces ISSUER in body by the name of the issuer.
func (b *adminBench) asks(body string) string {
	return strings.ReplaceAll(body, "ISSUER", b.view.issuers[0].name)
}
