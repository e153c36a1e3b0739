package issuertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// get asks once, over a connection of its own.
func get(t *testing.T, ctx context.Context, url string, header ...string) (status int, body []byte, h http.Header, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n+1 < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, resp.Header, err
}

func mustGet(t *testing.T, url string, header ...string) (int, []byte, http.Header) {
	t.Helper()
	status, body, h, err := get(t, t.Context(), url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return status, body, h
}

func TestSignedTokensVerifyUnderThePublishedKeys(t *testing.T) {
	iss := New(t, "ES256")
	now := time.Unix(1_800_000_000, 0)
	iss.SetNow(func() time.Time { return now })
	raw := iss.Sign(map[string]any{"sub": "bob", "jti": nil, "big": json.RawMessage("12345678901234567890"), "nbf": now})
	other := iss.Sign(nil, Alg("EdDSA"))
	_, body, _ := mustGet(t, iss.KeysURL())
	set, err := jwk.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(raw), jws.WithKeySet(set))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"aud":"api","big":12345678901234567890,"exp":1800000300,"iat":1800000000,"iss":"` + iss.URL() + `","nbf":1800000000,"sub":"bob"}`
	if string(payload) != want {
		t.Errorf("payload %s\nwant    %s", payload, want)
	}
	if _, err := jws.Verify([]byte(other), jws.WithKeySet(set)); err != nil {
		t.Errorf("EdDSA: %v", err)
	}
}

func TestAttackTokens(t *testing.T) {
	iss := New(t, "ES256")
	part := func(raw string, n int) string {
		b, err := signing.Decode(strings.Split(raw, ".")[n])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	kid := iss.Key().ID()
	for _, tt := range []struct {
		name string
		raw  string
		part int
		want string
	}{
		{"kid", iss.Sign(nil, Kid("../x")), 0, `{"alg":"ES256","kid":"../x","typ":"at+jwt"}`},
		{"no kid", iss.Sign(nil, NoKid()), 0, `{"alg":"ES256","typ":"at+jwt"}`},
		{"header", iss.Sign(nil, Header("alg", "none"), Header("typ", nil)), 0, `{"alg":"none","kid":"` + kid + `"}`},
		{"raw header", iss.Sign(nil, RawHeader(`{"alg":"ES256","alg":"none"}`)), 0, `{"alg":"ES256","alg":"none"}`},
		{"raw payload", iss.Sign(nil, RawPayload("no JSON\xff")), 1, "no JSON\xff"},
		{"empty payload", iss.Sign(nil, RawPayload("")), 1, ""},
		{"signature", iss.Sign(nil, Signature(func(string, []byte) []byte { return []byte("x") })), 2, "x"},
	} {
		if got := part(tt.raw, tt.part); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	stranger, err := signing.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwk.Parse(iss.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jws.Verify([]byte(iss.Sign(nil, Key(stranger), Kid(kid))), jws.WithKeySet(set)); err == nil {
		t.Error("a stranger's signature verifies")
	}
}

func TestRotationAndWithdrawal(t *testing.T) {
	iss := New(t, "ES256")
	old := iss.Key()
	fresh := iss.Rotate()
	if keys := string(iss.JWKS()); !strings.Contains(keys, old.ID()) || !strings.Contains(keys, fresh.ID()) {
		t.Errorf("after Rotate: %s", keys)
	}
	iss.Withdraw(old.ID())
	if keys := string(iss.JWKS()); strings.Contains(keys, old.ID()) || !strings.Contains(keys, fresh.ID()) {
		t.Errorf("after Withdraw: %s", keys)
	}
	newest := iss.RotateWithdraw()
	if keys := string(iss.JWKS()); strings.Contains(keys, fresh.ID()) || !strings.Contains(keys, newest.ID()) {
		t.Errorf("after RotateWithdraw: %s", keys)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	iss := New(t, "ES256")
	mustGet(t, iss.DiscoveryURL())
	_, _, h := mustGet(t, iss.KeysURL())
	status, _, _ := mustGet(t, iss.KeysURL(), "If-None-Match", h.Get("ETag"), "Cache-Control", "no-cache")
	if status != 304 {
		t.Errorf("If-None-Match: %d", status)
	}
	if iss.DiscoveryRequests() != 1 || iss.KeyRequests() != 2 || iss.KeysNotModified() != 1 {
		t.Errorf("%d discovery, %d key requests, %d not modified", iss.DiscoveryRequests(), iss.KeyRequests(), iss.KeysNotModified())
	}
	if got := iss.LastKeyRequest().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("last key request had Cache-Control %q", got)
	}
	iss.SetETag(false)
	if status, _, h := mustGet(t, iss.KeysURL(), "If-None-Match", h.Get("ETag")); status != 200 || h.Get("ETag") != "" {
		t.Errorf("without ETag: %d %v", status, h)
	}
}

func TestChangedAnswers(t *testing.T) {
	iss := New(t, "ES256")
	iss.DiscoverAs("https://other.example")
	iss.DiscoverKeysAt("http://169.254.169.254/")
	if _, body, _ := mustGet(t, iss.DiscoveryURL()); !bytes.Contains(body, []byte(`"issuer":"https://other.example"`)) || !bytes.Contains(body, []byte(`"jwks_uri":"http://169.254.169.254/"`)) {
		t.Errorf("discovery: %s", body)
	}
	for value, want := range map[string]string{"max-age=7200": "max-age=7200", "-": "", "": "public, max-age=60"} {
		iss.SetCacheControl(value)
		if _, _, h := mustGet(t, iss.KeysURL()); h.Get("Cache-Control") != want {
			t.Errorf("SetCacheControl(%q): %q", value, h.Get("Cache-Control"))
		}
	}
	iss.Publish([]byte("{}"))
	if _, body, _ := mustGet(t, iss.KeysURL()); string(body) != "{}" {
		t.Errorf("Publish: %s", body)
	}
	iss.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusTeapot)
		return true
	})
	if status, _, _ := mustGet(t, iss.KeysURL()); status != http.StatusTeapot {
		t.Errorf("Intercept: %d", status)
	}
}

func TestFailures(t *testing.T) {
	iss := New(t, "ES256")
	good := string(iss.JWKS())
	for _, tt := range []struct {
		failure Failure
		check   func(status int, body string) bool
	}{
		{ServerError, func(status int, _ string) bool { return status == 500 }},
		{HTML, func(status int, body string) bool { return status == 200 && strings.HasPrefix(body, "<!doctype") }},
		{EmptyKeys, func(status int, body string) bool { return status == 200 && body == `{"keys":[]}` }},
		{HalfDocument, func(status int, body string) bool { return status == 200 && body == good[:len(good)/2] }},
		{Healthy, func(status int, body string) bool { return status == 200 && body == good }},
	} {
		iss.Fail(tt.failure)
		if status, body, _ := mustGet(t, iss.KeysURL()); !tt.check(status, string(body)) {
			t.Errorf("failure %d: %d %s", tt.failure, status, body)
		}
	}
}

func TestHangEndsWhenLifted(t *testing.T) {
	iss := New(t, "ES256")
	iss.FailKeys(Hang)
	if status, _, _ := mustGet(t, iss.DiscoveryURL()); status != 200 {
		t.Errorf("discovery: %d", status)
	}
	done := make(chan error, 1)
	go func() {
		_, _, _, err := get(t, t.Context(), iss.KeysURL())
		done <- err
	}()
	for iss.KeyRequests() == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatalf("answered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	iss.Fail(Healthy)
	if err := <-done; err == nil {
		t.Error("the hanging request was answered")
	}
}

func TestSlowBodyTakesLongerThanItsClientWaits(t *testing.T) {
	iss := New(t, "ES256")
	iss.Fail(SlowBody)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	status, body, _, err := get(t, ctx, iss.KeysURL())
	if status != 200 || !errors.Is(err, context.DeadlineExceeded) || len(body) == 0 || len(body) > 20 {
		t.Errorf("%d, %q, %v", status, body, err)
	}
}

func TestDownRefusesConnectionsAndUpTakesThemOnTheSamePort(t *testing.T) {
	iss := New(t, "ES256")
	for range 3 {
		iss.Down()
		if _, _, _, err := get(t, t.Context(), iss.KeysURL()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("down: %v", err)
		}
		iss.Up()
		iss.Up() // harmless
		if status, _, _ := mustGet(t, iss.KeysURL()); status != 200 {
			t.Fatalf("up: %d", status)
		}
	}
}

func TestEverythingAtOnce(t *testing.T) {
	iss := New(t, "ES256")
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 25 {
				iss.Sign(nil)
				_, _, _, _ = get(t, t.Context(), iss.KeysURL())
				iss.LastKeyRequest()
			}
		}()
	}
	for n := range 10 {
		iss.Rotate()
		iss.Fail(Failure(n % 2)) // Healthy, ServerError
		iss.SetCacheControl("max-age=1")
		iss.Down()
		iss.Up()
	}
	wg.Wait()
	iss.Fail(Healthy)
	if status, _, _ := mustGet(t, iss.KeysURL()); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}
