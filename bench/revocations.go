package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// withRevocations are the variants that have a list: the token that is sent
// revoked, many live entries, and a Redis that is alive or dead. Those with
// Redis need redis-server.
func (b *bench) withRevocations(entries int) ([]*variant, error) {
	revoked := filepath.Join(b.dir, "revoked.db")
	if err := fill(b.ctx, revoked, 1, jti); err != nil {
		return nil, err
	}
	refused := b.listed("revoked", "gate, a revoked token", "journal "+revoked)
	refused.refuses = true
	all := []*variant{refused}
	if entries > 0 && b.wants("many-revoked") {
		journal := filepath.Join(b.dir, "many.db")
		if err := fill(b.ctx, journal, entries, other); err != nil {
			return nil, err
		}
		all = append(all, b.listed("many-revoked", fmt.Sprintf("gate, warm, %s other tokens revoked", thousands(entries)), "journal "+journal))
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return all, nil //nolint:nilerr // without it there is nothing to measure
	}
	for _, kind := range []struct{ name, about string }{
		{"redis-alive", "gate, warm, joined by Redis"},
		{"redis-dead", "gate, warm, Redis gone"},
	} {
		if !b.wants(kind.name) {
			continue
		}
		address := freeAddress()
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		server, err := b.spawn("server-of-"+kind.name, nil, "taskset", "-c", others(), "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", b.dir)
		if err != nil {
			return nil, err
		}
		v := b.listed(kind.name, kind.about, fmt.Sprintf("journal %s\n\t\t\tstale_after 2h\n\t\t\tredis redis://%s", filepath.Join(b.dir, kind.name+".db"), address))
		if kind.name == "redis-dead" {
			v.started = func() { kill(server) }
		}
		all = append(all, v)
	}
	return all, nil
}

// listed is the warm variant with a revocation block.
func (b *bench) listed(name, about, block string) *variant {
	return &variant{name: name, about: about, config: gated("\t\trevocation {\n\t\t\t" + block + "\n\t\t}\n"), wrk: send("RS256", false, false)}
}

// other is the id of a token that nobody sends.
func other(i int) string { return fmt.Sprintf("revoked-%d", i) }

// fill makes a journal of so many live entries.
func fill(ctx context.Context, path string, entries int, id func(int) string) error {
	store, err := revocation.Open(revocation.Options{Path: path})
	if err != nil {
		return err
	}
	now := time.Now()
	const batch = 100_000
	list := make([]revocation.Entry, 0, min(batch, entries))
	for i := range entries {
		list = append(list, revocation.Entry{
			Kind: revocation.Token, Issuer: issuerName, Value: id(i),
			Until: now.Add(2 * time.Hour), RevokedAt: now, Via: "import",
		})
		if len(list) == batch || i == entries-1 {
			if _, err := store.Apply(ctx, list); err != nil {
				_ = store.Close()
				return err
			}
			list = list[:0]
		}
	}
	return store.Close()
}
