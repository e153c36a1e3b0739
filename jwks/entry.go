package jwks

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/jwtgate/jwtgate/token"
)

// errExposed marks an entry that publishes what must stay secret.
var errExposed = errors.New("published")

// privateMembers are the members of private and symmetric keys (RFC 7518
// sections 6.2.2, 6.3.2 and 6.4, RFC 8037 section 2, RFC 9864).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parseEntry makes a Key of one entry of a JWK set, or says why it cannot be
// used. It never panics, whatever the parser makes of the entry.
func parseEntry(entry jsontext.Value) (key *Key, kid string, err error) {
	defer func() {
		if recover() != nil {
			key, err = nil, errors.New("key cannot be read")
		}
	}()
	members, err := readMembers(entry)
	if err != nil {
		return nil, "", err
	}
	if kid, err = members.text("kid"); err != nil {
		return nil, "", err
	}
	key, err = members.key()
	if err != nil {
		return nil, kid, err
	}
	key.id = kid
	key.use, _ = members.text("use")
	key.seal()
	return key, kid, nil
}

// members are the members of an entry. Those that are null are not there: some
// serializers write all they know.
type members map[string]jsontext.Value

func readMembers(entry jsontext.Value) (members, error) {
	if entry.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("entry is not an object")
	}
	dec := jsontext.NewDecoder(bytes.NewReader(entry))
	if _, err := dec.ReadToken(); err != nil {
		return nil, errors.New("entry is not an object")
	}
	m := make(members)
	for dec.PeekKind() != jsontext.KindEndObject {
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, errors.New("entry has a member twice")
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, errors.New("entry has a member twice")
		}
		if value.Kind() != jsontext.KindNull {
			m[name] = value.Clone()
		}
	}
	return m, nil
}

// text returns a string member, empty when it is absent.
func (m members) text(name string) (string, error) {
	value, ok := m[name]
	if !ok {
		return "", nil
	}
	if value.Kind() != jsontext.KindString {
		return "", fmt.Errorf("%s is not a string", name)
	}
	b, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", fmt.Errorf("%s is not a string", name)
	}
	return string(b), nil
}

// bytes returns a base64url member (RFC 7515 section 2: no padding, and here
// also no line breaks and no unused bits).
func (m members) bytes(name string, most int) ([]byte, error) {
	s, err := m.text(name)
	switch {
	case err != nil:
		return nil, err
	case s == "":
		return nil, fmt.Errorf("%s is missing", name)
	case len(s) > base64.RawURLEncoding.EncodedLen(most):
		return nil, fmt.Errorf("%s is too long", name)
	case strings.ContainsAny(s, "\r\n"):
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	return b, nil
}

func (m members) key() (*Key, error) {
	kty, err := m.text("kty")
	if err != nil {
		return nil, err
	}
	if kty == "oct" {
		return nil, fmt.Errorf("symmetric key %w: it is a secret no longer and is never used", errExposed)
	}
	for _, name := range privateMembers {
		if _, ok := m[name]; ok {
			return nil, fmt.Errorf("private key %w (member %s): it is compromised and is never used", errExposed, name)
		}
	}
	if err := m.checkUse(); err != nil {
		return nil, err
	}
	var canonical []byte
	switch kty {
	case "RSA":
		canonical, err = m.rsa()
	case "EC":
		canonical, err = m.ec()
	case "OKP":
		canonical, err = m.okp()
	case "":
		err = errors.New("kty is missing")
	default:
		err = fmt.Errorf("kty %s is not supported", quote(kty))
	}
	if err != nil {
		return nil, err
	}
	raw, err := parseJWK(canonical)
	if err != nil {
		return nil, err
	}
	key, err := newKey(raw)
	if err != nil {
		return nil, err
	}
	return key, m.narrow(key)
}

// parseJWK turns the public members of a key, which are checked and written
// anew by us, into a key of the standard library.
func parseJWK(canonical []byte) (any, error) {
	parsed, err := jwk.ParseKey(canonical)
	if err != nil {
		return nil, errors.New("key cannot be read")
	}
	var raw any
	if err := parsed.Raw(&raw); err != nil {
		return nil, errors.New("key cannot be read")
	}
	return raw, nil
}

// checkUse refuses keys that are not meant for signatures (RFC 7517 sections
// 4.2 and 4.3).
func (m members) checkUse() error {
	use, err := m.text("use")
	if err != nil {
		return err
	}
	if _, ok := m["use"]; ok && use != "sig" {
		return fmt.Errorf("use is %s, not \"sig\"", quote(use))
	}
	ops, ok := m["key_ops"]
	if !ok {
		return nil
	}
	if ops.Kind() != jsontext.KindBeginArray {
		return errors.New("key_ops is not an array")
	}
	dec := jsontext.NewDecoder(bytes.NewReader(ops))
	if _, err := dec.ReadToken(); err != nil {
		return errors.New("key_ops is not an array")
	}
	verify := false
	for dec.PeekKind() != jsontext.KindEndArray {
		tok, err := dec.ReadToken()
		if err != nil || tok.Kind() != jsontext.KindString {
			return errors.New("key_ops is not an array of strings")
		}
		verify = verify || tok.String() == "verify"
	}
	if !verify {
		return errors.New(`key_ops does not contain "verify"`)
	}
	return nil
}

// narrow leaves key only the algorithm that the entry names, if it names one.
func (m members) narrow(key *Key) error {
	if _, ok := m["alg"]; !ok {
		return nil
	}
	name, err := m.text("alg")
	if err != nil {
		return err
	}
	alg, ok := token.ParseAlgorithm(name)
	if name == "Ed25519" { // the fully specified name of EdDSA (RFC 9864)
		alg, ok = token.EdDSA, true
	}
	if !ok || !key.algs.Has(alg) {
		return fmt.Errorf("alg %s does not fit the key (%s)", quote(name), strings.TrimSpace(key.kty+" "+key.curve))
	}
	key.algs = token.Algorithms(alg)
	return nil
}

func (m members) rsa() ([]byte, error) {
	// Leading zero bytes, which RFC 7518 section 6.3.1.1 forbids and some
	// issuers write, do not change the number.
	n, err := m.bytes("n", maxRSABits/8+8)
	if err != nil {
		return nil, err
	}
	e, err := m.bytes("e", 16)
	if err != nil {
		return nil, err
	}
	n, e = bytes.TrimLeft(n, "\x00"), bytes.TrimLeft(e, "\x00")
	if len(e) > 4 || len(e) == 4 && e[0] > 0x7f || len(e) == 0 {
		return nil, errors.New("RSA exponent must be odd, at least 3 and at most 2^31-1")
	}
	return rsaJWK(n, e), nil
}

func (m members) ec() ([]byte, error) {
	curve, err := m.text("crv")
	if err != nil {
		return nil, err
	}
	width := map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}[curve]
	if width == 0 {
		return nil, fmt.Errorf("EC curve %s is not supported", quote(curve))
	}
	x, err := m.bytes("x", 2*width)
	if err != nil {
		return nil, err
	}
	y, err := m.bytes("y", 2*width)
	if err != nil {
		return nil, err
	}
	if len(x) != width || len(y) != width {
		return nil, fmt.Errorf("EC coordinates have %d and %d bytes, %s has %d", len(x), len(y), curve, width)
	}
	return ecJWK(curve, x, y), nil
}

func (m members) okp() ([]byte, error) {
	curve, err := m.text("crv")
	if err != nil {
		return nil, err
	}
	if curve != "Ed25519" {
		return nil, fmt.Errorf("OKP curve %s is not supported", quote(curve))
	}
	x, err := m.bytes("x", 64)
	if err != nil {
		return nil, err
	}
	if len(x) != 32 {
		return nil, fmt.Errorf("x has %d bytes, an Ed25519 key has 32", len(x))
	}
	return okpJWK(x), nil
}
