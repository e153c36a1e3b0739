package jwks

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// parsePEM reads a file with exactly one public key, in any of the usual
// forms. A certificate lends its key; its dates and issuer are not looked at,
// since the operator chose it.
func parsePEM(data []byte) (document, error) {
	if len(data) > maxDocument {
		return document{}, fmt.Errorf("is longer than %d bytes", maxDocument)
	}
	var keys []any
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		raw, err := parseBlock(block)
		if err != nil {
			return document{}, err
		}
		keys = append(keys, raw)
	}
	switch len(keys) {
	case 0:
		return document{}, errors.New("holds no PEM block (-----BEGIN PUBLIC KEY-----)")
	case 1:
	default:
		return document{}, fmt.Errorf("holds %d keys, needs exactly one; several belong into a jwks_file", len(keys))
	}
	key, err := newKey(keys[0])
	if err != nil {
		return document{}, err
	}
	key.anyID = true
	key.seal()
	return document{keys: []*Key{key}}, nil
}

func parseBlock(block *pem.Block) (any, error) {
	var raw any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		raw, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		raw, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			raw = cert.PublicKey
		}
	default:
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, errors.New("holds a private key, which does not belong on a gateway; write the public one: openssl pkey -in private.pem -pubout")
		}
		return nil, fmt.Errorf("holds a PEM block %s, which is no public key", quote(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("the block %s cannot be read", block.Type)
	}
	return raw, nil
}
