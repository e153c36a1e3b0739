package caddymodule

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
)

// trustedIssuer is an issuer whose keys are at hand.
type trustedIssuer struct {
	*issuerSettings
	source *jwks.Source
	digest [sha256.Size]byte // of all that a signature verdict depends on
}

// trust takes the keys of an issuer.
func (s *appState) trust(settings *issuerSettings, from *lender, held *leases, logger *zap.Logger) (*trustedIssuer, error) {
	source, poolKey, err := leaseKeys(settings.keys, from, held)
	if err != nil {
		return nil, err
	}
	s.keys.add(settings.name, source)
	if settings.anyAudience {
		logger.Warn("audience any: every token of this issuer passes, whoever it was made for",
			zap.String("issuer", settings.name))
	}
	if settings.keys.Insecure {
		logger.Warn("insecure: whoever is on the way to this issuer can replace its keys and forge tokens",
			zap.String("issuer", settings.name))
	}
	if settings.openSecret {
		logger.Warn("secret: it is part of the configuration, which Caddy's admin endpoint shows; write {env.NAME} or {file./path} instead, not {$NAME}",
			zap.String("issuer", settings.name))
	}
	trusted := &trustedIssuer{issuerSettings: settings, source: source}
	trusted.digest = digestOf(struct {
		Issuer, Keys string
		Algorithms   any
		Secret       bool
	}{settings.name, poolKey, settings.algorithms, settings.keys.Secret != nil})
	s.trusts.add(trusted)
	return trusted, nil
}

// trusted returns the issuers of the gate.
func (h *Handler) trusted(app *App, from *lender, logger *zap.Logger) ([]*trustedIssuer, error) {
	if len(h.UseIssuers) == 0 && len(h.Issuers) == 0 {
		if len(app.state.issuers) == 0 {
			return nil, errNoIssuer
		}
		return app.state.issuers, nil
	}
	var trusted []*trustedIssuer
	var names []string
	take := func(settings *issuerSettings) error {
		t, err := app.state.trust(settings, from, h.leases, logger)
		if err == nil {
			trusted = append(trusted, t)
		}
		return err
	}
	var errs collector
	used, err := expandNames("issuer", h.UseIssuers)
	errs.check(err)
	for _, name := range used {
		names = append(names, name)
		if t := app.state.issuer(name); t != nil {
			trusted = append(trusted, t)
			continue
		}
		settings, err := (&Issuer{Issuer: name}).settings()
		if err != nil {
			errs.check(fmt.Errorf("%w (it is none of the app's issuers, so it is a new one with defaults)", err))
			continue
		}
		errs.check(take(settings))
	}
	for _, own := range h.Issuers {
		settings, err := own.settings()
		if !errs.check(err) {
			continue
		}
		if slices.Contains(names, settings.name) {
			errs.check(fmt.Errorf("issuer %s: given twice", settings.name))
			continue
		}
		names = append(names, settings.name)
		errs.check(take(settings))
	}
	return trusted, errs.join()
}

// unknownAudience refuses an audience of the gate that no issuer accepts.
func unknownAudience(audience []string, issuers []*trustedIssuer) error {
	var errs collector
	for _, a := range audience {
		var all []string
		free := false
		for _, i := range issuers {
			free = free || i.anyAudience || len(i.audience) == 0
			all = append(all, i.audience...)
		}
		if !free && !slices.Contains(all, a) {
			errs.check(fmt.Errorf("audience: '%s' of the gate is none of the issuers' own, which are '%s'; a gate can only narrow them", a, strings.Join(all, "', '")))
		}
	}
	return errs.join()
}

// at returns what a gate with that audience asks of the issuer's tokens.
func (t *trustedIssuer) at(audience []string, anyone bool) (policy.IssuerConfig, error) {
	cfg := policy.IssuerConfig{
		Audience:    audience,
		Skew:        t.skew,
		MaxAge:      t.maxAge,
		Types:       t.types,
		Require:     t.requireClaims,
		SubOptional: t.subOptional,
	}
	switch {
	case len(t.audience) == 0 && len(audience) == 0:
		if !t.anyAudience && !anyone {
			return cfg, fmt.Errorf("issuer %s: no audience, neither at the issuer nor at the gate: write `audience NAME` with what this API is called in aud, or `audience any` to let in tokens made for others", t.name)
		}
		cfg.AnyAudience = true
	case anyone:
		return cfg, fmt.Errorf("issuer %s: `audience any` of the gate contradicts the issuer's '%s'; a gate can only narrow it", t.name, strings.Join(t.audience, "', '"))
	case len(audience) == 0:
		cfg.Audience = t.audience
	case len(t.audience) > 0:
		cfg.Audience = nil
		for _, a := range audience {
			if slices.Contains(t.audience, a) {
				cfg.Audience = append(cfg.Audience, a)
			}
		}
		if len(cfg.Audience) == 0 {
			return cfg, fmt.Errorf("issuer %s: its audience '%s' and the gate's '%s' have nothing in common, so none of its tokens could pass", t.name, strings.Join(t.audience, "', '"), strings.Join(audience, "', '"))
		}
	}
	return cfg, nil
}

var errNoIssuer = errors.New("no issuer: write `issuer https://id.example.com` and `audience NAME` into the gate, or `jwtgate { issuer ... }` into the global options")
