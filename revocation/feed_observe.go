package revocation

import (
	"encoding/binary"
	"time"

	"github.com/redis/go-redis/v9"
)

// observe measures how old new entries are on arrival, which those are not that
// are read at the start or again.
func (f *Feed) observe(messages []redis.XMessage, wires [][]byte) {
	f.mu.Lock()
	again := f.seen != nil
	f.mu.Unlock()
	if f.fresh.Load() == 0 || again {
		return
	}
	now := f.options.Now()
	var lag time.Duration
	for i, w := range wires {
		if _, isNew := messages[i].Values[fieldNew]; !isNew || len(w) < wireHead+wireTimes || w[0] != wireVersion {
			continue
		}
		revoked := int64(binary.BigEndian.Uint64(w[wireHead+8:]))
		undone := int64(binary.BigEndian.Uint64(w[wireHead+16:]))
		lag = max(now.Sub(time.Unix(0, max(revoked, undone))), 0)
		if f.options.Lag != nil {
			f.options.Lag(lag)
		}
	}
	f.mu.Lock()
	f.figures.lag = lag
	f.mu.Unlock()
}

// progress says how far a long reading is.
type progress struct {
	feed  *Feed
	said  time.Time
	n     int
	spoke bool
}

func (p *progress) add(n int, end bool) {
	if p.n += n; end {
		if p.spoke {
			p.feed.log.Info("the feed is read", "entries", p.n)
		}
		p.n, p.spoke, p.said = 0, false, time.Now()
		return
	}
	if time.Since(p.said) < progressEvery {
		return
	}
	p.said, p.spoke = time.Now(), true
	total, err := p.feed.writer.XLen(p.feed.ctx, p.feed.keys.stream).Result()
	if err == nil {
		p.feed.log.Info("reading the feed", "entries", p.n, "of", total)
	}
}
