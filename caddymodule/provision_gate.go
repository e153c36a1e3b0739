package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// gateSettings are the effective settings of one gate that every result kept
// beside a verdict may depend on. Equal settings give equal digests, over
// reloads, too.
type gateSettings struct {
	Issuers       []gateIssuer
	Rules         []policy.RuleConfig
	Forward       []gate.ForwardConfig
	MaxToken      int
	MaxHeader     int
	RefuseTooLong bool
}

// gateIssuer is what one gate asks of the tokens of one issuer.
type gateIssuer struct {
	Name   string
	Digest [sha256.Size]byte
	Policy policy.IssuerConfig
}

// digestOf is the SHA-256 of v as JSON; v holds structs, slices and scalars
// alone, whose encoding is always the same.
func digestOf(v any) [sha256.Size]byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("digest of %T: %v", v, err))
	}
	return sha256.Sum256(b)
}

// build makes the runtime of a gate.
func (h *Handler) build(app *App, from *lender, logger *zap.Logger) (*runtime, error) {
	run := &runtime{app: app, realm: h.Realm, logger: logger, now: time.Now, compiled: new(sync.Map), keys: make(map[string]*jwks.Source)}
	var errs collector
	errs.check(h.contradictions())
	errs.check(h.answers(run))
	settings, err := h.settings()
	errs.check(err)
	run.sources, err = h.tokenSources(logger)
	errs.check(err)
	if len(errs) > 0 {
		return nil, errs.join()
	}
	run.aliases = spellings(run.sources)
	run.maxToken = settings.MaxToken
	forward, err := gate.NewForward(settings.Forward, settings.MaxHeader, settings.RefuseTooLong)
	if err != nil {
		return nil, err
	}
	if err := h.register(app, forward); err != nil {
		return nil, err
	}
	if h.Public {
		run.metrics = newMetrics()
		return run, nil
	}
	if h.Observe {
		logger.Warn("observe: this gate decides and counts, but refuses nothing")
	}
	return run, h.guard(run, settings, forward, from, logger)
}

// contradictions refuses options that undo each other.
func (h *Handler) contradictions() error {
	var errs collector
	if h.AnyAudience && len(h.Audience) > 0 {
		errs.check(errors.New("audience: any_audience contradicts the named audiences"))
	}
	if h.Preflight != nil && !*h.Preflight && len(h.CORS) > 0 {
		errs.check(errors.New("preflight: off contradicts cors"))
	}
	if !h.Public {
		return errs.join()
	}
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"use_issuers", len(h.UseIssuers) > 0},
		{"issuers", len(h.Issuers) > 0},
		{"audience", len(h.Audience) > 0 || h.AnyAudience},
		{"require", len(h.Require) > 0},
		{"strip_token", h.StripToken},
		{"token_from", len(h.TokenFrom) > 0},
		{"optional", h.Optional},
		{"observe", h.Observe},
		{"max_token", h.MaxToken != ""},
	} {
		if option.given {
			errs.check(fmt.Errorf("public contradicts %s: a public gate looks at no token", option.name))
		}
	}
	return errs.join()
}

// answers fills in what our own answers look like.
func (h *Handler) answers(run *runtime) error {
	var errs collector
	if run.realm == "" {
		run.realm = defaultRealm
	}
	if err := checkRealm(run.realm); err != nil {
		errs.check(fmt.Errorf("realm: %w", err))
	}
	run.challenges = challengesOf(run.realm)
	origins, err := parseOrigins("cors", h.CORS)
	errs.check(err)
	if len(origins) > 0 {
		run.cors = make(map[string]struct{}, len(origins))
		for _, o := range origins {
			run.cors[o] = struct{}{}
		}
	}
	run.preflight = len(h.CORS) > 0
	if h.Preflight != nil {
		run.preflight = *h.Preflight
	}
	run.logUser = h.LogUser == nil || *h.LogUser
	return errs.join()
}

// parseOrigins expands and normalizes origins.
func parseOrigins(option string, texts []string) ([]string, error) {
	names, err := expandNames(option, texts)
	if err != nil {
		return nil, err
	}
	var origins []string
	for _, name := range names {
		origin, err := parseOrigin(name)
		if err == nil {
			err = unique(&origins, origin)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
	}
	return origins, nil
}

// settings returns the effective settings of the gate, without its issuers.
func (h *Handler) settings() (*gateSettings, error) {
	s := new(gateSettings)
	var errs collector
	size, err := sizeOr("max_token", h.MaxToken, token.DefaultMaxLength, maxTokenLimits)
	errs.check(err)
	s.MaxToken = int(size)
	size, err = sizeOr("max_header", h.MaxHeader, defaultMaxHeader, maxHeaderLimits)
	errs.check(err)
	s.MaxHeader = int(size)
	action, err := wordOr("max_header_action", h.MaxHeaderAction, "drop", "refuse")
	errs.check(err)
	s.RefuseTooLong = action == "refuse"
	for i, r := range h.Require {
		if r == nil {
			errs.check(fmt.Errorf("require: line %d is null", i+1))
			continue
		}
		if err := r.check(); err != nil {
			errs.check(fmt.Errorf("require: %w", err))
		}
		s.Rules = append(s.Rules, r.rule())
	}
	seen := make(map[string]string)
	for i, f := range h.Forward {
		if f == nil {
			errs.check(fmt.Errorf("forward: line %d is null", i+1))
			continue
		}
		errs.check(f.check())
		folded := gate.Fold(f.Header)
		if other, ok := seen[folded]; ok {
			errs.check(fmt.Errorf("forward: header %q is given twice, also as %q", f.Header, other))
		}
		seen[folded] = f.Header
		s.Forward = append(s.Forward, f.line())
	}
	for _, pattern := range h.Strip {
		if err := gate.CheckManagedPattern(pattern); err != nil {
			errs.check(fmt.Errorf("strip: %w", err))
		}
	}
	return s, errs.join()
}

// tokenSources checks the places that may carry a token.
func (h *Handler) tokenSources(logger *zap.Logger) ([]TokenSource, error) {
	var errs collector
	var sources []TokenSource
	for i, t := range h.TokenFrom {
		if t == nil {
			errs.check(fmt.Errorf("token_from: entry %d is null", i+1))
			continue
		}
		err := t.check()
		for _, other := range sources {
			if err == nil && other.same(t) {
				err = fmt.Errorf("%s is given twice", strings.TrimSpace(t.From+" "+t.Name))
			}
		}
		origins, originErr := parseOrigins("origins", t.Origins)
		if err = errors.Join(err, originErr); err != nil {
			errs.check(fmt.Errorf("token_from: %w", err))
			continue
		}
		sources = append(sources, TokenSource{From: t.From, Name: t.Name, Origins: origins})
		t.warnOfLogs(logger)
	}
	return sources, errs.join()
}

// warnOfLogs names the filter that keeps the token out of Caddy's logs, which
// see the request before us and blank Authorization and Cookie alone. It belongs
// to the default log: a site's own log does not cover the line of an error.
func (t *TokenSource) warnOfLogs(logger *zap.Logger) {
	field, filter := t.logFilter()
	if field == "" {
		return
	}
	danger := ""
	if t.From == "query" {
		danger = "URLs with tokens end up in browser histories and in logs of whatever stands before this gateway; "
	}
	logger.Warn("token_from "+t.From+": "+danger+"Caddy's own logs need this filter, and once more in each site whose log has an output of its own",
		zap.String("name", t.Name),
		zap.String("caddyfile", "{\n\tlog default {\n\t\tformat filter {\n\t\t\t"+filter+"\n\t\t}\n\t}\n}"))
}

// register tells the app which headers the gate owns.
func (h *Handler) register(app *App, forward *gate.Forward) error {
	var carries []string
	for _, t := range h.TokenFrom {
		if t.From == "header" {
			carries = append(carries, t.Name)
		}
	}
	return app.state.names.register(slices.Concat(forward.Names(), h.Strip), carries)
}

// guard builds the gate itself.
func (h *Handler) guard(run *runtime, settings *gateSettings, forward *gate.Forward, from *lender, logger *zap.Logger) error {
	trusted, err := h.trusted(run.app, from, logger)
	if err != nil {
		return err
	}
	rules, err := policy.Compile(settings.Rules)
	if err != nil {
		return fmt.Errorf("require: %w", err)
	}
	audience, err := expandNames("audience", h.Audience)
	if err != nil {
		return err
	}
	if err := unknownAudience(audience, trusted); err != nil {
		return err
	}
	if h.AnyAudience {
		logger.Warn("audience any: every token of the issuers of this gate passes, whoever it was made for")
	}
	var errs collector
	var names []string
	cfg := gate.Config{
		Rules:      rules,
		Forward:    forward,
		Revocation: run.app.state.list,
		Cache:      run.app.state.cache,
		MaxToken:   settings.MaxToken,
		Now:        run.now,
		OnOmitted:  process.omitted(forward.Names()),
	}
	for _, t := range trusted {
		asked, err := t.at(audience, h.AnyAudience)
		if !errs.check(err) {
			continue
		}
		asked.MaxLifetime = run.app.state.revocation.limit()
		judge, err := policy.NewIssuer(asked)
		if err != nil {
			errs.check(fmt.Errorf("issuer %s: %w", t.name, err))
			continue
		}
		names = append(names, t.name)
		run.watch(t.name)
		run.keys[t.name] = t.source
		settings.Issuers = append(settings.Issuers, gateIssuer{t.name, t.digest, asked})
		cfg.Issuers = append(cfg.Issuers, gate.Issuer{
			Name:       t.name,
			Keys:       t.source,
			Policy:     judge,
			Algorithms: t.algorithms,
			Secret:     t.keys.Secret != nil,
			OnSkew:     process.skewed(t.name),
			Digest:     t.digest,
		})
	}
	if len(errs) > 0 {
		return errs.join()
	}
	run.metrics = newMetrics(names...)
	cfg.Digest = digestOf(settings)
	cfg.OnVerify = run.metrics.verified
	if h.Observe {
		run.observed = run.app.state.observed.add(h, run, cfg.Digest)
	}
	run.gate, err = gate.New(cfg)
	return err
}
