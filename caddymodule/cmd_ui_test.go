package caddymodule

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jwtgate/jwtgate/internal/cli"
)

// uiCommand runs `caddy jwtgate ui` until the test ends and returns what it
// printed: the URL.
func uiCommand(t *testing.T, f uiFlags) (url string) {
	t.Helper()
	if f.listen == "" {
		f.listen = "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var running sync.WaitGroup
	running.Go(func() {
		err := f.run(ctx, w, io.Discard)
		if err != nil {
			t.Errorf("ui: %v", err)
		}
		w.CloseWithError(err)
	})
	t.Cleanup(func() {
		cancel()
		r.Close()
		running.Wait()
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestUICommandServes(t *testing.T) {
	c := serveAdmin(t, newAdminBench(t).mux)
	url := uiCommand(t, uiFlags{address: c.address})
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/[0-9a-f]{32}/$`).MatchString(url) {
		t.Fatalf("printed %q", url)
	}
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Jwtgate-Page", "1")
		r.Header.Set("Origin", "http://"+r.Host)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "", "", 200, "<!doctype html>"},
		{"GET", "api/session", "", 200, c.address},
		{"POST", "api/revocations/query", `{"limit":5}`, 200, `"revocations":[]`},
		{"POST", "api/revocations/query", `{"limit":0}`, 400, `"field":"limit"`},
		{"DELETE", "api/revocations/nothing", "", 404, "not_found"},
	} {
		if status, text := ask(tt.method, tt.path, tt.body); status != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s %s: %d %.300s", tt.method, tt.path, status, text)
		}
	}
}

func TestUICommandRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"every address", []string{"--listen", "0.0.0.0:0"}, "can be reached from other machines"},
		{"every address of IPv6", []string{"--listen", "[::]:0"}, "can be reached from other machines"},
		{"no address", []string{"--listen", ":0"}, "listens on every address"},
		{"no port", []string{"--listen", "127.0.0.1"}, "host:port is wanted"},
		{"port that is none", []string{"--listen", "127.0.0.1:http"}, "is no port"},
		{"exposed as a URL", []string{"--expose", "http://gw1"}, "without a scheme"},
		{"exposed with a port", []string{"--expose", "gw1:80"}, "leave the port out"},
		{"admin over TLS", []string{"--address", "https://localhost:2019"}, "speaks no TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := (&console{t: t}).run("", append([]string{"ui"}, tt.args...)...)
			if err == nil || !strings.Contains(err.Error(), tt.says) || cli.Code(err) != cli.Usage {
				t.Errorf("%d %v", cli.Code(err), err)
			}
		})
	}
}

func TestUICommandExposed(t *testing.T) {
	url := uiCommand(t, uiFlags{address: "127.0.0.1:1", listen: "0.0.0.0:0", expose: "gw1.internal"})
	rest, ok := strings.CutPrefix(url, "http://gw1.internal:")
	if !ok {
		t.Fatalf("printed %q", url)
	}
	for host, want := range map[string]int{"gw1.internal": 200, "localhost": 200, "gw2.internal": 403} {
		r, err := http.NewRequest("GET", "http://127.0.0.1:"+rest, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, response.StatusCode, want)
		}
	}
}
