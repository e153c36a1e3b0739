package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/jwtgate/jwtgate/token"
)

// asymmetric is what an issuer without a list of algorithms may use.
var asymmetric = token.Algorithms(token.RS256, token.RS384, token.RS512, token.PS256, token.PS384, token.PS512,
	token.ES256, token.ES384, token.ES512, token.EdDSA)

// symmetric is what it may use besides when there is a shared secret.
var symmetric = token.Algorithms(token.HS256, token.HS384, token.HS512)

// New returns a Gate, or everything that is wrong with cfg.
func New(cfg Config) (*Gate, error) {
	g := &Gate{
		issuers:    make(map[string]*issuer, len(cfg.Issuers)),
		rules:      cfg.Rules,
		forward:    cfg.Forward,
		revocation: cfg.Revocation,
		cache:      cfg.Cache,
		maxToken:   cfg.MaxToken,
		now:        cfg.Now,
		digest:     unique.Make(cfg.Digest),
		onVerify:   cfg.OnVerify,
		onOmitted:  cfg.OnOmitted,
	}
	if g.maxToken == 0 {
		g.maxToken = token.DefaultMaxLength
	}
	if g.now == nil {
		g.now = time.Now
	}
	var mistakes []error
	if cfg.MaxToken < 0 {
		mistakes = append(mistakes, fmt.Errorf("max token of %d bytes: must be positive", cfg.MaxToken))
	}
	if len(cfg.Issuers) == 0 {
		mistakes = append(mistakes, errors.New("no issuers: nobody's tokens could pass"))
	}
	if cfg.Cache != nil && cfg.Digest == [32]byte{} {
		mistakes = append(mistakes, errors.New("a gate with a cache needs a digest of its configuration"))
	}
	var names []string
	owners := make(map[[32]byte]string)
	for i, is := range cfg.Issuers {
		if err := check(is, cfg.Cache != nil); err != nil {
			mistakes = append(mistakes, fmt.Errorf("issuer %d (%q): %w", i+1, is.Name, err))
		}
		if _, taken := g.issuers[is.Name]; taken {
			mistakes = append(mistakes, fmt.Errorf("issuer %d (%q): named twice", i+1, is.Name))
		}
		if owner, taken := owners[is.Digest]; taken && owner != is.Name && is.Digest != [32]byte{} {
			// Their verdicts would be taken for one another's.
			mistakes = append(mistakes, fmt.Errorf("issuer %d (%q): same digest as %q", i+1, is.Name, owner))
		}
		owners[is.Digest] = is.Name
		names = append(names, is.Name)
		g.issuers[is.Name] = &issuer{
			name:    is.Name,
			keys:    is.Keys,
			policy:  is.Policy,
			allowed: allowed(is),
			digest:  unique.Make(is.Digest),
			skew:    skewWatch{tell: is.OnSkew},
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	slices.Sort(names)
	g.names = excerpt(strings.Join(names, " "))
	return g, nil
}

// check reports what is wrong with one issuer.
func check(is Issuer, cached bool) error {
	var mistakes []error
	if is.Name == "" {
		mistakes = append(mistakes, errors.New("no name"))
	}
	if is.Keys == nil {
		mistakes = append(mistakes, errors.New("no source of keys"))
	}
	if is.Policy == nil {
		mistakes = append(mistakes, errors.New("no policy"))
	}
	if !is.Secret && is.Algorithms&symmetric != 0 {
		mistakes = append(mistakes, errors.New("an HMAC algorithm without a secret"))
	}
	if cached && is.Digest == [32]byte{} {
		mistakes = append(mistakes, errors.New("a cache needs a digest of what verdicts depend on"))
	}
	return errors.Join(mistakes...)
}

// allowed returns the algorithms that is may use.
func allowed(is Issuer) token.AlgorithmSet {
	switch {
	case is.Algorithms != 0:
		return is.Algorithms
	case is.Secret:
		return asymmetric | symmetric
	}
	return asymmetric
}
