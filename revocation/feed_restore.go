package revocation

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	lockFor    = 30 * time.Second
	lockRenew  = lockFor / 3
	lockedWait = 500 * time.Millisecond // between tries for a lock that another has
	pollEvery  = 5 * time.Millisecond
)

// lease is a lock that all gateways share. It saves work and is not needed for
// correctness: two holders append some entries twice.
type lease struct {
	feed  *Feed
	token string
	until time.Time // when to renew
}

// lock takes the lock, nil if another gateway has it.
func (f *Feed) lock(ctx context.Context) (*lease, error) {
	l := &lease{feed: f, token: rand.Text(), until: time.Now().Add(lockRenew)}
	ok, err := f.writer.SetNX(ctx, f.keys.lock, l.token, lockFor).Result()
	if err != nil || !ok {
		return nil, err
	}
	return l, nil
}

var errLockLost = errors.New("another gateway took the lock over")

// renew makes the lock last, where it is time.
func (l *lease) renew(ctx context.Context) error {
	if time.Now().Before(l.until) {
		return nil
	}
	if token, err := l.feed.writer.Get(ctx, l.feed.keys.lock).Result(); err != nil && !errors.Is(err, redis.Nil) {
		return err
	} else if token != l.token {
		return errLockLost
	}
	l.until = time.Now().Add(lockRenew)
	return l.feed.writer.Set(ctx, l.feed.keys.lock, l.token, lockFor).Err()
}

// release gives the lock back. When that fails it ends by itself.
func (l *lease) release() {
	ctx, cancel := context.WithTimeout(l.feed.ctx, l.feed.options.Timeout)
	defer cancel()
	if token, err := l.feed.writer.Get(ctx, l.feed.keys.lock).Result(); err == nil && token == l.token {
		l.feed.writer.Del(ctx, l.feed.keys.lock)
	}
}

// putBack appends what the list holds and the stream lacks. Of several gateways
// that noticed a loss one does it at a time, and each next one has read what the
// one before appended, so that each entry is put back once.
func (f *Feed) putBack(ctx context.Context) {
	for delay := lockedWait; ; {
		if !pause(ctx, delay) {
			return
		}
		done, err := f.tryPutBack(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.failed(restoring, err)
			delay = min(2*delay, 10*time.Second)
			continue
		}
		f.works(restoring)
		delay = lockedWait
		if done {
			return
		}
	}
}

func (f *Feed) tryPutBack(ctx context.Context) (done bool, err error) {
	l, err := f.lock(ctx)
	if l == nil {
		return false, err
	}
	defer l.release()
	// What waits in the outbox goes out by itself.
	drained, cancel := context.WithTimeout(ctx, f.options.Timeout)
	f.Fed(drained)
	cancel()
	if err := f.readUpToNow(ctx); err != nil {
		return false, err
	}
	n := 0
	batch := make([]Outgoing, 0, appendCount)
	flush := func() error {
		if err := l.renew(ctx); err != nil || len(batch) == 0 {
			return err
		}
		added, err := f.append(ctx, fieldAgain, batch)
		var replicas *replicasError
		if errors.As(err, &replicas) {
			err = nil // the gateways hold them, too
		}
		n += added
		batch = batch[:0]
		return err
	}
	err = f.store.ExportWire(ctx, func(_ Digest, wire []byte) error {
		what := f.hash.of(wire)
		f.mu.Lock()
		_, known := f.seen[what]
		f.mu.Unlock()
		if known {
			return nil
		}
		if batch = append(batch, Outgoing{Wire: wire}); len(batch) < cap(batch) {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	f.mu.Lock()
	f.figures.restored += uint64(n)
	f.mu.Unlock()
	if err != nil {
		return false, err
	}
	if err := f.poll(ctx, func() bool { return f.flights.restored() == 0 }); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	f.seen, f.settled = nil, true
	f.restore()
	f.restore = nil
	f.log.Info("the feed holds again what this gateway holds", "redis", f.endpoint, "put_back", n)
	return true, nil
}

// readUpToNow waits until the other loop has read what the stream holds at this
// moment.
func (f *Feed) readUpToNow(ctx context.Context) error {
	last, err := f.writer.XRevRangeN(ctx, f.keys.stream, "+", "-", 1).Result()
	if err != nil || len(last) == 0 {
		return err
	}
	id, err := parseStreamID(last[0].ID)
	if err != nil {
		return err
	}
	return f.poll(ctx, func() bool { return !id.after(f.cursor.id) })
}

// poll waits until a condition holds, which is asked with f.mu held.
func (f *Feed) poll(ctx context.Context, holds func() bool) error {
	for {
		f.mu.Lock()
		ok := holds()
		f.mu.Unlock()
		if ok {
			return nil
		}
		if !pause(ctx, pollEvery) {
			return ctx.Err()
		}
	}
}
