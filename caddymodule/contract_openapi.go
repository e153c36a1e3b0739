package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jwtgate/jwtgate/internal/cli"
)

// anyMethod are the operations of a route that takes every method.
var anyMethod = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// openAPIMethods are those that a path item has a field for (OpenAPI 3.1,
// section 4.8.9).
var openAPIMethods = append([]string{http.MethodHead, http.MethodOptions, http.MethodTrace}, anyMethod...)

// openAPI is the contract as an OpenAPI 3.1 document. Its paths are those that
// the API sees.
func (c *contract) openAPI() (map[string]any, error) {
	paths := make(map[string]any)
	for _, r := range c.Routes {
		patterns := r.Paths
		if len(patterns) == 0 {
			patterns = []string{"/*"}
		}
		methods := r.Methods
		if len(methods) == 0 {
			methods = anyMethod
		}
		for _, pattern := range patterns {
			path, parameter := pathTemplate(pattern, r.StripPrefix)
			item, _ := paths[path].(map[string]any)
			if item == nil {
				item = make(map[string]any)
				paths[path] = item
			}
			for _, method := range methods {
				if !slices.Contains(openAPIMethods, method) {
					continue
				}
				if item[strings.ToLower(method)] != nil {
					// A way that an earlier one goes before, told apart by what
					// OpenAPI cannot say, such as a header.
					if slices.ContainsFunc(c.Routes, func(other *contractRoute) bool { return other != r && !slices.Equal(other.Hosts, r.Hosts) }) {
						return nil, cli.Usagef("several routes have the path %s, which an OpenAPI document can have once; choose with --route, such as --route %s", path, shellQuote(strings.Join(r.Hosts, ",")))
					}
					continue
				}
				item[strings.ToLower(method)] = r.operation(method, path, parameter)
			}
		}
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title":       "What the API receives behind jwtgate",
			"version":     "1",
			"description": "Headers that the gateway sets, and answers that it gives instead of the API. No client can send: " + strings.Join(c.Managed, ", "),
		},
		"paths":      paths,
		"components": c.components(),
	}, nil
}

// components are what operations refer to.
func (c *contract) components() map[string]any {
	codes := []any{}
	actions := []any{}
	for _, r := range c.Routes {
		for _, a := range r.Answers {
			if !slices.Contains(codes, any(string(a.Code))) {
				codes = append(codes, string(a.Code))
			}
			if !slices.Contains(actions, any(a.Action)) {
				actions = append(actions, a.Action)
			}
		}
	}
	text := map[string]any{"type": "string"}
	code, action := map[string]any{"type": "string"}, map[string]any{"type": "string"}
	if len(codes) > 0 {
		code["enum"], action["enum"] = codes, actions
	}
	return map[string]any{
		"securitySchemes": map[string]any{"token": map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
		"schemas": map[string]any{"Problem": map[string]any{
			"type": "object", "description": "RFC 9457",
			"required":   []any{"type", "title", "status", "code", "action"},
			"properties": map[string]any{"type": map[string]any{"type": "string", "format": "uri"}, "title": text, "status": map[string]any{"type": "integer"}, "code": code, "action": action},
		}},
	}
}

// pathTemplate turns a pattern of Caddy into a path of OpenAPI, and names its
// parameters.
func pathTemplate(pattern, strip string) (path string, parameters []string) {
	pattern, _, _ = strings.Cut(pattern, " & ")
	pattern = strings.TrimPrefix(pattern, strip)
	if !strings.HasPrefix(pattern, "/") {
		pattern = "/" + pattern
	}
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		path += strings.NewReplacer("{", "%7B", "}", "%7D").Replace(part)
		if i < len(parts)-1 {
			name := "rest"
			if i > 0 {
				name += strconv.Itoa(i + 1)
			}
			parameters = append(parameters, name)
			path += "{" + name + "}"
		}
	}
	return path, parameters
}

// operation is one method of a route.
func (r *contractRoute) operation(method, path string, parameters []string) map[string]any {
	all := []any{}
	for _, name := range parameters {
		all = append(all, map[string]any{"name": name, "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
	}
	for _, h := range r.Headers {
		all = append(all, h.parameter())
	}
	responses := map[string]any{"default": map[string]any{"description": "The answer of the API"}}
	for _, a := range r.Answers {
		key := strconv.Itoa(a.Status)
		response, _ := responses[key].(map[string]any)
		if response == nil {
			response = map[string]any{
				"description": "The gateway's: ",
				"content":     map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}},
			}
			responses[key] = response
		} else {
			response["description"] = fmt.Sprint(response["description"], ", ")
		}
		response["description"] = fmt.Sprint(response["description"], a.Code)
		if a.Retry {
			response["headers"] = map[string]any{"Retry-After": map[string]any{"description": "Seconds", "schema": map[string]any{"type": "integer"}}}
		}
	}
	var says []string
	for _, q := range r.Requirements {
		says = append(says, q.Text)
	}
	if len(says) == 0 {
		says = []string{strings.Trim(strings.ReplaceAll(accessWords[r.Access], "**", ""), ".")}
	}
	operation := map[string]any{
		"operationId": operationID(method, path),
		"summary":     r.Route,
		"description": strings.Join(says, "; ") + ".",
		"parameters":  all,
		"responses":   responses,
	}
	switch r.Access {
	case "token":
		operation["security"] = []any{map[string]any{"token": []any{}}}
	case "optional", "observe":
		operation["security"] = []any{map[string]any{"token": []any{}}, map[string]any{}}
	default:
		operation["security"] = []any{}
	}
	return operation
}

// parameter describes a header. What is in it is always text.
func (h *contractHeader) parameter() map[string]any {
	says := fmt.Sprintf("The claim %s, as %s", h.Claim, h.Form)
	if h.Separator != "" {
		says += " with '" + h.Separator + "'"
	}
	if len(h.Absent) > 0 {
		says += ". Missing when " + strings.Join(h.Absent, "; ")
	}
	p := map[string]any{
		"name": h.Name, "in": "header", "required": h.Always, "description": says + ".",
		"schema": map[string]any{"type": "string", "minLength": 1, "maxLength": h.MaxBytes},
	}
	if h.Example != "" {
		p["example"] = h.Example
	}
	return p
}

// operationID is unique, since method and path are.
func operationID(method, path string) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(method))
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			b.WriteByte(c)
		case c == '/':
			b.WriteByte('_')
		default:
			fmt.Fprintf(&b, "-%02x", c)
		}
	}
	return b.String()
}
