package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// feedView is a view with a feed of its own, and what ends it.
func feedView(t testing.TB, u *url.URL, onStale string) *listView {
	t.Helper()
	settings := &revocationSettings{
		journal: t.TempDir() + "/list.db", onDamage: "refuse", onStale: onStale, staleAfter: time.Second,
		redis: &redisSettings{urls: []*url.URL{u}, timeout: 500 * time.Millisecond},
	}
	v := newListView(context.Background(), newListRegistry(), settings, quietLender())
	if err := v.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.end(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// TestNoRequestPassesBeforeTheFeedIsRead: also with on_stale allow, as long as
// Redis may still answer.
func TestNoRequestPassesBeforeTheFeedIsRead(t *testing.T) {
	for _, onStale := range []string{"deny", "allow"} {
		v := feedView(t, &url.URL{Scheme: "redis", Host: "127.0.0.1:1"}, onStale)
		var refused *token.Refusal
		if _, err := v.Revoked(&revocation.IDs{}); !errors.As(err, &refused) || refused.Reason != token.RevocationLoading {
			t.Errorf("%s: error %v", onStale, err)
		}
	}
}

func TestSameRedisIsSeenAsSuch(t *testing.T) {
	u := &url.URL{Scheme: "rediss", Host: "a"}
	base := func() *redisSettings {
		return &redisSettings{urls: []*url.URL{u}, prefix: "p", password: "s", tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}}}}}
	}
	if !base().same(base()) {
		t.Error("the same settings are taken for others")
	}
	for name, change := range map[string]func(*redisSettings){
		"URL":         func(s *redisSettings) { s.urls = []*url.URL{{Scheme: "rediss", Host: "b"}} },
		"prefix":      func(s *redisSettings) { s.prefix = "q" },
		"password":    func(s *redisSettings) { s.password = "t" },
		"no TLS":      func(s *redisSettings) { s.tls = nil },
		"certificate": func(s *redisSettings) { s.tls.Certificates[0].Certificate = [][]byte{{2}} },
		"replicas":    func(s *redisSettings) { s.waitReplicas = 1 },
	} {
		other := base()
		change(other)
		if base().same(other) {
			t.Errorf("another %s is not noticed", name)
		}
	}
}

// BenchmarkRevokedWithFeed: what a request pays for the feed, with Redis in
// good health and dead.
func BenchmarkRevokedWithFeed(b *testing.B) {
	server := redistest.Start(b, redistest.Options{})
	v := feedView(b, server.URL(), "allow")
	if err := v.lists.feeds.current.Load().CaughtUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	ids := revocation.IDs{Token: revocation.DigestOf(revocation.Token, "i", "t")}
	ask := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Revoked(&ids); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("healthy", ask)
	server.Kill()
	b.Run("dead", ask)
}
