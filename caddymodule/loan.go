package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/certmagic"
)

// lender is what one configuration lends to pooled values: its logger and its
// storage, both of which end with it.
type lender struct {
	logger  *slog.Logger
	storage certmagic.Storage // may be nil
	// idle says that the configuration is never started: its sources fetch only
	// when they are asked to, and are shared with none that is.
	idle bool
}

// loan lets a pooled value use the logger and the storage of whichever
// configuration that holds it came last. It implements jwks.Storage. Safe for
// concurrent use.
type loan struct {
	mu   sync.Mutex
	from []*lender // in the order in which they came; the last one is used
	last *lender   // the one used last, for when all have left
}

func newLoan(from *lender) *loan { return &loan{from: []*lender{from}, last: from} }

func (l *loan) join(from *lender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from = append(l.from, from)
	l.last = from
}

// leave ends one join of from.
func (l *loan) leave(from *lender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.from, from); i >= 0 {
		l.from = slices.Delete(l.from, i, i+1)
	}
	if len(l.from) > 0 {
		l.last = l.from[len(l.from)-1]
	}
}

func (l *loan) current() *lender {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

var errNoStorage = errors.New("there is no storage")

// maxStored bounds what is taken back from a storage.
const maxStored = 1 << 20

// Load implements jwks.Storage.
func (l *loan) Load(ctx context.Context, name string) ([]byte, error) {
	storage := l.current().storage
	if storage == nil {
		return nil, errNoStorage
	}
	data, err := storage.Load(ctx, name)
	if err == nil && len(data) > maxStored {
		return nil, fmt.Errorf("stored keys %s: %d bytes", name, len(data))
	}
	return data, err
}

// Store implements jwks.Storage.
func (l *loan) Store(ctx context.Context, name string, data []byte) error {
	storage := l.current().storage
	if storage == nil {
		return errNoStorage
	}
	return storage.Store(ctx, name, data)
}

// logger returns a logger that always writes to the current lender's.
func (l *loan) logger() *slog.Logger { return slog.New(loanHandler{loan: l}) }

// loanHandler is a slog.Handler over the current lender's. What was added to
// it is added again to each.
type loanHandler struct {
	loan *loan
	add  []func(slog.Handler) slog.Handler
}

func (h loanHandler) current() slog.Handler {
	handler := h.loan.current().logger.Handler()
	for _, add := range h.add {
		handler = add(handler)
	}
	return handler
}

// Enabled implements slog.Handler.
func (h loanHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.loan.current().logger.Handler().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h loanHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.current().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h loanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h loanHandler) WithGroup(name string) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h loanHandler) with(add func(slog.Handler) slog.Handler) slog.Handler {
	return loanHandler{loan: h.loan, add: append(slices.Clone(h.add), add)}
}
