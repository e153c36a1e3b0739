package revocation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// target is where and how to connect.
type target struct {
	name    string // for logs
	options redis.UniversalOptions
	network string
}

// silence turns the client library's own log off, which is one for the process:
// it repeats each failure to connect, and the feed reports them itself, once.
var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// parseTarget reads the URLs. Its errors quote nothing of them.
func parseTarget(o *FeedOptions) (*target, error) {
	t := &target{network: "tcp"}
	t.options = redis.UniversalOptions{
		Username: o.Username, Password: o.Password, MasterName: o.Sentinel, IsClusterMode: o.Cluster,
		Protocol: 2, DialTimeout: o.Timeout, WriteTimeout: o.Timeout,
		// The loops of the feed retry, and know what may be repeated.
		MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ReadBufferSize:           64 << 10, WriteBufferSize: 64 << 10,
	}
	var names []string
	for i, u := range o.URLs {
		addr, err := t.add(o, u)
		if err != nil {
			return nil, fmt.Errorf("URL %d: %w", i+1, err)
		}
		names = append(names, addr)
	}
	t.name = strings.Join(names, " ")
	return t, nil
}

func (t *target) add(o *FeedOptions, u *url.URL) (addr string, err error) {
	database := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "unix":
		if o.Cluster || o.Sentinel != "" {
			return "", errors.New("a socket is neither a sentinel nor a node of a cluster")
		}
		t.network, addr, database = "unix", u.Path, u.Query().Get("db")
	case "redis", "rediss":
		if u.Hostname() == "" {
			return "", errors.New("it names no host")
		}
		port := u.Port()
		if port == "" {
			port = "6379"
			if o.Sentinel != "" {
				port = "26379"
			}
		}
		addr = joinHostPort(u.Hostname(), port)
	default:
		return "", errors.New("it begins neither with redis:// nor rediss:// nor unix://")
	}
	if u.Scheme == "rediss" && t.options.TLSConfig == nil {
		t.options.TLSConfig = o.TLS.Clone()
		if o.TLS == nil {
			t.options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	if database != "" {
		n, err := strconv.Atoi(database)
		if err != nil || n < 0 {
			return "", errors.New("the database is no number")
		}
		if n != 0 && o.Cluster {
			return "", errors.New("a cluster has database 0 only")
		}
		t.options.DB = n
	}
	if u.User != nil {
		password, _ := u.User.Password()
		if o.Sentinel != "" {
			t.options.SentinelUsername, t.options.SentinelPassword = u.User.Username(), password
		} else {
			t.options.Username, t.options.Password = u.User.Username(), password
		}
	}
	t.options.Addrs = append(t.options.Addrs, addr)
	return addr, nil
}

func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// client returns a client that waits so long for an answer.
func (t *target) client(readTimeout time.Duration, connections int) redis.UniversalClient {
	silence()
	o := t.options
	o.ReadTimeout, o.PoolSize, o.PoolTimeout = readTimeout, connections, readTimeout
	switch {
	case o.IsClusterMode:
		return redis.NewClusterClient(o.Cluster())
	case o.MasterName != "":
		return redis.NewFailoverClient(o.Failover())
	}
	single := o.Simple()
	single.Network = t.network
	return redis.NewClient(single)
}

// oldestRedis is the first version with XTRIM MINID.
var oldestRedis = [2]int{6, 2}

// greet asks a server for its version.
func (f *Feed) greet(ctx context.Context) error {
	answer, err := f.reader.Do(ctx, "HELLO").Result()
	if err != nil {
		return err
	}
	version := helloVersion(answer)
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if errA == nil && errB == nil && (a < oldestRedis[0] || a == oldestRedis[0] && b < oldestRedis[1]) {
		return &versionError{version}
	}
	return nil
}

// helloVersion finds the version in the answer to HELLO, a map or a list of
// names and values.
func helloVersion(answer any) string {
	switch m := answer.(type) {
	case map[any]any:
		version, _ := m["version"].(string)
		return version
	case []any:
		for i := 0; i+1 < len(m); i += 2 {
			if m[i] == "version" {
				version, _ := m[i+1].(string)
				return version
			}
		}
	}
	return ""
}

type versionError struct{ version string }

func (e *versionError) Error() string {
	return fmt.Sprintf("it is version %s; needed is Redis 7 or Valkey (Redis from %d.%d works)", truncate(e.version, 32), oldestRedis[0], oldestRedis[1])
}

// rights are the commands that the feed uses. HELLO and AUTH are everyone's.
func (f *Feed) rights() []string {
	list := []string{"xadd", "xread", "xrange", "xrevrange", "xlen", "xtrim", "set", "get", "del", "time", "multi", "exec"}
	if f.options.WaitReplicas > 0 {
		list = append(list, "wait")
	}
	if f.options.Cluster {
		list = append(list, "cluster|slots", "cluster|shards", "command")
	}
	return list
}

// rule is the ACL rule that a user of the feed needs.
func (f *Feed) rule() string {
	return "resetkeys ~" + f.keys.prefix + "* -@all +" + strings.Join(f.rights(), " +")
}

// probe tries each command that the loops may need only much later, in a form
// that changes nothing, and reports all that the user may not.
func (f *Feed) probe(ctx context.Context) error {
	tries := []struct {
		name string
		args []any
	}{
		// No entry can have an id so small where there is another, and without
		// one NOMKSTREAM makes none.
		{"xadd", []any{"XADD", f.keys.stream, "NOMKSTREAM", "0-1", fieldNew, ""}},
		{"xrange", []any{"XRANGE", f.keys.stream, "-", "+", "COUNT", 1}},
		{"xrevrange", []any{"XREVRANGE", f.keys.stream, "+", "-", "COUNT", 1}},
		{"xlen", []any{"XLEN", f.keys.stream}},
		{"xtrim", []any{"XTRIM", f.keys.stream, "MINID", "0-0"}},
		{"set", []any{"SET", f.keys.probe, "", "PX", 1}},
		{"get", []any{"GET", f.keys.probe}},
		{"del", []any{"DEL", f.keys.probe}},
		{"time", []any{"TIME"}},
	}
	if f.options.WaitReplicas > 0 {
		tries = append(tries, struct {
			name string
			args []any
		}{"wait", []any{"WAIT", 0, 1}})
	}
	var missing []string
	for _, try := range tries {
		switch err := f.writer.Do(ctx, try.args...).Err(); {
		case err == nil || errors.Is(err, redis.Nil):
		case isNoPermission(err):
			missing = append(missing, try.name)
		case isServerError(err) && try.name == "xadd":
			// The id is too small: the right is there.
			if !strings.HasPrefix(err.Error(), "ERR") {
				return err
			}
		default:
			return err
		}
	}
	_, err := f.writer.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XLen(ctx, f.keys.stream)
		return nil
	})
	switch {
	case isNoPermission(err):
		missing = append(missing, "multi and exec")
	case err != nil:
		return err
	}
	if len(missing) > 0 {
		return &rightsError{missing}
	}
	return nil
}

type rightsError struct{ missing []string }

func (e *rightsError) Error() string { return "NOPERM: not allowed: " + strings.Join(e.missing, ", ") }
