package caddymodule

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// askedMembers are those of an entry as an operator asks for it.
var askedMembers = []string{"kind", "issuer", "value", "token", "before", "note"}

// exportedOnly are those by which an entry as an export wrote it is told from
// the former. It has kind, issuer, value and note, too.
var exportedOnly = []string{"id", "cutoff", "until", "revoked_at", "undone_at", "via", "by"}

// asked is a revocation as an operator asks for it.
type asked struct {
	kind                       revocation.Kind // 0: missing or wrong, and a fault
	issuer, value, token, note string
	before                     time.Time
}

const (
	wantKind       = "one of token, session, subject, client, issuer is wanted"
	tokenNotAName  = "this is a token: send it as \"token\", so that it is verified and ends up in no list and no log"
	tokenInTheNote = "this holds a token, which would end up in lists and logs"
)

// readAsked reads the form of an operator and says all that is wrong with it by
// itself.
func readAsked(m *members) asked {
	a := asked{issuer: m.text("issuer"), value: m.text("value"), token: m.text("token"), note: m.text("note"), before: m.time("before")}
	byToken := m.has("token")
	a.kind = m.kind(byToken)
	switch {
	case byToken && m.has("value"):
		m.fault("value", "either value or token, not both")
	case byToken && a.kind == revocation.Issuer:
		m.fault("token", "not with kind issuer: name the issuer")
	case byToken && a.token == "" && m.values["token"].Kind() == '"':
		m.fault("token", "it is empty")
	case !byToken && a.kind == revocation.Issuer && m.has("value"):
		m.fault("value", "kind issuer takes none: it ends every token of the issuer")
	case !byToken && a.kind != revocation.Issuer && a.kind != 0 && a.value == "" && !m.faulty("value"):
		m.fault("value", "missing: %s", valueNames[a.kind])
	}
	if !byToken && a.issuer == "" && !m.faulty("issuer") {
		m.fault("issuer", "missing")
	}
	if m.has("before") && (a.kind == revocation.Token || a.kind == revocation.Session) {
		m.fault("before", "only with kind subject, client or issuer: a token or session is revoked whenever it was issued")
	}
	m.noTokens(a.issuer, a.value, a.note)
	return a
}

// valueNames says what a value of each kind is.
var valueNames = map[revocation.Kind]string{
	revocation.Token:   "the jti, or send the token itself as token",
	revocation.Session: "the sid",
	revocation.Subject: "the sub",
	revocation.Client:  "the client_id or azp",
}

func (m *members) faulty(field string) bool {
	return slices.ContainsFunc(m.faults, func(f fault) bool { return f.Field == field })
}

// kind returns the member kind. With optional, it is token when it is missing.
func (m *members) kind(optional bool) revocation.Kind {
	text := m.text("kind")
	kind, ok := revocation.ParseKind(text)
	switch {
	case ok:
	case !m.has("kind") && optional:
		return revocation.Token
	case !m.has("kind"):
		m.fault("kind", "missing: %s", wantKind)
	case !m.faulty("kind"):
		m.fault("kind", wantKind)
	}
	return kind
}

func (m *members) noTokens(issuer, value, note string) {
	if looksLikeToken(issuer) {
		m.fault("issuer", tokenNotAName)
	}
	if looksLikeToken(value) {
		m.fault("value", tokenNotAName)
	}
	if slices.ContainsFunc(strings.Fields(note), looksLikeToken) {
		m.fault("note", tokenInTheNote)
	}
}

// entry returns the entry that a asks for, complete but for who asked. Its
// faults go to m.
func (v *adminView) entry(ctx context.Context, a asked, m *members, now time.Time) revocation.Entry {
	var expires time.Time
	if a.token != "" {
		t, f := v.holder(ctx, a)
		if f != nil {
			m.faults = append(m.faults, *f)
			return revocation.Entry{}
		}
		a.issuer = t.Claims.Issuer
		a.value = valueOf(a.kind, t)
		if a.value == "" {
			m.fault("token", "it names no %s", a.kind)
			return revocation.Entry{}
		}
		expires = t.Claims.Expires.Time()
		// The token itself is meant, even if its issuer's clock is ahead.
		if a.before.IsZero() && t.Claims.IssuedAt.Present() && t.Claims.IssuedAt.Time().After(now) {
			a.before = t.Claims.IssuedAt.Time()
		}
		if a.kind == revocation.Token && !now.Before(expires.Add(v.circumstances(a.issuer, now).Skew)) {
			m.faults = append(m.faults, fault{Field: "token", code: codeTokenUnverified, Detail: "it has expired: there is nothing left to revoke"})
			return revocation.Entry{}
		}
	}
	if !v.knows(a.issuer) {
		m.fault("issuer", "%s", v.unknownIssuer())
		return revocation.Entry{}
	}
	c := v.circumstances(a.issuer, now)
	e, err := revocation.FromOperator(a.kind, a.issuer, a.value, a.before, expires, c)
	if err != nil {
		m.entryFaults(err)
		return revocation.Entry{}
	}
	outlast(&e, c)
	e.Note = a.note
	return e
}

func (v *adminView) unknownIssuer() string {
	names := v.names()
	if len(names) == 0 {
		return "the running configuration has no issuer, so there is nothing to revoke"
	}
	return "none of the running configuration, which has " + bounded(strings.Join(names, " "))
}

func valueOf(kind revocation.Kind, t *token.Token) string {
	switch kind {
	case revocation.Session:
		return t.Claims.SessionID
	case revocation.Subject:
		return t.Claims.Subject
	case revocation.Client:
		return t.Claims.ClientID
	}
	return revocation.TokenValue(t)
}

// holder verifies the token that was given.
func (v *adminView) holder(ctx context.Context, a asked) (*token.Token, *fault) {
	t, err := v.verify(ctx, a.token)
	if err == nil {
		if a.issuer != "" && a.issuer != t.Claims.Issuer {
			return nil, &fault{Field: "issuer", Detail: "not that of the token; it may be left out"}
		}
		return t, nil
	}
	f := &fault{Field: "token", code: codeTokenUnverified, Detail: "refused"}
	var refused *token.Refusal
	if !errors.As(err, &refused) {
		return nil, f
	}
	switch {
	case refused.Reason == token.IssuerUnknown:
		f.Detail = "iss_unknown: its issuer is " + v.unknownIssuer()
	case unavailable(err):
		f.code = codeNoKeys
		f.Detail = refused.Reason.String() + ": without the issuer's keys nobody can tell whether it is genuine; revoke by jti, sid or sub instead"
	default:
		f.Detail = refused.Reason.String() + ": it is no token that a gate of the running configuration would take as genuine"
	}
	return nil, f
}

// readExported reads an entry as an export wrote it.
func (m *members) readExported(now time.Time) revocation.Entry {
	j := revocation.EntryJSON{
		ID: m.text("id"), Kind: m.text("kind"), Issuer: m.text("issuer"), Value: m.text("value"),
		Cutoff: m.time("cutoff"), Until: m.time("until"), RevokedAt: m.time("revoked_at"), UndoneAt: m.time("undone_at"),
		Via: m.text("via"), By: m.text("by"), Note: m.text("note"),
	}
	if m.kind(false) == 0 || len(m.faults) > 0 {
		return revocation.Entry{}
	}
	if j.Via == "" {
		j.Via = viaImport
	}
	e, err := j.Entry()
	if err != nil {
		m.entryFaults(err)
		return revocation.Entry{}
	}
	// What lies ahead would refuse logins to come and outlive its own undoing.
	ahead := now.Add(policy.MaxSkew)
	for field, at := range map[string]time.Time{"cutoff": e.Cutoff, "revoked_at": e.RevokedAt, "undone_at": e.UndoneAt} {
		if at.After(ahead) {
			m.fault(field, "lies in the future")
		}
	}
	return e
}

// entryFaults adds what is wrong with an entry: lines of "field: detail".
func (m *members) entryFaults(err error) {
	for line := range strings.Lines(err.Error()) {
		field, detail, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !found {
			field, detail = "", line
		}
		m.fault(field, "%s", detail)
	}
}
