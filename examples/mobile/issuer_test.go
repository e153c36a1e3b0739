package mobile_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuer"
)

// fault is what the issuer's endpoints do instead of their work.
type fault string

const (
	healthy fault = ""
	away    fault = "away" // connections are cut before anything is done
	broken  fault = "broken"
	hanging fault = "hanging"
	wrong   fault = "wrong client" // an answer that says nothing about the session
)

// identity is an issuer that counts. Its refresh tokens are good for one use, with no
// grace: whoever refreshes twice with one loses the session.
type identity struct {
	*issuer.Issuer
	mu        sync.Mutex
	fault     fault
	refreshes int // asked for
	granted   int
	refused   int
	now       int // refreshes under way
	most      int // of them at a time
	ahead     time.Duration
	latest    time.Time // when a refresh was asked for last
}

func newIdentity(t *testing.T, lifetime time.Duration, audience string) *identity {
	t.Helper()
	id := &identity{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(id.serve))
	server.Start()
	t.Cleanup(func() { id.set(away); server.CloseClientConnections(); server.Close() })
	var err error
	id.Issuer, err = issuer.New(issuer.Config{
		URL: server.URL, Audience: []string{audience}, Algorithms: []string{"ES256"},
		Lifetime: lifetime, KeysMaxAge: time.Minute, RefreshGrace: -1,
		Now: func() time.Time { id.mu.Lock(); defer id.mu.Unlock(); return time.Now().Add(id.ahead) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (id *identity) set(f fault) { id.mu.Lock(); defer id.mu.Unlock(); id.fault = f }

func (id *identity) state() fault { id.mu.Lock(); defer id.mu.Unlock(); return id.fault }

// counts returns the refreshes asked for, granted and refused, and how many there were at most at a time.
func (id *identity) counts() (asked, granted, refused, most int) {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.refreshes, id.granted, id.refused, id.most
}

func (id *identity) last() time.Time { id.mu.Lock(); defer id.mu.Unlock(); return id.latest }

func (id *identity) serve(w http.ResponseWriter, r *http.Request) {
	refresh := r.URL.Path == issuer.TokenPath && r.FormValue("grant_type") == "refresh_token"
	end := func() {}
	if refresh {
		id.begin()
		end = sync.OnceFunc(id.end)
	}
	// Over before the client can know of it, or it might come back while we still count.
	defer end()
	switch id.state() {
	case away:
		end()
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
		return
	case broken:
		http.Error(w, "broken", http.StatusInternalServerError)
		return
	case wrong:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
		return
	case hanging:
		end() // that the client has left is heard of late
		for r.Context().Err() == nil && id.state() == hanging {
			time.Sleep(10 * time.Millisecond)
		}
		return
	}
	if !refresh {
		id.ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	id.ServeHTTP(recorder, r)
	id.mu.Lock()
	if recorder.Code == http.StatusOK {
		id.granted++
	} else {
		id.refused++
	}
	id.mu.Unlock()
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

func (id *identity) begin() {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.refreshes++
	id.now++
	id.most = max(id.most, id.now)
	id.latest = time.Now()
}

func (id *identity) end() { id.mu.Lock(); defer id.mu.Unlock(); id.now-- }

// login is what the issuer answers to a login of alice.
func (id *identity) login(t *testing.T) map[string]any {
	t.Helper()
	return id.answer(t, url.Values{"username": {"alice"}, "scope": {"orders:read offline_access"}, "client_id": {"phone"}})
}

// expired is a login whose access token has expired already.
func (id *identity) expired(t *testing.T) map[string]any {
	t.Helper()
	answer := id.login(t)
	old := id.answer(t, url.Values{"username": {"alice"}, "lifetime": {"-1h"}, "client_id": {"phone"}})
	answer["access_token"], answer["expires_in"] = old["access_token"], 60
	return answer
}
