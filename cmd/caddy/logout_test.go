package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// demoAsk sends a request to the demo and returns status and body.
func demoAsk(t *testing.T, method, address, token string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestLogoutOutlivesKill: the gateway is killed at the moment the client has
// its 204, and started again on the same data.
func TestLogoutOutlivesKill(t *testing.T) {
	data := t.TempDir()
	args := []string{"--data", data, "--gateway", "0", "--issuer", "0", "--backend", "0", "--admin", "0"}
	d := startDemo(t, args...)
	newToken := func() string {
		t.Helper()
		resp, err := http.PostForm("http://127.0.0.1:"+d.port(t, "issuer")+"/token", url.Values{"format": {"token"}, "username": {"alice"}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		token, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s, %v", resp.StatusCode, token, err)
		}
		return strings.TrimSpace(string(token))
	}
	gateway := "http://127.0.0.1:" + d.port(t, "gateway")
	over, good := newToken(), newToken()
	if status, body := demoAsk(t, "POST", gateway+"/auth/logout", over); status != http.StatusNoContent {
		t.Fatalf("logout: %d %s", status, body)
	}
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.ended
	for i, part := range []string{"gateway", "issuer", "backend", "admin"} {
		args[3+2*i] = d.port(t, part) // tokens name the issuer by its address
	}
	again := startDemo(t, args...)
	if status, body := demoAsk(t, "GET", gateway+"/orders", over); status != http.StatusUnauthorized || !strings.Contains(body, `"token_revoked"`) {
		t.Errorf("the token that logged out: %d %s", status, body)
	}
	for name, token := range map[string]string{"another token from before": good, "a new one": newToken()} {
		if status, body := demoAsk(t, "GET", gateway+"/orders", token); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	again.interrupt(t)
}
