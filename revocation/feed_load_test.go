package revocation

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jwtgate/jwtgate/internal/redistest"
)

// typicalWire is a logout as it is in the field: an issuer's URL and a UUID.
func typicalWire(i int, until time.Time) []byte {
	e := Entry{
		Kind: Token, Issuer: "https://id.example.com/realms/main", Value: fmt.Sprintf("%08x-90ab-4cde-8f01-234567890abc", i),
		RevokedAt: time.Now(), Until: until, Via: "logout",
	}
	return AppendEntry(nil, &e)
}

// fillStream appends typical entries.
func fillStream(t testing.TB, server *redistest.Server, n int) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), DisableIdentity: true})
	defer client.Close()
	until := time.Now().Add(time.Hour)
	for i := 0; i < n; {
		_, err := client.Pipelined(context.Background(), func(p redis.Pipeliner) error {
			for end := min(i+2000, n); i < end; i++ {
				p.XAdd(context.Background(), &redis.XAddArgs{Stream: streamKey, Values: []any{fieldNew, typicalWire(i, until)}})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRedisFeedCatchesUp: a gateway that joins late.
func TestRedisFeedCatchesUp(t *testing.T) {
	n := 50_000
	if longRun() {
		n = 1_000_000
	}
	server := redistest.Start(t, redistest.Options{})
	fillStream(t, server, n)
	began := time.Now()
	g := join(t, server.URL(), tempJournal(t))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := g.feed.CaughtUp(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if got := g.Count()[Token]; got != n {
		t.Errorf("%d entries, not %d", got, n)
	}
	t.Logf("%d entries in %v: %.0f a second", n, took, float64(n)/took.Seconds())
}

// TestRedisFeedMemoryPerEntry: what the documentation says for sizing.
func TestRedisFeedMemoryPerEntry(t *testing.T) {
	const n = 100_000
	server := redistest.Start(t, redistest.Options{})
	fillStream(t, server, n)
	bytes := server.Int("MEMORY", "USAGE", streamKey, "SAMPLES", 0)
	wire := len(typicalWire(0, time.Now()))
	per := float64(bytes) / n
	t.Logf("%.1f bytes an entry, %d of them the wire form", per, wire)
	if per > 150 {
		t.Errorf("%.1f bytes an entry", per)
	}
}

// TestRedisFeedSteadyLoad: 1,000 revocations a second: a steady lag, flat memory
// and a stream that does not grow.
func TestRedisFeedSteadyLoad(t *testing.T) {
	lasts := 3 * time.Second
	if longRun() {
		lasts = time.Minute
	}
	var mu sync.Mutex
	var lags []time.Duration
	server := redistest.Start(t, redistest.Options{})
	short := func(o *FeedOptions) {
		o.Keep, o.trimGrace, o.trimEvery = 500*time.Millisecond, time.Nanosecond, 300*time.Millisecond
	}
	a := join(t, server.URL(), tempJournal(t), short)
	b := join(t, server.URL(), tempJournal(t), short, func(o *FeedOptions) {
		o.Lag = func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			lags = append(lags, d)
		}
	})
	a.caughtUp(t)
	b.caughtUp(t)
	const writers, rate = 10, 1000
	var sent atomic.Int64
	var working sync.WaitGroup
	began := time.Now()
	var longest, heap int64
	for w := range writers {
		working.Go(func() {
			ticker := time.NewTicker(time.Second * writers / rate)
			defer ticker.Stop()
			for i := 0; time.Since(began) < lasts; i++ {
				<-ticker.C
				e := feedEntry(fmt.Sprint(w, "-", i))
				e.Until = time.Now().Add(time.Second)
				if _, err := a.Revoke(t.Context(), e); err != nil {
					t.Error(err)
					return
				}
				sent.Add(1)
			}
		})
	}
	for time.Since(began) < lasts {
		time.Sleep(lasts / 10)
		longest = max(longest, server.Int("XLEN", streamKey))
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = max(heap, int64(m.HeapAlloc))
	}
	working.Wait()
	eventually(t, "b has read all", func() bool { mu.Lock(); defer mu.Unlock(); return len(lags) >= int(sent.Load()) })
	eventually(t, "the outbox is empty", func() bool { return a.Stats().Outbox == 0 })
	slices.Sort(lags)
	at := func(q float64) time.Duration { return lags[int(q*float64(len(lags)-1))] }
	t.Logf("%d in %v; from revoked to known, the disk included: p50 %v, p99 %v, max %v; longest stream %d, heap %d MB",
		sent.Load(), lasts, at(0.5), at(0.99), at(1), longest, heap>>20)
	if longest > 6*rate {
		t.Errorf("the stream grew to %d entries", longest)
	}
	if at(0.5) > 2*time.Second {
		t.Errorf("the median lag is %v", at(0.5))
	}
	if n := a.feed.Status().Losses + b.feed.Status().Losses; n != 0 {
		t.Errorf("%d losses", n)
	}
}

// BenchmarkRedisFeedLag measures from the acknowledgement on one gateway to the
// refusal on another.
func BenchmarkRedisFeedLag(b *testing.B) {
	server := redistest.Start(b, redistest.Options{})
	x, y := join(b, server.URL(), tempJournal(b)), join(b, server.URL(), tempJournal(b))
	x.caughtUp(b)
	y.caughtUp(b)
	lags := make([]time.Duration, 0, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		value := fmt.Sprint("s", i)
		x.revoke(b, value)
		began := time.Now()
		for !y.knows(value) {
			time.Sleep(20 * time.Microsecond)
		}
		lags = append(lags, time.Since(began))
	}
	slices.Sort(lags)
	b.ReportMetric(float64(lags[len(lags)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(lags[len(lags)-1].Microseconds()), "max-us")
}

// BenchmarkRedisFeedCatchUp measures the reading of a stream from its beginning.
func BenchmarkRedisFeedCatchUp(b *testing.B) {
	const n = 200_000
	server := redistest.Start(b, redistest.Options{})
	fillStream(b, server, n)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(Options{})
		if err != nil {
			b.Fatal(err)
		}
		f, err := NewFeed(s, FeedOptions{URLs: []*url.URL{server.URL()}})
		if err != nil {
			b.Fatal(err)
		}
		f.Start()
		if err := f.CaughtUp(b.Context()); err != nil {
			b.Fatal(err)
		}
		f.Close()
		s.Close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
