package caddymodule

import (
	"bytes"
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
)

// defuse takes out of a configuration what has effects when it is merely
// provisioned, and what needs files that only the server has: certificates and
// their authorities, listeners' wrappers, active health checks, exporters of
// traces and metrics. What routes do stays as it is.
func defuse(config []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(caddy.RemoveMetaFields(config)))
	decoder.UseNumber()
	var root map[string]any
	if err := decoder.Decode(&root); err != nil {
		return nil, err
	}
	apps := object(root["apps"])
	for _, name := range []string{"tls", "pki", "events"} {
		delete(apps, name)
	}
	web := object(apps["http"])
	delete(web, "metrics")
	for _, s := range object(web["servers"]) {
		server := object(s)
		if server == nil {
			continue
		}
		for _, name := range []string{"tls_connection_policies", "listener_wrappers", "packet_conn_wrappers", "metrics"} {
			delete(server, name)
		}
		// Certificates would be obtained, and routes added for redirects.
		server["automatic_https"] = map[string]any{"disable": true}
	}
	defuseHandlers(web)
	return json.Marshal(root)
}

// defuseHandlers looks for handlers at any depth below v.
func defuseHandlers(v any) {
	switch v := v.(type) {
	case []any:
		for i, element := range v {
			if handler := object(element); handler != nil {
				v[i] = harmlessHandler(handler)
			}
			defuseHandlers(v[i])
		}
	case map[string]any:
		for _, member := range v {
			defuseHandlers(member)
		}
	}
}

// harmlessHandler returns the handler to put in place of h.
func harmlessHandler(h map[string]any) any {
	switch h["handler"] {
	case "reverse_proxy":
		delete(object(h["health_checks"]), "active")
	case "tracing": // opens a connection to its collector; passes requests on
		return map[string]any{"handler": "vars"}
	case "acme_server": // opens a database; answers by itself for its paths alone
		return map[string]any{"handler": "vars"}
	}
	return h
}

// object returns v as a JSON object, nil if it is none.
func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}
