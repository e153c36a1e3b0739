package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
)

// TestLoanFollowsTheConfigurations: a source that outlives the configuration it
// was started by writes to the log and storage of one that is still there.
func TestLoanFollowsTheConfigurations(t *testing.T) {
	newLender := func() (*lender, *bytes.Buffer) {
		out := new(bytes.Buffer)
		return &lender{
			logger:  slog.New(slog.NewTextHandler(out, nil)),
			storage: &certmagic.FileStorage{Path: t.TempDir()},
		}, out
	}
	first, firstLog := newLender()
	second, secondLog := newLender()
	failed, failedLog := newLender()

	l := newLoan(first)
	log := l.logger().With("issuer", "i").WithGroup("g")
	ctx := context.Background()
	stored := func(from *lender) bool {
		_, err := from.storage.Load(ctx, "jwtgate/keys/k.json")
		return err == nil
	}

	log.Info("one", "k", "v")
	l.join(second)
	l.join(failed)
	l.leave(failed) // it failed to load
	l.leave(first)  // it was replaced
	log.Info("two", "k", "v")
	if err := l.Store(ctx, "jwtgate/keys/k.json", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := firstLog.String(); !strings.Contains(got, "msg=one issuer=i g.k=v") || strings.Contains(got, "two") {
		t.Errorf("first log: %s", got)
	}
	if got := secondLog.String(); !strings.Contains(got, "msg=two issuer=i g.k=v") {
		t.Errorf("second log: %s", got)
	}
	if failedLog.Len() > 0 || stored(failed) || stored(first) || !stored(second) {
		t.Errorf("log of the failed one %q; stored: first %t, failed %t, second %t", failedLog, stored(first), stored(failed), stored(second))
	}
	if got, err := l.Load(ctx, "jwtgate/keys/k.json"); err != nil || string(got) != "x" {
		t.Errorf("loaded %q, %v", got, err)
	}
	if _, err := l.Load(ctx, "jwtgate/keys/none.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading what is not there: %v", err)
	}
	l.leave(second)
	log.Info("three") // nobody is left: no panic
}

// TestLoanWithoutStorage says so.
func TestLoanWithoutStorage(t *testing.T) {
	l := newLoan(&lender{logger: slog.New(slog.DiscardHandler)})
	if _, err := l.Load(context.Background(), "x"); err == nil {
		t.Error("loaded from nowhere")
	}
	if err := l.Store(context.Background(), "x", nil); err == nil {
		t.Error("stored nowhere")
	}
}

// TestLoanRefusesOversizeData bounds what comes back from a storage that others
// can write to.
func TestLoanRefusesOversizeData(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	l := newLoan(&lender{logger: slog.New(slog.DiscardHandler), storage: storage})
	if err := storage.Store(context.Background(), "big", make([]byte, maxStored+1)); err != nil {
		t.Fatal(err)
	}
	if data, err := l.Load(context.Background(), "big"); err == nil {
		t.Errorf("loaded %d bytes", len(data))
	}
}
