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

// withRevocations are the variants that have a list: many live entries, and a
// Redis that is alive or dead. Those with Redis need redis-server.
func (b *bench) withRevocations(entries int) ([]*variant, error) {
	var all []*variant
	if entries > 0 {
		journal := filepath.Join(b.dir, "many.db")
		if err := fill(journal, entries); err != nil {
			return nil, err
		}
		all = append(all, b.listed("many-revoked", "journal "+journal))
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return all, nil //nolint:nilerr // without it there is nothing to measure
	}
	for _, name := range []string{"redis-alive", "redis-dead"} {
		address := freeAddress()
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		server, err := b.spawn(nil, "taskset", "-c", others(), "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", b.dir)
		if err != nil {
			return nil, err
		}
		v := b.listed(name, fmt.Sprintf("journal %s\n\t\t\tredis redis://%s", filepath.Join(b.dir, name+".db"), address))
		if name == "redis-dead" {
			v.started = func() { _ = server.Process.Kill() }
		}
		all = append(all, v)
	}
	return all, nil
}

// listed is the warm variant with a revocation block.
func (b *bench) listed(name, block string) *variant {
	extra := "\t\trevocation {\n\t\t\t" + block + "\n\t\t}\n"
	return &variant{name: name, config: fmt.Sprintf(site, app(extra), gateBlock, ""), wrk: send("RS256", false, false)}
}

// fill makes a journal of so many live entries.
func fill(path string, entries int) error {
	store, err := revocation.Open(revocation.Options{Path: path})
	if err != nil {
		return err
	}
	now := time.Now()
	const batch = 100_000
	list := make([]revocation.Entry, 0, batch)
	for i := range entries {
		list = append(list, revocation.Entry{
			Kind: revocation.Token, Issuer: "https://id.example.com", Value: fmt.Sprintf("revoked-%d", i),
			Until: now.Add(2 * time.Hour), RevokedAt: now, Via: "import",
		})
		if len(list) == batch || i == entries-1 {
			if _, err := store.Apply(context.Background(), list); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	return store.Close()
}
