// Package issuertest runs the development issuer for tests, over real HTTP on a
// free loopback port: it signs good and bad tokens, rotates and withdraws keys,
// counts requests and fails in every way that a real issuer has been seen to.
//
//	iss := issuertest.New(t)
//	raw := iss.Sign(map[string]any{"sub": "alice"})
//	iss.Rotate()
//	iss.Fail(issuertest.Hang)
//	iss.Down()
//
// All methods may be called from several goroutines and while requests run.
package issuertest

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuer"
	"github.com/jwtgate/jwtgate/internal/signing"
)

// Audience is the aud of tokens for which the test says nothing else.
const Audience = "api"

// Issuer is a running issuer. It ends with its test.
type Issuer struct {
	t       testing.TB
	issuer  *issuer.Issuer
	address string
	clock   func() time.Time

	serverMu sync.Mutex // serialises Down and Up
	server   *http.Server
	served   chan struct{} // closed when server's Serve has returned

	mu           sync.Mutex
	now          func() time.Time
	discovery    behaviour
	keys         behaviour
	discovered   string // issuer in the discovery document; empty: the right one
	jwksURI      string
	cacheControl string
	noETag       bool
	document     []byte // key set document instead of our own
	intercept    func(http.ResponseWriter, *http.Request) bool
}

// New starts an issuer that signs with the first of algs unless told otherwise
// (none: RS256) and publishes a key for each of them. Keys for further
// algorithms appear in its key set when Sign first needs them.
func New(t testing.TB, algs ...string) *Issuer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("issuertest: %v", err)
	}
	i := &Issuer{t: t, address: l.Addr().String(), now: time.Now}
	i.clock = func() time.Time {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.now()
	}
	i.issuer, err = issuer.New(issuer.Config{
		URL:        "http://" + i.address,
		Audience:   []string{Audience},
		Algorithms: algs,
		Now:        i.clock,
	})
	if err != nil {
		l.Close()
		t.Fatalf("issuertest: %v", err)
	}
	i.discovery.init()
	i.keys.init()
	i.serve(l)
	t.Cleanup(i.Down)
	return i
}

// URL returns the issuer string, such as http://127.0.0.1:40123.
func (i *Issuer) URL() string { return i.issuer.URL() }

// DiscoveryURL returns the address of the OpenID discovery document.
func (i *Issuer) DiscoveryURL() string { return i.URL() + issuer.DiscoveryPath }

// KeysURL returns the address of the key set.
func (i *Issuer) KeysURL() string { return i.URL() + issuer.KeysPath }

// SetNow replaces the clock for iat, exp and the grace of rotated keys.
func (i *Issuer) SetNow(now func() time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = now
}

// Rotate puts a new key in the place of the current one and returns it. alg is
// the default algorithm unless named. The old key stays in the key set for 15
// minutes of the issuer's clock; see Withdraw.
func (i *Issuer) Rotate(alg ...string) *signing.Key {
	i.t.Helper()
	return i.rotate(false, alg)
}

// RotateWithdraw is Rotate that takes the old keys of the algorithm out of the
// key set in the same step.
func (i *Issuer) RotateWithdraw(alg ...string) *signing.Key {
	i.t.Helper()
	return i.rotate(true, alg)
}

func (i *Issuer) rotate(withdraw bool, alg []string) *signing.Key {
	i.t.Helper()
	k, err := i.issuer.Rotate(first(alg), withdraw)
	if err != nil {
		i.t.Errorf("issuertest: rotate: %v", err)
	}
	return k
}

// Withdraw takes the key of that ID out of the key set.
func (i *Issuer) Withdraw(kid string) {
	i.t.Helper()
	if found, err := i.issuer.Withdraw(kid); err != nil || !found {
		i.t.Errorf("issuertest: withdraw %q: found %v, %v", kid, found, err)
	}
}

// Key returns the current key for alg, the default algorithm unless named.
func (i *Issuer) Key(alg ...string) *signing.Key {
	i.t.Helper()
	k, err := i.issuer.Key(first(alg))
	if err != nil {
		i.t.Fatalf("issuertest: key: %v", err)
	}
	return k
}

// JWKS returns the key set that the issuer would publish now.
func (i *Issuer) JWKS() []byte { return i.issuer.JWKS() }

// Down closes the port and every connection: further connections are refused.
func (i *Issuer) Down() {
	i.serverMu.Lock()
	defer i.serverMu.Unlock()
	if i.server == nil {
		return
	}
	_ = i.server.Close()
	<-i.served
	i.server = nil
}

// Up opens the same port again after Down.
func (i *Issuer) Up() {
	i.t.Helper()
	i.serverMu.Lock()
	running := i.server != nil
	i.serverMu.Unlock()
	if running {
		return
	}
	// Connections in the kernel's hands can hold the port for a moment.
	var l net.Listener
	var err error
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if l, err = net.Listen("tcp", i.address); err == nil {
			break
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("issuertest: cannot open %s again: %v", i.address, err)
		}
	}
	i.serve(l)
}

func (i *Issuer) serve(l net.Listener) {
	i.serverMu.Lock()
	defer i.serverMu.Unlock()
	server := &http.Server{Handler: http.HandlerFunc(i.serveHTTP), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	i.server, i.served = server, served
	go func() {
		defer close(served)
		_ = server.Serve(l) // ErrServerClosed
	}()
}

// String names the issuer in failure messages.
func (i *Issuer) String() string { return fmt.Sprintf("issuer %s", i.URL()) }

func first(alg []string) string {
	if len(alg) == 0 {
		return ""
	}
	return alg[0]
}
