package revocation

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

func TestFromOperator(t *testing.T) {
	c := Circumstances{Now: epoch, Skew: time.Minute, AllowExpired: time.Hour}
	expires := epoch.Add(10 * time.Minute)
	for _, tc := range []struct {
		name          string
		kind          Kind
		before, exp   time.Time
		longest       time.Time
		life          time.Duration
		cutoff, until time.Time
		fault         error
	}{
		{name: "token of known expiry", kind: Token, exp: expires, until: expires.Add(time.Hour + time.Minute)},
		{name: "token of unknown expiry", kind: Token, until: epoch.Add(24*time.Hour + 2*time.Minute)},
		{name: "session", kind: Session, until: epoch.Add(24*time.Hour + 2*time.Minute)},
		{name: "session with a lifetime", kind: Session, life: time.Hour, until: epoch.Add(time.Hour + 2*time.Minute)},
		{name: "subject now", kind: Subject, cutoff: epoch, until: epoch.Add(24*time.Hour + 2*time.Minute)},
		{name: "subject before", kind: Subject, before: epoch.Add(-time.Hour), cutoff: epoch.Add(-time.Hour), until: epoch.Add(24*time.Hour + 2*time.Minute)},
		{name: "issuer with a token that lives long", kind: Issuer, longest: epoch.Add(100 * time.Hour), cutoff: epoch, until: epoch.Add(100*time.Hour + time.Minute)},
		{name: "subject a little ahead", kind: Subject, before: epoch.Add(time.Minute), cutoff: epoch.Add(time.Minute), until: epoch.Add(24*time.Hour + 3*time.Minute)},
		{name: "subject tomorrow", kind: Subject, before: epoch.Add(time.Minute + 1), fault: ErrFutureCutoff},
		{name: "client beyond all times", kind: Client, life: 100 * 365 * 24 * time.Hour, cutoff: epoch, until: latest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := c
			c.MaxTokenLifetime, c.LongestExpiry = tc.life, tc.longest
			value := "v"
			if tc.kind == Issuer {
				value = ""
			}
			e, err := FromOperator(tc.kind, testIssuer, value, tc.before, tc.exp, c)
			if tc.fault != nil {
				if !errors.Is(err, tc.fault) || e != (Entry{}) {
					t.Errorf("%+v, %v", e, err)
				}
				return
			}
			if err != nil || !e.Cutoff.Equal(tc.cutoff) || !e.Until.Equal(tc.until) || !e.RevokedAt.Equal(epoch) {
				t.Errorf("%v, cutoff %s, until %s, revoked at %s", err, e.Cutoff, e.Until, e.RevokedAt)
			}
			e.Via = "admin"
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFromToken covers the cutoffs of design section 9.
func TestFromToken(t *testing.T) {
	now := epoch
	weeks := 21 * 24 * time.Hour
	for _, tc := range []struct {
		name      string
		kind      Kind
		iat, exp  time.Time
		allow     time.Duration
		drop      bool // sid, sub and client id
		want      Kind
		cutoff    time.Time
		survivor  time.Time // issued then, not withdrawn
		withdrawn time.Time
	}{
		{name: "token", kind: Token, iat: now.Add(-time.Minute), exp: now.Add(time.Hour), want: Token},
		{name: "session", kind: Session, iat: now.Add(-time.Minute), exp: now.Add(time.Hour), want: Session},
		{name: "subject", kind: Subject, iat: now.Add(-time.Minute), exp: now.Add(time.Hour), want: Subject, cutoff: now, survivor: now.Add(time.Second)},
		{name: "subject of a fast clock", kind: Subject, iat: now.Add(20 * time.Second), exp: now.Add(time.Hour), want: Subject, cutoff: now.Add(20 * time.Second), survivor: now.Add(21 * time.Second)},
		{name: "subject queued for three weeks", kind: Subject, iat: now.Add(-weeks - time.Hour), exp: now.Add(-weeks), allow: 30 * 24 * time.Hour, want: Subject, cutoff: now.Add(-weeks), survivor: now.Add(-weeks + time.Hour)},
		{name: "client", kind: Client, iat: now.Add(-time.Minute), exp: now.Add(time.Hour), want: Client, cutoff: now, survivor: now.Add(time.Second)},
		{name: "session without sid", kind: Session, iat: now.Add(-time.Minute), exp: now.Add(time.Hour), drop: true, want: Token},
		{name: "subject without sub", kind: Subject, iat: now.Add(-time.Minute), exp: now.Add(time.Hour), drop: true, want: Token},
	} {
		t.Run(tc.name, func(t *testing.T) {
			names := `,"sub":"alice","sid":"s","client_id":"app"`
			if tc.drop {
				names = ""
			}
			claims, err := token.ParseClaims(fmt.Sprintf(`{"iss":%q,"jti":"jti","iat":%d,"exp":%d%s}`, testIssuer, tc.iat.Unix(), tc.exp.Unix(), names))
			if err != nil {
				t.Fatal(err)
			}
			tok := &token.Token{Claims: claims}
			e, fellBack := FromToken(tc.kind, tok, Circumstances{Now: now, Skew: time.Minute, AllowExpired: tc.allow})
			if e.Kind != tc.want || fellBack != tc.drop || !e.Cutoff.Equal(tc.cutoff) {
				t.Errorf("kind %s, fell back %v, cutoff %s", e.Kind, fellBack, e.Cutoff)
			}
			e.Via = "logout"
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			// As long as the token may be used, also to ask for its logout.
			if last := tc.exp.Add(time.Minute + tc.allow); e.Until.Before(last) {
				t.Errorf("until %s, the token lives until %s", e.Until, last)
			}
			s := openTest(t, Options{Now: func() time.Time { return now }, idle: true})
			mustRevoke(t, s, e)
			ids := IDsOf(tok)
			if kind, err := s.Revoked(&ids); kind != tc.want || err != nil {
				t.Errorf("the token survives its logout: %v, %v", kind, err)
			}
			if !tc.survivor.IsZero() {
				ids.IssuedAt, ids.Token = tc.survivor.UnixNano(), Digest{1}
				if kind, _ := s.Revoked(&ids); kind != 0 {
					t.Error("a later login is withdrawn")
				}
			}
		})
	}
}
