package caddymodule

import (
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// The window goes back a quarter of an hour, in steps.
const (
	windowStep  = 10 * time.Second
	windowSlots = int(15*time.Minute/windowStep) + 1
)

// decisionKey is one series of jwtgate_decisions_total.
type decisionKey struct{ result, reason, issuer string }

// decisionWindow tells how many decisions of each kind there were in the last
// minutes. It looks at the counters every windowStep and keeps what they gained,
// so that a request pays nothing for it. Its size is bounded by the number of
// series times that of slots; a series that stands still takes no room. Safe for
// concurrent use.
type decisionWindow struct {
	read func() map[decisionKey]uint64
	now  func() time.Time

	mu    sync.Mutex
	last  map[decisionKey]uint64 // the counters at the last look
	slots [windowSlots]windowSlot
	next  int // the oldest slot
}

// windowSlot is what the counters gained up to end, since the slot before.
type windowSlot struct {
	end   time.Time // zero: not used yet
	gains []gain
}

type gain struct {
	key decisionKey
	n   uint64
}

// newDecisionWindow returns a window that begins now.
func newDecisionWindow(read func() map[decisionKey]uint64, now func() time.Time) *decisionWindow {
	return &decisionWindow{read: read, now: now, last: read()}
}

// look closes a slot. It is called every windowStep; a step that comes late
// makes a slot longer and nothing wrong.
func (w *decisionWindow) look() {
	totals := w.read()
	w.mu.Lock()
	defer w.mu.Unlock()
	slot := &w.slots[w.next]
	w.next = (w.next + 1) % windowSlots
	slot.end, slot.gains = w.now(), nil
	for key, total := range totals {
		if n := total - w.last[key]; n > 0 {
			slot.gains = append(slot.gains, gain{key, n})
		}
	}
	w.last = totals
}

// decisionCount is how often something was decided: since the process started,
// and in the last minutes, each of which may be up to windowStep longer.
type decisionCount struct {
	decisionKey
	total                        uint64
	lastMinute, last5, last15min uint64
}

// counts returns the series in no order.
func (w *decisionWindow) counts() []decisionCount {
	totals := w.read()
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := make([]decisionCount, 0, len(totals))
	at := make(map[decisionKey]int, len(totals))
	for key, total := range totals {
		since := uint64(0)
		if last := w.last[key]; total > last {
			since = total - last // a slot may have been closed meanwhile
		}
		at[key] = len(counts)
		counts = append(counts, decisionCount{key, total, since, since, since})
	}
	for i := range w.slots {
		slot := &w.slots[i]
		if slot.end.IsZero() {
			continue
		}
		age := now.Sub(slot.end)
		for _, g := range slot.gains {
			c := &counts[at[g.key]]
			if age < time.Minute {
				c.lastMinute += g.n
			}
			if age < 5*time.Minute {
				c.last5 += g.n
			}
			if age < 15*time.Minute {
				c.last15min += g.n
			}
		}
	}
	return counts
}

// readDecisions returns what reads the counters of c.
func readDecisions(c prometheus.Collector) func() map[decisionKey]uint64 {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	return func() map[decisionKey]uint64 {
		totals := make(map[decisionKey]uint64)
		families, _ := registry.Gather() // our own counters: there is nothing to fail
		for _, family := range families {
			for _, m := range family.GetMetric() {
				var key decisionKey
				for _, label := range m.GetLabel() {
					switch label.GetName() {
					case "result":
						key.result = label.GetValue()
					case "reason":
						key.reason = label.GetValue()
					case "issuer":
						key.issuer = label.GetValue()
					}
				}
				totals[key] = uint64(m.GetCounter().GetValue())
			}
		}
		return totals
	}
}

// windowKey is the one key of windowPool.
const windowKey = "decisions"

// pooledWindow is the window of the process with the goroutine that looks.
type pooledWindow struct {
	*decisionWindow
	stop, stopped chan struct{}
}

// leaseWindow returns the window of the process, which runs from the first
// configuration that starts to the last one that ends.
func leaseWindow(held *leases) *decisionWindow {
	value, _, err := windowPool.LoadOrNew(windowKey, func() (caddy.Destructor, error) {
		return startWindow(newDecisionWindow(readDecisions(process.decisions), time.Now)), nil
	})
	if err != nil {
		return nil // the constructor has none
	}
	held.add(func() error {
		_, err := windowPool.Delete(windowKey)
		return err
	})
	return value.(*pooledWindow).decisionWindow
}

func startWindow(w *decisionWindow) *pooledWindow {
	p := &pooledWindow{w, make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(p.stopped)
		ticker := time.NewTicker(windowStep)
		defer ticker.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-ticker.C:
				w.look()
			}
		}
	}()
	return p
}

// Destruct implements caddy.Destructor.
func (p *pooledWindow) Destruct() error {
	close(p.stop)
	<-p.stopped
	return nil
}
