package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
)

// Issuer configures whom to trust and how to verify its tokens.
//
// Placeholders {env.*} and {file.*} are expanded when the configuration loads
// in the issuer, its audiences, URLs, paths of files and the secret; one that
// is unknown or empty fails the load.
type Issuer struct {
	// Issuer is the name of the issuer, compared byte by byte with the iss
	// claim: no trailing slash, letter case or port is forgiven. Any string
	// will do when keys are configured; for discovery it has to be a URL.
	Issuer string `json:"issuer"`
	// Audience lists the accepted aud values; a token must have one of them.
	// Required here or at each gate, unless any_audience.
	Audience []string `json:"audience,omitempty"`
	// AnyAudience accepts tokens that were made for anybody. Dangerous: a token
	// that the issuer gave to any other application opens this API too.
	AnyAudience bool `json:"any_audience,omitempty"`
	// Discovery is the URL of the discovery document, whose issuer must equal
	// ours. Default: derived from the issuer, when neither jwks, jwks_file,
	// pem_file nor a secret is given.
	Discovery string `json:"discovery,omitempty"`
	// JWKS is the URL of the key set, instead of discovery.
	JWKS string `json:"jwks,omitempty"`
	// JWKSFile is the path of a key set, re-read when it changes, instead of
	// discovery.
	JWKSFile string `json:"jwks_file,omitempty"`
	// PEMFile is the path of one public key, re-read when it changes, instead
	// of discovery. The key answers to every kid.
	PEMFile string `json:"pem_file,omitempty"`
	// Secret is the shared secret for HS256, HS384 and HS512, alone or beside
	// one of the sources above. Dangerous: who can verify with it can sign with
	// it.
	Secret *Secret `json:"secret,omitempty"`
	// Algorithms narrows what is accepted. Default: every asymmetric algorithm
	// that the keys allow, and the HS* that the secret is long enough for.
	Algorithms []string `json:"algorithms,omitempty"`
	// Skew is the tolerated difference of clocks, for exp, nbf and iat alike,
	// 0s to 5m. Default: 30s.
	Skew *caddy.Duration `json:"skew,omitempty"`
	// MaxAge refuses tokens whose iat is longer ago, and those without iat.
	// Default: no limit.
	MaxAge *caddy.Duration `json:"max_age,omitempty"`
	// TokenType lists the accepted typ values; with the word none among them a
	// token without typ passes too. Default: JWT, at+jwt or none. Types of
	// other purposes, such as logout+jwt, cannot be accepted.
	TokenType []string `json:"token_type,omitempty"`
	// RequireClaims lists the claims that must be there besides exp and a
	// non-empty sub.
	RequireClaims []string `json:"require_claims,omitempty"`
	// SubOptional accepts tokens without a sub (`require_claims none`).
	// Dangerous where the backend takes the absence of a user for a privilege.
	SubOptional bool `json:"sub_optional,omitempty"`
	// Refresh is how long fetched keys are fresh when the answer has no
	// Cache-Control. Default: 10m.
	Refresh *caddy.Duration `json:"refresh,omitempty"`
	// MaxStale is how long keys past their refresh may be used while the issuer
	// cannot be reached; 0 is not at all. Default: 24h. A key that the issuer
	// withdrew in an emergency stays good for that long if it cannot be asked.
	MaxStale *caddy.Duration `json:"max_stale,omitempty"`
	// Timeout bounds one whole fetch, and how long a request waits for a key
	// that was just rotated in. Default: 5s.
	Timeout *caddy.Duration `json:"timeout,omitempty"`
	// TLSCA is the path of a PEM bundle that replaces the system's roots when
	// this issuer is asked.
	TLSCA string `json:"tls_ca,omitempty"`
	// Insecure allows plain http to hosts other than loopback. Dangerous:
	// whoever is on the way can put in keys of their own, and with them forge
	// any token.
	Insecure bool `json:"insecure,omitempty"`
}

// Secret is a shared secret and how it is written down.
type Secret struct {
	// Value is the secret. Write a placeholder, such as {env.JWT_SECRET} or
	// {file./run/secrets/jwt}, to keep it out of the configuration, which
	// Caddy's admin endpoint shows. It must be at least as long as the hash of
	// each HS* algorithm: 32, 48 and 64 bytes.
	Value string `json:"value"`
	// Encoding is plain (default), base64, base64url or hex. Padding may be
	// left out.
	Encoding string `json:"encoding,omitempty"`
}

// Requirement is one `require` line. Every line of a gate must hold.
type Requirement struct {
	// Kind is scope, claim or expr.
	Kind string `json:"kind"`
	// All asks for all of the values instead of any of them.
	All bool `json:"all,omitempty"`
	// Claim is the claim path, for kind claim.
	Claim string `json:"claim,omitempty"`
	// Values are the accepted values. A claim without values must be present
	// and not null, false or empty.
	Values []string `json:"values,omitempty"`
	// Expr is the CEL expression over claims and request, for kind expr.
	Expr string `json:"expr,omitempty"`
}

// ForwardedClaim is one line of `forward`.
type ForwardedClaim struct {
	// Header is the name that the backend reads. Clients can never send it, in
	// no spelling, to any site of this configuration.
	Header string `json:"header"`
	// Claim is a claim path, or * for the whole claims set.
	Claim string `json:"claim"`
	// Form is empty (text), join, json, base64url or utf8.
	Form string `json:"form,omitempty"`
	// Separator is the one character between joined elements, with form join.
	Separator string `json:"separator,omitempty"`
}

// TokenSource is a place besides `Authorization: Bearer` that may carry a
// token. A request with tokens in two places is refused.
type TokenSource struct {
	// From is header, cookie, query or websocket.
	From string `json:"from"`
	// Name of the header, cookie or query parameter; websocket has none.
	Name string `json:"name,omitempty"`
	// Origins that may send the cookie from another site, such as
	// https://app.example.com. Default: none, the host's own pages alone.
	Origins []string `json:"origins,omitempty"`
}
