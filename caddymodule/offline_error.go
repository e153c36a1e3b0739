package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// loadError is why a configuration does not load, and where.
type loadError struct {
	place
	err error
}

func (e *loadError) Error() string { return e.place.String() + ": " + e.err.Error() }
func (e *loadError) Unwrap() error { return e.err }

// atLine is how Caddy names file and line: at the end, or, in its parser's
// errors, in the beginning.
var (
	atEnd   = regexp.MustCompile(`(?s)^(.*), at (\S+):(\d+)(?: import chain.*)?$`)
	atStart = regexp.MustCompile(`(?s)^(\S+):(\d+)(?::\s*|\s+-\s+)(.*)$`)
)

// adapted takes file and line out of an error of the adapter.
func (o *offline) adapted(err error) error {
	text := err.Error()
	at := place{File: o.file}
	if m := atEnd.FindStringSubmatch(text); m != nil {
		at.File, text = m[2], m[1]
		at.Line, _ = strconv.Atoi(m[3])
	} else if m := atStart.FindStringSubmatch(text); m != nil {
		at.File, text = m[1], m[3]
		at.Line, _ = strconv.Atoi(m[2])
	}
	return &loadError{at, errors.New(text)}
}

// jsonError adds the line to an error about JSON.
func (o *offline) jsonError(err error) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	at := place{File: o.file}
	if offset >= 0 && offset <= int64(len(o.config)) && bytes.Equal(o.source, o.config) {
		at.Line = 1 + bytes.Count(o.config[:offset], []byte("\n"))
	}
	return &loadError{at, fmt.Errorf("no configuration in JSON: %w (is it for an adapter? See --adapter)", err)}
}

// The steps that Caddy writes into an error of a handler, and the issuer that
// ours write into theirs.
var (
	errorServer = regexp.MustCompile(`server (\S+): setting up (route handlers|error handling routes): `)
	errorSteps  = regexp.MustCompile(`(?:route (\d+): loading handler modules: position (\d+): loading module '([^']+)': )`)
	errorIssuer = regexp.MustCompile(`issuer (\S+): `)
	// errorWay is what precedes the words of a module of ours.
	errorWay = regexp.MustCompile(`(?s)^.*: provision (?:http\.handlers\.)?(jwtgate\w*): (.*)$`)
)

// located finds the line that an error of provisioning is about.
func (o *offline) located(err error) error {
	var known *loadError
	if errors.As(err, &known) {
		return err
	}
	text := err.Error()
	at := place{File: o.file}
	p := &places{o: o}
	if o.caddyfile {
		p.tree = readCaddyTree(o.file, o.source)
	}
	if pointer, module := errorPointer(text); pointer != "" {
		if p.tree == nil {
			at = p.pointer(pointer)
		} else if n := p.tree.find(nil, p.isHandler(pointer, module)); n != nil {
			at = p.node(n)
		}
	} else if m := errorIssuer.FindStringSubmatch(text); m != nil && p.tree != nil {
		at = p.issuer(m[1])
	}
	if m := errorWay.FindStringSubmatch(text); m != nil {
		text = m[1] + ": " + m[2]
	}
	return &loadError{at, errors.New(text)}
}

// errorPointer turns the steps of an error into a JSON pointer and the name of
// the last module.
func errorPointer(text string) (pointer, module string) {
	m := errorServer.FindStringSubmatch(text)
	if m == nil {
		return "", ""
	}
	pointer = "/apps/http/servers/" + escapePointer.Replace(m[1])
	if strings.HasPrefix(m[2], "error") {
		pointer += "/errors"
	}
	for _, step := range errorSteps.FindAllStringSubmatch(text, -1) {
		pointer += "/routes/" + step[1] + "/handle/" + step[2]
		module = step[3]
	}
	return pointer, module
}

// isHandler picks the directive that a handler in Caddy's JSON comes from: one
// with the same options for a gate, and else the first of its name.
func (p *places) isHandler(pointer, module string) func(*caddyNode) bool {
	if module != "jwtgate" {
		return func(n *caddyNode) bool { return n.name == module }
	}
	raw := object(p.value(pointer))
	delete(raw, "handler")
	text, _ := json.Marshal(raw)
	want := new(Handler)
	if json.Unmarshal(text, want) != nil {
		return func(n *caddyNode) bool { return n.name == module }
	}
	text, _ = json.Marshal(want)
	return func(n *caddyNode) bool { return n.name == module && bytes.Equal(n.asGate(), text) }
}
