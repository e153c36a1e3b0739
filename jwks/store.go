package jwks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	storageTimeout = 5 * time.Second
	// loadPatience is how long the first fetch waits for the last good keys;
	// slow storage may be later than the issuer.
	loadPatience = 2 * time.Second
	// saveInterval is how often an unchanged set is written again, so that its
	// age is known after a restart.
	saveInterval = time.Minute

	recordVersion = 1
)

// record is the stored form of the last good keys: a JWK set of the usable
// public keys alone, whatever else the document had.
type record struct {
	Version      int            `json:"version"`
	Issuer       string         `json:"issuer"`
	FetchedAt    time.Time      `json:"fetched_at"`
	FreshSeconds int64          `json:"fresh_seconds"` // 0: the answer did not say
	Document     jsontext.Value `json:"document"`

	keys []*Key
}

// store keeps the last good keys of one source. Reads happen once, writes one
// at a time and outside the goroutine that fetches: slow storage delays nothing.
type store struct {
	storage Storage
	name    string
	saved   time.Time // when the goroutine last handed something over

	mu      sync.Mutex
	next    []byte // what is to be written, the latest only
	writing bool
	broken  bool // the last write failed
}

// load reads the last good keys, and returns the channel on which they come
// when that takes long.
func (s *Source) load() <-chan *record {
	if s.store == nil {
		return nil
	}
	loaded := make(chan *record, 1)
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, storageTimeout)
		defer cancel()
		rec, err := s.store.read(ctx, s.cfg.Issuer)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			s.log.Warn("last good keys cannot be read from storage", "name", s.store.name, "error", err)
		}
		loaded <- rec
	})
	patience := time.NewTimer(loadPatience)
	defer patience.Stop()
	select {
	case rec := <-loaded:
		s.adopt(rec)
		return nil
	case <-patience.C:
	case <-s.ctx.Done():
	}
	return loaded
}

func (st *store) read(ctx context.Context, issuer string) (*record, error) {
	data, err := st.storage.Load(ctx, st.name)
	if err != nil {
		return nil, err
	}
	return parseRecord(data, issuer)
}

// parseRecord reads a stored record as strictly as a fetched document.
func parseRecord(data []byte, issuer string) (*record, error) {
	if len(data) > 2*maxDocument {
		return nil, errors.New("record is too long")
	}
	var rec record
	if err := json.Unmarshal(data, &rec, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("record is damaged")
	}
	switch {
	case rec.Version != recordVersion:
		return nil, fmt.Errorf("record has version %d, not %d", rec.Version, recordVersion)
	case rec.Issuer != issuer:
		return nil, fmt.Errorf("record is of issuer %s", quote(rec.Issuer))
	case rec.FetchedAt.IsZero() || rec.FreshSeconds < 0 || rec.FreshSeconds > int64(maxFresh/time.Second):
		return nil, errors.New("record has times that make no sense")
	}
	doc, err := parseDocument(rec.Document)
	if err != nil {
		return nil, err
	}
	rec.keys = doc.keys
	return &rec, nil
}

// adopt puts stored keys to use unless there are fetched ones, or they are too
// old.
func (s *Source) adopt(rec *record) {
	if rec == nil || s.current.Load().set != nil {
		return
	}
	now := s.now()
	began := rec.FetchedAt
	if began.After(now) {
		began = now // the clock was set back; they are no fresher than now
	}
	fresh := time.Duration(rec.FreshSeconds) * time.Second
	if fresh == 0 {
		fresh = s.cfg.refresh()
	}
	due := began.Add(fresh)
	until := due.Add(s.cfg.MaxStale)
	if !now.Before(until) {
		s.log.Info("last good keys in storage have passed max_stale and are not used", "fetched_at", rec.FetchedAt)
		return
	}
	s.plan.warn = due.Add(s.cfg.MaxStale / 5 * 4)
	for _, k := range rec.keys {
		k.since = began
	}
	s.publish(rec.keys, due, until)
	s.mu.Lock()
	s.status.FetchedAt = began
	s.mu.Unlock()
	if s.plan.condition == unusable {
		s.plan.condition = failing
	}
	s.log.Info("last good keys read from storage", "fetched_at", rec.FetchedAt, "usable_until", until)
}

// save hands the current keys over to be written.
func (s *Source) save(got fetched, changed bool) {
	st := s.store
	if st == nil || !changed && got.began.Sub(st.saved) < saveInterval {
		return
	}
	set := s.current.Load().set
	data, err := json.Marshal(record{
		Version: recordVersion, Issuer: s.cfg.Issuer, FetchedAt: got.began.UTC(),
		FreshSeconds: int64(got.fresh / time.Second), Document: set.document(),
	}, jsontext.Multiline(true))
	if err != nil {
		s.log.Warn("last good keys cannot be written", "error", err)
		return
	}
	st.saved = got.began
	st.mu.Lock()
	defer st.mu.Unlock()
	st.next = data
	if !st.writing {
		st.writing = true
		s.work.Go(s.write)
	}
}

// write writes what save handed over, until there is nothing more. A write that
// has begun may end after Close was called; Close waits for it.
func (s *Source) write() {
	st := s.store
	for {
		st.mu.Lock()
		data := st.next
		st.next = nil
		if data == nil {
			st.writing = false
			st.mu.Unlock()
			return
		}
		st.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), storageTimeout)
		err := st.storage.Store(ctx, st.name, data)
		cancel()
		if err != nil && !st.broken {
			s.log.Warn("last good keys cannot be stored; a restart during an outage of the issuer will be without keys", "name", st.name, "error", err)
		}
		if err == nil && st.broken {
			s.log.Info("last good keys are stored again", "name", st.name)
		}
		st.broken = err != nil
	}
}

// document returns the public keys of s as a JWK set.
func (s *Set) document() jsontext.Value {
	var b bytes.Buffer
	b.WriteString(`{"keys":[`)
	first := true
	for _, k := range s.keys {
		if k.kty == "oct" {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.Write(k.jwk())
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// jwk returns k as a JWK with its kid and the one algorithm it may be limited to.
func (k *Key) jwk() []byte {
	b := bytes.TrimSuffix(k.publicJWK(), []byte("}"))
	if k.id != "" {
		b = append(b, `,"kid":`...)
		b, _ = jsontext.AppendQuote(b, k.id) // valid UTF-8: it came out of JSON
	}
	if as := k.algs.List(); len(as) == 1 {
		b = fmt.Appendf(b, `,"alg":%q`, as[0])
	}
	return append(b, '}')
}
