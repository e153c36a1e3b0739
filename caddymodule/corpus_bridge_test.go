package caddymodule

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/jwtgate/jwtgate/internal/issuertest"
)

// LiveGateway is liveWith for tests that see this package from outside. It
// returns the issuer of the app, the gateway's address and the path of its log.
func LiveGateway(t testing.TB, options, caddyfile string) (iss *issuertest.Issuer, addr, log string) {
	t.Helper()
	g := liveWith(t, options, caddyfile)
	return g.Issuer, g.Addr, g.log
}

// ExplainLive is what the admin API of the running configuration answers to an
// order, and the token as a gate takes it is never in it.
func ExplainLive(t testing.TB, order []byte) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/jwtgate/explain", bytes.NewReader(order))
	r.Header.Set("Content-Type", "application/json")
	for _, route := range new(AdminAPI).Routes() {
		if route.Pattern == "/jwtgate/explain" {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.Bytes()
}
