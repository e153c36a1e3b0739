// Command caddy is Caddy with its standard modules and the JWT gate.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/jwtgate/jwtgate" // the gate and the demo
	"github.com/jwtgate/jwtgate/internal/collector"
)

func main() {
	collector.Tune()
	caddycmd.Main()
}
