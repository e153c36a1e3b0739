package demo

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// gatewayConfig adapts the Caddyfile for the demo's addresses and keeps all
// that Caddy writes inside the demo's directory.
func gatewayConfig(o options, p *places) ([]byte, error) {
	caddyDir := filepath.Join(o.data, "caddy")
	for name, value := range map[string]string{
		"JWTGATE_SITE":     "http://:" + p.gateway.port(),
		"JWTGATE_BIND":     "127.0.0.1",
		"JWTGATE_ISSUER":   p.issuer.url(),
		"JWTGATE_AUDIENCE": Audience,
		"JWTGATE_BACKEND":  p.backend.address(),
		"JWTGATE_ADMIN":    p.admin.address(),
		"XDG_DATA_HOME":    caddyDir, // what Caddy and its modules write without being told where
		"XDG_CONFIG_HOME":  caddyDir,
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return nil, fmt.Errorf("this Caddy has no Caddyfile adapter")
	}
	adapted, _, err := adapter.Adapt(o.caddyfile, map[string]any{"filename": o.name()})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var config map[string]any
	if err := json.Unmarshal(adapted, &config); err != nil {
		return nil, fmt.Errorf("gateway: adapted configuration: %w", err)
	}
	maps.Copy(config, map[string]any{
		"storage": map[string]any{"module": "file_system", "root": caddyDir},
		// Every decision is in the file, reasons included; the terminal belongs
		// to the lines to try.
		"logging": map[string]any{"logs": map[string]any{
			"default": map[string]any{
				"level":   "DEBUG",
				"writer":  map[string]any{"output": "file", "filename": logFile(o.data)},
				"encoder": map[string]any{"format": "json"},
			},
			"terminal": map[string]any{
				"level":   "ERROR",
				"writer":  map[string]any{"output": "stderr"},
				"encoder": map[string]any{"format": "console"},
				"exclude": []string{"http.log"}, // one line a request and error
			},
		}},
	})
	set(config, false, "admin", "config", "persist")
	set(config, stopWithin.String(), "apps", "http", "grace_period")
	return json.Marshal(config)
}

// name is what messages call the gateway's Caddyfile.
func (o options) name() string {
	if o.config != "" {
		return o.config
	}
	return "Caddyfile.example"
}

// set puts value at a path of nested objects, making those that are missing.
func set(object map[string]any, value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[path[len(path)-1]] = value
}

func logFile(data string) string { return filepath.Join(data, "gateway.log") }
