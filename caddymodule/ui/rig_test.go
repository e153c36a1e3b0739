package ui_test

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/caddymodule/ui"
	"github.com/jwtgate/jwtgate/internal/browsertest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	browsertest.Stop()
	os.Exit(code)
}

// serve runs a page for gateway until the test ends and returns its URL.
func serve(t *testing.T, o ui.Options) (url string, stop func()) {
	t.Helper()
	page, err := ui.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- page.Serve(ctx, l) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return "http://" + l.Addr().String() + page.Path(), stop
}

// open shows the page of a gateway, and checks at the end that the browser had
// nothing to complain about but what is allowed: no blocked resource, no error of
// a script.
func open(t *testing.T, g *fakeGateway, allowed ...string) *browsertest.Browser {
	t.Helper()
	b := browsertest.Start(t)
	url, _ := serve(t, ui.Options{Admin: g, Address: "localhost:2019"})
	b.Resize(1280, 900)
	b.Open(url)
	b.UntilText("#banner", "eady")
	b.UntilText("#r-said", "revocation")
	t.Cleanup(func() { quiet(t, b, allowed...) })
	return b
}

// quiet fails for every line in the browser's log but the allowed ones.
func quiet(t *testing.T, b *browsertest.Browser, allowed ...string) {
	t.Helper()
lines:
	for _, e := range b.Log() {
		for _, part := range allowed {
			if strings.Contains(e.Message, part) {
				continue lines
			}
		}
		t.Errorf("the browser logged: %s %s: %s", e.Level, e.Source, e.Message)
	}
}
