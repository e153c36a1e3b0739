package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
)

// checkRevocation looks at the revocation list and at the feed.
func (c *checker) checkRevocation() {
	s, r := c.app.state.revocation, c.app.Revocation
	if len(c.gates) == 0 {
		return
	}
	if s.journal == "" {
		c.add("journal_off", c.places.app("revocation", "journal"), nil, "leave `journal off` out, or name a path on a local disk", "the revocation list is kept in memory alone")
	} else {
		c.journalDisk(s.journal)
	}
	if s.onDamage == "rename" {
		c.add("on_damage_rename", c.places.app("revocation", "on_damage"), nil, "leave it out: the gateway then refuses to start, and says what to do", "on_damage is rename")
	}
	c.openRevokers()
	if s.redis == nil {
		return
	}
	if s.onStale == "allow" {
		c.add("on_stale_allow", c.places.app("revocation", "on_stale"), nil, "leave it out (deny), or make stale_after longer", "on_stale is allow")
	}
	for _, u := range s.redis.urls {
		if u.Scheme == "unix" || loopback(u.Hostname()) {
			continue
		}
		if u.Scheme == "redis" {
			c.add("redis_plain", c.places.app("revocation", "redis"), nil, "write `rediss://`, with `tls_ca` for an authority of your own", "the feed goes to %s without TLS", u.Host)
		}
		password, _ := u.User.Password()
		if password == "" && s.redis.password == "" && len(s.redis.tlsCertificates()) == 0 {
			c.add("redis_no_password", c.places.app("revocation", "redis"), nil, "write `username` and `password {env.NAME}` of a user that may touch the keys of the prefix alone", "the feed goes to %s without a password", u.Host)
		}
	}
	open := r.Redis.Password != "" && !mayHavePlaceholder(r.Redis.Password)
	for _, u := range r.Redis.URLs {
		if at := strings.LastIndexByte(u, '@'); at > 0 && strings.Contains(u[:at], ":") && strings.Count(u[:at], ":") > 1 && !mayHavePlaceholder(u[:at]) {
			open = true
		}
	}
	if open {
		c.add("secret_in_config", c.places.app("revocation", "redis"), nil, "write `password {env.NAME}` or `password {file./path}`", "the password of Redis is in the configuration")
	}
}

// tlsCertificates returns the client certificates for Redis.
func (s *redisSettings) tlsCertificates() []any {
	var out []any
	if s.tls != nil {
		for _, certificate := range s.tls.Certificates {
			out = append(out, certificate)
		}
	}
	return out
}

// openRevokers looks for secrets of jwtgate_revoke that are written down.
func (c *checker) openRevokers() {
	for h, pointer := range c.places.at {
		r, ok := h.(*Revoke)
		if !ok || r.Secret == "" || mayHavePlaceholder(r.Secret) {
			continue
		}
		at := c.places.pointer(pointer + "/secret")
		if c.places.tree != nil {
			at = c.places.node(c.places.tree.find(nil, func(n *caddyNode) bool {
				return n.name == "secret" && n.parent.name == "jwtgate_revoke" && len(n.args) == 1 && n.args[0] == r.Secret
			}))
		}
		c.add("secret_in_config", at, nil, "write `secret {env.NAME}` or `secret_file /path`", "the secret of jwtgate_revoke is in the configuration")
	}
}

// journalDisk looks at what kind of file system the journal would be on, if
// there is its directory or one above it on this machine.
func (c *checker) journalDisk(journal string) {
	at := c.places.app("revocation", "journal")
	dir := filepath.Dir(journal)
	for range 64 {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	const fix = "name a path on a local disk that outlives restarts, such as a mounted volume"
	switch kind, name := fileSystem(dir); kind {
	case diskMemory:
		c.add("journal_volatile", at, nil, fix, "the journal %s is in memory (%s)", journal, name)
	case diskNetwork:
		c.add("journal_network", at, nil, fix, "the journal %s is on a network file system (%s)", journal, name)
	case diskContainer:
		c.add("journal_container", at, nil, fix, "the journal %s is in the layer of a container (%s)", journal, name)
	}
}

// diskKind is what a file system is good for.
type diskKind int

const (
	diskUnknown diskKind = iota // most likely a local disk
	diskMemory
	diskNetwork
	diskContainer
)

// fileSystem tells the kind of file system that a directory is on. Tests
// replace it.
var fileSystem = statFileSystem
