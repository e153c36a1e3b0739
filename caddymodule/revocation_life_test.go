package caddymodule

import (
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

func claimsWith(t *testing.T, exp time.Time) *token.Claims {
	t.Helper()
	c, err := token.ParseClaims(`{"iss":"i","exp":` + strconv.FormatInt(exp.Unix(), 10) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTokensThatLiveTooLongByDefault are let in, counted, warned about once and
// remembered, so that entries live as long.
func TestTokensThatLiveTooLongByDefault(t *testing.T) {
	s := newViews(t)
	v := s.started("a.db")
	now := time.Now().Truncate(time.Second)
	v.now = func() time.Time { return now }
	core, logs := observer.New(zap.InfoLevel)
	watch := newLifetimes(v, 24*time.Hour, zap.New(core)).watch("lives-long")
	registry := prometheus.NewRegistry()
	registry.MustRegister(revocationMetrics.longLived)
	counted := func() float64 { return gather(t, registry)[`jwtgate_long_lived_tokens_total{issuer="lives-long"}`] }
	short := claimsWith(t, now.Add(24*time.Hour))
	watch.accepted(short.Expires)
	if n := testing.AllocsPerRun(100, func() { watch.accepted(short.Expires) }); n > 0 || counted() != 0 || logs.Len() != 0 {
		t.Errorf("an ordinary token: %v allocations, counted %v, %d lines", n, counted(), logs.Len())
	}
	longest := now.Add(30 * 24 * time.Hour)
	watch.accepted(claimsWith(t, longest).Expires)
	watch.accepted(claimsWith(t, now.Add(48*time.Hour)).Expires)
	if counted() != 2 || logs.Len() != 1 {
		t.Errorf("counted %v, %d lines", counted(), logs.Len())
	}
	state := &appState{revocation: &revocationSettings{maxLifetime: 24 * time.Hour}, list: v}
	c := state.circumstances("lives-long", now)
	if !c.LongestExpiry.Equal(longest) || c.Skew != policy.DefaultSkew {
		t.Errorf("%+v", c)
	}
	e, err := revocation.FromOperator(revocation.Subject, "lives-long", "alice", time.Time{}, time.Time{}, c)
	if err != nil || e.Until.Before(longest) {
		t.Errorf("an entry until %s, the token until %s, %v", e.Until, longest, err)
	}
	// The clock goes on: what was too long once is not for ever.
	now = now.Add(24 * time.Hour)
	watch.accepted(claimsWith(t, now.Add(24*time.Hour)).Expires)
	if counted() != 2 {
		t.Errorf("counted %v", counted())
	}
	if end(t, v); s.started("a.db").current().LongestExpiry("lives-long").Before(longest) {
		t.Error("a restart forgot the longest life")
	}
}

// TestEntriesOutliveAGreaterSkew: a reload that raises skew must not bring a
// revoked token back.
func TestEntriesOutliveAGreaterSkew(t *testing.T) {
	exp := time.Now().Add(time.Minute)
	for _, skew := range []time.Duration{0, 30 * time.Second, policy.MaxSkew} {
		e := revocation.Entry{Until: exp.Add(skew)}
		outlast(&e, revocation.Circumstances{Skew: skew})
		if !e.Until.Equal(exp.Add(policy.MaxSkew)) {
			t.Errorf("skew %s: until %s", skew, e.Until.Sub(exp))
		}
	}
	e := revocation.Entry{Until: lastEntry}
	if outlast(&e, revocation.Circumstances{}); !e.Until.Equal(lastEntry) {
		t.Errorf("until %s, which no entry can hold", e.Until)
	}
}

// TestAllowExpiredCounts: a token lives longest where a logout allows it most.
func TestAllowExpiredCounts(t *testing.T) {
	state := &appState{revocation: &revocationSettings{maxLifetime: time.Hour}, list: newViews(t).view("")}
	for _, d := range []time.Duration{time.Hour, 3 * time.Hour, 0} {
		state.allowExpiredUpTo(d)
	}
	state.trusts.add(&trustedIssuer{issuerSettings: &issuerSettings{name: "i", skew: time.Second}, digest: [32]byte{1}})
	state.trusts.add(&trustedIssuer{issuerSettings: &issuerSettings{name: "i", skew: time.Minute}, digest: [32]byte{2}})
	state.trusts.add(&trustedIssuer{issuerSettings: &issuerSettings{name: "j", skew: time.Hour}, digest: [32]byte{3}})
	if c := state.circumstances("i", time.Now()); c.AllowExpired != 3*time.Hour || c.Skew != time.Minute || c.MaxTokenLifetime != time.Hour {
		t.Errorf("%+v", c)
	}
}
