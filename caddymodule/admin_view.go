package caddymodule

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// adminList is what the admin API needs of a *revocation.Store.
type adminList interface {
	Ready() error
	Progress() (done, total int)
	Revoke(ctx context.Context, e revocation.Entry) (revocation.Result, error)
	Undo(ctx context.Context, id revocation.Digest, via, by, note string) (revocation.Result, error)
	Apply(ctx context.Context, entries []revocation.Entry) (changed int, err error)
	Get(id revocation.Digest) (revocation.Entry, error)
	Query(ctx context.Context, f revocation.Filter) (entries []revocation.Entry, next string, err error)
	Count() map[revocation.Kind]int
	Stats() revocation.Stats
	Export(ctx context.Context, undone bool, yield func(*revocation.Entry) error) error
	LongestExpiry(issuer string) time.Time
}

// adminView is one request's hold on the running configuration.
type adminView struct {
	list    adminList
	issuers []*trustedIssuer
	// circumstances are what the life of an entry for issuer follows from.
	circumstances func(issuer string, now time.Time) revocation.Circumstances
	durable       bool // there is a journal
	// feed is listView.knows, and fed listView.fed; nil: the gateway is alone.
	feed func() error
	fed  func(context.Context) bool
	// about is what only the status and the reports tell.
	about  statusSources
	logger *slog.Logger
	now    func() time.Time
	// release gives the hold up. The list stays open until then.
	release func()

	// http is Caddy's HTTP app; nil: there is none.
	http *caddyhttp.App

	// verifiers are built when a token has to be verified.
	once      sync.Once
	verifiers map[string][]*gate.Gate
}

// openActive takes hold of the configuration that is running now.
func openActive() (*adminView, error) {
	ctx := caddy.ActiveContext()
	module, err := ctx.AppIfConfigured("jwtgate")
	if err != nil {
		return nil, problem(codeNotConfigured, "there is no gate, or Caddy is starting")
	}
	app, ok := module.(*App)
	if !ok || app.state == nil || app.state.list == nil {
		return nil, problem(codeNotConfigured, "the app jwtgate is not running")
	}
	v := &adminView{
		issuers:       app.state.trusts.list(),
		circumstances: app.state.circumstances,
		durable:       app.state.revocation.journal != "",
		logger:        app.state.lender.logger,
		now:           time.Now,
	}
	if module, err := ctx.AppIfConfigured("http"); err == nil {
		v.http, _ = module.(*caddyhttp.App)
	}
	v.feed, v.fed = app.state.list.knows, app.state.list.fed
	v.about = app.state.about()
	v.list, v.release = app.state.list.open()
	return v, nil
}

// names lists the configured issuers, sorted.
func (v *adminView) names() []string {
	var names []string
	for _, t := range v.issuers {
		names = append(names, t.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (v *adminView) knows(issuer string) bool {
	return slices.ContainsFunc(v.issuers, func(t *trustedIssuer) bool { return t.name == issuer })
}

// anyAge is more than any token is past its exp: to name a session or a
// subject, a genuine token is good whenever it expired.
const anyAge = 100 * 365 * 24 * time.Hour

// verify returns the claims of raw if an issuer of the configuration signed it,
// whoever it was made for. It is a gate without policy and revocation list; the
// error is a *token.Refusal.
func (v *adminView) verify(ctx context.Context, raw string) (*token.Token, error) {
	v.once.Do(v.buildVerifiers)
	t, err := token.Parse(raw, int(maxTokenLimits.most))
	if err != nil {
		return nil, err
	}
	refused := error(token.Refuse(token.IssuerUnknown, "", ""))
	for _, g := range v.verifiers[t.Claims.Issuer] {
		id, _, err := g.Check(ctx, raw, nil, gate.Options{AllowExpired: anyAge})
		if err == nil {
			return id.Token, nil
		}
		// An issuer whose keys are missing may yet vouch for it.
		if !unavailable(refused) {
			refused = err
		}
	}
	return nil, refused
}

func unavailable(err error) bool {
	var refused *token.Refusal
	return errors.As(err, &refused) && refused.Reason.Code() == token.CodeKeysUnavailable
}

func (v *adminView) buildVerifiers() {
	v.verifiers = make(map[string][]*gate.Gate)
	for _, t := range v.issuers {
		judge, err := policy.NewIssuer(policy.IssuerConfig{AnyAudience: true, Skew: t.skew, Types: t.types, SubOptional: true})
		if err != nil {
			continue // its settings were judged when they were loaded
		}
		g, err := gate.New(gate.Config{
			Issuers: []gate.Issuer{{
				Name:       t.name,
				Keys:       t.source,
				Policy:     judge,
				Algorithms: t.algorithms,
				Secret:     t.keys.Secret != nil,
			}},
			MaxToken: int(maxTokenLimits.most),
			Now:      v.now,
		})
		if err != nil {
			continue
		}
		v.verifiers[t.name] = append(v.verifiers[t.name], g)
	}
}
