package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"testing"
)

// jwk is as much of RFC 7517 as the vectors need.
type jwk struct{ Kty, Crv, X, Y, N, E, K string }

func (k jwk) public(t *testing.T) any {
	t.Helper()
	bytes := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(bytes(s)) }
	switch k.Kty {
	case "oct":
		return bytes(k.K)
	case "RSA":
		return &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
	case "OKP":
		return ed25519.PublicKey(bytes(k.X))
	}
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Crv]
	return &ecdsa.PublicKey{Curve: curve, X: number(k.X), Y: number(k.Y)}
}

// checkJWS is the path of a token but for its payload, which is no claims set
// in most of the vectors.
func checkJWS(raw string, key any) error {
	header, payload, signature, err := split(raw, 0)
	if err != nil {
		return err
	}
	p := Acquire()
	defer p.Release()
	if err := p.readHeader(header); err != nil {
		return err
	}
	if _, err := p.decode("claims", payload); err != nil {
		return err
	}
	sig := make([]byte, decodedLen(len(signature)))
	n, bad := decodeBase64(sig, signature)
	if bad >= 0 {
		return malformedBase64("signature", bad)
	}
	return Verify(p.token.Header.Algorithm, key, header+"."+payload, sig[:n])
}

func readVectors(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestRFCVectors(t *testing.T) {
	var vectors []struct {
		Source, JWS string
		Key         jwk
	}
	readVectors(t, "testdata/rfc.json", &vectors)
	if len(vectors) != 9 {
		t.Errorf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Source, func(t *testing.T) {
			key := v.Key.public(t)
			if err := checkJWS(v.JWS, key); err != nil {
				t.Error(err)
			}
			// One more character of payload is another text.
			header, payload, signature, _ := split(v.JWS, 0)
			if err := checkJWS(header+".AAAA"+payload+"."+signature, key); err == nil {
				t.Error("accepted with another payload")
			}
		})
	}
}

func TestWycheproofJWS(t *testing.T) {
	// Labels that the vectors themselves contradict.
	otherwise := map[int]string{
		367: "valid",   // byte for byte the valid 357: its padding got lost
		370: "valid",   // likewise
		372: "invalid", // has a ? in its header
		373: "invalid", // has a ? in its payload
	}
	var file struct {
		Groups []struct {
			Comment string
			Key     jwk
			Tests   []struct {
				TcID                 int
				Comment, JWS, Result string
			}
		}
	}
	readVectors(t, "testdata/wycheproof_jws.json", &file)
	tests := 0
	for _, group := range file.Groups {
		key := group.Key.public(t)
		for _, v := range group.Tests {
			tests++
			want := v.Result
			if other, ok := otherwise[v.TcID]; ok {
				want = other
			}
			if err := checkJWS(v.JWS, key); (err == nil) != (want == "valid") {
				t.Errorf("%s %d %s: %v, want %s", group.Comment, v.TcID, v.Comment, err, want)
			}
			// None of them is a token: their payloads are no claims sets.
			if _, err := Parse(v.JWS, 0); err == nil {
				t.Errorf("%s %d %s: parsed", group.Comment, v.TcID, v.Comment)
			}
		}
	}
	if tests != 67 {
		t.Errorf("%d tests", tests)
	}
}
