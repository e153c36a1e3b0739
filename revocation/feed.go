package revocation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// FeedOptions say how a gateway is joined to the others.
type FeedOptions struct {
	// URLs of the servers: redis://host:port/db, rediss://host:port/db or
	// unix:///path?db=n. They may hold credentials; those of sentinels are for
	// the sentinels. Several only with Sentinel or Cluster.
	URLs []*url.URL
	// Username and Password of the ACL user.
	Username, Password string
	// Prefix of every key. Default: "jwtgate:".
	Prefix string
	// Timeout of connecting and of one command. Default: 5s.
	Timeout time.Duration
	// TLS is used with rediss; nil is the default configuration.
	TLS *tls.Config
	// Sentinel is the name of the master that the servers watch.
	Sentinel string
	// Cluster says that the servers are nodes of a cluster.
	Cluster bool
	// WaitReplicas is how many replicas have to acknowledge a write within
	// WaitTimeout before it counts as fed.
	WaitReplicas int
	WaitTimeout  time.Duration
	// StaleAfter is how long what is known of the other gateways may be old.
	// Default: 5m. See SetStale.
	StaleAfter time.Duration
	// WhenStale says what follows from that, for the log.
	WhenStale string
	// StartWithin is how long Redis may be silent at the start before the feed
	// is stale. Default: 10s.
	StartWithin time.Duration
	// Window is how long an entry stays in the stream before it is dropped or,
	// when it is live, appended again. Entries that are over go earlier, but
	// not before Keep. Default: 24h, the life of most entries that are not for
	// one token.
	Window time.Duration
	// Keep is how long every entry stays, so that a gateway that was away for
	// less goes on where it was. Default: 10m, at most Window.
	Keep time.Duration
	// Lag is called with how long after it was made a change of some gateway
	// is in force here. Nil: nobody asks.
	Lag    func(time.Duration)
	Logger *slog.Logger     // default: discard
	Now    func() time.Time // default: time.Now

	// For tests.
	trimEvery, trimGrace time.Duration
}

// Defaults of FeedOptions.
const (
	DefaultFeedPrefix  = "jwtgate:"
	defaultFeedTimeout = 5 * time.Second
	defaultStaleAfter  = 5 * time.Minute
	defaultStartWithin = 10 * time.Second
	defaultFeedWindow  = 24 * time.Hour
	defaultFeedKeep    = 10 * time.Minute
	defaultTrimEvery   = 30 * time.Second
	// defaultTrimGrace is for how long an entry that is over by one clock may be
	// live by another.
	defaultTrimGrace = 5 * time.Minute
)

// Check reports what is wrong with o, without connecting. It quotes nothing
// that may be a secret.
func (o FeedOptions) Check() error {
	if err := o.fill(); err != nil {
		return err
	}
	_, err := parseTarget(&o)
	return err
}

// fill checks o and fills in the defaults. Its errors quote no URL, which may
// hold a password.
func (o *FeedOptions) fill() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	def := func(name string, d *time.Duration, to time.Duration) {
		if *d < 0 {
			fault("%s: %v is negative", name, *d)
		}
		if *d == 0 {
			*d = to
		}
	}
	def("timeout", &o.Timeout, defaultFeedTimeout)
	def("stale after", &o.StaleAfter, defaultStaleAfter)
	def("start within", &o.StartWithin, defaultStartWithin)
	def("window", &o.Window, defaultFeedWindow)
	def("keep", &o.Keep, min(defaultFeedKeep, o.Window))
	def("trim every", &o.trimEvery, defaultTrimEvery)
	def("trim grace", &o.trimGrace, defaultTrimGrace)
	if o.Keep > o.Window {
		fault("keep: %v is longer than the window, %v", o.Keep, o.Window)
	}
	if o.Prefix == "" {
		o.Prefix = DefaultFeedPrefix
	}
	switch {
	case len(o.URLs) == 0:
		fault("no URL of a server")
	case len(o.URLs) > 1 && o.Sentinel == "" && !o.Cluster:
		fault("%d URLs: several only with sentinel or cluster", len(o.URLs))
	}
	if o.Sentinel != "" && o.Cluster {
		fault("sentinel and cluster exclude each other")
	}
	if o.WaitReplicas < 0 || (o.WaitReplicas > 0) != (o.WaitTimeout > 0) {
		fault("wait for replicas: a number and how long to wait belong together")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return errors.Join(errs...)
}

// Feed joins a Store to those of other gateways by a stream in Redis or Valkey,
// the log that all of them append to and read, each from its own cursor.
//
// Nothing that Redis says is taken for kept until it was read back: a change
// leaves the outbox when this feed has read it in the stream, and each read
// proves that the entry read last is still there, where it was. When it is not,
// Redis has lost data: the stream is read from the beginning, and what the list
// holds and the stream lacks is appended again by one gateway.
//
// One feed at a time may serve a Store. Safe for concurrent use.
type Feed struct {
	store    *Store
	options  FeedOptions
	log      *slog.Logger
	began    time.Time
	keys     feedKeys
	reader   redis.UniversalClient // blocks
	writer   redis.UniversalClient
	hash     summer
	endpoint string // for logs

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	loops  sync.WaitGroup
	closed sync.Once
	stale  atomic.Pointer[staleRule]
	// rejoined says that the list changed without the feed, so that its position
	// is worth nothing.
	rejoined bool

	// Since began, plus one; 0 is never.
	fresh    atomic.Int64 // when the end of the stream was reached last
	answered atomic.Int64 // when Redis answered a read last
	synced   chan struct{}
	atEnd    sync.Once // closes synced

	mu       sync.Mutex
	cursor   anchor
	sent     uint64        // outbox: up to it appended
	fed      uint64        // outbox: up to it appended and replicated as asked
	moved    chan struct{} // closed and replaced when fed changes
	landed   uint64        // outbox: up to it read back
	rewinds  uint64        // how often sent went back
	flights  flights
	seen     map[sum]struct{}   // what the stream holds; nil when nothing is to be put back
	restore  context.CancelFunc // ends the putting back that is under way
	settled  bool               // it is done, and the position may be saved
	skewed   bool
	problems [sides]problem
	figures  figures

	rewound chan struct{} // the writer has to begin again
}

// figures are for Status. Guarded by mu.
type figures struct {
	read, malformed, appended, restored, losses uint64
	length                                      int64
	lag                                         time.Duration
}

// NewFeed returns a feed that connects nowhere before Start. From here on the
// store keeps its changes for it.
func NewFeed(s *Store, opts FeedOptions) (*Feed, error) {
	opts.URLs = append([]*url.URL(nil), opts.URLs...)
	if err := opts.fill(); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	target, err := parseTarget(&opts)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	f := &Feed{
		store: s, options: opts, log: opts.Logger, began: opts.Now(),
		keys: newFeedKeys(&opts), hash: newSummer(), endpoint: target.name,
		synced: make(chan struct{}), moved: make(chan struct{}), rewound: make(chan struct{}, 1),
		flights: newFlights(),
	}
	f.reader = target.client(opts.Timeout+blockFor(&opts), 1)
	f.writer = target.client(opts.Timeout+opts.WaitTimeout, 4)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.SetStale(opts.StaleAfter, opts.WhenStale)
	f.rejoined = s.joinFeed()
	f.sent, _ = s.outboxEnds()
	f.fed = f.sent
	return f, nil
}

// Start begins to connect, read and append. It returns at once.
func (f *Feed) Start() {
	f.loops.Go(f.readLoop)
	f.loops.Go(f.writeLoop)
	f.loops.Go(f.trimLoop)
	f.loops.Go(f.watchLoop)
}

// drainFor bounds how long Close takes to send the outbox.
const drainFor = 2 * time.Second

// Close sends what is in the outbox if Redis answers, for two seconds at most,
// and ends everything that Start began. What was not sent stays in the store's
// outbox.
func (f *Feed) Close() error {
	var err error
	f.closed.Do(func() {
		ctx, cancel := context.WithTimeout(f.ctx, min(f.options.Timeout, drainFor))
		f.drain(ctx)
		cancel()
		f.cancel()
		err = errors.Join(f.reader.Close(), f.writer.Close())
		f.loops.Wait()
	})
	return err
}

// feedKeys are the names of the keys in Redis. In a cluster they share a slot.
type feedKeys struct {
	stream, lock, probe string
	prefix              string
}

func newFeedKeys(o *FeedOptions) feedKeys {
	prefix := o.Prefix
	if o.Cluster && !hasHashTag(prefix) {
		prefix += "{" + strings.NewReplacer("{", "", "}", "").Replace(o.Prefix) + "}"
	}
	return feedKeys{stream: prefix + "revocations", lock: prefix + "lock", probe: prefix + "probe", prefix: o.Prefix}
}

// hasHashTag reports whether Redis Cluster takes the slot from a part of key.
func hasHashTag(key string) bool {
	_, rest, ok := strings.Cut(key, "{")
	end := strings.IndexByte(rest, '}')
	return ok && end > 0
}

// joinFeed turns the outbox on and reports whether it was off: then the journal
// has changes that no stream heard of, whatever its position.
func (s *Store) joinFeed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outbox.on {
		return false
	}
	s.outbox.on, s.outbox.dirty, s.position = true, true, nil
	return true
}

// outboxEnds returns the numbers of the last change that was acknowledged and
// of the last one at all.
func (s *Store) outboxEnds() (acked, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outbox.acked, s.outbox.sequence
}
