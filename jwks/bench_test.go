package jwks

import (
	"fmt"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func benchmarkSource(b *testing.B, keys int) *Source {
	b.Helper()
	objects := make([]object, keys)
	for i := range objects {
		objects[i] = ecFresh(fmt.Sprintf("kid-%d", i))
	}
	return start(b, Config{Issuer: "i", JWKSFile: write(b, "keys.json", keySet(objects...))}, Options{})
}

func BenchmarkKeys(b *testing.B) {
	s := benchmarkSource(b, 3)
	v := *s.current.Load()
	v.limited, v.until = true, time.Now().Add(time.Hour) // as of a remote source
	s.current.Store(&v)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if set, _ := s.Keys(now); set == nil {
			b.Fatal("no keys")
		}
	}
}

func BenchmarkKeysParallel(b *testing.B) {
	s := benchmarkSource(b, 3)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if set, _ := s.Keys(now); set == nil {
				b.Error("no keys")
			}
		}
	})
}

func BenchmarkHas(b *testing.B) {
	for _, n := range []int{1, 3, 100} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			set, _ := benchmarkSource(b, n).Keys(time.Now())
			k := set.keys[n-1]
			b.ReportAllocs()
			for b.Loop() {
				if !set.Has(k) {
					b.Fatal("not there")
				}
			}
		})
	}
}

func BenchmarkCandidates(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			set, _ := benchmarkSource(b, n).Keys(time.Now())
			b.ReportAllocs()
			for b.Loop() {
				if len(set.Candidates(token.ES256, "kid-0", true)) != 1 {
					b.Fatal("not there")
				}
			}
		})
	}
}

func BenchmarkParseDocument(b *testing.B) {
	data := []byte(keySet(rsaJWKObject("r"), ecJWKObject("e"), edJWKObject("o")))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseDocument(data); err != nil {
			b.Fatal(err)
		}
	}
}
