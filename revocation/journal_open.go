package revocation

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

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
	defer func() { _ = letGo(file) }()
	return guard(path, func() error {
		defer func() { _ = db.Close() }()
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
		_ = letGo(file)
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
