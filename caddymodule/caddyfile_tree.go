package caddymodule

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// caddyTree is a Caddyfile as it was written, imports and snippets put in: for
// naming the line that something comes from.
type caddyTree struct {
	// global holds the global options, sites everything else.
	global *caddyNode
	sites  []*caddyNode
}

// caddyNode is one directive, option or site.
type caddyNode struct {
	name     string // of a site: empty
	args     []string
	file     string
	line     int
	tokens   []caddyfile.Token // without matcher and file-wide context
	parent   *caddyNode
	children []*caddyNode
	block    bool // it has one, be it empty
}

// readCaddyTree parses source. It returns nil when that fails, which the adapter
// will have said better.
func readCaddyTree(file string, source []byte) *caddyTree {
	blocks, err := caddyfile.Parse(file, source)
	if err != nil {
		return nil
	}
	tree := &caddyTree{global: &caddyNode{}}
	for i, b := range blocks {
		site := &caddyNode{args: b.GetKeysText()}
		if len(b.Keys) > 0 {
			site.file, site.line = b.Keys[0].File, b.Keys[0].Line
		}
		for _, segment := range b.Segments {
			if node := readCaddyNode(caddyfile.NewDispenser(segment), site); node != nil {
				site.children = append(site.children, node)
			}
		}
		if i == 0 && len(b.Keys) == 0 {
			tree.global = site
			continue
		}
		tree.sites = append(tree.sites, site)
	}
	return tree
}

// readCaddyNode reads a directive with its block.
func readCaddyNode(d *caddyfile.Dispenser, parent *caddyNode) *caddyNode {
	if !d.Next() {
		return nil
	}
	return readCaddyLine(d, parent)
}

// readCaddyLine reads from the word that d is at.
func readCaddyLine(d *caddyfile.Dispenser, parent *caddyNode) *caddyNode {
	first := d.Token()
	n := &caddyNode{name: first.Text, file: first.File, line: first.Line, parent: parent, tokens: []caddyfile.Token{first}}
	for d.NextArg() {
		n.args = append(n.args, d.Val())
		n.tokens = append(n.tokens, d.Token())
	}
	if d.Next() {
		n.block = d.Val() == "{" && d.Line() == n.tokens[len(n.tokens)-1].Line
		d.Prev()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		n.children = append(n.children, readCaddyLine(d, n))
	}
	return n
}

// each visits n and everything below it.
func (n *caddyNode) each(visit func(*caddyNode)) {
	if n == nil {
		return
	}
	visit(n)
	for _, c := range n.children {
		c.each(visit)
	}
}

// child returns the first child of one of those names, below a path of names.
// nil when there is none.
func (n *caddyNode) child(path ...string) *caddyNode {
	for _, name := range path {
		if n == nil {
			return nil
		}
		i := slices.IndexFunc(n.children, func(c *caddyNode) bool { return c.name == name })
		if i < 0 {
			return nil
		}
		n = n.children[i]
	}
	return n
}

// at reports whether requests of m may come to the site.
func (n *caddyNode) at(m *mappedRoute) bool {
	for _, key := range n.args {
		address, err := httpcaddyfile.ParseAddress(key)
		switch {
		case err != nil:
		case address.Host == "" && len(m.Hosts) == 0:
			if address.Port == "" || slices.ContainsFunc(m.Listen, func(l string) bool { return strings.HasSuffix(l, ":"+address.Port) }) {
				return true
			}
		case slices.ContainsFunc(m.Hosts, func(h string) bool { return strings.EqualFold(h, address.Host) }):
			return true
		}
	}
	return false
}

// takesMatcher reports whether the word is written like a matcher.
func takesMatcher(word string) bool {
	return word == "*" || strings.HasPrefix(word, "/") || strings.HasPrefix(word, "@")
}

// ownPaths returns the path patterns of the matcher of n, nil if it has none
// that names paths.
func (n *caddyNode) ownPaths() []string {
	if len(n.args) == 0 || !takesMatcher(n.args[0]) || n.args[0] == "*" {
		return nil
	}
	if strings.HasPrefix(n.args[0], "/") {
		return []string{strings.ToLower(n.args[0])}
	}
	for up := n.parent; up != nil; up = up.parent {
		definition := up.child(n.args[0])
		if definition == nil {
			continue
		}
		if len(definition.args) > 1 && definition.args[0] == "path" {
			return definition.args[1:]
		}
		if paths := definition.child("path"); paths != nil {
			return paths.args
		}
		return nil
	}
	return nil
}

// fits says how well n may be what a request of m meets: -1 not at all, else the
// number of path matchers on the way to n that cover m.
func (n *caddyNode) fits(m *mappedRoute) int {
	score, prefix := 0, ""
	var chain []*caddyNode
	for up := n; up != nil; up = up.parent {
		chain = append(chain, up)
	}
	for _, up := range slices.Backward(chain) {
		own := up.ownPaths()
		if own == nil {
			continue
		}
		if !allCovered(under(prefix, own), m.Paths, pathCovers) {
			return -1
		}
		score++
		if up.name == "handle_path" {
			prefix += strings.TrimSuffix(own[0], "/*")
		}
	}
	return score
}

// find returns the node that fits m best among those that want picks, within
// the sites of m. nil when there is none.
func (t *caddyTree) find(m *mappedRoute, want func(*caddyNode) bool) *caddyNode {
	if t == nil {
		return nil
	}
	var best *caddyNode
	most := -2
	for _, site := range t.sites {
		if m != nil && !site.at(m) && !strings.HasPrefix(strings.Join(site.args, ""), "&(") {
			continue
		}
		site.each(func(n *caddyNode) {
			score := 0
			if n.name == "" || !want(n) {
				return
			}
			if m != nil {
				score = n.fits(m)
			}
			if score > most {
				best, most = n, score
			}
		})
	}
	return best
}

// mentionsHeader reports whether the directive or what is below it names a
// header, with the operators of Caddy.
func (n *caddyNode) mentionsHeader(name string) bool {
	same := func(word string) bool {
		return http.CanonicalHeaderKey(strings.TrimLeft(word, "+-?>")) == http.CanonicalHeaderKey(name)
	}
	found := false
	n.each(func(c *caddyNode) { found = found || same(c.name) || slices.ContainsFunc(c.args, same) })
	return found
}
