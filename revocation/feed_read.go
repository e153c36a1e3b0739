package revocation

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// An entry of the stream has one field, whose value is a wire form.
const (
	fieldNew   = "e" // a change
	fieldAgain = "r" // appended again: put back, or ahead of trimming
)

const (
	readCount = 2000
	// blockLongest is how long one read waits for something to come.
	blockLongest = 2 * time.Second
	blockLeast   = 10 * time.Millisecond
	pauseFirst   = 50 * time.Millisecond
	pauseLast    = 2 * time.Second
)

func blockFor(o *FeedOptions) time.Duration {
	return max(min(blockLongest, o.Timeout, o.StaleAfter/3), blockLeast)
}

// pause waits, by up to a half longer or shorter, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// clock is the time since the feed was made, plus one: it is never 0.
func (f *Feed) clock() int64 { return int64(f.options.Now().Sub(f.began)) + 1 }

// readLoop is the goroutine that reads.
func (f *Feed) readLoop() {
	if f.store.Wait(f.ctx) != nil {
		return // the store has said why
	}
	f.resume()
	for delay := pauseFirst; ; delay = min(2*delay, pauseLast) {
		reached := false
		err := f.readOn(&reached)
		if errors.Is(err, ErrClosed) || f.ctx.Err() != nil {
			return
		}
		f.failed(reading, err)
		if reached {
			delay = pauseFirst
		}
		if !pause(f.ctx, delay) {
			return
		}
	}
}

// resume takes up the position of the store.
func (f *Feed) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := parseAnchor(f.store.FeedPosition()); ok && !f.rejoined {
		f.cursor = a
		return
	}
	f.collect()
}

// collect begins to take note of what the stream holds, if there is anything
// that it could lack. f.mu is held.
func (f *Feed) collect() {
	if f.store.holdsAny() {
		f.seen = make(map[sum]struct{})
	}
}

func (s *Store) holdsAny() bool {
	stats := s.Stats()
	n := stats.Undone + stats.Foreign
	for _, entries := range stats.Entries {
		n += entries
	}
	return n > 0
}

// readOn reads until something fails. reached says that Redis answered.
func (f *Feed) readOn(reached *bool) error {
	if err := f.greet(f.ctx); err != nil {
		return err
	}
	progress := progress{feed: f, said: time.Now()}
	for first, atEnd := true, false; ; first = false {
		n, end, err := f.readSome(atEnd)
		if err != nil {
			return err
		}
		*reached, atEnd = true, end
		if first {
			f.works(reading)
			// What the other loops may need only in hours.
			if err := f.probe(f.ctx); err != nil {
				f.failed(appending, err)
			}
		}
		progress.add(n, end)
	}
}

// readSome reads one batch and applies it. It waits for one where the end of
// the stream was reached before.
func (f *Feed) readSome(wait bool) (n int, end bool, err error) {
	f.mu.Lock()
	from := f.cursor
	f.mu.Unlock()
	began := f.clock()
	block := time.Duration(-1)
	if wait {
		block = blockFor(&f.options)
	}
	// On one connection, so that the second command is answered by the same
	// server after the first: if the entry read last is still in its place, then
	// nothing is missing between it and what came.
	var read *redis.XStreamSliceCmd
	var there *redis.XMessageSliceCmd
	_, err = f.reader.Pipelined(f.ctx, func(p redis.Pipeliner) error {
		read = p.XRead(f.ctx, &redis.XReadArgs{Streams: []string{f.keys.stream}, ID: from.id.String(), Count: readCount, Block: block})
		if !from.isStart() {
			there = p.XRangeN(f.ctx, f.keys.stream, from.id.String(), from.id.String(), 1)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, err
	}
	streams, err := read.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, err
	}
	if there != nil {
		same, err := there.Result()
		if err != nil {
			return 0, false, err
		}
		if len(same) != 1 || anchorAt(from.id, wireOf(&same[0])) != from {
			return 0, false, f.lost("the entry read last is not in its place")
		}
	}
	f.answered.Store(f.clock())
	var messages []redis.XMessage
	if len(streams) > 0 {
		messages = streams[0].Messages
	}
	if err := f.take(from, messages); err != nil {
		return 0, false, err
	}
	if end = len(messages) < readCount; end {
		if wait && len(messages) == 0 {
			// The server looked again when it gave up waiting.
			began = min(began+int64(block), f.clock())
		}
		err = f.reachedEnd(began)
	}
	return len(messages), end, err
}

// wireOf returns the wire form in an entry of the stream, nil if it has none.
func wireOf(m *redis.XMessage) []byte {
	v, ok := m.Values[fieldNew]
	if !ok {
		v = m.Values[fieldAgain]
	}
	text, _ := v.(string)
	return []byte(text)
}

// take applies what was read after from.
func (f *Feed) take(from anchor, messages []redis.XMessage) error {
	if len(messages) == 0 {
		return nil
	}
	wires := make([][]byte, len(messages))
	for i := range messages {
		wires[i] = wireOf(&messages[i])
	}
	id, err := parseStreamID(messages[len(messages)-1].ID)
	if err != nil {
		return err
	}
	to := anchorAt(id, wires[len(wires)-1])
	_, malformed, err := f.store.ApplyFeed(f.ctx, wires, f.positionFor(to))
	if err != nil {
		return err
	}
	f.observe(messages, wires)

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor != from {
		return nil // lost meanwhile
	}
	f.cursor = to
	f.figures.read += uint64(len(wires))
	f.figures.malformed += uint64(malformed)
	if f.seen != nil || len(f.flights.by) > 0 {
		for _, w := range wires {
			what := f.hash.of(w)
			f.flights.returned(what)
			if f.seen != nil {
				f.seen[what] = struct{}{}
			}
		}
	}
	f.acknowledge()
	return nil
}

// positionFor is what the store is to remember: nothing while something may
// have to be put back, so that a restart does not forget that.
func (f *Feed) positionFor(a anchor) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen != nil || a.isStart() {
		return nil
	}
	return a.encode()
}

// acknowledge tells the store what was read back. f.mu is held.
func (f *Feed) acknowledge() {
	f.landed = max(f.landed, f.flights.land())
	if upTo := min(f.landed, f.fed); upTo > 0 {
		f.store.Ack(upTo)
	}
}

// reachedEnd is called after a read that began at that time and to which there
// was no more.
func (f *Feed) reachedEnd(began int64) error {
	f.mu.Lock()
	overdue := f.flights.overdue(began)
	start := f.seen != nil && f.restore == nil
	var ctx context.Context
	if start && !overdue {
		ctx, f.restore = context.WithCancel(f.ctx)
	}
	save := f.settled
	f.settled = false
	cursor := f.cursor
	f.mu.Unlock()
	if overdue {
		return f.lost("an appended entry did not come back")
	}
	if ctx != nil {
		f.loops.Go(func() { f.putBack(ctx) })
	}
	if save {
		if _, _, err := f.store.ApplyFeed(f.ctx, nil, f.positionFor(cursor)); err != nil {
			return err
		}
	}
	f.fresh.Store(began)
	f.atEnd.Do(func() { close(f.synced) })
	return nil
}

// lossPause keeps a server that loses data again and again, or two that answer
// by turns, from being read and filled without end.
const lossPause = time.Second

// lost begins anew: all that the stream holds is read again, and what it lacks
// will be put back. The error is that of asking why.
func (f *Feed) lost(why string) error {
	first, err := f.writer.XRangeN(f.ctx, f.keys.stream, "-", "+", 1).Result()
	if err != nil {
		return err
	}
	f.mu.Lock()
	was := f.cursor
	again := f.figures.losses > 0
	f.cursor = anchor{}
	f.seen = nil
	f.settled = false
	if f.restore != nil {
		f.restore()
		f.restore = nil
	}
	f.collect()
	f.flights = newFlights()
	f.sent, _ = f.store.outboxEnds()
	f.fed, f.landed = min(f.fed, f.sent), f.sent
	f.rewinds++
	away := !was.isStart() && len(first) > 0 && f.options.Now().Sub(time.UnixMilli(int64(was.id.ms))) > f.options.Keep
	if !away {
		f.figures.losses++
	}
	f.mu.Unlock()
	select {
	case f.rewound <- struct{}{}:
	default:
	}
	if away {
		f.log.Info("the stream does not reach back to where this gateway was; reading it from its beginning", "redis", f.endpoint)
		return nil
	}
	f.log.Warn("Redis has lost data of the feed; reading what it has and putting back what it lacks",
		"redis", f.endpoint, "because", why)
	if again && !pause(f.ctx, lossPause) {
		return f.ctx.Err()
	}
	return nil
}
