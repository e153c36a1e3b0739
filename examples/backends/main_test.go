package backends

import (
	"os"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/jwtgate/jwtgate"
)

// runMain in the environment makes this program the gateway, as cmd/caddy is.
const runMain = "JWTGATE_BACKENDS_RUN_CADDY"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		caddycmd.Main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}
