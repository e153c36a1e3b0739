// Package jwtgate is what a build of Caddy imports to have the JWT gate:
// xcaddy build --with github.com/jwtgate/jwtgate.
package jwtgate

import (
	_ "embed"

	_ "github.com/jwtgate/jwtgate/caddymodule" // the modules and the command
	"github.com/jwtgate/jwtgate/internal/demo"
)

// exampleCaddyfile is the configuration of the demo's gateway.
//
//go:embed Caddyfile.example
var exampleCaddyfile []byte

func init() { demo.Register(exampleCaddyfile) }
