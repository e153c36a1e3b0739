package token

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// sameVerdict compares our verdict on a signature with that of an independent
// library, under the key of algorithm a, wherever our stricter syntax let the
// token through. It reports whether it was compared, and the verdict.
func sameVerdict(t *testing.T, a Algorithm, raw string) (compared, verified bool) {
	t.Helper()
	tok, err := Parse(raw, 0)
	if err != nil {
		return false, false
	}
	key := keysFor(a).public
	err = Verify(tok.Header.Algorithm, key, tok.SigningInput(), tok.Signature())
	// The algorithm that the token names goes with the key, as in a gate: the
	// question is the signature alone.
	_, jwxErr := jws.Verify([]byte(raw), jws.WithKey(jwa.SignatureAlgorithm(tok.Header.Alg), key))
	if (err == nil) != (jwxErr == nil) {
		t.Fatalf("%s under a key of %v: ours %v, theirs %v", raw, a, err, jwxErr)
	}
	return true, err == nil
}

var mutationPieces = []string{"A", "B", "-", "_", "=", ".", "eyJ", "AAAA"}

// mutate edits raw: characters of any part, or the parts of another token.
func mutate(rng *rand.Rand, raw, other string) string {
	switch parts, others := strings.Split(raw, "."), strings.Split(other, "."); rng.IntN(5) {
	case 0: // a part of another token
		i := rng.IntN(3)
		parts[i] = others[i]
		return strings.Join(parts, ".")
	case 1: // bytes of the signature
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || len(sig) == 0 {
			return raw
		}
		switch i := rng.IntN(len(sig)); rng.IntN(5) {
		case 0:
			sig = append(sig[:i], sig[i+1:]...)
		case 1:
			sig = append(sig[:i], append([]byte{0}, sig[i:]...)...)
		case 2:
			sig[i] ^= 1 << rng.IntN(8)
		case 3:
			clear(sig[:i])
		default:
			sig = sig[:i]
		}
		return parts[0] + "." + parts[1] + "." + b64(string(sig))
	case 2:
		i := rng.IntN(len(raw))
		return raw[:i] + mutationPieces[rng.IntN(len(mutationPieces))] + raw[i:]
	case 3:
		i := rng.IntN(len(raw))
		return raw[:i] + raw[i+1:]
	default:
		return raw
	}
}

// differentialSeeds are tokens of every algorithm.
func differentialSeeds(t testing.TB) map[Algorithm]string {
	seeds := map[Algorithm]string{}
	for _, a := range allAlgorithms() {
		seeds[a] = mint(t, a, `{"alg":"`+a.String()+`","kid":"k"}`, goodPayload)
	}
	return seeds
}

func TestDifferentialJWX(t *testing.T) {
	seeds := differentialSeeds(t)
	all := allAlgorithms()
	rng := rand.New(rand.NewPCG(3, 4))
	rounds := 6000
	if testing.Short() {
		rounds = 600
	}
	compared, verified := 0, 0
	for range rounds {
		a := all[rng.IntN(len(all))]
		raw := mutate(rng, seeds[a], seeds[all[rng.IntN(len(all))]])
		owner := a
		if rng.IntN(4) == 0 {
			owner = all[rng.IntN(len(all))]
		}
		c, v := sameVerdict(t, owner, raw)
		if c {
			compared++
		}
		if v {
			verified++
		}
	}
	if compared < rounds/4 || verified < rounds/20 || verified == compared {
		t.Errorf("%d compared, %d verified of %d", compared, verified, rounds)
	}
}

// FuzzDifferentialJWX signs what it is given, puts splice in place of cut bytes
// at a place of the token, and asks both under the key of owner.
func FuzzDifferentialJWX(f *testing.F) {
	for _, a := range allAlgorithms() {
		f.Add(byte(a), byte(a), `{"alg":"`+a.String()+`"}`, goodPayload, uint16(0), uint8(0), "")
		f.Add(byte(a), byte(a+1), `{"alg":"`+a.String()+`","kid":"k"}`, goodPayload, uint16(340), uint8(1), "A")
	}
	f.Fuzz(func(t *testing.T, signer, owner byte, header, payload string, at uint16, cut uint8, splice string) {
		all := allAlgorithms()
		raw := mint(t, all[int(signer)%len(all)], header, payload)
		from := min(int(at), len(raw))
		to := min(from+int(cut), len(raw))
		sameVerdict(t, all[int(owner)%len(all)], raw[:from]+splice+raw[to:])
	})
}
