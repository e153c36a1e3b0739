package caddymodule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// effective are the values that a request meets, of options whose zero is not
// their default.
type effective struct {
	skew, maxStale         time.Duration
	cache, journal         bool
	preflight, logUser     bool
	maxLifetime, staleness time.Duration
	enforced               time.Duration
}

func effectiveOf(app *App, h *Handler) effective {
	issuer := app.state.issuers[0]
	return effective{
		skew:        issuer.skew,
		maxStale:    issuer.keys.MaxStale,
		cache:       app.state.cache != nil,
		journal:     app.state.revocation.journal != "",
		preflight:   h.run.preflight,
		logUser:     h.run.logUser,
		maxLifetime: app.state.revocation.maxLifetime,
		staleness:   app.state.revocation.staleAfter,
		enforced:    app.state.revocation.limit(),
	}
}

// TestZerosSurviveTheWayThroughJSON adapts, decodes and provisions options whose
// zero differs from their default: omitempty would make them vanish.
func TestZerosSurviveTheWayThroughJSON(t *testing.T) {
	defaults := effective{
		skew: 30 * time.Second, maxStale: 24 * time.Hour, cache: true, journal: true, logUser: true,
		maxLifetime: 24 * time.Hour, staleness: 5 * time.Minute,
	}
	change := func(f func(*effective)) effective {
		e := defaults
		f(&e)
		return e
	}
	for name, c := range map[string]struct {
		issuer, app, gate string
		want              effective
	}{
		"defaults":      {want: defaults},
		"skew 0s":       {issuer: "skew 0s", want: change(func(e *effective) { e.skew = 0 })},
		"max_stale 0":   {issuer: "max_stale 0", want: change(func(e *effective) { e.maxStale = 0 })},
		"cache off":     {app: "cache off", want: change(func(e *effective) { e.cache = false })},
		"journal off":   {app: "revocation {\njournal off\n}", want: change(func(e *effective) { e.journal = false })},
		"log_user off":  {gate: "log_user off", want: change(func(e *effective) { e.logUser = false })},
		"preflight off": {gate: "preflight off", want: defaults},
		"preflight on":  {gate: "preflight on", want: change(func(e *effective) { e.preflight = true })},
		"cors":          {gate: "cors https://app.example.test", want: change(func(e *effective) { e.preflight = true })},
		"max_token_lifetime as the default": {
			app:  "revocation {\nmax_token_lifetime 24h\n}",
			want: change(func(e *effective) { e.enforced = 24 * time.Hour }),
		},
		"stale_after": {
			app:  "revocation {\nstale_after 1s\n}",
			want: change(func(e *effective) { e.staleness = time.Second }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			app, gates := load(t, fmt.Sprintf(
				"{\njwtgate {\nissuer https://id.example.test {\naudience a\njwks_file testdata/keys.json\n%s\n}\n%s\n}\n}\n:8080 {\njwtgate {\n%s\n}\n}\n",
				c.issuer, c.app, c.gate))
			if got := effectiveOf(app, gates[0]); got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestPreflightOffOutlivesJSON makes sure that an explicit off is not taken for
// nothing said, which cors would turn into on.
func TestPreflightOffOutlivesJSON(t *testing.T) {
	_, _, err := provision(t, gateJSON(
		`"handler": "jwtgate", "public": true, "preflight": false, "cors": ["https://app.example.test"]`))
	if err == nil || !strings.Contains(err.Error(), "preflight: off contradicts cors") {
		t.Errorf("got %v", err)
	}
}
