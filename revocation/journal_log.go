package revocation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// journalLog is the log of what is not in the journal yet: a bbolt transaction
// costs two syncs and scattered writes, a record here costs one of each.
//
// The file is a page that says whose log it is and two halves, written in turn.
// A half begins with a record at its first byte, and records follow each other
// with numbers that grow by one. What follows the last one was left by an
// earlier round, has lower numbers, and is ignored. Only the last record can be
// torn by a crash, because the next is written after it was synced: one that is
// unreadable with a later one behind it is damage. Damage of the very end
// cannot be told from a torn record.
//
//	record: magic 4, length 4, checksum 4, 0 4, number 8, payload, padding to 8
type journalLog struct {
	path string
	file *os.File
	id   journalID
	sync func(*os.File) error
	half int64 // bytes of each

	mu        sync.Mutex
	number    uint64    // of the last record
	current   int       // the half that is written
	offset    int64     // in it
	allocated [2]int64  // bytes of each half that are not holes
	last      [2]uint64 // number of the last record in each half
	applied   uint64    // records up to it are in the journal
	previous  uint64    // and in the state before, to which bbolt falls back from a damaged meta page
	since     int64     // bytes written since the checkpoint
	broken    bool      // a write failed: what the tail holds is unknown
	buffer    []byte
}

const (
	logMagic      = 0x6a77_6c31
	logHeader     = 4096
	logHalf       = 32 << 20
	logAllocate   = 256 << 10
	logRecordHead = 24
	// logCheckpoint is how many bytes make a checkpoint due: four fit in a half,
	// so that the other half is free when one is full.
	logCheckpoint = logHalf / 4
)

var (
	logTitle = []byte("jwtgate revocation log 1\n")

	errLogFull   = errors.New("the log is full")
	errLogBroken = errors.New("the log failed before")
)

// openLog opens or creates the log of the journal with that id, in which
// records up to applied are. It may be missing only when the journal was closed
// with nothing left in it.
func openLog(path string, id journalID, applied uint64, clean bool, opts *Options) (*journalLog, error) {
	l := &journalLog{path: path, id: id, half: logHalf, sync: syncFile, applied: applied, previous: applied, number: applied}
	if opts.logHalf != 0 {
		l.half = opts.logHalf
	}
	if opts.syncLog != nil {
		l.sync = opts.syncLog
	}
	if opts.noSync {
		l.sync = func(*os.File) error { return nil }
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) && clean {
		return l, l.create()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamageError{path, "missing, and the journal was not closed: it may hold revocations that the journal lacks"}
	}
	if err != nil {
		return nil, fmt.Errorf("revocation log: %w", err)
	}
	l.file = file
	if err := l.inspect(); err != nil {
		file.Close()
		return nil, err
	}
	return l, nil
}

// inspect looks whether the file is the log of this journal.
func (l *journalLog) inspect() error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("revocation log: %w", err)
	}
	if info.Size() < logHeader+logAllocate {
		return &DamageError{l.path, fmt.Sprintf("cut off: %d bytes", info.Size())}
	}
	page := make([]byte, logHeader)
	if _, err := l.file.ReadAt(page, 0); err != nil {
		return fmt.Errorf("revocation log: %w", err)
	}
	if !bytes.Equal(page, l.page()) {
		return &DamageError{l.path, "damaged, or the log of another journal"}
	}
	return nil
}

func (l *journalLog) page() []byte {
	page := make([]byte, logHeader)
	n := copy(page, logTitle)
	copy(page[n:], l.id[:])
	return page
}

// create writes the log under another name first: a log is there as a whole or
// not at all.
func (l *journalLog) create() (err error) {
	name := l.path + ".new"
	// With room for records from the start, so that a file that was cut off
	// shows.
	err = l.writeNew(name, append(l.page(), make([]byte, logAllocate)...))
	if err == nil {
		err = os.Rename(name, l.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err == nil {
		l.file, err = os.OpenFile(l.path, os.O_RDWR, 0o600)
	}
	if err != nil {
		return fmt.Errorf("revocation log: %w", err)
	}
	return nil
}

func (l *journalLog) writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = l.sync(f)
	}
	return errors.Join(err, f.Close())
}

func (l *journalLog) base(half int) int64 { return logHeader + int64(half)*l.half }

// append writes one record and syncs. After an error nobody knows whether it is
// on the disk, and the log takes no more until the next checkpoint.
func (l *journalLog) append(payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return errLogBroken
	}
	size := int64(logRecordHead+len(payload)+7) / 8 * 8
	if l.offset+size > l.half {
		other := 1 - l.current
		if size > l.half || l.last[other] > l.previous {
			return errLogFull
		}
		l.current, l.offset = other, 0
	}
	l.number++ // also when it fails: it may be there
	l.last[l.current] = l.number
	if err := l.write(payload, size); err != nil {
		l.broken = true
		return err
	}
	l.offset += size
	l.since += size
	return nil
}

func (l *journalLog) write(payload []byte, size int64) error {
	b := append(l.buffer[:0], make([]byte, logRecordHead)...)
	b = append(b, payload...)
	b = append(b, make([]byte, int(size)-len(b))...)
	binary.BigEndian.PutUint32(b, logMagic)
	binary.BigEndian.PutUint32(b[4:], uint32(len(payload)))
	binary.BigEndian.PutUint64(b[16:], l.number)
	binary.BigEndian.PutUint32(b[8:], l.checksum(b[16:logRecordHead+len(payload)]))
	if cap(b) <= 1<<20 {
		l.buffer = b
	}
	if end := l.offset + size; end > l.allocated[l.current] {
		// Overwriting blocks that are there makes a sync cheaper than growing
		// the file by every record.
		from := l.allocated[l.current]
		to := min((end+logAllocate-1)/logAllocate*logAllocate, l.half)
		if _, err := l.file.WriteAt(make([]byte, to-from), l.base(l.current)+from); err != nil {
			return err
		}
		if err := l.sync(l.file); err != nil {
			return err
		}
		l.allocated[l.current] = to
	}
	if _, err := l.file.WriteAt(b, l.base(l.current)+l.offset); err != nil {
		return err
	}
	return l.sync(l.file)
}

// checksum covers number and payload, and the journal that they belong to.
func (l *journalLog) checksum(numbered []byte) uint32 {
	return crc32.Update(crc32.Checksum(l.id[:], castagnoli), castagnoli, numbered)
}

// mark returns the number of the last record. Whoever wrote it had put its
// changes among the pending ones before.
func (l *journalLog) mark() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// release is told that records up to number are in the journal.
func (l *journalLog) release(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.previous, l.applied = l.applied, number
	l.since = 0
	if l.broken && l.number <= number {
		l.current, l.offset = 1-l.current, 0
		l.broken = false
	}
}

// due reports whether so much was written that a checkpoint is due.
func (l *journalLog) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since >= logCheckpoint
}

// size is what the log takes.
func (l *journalLog) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return logHeader + l.allocated[0] + l.allocated[1]
}

func (l *journalLog) close() error { return l.file.Close() }

// syncDir makes the names in a directory durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
