package caddymodule

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/browsertest"
	"github.com/jwtgate/jwtgate/internal/issuer"
)

var screenshots = flag.String("screenshots", "", "make the pictures of docs/operate.md in this directory; takes two minutes")

// demoIssuer is the issuer of `caddy jwtgate demo` at a port of its own.
func demoIssuer(t *testing.T, audience string, algorithms ...string) *issuer.Issuer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{URL: "http://" + l.Addr().String(), Audience: []string{audience}, Dir: t.TempDir(), Algorithms: algorithms})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: iss, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return iss
}

// TestScreenshots makes the pictures: a gateway with some traffic, a few
// revocations and an issuer that does not answer.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("makes pictures with -screenshots DIR")
	}
	dir, err := filepath.Abs(*screenshots)
	if err != nil {
		t.Fatal(err)
	}
	g := newAdminGateway(t)
	g.console.address = freeAddress(t)
	if g.dir, err = os.MkdirTemp("", "jwtgate"); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(g.dir)
	iss, partner := demoIssuer(t, "orders-api", "RS256", "ES256"), demoIssuer(t, "partner-api", "EdDSA")
	app := fmt.Sprintf(`{"issuers": [{"issuer": %q, "audience": ["orders-api"]}, {"issuer": %q, "audience": ["orders-api"]}, {"issuer": "https://login.partner.invalid", "audience": ["orders-api"]}], "revocation": {"journal": %q}}`,
		iss.URL(), partner.URL(), filepath.Join(g.dir, "revocations.db"))
	if err := g.loadApp(app, `{"handler": "jwtgate", "require": [{"kind": "scope", "values": ["orders:read"]}]},`); err != nil {
		t.Fatal(err)
	}
	g.ready()

	mint := func(i *issuer.Issuer, r issuer.Request) string {
		token, err := i.Token(r)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	expired := mint(iss, issuer.Request{Username: "alice", Lifetime: -40 * time.Minute})
	leaked := mint(iss, issuer.Request{Username: "bob", SessionID: "sess-5f2c"})
	kinds := []struct {
		token string
		share int // of 1000 requests
	}{
		{mint(iss, issuer.Request{Username: "alice", Algorithm: "ES256"}), 880}, {expired, 45}, {leaked, 15},
		{mint(iss, issuer.Request{Username: "carol", Scope: "profile"}), 25}, {mint(partner, issuer.Request{Username: "carol"}), 20}, {"not-a-token", 8}, {expired[:len(expired)-6] + "AAAAAA", 7},
	}
	for _, args := range [][]string{
		{"--session", "sess-5f2c", "--note", "phone lost, ticket 4711"}, {"--subject", "dave", "--note", "left the company"},
		{"--client", "orders-app-1.4", "--note", "leaked secret"}, {"--jti", "9f1c2d4e"}, {"--session", "sess-88a1", "--note", "by the help desk"},
	} {
		g.must("", append([]string{"revoke", "--issuer", iss.URL()}, args...)...)
	}

	b := browsertest.Start(t)
	b.Open(uiCommand(t, uiFlags{address: g.console.address}))
	b.UntilText("#banner", "Degraded")
	b.Choose("#span", "300")
	random := rand.New(rand.NewPCG(1, 2))
	for end, burst := time.Now().Add(90*time.Second), 0; time.Now().Before(end); burst++ {
		for range 12 + random.IntN(14) + burst/4%9 {
			n := random.IntN(1000)
			for _, k := range kinds {
				if n -= k.share; n < 0 {
					g.use(k.token)
					break
				}
			}
		}
		if burst%37 == 20 { // an app that does not refresh
			for range 25 {
				g.use(expired)
			}
		}
		time.Sleep(time.Second)
	}
	b.Fill("#x-token", expired)
	b.Fill("#x-path", "/orders")
	b.Click("#explain-form .primary")
	b.UntilText("#explain-result", "Refused 401 token_expired")
	b.Script(`document.getElementById('x-token').rows = 2`)

	take := func(name, scheme string, width, height int, top string) {
		b.Resize(width, height)
		b.Prefer(map[string]string{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
		b.Script(`return new Promise(done => setTimeout(done, 2500))`)
		b.Script(`window.scrollTo({top: 0, behavior: 'instant'}); if (arguments[0] !== 'body') window.scrollTo({top: document.querySelector(arguments[0]).getBoundingClientRect().top - 90, behavior: 'instant'}); document.activeElement.blur()`, top)
		image := b.Screenshot()
		if len(image) > 250<<10 {
			t.Errorf("%s has %d bytes", name, len(image))
		}
		if err := os.WriteFile(filepath.Join(dir, name), image, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	take("ui-light.png", "light", 1200, 1180, "body")
	take("ui-dark.png", "dark", 1200, 1180, "body")
	take("ui-explain.png", "light", 1200, 1000, "#explain")
	for _, e := range b.Log() {
		if !strings.Contains(e.Message, "status of 50") {
			t.Errorf("the browser logged %s", e.Message)
		}
	}
}
