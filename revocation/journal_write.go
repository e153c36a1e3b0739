package revocation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// change is the newest form of an entry that is not in the journal yet.
type change struct {
	wire []byte
	// stored is the hour in which the journal has an older form, 0 if it has
	// none or if nobody has looked, while the list is being loaded.
	stored hour
}

// batch is what one transaction writes.
type batch struct {
	entries  map[Digest]change
	foreign  map[Digest][]byte
	outgoing []Outgoing
	expiries map[string]int64
	state    state
}

// outboxTrim bounds how much of the outbox one transaction deletes.
const outboxTrim = 50_000

// commit writes b and drops what has expired at now, all or nothing.
func (j *journal) commit(b *batch, now time.Time) error {
	if j.wedged.Load() {
		return &DamageError{j.path, "damaged while it was written"}
	}
	err := guard(j.path, func() error {
		return j.db.Update(func(tx *bolt.Tx) error { return j.write(tx, b, now) })
	})
	var damage *DamageError
	if errors.As(err, &damage) {
		j.wedged.Store(true)
		return err
	}
	return err
}

func (j *journal) write(tx *bolt.Tx, b *batch, now time.Time) error {
	entries, foreign := hours{bucket: tx.Bucket(entriesBucket)}, hours{bucket: tx.Bucket(foreignBucket)}
	for _, h := range []*hours{&entries, &foreign} {
		if err := h.expire(now); err != nil {
			return err
		}
	}
	list := make([]stored, 0, len(b.entries))
	for id, c := range b.entries {
		if h := wireHour(c.wire); !h.over(now) {
			list = append(list, stored{position{h, id}, c.wire})
		}
		if c.stored != 0 && c.stored != wireHour(c.wire) && !c.stored.over(now) {
			// nil wire: to be deleted there.
			list = append(list, stored{position{c.stored, id}, nil})
		}
	}
	if err := entries.put(list); err != nil {
		return err
	}
	list = list[:0]
	for id, wire := range b.foreign {
		if h := wireHour(wire); wire != nil && !h.over(now) {
			list = append(list, stored{position{h, id}, wire})
		}
	}
	if err := foreign.put(list); err != nil {
		return err
	}
	if err := writeOutbox(tx.Bucket(outboxBucket), b, now); err != nil {
		return err
	}
	if err := writeExpiries(tx.Bucket(expiryBucket), b.expiries); err != nil {
		return err
	}
	if err := tx.Bucket(markerBucket).Put(stateKey, seal(stateKey, b.state.encode())); err != nil {
		return err
	}
	first := min(entries.first(), foreign.first())
	tx.OnCommit(func() { j.first.Store(uint32(first)) })
	return nil
}

// noHour is later than every hour.
const noHour = hour(math.MaxUint32)

// oldest returns the first hour that the file has, noHour if it has none.
func (j *journal) oldest() hour { return hour(j.first.Load()) }

// hours writes into the buckets of the hours, and counts.
type hours struct {
	bucket *bolt.Bucket
}

func (h *hours) first() hour {
	if k, _ := h.bucket.Cursor().First(); len(k) == 4 {
		return hour(binary.BigEndian.Uint32(k))
	}
	return noHour
}

func (h *hours) expire(now time.Time) error {
	for {
		k, _ := h.bucket.Cursor().First()
		if k == nil {
			return nil
		}
		at, err := hourKey(k)
		if err != nil {
			panic(err)
		}
		if !at.over(now) {
			return nil
		}
		if err := h.bucket.DeleteBucket(bytes.Clone(k)); err != nil {
			return err
		}
		if err := h.bucket.SetSequence(h.bucket.Sequence() - 1); err != nil {
			return err
		}
	}
}

// put writes in the order of the keys: anything else costs many times as much.
func (h *hours) put(list []stored) error {
	slices.SortFunc(list, func(a, b stored) int { return a.position.compare(b.position) })
	for len(list) > 0 {
		at := list[0].hour
		n := 1
		for n < len(list) && list[n].hour == at {
			n++
		}
		bucket := h.bucket.Bucket(at.key())
		if bucket == nil {
			var err error
			if bucket, err = h.bucket.CreateBucket(at.key()); err != nil {
				return err
			}
			if err := h.bucket.SetSequence(h.bucket.Sequence() + 1); err != nil {
				return err
			}
		}
		count := bucket.Sequence()
		for _, s := range list[:n] {
			there := bucket.Get(s.digest[:]) != nil
			switch {
			case s.wire == nil && there:
				if err := bucket.Delete(s.digest[:]); err != nil {
					return err
				}
				count--
			case s.wire != nil:
				// bbolt keeps the value until the transaction ends.
				if err := bucket.Put(s.digest[:], seal(s.digest[:], s.wire)); err != nil {
					return err
				}
				if !there {
					count++
				}
			}
		}
		if err := bucket.SetSequence(count); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// writeOutbox appends what is new and drops what was acknowledged. Entries that
// expired while nobody could be told of them need no telling.
func writeOutbox(b *bolt.Bucket, batch *batch, now time.Time) error {
	count := b.Sequence()
	var trimmed [][]byte
	c := b.Cursor()
	for k, v := c.First(); k != nil && len(trimmed) < outboxTrim; k, v = c.Next() {
		seq := binary.BigEndian.Uint64(k)
		expired := len(v) >= 4+wireHead && int64(wireUntil(v[4:])) <= now.Unix()
		if seq > batch.state.acked && !expired {
			break
		}
		trimmed = append(trimmed, bytes.Clone(k))
		batch.state.acked = max(batch.state.acked, seq)
	}
	for _, k := range trimmed {
		if err := b.Delete(k); err != nil {
			return err
		}
		count--
	}
	b.FillPercent = 0.95 // keys only ever grow
	for _, o := range batch.outgoing {
		key := binary.BigEndian.AppendUint64(nil, o.Seq)
		if b.Get(key) == nil {
			count++
		}
		if err := b.Put(key, seal(key, o.Wire)); err != nil {
			return err
		}
	}
	return b.SetSequence(count)
}

func writeExpiries(b *bolt.Bucket, expiries map[string]int64) error {
	count := b.Sequence()
	for issuer, at := range expiries {
		key := []byte(issuer)
		if b.Get(key) == nil {
			count++
		}
		if err := b.Put(key, seal(key, binary.BigEndian.AppendUint64(nil, uint64(at)))); err != nil {
			return err
		}
	}
	return b.SetSequence(count)
}
