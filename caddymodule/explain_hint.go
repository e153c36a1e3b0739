package caddymodule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/token"
)

// hint says what to do about a refusal; empty when the refusal says it all. It
// quotes technical claims alone: iss, aud, kid, alg, typ, scope and times.
func (g *gateWalk) hint(refused *token.Refusal, raw string) string {
	x := g.found
	if x == nil {
		return g.extractHint(refused)
	}
	switch refused.Reason {
	case token.TokenTooLong:
		return "raise `max_token` of the gate, and the server's `max_header_size` (16 KiB for all headers by default); or have the issuer put less into tokens"
	case token.TokenMalformed, token.HeaderMalformed, token.HeaderUnsupported, token.ClaimsMalformed:
		return syntaxHint(refused, raw)
	case token.AlgNotAllowed:
		return algorithmHint(refused, x)
	case token.IssuerMissing:
		return "access tokens name their issuer in `iss`; this one is of another kind, or its issuer has to be told to set it"
	case token.IssuerUnknown:
		return issuerHint(x, g.names())
	case token.KeysNeverObtained, token.KeysStale, token.KeysFetchFailed:
		return keysHint(x)
	case token.KidUnknown, token.KeyMismatch:
		return kidHint(x)
	case token.SignatureInvalid:
		return "the token was changed or cut on its way, or another system with the same issuer name signed it, or the issuer put a new key under the same kid: " + heldKeys(x)
	case token.ExpiryMissing:
		return "tokens without `exp` are never accepted; have the issuer set it"
	case token.Expired:
		return expiredHint(x)
	case token.NotBeforeAhead, token.IssuedAtAhead:
		return fmt.Sprintf("the clock of this gateway may be %s behind the issuer's: compare `date -u` on both and look at NTP; `skew`, now %s, is for small differences",
			span(ahead(x, refused)), x.Skew)
	case token.TooOld:
		return "the token is older than `max_age` of the issuer allows; the app has to refresh it, or `max_age` is too short"
	case token.LifetimeExceeded:
		return "the issuer makes tokens that live longer than `max_token_lifetime`; raise that, or shorten the tokens"
	case token.TypeMismatch:
		return fmt.Sprintf("`token_type %s` at the issuer accepts it, if such tokens are meant for APIs; an ID token is not", typeWord(x))
	case token.AudienceMismatch:
		return audienceHint(x)
	}
	return policyHint(refused.Reason)
}

// policyHint is for refusals whose hint is always the same.
func policyHint(reason token.Reason) string {
	switch reason {
	case token.RevokedToken, token.RevokedSession, token.RevokedSubject, token.RevokedClient, token.RevokedIssuer:
		return "the user has to log in again; if it was a mistake, `caddy jwtgate revocations undo ID` takes it back"
	case token.RevocationLoading:
		return "the list is being read, from disk or from Redis; `caddy jwtgate status` shows how far it is"
	case token.RevocationStale:
		return "Redis has not answered for longer than `stale_after`, so nobody knows what other gateways revoked; look at Redis, or choose `on_stale allow`"
	case token.ClaimMissing:
		return "have the issuer put the claim into access tokens, or change `require_claims` (`require_claims none` lifts sub)"
	case token.ProofUnsupported:
		return "the token is bound to a key of the client (DPoP or mutual TLS), whose proof is not checked here; ask the issuer for bearer tokens"
	case token.EventsPresent:
		return "this is a logout or security event token, no access token"
	case token.ScopeMissing:
		return "the app has to ask the issuer for the scope, and the user or an administrator may have to consent to it"
	case token.ClaimDenied:
		return "the token is good, but the `require claim` line asks for more: give the user that right at the issuer, or change the line"
	case token.ExpressionDenied:
		return "the token is good, but the `require expr` line is false for it and this request"
	case token.ExpressionFailed:
		return "the expression fails for this token, as it does when a claim is missing: test with has(claims.x) first"
	case token.HeaderTooLarge:
		return "raise `max_header`, or write `max_header SIZE drop` to leave the header out"
	}
	return ""
}

// extractHint is for what is wrong before there is a token.
func (g *gateWalk) extractHint(refused *token.Refusal) string {
	switch refused.Reason {
	case token.TokenMissing:
		switch {
		case g.logout != nil && (g.handler.Optional || g.handler.Public):
			return "behind jwtgate_logout a token is needed, also where the gate is optional or public"
		case g.schemed:
			return "there is an Authorization header of another scheme than Bearer"
		}
		return "the client has to send `Authorization: Bearer <token>`; look whether a proxy in front takes it away"
	case token.AuthorizationMalformed:
		return "the header has to read `Authorization: Bearer <token>`, once, and the token consists of letters, digits and -._~+/ alone"
	case token.TokenDuplicate:
		return "the request has two tokens, in one place or in two: the client has to send one"
	case token.CrossOrigin:
		return "a page of another site made this request; if it may, name its origin: `token_from cookie NAME https://app.example.com`"
	case token.TokenTooLong:
		return "raise `max_token` of the gate, and the server's `max_header_size` (16 KiB for all headers by default); or have the issuer put less into tokens"
	}
	return ""
}

func syntaxHint(refused *token.Refusal, raw string) string {
	switch dots := strings.Count(raw, "."); {
	case dots == 4:
		return "five parts are an encrypted token (JWE), which only its addressee can read; ask the issuer for signed access tokens (JWS)"
	case strings.HasPrefix(raw, "eyJ") && dots < 2:
		return "a JWT has three parts with two dots between them: some of it may be missing"
	case refused.Reason == token.HeaderUnsupported:
		return "only plainly signed tokens are accepted; ask the issuer to leave these header members out"
	case dots == 0:
		return "this is no JWT but an opaque token; ask the issuer for JWT access tokens, often by naming the API (audience or resource) in the request for it"
	case dots != 2:
		return "a JWT has three parts with two dots between them: some of it may be missing"
	case refused.Reason == token.TokenMalformed:
		return "some characters are missing or changed: copy the token once more, as a whole"
	}
	return "the issuer, or whoever made the token, has to write strict JSON: no repeated names, no wrong types"
}

func algorithmHint(refused *token.Refusal, x *gate.Explanation) string {
	alg := refused.Got
	switch {
	case strings.EqualFold(alg, "none"):
		return "the token is not signed: somebody tries to forge one, or a test made it"
	case strings.HasPrefix(alg, "HS"):
		return alg + " is signed with a shared secret: name it with `secret {env.NAME}` at the issuer, or better have the issuer sign with a key pair (RS256, ES256)"
	case x.Token == nil:
		return "such a signature cannot be checked here; have the issuer use RS256, ES256 or EdDSA"
	}
	return "add " + alg + " to `algorithms` of the issuer, if the issuer is meant to use it"
}

// issuerHint names the configured issuer that was probably meant.
func issuerHint(x *gate.Explanation, names []string) string {
	if x.Token == nil || len(names) == 0 {
		return ""
	}
	iss := x.Token.Claims.Issuer
	nearest, least := "", 1<<30
	for _, name := range names {
		if d := distance(iss, name); d < least {
			nearest, least = name, d
		}
	}
	switch {
	case strings.TrimRight(iss, "/") == strings.TrimRight(nearest, "/"):
		return fmt.Sprintf("the configured %s differs by the slash at the end; iss is compared byte by byte: write `issuer %s`", nearest, excerptOf(iss))
	case strings.EqualFold(iss, nearest):
		return fmt.Sprintf("the configured %s differs by upper and lower case; iss is compared byte by byte: write `issuer %s`", nearest, excerptOf(iss))
	case least <= max(3, len(iss)/5):
		return fmt.Sprintf("did you mean this one? the nearest that is configured is %s; iss is compared byte by byte", nearest)
	}
	return "this gate trusts " + words(names) + "; the token is another environment's, or its issuer has to be added"
}

func audienceHint(x *gate.Explanation) string {
	aud := x.Token.Claims.Audience
	if len(aud) == 0 {
		return "the token names no audience: have the issuer put the name of this API into `aud`"
	}
	return fmt.Sprintf("add `audience %s` to the gate if this API goes by that name, or ask the issuer for a token that is made for it; `audience any` would let tokens for every other API in", excerptOf(aud[0]))
}

func typeWord(x *gate.Explanation) string {
	if !x.Token.Header.HasType {
		return "none"
	}
	return excerptOf(x.Token.Header.Type)
}

// expiredHint tells an old token from clocks that disagree.
func expiredHint(x *gate.Explanation) string {
	c := x.Token.Claims
	late := x.Now.Sub(c.Expires.Time())
	refresh := "the app has to refresh it"
	if !c.IssuedAt.Present() || late > 10*time.Minute {
		return refresh
	}
	life := c.Expires.Time().Sub(c.IssuedAt.Time())
	return fmt.Sprintf("%s; if it was just made (it lives %s and iat was %s), the clock of this gateway may be %s ahead of the issuer's: compare `date -u` on both",
		refresh, span(life), ago(x.Now, c.IssuedAt.Time()), span(x.Now.Sub(c.IssuedAt.Time())))
}

// ahead is how far the token's clock is ahead.
func ahead(x *gate.Explanation, refused *token.Refusal) time.Duration {
	c := x.Token.Claims
	at := c.IssuedAt
	if refused.Reason == token.NotBeforeAhead {
		at = c.NotBefore
	}
	return at.Time().Sub(x.Now)
}

// sourceStatus returns how the source of the issuer's keys does.
func sourceStatus(x *gate.Explanation) (jwks.Status, bool) {
	source, ok := x.Keys.(interface{ Status() jwks.Status })
	if !ok {
		return jwks.Status{}, false
	}
	return source.Status(), true
}

// keysFound says how many keys there are, and how old.
func keysFound(x *gate.Explanation) string {
	st, ok := sourceStatus(x)
	if !ok {
		return "there are"
	}
	text := fmt.Sprintf("%d keys", len(st.Keys))
	switch {
	case len(st.Keys) == 1:
		text = "1 key"
	case len(st.Keys) == 0:
		text = "there are"
	}
	if st.Location != "" && !st.FetchedAt.IsZero() {
		text += ", fetched " + ago(x.Now, st.FetchedAt)
	}
	if st.Stale {
		text += ", the last good ones: the issuer does not answer since"
	}
	return text
}

func keysHint(x *gate.Explanation) string {
	st, ok := sourceStatus(x)
	switch {
	case !ok:
		return ""
	case st.LastError == "":
		return "the keys at " + st.Location + " are still being fetched; try again in a moment"
	}
	return fmt.Sprintf("the issuer cannot be reached from this gateway, last tried %s: %s", ago(x.Now, st.LastErrorAt), st.LastError)
}

func kidHint(x *gate.Explanation) string {
	return "the issuer has changed its keys and the new one is not published, or the token is of another environment: " + heldKeys(x)
}

// heldKeys says which keys there are.
func heldKeys(x *gate.Explanation) string {
	st, ok := sourceStatus(x)
	if !ok {
		return "the keys here are others"
	}
	var kids []string
	for _, key := range st.Keys {
		kid := key.ID
		if kid == "" {
			kid = "one without kid"
		}
		kids = append(kids, excerptOf(kid)+" ("+strings.Join(key.Algorithms, " ")+")")
	}
	const most = 8
	if more := len(kids) - most; more > 0 {
		kids = append(kids[:most:most], fmt.Sprintf("%d more", more))
	}
	text := "the keys here are " + words(kids)
	if !st.FetchedAt.IsZero() {
		text += ", fetched " + ago(x.Now, st.FetchedAt)
	}
	if st.Location != "" {
		text += " from " + st.Location
	}
	if st.LastError != "" {
		text += "; the last attempt failed: " + st.LastError
	}
	return text
}

// names returns the issuers of the gate.
func (g *gateWalk) names() []string {
	if real, ok := g.handler.run.gate.(*gate.Gate); ok {
		return real.IssuerNames()
	}
	return nil
}

// excerptOf is the head of text from a token.
func excerptOf(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// distance is the number of bytes to insert, delete or change (Levenshtein),
// of the heads of a and b.
func distance(a, b string) int {
	a, b = a[:min(len(a), 200)], b[:min(len(b), 200)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = slices.Min([]int{cost, row[j] + 1, diagonal + 1})
		}
	}
	return row[len(b)]
}
