package gate

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// BenchmarkColdOverBare takes turns between a cold decision and the bare
// signature check of the same token, so that a busy machine disturbs both, and
// reports the medians and their ratio.
func BenchmarkColdOverBare(b *testing.B) {
	for _, alg := range coldAlgorithms {
		b.Run(alg, func(b *testing.B) {
			key := signingKey(b, alg, "k1")
			g, c := benchGate(b, key, newCache(b))
			type sample struct {
				raw   string
				input []byte
				check func([]byte) bool
			}
			samples := make([]sample, 256)
			for i := range samples {
				raw := mintToken(b, key, claims900(c, key, i))
				dot := strings.LastIndexByte(raw, '.')
				signature, err := signing.Decode(raw[dot+1:])
				if err != nil {
					b.Fatal(err)
				}
				samples[i] = sample{raw, []byte(raw[:dot]), bareCheck(b, key, signature)}
			}
			cold, bare := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
			ctx := context.Background()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				s := samples[i%len(samples)]
				if i%len(samples) == 0 {
					forget(g.cache)
				}
				start := time.Now()
				_, _, err := g.Check(ctx, s.raw, nil, Options{})
				middle := time.Now()
				ok := s.check(s.input)
				end := time.Now()
				if err != nil || !ok {
					b.Fatal(err, ok)
				}
				cold, bare = append(cold, middle.Sub(start)), append(bare, end.Sub(middle))
			}
			slices.Sort(cold)
			slices.Sort(bare)
			c50, b50 := cold[len(cold)/2], bare[len(bare)/2]
			b.ReportMetric(float64(c50.Nanoseconds()), "cold-ns")
			b.ReportMetric(float64(b50.Nanoseconds()), "bare-ns")
			b.ReportMetric(float64(c50)/float64(b50), "cold/bare")
		})
	}
}
