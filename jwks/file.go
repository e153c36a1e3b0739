package jwks

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	filePoll = time.Second
	// Every so many polls the content is read even if nothing points to a
	// change: some file systems keep times by the second, or not at all.
	fileReadEvery = 10
	// maxFile bounds what is read of any file, a bundle of CA certificates
	// included.
	maxFile = 1 << 20
)

// file is a key file and what was last seen of it.
type file struct {
	option string // jwks_file or pem_file
	path   string
	parse  func([]byte) (document, error)

	info  fs.FileInfo // nil: could not be read
	sum   [sha256.Size]byte
	err   error // what is wrong with the content of that sum
	polls int
}

// openFile reads the file of c for the first time.
func openFile(c *Config) (*file, document, error) {
	f := &file{option: kindJWKSFile, path: c.JWKSFile, parse: parseDocument}
	if c.PEMFile != "" {
		f = &file{option: kindPEMFile, path: c.PEMFile, parse: parsePEM}
	}
	doc, _, err := f.reread(true)
	return f, doc, err
}

// reread returns the keys of the file if it changed. force reads it whatever
// its times say.
func (f *file) reread(force bool) (doc document, changed bool, err error) {
	f.polls++
	info, err := os.Stat(f.path)
	if err != nil {
		f.info = nil
		return doc, false, fileError(f.option, f.path, err)
	}
	if !force && f.polls%fileReadEvery != 0 && f.info != nil && os.SameFile(f.info, info) &&
		f.info.Size() == info.Size() && f.info.ModTime().Equal(info.ModTime()) {
		return doc, false, f.err
	}
	data, err := readFile(f.option, f.path)
	if err != nil {
		f.info = nil
		return doc, false, err
	}
	first := f.sum == [sha256.Size]byte{}
	sum := sha256.Sum256(data)
	f.info = info
	if !first && sum == f.sum {
		return doc, false, f.err
	}
	f.sum, f.err = sum, nil
	if doc, err = f.parse(data); err != nil {
		f.err = faultf(resultContent, "%s %s: %v", f.option, f.path, err)
		return doc, false, f.err
	}
	return doc, true, nil
}

// watch is the goroutine of a source that reads a file. A file that becomes
// unusable leaves the keys of its last good content in use.
func (s *Source) watch() {
	defer s.abandon()
	timer := time.NewTimer(filePoll)
	defer timer.Stop()
	for {
		due := false
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
			due = true
		}
		if f := s.takeOff(due); f != nil {
			err := s.pollFile(f.operator)
			s.finish(f, err)
		}
		timer.Reset(filePoll)
	}
}

func (s *Source) pollFile(force bool) error {
	now := s.now()
	doc, changed, err := s.file.reread(force)
	if err != nil {
		if f := (*fault)(nil); !errors.As(err, &f) {
			err = faultf(resultFile, "%v", err)
		}
		s.noteFailure(now, err)
		if s.plan.condition != failing {
			s.plan.condition = failing
			s.log.Warn("key file cannot be used; the keys of its last good content stay in use", "error", err)
		}
		return err
	}
	if changed {
		before, after := s.publish(doc.keys, time.Time{}, time.Time{})
		s.reportChange(before, after)
		s.reportSkipped(doc)
	}
	if changed || force || s.plan.condition == failing {
		s.noteGood(now)
	}
	if s.plan.condition == failing {
		s.plan.condition = good
		s.log.Info("key file can be used again", "path", s.file.path)
	}
	return nil
}

// readFile reads a regular file of at most maxDocument bytes.
func readFile(option, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(option, path, err)
	}
	// Opening a pipe could wait for ever.
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %s: is no regular file", option, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(option, path, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fileError(option, path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s %s: is longer than %d bytes", option, path, maxFile)
	}
	return data, nil
}

// fileError names the option and the path once.
func fileError(option, path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s %s: %w", option, path, err)
}
