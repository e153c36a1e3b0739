package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	appendCount  = 500
	confirmEvery = time.Second
)

// replicasError says that fewer replicas than asked have a write.
type replicasError struct {
	got, want int
	within    time.Duration
}

func (e *replicasError) Error() string {
	return fmt.Sprintf("%d of %d replicas acknowledged within %v", e.got, e.want, e.within)
}

// writeLoop is the goroutine that empties the outbox.
func (f *Feed) writeLoop() {
	delay := pauseFirst
	for {
		n, err := f.writeSome()
		switch {
		case f.ctx.Err() != nil:
			return
		case err == nil && n > 0:
			f.works(appending)
			delay = pauseFirst
			continue
		case err == nil:
			f.works(appending) // nothing waits that could fail
			select {
			case <-f.store.OutboxReady():
			case <-f.rewound:
			case <-f.ctx.Done():
				return
			}
			continue
		}
		f.failed(appending, err)
		var replicas *replicasError
		if errors.As(err, &replicas) {
			delay = confirmEvery
		}
		if !pause(f.ctx, delay) {
			return
		}
		delay = min(2*delay, pauseLast)
	}
}

// writeSome appends the next changes of the outbox and returns how many.
func (f *Feed) writeSome() (int, error) {
	f.mu.Lock()
	acked, _ := f.store.outboxEnds()
	f.sent = max(f.sent, acked)
	f.fed = max(f.fed, acked)
	from, rewinds, unconfirmed := f.sent, f.rewinds, f.fed < f.sent
	f.mu.Unlock()
	list, err := f.store.outgoing(from, appendCount)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		if unconfirmed {
			return 1, f.confirm(from, rewinds)
		}
		return 0, nil
	}
	n, err := f.append(f.ctx, fieldNew, list)
	var replicas *replicasError
	f.mu.Lock()
	defer f.mu.Unlock()
	f.figures.appended += uint64(n)
	if n > 0 && f.rewinds == rewinds {
		f.sent = list[n-1].Seq
		if !errors.As(err, &replicas) && (f.options.WaitReplicas == 0 || n == len(list)) {
			f.wasFed(f.sent)
		}
	}
	return n, err
}

// wasFed notes that changes up to a number are with the others. f.mu is held.
func (f *Feed) wasFed(upTo uint64) {
	if upTo <= f.fed {
		return
	}
	f.fed = upTo
	close(f.moved)
	f.moved = make(chan struct{})
	f.acknowledge()
}

// append appends changes in order and returns how many were, which are a part
// from the beginning. The error is a *replicasError when too few replicas have
// them.
func (f *Feed) append(ctx context.Context, field string, list []Outgoing) (int, error) {
	client, err := f.oneServer(ctx)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	aloft := make([]*flight, len(list))
	for i := range list {
		aloft[i] = f.flights.add(list[i].Seq, f.hash.of(list[i].Wire))
	}
	f.mu.Unlock()
	var replicas *redis.Cmd
	answers := make([]*redis.StringCmd, len(list))
	_, err = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range list {
			answers[i] = p.XAdd(ctx, &redis.XAddArgs{Stream: f.keys.stream, Values: []any{field, list[i].Wire}})
		}
		if f.options.WaitReplicas > 0 {
			replicas = f.wait(ctx, p)
		}
		return nil
	})
	n := 0
	for n < len(answers) && answers[n].Err() == nil {
		n++
	}
	f.mu.Lock()
	now := f.clock()
	for i, x := range aloft {
		if i < n {
			x.replied = now
		} else {
			f.flights.drop(x)
		}
	}
	f.mu.Unlock()
	if err == nil && replicas != nil {
		err = f.enough(replicas)
	}
	return n, err
}

// wait asks for the replicas that have what was written on this connection.
func (f *Feed) wait(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	return p.Do(ctx, "WAIT", f.options.WaitReplicas, f.options.WaitTimeout.Milliseconds())
}

func (f *Feed) enough(answer *redis.Cmd) error {
	got, err := answer.Int()
	if err == nil && got < f.options.WaitReplicas {
		err = &replicasError{got, f.options.WaitReplicas, f.options.WaitTimeout}
	}
	return err
}

// oneServer returns the client of the server that has the keys.
func (f *Feed) oneServer(ctx context.Context) (redis.UniversalClient, error) {
	if cluster, ok := f.writer.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, f.keys.stream)
	}
	return f.writer, nil
}

// confirm asks whether the replicas have by now what was appended up to a
// number. WAIT speaks of the writes of its own connection, so there has to be
// one; it comes after those in question.
func (f *Feed) confirm(upTo, rewinds uint64) error {
	client, err := f.oneServer(f.ctx)
	if err != nil {
		return err
	}
	var replicas *redis.Cmd
	_, err = client.Pipelined(f.ctx, func(p redis.Pipeliner) error {
		p.Set(f.ctx, f.keys.probe, "", time.Second)
		replicas = f.wait(f.ctx, p)
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.enough(replicas); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rewinds == rewinds {
		f.wasFed(upTo)
	}
	return nil
}

// Fed waits until every change that was made here before is in the stream, and
// with the replicas where that is asked for. It reports false when ctx ends
// first.
func (f *Feed) Fed(ctx context.Context) bool {
	_, upTo := f.store.outboxEnds()
	for {
		f.mu.Lock()
		fed, moved := f.fed >= upTo, f.moved
		f.mu.Unlock()
		if fed {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		case <-f.ctx.Done():
			return false
		}
	}
}

// drain waits until the outbox is sent, unless that fails already.
func (f *Feed) drain(ctx context.Context) {
	f.mu.Lock()
	fails := f.problems[appending].kind != "" || f.problems[reading].kind != ""
	f.mu.Unlock()
	if f.answered.Load() != 0 && !fails {
		f.Fed(ctx)
	}
}
