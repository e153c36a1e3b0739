package caddymodule

import (
	"fmt"
	"os"
	"testing"

	"github.com/jwtgate/jwtgate/internal/browsertest"
)

// TestMain keeps the tests away from the revocation list of the user who runs
// them: without a word about it, that is in Caddy's data directory.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "jwtgate-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
			if err := os.Setenv(name, dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		defer browsertest.Stop()
		return m.Run()
	}())
}
