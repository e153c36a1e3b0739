package issuertest

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// Lifetime is how long tokens live for which the test says nothing else.
const Lifetime = 5 * time.Minute

// Option changes how Sign makes a token.
type Option func(*draft)

type draft struct {
	alg        string
	key        *signing.Key
	header     map[string]any
	rawHeader  []byte
	rawPayload []byte
	signature  func(input string, signature []byte) []byte
}

// Alg signs with the issuer's current key for that algorithm.
func Alg(alg string) Option { return func(d *draft) { d.alg = alg } }

// Key signs with k, which may be none of the issuer's. The header names its
// algorithm and ID.
func Key(k *signing.Key) Option { return func(d *draft) { d.key = k } }

// Kid replaces the kid in the header.
func Kid(kid string) Option { return Header("kid", kid) }

// NoKid leaves the kid out.
func NoKid() Option { return Header("kid", nil) }

// Header sets a header parameter; nil leaves it out, json.RawMessage is taken
// as it is.
func Header(name string, value any) Option {
	return func(d *draft) { d.header[name] = value }
}

// RawHeader signs these bytes as the header, whatever they are.
func RawHeader(header string) Option { return func(d *draft) { d.rawHeader = []byte(header) } }

// RawPayload signs these bytes as the payload, whatever they are.
func RawPayload(payload string) Option { return func(d *draft) { d.rawPayload = []byte(payload) } }

// Signature replaces the good signature by what f makes of it and of the
// signing input.
func Signature(f func(input string, signature []byte) []byte) Option {
	return func(d *draft) { d.signature = f }
}

// Sign returns a token of the issuer: typ at+jwt, iss, aud ("api"), sub
// ("alice"), iat, exp (5 minutes), jti. A member of claims replaces the default
// of that name; nil removes it, json.RawMessage is taken as it is, and a
// time.Time becomes a NumericDate in whole seconds.
func (i *Issuer) Sign(claims map[string]any, opts ...Option) string {
	i.t.Helper()
	d := draft{header: map[string]any{"typ": "at+jwt"}}
	for _, opt := range opts {
		opt(&d)
	}
	key := d.key
	if key == nil {
		key = i.Key(d.alg)
	}
	header := overlay(map[string]any{"alg": key.Algorithm(), "kid": key.ID()}, d.header)
	if key.ID() == "" && d.header["kid"] == nil {
		delete(header, "kid")
	}
	now := i.clock()
	payload := overlay(map[string]any{
		"iss": i.URL(),
		"aud": Audience,
		"sub": "alice",
		"iat": now,
		"exp": now.Add(Lifetime),
		"jti": rand.Text(),
	}, claims)

	rawHeader, rawPayload := d.rawHeader, d.rawPayload
	if rawHeader == nil {
		rawHeader = i.marshal(header)
	}
	if rawPayload == nil {
		rawPayload = i.marshal(payload)
	}
	signed, err := key.Sign(rawHeader, rawPayload)
	if err != nil {
		i.t.Fatalf("issuertest: sign: %v", err)
	}
	if d.signature != nil {
		dot := strings.LastIndexByte(signed, '.')
		good, err := signing.Decode(signed[dot+1:])
		if err != nil {
			i.t.Fatalf("issuertest: sign: %v", err)
		}
		signed = signed[:dot+1] + signing.Encode(d.signature(signed[:dot], good))
	}
	return signed
}

func overlay(base, changes map[string]any) map[string]any {
	for name, v := range changes {
		if v == nil {
			delete(base, name)
			continue
		}
		base[name] = v
	}
	for name, v := range base {
		if t, ok := v.(time.Time); ok {
			base[name] = t.Unix()
		}
	}
	return base
}

func (i *Issuer) marshal(v any) []byte {
	i.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		i.t.Fatalf("issuertest: sign: %v", err)
	}
	return data
}
