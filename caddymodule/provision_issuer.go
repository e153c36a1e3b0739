package caddymodule

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// issuerSettings are the effective settings of one issuer: placeholders
// expanded, defaults filled in, the secret decoded.
type issuerSettings struct {
	name          string
	audience      []string
	anyAudience   bool
	keys          jwks.Config
	algorithms    token.AlgorithmSet // 0: what the keys allow
	skew, maxAge  time.Duration
	types         []string
	requireClaims []string
	subOptional   bool
	openSecret    bool // the secret itself is in the configuration
}

// settings returns the effective settings of i, or all that is wrong with it.
func (i *Issuer) settings() (*issuerSettings, error) {
	if i == nil || i.Issuer == "" {
		return nil, errors.New("issuer: its name is missing")
	}
	name, err := expandName("issuer "+i.Issuer, i.Issuer)
	if err != nil {
		return nil, err
	}
	s := &issuerSettings{name: name, anyAudience: i.AnyAudience, types: i.TokenType, requireClaims: i.RequireClaims, subOptional: i.SubOptional}

	var errs collector
	s.audience, err = expandNames("audience", i.Audience)
	errs.check(err)
	if i.AnyAudience && len(i.Audience) > 0 {
		errs.check(errors.New("audience: any_audience contradicts the named audiences"))
	}
	if i.SubOptional && slices.Contains(i.RequireClaims, "sub") {
		errs.check(errors.New("require_claims: sub_optional contradicts sub"))
	}
	s.skew, err = durationOr("skew", i.Skew, policy.DefaultSkew, skewLimits)
	errs.check(err)
	s.maxAge, err = durationOr("max_age", i.MaxAge, 0, maxAgeLimits)
	errs.check(err)
	var seen []string
	if err := unique(&seen, i.RequireClaims...); err != nil {
		errs.check(fmt.Errorf("require_claims: %w", err))
	}
	// What a gate adds is its audience; everything else is judged here, so that
	// an issuer that no gate uses yet is checked, too.
	_, err = policy.NewIssuer(policy.IssuerConfig{AnyAudience: true, Skew: s.skew, MaxAge: s.maxAge,
		Types: s.types, Require: s.requireClaims, SubOptional: s.subOptional})
	errs.check(err)
	errs.check(i.keySettings(s))
	if len(errs) > 0 {
		return nil, fmt.Errorf("issuer %s: %w", name, errors.Join(errs...))
	}
	return s, nil
}

// keySettings fills in where keys come from and what they may be used for.
func (i *Issuer) keySettings(s *issuerSettings) error {
	var errs collector
	k := &s.keys
	k.Issuer, k.Insecure = s.name, i.Insecure
	var places []string
	for _, place := range []struct {
		option, text string
		into         *string
	}{
		{"discovery", i.Discovery, &k.Discovery},
		{"jwks", i.JWKS, &k.JWKS},
		{"jwks_file", i.JWKSFile, &k.JWKSFile},
		{"pem_file", i.PEMFile, &k.PEMFile},
		{"tls_ca", i.TLSCA, &k.CAFile},
	} {
		var err error
		*place.into, err = expandName(place.option, place.text)
		errs.check(err)
		if place.text != "" && place.option != "tls_ca" {
			places = append(places, place.option)
		}
	}
	if len(places) > 1 {
		errs.check(fmt.Errorf("%s contradict each other: %s", strings.Join(places, " and "), onlyOneSource))
	}
	var err error
	k.Refresh, err = durationOr("refresh", i.Refresh, jwks.DefaultRefresh, refreshLimits)
	errs.check(err)
	k.MaxStale, err = durationOr("max_stale", i.MaxStale, jwks.DefaultMaxStale, maxStaleLimits)
	errs.check(err)
	k.Timeout, err = durationOr("timeout", i.Timeout, jwks.DefaultTimeout, timeoutLimits)
	errs.check(err)
	if i.Secret != nil {
		k.Secret, err = i.Secret.bytes()
		errs.check(err)
		s.openSecret = !mayHavePlaceholder(i.Secret.Value)
	}
	s.algorithms, err = i.algorithmSet(len(k.Secret), i.Secret == nil || len(places) > 0)
	errs.check(err)
	if len(errs) == 0 {
		errs.check(k.Validate())
	}
	return errors.Join(errs...)
}

// bytes returns the decoded secret. No error quotes any of it.
func (s *Secret) bytes() ([]byte, error) {
	if s.Value == "" {
		return nil, errors.New("secret: it is empty")
	}
	encoding, err := wordOr("secret: encoding", s.Encoding, secretEncodings...)
	if err != nil {
		return nil, err
	}
	value, err := expand("secret", s.Value)
	if errors.Is(err, errUnknownPlaceholder) {
		// The text between the braces is part of a secret that was written down.
		err = fmt.Errorf("secret: %w", errUnknownPlaceholder)
	}
	if err != nil {
		return nil, err
	}
	var secret []byte
	switch encoding {
	case "plain":
		return []byte(value), nil
	case "base64":
		secret, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(value, "="))
	case "base64url":
		secret, err = base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(value, "="))
	case "hex":
		secret, err = hex.DecodeString(value)
	}
	if err != nil {
		return nil, fmt.Errorf("secret: it is not valid %s", encoding)
	}
	return secret, nil
}

// algorithmSet returns the configured algorithms, 0 if there are none, and
// refuses those that can never match and secrets that are too short.
func (i *Issuer) algorithmSet(secretLength int, publicKeys bool) (token.AlgorithmSet, error) {
	var errs collector
	var set token.AlgorithmSet
	for _, name := range i.Algorithms {
		a, ok := token.ParseAlgorithm(name)
		switch {
		case !ok:
			errs.check(fmt.Errorf("algorithms: %w", errUnknownAlgorithm(name)))
		case set.Has(a):
			errs.check(fmt.Errorf("algorithms: '%s' is given twice", name))
		case a.Symmetric() && i.Secret == nil:
			errs.check(fmt.Errorf("algorithms: %s needs a secret", name))
		case a.Symmetric() && secretLength > 0 && secretLength < a.MinSecret():
			errs.check(fmt.Errorf("secret: %d bytes, %s needs at least %d (RFC 7518 section 3.2)", secretLength, name, a.MinSecret()))
		case !a.Symmetric() && !publicKeys:
			errs.check(fmt.Errorf("algorithms: %s needs a public key, and there is a secret alone", name))
		}
		if ok {
			set |= token.Algorithms(a)
		}
	}
	symmetric := slices.ContainsFunc(set.List(), token.Algorithm.Symmetric)
	switch {
	case i.Secret == nil || secretLength == 0:
	case set != 0 && !symmetric:
		errs.check(errors.New("secret: the algorithms name none that would use it"))
	case set == 0 && secretLength < token.HS256.MinSecret():
		errs.check(fmt.Errorf("secret: %d bytes, HS256 needs at least %d (RFC 7518 section 3.2)", secretLength, token.HS256.MinSecret()))
	}
	return set, errors.Join(errs...)
}
