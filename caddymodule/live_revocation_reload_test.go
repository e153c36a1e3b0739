package caddymodule

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/revocation"
)

// TestRevokedTokensOutliveARestart of the gateway, which opens its journal anew.
func TestRevokedTokensOutliveARestart(t *testing.T) {
	g := newLogoutGateway(t)
	g.mustLoad("a.db", logoutAndAPI)
	raw, session := g.issuer.Sign(nil), g.issuer.Sign(map[string]any{"sid": "s"})
	if a := g.send(g.ready(), "POST", "/auth/logout", raw); a.Status != 204 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	// While nobody runs, the file is free, and what was acknowledged is in it.
	store, err := revocation.Open(revocation.Options{Path: filepath.Join(g.dir, "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := store.Query(t.Context(), revocation.Filter{Issuer: g.issuer.URL()})
	if err != nil || len(entries) != 1 {
		t.Errorf("%+v, %v", entries, err)
	}
	e := revocation.Entry{Kind: revocation.Session, Issuer: g.issuer.URL(), Value: "s", Until: time.Now().Add(time.Hour), Via: "test"}
	if _, err := store.Revoke(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	// A gateway that starts meanwhile says who has it.
	begin := time.Now()
	if err := g.load("a.db", logoutAndAPI); err == nil || !strings.Contains(err.Error(), "a.db") {
		t.Errorf("a locked journal: %v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("that took %s", took)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	g.mustLoad("a.db", logoutAndAPI)
	client := g.ready()
	for name, token := range map[string]string{"logged out": raw, "in the session": session} {
		if a := g.send(client, "GET", "/", token); a.code() != "token_revoked" {
			t.Errorf("%s: %d %s", name, a.Status, a.code())
		}
	}
}

// TestSlowLogoutAcrossAReload whose configuration has another journal: the
// backend answers when its own configuration is long gone, and the logout ends
// up where the next restart looks.
func TestSlowLogoutAcrossAReload(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"another path", "a.db", "b.db"}, {"the same path", "a.db", "a.db"}, {"to memory", "a.db", ""}, {"from memory", "", "b.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newLogoutGateway(t)
			reached, goOn := make(chan struct{}), make(chan struct{})
			backend, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			slow := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(reached)
				<-goOn
				w.WriteHeader(204)
			})}
			go func() { _ = slow.Serve(backend) }()
			t.Cleanup(func() { _ = slow.Close() })
			site := `jwtgate_logout /auth/*
				jwtgate
				route {
					reverse_proxy /auth/slow ` + backend.Addr().String() + `
					respond /auth/logout 204
					respond ok
				}`
			g.mustLoad(c.before, site)
			client := g.ready()
			first, late := g.issuer.Sign(nil), g.issuer.Sign(nil)
			if a := g.send(client, "POST", "/auth/logout", first); a.Status != 204 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			answered := make(chan got, 1)
			go func() { answered <- g.send(client, "POST", "/auth/slow", late) }()
			select {
			case <-reached:
			case a := <-answered:
				t.Fatalf("the backend was not asked: %d %s", a.Status, a.Body)
			}
			g.mustLoad(c.after, site)
			other := g.client()
			if a := g.send(other, "GET", "/", first); a.code() != "token_revoked" {
				t.Errorf("after the reload: %d %s", a.Status, a.code())
			}
			if a := g.send(other, "GET", "/", late); a.Status != 200 {
				t.Errorf("before its logout: %d %s", a.Status, a.code())
			}
			close(goOn)
			if a := <-answered; a.Status != 204 {
				t.Errorf("the slow logout: %d %s", a.Status, a.Body)
			}
			for range 3 {
				if a := g.send(other, "GET", "/", late); a.code() != "token_revoked" {
					t.Errorf("after its logout: %d %s", a.Status, a.code())
				}
			}
			if c.after == "" {
				return
			}
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			g.mustLoad(c.after, site)
			restarted := g.ready()
			for _, raw := range []string{first, late} {
				if a := g.send(restarted, "GET", "/", raw); a.code() != "token_revoked" {
					t.Errorf("after a restart: %d %s", a.Status, a.code())
				}
			}
		})
	}
}

// TestReloadsWhileClientsRevoke: nothing lost, nothing deadlocked, no revoked
// token accepted after its acknowledgement. Some reloads fail, some change the
// path of the journal, some drop the gate and put it back.
func TestReloadsWhileClientsRevoke(t *testing.T) {
	reloads := 60
	switch {
	case os.Getenv("JWTGATE_LONG") != "":
		reloads = 300
	case raceEnabled:
		reloads = 30
	}
	g := newLogoutGateway(t, "ES256")
	g.mustLoad("a.db", logoutAndAPI)
	g.ready()
	var stop atomic.Bool
	var clients sync.WaitGroup
	var mu sync.Mutex
	var revoked []string
	var used, tried atomic.Int64
	live := g.issuer.Sign(map[string]any{"sub": "bob"})
	for n := range 4 {
		clients.Go(func() { // revokes
			client := g.client()
			for !stop.Load() {
				raw := g.issuer.Sign(map[string]any{"jti": fmt.Sprint(n, "-", tried.Add(1))})
				if a := g.send(client, "GET", "/", raw); a.Status != 200 {
					t.Errorf("a fresh token: %d %s", a.Status, a.Body)
					return
				}
				// An answer that was lost is asked for again: 401 says that it is done.
				if a := g.send(client, "POST", "/auth/logout", raw); a.Status != 204 && a.code() != "token_revoked" {
					t.Errorf("logout: %d %s", a.Status, a.Body)
					return
				}
				if a := g.send(client, "GET", "/", raw); a.code() != "token_revoked" {
					t.Errorf("after the logout: %d %s", a.Status, a.Body)
					return
				}
				mu.Lock()
				revoked = append(revoked, raw)
				mu.Unlock()
			}
		})
		clients.Go(func() { // uses
			client := g.client()
			for i := 0; !stop.Load(); i++ {
				if a := g.send(client, "GET", "/", live); a.Status != 200 {
					t.Errorf("a good token: %d %s", a.Status, a.Body)
					return
				}
				mu.Lock()
				var over string
				if len(revoked) > 0 {
					over = revoked[(i*31+n)%len(revoked)]
				}
				mu.Unlock()
				if over == "" {
					continue
				}
				if a := g.send(client, "GET", "/", over); a.code() != "token_revoked" {
					t.Errorf("a revoked token: %d %s", a.Status, a.Body)
					return
				}
				used.Add(2)
			}
		})
	}
	var goroutines int
	for i := range reloads {
		journal := []string{"a.db", "a.db", "b.db", "b.db", "a.db", "", "a.db"}[i%7]
		g.mustLoad(journal, logoutAndAPI)
		if i%3 == 0 {
			if err := g.load("c.db", "jwtgate {\nissuer none\n}\n"+logoutAndAPI); err == nil {
				t.Error("a broken configuration loads")
			}
		}
		if i%10 == 9 {
			g.mustLoad(journal, logoutAndAPI+"\njwtgate_revoke /x {\nsecret "+testSecret+"\n}")
		}
		if i == reloads/3 {
			goroutines = goruntime.NumGoroutine()
		}
		if t.Failed() {
			break
		}
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d reloads, %d revocations, %d uses", reloads, len(revoked), used.Load())
	if len(revoked) < reloads/2 || used.Load() < int64(reloads) {
		t.Errorf("%d revocations, %d uses", len(revoked), used.Load())
	}
	g.mustLoad("a.db", logoutAndAPI)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.mustLoad("a.db", logoutAndAPI)
	client := g.ready()
	for _, raw := range revoked {
		if a := g.send(client, "GET", "/", raw); a.code() != "token_revoked" {
			t.Fatalf("after all and a restart: %d %s", a.Status, a.Body)
		}
	}
	client.CloseIdleConnections()
	eventually(t, "goroutines as before", func() bool { return goruntime.NumGoroutine() <= goroutines+10 })
}

// TestGateDroppedAndPutBack under a real Caddy: while there is no gate nothing
// is protected, and afterwards all is as before.
func TestGateDroppedAndPutBack(t *testing.T) {
	g := newLogoutGateway(t)
	for _, journal := range []string{"a.db", ""} {
		g.mustLoad(journal, logoutAndAPI)
		raw := g.issuer.Sign(nil)
		if a := g.send(g.ready(), "POST", "/auth/logout", raw); a.Status != 204 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if err := g.reload(`"http": {"servers": {"s": {"listen": ["unix/` + g.socket + `"], "routes": [{"handle": [{"handler": "static_response", "body": "open"}]}]}}}`); err != nil {
			t.Fatal(err)
		}
		if a := g.send(g.client(), "GET", "/", raw); a.Body != "open" {
			t.Errorf("without a gate: %d %s", a.Status, a.Body)
		}
		g.mustLoad(journal, logoutAndAPI)
		if a := g.send(g.ready(), "GET", "/", raw); a.code() != "token_revoked" {
			t.Errorf("journal %q, put back: %d %s", journal, a.Status, a.code())
		}
	}
}
