package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// TestReloadsUnderLoad reloads 200 times, every second time with a
// configuration that fails, while clients go on: no request is decided
// wrongly, nothing is fetched again, nothing grows.
func TestReloadsUnderLoad(t *testing.T) {
	iss := issuertest.New(t)
	reload := running(t)
	// Over TCP, each of Caddy's configurations has a listener of its own, and
	// the kernel resets what waits in the queue of one that closes. A unix
	// socket is handed on.
	socket := filepath.Join(t.TempDir(), "s")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	config := func(note, handlers string) string {
		return fmt.Sprintf(`"jwtgate": {"issuers": [{"issuer": %q, "audience": [%q]}]},
			"http": {"servers": {"s": {"listen": [%q], "automatic_https": {"disable": true}, "routes": [{"handle": [
				{"handler": "jwtgate", "forward": [{"header": "X-User-ID", "claim": "sub"}], "realm": %q},
				%s
				{"handler": "static_response", "body": "{http.request.header.X-User-ID}"}]}]}}}`,
			iss.URL(), issuertest.Audience, "unix/"+socket, note, handlers)
	}
	if err := reload(config("first", "")); err != nil {
		t.Fatal(err)
	}
	good := iss.Sign(map[string]any{"sub": "alice"})
	expired := iss.Sign(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	var repeated atomic.Int64
	ask := func(client *http.Client, token string) (int, string, error) {
		request, err := http.NewRequest(http.MethodGet, "http://gateway", nil)
		if err != nil {
			return 0, "", err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("X-User-ID", "mallory")
		// Caddy without any gate loses a connection now and then while its
		// configurations change hands. What got no answer at all is asked again;
		// what counts is that no answer is wrong.
		response, err := client.Do(request)
		for retries := 0; err != nil && retries < 5; retries++ {
			repeated.Add(1)
			response, err = client.Do(request)
		}
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	client := func() *http.Client {
		transport := &http.Transport{DialContext: dial}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Timeout: 10 * time.Second}
	}
	eventually(t, "a good token passes", func() bool {
		status, _, err := ask(client(), good)
		return err == nil && status == http.StatusOK
	})

	var stop atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := client()
			for !stop.Load() {
				status, body, err := ask(client, good)
				if err != nil || status != http.StatusOK || body != "alice" {
					t.Errorf("good token: %d %q, %v", status, body, err)
					return
				}
				status, _, err = ask(client, expired)
				if err != nil || status != http.StatusUnauthorized {
					t.Errorf("expired token: %d, %v", status, err)
					return
				}
				asked.Add(2)
			}
		})
	}
	var goroutines int
	for i := range 100 {
		if err := reload(config(fmt.Sprint(i), "")); err != nil {
			t.Error(err)
		}
		if err := reload(config("broken", `{"handler": "no_such_handler"},`)); err == nil || !strings.Contains(err.Error(), "no_such_handler") {
			t.Errorf("broken configuration: %v", err)
		}
		if i == 20 {
			goroutines = goruntime.NumGoroutine()
		}
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d requests during 200 reloads, %d asked again", asked.Load(), repeated.Load())
	if asked.Load() < 100 || repeated.Load() > asked.Load()/10 {
		t.Errorf("%d requests, %d asked again", asked.Load(), repeated.Load())
	}
	if n := iss.KeyRequests(); n != 1 {
		t.Errorf("%d fetches of the keys, want 1", n)
	}
	eventually(t, "goroutines as before", func() bool { return goruntime.NumGoroutine() <= goroutines+3 })
}
