package revocation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The journal is a bbolt file:
//
//	jwtgate   what the file is, and its state
//	entries   hour of until -> digest -> entry, so that an hour that has passed
//	          goes at once
//	foreign   the same for entries of another release, named by their bytes
//	outbox    sequence number -> entry
//	expiry    issuer -> latest expiry
//
// bbolt checks none of its data pages. So every value begins with a checksum
// over key and value, and the sequence number of each bucket is the number of
// its keys: what was lost is noticed as well as what was changed.
var (
	markerBucket  = []byte("jwtgate")
	entriesBucket = []byte("entries")
	foreignBucket = []byte("foreign")
	outboxBucket  = []byte("outbox")
	expiryBucket  = []byte("expiry")

	applicationKey = []byte("application")
	formatKey      = []byte("format")
	idKey          = []byte("id")
	stateKey       = []byte("state")
	application    = []byte("jwtgate revocation journal")
)

const (
	journalFormat = 1
	lockTimeout   = time.Second
)

type journal struct {
	path  string
	db    *bolt.DB
	file  *os.File // that db has open
	log   *journalLog
	id    journalID
	state state // as it was when the file was opened
	// wedged is set when a write panicked within bbolt, whose locks then may be
	// held for ever.
	wedged atomic.Bool
	first  atomic.Uint32 // see oldest
}

// journalID ties a journal to its log.
type journalID [8]byte

// state is what one transaction keeps consistent with the entries it writes.
type state struct {
	applied  uint64 // records of the log up to it are in the file
	clean    bool   // closed with nothing left in the log
	outboxOn bool
	acked    uint64 // of the outbox
	sequence uint64 // last one of the outbox
	position []byte // of the feed
}

func (s *state) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.applied)
	b = append(b, flag(s.clean), flag(s.outboxOn))
	b = binary.BigEndian.AppendUint64(b, s.acked)
	b = binary.BigEndian.AppendUint64(b, s.sequence)
	return append(b, s.position...)
}

func decodeState(b []byte) (state, error) {
	if len(b) < 26 {
		return state{}, errors.New("its state is cut off")
	}
	var position []byte
	if len(b) > 26 {
		position = bytes.Clone(b[26:])
	}
	return state{
		applied: binary.BigEndian.Uint64(b), clean: b[8] != 0, outboxOn: b[9] != 0,
		acked: binary.BigEndian.Uint64(b[10:]), sequence: binary.BigEndian.Uint64(b[18:]),
		position: position,
	}, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// close lets go of the files.
func (j *journal) close() error {
	err := j.log.close()
	if j.wedged.Load() {
		return errors.Join(err, letGo(j.file))
	}
	return errors.Join(err, j.db.Close())
}

// abandon lets go of what is open after a failure.
func (j *journal) abandon() {
	if j.log != nil {
		_ = j.log.close() // whatever is not in bbolt stays in the log
	}
	if !j.wedged.Load() {
		_ = guard(j.path, j.db.Close) // everything is committed
	}
	_ = letGo(j.file)
}

// size is what the file takes, without its log.
func (j *journal) size() int64 {
	info, err := os.Stat(j.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// guard turns what bbolt does on a damaged file, panics and reads beyond its
// end, into a *DamageError.
func guard(path string, f func() error) (err error) {
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if p := recover(); p != nil {
			err = &DamageError{path, fmt.Sprintf("damaged: %.200v", p)}
		}
	}()
	return f()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts the checksum of key and value before value.
func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(value)), sum), value...)
}

var errChecksum = errors.New("checksum does not match")

func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, errChecksum
	}
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[4:]) != binary.BigEndian.Uint32(sealed) {
		return nil, errChecksum
	}
	return sealed[4:], nil
}
