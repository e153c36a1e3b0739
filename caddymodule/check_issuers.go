package caddymodule

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// checkedIssuer is what came of asking one issuer.
type checkedIssuer struct {
	Issuer   string   `json:"issuer"`
	Source   string   `json:"source"`
	Location string   `json:"location,omitempty"`
	Asked    bool     `json:"asked"`
	OK       bool     `json:"ok"`
	Keys     int      `json:"keys"`
	KeyTypes []string `json:"key_types"` // "2 RSA", of usable keys
	Skipped  []string `json:"skipped"`
	Error    string   `json:"error"`
	// ErrorKind is dns, tls, timeout, network, status, content or
	// issuer_mismatch.
	ErrorKind string  `json:"error_kind"`
	Seconds   float64 `json:"seconds"`
}

// askedAtOnce bounds how many issuers are asked at a time.
const askedAtOnce = 8

// checkIssuers asks the issuers for their keys and judges their settings.
func (c *checker) checkIssuers(ctx context.Context, options checkOptions) {
	all := c.app.state.trusts.list()
	results := make([]checkedIssuer, len(all))
	var work sync.WaitGroup
	slots := make(chan struct{}, askedAtOnce)
	for i, t := range all {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = askIssuer(ctx, t, options)
		})
	}
	work.Wait()
	for i, t := range all {
		c.report.Issuers = append(c.report.Issuers, results[i])
		c.judgeAnswer(t, &results[i])
		c.judgeIssuer(t)
	}
	for _, t := range c.app.state.issuers {
		used := slices.ContainsFunc(c.gates, func(g *Handler) bool {
			return g.run.gate != nil && (len(g.UseIssuers)+len(g.Issuers) == 0 || g.names(t.name))
		})
		if !used && !c.revokerUses(t.name) {
			c.add("issuer_unused", c.places.issuer(t.name), nil, "delete it, or name it in a gate", "issuer %s is used by no gate", t.name)
		}
	}
}

// names reports whether the gate names that issuer of the app.
func (h *Handler) names(issuer string) bool {
	used, _ := expandNames("issuer", h.UseIssuers)
	return slices.Contains(used, issuer)
}

func (c *checker) revokerUses(issuer string) bool {
	for h := range c.places.at {
		if r, ok := h.(*Revoke); ok {
			if name, err := expandName("issuer", r.Issuer); err == nil && name == issuer {
				return true
			}
		}
	}
	return false
}

// askIssuer fetches the keys of one issuer.
func askIssuer(ctx context.Context, t *trustedIssuer, options checkOptions) checkedIssuer {
	status := t.source.Status()
	r := checkedIssuer{Issuer: t.name, Source: status.Kind, Location: status.Location, KeyTypes: []string{}, Skipped: []string{}}
	// Files and secrets were read when the configuration was loaded.
	remote := status.Kind == "discovery" || status.Kind == "jwks"
	if options.offline && remote {
		return r
	}
	r.Asked = true
	if remote {
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, options.timeout)
		err := t.source.RefreshNow(ctx)
		cancel()
		r.Seconds = time.Since(began).Seconds()
		if r.ErrorKind = jwks.ErrorKind(err); err != nil {
			r.Error = err.Error()
			if r.ErrorKind == "timeout" && ctx.Err() != nil {
				r.Error = fmt.Sprintf("%s: timeout: no complete answer within %s", status.Location, options.timeout)
			}
			return r
		}
		status = t.source.Status()
	}
	r.OK = true
	r.Skipped = append(r.Skipped, status.Skipped...)
	r.Keys = len(status.Keys)
	count := make(map[string]int)
	for _, k := range status.Keys {
		count[k.Type]++
	}
	for kind, n := range count {
		r.KeyTypes = append(r.KeyTypes, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(r.KeyTypes)
	return r
}

// unreachable are the kinds of errors after which another try may do.
var unreachable = []string{"dns", "tls", "timeout", "network", "status"}

func (c *checker) judgeAnswer(t *trustedIssuer, r *checkedIssuer) {
	at := c.places.issuer(t.name, "discovery", "jwks", "jwks_file", "pem_file")
	switch {
	case !r.Asked:
		return
	case r.OK:
	case slices.Contains(unreachable, r.ErrorKind):
		fix := "see whether this machine reaches it: `curl -v " + r.Location + "`"
		switch r.ErrorKind {
		case "dns":
			fix = "correct the host name in `issuer`, `discovery` or `jwks`, or this machine's DNS"
		case "tls":
			fix = "if its certificate is of an authority of your own, name that with `tls_ca ca.pem`; `insecure` does not help"
		case "status":
			fix = "correct the URL; where keys are not found by discovery, write `jwks https://.../keys`"
		}
		c.add("issuer_unreachable", at, nil, fix, "issuer %s: %s", t.name, r.Error)
		return
	case r.ErrorKind == "issuer_mismatch":
		c.add("issuer_mismatch", c.places.issuer(t.name), nil, "write the issuer as its discovery document and the iss of its tokens have it; a trailing slash counts",
			"issuer %s: %s", t.name, r.Error)
		return
	default:
		c.add("issuer_unusable", at, nil, "look at what "+r.Location+" answers: a JSON object with the member keys, and public keys in it", "issuer %s: %s", t.name, r.Error)
		return
	}
	if len(r.Skipped) > 0 {
		c.add("issuer_keys_skipped", at, nil, "nothing, if tokens are signed with other keys", "issuer %s: %d keys are not used: %s", t.name, len(r.Skipped), strings.Join(r.Skipped, "; "))
	}
	if t.algorithms == 0 {
		return
	}
	var offered []string
	for _, k := range t.source.Status().Keys {
		for _, a := range k.Algorithms {
			if !slices.Contains(offered, a) {
				offered = append(offered, a)
			}
		}
	}
	fits := slices.ContainsFunc(t.algorithms.List(), func(a token.Algorithm) bool { return slices.Contains(offered, a.String()) })
	if !fits && len(offered) > 0 {
		c.add("issuer_no_algorithm", c.places.issuer(t.name, "algorithms"), nil, "write `algorithms "+strings.Join(offered, " ")+"`, or leave the line out",
			"issuer %s: its keys are for %s, and none of that is in algorithms", t.name, strings.Join(offered, ", "))
	}
}

// judgeIssuer looks at the settings that weaken what is checked.
func (c *checker) judgeIssuer(t *trustedIssuer) {
	if t.anyAudience {
		c.add("audience_any", c.places.issuer(t.name, "audience", "any_audience"), nil, "write `audience NAME` with what this API is called in aud", "issuer %s: tokens made for anybody pass", t.name)
	}
	if t.skew > time.Minute {
		c.add("skew_long", c.places.issuer(t.name, "skew"), nil, fmt.Sprintf("leave it out (%s), and set the clocks right", policy.DefaultSkew), "issuer %s: skew %s", t.name, t.skew)
	}
	if t.keys.MaxStale > 24*time.Hour {
		c.add("max_stale_long", c.places.issuer(t.name, "max_stale"), nil, "leave it out (24h)", "issuer %s: max_stale %s", t.name, t.keys.MaxStale)
	}
	if t.keys.Insecure {
		c.add("issuer_insecure", c.places.issuer(t.name, "insecure"), nil, "use https, with `tls_ca` for an authority of your own", "issuer %s: its keys may come over plain http", t.name)
	}
	if t.subOptional {
		c.add("sub_optional", c.places.issuer(t.name, "require_claims", "sub_optional"), nil, "leave `require_claims none` out, or `require claim` what takes the place of sub", "issuer %s: tokens without sub pass", t.name)
	}
	if t.openSecret {
		c.add("secret_in_config", c.places.issuer(t.name, "secret"), nil, "write `secret {env.NAME}` or `secret {file./path}`; `{$NAME}` would be written into the configuration, too", "issuer %s: the secret itself is in the configuration", t.name)
	}
	if why := weakSecret(t.keys.Secret); why != "" {
		c.add("secret_weak", c.places.issuer(t.name, "secret"), nil, "make one with `openssl rand -base64 48`, and give it to the issuer", "issuer %s: the secret can be guessed: %s", t.name, why)
	}
}
