package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
)

// Sign returns the compact JWS of header and payload, taken as they are: they
// need not be JSON, and header need not name k or its algorithm.
func (k *Key) Sign(header, payload []byte) (string, error) {
	input := Encode(header) + "." + Encode(payload)
	signature, err := k.Signature(input)
	if err != nil {
		return "", err
	}
	return input + "." + Encode(signature), nil
}

// Signature returns the JWS signature (RFC 7518 section 3, RFC 8037 section 3.1)
// of a signing input.
func (k *Key) Signature(signingInput string) ([]byte, error) {
	input := []byte(signingInput)
	if k.alg.family == edDSA {
		return k.private.Sign(rand.Reader, input, crypto.Hash(0))
	}
	if k.alg.family == hmacSHA {
		mac := hmac.New(k.alg.hash.New, k.secret)
		mac.Write(input)
		return mac.Sum(nil), nil
	}
	h := k.alg.hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch k.alg.family {
	case rsaPKCS1:
		return k.private.Sign(rand.Reader, digest, k.alg.hash)
	case rsaPSS:
		return k.private.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: k.alg.hash})
	case ecDSA:
		private, ok := k.private.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("a key of type %T cannot make a raw ECDSA signature", k.private)
		}
		r, s, err := ecdsa.Sign(rand.Reader, private, digest)
		if err != nil {
			return nil, err
		}
		width := (k.alg.curve.Params().BitSize + 7) / 8
		signature := make([]byte, 2*width)
		r.FillBytes(signature[:width])
		s.FillBytes(signature[width:])
		return signature, nil
	}
	return nil, fmt.Errorf("no algorithm")
}
