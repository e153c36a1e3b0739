package caddymodule

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// The size of a caller's secret, in bytes.
const (
	minCallerSecret = 16
	maxCallerSecret = 4 << 10
)

// callerSecret is what callers have to show. Its digest is kept, not itself.
// Safe for concurrent use.
type callerSecret struct {
	path   string // empty: it never changes
	logger *zap.Logger

	mu      sync.Mutex
	digest  [sha256.Size]byte
	read    fs.FileInfo // of the file whose digest it is, or that was refused
	fault   error       // what is wrong with what read holds
	refused bool        // and said so
}

// givenSecret expands a secret from the configuration. No error quotes it.
func givenSecret(text string) (*callerSecret, error) {
	value, err := expand("secret", text)
	if errors.Is(err, errUnknownPlaceholder) {
		// The text between the braces is part of a secret that was written down.
		err = fmt.Errorf("secret: %w", errUnknownPlaceholder)
	}
	if err != nil {
		return nil, err
	}
	if err := checkCallerSecret(value); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return &callerSecret{digest: sha256.Sum256([]byte(value))}, nil
}

func fileSecret(path string, logger *zap.Logger) (*callerSecret, error) {
	s := &callerSecret{path: path, logger: logger}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	return s, nil
}

func checkCallerSecret(value string) error {
	switch {
	case len(value) < minCallerSecret:
		return fmt.Errorf("%d bytes; at least %d", len(value), minCallerSecret)
	case len(value) > maxCallerSecret:
		return fmt.Errorf("more than %d bytes", maxCallerSecret)
	case strings.ContainsFunc(value, func(c rune) bool { return c <= 0x20 || c > 0x7E }):
		return errors.New("it has blanks or characters that no header carries: only visible ASCII")
	}
	return nil
}

// load reads the file unless it is the one that was read before. mu is held, or
// nobody else has s yet.
func (s *callerSecret) load() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if old := s.read; old != nil && os.SameFile(old, info) && old.ModTime().Equal(info.ModTime()) && old.Size() == info.Size() {
		return s.fault
	}
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxCallerSecret+3))
	if err != nil {
		return err
	}
	s.read, s.fault = info, nil
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if err := checkCallerSecret(value); err != nil {
		s.fault = fmt.Errorf("%s: %w", s.path, err)
		return s.fault
	}
	s.digest = sha256.Sum256([]byte(value))
	return nil
}

// current returns the digest of the secret. A file that has become unreadable
// leaves the secret that it held: a gap while it is replaced locks nobody out,
// and to take a secret back, another is put in its place.
func (s *callerSecret) current() [sha256.Size]byte {
	if s.path == "" {
		return s.digest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err := s.load(); {
	case err != nil && !s.refused:
		s.refused = true
		s.logger.Warn("secret_file: it cannot be used; the secret that it held before is still the one", zap.Error(err))
	case err == nil && s.refused:
		s.refused = false
		s.logger.Info("secret_file: it can be used again", zap.String("path", s.path))
	}
	return s.digest
}

// opens reports whether the request shows the secret. How long that takes does
// not depend on how much of it is right.
func (s *callerSecret) opens(r *http.Request) bool {
	lines := r.Header["Authorization"]
	if len(lines) != 1 {
		return false
	}
	scheme, shown, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	digest, want := sha256.Sum256([]byte(strings.Trim(shown, " "))), s.current()
	return subtle.ConstantTimeCompare(digest[:], want[:]) == 1
}
