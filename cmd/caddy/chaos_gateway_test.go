//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/internal/redistest"
)

// chaosGateway is a `caddy run` with files of its own, which outlive it.
type chaosGateway struct {
	c           *chaos
	number      int
	dir, log    string
	site, admin string
	proxy       *redistest.Proxy
	client      *http.Client
	generation  int
	process     *exec.Cmd
}

func newChaosGateway(c *chaos, n int) *chaosGateway {
	c.t.Helper()
	g := &chaosGateway{c: c, number: n, dir: c.t.TempDir(), proxy: redistest.NewProxy(c.t, c.redis),
		site:   fmt.Sprintf("http://127.0.0.1:%d", redistest.FreePort(c.t)),
		admin:  fmt.Sprintf("http://127.0.0.1:%d", redistest.FreePort(c.t)),
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
	}
	g.log = filepath.Join(g.dir, "log")
	g.start()
	c.t.Cleanup(func() { g.kill(); g.client.CloseIdleConnections() })
	return g
}

func (g *chaosGateway) caddyfile() string {
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	storage file_system %q
	jwtgate {
		issuer %s {
			audience %s
		}
		revocation {
			journal %q
			redis %s {
				prefix chaos:
			}
		}
	}
}
%s {
	bind 127.0.0.1
	jwtgate_ready /ready
	jwtgate_logout /auth/logout
	jwtgate
	@logout path /auth/logout
	respond @logout 204
	respond "generation %d" 200
}
`, strings.TrimPrefix(g.admin, "http://"), filepath.Join(g.dir, "storage"), g.c.issuer.URL(), issuertest.Audience,
		filepath.Join(g.dir, "list.db"), g.proxy.URL(), g.site, g.generation)
}

func (g *chaosGateway) start() {
	g.c.t.Helper()
	config := filepath.Join(g.dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(g.caddyfile()), 0o600); err != nil {
		g.c.t.Fatal(err)
	}
	log, err := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.c.t.Fatal(err)
	}
	defer log.Close()
	g.process = command(g.c.t, "run", "--adapter", "caddyfile", "--config", config)
	g.process.Stdout, g.process.Stderr = log, log
	if err := g.process.Start(); err != nil {
		g.c.t.Fatal(err)
	}
}

func (g *chaosGateway) kill() {
	_ = g.process.Process.Kill()
	_ = g.process.Wait()
}

func (g *chaosGateway) awaitReady() {
	g.c.t.Helper()
	var status int
	var body string
	for deadline := time.Now().Add(time.Minute); status != http.StatusOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(g.log)
			g.c.t.Fatalf("gateway %d is not ready within a minute: %d %s\n%s", g.number, status, body, log[max(0, len(log)-4000):])
		}
		status, body = g.ask("GET", g.site+"/ready", "", nil)
	}
}

// load has it take another configuration.
func (g *chaosGateway) load() (int, string) {
	g.generation++
	return g.ask("POST", g.admin+"/load", "", []byte(g.caddyfile()))
}

func (g *chaosGateway) reload() {
	g.c.t.Helper()
	if status, body := g.load(); status != http.StatusOK {
		g.c.t.Errorf("gateway %d: reload: %d %s", g.number, status, body)
	}
}

// ask returns 0 where no whole answer came.
func (g *chaosGateway) ask(method, address, token string, body []byte) (int, string) {
	r, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		g.c.fail("%v", err)
		return 0, ""
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if strings.HasSuffix(address, "/load") {
		r.Header.Set("Content-Type", "text/caddyfile")
	} else if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := g.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// export is the list by the tokens' jti.
func (g *chaosGateway) export() map[string]listed {
	g.c.t.Helper()
	status, body := g.ask("GET", g.admin+"/jwtgate/revocations/export", "", nil)
	if status != http.StatusOK {
		g.c.t.Fatalf("gateway %d: export: %d %s", g.number, status, body)
	}
	list := make(map[string]listed)
	for line := range strings.Lines(body) {
		var e struct {
			listed
			UndoneAt string `json:"undone_at"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID == "" || e.Value == "" || e.Until == "" {
			g.c.t.Fatalf("gateway %d: export: %s: %v", g.number, line, err)
		}
		e.Undone = e.UndoneAt != ""
		list[e.Value] = e.listed
	}
	return list
}
