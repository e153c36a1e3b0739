package revocation

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Options say where a list is kept.
type Options struct {
	// Path is the file of the journal; its directories are created with mode
	// 0700, the file with 0600. Beside it lies <path>.wal, the log of what is
	// not in it yet. Empty: the list is kept in memory only.
	Path string
	// RenameDamaged sets a file aside that is damaged or foreign, as
	// <path>.damaged-<time>, and starts with an empty list. What was revoked
	// before is accepted again: it is for an operator to say.
	RenameDamaged bool
	Logger        *slog.Logger     // default: discard
	Now           func() time.Time // default: time.Now

	// For tests.
	noSync     bool                 // no file is synced
	syncLog    func(*os.File) error // in place of the sync of the log
	background int64                // files from this size are loaded in the background
	logHalf    int64                // bytes of half the log
	idle       bool                 // nothing happens on its own: tests call tick
}

// Errors of a Store.
var (
	// ErrNotFound means that no live entry has that identity.
	ErrNotFound = errors.New("no such revocation")
	// ErrNotDurable is wrapped when the disk failed or the caller's context
	// ended first: the change is in force, it is written again until it is on
	// disk, but a crash before that forgets it.
	ErrNotDurable = errors.New("revocation is not on disk yet")
	// ErrClosed means that the store takes no changes any more.
	ErrClosed = errors.New("revocation list is closed")
)

// DamageError is an error about a file that cannot be the journal, or is one in
// part only. The file is untouched.
type DamageError struct {
	Path   string
	Reason string
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("revocation journal %s: %s", e.Path, e.Reason)
}

// Result is what became of a change.
type Result struct {
	// Entry is the merged entry: what was asked for, and what was known of the
	// same identity before.
	Entry Entry
	// Durable is whether it is on disk; never for a list in memory only.
	Durable bool
}

// Filter chooses entries. Its zero value is every entry in force.
type Filter struct {
	Kind          Kind
	Issuer, Value string
	Undone        bool   // also those that were undone
	Cursor        string // where the page before ended
	Limit         int    // default 100, at most 10,000
}

// Outgoing is a change that other gateways have to hear of.
type Outgoing struct {
	Seq  uint64 // ascending, not contiguous
	Wire []byte // as AppendEntry writes it
}

// Stats are figures of a store, for metrics and the status page.
type Stats struct {
	Entries    map[Kind]int // in force
	Undone     int          // undone, until what they undid would have expired
	Foreign    int          // kept for a newer release
	Pending    int          // changed, not yet in the journal; most are in its log
	NotDurable int          // changed, on no disk yet
	Failing    bool         // the last write to disk failed
	Outbox     int          // waiting to be fed
	IndexBytes int64
	DiskBytes  int64
	// DiskError is why nothing can be written at present; empty while the disk
	// does its work.
	DiskError string
}
