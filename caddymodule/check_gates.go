package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// checkGates looks at the options of each gate.
func (c *checker) checkGates() {
	for _, g := range c.gates {
		name := c.labels[g]
		if g.AnyAudience {
			c.add("audience_any", c.places.gate(g, "audience any_audience"), nil, "write `audience NAME` with what this API is called in aud", "%s: tokens made for anybody pass", name)
		}
		if g.Observe {
			c.add("observe_on", c.places.gate(g, "observe"), nil, "look at what would have been refused, and leave `observe` out", "%s only observes", name)
		}
		for i, t := range g.TokenFrom {
			c.tokenFrom(g, i, t, name)
		}
		c.sizes(g, name)
	}
}

// tokenFrom looks at one more place that a token may come from.
func (c *checker) tokenFrom(g *Handler, i int, t *TokenSource, name string) {
	at := c.places.gate(g, "token_from")
	if c.places.tree == nil {
		at = c.places.pointer(fmt.Sprintf("%s/token_from/%d", c.places.at[g], i))
	} else if node := c.places.gates[g]; node != nil {
		for _, line := range node.children {
			if line.name == "token_from" && len(line.args) > 0 && line.args[0] == t.From && (t.Name == "" || line.args[1] == t.Name) {
				at = c.places.node(line)
			}
		}
	}
	if t.From == "query" {
		c.add("token_query", at, nil, "for WebSockets in browsers use `token_from websocket`, for links a one-time code", "%s: tokens may come in the query parameter %s", name, t.Name)
	}
	field, filter := t.logFilter()
	if field == "" {
		return
	}
	unfiltered := c.unfiltered(field)
	if len(unfiltered) == 0 {
		return
	}
	c.add("token_in_logs", at, nil, "write into the global options `log default { format filter { "+onOneLine(filter)+" } }`, and the same format into each site's `log` that has an output of its own",
		"%s: %s holds the token, and the log %s has no filter for it", name, field, strings.Join(unfiltered, ", "))
}

func onOneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// unfiltered lists the logs that show a field of requests: the default one, and
// those of sites.
func (c *checker) unfiltered(field string) []string {
	logs := object(object(c.raw["logging"])["logs"])
	var open []string
	judge := func(name string, log map[string]any) {
		encoder := object(log["encoder"])
		if encoder["format"] == "filter" {
			for key := range object(encoder["fields"]) {
				if field == key || strings.HasPrefix(field, key+">") {
					return
				}
			}
		}
		if object(log["writer"])["output"] != "discard" {
			open = append(open, name)
		}
	}
	judge("default", object(logs["default"]))
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		log := object(logs[name])
		include, _ := log["include"].([]any)
		if name != "default" && slices.ContainsFunc(include, func(v any) bool { s, _ := v.(string); return strings.HasPrefix(s, "http.log") || s == "http" }) {
			judge(name, log)
		}
	}
	return open
}

// backendHeaders is what many servers take of headers in all.
const backendHeaders = 8 << 10

// sizes compares the gate's limits with those of the server and of backends.
func (c *checker) sizes(g *Handler, name string) {
	if g.MaxToken != "" && !g.Public {
		most, _ := sizeOr("max_token", g.MaxToken, 0, maxTokenLimits)
		// The rest of a request takes some of it as well.
		const rest = 1 << 10
		for _, m := range c.routes {
			if slices.Contains(m.Gates, g) && int(most) > m.server.MaxHeaderBytes-rest {
				c.add("token_over_headers", c.places.gate(g, "max_token"), nil, fmt.Sprintf("write `servers {` with `max_header_size %dKiB` into the global options, or a smaller max_token", (int(most)+4*rest)>>10),
					"%s: max_token is %s, and the server %s takes %d bytes of headers in all", name, g.MaxToken, m.Server, m.server.MaxHeaderBytes)
			}
		}
	}
	if g.MaxHeader != "" && len(g.Forward) > 0 {
		if most, _ := sizeOr("max_header", g.MaxHeader, 0, maxHeaderLimits); most > backendHeaders {
			c.add("max_header_large", c.places.gate(g, "max_header"), nil, "forward single claims instead of lists or `*`, or see that the backend takes as much",
				"%s: one forwarded value may have %s", name, g.MaxHeader)
		}
	}
}

// logFilter returns the field of Caddy's logs that shows the token, and the lines
// of a filter that hide it. Empty where Caddy hides it by itself.
func (t *TokenSource) logFilter() (field, filter string) {
	switch t.From {
	case "query":
		return "request>uri", "request>uri query {\n\t\t\t\treplace " + t.Name + " REDACTED\n\t\t\t}"
	case "header":
		field = "request>headers>" + http.CanonicalHeaderKey(t.Name)
		return field, field + " delete"
	case "websocket":
		field = "request>headers>Sec-Websocket-Protocol"
		return field, field + " delete"
	}
	return "", ""
}
