package revocation

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	trimCount = 500
	// trimLive is the share of live entries, one in so many, up to which the
	// oldest part of the stream is dropped ahead of the window.
	trimLive = 4
	// skewLimit is by how much the clock may be off before it is not trusted to
	// say what is over.
	skewLimit = time.Minute
)

// trimLoop is the goroutine that keeps the stream short.
func (f *Feed) trimLoop() {
	for pause(f.ctx, f.options.trimEvery) {
		if f.State() != FeedFresh {
			continue
		}
		if err := f.trim(); err != nil {
			f.failed(trimming, err)
		} else {
			f.works(trimming)
		}
	}
}

// trim drops the oldest entries while it may. What of them is live is appended
// again in the same transaction, so that no failure of Redis comes in between.
func (f *Feed) trim() error {
	length, err := f.writer.XLen(f.ctx, f.keys.stream).Result()
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.figures.length = length
	busy := f.seen != nil
	f.mu.Unlock()
	if busy {
		return nil
	}
	now, ok, err := f.sharedNow()
	if err != nil || !ok {
		return err
	}
	l, err := f.lock(f.ctx)
	if l == nil {
		return err
	}
	defer l.release()
	for {
		if err := l.renew(f.ctx); err != nil {
			return err
		}
		head, err := f.writer.XRangeN(f.ctx, f.keys.stream, "-", "+", trimCount+1).Result()
		if err != nil {
			return err
		}
		n, live := f.trimmable(head, now)
		if n == 0 {
			return nil
		}
		if err := f.drop(f.ctx, head[n].ID, live); err != nil {
			return err
		}
	}
}

// sharedNow returns the earlier of this clock and that of Redis; ok is false
// when they are too far apart to decide what is over.
func (f *Feed) sharedNow() (now time.Time, ok bool, err error) {
	theirs, err := f.writer.Time(f.ctx).Result()
	if err != nil {
		return time.Time{}, false, err
	}
	now = f.options.Now()
	apart := now.Sub(theirs)
	f.mu.Lock()
	was := f.skewed
	f.skewed = apart.Abs() > skewLimit
	is := f.skewed
	f.mu.Unlock()
	if is && !was {
		f.log.Warn("the clocks of this gateway and of Redis are apart; this gateway does not trim the stream", "seconds", apart.Seconds())
	}
	if was && !is {
		f.log.Info("the clocks of this gateway and of Redis agree again", "seconds", apart.Seconds())
	}
	if theirs.Before(now) {
		now = theirs
	}
	return now, !is, nil
}

// trimmable returns how many of the oldest entries may go, of which the last
// one of head is never one, and which of them have to be appended again.
func (f *Feed) trimmable(head []redis.XMessage, now time.Time) (n int, live [][]byte) {
	if len(head) < 2 {
		return 0, nil
	}
	n = olderThan(head[:len(head)-1], now.Add(-f.options.Keep))
	live = f.liveIn(head[:n], now)
	if len(live)*trimLive <= n {
		return n, live
	}
	n = olderThan(head[:n], now.Add(-f.options.Window))
	return n, f.liveIn(head[:n], now)
}

// olderThan returns how many entries of a part of the stream were appended
// before a time.
func olderThan(list []redis.XMessage, limit time.Time) int {
	for i := range list {
		id, err := parseStreamID(list[i].ID)
		if err != nil || int64(id.ms) >= limit.UnixMilli() {
			return i
		}
	}
	return len(list)
}

// liveIn returns the different wire forms that are live.
func (f *Feed) liveIn(list []redis.XMessage, now time.Time) (live [][]byte) {
	seen := make(map[sum]struct{})
	for i := range list {
		wire := wireOf(&list[i])
		if _, until, _, err := DecodeHead(wire); err != nil || until.Before(now.Add(-f.options.trimGrace)) {
			continue
		}
		what := f.hash.of(wire)
		if _, twice := seen[what]; !twice {
			seen[what] = struct{}{}
			live = append(live, wire)
		}
	}
	return live
}

func (f *Feed) drop(ctx context.Context, before string, live [][]byte) error {
	_, err := f.writer.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, wire := range live {
			p.XAdd(ctx, &redis.XAddArgs{Stream: f.keys.stream, Values: []any{fieldAgain, wire}})
		}
		p.XTrimMinID(ctx, f.keys.stream, before)
		return nil
	})
	return err
}
