package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// smallFile writes a journal of some pages and returns what is in force, and
// where its log ends.
func smallFile(t *testing.T, path string, clean bool) (all []Entry, end int) {
	t.Helper()
	s := openTest(t, Options{Path: path, Now: newClock().now, idle: true})
	s.EnableOutbox(true)
	s.NoteExpiry(testIssuer, epoch)
	for i := range 300 {
		e := entry(Token, fmt.Sprint(i))
		e.Note = strings.Repeat("n", i%200)
		all = append(all, mustRevoke(t, s, e))
		if i == 250 {
			if err := s.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if clean {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		s.crash()
	}
	return all, int(logHeader + s.journal.log.offset)
}

func copyFiles(t *testing.T, path, to string) {
	t.Helper()
	for _, suffix := range []string{"", ".wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrapDamagedJournalServedAsEmpty damages a file in every page and every
// way: either nothing is lost, or the file is refused and left as it is.
func TestTrapDamagedJournalServedAsEmpty(t *testing.T) {
	for _, clean := range []bool{true, false} {
		path := tempPath(t)
		all, end := smallFile(t, path, clean)
		work := filepath.Join(t.TempDir(), "revocations.db")
		random := rand.New(rand.NewPCG(3, 4))
		for _, suffix := range []string{"", ".wal"} {
			whole, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			page := os.Getpagesize()
			for _, way := range []struct {
				name   string
				damage func(b []byte, at int) []byte
			}{
				{"zeroed", func(b []byte, at int) []byte { clear(b[at:min(at+page, len(b))]); return b }},
				{"random", func(b []byte, at int) []byte {
					for i := at; i < min(at+page, len(b)); i++ {
						b[i] = byte(random.Uint32())
					}
					return b
				}},
				{"bit", func(b []byte, at int) []byte {
					b[at+random.IntN(page)] ^= 1 << random.IntN(8)
					return b
				}},
				{"another page", func(b []byte, at int) []byte {
					from := random.IntN(len(b)/page) * page
					copy(b[at:at+page], b[from:from+page])
					return b
				}},
				{"cut off", func(b []byte, at int) []byte { return b[:at] }},
			} {
				for at := 0; at+page <= len(whole); at += page {
					copyFiles(t, path, work)
					damaged := way.damage(bytes.Clone(whole), at)
					if err := os.WriteFile(work+suffix, damaged, 0o600); err != nil {
						t.Fatal(err)
					}
					checkDamaged(t, fmt.Sprintf("clean=%v, page %d of revocations.db%s %s", clean, at/page, suffix, way.name), work, suffix, damaged, all, !clean && suffix == ".wal" && at+page >= end)
				}
			}
		}
	}
}

func checkDamaged(t *testing.T, name, path, suffix string, damaged []byte, all []Entry, tail bool) {
	t.Helper()
	s, err := Open(Options{Path: path, Now: newClock().now, idle: true, noSync: true})
	if err != nil {
		var damage *DamageError
		if !errors.As(err, &damage) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(path + suffix); err != nil || !bytes.Equal(b, damaged) {
			t.Errorf("%s: the file was changed", name)
		}
		return
	}
	defer s.Close()
	lost := 0
	for i := range all {
		if !inForce(t, s, &all[i]) {
			lost++
		}
	}
	// The end of the log cannot be told from a record that was being written.
	if lost > 0 && !tail {
		t.Errorf("%s: %d of %d entries are lost without a word", name, lost, len(all))
	}
}

func TestForeignFiles(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(path string) error
		want  string
	}{
		{"text", func(path string) error { return os.WriteFile(path, []byte("hello"), 0o644) }, "not a database"},
		{"zeros", func(path string) error { return os.WriteFile(path, make([]byte, 1<<16), 0o644) }, "not a database"},
		{"directory", func(path string) error { return os.Mkdir(path, 0o755) }, "not a regular file"},
		{"another's database", func(path string) error {
			db, err := bolt.Open(path, 0o644, &bolt.Options{NoFreelistSync: true})
			if err != nil {
				return err
			}
			return errors.Join(db.Update(func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			}), db.Close())
		}, "another application"},
		{"journal of a later release", func(path string) error {
			smallFile(t, path, true)
			db, err := bolt.Open(path, 0o644, nil)
			if err != nil {
				return err
			}
			return errors.Join(db.Update(func(tx *bolt.Tx) error {
				return tx.Bucket(markerBucket).Put(formatKey, []byte{0, 0, 0, 9})
			}), db.Close())
		}, "format 9"},
		{"journal that lost its log", func(path string) error {
			smallFile(t, path, false)
			return os.Remove(path + ".wal")
		}, "may hold revocations"},
		{"journal with another's log", func(path string) error {
			smallFile(t, path, false)
			other := tempPath(t)
			smallFile(t, other, false)
			return os.Rename(other+".wal", path+".wal")
		}, "log of another journal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "revocations.db")
			if err := tc.write(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			_, err := Open(Options{Path: path, Now: newClock().now, idle: true})
			var damage *DamageError
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("opened: %v", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}

			var log lines
			s, err := Open(Options{Path: path, Now: newClock().now, Logger: log.logger(), RenameDamaged: true, idle: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(dump(t, s)) != 0 || log.count("level=ERROR") != 1 {
				t.Errorf("started with %d entries, logged %s", len(dump(t, s)), log.text.String())
			}
			e := mustRevoke(t, s, entry(Token, "t"))
			s = reopen(t, s, true)
			if !inForce(t, s, &e) {
				t.Error("forgotten")
			}
			aside, _ := filepath.Glob(path + ".damaged-*")
			if len(aside) == 0 {
				t.Fatal("nothing was set aside")
			}
			if b, _ := os.ReadFile(aside[0]); before != nil && !bytes.Equal(b, before) {
				t.Error("what was set aside is not what was there")
			}
		})
	}
}

// TestDamageFoundInTheBackground never serves from the part of a list.
func TestDamageFoundInTheBackground(t *testing.T) {
	path := tempPath(t)
	s := openTest(t, Options{Path: path, Now: newClock().now, idle: true})
	e := entry(Token, "t")
	e.Note = strings.Repeat("n", 100)
	mustRevoke(t, s, e)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte("nnnnnnnn"), []byte("nnnnnnnm"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var log lines
	s = openTest(t, Options{Path: path, Now: newClock().now, Logger: log.logger(), idle: true, background: 1})
	var damage *DamageError
	if err := s.Wait(t.Context()); !errors.As(err, &damage) || !errors.As(s.Ready(), &damage) {
		t.Fatalf("waited: %v, ready: %v", err, s.Ready())
	}
	if _, err := s.Revoked(new(IDs)); err == nil {
		t.Error("serves")
	}
	r, err := s.Revoke(t.Context(), entry(Token, "t"))
	if !errors.Is(err, ErrNotDurable) || r.Durable {
		t.Errorf("revoked: %v, %v", r, err)
	}
	if err := s.Close(); !errors.Is(err, ErrNotDurable) {
		t.Errorf("closed: %v", err)
	}
	if log.count("cannot be loaded") != 1 {
		t.Error(log.text.String())
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(b, after) {
		t.Error("the file was changed")
	}
}
