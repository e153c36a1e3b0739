package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(Revoke))
}

// Revoke is an endpoint at which backends revoke tokens, sessions, subjects and
// clients by themselves: with a token in a form (RFC 7009), or by name in JSON.
// Callers show a secret, or a token of an issuer of the app that has a scope.
// It is never open to all: without a way to tell callers it does not load.
type Revoke struct {
	// Secret is what callers send as `Authorization: Bearer <secret>`, at least
	// 16 visible ASCII characters. Placeholders {env.*} and {file.*} are
	// expanded.
	Secret string `json:"secret,omitempty"`
	// SecretFile is the path of a file with that secret, re-read when it
	// changes. A line break at its end does not count. Placeholders {env.*} and
	// {file.*} are expanded.
	SecretFile string `json:"secret_file,omitempty"`
	// Issuer is an issuer of the app whose tokens open the endpoint when they
	// have the scope. Such a caller revokes only what belongs to the same
	// issuer, and never the whole issuer. Placeholders {env.*} and {file.*} are
	// expanded.
	Issuer string `json:"issuer,omitempty"`
	// Scope is what the caller's token must have, one of several. Required with
	// issuer: without it, every user could log out every other.
	Scope []string `json:"scope,omitempty"`

	run  *revokeRuntime
	gate *Handler // for callers with tokens; else nil
}

// CaddyModule returns the module information.
func (*Revoke) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.jwtgate_revoke", New: func() caddy.Module { return new(Revoke) }}
}

// revokeRuntime is what Provision makes of a Revoke. It is valid after the
// configuration is gone: requests outlive it.
type revokeRuntime struct {
	app    *appState
	secret *callerSecret // nil: callers have tokens
	logger *zap.Logger
	now    func() time.Time
}

// Provision expands and checks the settings and reads the secret.
func (v *Revoke) Provision(ctx caddy.Context) error {
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return err
	}
	v.run = &revokeRuntime{app: app.state, logger: ctx.Logger(), now: time.Now}
	switch {
	case v.Secret != "":
		if !mayHavePlaceholder(v.Secret) {
			v.run.logger.Warn("secret: it is part of the configuration, which Caddy's admin endpoint shows; write {env.NAME} or {file./path} instead, not {$NAME}")
		}
		v.run.secret, err = givenSecret(v.Secret)
		return err
	case v.SecretFile != "":
		path, err := expandName("secret_file", v.SecretFile)
		if err != nil {
			return err
		}
		v.run.secret, err = fileSecret(path, v.run.logger)
		return err
	}
	name, err := expandName("issuer", v.Issuer)
	if err != nil {
		return err
	}
	if app.state.issuer(name) == nil {
		return fmt.Errorf("issuer %s: it is none of the app's, which the global option jwtgate names", name)
	}
	v.gate = &Handler{
		UseIssuers: []string{v.Issuer},
		Require:    []*Requirement{{Kind: "scope", Values: v.Scope}},
		Realm:      revokeRealm,
	}
	return v.gate.Provision(ctx)
}

// revokeRealm is the realm of the endpoint's challenges.
const revokeRealm = "jwtgate_revoke"

// check refuses an endpoint that is open, or two ways to tell callers.
func (v *Revoke) check() error {
	ways := 0
	for _, way := range []string{v.Secret, v.SecretFile, v.Issuer} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways == 0:
		return errors.New("nobody may call it: write `secret`, `secret_file`, or `issuer` and `scope`")
	case ways > 1:
		return errors.New("secret, secret_file and issuer contradict each other: one of them tells callers")
	case v.Issuer != "" && len(v.Scope) == 0:
		return errors.New("scope: missing; without it every user of the issuer could log out every other")
	case v.Issuer == "" && len(v.Scope) > 0:
		return errors.New("scope: only with issuer: a secret has none")
	}
	return nil
}

// Cleanup releases what Provision took.
func (v *Revoke) Cleanup() error {
	if v.gate == nil {
		return nil
	}
	return v.gate.Cleanup()
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Revoke)(nil)
	_ caddy.CleanerUpper          = (*Revoke)(nil)
	_ caddyhttp.MiddlewareHandler = (*Revoke)(nil)
	_ caddyfile.Unmarshaler       = (*Revoke)(nil)
)
