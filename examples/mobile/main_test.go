// Package mobile_test runs the clients of this directory as programs against a real
// gateway, issuer and backend, and judges them from both sides: by what the client
// says of each call, and by what the three servers saw.
package mobile_test

import (
	"flag"
	"os"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/jwtgate/jwtgate"
)

// runMain makes the test binary be the gateway instead.
const runMain = "JWTGATE_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		caddycmd.Main()
		return
	}
	flag.Parse()
	// The tests wait more than they work.
	_ = flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}

// clients runs a test once with each client.
func clients(t *testing.T, test func(t *testing.T, start startClient)) {
	t.Helper()
	t.Parallel()
	for _, c := range []struct {
		name  string
		build func(*testing.T) startClient
	}{{"kotlin", kotlin}, {"typescript", typescript}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			test(t, c.build(t))
		})
	}
}
