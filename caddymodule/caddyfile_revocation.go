package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// read reads the block of `revocation`:
//
//	revocation {
//	    journal            <path> | off
//	    on_damage          refuse|rename
//	    max_token_lifetime <duration>
//	    redis              <url...> [{ ... }]
//	    on_stale           deny|allow
//	    stale_after        <duration>
//	}
func (r *Revocation) read(d *caddyfile.Dispenser) error {
	b := newBlock(d, "revocation")
	return b.each(func(word string) error {
		switch word {
		case "journal":
			if err := b.value(word, &r.Journal); err != nil {
				return err
			}
			return b.wrap(word, r.check())
		case "on_damage":
			if err := b.oneOf(word, &r.OnDamage, "refuse", "rename"); err != nil {
				return err
			}
			return b.wrap(word, r.check())
		case "max_token_lifetime":
			return b.duration(word, &r.MaxTokenLifetime, maxLifetimeLimits)
		case "redis":
			if err := b.once(word); err != nil {
				return err
			}
			urls, err := b.values(word, 1, -1)
			if err != nil {
				return err
			}
			r.Redis = &Redis{URLs: urls}
			if err := r.Redis.read(b.Dispenser); err != nil {
				return err
			}
			return b.wrap(word, r.check())
		case "on_stale":
			return b.oneOf(word, &r.OnStale, "deny", "allow")
		case "stale_after":
			return b.duration(word, &r.StaleAfter, staleAfterLimits)
		default:
			return b.unknown(word, "journal", "on_damage", "max_token_lifetime", "redis", "on_stale", "stale_after")
		}
	})
}

// read reads the block of `redis`:
//
//	redis <url...> {
//	    username      <name>
//	    password      <password>
//	    prefix        <prefix>
//	    timeout       <duration>
//	    tls_ca        <path>
//	    tls_client    <certificate> <key>
//	    sentinel      <master>
//	    cluster
//	    wait_replicas <n> <duration>
//	}
func (r *Redis) read(d *caddyfile.Dispenser) error {
	b := newBlock(d, "redis")
	return b.each(func(word string) error {
		switch word {
		case "username":
			return b.value(word, &r.Username)
		case "password":
			return b.value(word, &r.Password)
		case "prefix":
			return b.value(word, &r.Prefix)
		case "timeout":
			return b.duration(word, &r.Timeout, timeoutLimits)
		case "tls_ca":
			return b.value(word, &r.TLSCA)
		case "tls_client":
			if err := b.once(word); err != nil {
				return err
			}
			files, err := b.values(word, 2, 2)
			if err != nil {
				return err
			}
			r.TLSClientCert, r.TLSClientKey = files[0], files[1]
			return nil
		case "sentinel":
			if err := b.excludes(word, "the servers are one or the other", "cluster"); err != nil {
				return err
			}
			return b.value(word, &r.Sentinel)
		case "cluster":
			if err := b.excludes(word, "the servers are one or the other", "sentinel"); err != nil {
				return err
			}
			return b.flag(word, &r.Cluster)
		case "wait_replicas":
			if err := b.once(word); err != nil {
				return err
			}
			values, err := b.values(word, 2, 2)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 || n > maxReplicas {
				return b.fail(word, "'%s' is no number of replicas from 1 to %d", values[0], maxReplicas)
			}
			r.WaitReplicas = n
			return b.wrap(word, parseDuration(values[1], &r.WaitTimeout, waitLimits))
		default:
			return b.unknown(word, "username", "password", "prefix", "timeout", "tls_ca", "tls_client",
				"sentinel", "cluster", "wait_replicas")
		}
	})
}
