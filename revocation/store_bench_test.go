package revocation

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSync is what the disk needs for one write and its sync, to compare
// BenchmarkRevoke with.
func BenchmarkSync(b *testing.B) {
	for _, grow := range []bool{false, true} {
		b.Run(fmt.Sprintf("growing=%v", grow), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			block := make([]byte, 200)
			const room = 1 << 20
			if !grow {
				f.Write(make([]byte, room))
				f.Sync()
			}
			off := int64(0)
			for b.Loop() {
				if _, err := f.WriteAt(block, off); err != nil {
					b.Fatal(err)
				}
				if err := syncFile(f); err != nil {
					b.Fatal(err)
				}
				if off += int64(len(block)); !grow && off > room-int64(len(block)) {
					off = 0
				}
			}
		})
	}
}

// BenchmarkRevoke is one durable revocation, also with many callers.
func BenchmarkRevoke(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openTest(b, Options{Path: tempPath(b), Now: func() time.Time { return epoch }})
			var n atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(callers)
			one := func() {
				if _, err := s.Revoke(context.Background(), entry(Token, fmt.Sprint(n.Add(1)))); err != nil {
					b.Error(err)
				}
			}
			if callers == 1 {
				for b.Loop() {
					one()
				}
				return
			}
			b.SetParallelism(callers / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
}

// BenchmarkLoad opens a journal until it serves: a million entries, ten with
// JWTGATE_LONG.
func BenchmarkLoad(b *testing.B) {
	n := 1_000_000
	if os.Getenv("JWTGATE_LONG") != "" {
		n *= 10
	}
	path := tempPath(b)
	o := Options{Path: path, Now: func() time.Time { return epoch }, background: 1}
	s := openTest(b, o)
	began := time.Now()
	entries := make([]Entry, 0, applyBatch)
	for i := range n {
		e := entry(Kind(i%4+1), fmt.Sprintf("9f0c2b1e-%08d", i))
		e.Cutoff, e.Until = epoch, epoch.Add(time.Duration(1+i*24/n)*time.Hour)
		if entries = append(entries, e); len(entries) == applyBatch {
			if _, err := s.Apply(b.Context(), entries); err != nil {
				b.Fatal(err)
			}
			entries = entries[:0]
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d entries written in %s, %d MB", n, time.Since(began).Round(time.Millisecond), s.DiskSize()>>20)
	for b.Loop() {
		s, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		if got := s.Stats().Entries; got[Token] != n/4 {
			b.Fatal(got)
		}
		b.ReportMetric(float64(s.Stats().IndexBytes)/float64(n), "B/entry")
		s.Close()
	}
}

// BenchmarkApplyFeed is catching up: random entries in batches of a thousand,
// until they are on disk.
func BenchmarkApplyFeed(b *testing.B) {
	s := openTest(b, Options{Path: tempPath(b), Now: func() time.Time { return epoch }})
	b.ReportAllocs()
	batch, n := make([][]byte, 0, 1000), 0
	for b.Loop() {
		e := entry(Token, fmt.Sprintf("9f0c2b1e-%08d", n))
		n++
		if batch = append(batch, AppendEntry(nil, &e)); len(batch) == cap(batch) {
			if _, _, err := s.ApplyFeed(b.Context(), batch, []byte("1")); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	if err := s.saveNow(); err != nil {
		b.Fatal(err)
	}
}
