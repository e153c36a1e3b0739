package issuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

const indexFile = "keys.json"

// ring holds the current key of each algorithm and the retired ones that are
// still published. With a directory it persists: one PKCS #8 file a key, mode
// 0600, and an index.
type ring struct {
	dir   string
	grace time.Duration
	now   func() time.Time

	mu   sync.Mutex
	keys []ringKey // in the order in which they were made
}

type ringKey struct {
	*signing.Key `json:"-"`

	KeyID   string    `json:"kid"`
	Alg     string    `json:"alg"`
	File    string    `json:"file"`
	Created time.Time `json:"created"`
	Retired time.Time `json:"retired,omitzero"`
}

func openRing(dir string, grace time.Duration, now func() time.Time) (*ring, error) {
	r := &ring{dir: dir, grace: grace, now: now}
	if dir == "" {
		return r, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("issuer keys: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("issuer keys: %w", err)
	}
	if err := json.Unmarshal(data, &r.keys); err != nil {
		return nil, fmt.Errorf("issuer keys: %s: %w", filepath.Join(dir, indexFile), err)
	}
	for n := range r.keys {
		k := &r.keys[n]
		if !filepath.IsLocal(k.File) {
			return nil, fmt.Errorf("issuer keys: %s names %q outside its directory", indexFile, k.File)
		}
		path := filepath.Join(dir, k.File)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("issuer keys: %w", err)
		}
		key, err := signing.ParsePEM(data, k.Alg)
		if err != nil {
			return nil, fmt.Errorf("issuer keys: %s: %w", path, err)
		}
		k.Key = key.WithID(k.KeyID)
	}
	return r, nil
}

// current returns the key that signs with alg, made if there is none.
func (r *ring) current(alg string) (*signing.Key, error) {
	if k := r.find(alg); k != nil {
		return k, nil
	}
	// Generated outside the lock: RSA takes a while, and the key set is being asked for.
	fresh, err := generate(alg)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.findLocked(alg); k != nil {
		return k, nil
	}
	return fresh, r.addLocked(fresh)
}

// rotate makes a new current key for alg.
func (r *ring) rotate(alg string, withdraw bool) (*signing.Key, error) {
	fresh, err := generate(alg)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if withdraw {
		r.dropLocked(func(k ringKey) bool { return k.Alg == alg })
	}
	for n := range r.keys {
		if k := &r.keys[n]; k.Alg == alg && k.Retired.IsZero() {
			k.Retired = r.now().UTC()
		}
	}
	return fresh, r.addLocked(fresh)
}

// withdraw takes one key out of the set.
func (r *ring) withdraw(kid string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.keys)
	r.dropLocked(func(k ringKey) bool { return k.KeyID == kid })
	if len(r.keys) == before {
		return false, nil
	}
	return true, r.saveLocked()
}

// published returns the keys of the key set, without those whose grace is over.
func (r *ring) published() []*signing.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	keys := make([]*signing.Key, 0, len(r.keys))
	for _, k := range r.keys {
		if !r.overAt(now, k) {
			keys = append(keys, k.Key)
		}
	}
	return keys
}

func (r *ring) overAt(now time.Time, k ringKey) bool {
	return !k.Retired.IsZero() && now.After(k.Retired.Add(r.grace))
}

func (r *ring) find(alg string) *signing.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.findLocked(alg)
}

func (r *ring) findLocked(alg string) *signing.Key {
	for _, k := range r.keys {
		if k.Alg == alg && k.Retired.IsZero() {
			return k.Key
		}
	}
	return nil
}

func (r *ring) addLocked(key *signing.Key) error {
	now := r.now()
	r.dropLocked(func(k ringKey) bool { return r.overAt(now, k) })
	entry := ringKey{
		Key:     key,
		KeyID:   key.ID(),
		Alg:     key.Algorithm(),
		File:    strings.ToLower(key.Algorithm()) + "-" + key.ID() + ".pem",
		Created: now.UTC(),
	}
	if r.dir != "" {
		data, err := key.MarshalPEM()
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(r.dir, entry.File), data); err != nil {
			return fmt.Errorf("issuer keys: %w", err)
		}
	}
	r.keys = append(r.keys, entry)
	return r.saveLocked()
}

// dropLocked forgets the keys that match and their files.
func (r *ring) dropLocked(match func(ringKey) bool) {
	r.keys = slices.DeleteFunc(r.keys, func(k ringKey) bool {
		if !match(k) {
			return false
		}
		if r.dir != "" {
			// A file that stays is harmless: the index alone says what is published.
			_ = os.Remove(filepath.Join(r.dir, k.File))
		}
		return true
	})
}

func (r *ring) saveLocked() error {
	if r.dir == "" {
		return nil
	}
	data, err := json.MarshalIndent(r.keys, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(r.dir, indexFile), append(data, '\n')); err != nil {
		return fmt.Errorf("issuer keys: %w", err)
	}
	return nil
}

// writeFile replaces path in one step, readable by its owner alone.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func generate(alg string) (*signing.Key, error) {
	if signing.Symmetric(alg) {
		return nil, fmt.Errorf("an issuer publishes its keys, so it cannot sign with %s", alg)
	}
	return signing.Generate(alg)
}
