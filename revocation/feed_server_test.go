package revocation

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// says waits until the feed reports an error with all of the words, in its
// status and once in its log.
func (g *gateway) says(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an error with %q", words), func() bool {
		for _, e := range g.feed.Status().Errors {
			all := true
			for _, w := range words {
				all = all && strings.Contains(e, w)
			}
			if all {
				return true
			}
		}
		return false
	})
	time.Sleep(300 * time.Millisecond) // a few tries more
	if n := strings.Count(g.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, g.log)
	}
	if strings.Contains(g.log.String(), "sesame") {
		t.Error("a password in the log")
	}
}

func TestRedisFeedErrorsNameWhatIsNeeded(t *testing.T) {
	open := func() *redistest.Server { return redistest.Start(t, redistest.Options{}) }
	locked := func() *redistest.Server {
		s := open()
		s.Do("ACL", "SETUSER", "default", "resetpass", ">opensesame")
		return s
	}
	server, withPassword := open(), locked()
	user := open()
	user.Do("ACL", "SETUSER", "reader", "on", ">sesame", "~jwtgate:*", "-@all", "+xread", "+xrange")
	user.Do("ACL", "SETUSER", "stranger", "on", ">sesame", "~other:*", "+@all")
	user.Do("SET", "wrong:revocations", "text")
	node := redistest.Start(t, redistest.Options{Args: []string{"cluster-enabled yes"}})
	encrypted := redistest.Start(t, redistest.Options{TLS: true})
	full := open()
	full.Do("CONFIG", "SET", "maxmemory", "1")
	down := open()
	down.Kill()
	paused := open()
	paused.Pause()
	replica := open()
	replica.Do("REPLICAOF", "127.0.0.1", server.Port)
	old := oldServer(t)

	for _, c := range []struct {
		name   string
		url    *url.URL
		change func(*FeedOptions)
		words  []string
	}{
		{"no password", withPassword.URL(), nil, []string{"authentication", "missing"}},
		{"wrong password", withPassword.URL(), func(o *FeedOptions) { o.Password = "sesame" }, []string{"authentication", "wrong"}},
		{"password where none is needed", server.URL(), func(o *FeedOptions) { o.Username, o.Password = "me", "sesame" }, []string{"authentication"}},
		{"few rights", user.URL(), func(o *FeedOptions) { o.Username, o.Password = "reader", "sesame" },
			[]string{"rights", "not allowed: xadd, xrevrange, xlen, xtrim", "~jwtgate:* -@all +xadd +xread"}},
		{"other keys", user.URL(), func(o *FeedOptions) { o.Username, o.Password = "stranger", "sesame" }, []string{"rights", "~jwtgate:*"}},
		{"a key of another kind", user.URL(), func(o *FeedOptions) { o.Prefix = "wrong:" }, []string{"wrong:revocations", "prefix"}},
		{"a node of a cluster", node.URL(), nil, []string{"cluster"}},
		{"no node of a cluster", server.URL(), func(o *FeedOptions) { o.Cluster = true }, []string{"cluster"}},
		{"no TLS", &url.URL{Scheme: "redis", Host: encrypted.Addr()}, nil, []string{"closed"}},
		{"TLS where there is none", &url.URL{Scheme: "rediss", Host: server.Addr()}, nil, []string{"TLS"}},
		{"unknown CA", encrypted.URL(), nil, []string{"TLS", "unknown authority"}},
		{"no certificate of ours", encrypted.URL(), func(o *FeedOptions) { o.TLS = trusting(t, encrypted.Certs, false) }, []string{"TLS", "certificate required"}},
		{"no name", &url.URL{Scheme: "redis", Host: "redis.invalid:6379"}, nil, []string{"DNS"}},
		{"nobody listens", down.URL(), nil, []string{"connection refused"}},
		{"no answer", paused.URL(), func(o *FeedOptions) { o.Timeout = 200 * time.Millisecond }, []string{"no answer within 200ms"}},
		{"a full server", full.URL(), nil, []string{"maxmemory"}},
		{"a replica", replica.URL(), nil, []string{"read-only replica"}},
		{"an old server", old, nil, []string{"version 5.0.7", "Redis 7 or Valkey"}},
		{"an unknown master", sentinelFor(t, server).URL(), func(o *FeedOptions) { o.Sentinel = "unknown" }, []string{"sentinel", "unknown"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := join(t, c.url, "", func(o *FeedOptions) {
				if c.change != nil {
					c.change(o)
				}
			})
			g.revoke(t, "s")
			g.says(t, c.words...)
		})
	}
}

// oldServer answers HELLO as a version without XTRIM MINID would, if that knew
// the command.
func oldServer(t *testing.T) *url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					if strings.EqualFold(lines.Text(), "hello") {
						fmt.Fprint(c, "*2\r\n$7\r\nversion\r\n$5\r\n5.0.7\r\n")
					} else if strings.HasPrefix(strings.ToLower(lines.Text()), "x") {
						fmt.Fprint(c, "-ERR unknown command\r\n")
					}
				}
			}()
		}
	}()
	return &url.URL{Scheme: "redis", Host: l.Addr().String()}
}

func trusting(t *testing.T, c *redistest.Certs, client bool) *tls.Config {
	t.Helper()
	bundle, err := os.ReadFile(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(bundle)
	if client {
		pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg
}

func sentinelFor(t *testing.T, master *redistest.Server) *redistest.Server {
	return redistest.Start(t, redistest.Options{Sentinel: true, Args: []string{
		fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1", master.Port),
		"sentinel down-after-milliseconds main 500", "sentinel failover-timeout main 2000",
	}})
}

// TestRedisFeedSettings: each way to reach a server carries a revocation.
func TestRedisFeedSettings(t *testing.T) {
	plain := redistest.Start(t, redistest.Options{})
	for name, setup := range map[string]func(t *testing.T) (*url.URL, func(*FeedOptions)){
		"unix socket": func(t *testing.T) (*url.URL, func(*FeedOptions)) {
			return redistest.Start(t, redistest.Options{Unix: true}).URL(), func(*FeedOptions) {}
		},
		"database": func(t *testing.T) (*url.URL, func(*FeedOptions)) {
			u := plain.URL()
			u.Path = "/3"
			return u, func(*FeedOptions) {}
		},
		"TLS with a CA and a certificate": func(t *testing.T) (*url.URL, func(*FeedOptions)) {
			s := redistest.Start(t, redistest.Options{TLS: true})
			return s.URL(), func(o *FeedOptions) { o.TLS = trusting(t, s.Certs, true) }
		},
		"password in the URL": func(t *testing.T) (*url.URL, func(*FeedOptions)) {
			s := redistest.Start(t, redistest.Options{})
			s.Do("ACL", "SETUSER", "default", "resetpass", ">sesame")
			u := s.URL()
			u.User = url.UserPassword("default", "sesame")
			return u, func(*FeedOptions) {}
		},
		"sentinel": func(t *testing.T) (*url.URL, func(*FeedOptions)) {
			s := sentinelFor(t, redistest.Start(t, redistest.Options{}))
			return s.URL(), func(o *FeedOptions) { o.Sentinel = "main" }
		},
		"cluster": func(t *testing.T) (*url.URL, func(*FeedOptions)) {
			s := clusterNode(t)
			return s.URL(), func(o *FeedOptions) { o.Cluster = true }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, change := setup(t)
			a, b := join(t, u, "", change), join(t, u, "", change)
			a.caughtUp(t)
			b.caughtUp(t)
			a.revoke(t, "s")
			eventually(t, "the session is revoked on b", func() bool { return b.knows("s") })
			eventually(t, "it is acknowledged", func() bool { return a.Stats().Outbox == 0 })
			if err := b.feed.trim(); err != nil {
				t.Error(err)
			}
			for _, g := range []*gateway{a, b} {
				if errs := g.feed.Status().Errors; len(errs) != 0 {
					t.Error(errs)
				}
			}
		})
	}
}

// clusterNode is a cluster of one node that has all slots.
func clusterNode(t *testing.T) *redistest.Server {
	s := redistest.Start(t, redistest.Options{Args: []string{"cluster-enabled yes"}})
	s.Do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	eventually(t, "the cluster is up", func() bool {
		info, _ := s.Do("CLUSTER", "INFO").(string)
		return strings.Contains(info, "cluster_state:ok")
	})
	return s
}

// TestRedisFeedLeastRights: the rule that errors and documentation name is
// enough, also for putting back and for trimming.
func TestRedisFeedLeastRights(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		t.Run(fmt.Sprintf("cluster %v", cluster), func(t *testing.T) {
			var server *redistest.Server
			if cluster {
				server = clusterNode(t)
			} else {
				server = redistest.Start(t, redistest.Options{})
			}
			as := func(o *FeedOptions) {
				o.Username, o.Password, o.Cluster, o.Keep, o.Window = "gate", "sesame", cluster, time.Millisecond, time.Millisecond
			}
			rules := (&Feed{options: FeedOptions{Cluster: cluster}, keys: feedKeys{prefix: DefaultFeedPrefix}}).rule()
			args := []any{"ACL", "SETUSER", "gate", "on", ">sesame"}
			for _, rule := range strings.Fields(rules) {
				args = append(args, rule)
			}
			server.Do(args...)
			a := join(t, server.URL(), "", as)
			a.caughtUp(t)
			for i := range 10 {
				a.revoke(t, fmt.Sprint("s", i))
			}
			eventually(t, "all are fed", func() bool { return a.Stats().Outbox == 0 })
			server.Do("FLUSHALL")
			eventually(t, "all are put back", func() bool { return a.feed.Status().Restored == 10 })
			eventually(t, "it has settled", func() bool {
				a.feed.mu.Lock()
				defer a.feed.mu.Unlock()
				return a.feed.seen == nil
			})
			if err := a.feed.trim(); err != nil {
				t.Error(err)
			}
			if errs := a.feed.Status().Errors; len(errs) != 0 {
				t.Error(errs)
			}
		})
	}
}

// TestRedisFeedPrefixesAreApart: several systems share one server.
func TestRedisFeedPrefixesAreApart(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	a := join(t, server.URL(), "")
	b := join(t, server.URL(), "", func(o *FeedOptions) { o.Prefix = "other:" })
	a.caughtUp(t)
	b.caughtUp(t)
	a.revoke(t, "s")
	b.revoke(t, "mine")
	eventually(t, "both are fed", func() bool { return a.Stats().Outbox+b.Stats().Outbox == 0 })
	if b.knows("s") || a.knows("mine") {
		t.Error("a revocation crossed from one prefix to another")
	}
}

// TestRedisFeedWaitsForReplicas: a change counts as fed when replicas have it.
func TestRedisFeedWaitsForReplicas(t *testing.T) {
	server := redistest.Start(t, redistest.Options{})
	a := join(t, server.URL(), tempJournal(t), func(o *FeedOptions) { o.WaitReplicas, o.WaitTimeout = 1, 50*time.Millisecond })
	a.caughtUp(t)
	a.revoke(t, "s")
	a.says(t, "0 of 1 replicas")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if a.feed.Fed(ctx) || a.Stats().Outbox != 1 {
		t.Error("fed without a replica")
	}
	replica := redistest.Start(t, redistest.Options{})
	replica.Do("REPLICAOF", "127.0.0.1", server.Port)
	eventually(t, "fed with a replica", func() bool { return a.feed.Status().Outbox == 0 && a.Stats().Outbox == 0 })
	if n := server.Int("XLEN", streamKey); n != 1 {
		t.Errorf("the stream has %d entries", n)
	}
}

// TestRedisFeedFailoverToALaggingReplica: what the new master lacks is put back.
func TestRedisFeedFailoverToALaggingReplica(t *testing.T) {
	master, replica := redistest.Start(t, redistest.Options{}), redistest.Start(t, redistest.Options{})
	replica.Do("REPLICAOF", "127.0.0.1", master.Port)
	sentinel := sentinelFor(t, master)
	change := func(o *FeedOptions) { o.Sentinel = "main" }
	a, b := join(t, sentinel.URL(), tempJournal(t), change), join(t, sentinel.URL(), tempJournal(t), change)
	a.caughtUp(t)
	b.caughtUp(t)
	a.revoke(t, "early")
	eventually(t, "the replica has it", func() bool { return replica.Int("XLEN", streamKey) == 1 })
	eventually(t, "the sentinel knows the replica", func() bool {
		list, _ := sentinel.Do("SENTINEL", "REPLICAS", "main").([]any)
		return len(list) == 1
	})
	replica.Pause()
	a.revoke(t, "late")
	eventually(t, "b knows it", func() bool { return b.knows("late") })
	eventually(t, "a has acknowledged", func() bool { return a.Stats().Outbox == 0 })
	master.Kill()
	replica.Resume()
	eventually(t, "the replica is the master and has all", func() bool {
		// Becoming the master, it drops its connections.
		if n, err := replica.Ask("XLEN", streamKey); err != nil || n.(int64) < 2 {
			return false
		}
		fresh := b.feed.Status()
		return fresh.State == FeedFresh && len(fresh.Errors) == 0
	})
	c := join(t, sentinel.URL(), tempJournal(t), change)
	c.caughtUp(t)
	if !c.knows("early") || !c.knows("late") {
		t.Error("an entry was lost with the old master")
	}
}
