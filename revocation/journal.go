package revocation

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
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

// openJournal opens or creates the journal at path and its log, and holds the
// lock on the file. A file that is not a whole journal is left as it is, with a
// *DamageError.
func openJournal(opts *Options) (_ *journal, err error) {
	path := opts.Path
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("revocation journal: %w", err)
	}
	if err := inspect(path); err != nil {
		return nil, err
	}
	j := &journal{path: path}
	j.db, j.file, err = openBolt(path, &bolt.Options{
		Timeout: lockTimeout,
		// An unsynced free list is found again by a walk through the whole file,
		// in a goroutine whose panics nobody can catch.
		NoFreelistSync: false,
		FreelistType:   bolt.FreelistMapType,
		NoSync:         opts.noSync,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			j.abandon()
		}
	}()
	if err := j.prepare(); err != nil {
		return nil, err
	}
	l, err := openLog(j.path+".wal", j.id, j.state.applied, j.state.clean, opts)
	if err != nil {
		return nil, err
	}
	j.log = l
	if opts.noSync {
		return j, nil
	}
	return j, syncDir(filepath.Dir(path))
}

// inspect looks at what is there without changing it: opening for writing may
// change even a file that turns out to be another's.
func inspect(path string) error {
	info, err := os.Stat(path)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case err != nil && !missing:
		return fmt.Errorf("revocation journal: %w", err)
	case !missing && !info.Mode().IsRegular():
		return &DamageError{path, "not a regular file"}
	case missing || info.Size() == 0:
		if _, err := os.Stat(path + ".wal"); err == nil {
			return &DamageError{path, "missing or empty, but its log is there"}
		}
		return nil
	}
	db, file, err := openBolt(path, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return err
	}
	defer letGo(file)
	return guard(path, func() error {
		defer db.Close()
		return db.View(func(tx *bolt.Tx) error {
			if info, err := file.Stat(); err != nil {
				return err
			} else if tx.Size() > info.Size() {
				return &DamageError{path, fmt.Sprintf("cut off: %d bytes of %d", info.Size(), tx.Size())}
			}
			_, _, err := readMarker(tx, path)
			return err
		})
	})
}

// openBolt opens path and says in words what keeps it from that.
func openBolt(path string, o *bolt.Options) (db *bolt.DB, file *os.File, err error) {
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		file = f
		return f, err
	}
	err = guard(path, func() error {
		var err error
		db, err = bolt.Open(path, 0o600, o)
		return err
	})
	if err == nil {
		return db, file, nil
	}
	if file != nil {
		letGo(file)
	}
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		return nil, nil, err
	case errors.Is(err, berrors.ErrTimeout):
		return nil, nil, fmt.Errorf("revocation journal %s: another process has it open", path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, nil, &DamageError{path, "not a database of ours, or its first pages are damaged: " + err.Error()}
	}
	var system syscall.Errno
	if errors.As(err, &system) {
		return nil, nil, fmt.Errorf("revocation journal %s: %w", path, err)
	}
	return nil, nil, &DamageError{path, "damaged: " + err.Error()}
}

// readMarker checks what the file is and returns its id and state.
func readMarker(tx *bolt.Tx, path string) (journalID, state, error) {
	b := tx.Bucket(markerBucket)
	if b == nil || !bytes.Equal(b.Get(applicationKey), application) {
		return journalID{}, state{}, &DamageError{path, "a database of another application"}
	}
	if f := b.Get(formatKey); len(f) != 4 {
		return journalID{}, state{}, &DamageError{path, "its format is not stated"}
	} else if n := binary.BigEndian.Uint32(f); n != journalFormat {
		return journalID{}, state{}, &DamageError{path, fmt.Sprintf("format %d of another release; this one writes %d", n, journalFormat)}
	}
	id, err := unseal(idKey, b.Get(idKey))
	if err != nil || len(id) != len(journalID{}) {
		return journalID{}, state{}, &DamageError{path, "its id is damaged"}
	}
	value, err := unseal(stateKey, b.Get(stateKey))
	if err != nil {
		return journalID{}, state{}, &DamageError{path, "its state is damaged"}
	}
	st, err := decodeState(value)
	if err != nil {
		return journalID{}, state{}, &DamageError{path, err.Error()}
	}
	for _, name := range [][]byte{entriesBucket, foreignBucket, outboxBucket, expiryBucket} {
		if tx.Bucket(name) == nil {
			return journalID{}, state{}, &DamageError{path, fmt.Sprintf("bucket %s is missing", name)}
		}
	}
	return journalID(id), st, nil
}

// prepare writes the marker into a new file and reads that of an old one.
func (j *journal) prepare() error {
	return guard(j.path, func() error {
		empty := false
		err := j.db.View(func(tx *bolt.Tx) error {
			if k, _ := tx.Cursor().First(); k == nil {
				empty = true
				return nil
			}
			var err error
			j.id, j.state, err = readMarker(tx, j.path)
			return err
		})
		if err != nil || !empty {
			return err
		}
		if _, err := rand.Read(j.id[:]); err != nil {
			return err
		}
		j.state = state{clean: true}
		return j.db.Update(func(tx *bolt.Tx) error {
			for _, name := range [][]byte{entriesBucket, foreignBucket, outboxBucket, expiryBucket} {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			b, err := tx.CreateBucket(markerBucket)
			if err != nil {
				return err
			}
			return errors.Join(
				b.Put(applicationKey, application),
				b.Put(formatKey, binary.BigEndian.AppendUint32(nil, journalFormat)),
				b.Put(idKey, seal(idKey, j.id[:])),
				b.Put(stateKey, seal(stateKey, j.state.encode())))
		})
	})
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
		j.log.close()
	}
	if !j.wedged.Load() {
		guard(j.path, j.db.Close)
	}
	letGo(j.file)
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

// setAside renames a damaged journal and its log, and returns the new name.
func setAside(path string, now time.Time) (string, error) {
	aside := path + ".damaged-" + now.UTC().Format("20060102T150405.000000000Z")
	for _, suffix := range []string{"", ".wal"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, syncDir(filepath.Dir(path))
}
