package caddymodule

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/jwtgate/jwtgate/token"
)

// maxObserved bounds the rows of one gate's report, and maxObservedClient the
// bytes of a client in it: issuers let anybody register clients.
const (
	maxObserved       = 500
	maxObservedClient = 128
)

// observedRefusal is what refusals are told apart by. It never names a subject.
type observedRefusal struct {
	reason token.Reason
	issuer string // the configured one that was chosen, empty if none was
	client string // of a token whose signature held, else empty
}

// observedCount is how often a refusal would have been, and when.
type observedCount struct {
	count       uint64
	first, last time.Time
}

// observations count what an observing gate would have done. Safe for
// concurrent use.
type observations struct {
	now    func() time.Time
	passed atomic.Uint64

	mu       sync.Mutex
	since    time.Time
	rows     map[observedRefusal]*observedCount
	unlisted uint64 // refusals that found no room
}

func newObservations(now func() time.Time) *observations {
	return &observations{now: now, since: now(), rows: make(map[observedRefusal]*observedCount)}
}

func (o *observations) refuse(refusal observedRefusal) {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	row := o.rows[refusal]
	if row == nil {
		if len(o.rows) >= maxObserved {
			o.unlisted++
			return
		}
		refusal.client = strings.Clone(refusal.client) // lets go of the token
		row = &observedCount{first: now}
		o.rows[refusal] = row
	}
	row.count++
	row.last = now
}

// add adds what other has counted, and empties it.
func (o *observations) add(other *observations) {
	other.mu.Lock()
	rows, unlisted := other.rows, other.unlisted
	other.rows, other.unlisted = make(map[observedRefusal]*observedCount), 0
	other.mu.Unlock()
	o.passed.Add(other.passed.Swap(0))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unlisted += unlisted
	for refusal, row := range rows {
		switch have := o.rows[refusal]; {
		case have != nil:
			have.count += row.count
			have.last = row.last
		case len(o.rows) < maxObserved:
			o.rows[refusal] = row
		default:
			o.unlisted += row.count
		}
	}
}

// reset lets the counts begin again.
func (o *observations) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.passed.Store(0)
	o.since, o.unlisted = o.now(), 0
	clear(o.rows)
}

// Destruct implements caddy.Destructor.
func (*observations) Destruct() error { return nil }

// gateObserver is one gate's way to its observations. All methods may be called on
// nil, which is a gate that does not observe.
type gateObserver struct {
	gate   *Handler
	digest [sha256.Size]byte
	label  string // from bind on
	counts atomic.Pointer[observations]
}

// pass counts a request that enforcing would let pass, too.
func (o *gateObserver) pass() {
	if o != nil {
		o.counts.Load().passed.Add(1)
	}
}

// refuse counts a request that enforcing would refuse. client is what the token
// says, if its signature held.
func (o *gateObserver) refuse(reason token.Reason, issuer, client string) {
	if o != nil {
		o.counts.Load().refuse(observedRefusal{reason, issuer, observedClient(client)})
	}
}

// observedClient makes text of a token fit for a report.
func observedClient(client string) string {
	if len(client) > maxObservedClient {
		end := maxObservedClient
		for end > 0 && client[end]&0xC0 == 0x80 {
			end--
		}
		client = client[:end] + "…"
	}
	return graphic(client)
}

// observerRegistry is every observing gate of a configuration.
type observerRegistry struct {
	mu  sync.Mutex
	all []*gateObserver // in the order in which they were provisioned
}

// add returns the observer of h. digest identifies what the gate asks of a
// token.
func (r *observerRegistry) add(h *Handler, run *runtime, digest [sha256.Size]byte) *gateObserver {
	o := &gateObserver{gate: h, digest: digestOf(struct {
		Gate                [sha256.Size]byte
		Sources             []TokenSource
		Optional, Preflight bool
	}{digest, run.sources, h.Optional, run.preflight})}
	o.counts.Store(newObservations(run.now))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, o)
	return o
}

// observedGate is what counts are kept by over reloads: the place of a gate and
// all that its decisions depend on. Gates that have both in common share their
// counts.
type observedGate struct {
	label  string
	digest [sha256.Size]byte
}

// bind names the gates and joins each to what it counted in configurations
// before this one, as long as one of them is there.
func (r *observerRegistry) bind(labels map[*Handler]string, held *leases) {
	for i, o := range r.list() {
		o.label = labels[o.gate]
		if o.label == "" {
			o.label = fmt.Sprintf("gate %d", i+1)
		}
		own := o.counts.Load()
		key := observedGate{o.label, o.digest}
		value, loaded, err := observedPool.LoadOrNew(key, func() (caddy.Destructor, error) { return own, nil })
		if err != nil {
			continue // the constructor has none
		}
		held.add(func() error {
			_, err := observedPool.Delete(key)
			return err
		})
		if shared := value.(*observations); loaded && shared != own {
			o.counts.Store(shared)
			shared.add(own)
		}
	}
}

func (r *observerRegistry) list() []*gateObserver {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// reset lets the counts of all gates begin again.
func (r *observerRegistry) reset() {
	for _, o := range r.list() {
		o.counts.Load().reset()
	}
}

// sortObserved orders rows by count, and equal ones by what they are.
func sortObserved(rows []observedRow) {
	slices.SortFunc(rows, func(a, b observedRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Client, b.Client))
	})
}
