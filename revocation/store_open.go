package revocation

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// Store is the revocation list of a process: the index in memory, which answers
// requests, and the journal on disk, which remembers. Safe for concurrent use.
//
// A change applies to the index, joins the pending ones, and is acknowledged
// once a record of the log has it; records are written by one goroutine, for
// all that wait at once. A checkpoint moves what is pending into the journal.
//
// Locks are taken in the order saving, a stripe, mu.
type Store struct {
	options Options
	log     *slog.Logger
	now     func() time.Time
	index   *Index
	journal *journal // nil: memory only

	loaded     atomic.Bool
	loadEnd    chan struct{} // closed when loading is over
	loadErr    error         // valid then
	progress   atomic.Int64
	loadTotal  int64
	cancelLoad atomic.Bool

	// stripes serialize the changes of one identity from reading what is known
	// of it to having it among the pending ones.
	stripes [256]sync.Mutex
	// saving is held by the one that writes the journal.
	saving sync.Mutex

	mu       sync.Mutex
	active   pending // changed since the last checkpoint began
	flushing pending // being written; only read
	undone   map[Digest]uint32
	foreign  map[Digest]uint32
	groups   []*group // waiting for the log
	outbox   outbox
	position []byte // of the feed, last given
	saved    []byte // of the feed, on disk
	health   health
	closed   bool

	expiries expiries

	unreadable atomic.Bool // and said so

	wake      chan struct{} // groups has something
	kick      chan struct{} // a checkpoint is due
	stop      chan struct{}
	writer    sync.WaitGroup // the goroutine that writes the log
	others    sync.WaitGroup // loading and keeping
	closeOnce sync.Once
	closeErr  error
}

// errLoading is what Revoked answers until the list is loaded.
var errLoading error = token.Refuse(token.RevocationLoading, "", "")

// smallJournal is up to which size a journal is loaded before Open returns, so
// that damage is reported there and nobody has to wait: it takes a fraction of
// a second.
const smallJournal = 32 << 20

// Open takes the file's lock, checks the file and starts to load it in the
// background; a small one is loaded on return, and so is any with
// RenameDamaged. Open fails at once with a *DamageError if the file is damaged
// or another's, and after a second if another process has it. Damage that is
// found in the background keeps the store from becoming ready.
func Open(opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.background == 0 {
		opts.background = smallJournal
	}
	if opts.Path == "" {
		s := newStore(opts, nil)
		s.loaded.Store(true)
		close(s.loadEnd)
		s.start()
		return s, nil
	}
	s, err := openStore(opts)
	var damage *DamageError
	if errors.As(err, &damage) && opts.RenameDamaged {
		aside, renameErr := setAside(opts.Path, opts.Now())
		if renameErr != nil {
			return nil, errors.Join(err, renameErr)
		}
		opts.Logger.Error("revocation journal set aside; what was revoked in it is accepted again",
			"path", opts.Path, "renamed", aside, "error", err)
		s, err = openStore(opts)
	}
	if err != nil {
		return nil, err
	}
	s.start()
	return s, nil
}

func newStore(opts Options, j *journal) *Store {
	s := &Store{
		options: opts, log: opts.Logger, now: opts.Now, index: NewIndex(), journal: j,
		loadEnd: make(chan struct{}),
		active:  newPending(), flushing: newPending(),
		undone: make(map[Digest]uint32), foreign: make(map[Digest]uint32),
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	s.outbox.ready = make(chan struct{}, 1)
	s.expiries.known.Store(&map[string]*expiry{})
	return s
}

// openStore opens the journal, replays its log, and loads it or leaves that to
// start.
func openStore(opts Options) (*Store, error) {
	j, err := openJournal(&opts)
	if err != nil {
		return nil, err
	}
	s := newStore(opts, j)
	err = s.restore()
	if err == nil && (opts.RenameDamaged || j.size() < opts.background) {
		err = s.load()
		s.endLoad(err)
	}
	if err != nil {
		j.abandon()
		return nil, err
	}
	return s, nil
}

// start begins what goes on in the background.
func (s *Store) start() {
	if s.journal != nil {
		s.writer.Go(s.writeLog)
		select {
		case <-s.loadEnd:
		default:
			s.others.Go(func() { s.endLoad(s.load()) })
		}
	}
	if !s.options.idle {
		s.others.Go(s.keep)
	}
}

// Revoked implements Checker. While the list is being loaded, or after it could
// not be, the error is a *token.Refusal with reason RevocationLoading. It goes
// on answering after Close.
func (s *Store) Revoked(ids *IDs) (Kind, error) {
	if !s.loaded.Load() {
		return 0, errLoading
	}
	return s.index.Revoked(ids, s.now()), nil
}

// Ready returns nil once the list is loaded, else why it is not; then Revoked
// refuses.
func (s *Store) Ready() error {
	select {
	case <-s.loadEnd:
		return s.loadErr
	default:
		return errLoading
	}
}

// Wait returns when the list is loaded, with an error when that failed or ctx
// ended first.
func (s *Store) Wait(ctx context.Context) error {
	select {
	case <-s.loadEnd:
		return s.loadErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits until everything is on disk and lets go of the file. Revoked goes
// on answering from memory; changes return ErrClosed. It may be called again.
// Where the disk fails, what the log could not take is lost, and the error says
// so.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.shut() })
	return s.closeErr
}

// Destruct implements caddy.Destructor.
func (s *Store) Destruct() error { return s.Close() }

func (s *Store) shut() error {
	s.cancelLoad.Store(true)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.others.Wait()
	s.writer.Wait()
	if s.journal == nil {
		return nil
	}
	var err error
	if s.loaded.Load() {
		err = s.checkpoint(true)
	}
	if s.Stats().NotDurable > 0 {
		return errors.Join(ErrNotDurable, err, s.journal.close())
	}
	// If the checkpoint failed, the log has what the journal lacks.
	return s.journal.close()
}
