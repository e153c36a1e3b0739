package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// place is where something in a configuration stands.
type place struct {
	File string `json:"file"`
	// Line counts from 1; 0 where it is not known.
	Line int `json:"line,omitempty"`
	// Pointer is a JSON pointer (RFC 6901), of configurations that are no
	// Caddyfile.
	Pointer string `json:"pointer,omitempty"`
}

// String is the place as editors and people read it.
func (p place) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	if p.Pointer != "" {
		s += " (" + p.Pointer + ")"
	}
	return s
}

// places finds where things stand: in a Caddyfile by what was written there, in
// other configurations by JSON pointers.
type places struct {
	o     *offline
	tree  *caddyTree                             // nil without a Caddyfile
	at    map[caddyhttp.MiddlewareHandler]string // handler -> JSON pointer
	gates map[*Handler]*caddyNode
}

func newPlaces(o *offline, routes []*mappedRoute) *places {
	p := &places{o: o, at: make(map[caddyhttp.MiddlewareHandler]string), gates: make(map[*Handler]*caddyNode)}
	eachHandler(o.http, func(h caddyhttp.MiddlewareHandler, pointer string) {
		if _, known := p.at[h]; !known {
			p.at[h] = pointer
		}
	})
	if !o.caddyfile {
		return p
	}
	p.tree = readCaddyTree(o.file, o.source)
	way := make(map[*Handler]*mappedRoute)
	for _, m := range routes {
		for _, g := range m.Gates {
			if way[g] == nil {
				way[g] = m
			}
		}
	}
	for h := range p.at {
		if g, ok := h.(*Handler); ok {
			want, _ := json.Marshal(g)
			is := func(n *caddyNode) bool { return n.name == "jwtgate" && bytes.Equal(n.asGate(), want) }
			if p.gates[g] = p.tree.find(way[g], is); p.gates[g] == nil {
				p.gates[g] = p.tree.find(nil, is)
			}
		}
	}
	return p
}

// asGate returns the gate that n describes as JSON, nil if it is none.
func (n *caddyNode) asGate() []byte {
	tokens := n.allTokens()
	if len(n.args) > 0 && takesMatcher(n.args[0]) {
		tokens = slices.Delete(tokens, 1, 2)
	}
	h := new(Handler)
	if h.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)) != nil {
		return nil
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil
	}
	return text
}

// allTokens writes n as the tokens that it was read from.
func (n *caddyNode) allTokens() []caddyfile.Token {
	tokens := slices.Clone(n.tokens)
	if !n.block {
		return tokens
	}
	mark := func(text string, lines int) {
		// The name of the directive stands for where it was imported from.
		brace := n.tokens[0]
		brace.Line, brace.Text = tokens[len(tokens)-1].Line+lines, text
		tokens = append(tokens, brace)
	}
	mark("{", 0)
	for _, c := range n.children {
		tokens = append(tokens, c.allTokens()...)
	}
	// A value of several lines ends below the line that it begins on.
	mark("}", 1+strings.Count(tokens[len(tokens)-1].Text, "\n"))
	return tokens
}

// node is the place of a directive, or of the whole file when it is not known.
func (p *places) node(n *caddyNode) place {
	if n == nil || n.line == 0 {
		return place{File: p.o.file}
	}
	return place{File: n.file, Line: n.line}
}

// pointer is the place of a JSON pointer.
func (p *places) pointer(pointer string) place {
	at := place{File: p.o.file, Pointer: pointer}
	if bytes.Equal(p.o.source, p.o.config) {
		at.Line = jsonLine(p.o.source, pointer)
	}
	return at
}

// gate is the place of a gate, or of the first of the options that it has. An
// option is its word in the Caddyfile and, behind a blank, its JSON field if
// that is another.
func (p *places) gate(g *Handler, options ...string) place {
	if p.tree == nil {
		pointer := p.at[g]
		for _, option := range options {
			field := option[strings.LastIndexByte(option, ' ')+1:]
			if p.has(pointer + "/" + field) {
				return p.pointer(pointer + "/" + field)
			}
		}
		return p.pointer(pointer)
	}
	for _, option := range options {
		word, _, _ := strings.Cut(option, " ")
		if n := p.gates[g].child(word); n != nil {
			return p.node(n)
		}
	}
	return p.node(p.gates[g])
}

// app is the place of an option of the app, by the path of words to it.
func (p *places) app(words ...string) place {
	return p.option(append([]string{"jwtgate"}, words...), words)
}

// option is the place of a global option, by its words in the Caddyfile, or
// below /apps/jwtgate by JSON fields.
func (p *places) option(words, fields []string) place {
	if p.tree == nil {
		return p.pointer("/apps/jwtgate/" + strings.Join(fields, "/"))
	}
	for n := len(words); n > 0; n-- {
		if found := p.tree.global.child(words[:n]...); found != nil {
			return p.node(found)
		}
	}
	return place{File: p.o.file}
}

// handler is the place of a handler on m: of a directive of one of those names
// that want picks.
func (p *places) handler(m *mappedRoute, h caddyhttp.MiddlewareHandler, want func(*caddyNode) bool, names ...string) place {
	if p.tree == nil {
		return p.pointer(p.at[h])
	}
	return p.node(p.tree.find(m, func(n *caddyNode) bool { return slices.Contains(names, n.name) && (want == nil || want(n)) }))
}

// issuer is the place of an issuer, or of the first of its options there are.
func (p *places) issuer(name string, options ...string) place {
	if p.tree != nil {
		var found *caddyNode
		visit := func(n *caddyNode) {
			if found == nil && n.name == "issuer" && len(n.args) == 1 && n.parent.name == "jwtgate" {
				if expanded, err := expandName("issuer", n.args[0]); err == nil && expanded == name {
					found = n
				}
			}
		}
		p.tree.global.each(visit)
		for _, site := range p.tree.sites {
			site.each(visit)
		}
		for _, option := range options {
			if n := found.child(option); n != nil {
				return p.node(n)
			}
		}
		return p.node(found)
	}
	var pointers []string
	for h, at := range p.at {
		if g, ok := h.(*Handler); ok {
			for i := range g.Issuers {
				pointers = append(pointers, fmt.Sprintf("%s/issuers/%d", at, i))
			}
			for i := range g.UseIssuers {
				pointers = append(pointers, fmt.Sprintf("%s/use_issuers/%d", at, i))
			}
		}
	}
	slices.Sort(pointers)
	for i := range p.o.app.Issuers {
		pointers = slices.Insert(pointers, i, fmt.Sprintf("/apps/jwtgate/issuers/%d", i))
	}
	for _, at := range pointers {
		text, ok := p.value(at).(string)
		if !ok {
			text, _ = p.value(at + "/issuer").(string)
		}
		if expanded, err := expandName("issuer", text); err == nil && expanded == name {
			for _, option := range options {
				if p.has(at + "/" + option) {
					return p.pointer(at + "/" + option)
				}
			}
			return p.pointer(at)
		}
	}
	return place{File: p.o.file}
}

func (p *places) has(pointer string) bool { return p.value(pointer) != nil }

// value returns what is at a pointer in Caddy's JSON, nil for nothing.
func (p *places) value(pointer string) any {
	var v any
	if json.Unmarshal(p.o.config, &v) != nil {
		return nil
	}
	var path []string
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		path = append(path, unescapePointer.Replace(part))
	}
	return valueAt(v, path)
}

// eachHandler visits every handler of app with the JSON pointer to it, those
// that no request can reach included.
func eachHandler(app *caddyhttp.App, visit func(caddyhttp.MiddlewareHandler, string)) {
	if app == nil {
		return
	}
	var routes func(list caddyhttp.RouteList, at string)
	handlers := func(list []caddyhttp.MiddlewareHandler, at string) {
		for i, h := range list {
			at := at + "/handle/" + strconv.Itoa(i)
			if reflect.TypeOf(h).Comparable() {
				visit(h, at)
			}
			switch h := h.(type) {
			case *caddyhttp.Subroute:
				routes(h.Routes, at+"/routes")
				if h.Errors != nil {
					routes(h.Errors.Routes, at+"/errors/routes")
				}
			case *reverseproxy.Handler:
				for i, response := range h.HandleResponse {
					routes(response.Routes, at+"/handle_response/"+strconv.Itoa(i)+"/routes")
				}
			}
		}
	}
	routes = func(list caddyhttp.RouteList, at string) {
		for i, route := range list {
			handlers(route.Handlers, at+"/"+strconv.Itoa(i))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		server := app.Servers[name]
		at := "/apps/http/servers/" + escapePointer.Replace(name)
		routes(server.Routes, at+"/routes")
		if server.Errors != nil {
			routes(server.Errors.Routes, at+"/errors/routes")
		}
		for _, name := range slices.Sorted(maps.Keys(server.NamedRoutes)) {
			if route := server.NamedRoutes[name]; route != nil {
				handlers(route.Handlers, at+"/named_routes/"+escapePointer.Replace(name))
			}
		}
	}
}
