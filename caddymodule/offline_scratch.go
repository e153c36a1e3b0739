package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// noise keeps Caddy's process-wide logger quiet while configurations are loaded
// offline: a command prints what it has to say itself.
var noise silence

// silence is counted: the last one who restores gives back what the first one
// took.
type silence struct {
	mu      sync.Mutex
	users   int
	logger  *zap.Logger
	storage certmagic.Storage
}

// hush makes the default logger a buffer. Loading a configuration replaces it
// and empties the buffer into what comes instead, which is nowhere.
func (s *silence) hush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users++; s.users == 1 {
		s.storage = certmagic.Default.Storage
		_, s.logger, _ = caddy.BufferedLog()
	}
}

// restore gives back logger and storage.
func (s *silence) restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		certmagic.Default.Storage = s.storage
		_, _, _ = caddy.BufferedLog()
		caddy.UnbufferDefaultLogger(s.logger)
	}
}

// scratchModule is the storage of configurations that are loaded offline. It is
// registered when the first one is: no other configuration has a use for it.
const scratchModule = "jwtgate_scratch"

var registerScratch = sync.OnceFunc(func() { caddy.RegisterModule(new(scratch)) })

// scratch is a storage in memory, empty at first.
type scratch struct {
	// BehindRaw is a storage that is read where this one has nothing, and never
	// written. Nil: none.
	BehindRaw json.RawMessage `json:"behind,omitempty" caddy:"namespace=caddy.storage inline_key=module"`

	mu     sync.Mutex
	files  map[string]scratchFile
	behind certmagic.Storage
}

// Provision opens the storage behind.
func (s *scratch) Provision(ctx caddy.Context) error {
	if len(s.BehindRaw) == 0 {
		return nil
	}
	module, err := ctx.LoadModule(s, "BehindRaw")
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	converter, ok := module.(caddy.StorageConverter)
	if !ok {
		return fmt.Errorf("storage: a %T is none", module)
	}
	s.behind, err = converter.CertMagicStorage()
	return err
}

type scratchFile struct {
	data []byte
	at   time.Time
}

// CaddyModule returns the module information.
func (*scratch) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage." + scratchModule, New: func() caddy.Module { return &scratch{files: make(map[string]scratchFile)} }}
}

// CertMagicStorage implements caddy.StorageConverter.
func (s *scratch) CertMagicStorage() (certmagic.Storage, error) { return s, nil }

// Store implements certmagic.Storage.
func (s *scratch) Store(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[key] = scratchFile{slices.Clone(value), time.Now()}
	return nil
}

// Load implements certmagic.Storage.
func (s *scratch) Load(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	f, ok := s.files[key]
	s.mu.Unlock()
	switch {
	case ok:
		return slices.Clone(f.data), nil
	case s.behind != nil:
		return s.behind.Load(ctx, key)
	}
	return nil, fs.ErrNotExist
}

// Delete implements certmagic.Storage.
func (s *scratch) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.files {
		if name == key || strings.HasPrefix(name, key+"/") {
			delete(s.files, name)
		}
	}
	return nil
}

// Exists implements certmagic.Storage.
func (s *scratch) Exists(_ context.Context, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.files {
		if name == key || strings.HasPrefix(name, key+"/") {
			return true
		}
	}
	return false
}

// List implements certmagic.Storage.
func (s *scratch) List(_ context.Context, prefix string, recursive bool) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.files {
		rest, below := strings.CutPrefix(name, prefix+"/")
		if !below {
			continue
		}
		if first, _, deeper := strings.Cut(rest, "/"); deeper && !recursive {
			name = prefix + "/" + first
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if names == nil {
		return nil, fs.ErrNotExist
	}
	slices.Sort(names)
	return names, nil
}

// Stat implements certmagic.Storage.
func (s *scratch) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[key]
	if !ok {
		return certmagic.KeyInfo{}, fs.ErrNotExist
	}
	return certmagic.KeyInfo{Key: key, Modified: f.at, Size: int64(len(f.data)), IsTerminal: true}, nil
}

// Lock implements certmagic.Storage. Nobody else uses this storage.
func (s *scratch) Lock(context.Context, string) error { return nil }

// Unlock implements certmagic.Storage.
func (s *scratch) Unlock(context.Context, string) error { return nil }
