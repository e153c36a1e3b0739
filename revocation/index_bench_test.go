package revocation

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

const manyEntries = 10_000_000

// many is an index of ten million live entries, two million of each kind, made
// once for all benchmarks that ask for it; it takes a few seconds.
var many = sync.OnceValue(func() *Index {
	x, r := NewIndex(), rand.New(rand.NewPCG(7, 8))
	for i := range manyEntries {
		x.Put(Kinds()[i%5], randomDigest(r), epoch, epoch.Add(time.Hour))
	}
	return x
})

// someIDs are tokens of which none, or one name, is on the list of many.
func someIDs(hit bool) []IDs {
	r := rand.New(rand.NewPCG(9, 10))
	ids := make([]IDs, 1<<16)
	for i := range ids {
		ids[i] = IDs{Token: randomDigest(r), Session: randomDigest(r), Subject: randomDigest(r), Client: randomDigest(r), Issuer: randomDigest(r)}
	}
	if hit {
		same := rand.New(rand.NewPCG(7, 8))
		for i := range 5 * len(ids) {
			d := randomDigest(same)
			if kind := Kinds()[i%5]; i/5%5 == i%5 {
				setID(&ids[i/5], kind, d)
			}
		}
	}
	return ids
}

func BenchmarkRevoked10M(b *testing.B) {
	if testing.Short() {
		b.Skip("builds ten million entries")
	}
	for _, c := range []struct {
		name string
		hit  bool
	}{{"miss", false}, {"hit", true}} {
		b.Run(c.name, func(b *testing.B) {
			x, ids := many(), someIDs(c.hit)
			b.ReportMetric(float64(x.Bytes())/manyEntries, "B/entry")
			b.ReportAllocs()
			i, hits := 0, 0
			for b.Loop() {
				if x.Revoked(&ids[i&(len(ids)-1)], epoch) != 0 {
					hits++
				}
				i++
			}
			if (hits == i) != c.hit {
				b.Errorf("%d hits of %d", hits, i)
			}
			b.ReportMetric(float64(x.Bytes())/manyEntries, "B/entry")
		})
	}
	b.Run("parallel", func(b *testing.B) {
		x, ids := many(), someIDs(false)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(len(ids)); pb.Next(); i++ {
				x.Revoked(&ids[i&(len(ids)-1)], epoch)
			}
		})
	})
}

func BenchmarkRevokedEmpty(b *testing.B) {
	x, ids := NewIndex(), someIDs(false)[:1]
	b.ReportAllocs()
	for b.Loop() {
		x.Revoked(&ids[0], epoch)
	}
}

func BenchmarkPut(b *testing.B) {
	x, r := NewIndex(), rand.New(rand.NewPCG(11, 12))
	b.ReportAllocs()
	for b.Loop() {
		x.Put(Token, randomDigest(r), epoch, epoch.Add(time.Hour))
	}
}
