package revocation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// hour numbers the bucket that an entry lies in.
type hour uint32

// over reports whether everything in the hour has expired at now.
func (h hour) over(now time.Time) bool { return (int64(h)+1)*3600 <= now.Unix() }

func (h hour) key() []byte { return binary.BigEndian.AppendUint32(nil, uint32(h)) }

func hourKey(k []byte) (hour, error) {
	if len(k) != 4 {
		return 0, fmt.Errorf("a bucket of entries has the name %x", k)
	}
	return hour(binary.BigEndian.Uint32(k)), nil
}

// wireUntil reads until, in seconds, from a wire form that has a whole head.
func wireUntil(wire []byte) uint32 { return binary.BigEndian.Uint32(wire[2:]) }

// wireHour is the hour of a wire form that has a whole head.
func wireHour(wire []byte) hour { return hour(wireUntil(wire) / 3600) }

// position is where an entry lies: entries are ordered by it.
type position struct {
	hour   hour
	digest Digest
}

func (p position) compare(q position) int {
	if p.hour != q.hour {
		return int(int64(p.hour) - int64(q.hour))
	}
	return bytes.Compare(p.digest[:], q.digest[:])
}

// view runs f in a read transaction. No lock may be taken within f that is held
// by others over view: a commit that has to grow the file waits for f, and all
// others wait for the commit.
func (j *journal) view(f func(tx *bolt.Tx) error) error {
	if j.wedged.Load() {
		return &DamageError{j.path, "damaged while it was written"}
	}
	err := guard(j.path, func() error { return j.db.View(f) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// damaged is a *DamageError about a record.
func (j *journal) damaged(bucket, key []byte, err error) error {
	return &DamageError{j.path, fmt.Sprintf("%s, key %x: %v", bucket, key, err)}
}

// total returns how many entries the file says it has, foreign ones included.
func (j *journal) total() (n int, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		for _, top := range [][]byte{entriesBucket, foreignBucket} {
			b := tx.Bucket(top)
			if err := b.ForEachBucket(func(k []byte) error {
				n += int(b.Bucket(k).Sequence())
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// scan calls f for every record under top, in order, within one transaction,
// and compares what there is with what there should be. value is valid during
// the call.
func (j *journal) scan(top []byte, f func(h hour, id Digest, value []byte) error) error {
	return j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(top)
		hours, want := 0, int(b.Sequence())
		cursor := b.Cursor()
		for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
			h, err := hourKey(k)
			if err != nil || v != nil {
				return j.damaged(top, k, errors.New("not an hour"))
			}
			if err := j.scanHour(top, h, b.Bucket(k), f); err != nil {
				return err
			}
			hours++
		}
		if hours != want {
			return &DamageError{j.path, fmt.Sprintf("%s has %d hours, not %d", top, hours, want)}
		}
		return nil
	})
}

func (j *journal) scanHour(top []byte, h hour, b *bolt.Bucket, f func(h hour, id Digest, value []byte) error) error {
	found, want := 0, int(b.Sequence())
	var last Digest
	cursor := b.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		value, err := unseal(k, v)
		if err == nil && len(k) != len(last) {
			err = errors.New("not an id")
		}
		if err == nil && found > 0 && bytes.Compare(last[:], k) >= 0 {
			err = errors.New("out of order")
		}
		if err == nil && (len(value) < wireHead || wireHour(value) != h) {
			err = errors.New("in the wrong hour")
		}
		if err != nil {
			return j.damaged(top, k, err)
		}
		last = Digest(k)
		if err := f(h, last, value); err != nil {
			return err
		}
		found++
	}
	if found != want {
		return &DamageError{j.path, fmt.Sprintf("hour %d of %s has %d entries, not %d", h, top, found, want)}
	}
	return nil
}

// stored is a record that was copied out of a transaction.
type stored struct {
	position
	wire []byte
}

// page returns up to n records under top after a position, and whether it
// reached the end.
func (j *journal) page(top []byte, after position, n int) (list []stored, end bool, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(top)
		hours := b.Cursor()
		for k, _ := hours.Seek(after.hour.key()); k != nil; k, _ = hours.Next() {
			h, err := hourKey(k)
			if err != nil {
				return j.damaged(top, k, err)
			}
			c := b.Bucket(k).Cursor()
			k, v := c.First()
			if h == after.hour {
				k, v = c.Seek(after.digest[:])
			}
			for ; k != nil; k, v = c.Next() {
				wire, err := unseal(k, v)
				if err == nil && (len(k) != len(Digest{}) || len(wire) < wireHead) {
					err = errors.New("not an entry")
				}
				if err != nil {
					return j.damaged(top, k, err)
				}
				p := position{h, Digest(k)}
				if p.compare(after) <= 0 {
					continue
				}
				if len(list) == n {
					return nil
				}
				list = append(list, stored{p, bytes.Clone(wire)})
			}
		}
		end = true
		return nil
	})
	return list, end, err
}

// get returns a copy of the entry in that hour, nil if it is not there.
func (j *journal) get(h hour, id Digest) (wire []byte, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(entriesBucket).Bucket(h.key()); b != nil {
			var err error
			wire, err = j.read(b, id)
			return err
		}
		return nil
	})
	return wire, err
}

// find looks for an entry in every hour that is not over: for a list that is
// not loaded yet.
func (j *journal) find(id Digest, now time.Time) (wire []byte, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		top := tx.Bucket(entriesBucket)
		c := top.Cursor()
		for k, _ := c.Seek(hour(clampSeconds(now.Unix()) / 3600).key()); k != nil; k, _ = c.Next() {
			b := top.Bucket(k)
			if b == nil {
				return j.damaged(entriesBucket, k, errors.New("not an hour"))
			}
			var err error
			if wire, err = j.read(b, id); wire != nil || err != nil {
				return err
			}
		}
		return nil
	})
	return wire, err
}

func (j *journal) read(b *bolt.Bucket, id Digest) ([]byte, error) {
	v := b.Get(id[:])
	if v == nil {
		return nil, nil
	}
	wire, err := unseal(id[:], v)
	if err == nil && len(wire) < wireHead {
		err = errors.New("not an entry")
	}
	if err != nil {
		return nil, j.damaged(entriesBucket, id[:], err)
	}
	return bytes.Clone(wire), nil
}

// outgoing returns up to limit changes of the outbox from a sequence number on.
func (j *journal) outgoing(from uint64, limit int) (list []Outgoing, err error) {
	err = j.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(outboxBucket).Cursor()
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, from)); k != nil && len(list) < limit; k, v = c.Next() {
			wire, err := unseal(k, v)
			if err != nil || len(k) != 8 {
				return j.damaged(outboxBucket, k, errChecksum)
			}
			list = append(list, Outgoing{binary.BigEndian.Uint64(k), bytes.Clone(wire)})
		}
		return nil
	})
	return list, err
}

// side reads what is small: it checks the outbox and returns its last sequence
// number, and the expiries.
func (j *journal) side() (last uint64, expiries map[string]int64, err error) {
	expiries = make(map[string]int64)
	err = j.view(func(tx *bolt.Tx) error {
		n, b := uint64(0), tx.Bucket(outboxBucket)
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if _, err := unseal(k, v); err != nil || len(k) != 8 {
				return j.damaged(outboxBucket, k, errChecksum)
			}
			last = binary.BigEndian.Uint64(k)
			n++
		}
		if n != b.Sequence() {
			return &DamageError{j.path, fmt.Sprintf("the outbox has %d entries, not %d", n, b.Sequence())}
		}
		n, b = 0, tx.Bucket(expiryBucket)
		c = b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			value, err := unseal(k, v)
			if err != nil || len(value) != 8 {
				return j.damaged(expiryBucket, k, errChecksum)
			}
			expiries[string(k)] = int64(binary.BigEndian.Uint64(value))
			n++
		}
		if n != b.Sequence() {
			return &DamageError{j.path, fmt.Sprintf("there are %d expiries, not %d", n, b.Sequence())}
		}
		return nil
	})
	return last, expiries, err
}
