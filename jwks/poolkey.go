package jwks

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
)

// poolSalt keys the digest of secrets in pool keys, so that a pool key that
// ends up in a log cannot be used to guess the secret.
var poolSalt = sync.OnceValue(func() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return b
})

// PoolKey identifies the state that c leads to: every setting, files and
// secrets by the digest of their content. Two configurations with the same key
// can share a Source. It holds no secret and means nothing in another process.
// It fails when a file cannot be read.
func (c *Config) PoolKey() (string, error) {
	h := sha256.New()
	for _, s := range []string{c.kind(), c.Issuer, c.Discovery, c.JWKS, c.JWKSFile, c.PEMFile, c.CAFile} {
		writeField(h, []byte(s))
	}
	for _, f := range []struct{ option, path string }{
		{"jwks_file", c.JWKSFile}, {"pem_file", c.PEMFile}, {"tls_ca", c.CAFile},
	} {
		var content []byte
		if f.path != "" {
			var err error
			if content, err = readFile(f.option, f.path); err != nil {
				return "", err
			}
		}
		writeField(h, content)
	}
	for _, d := range []int64{int64(c.refresh()), int64(c.MaxStale), int64(c.timeout())} {
		writeField(h, binary.BigEndian.AppendUint64(nil, uint64(d)))
	}
	writeField(h, flag(c.Insecure))
	mac := hmac.New(sha256.New, poolSalt())
	mac.Write(c.Secret)
	writeField(h, flag(c.Secret != nil))
	writeField(h, mac.Sum(nil))
	return hex.EncodeToString(h.Sum(nil)), nil
}

// storageName is where the last good keys of c are kept. It depends on what
// decides whose keys they are and how far they can be trusted, and neither on
// the secret nor on how often they are fetched.
func (c *Config) storageName(ca []byte) string {
	h := sha256.New()
	for _, s := range []string{c.kind(), c.Issuer, c.Discovery, c.JWKS} {
		writeField(h, []byte(s))
	}
	writeField(h, ca)
	writeField(h, flag(c.Insecure))
	return "jwtgate/keys/" + hex.EncodeToString(h.Sum(nil)) + ".json"
}

// writeField writes b with its length before it, so that no two lists of
// fields give the same bytes.
func writeField(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	h.Write(b)
}

func flag(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
