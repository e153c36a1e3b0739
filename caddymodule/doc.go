// Package caddymodule is the Caddy face of jwtgate: configuration, the HTTP
// handlers, answers, metrics. It translates; the decision is package gate.
//
// The Caddyfile is read in caddyfile*.go, with every mistake named by file and
// line, into the structs of config*.go, app.go and handler.go, which are the
// JSON interface as well. What the JSON says is checked again at provisioning
// (provision*.go), where placeholders are expanded, defaults filled in and
// gates built. What has to outlive a reload - keys, verdicts, counters - is in
// shared.go and metrics.go.
package caddymodule
