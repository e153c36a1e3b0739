package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// logoutGateway is a real Caddy whose configuration tests replace while clients
// go on. It listens on a unix socket, which configurations hand on without
// losing connections that wait.
type logoutGateway struct {
	t      testing.TB
	issuer *issuertest.Issuer
	dir    string
	socket string
	reload func(apps string) error
}

func newLogoutGateway(t *testing.T, algs ...string) *logoutGateway {
	t.Helper()
	g := &logoutGateway{t: t, reload: running(t), issuer: issuertest.New(t, algs...), dir: t.TempDir()}
	socketDir, err := os.MkdirTemp("", "jwtgate") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(socketDir) })
	g.socket = filepath.Join(socketDir, "s")
	return g
}

// load puts a configuration into force: a journal in the gateway's directory,
// off when it is empty, and the directives of the site.
func (g *logoutGateway) load(journal, site string) error {
	where := "off"
	if journal != "" {
		where = filepath.Join(g.dir, journal)
	}
	adapted, err := adapt(fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		storage file_system %s
		log default {
			output discard
		}
		jwtgate {
			issuer %s {
				audience api
			}
			revocation {
				journal %s
			}
		}
	}
	http:// {
		bind unix/%s
		%s
	}
	`, g.dir, g.issuer.URL(), where, g.socket, site))
	if err != nil {
		return err
	}
	return caddy.Load([]byte(adapted), true)
}

func (g *logoutGateway) mustLoad(journal, site string) {
	g.t.Helper()
	if err := g.load(journal, site); err != nil {
		g.t.Fatal(err)
	}
}

// client returns a client with connections of its own.
func (g *logoutGateway) client() *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.socket)
	}}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// send asks with a token. What got no answer at all, because a configuration
// closed the connection, is asked again.
func (g *logoutGateway) send(client *http.Client, method, path, raw string) got {
	g.t.Helper()
	for tries := 0; ; tries++ {
		r, err := http.NewRequest(method, "http://gateway"+path, nil)
		if err != nil {
			g.t.Error(err)
			return got{}
		}
		r.Header.Set("Authorization", "Bearer "+raw)
		resp, err := client.Do(r)
		if err != nil {
			if tries < 20 {
				continue
			}
			g.t.Error(err)
			return got{}
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil && tries < 20 {
			continue
		}
		return got{resp.StatusCode, resp.Header, string(body)}
	}
}

// ready waits until the issuer's keys are there.
func (g *logoutGateway) ready() *http.Client {
	g.t.Helper()
	client := g.client()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if a := g.send(client, "GET", "/", g.issuer.Sign(nil)); a.Status == 200 {
			return client
		} else if time.Now().After(end) {
			g.t.Fatalf("not ready within a minute: %d %s", a.Status, a.Body)
		}
	}
}

// logoutAndAPI is a logout endpoint that needs no backend, and an API.
const logoutAndAPI = `jwtgate_logout /auth/logout
	jwtgate
	respond /auth/logout 204
	respond ok`
