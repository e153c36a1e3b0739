package caddymodule

import (
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
