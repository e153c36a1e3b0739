// Command stock is Caddy with its standard modules and nothing else, as Caddy's
// own main is: what the benchmark compares the shipped binary with.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
