// What reasons mean and where to look, as docs/operate.md has it. Words of the
// gateway are looked up here: no table has a prototype, so that none finds more
// than what is written.

export const reasons = {
  __proto__: null,
  token_missing: 'no token, or under another scheme than Bearer',
  authorization_malformed: 'the Authorization header is broken: a broken or hostile client',
  token_duplicate: 'more than one token in a request: a broken or hostile client',
  cross_origin: 'a token in a cookie came with the request of another site',
  token_too_long: 'longer than max_token; see also max_header_size of Caddy',
  token_malformed: 'no JWT; often another kind of token (JWE, opaque)',
  header_malformed: 'the header of the token is no strict JSON object',
  header_unsupported: 'the header asks for what is not supported (crit, b64, zip, JWE)',
  alg_not_allowed: 'not among the algorithms of the issuer',
  claims_malformed: 'the claims are no strict JSON object, or of a wrong type',
  iss_missing: 'the token names no issuer',
  iss_unknown: 'no such issuer here; compared byte by byte: slash at the end, http or https, host inside or outside',
  keys_never_obtained: 'the issuer was never reached; see its last error',
  keys_stale: 'the keys are older than max_stale; see the last error of the issuer',
  keys_fetch_failed: 'the issuer cannot be reached; see its last error',
  kid_unknown: 'the key set of the issuer lacks this key, freshly asked',
  key_mismatch: 'the key does not fit the algorithm of the token',
  sig_invalid: 'forged, damaged, or signed by a key of another environment',
  exp_missing: 'the token never expires; exp is required',
  exp_passed: 'expired: clocks, then clients that do not refresh',
  nbf_ahead: 'not valid yet: the clock of the issuer or of this machine; skew',
  iat_ahead: 'issued in the future: the clock of the issuer or of this machine; skew',
  max_age_passed: 'issued longer ago than max_age',
  lifetime_exceeded: 'lives longer than max_token_lifetime',
  token_revoked: 'a logout of this token',
  session_revoked: 'a logout of its session',
  subject_revoked: 'a logout of the person, or an operator',
  client_revoked: 'an operator revoked the client',
  issuer_revoked: 'an operator revoked everything of the issuer',
  revocation_loading: 'the revocation list is still being read',
  revocation_stale: 'the feed from other gateways is out of touch',
  typ_mismatch: 'an ID token, logout token or the like instead of an access token; token_type',
  claim_missing: 'a claim of require_claims, or sub, is missing',
  cnf_unsupported: 'bound to a key, whose proof is not checked here',
  events_present: 'an event token is no access token',
  aud_mismatch: 'made for somebody else; audience of issuer and gate',
  scope_missing: 'a scope of a require line is missing',
  claim_denied: 'a require claim line does not hold',
  expr_denied: 'a require expr line does not hold',
  expr_failed: 'a require expr line could not be evaluated, such as for a missing claim',
  header_too_large: 'a forwarded value is longer than max_header, which refuses',
};

// results are what can come of a request: which icon, which word, and whether
// the request went on.
export const results = {
  __proto__: null,
  allow: ['ok', 'Allowed', true],
  anonymous: ['ok', 'Anonymous', true],
  public: ['ok', 'Public', true],
  preflight: ['ok', 'Preflight', true],
  observe: ['warn', 'Observed', true],
  deny: ['bad', 'Refused', false],
  error: ['bad', 'Unavailable', false],
};

export const passes = (result) => (results[result] ? results[result][2] : false);

export const meanings = {
  __proto__: null,
  anonymous: 'no token, where the gate is optional',
  public: 'the gate is public and looks at no token',
  preflight: 'a CORS preflight',
  allow: 'a good token',
};

export const kinds = {
  __proto__: null,
  token: ['jti', 'Refuses this one token, until it would have expired.'],
  session: ['sid', 'Refuses every token of the session.'],
  subject: ['sub', 'Refuses every token of the person issued until then. A new login works.'],
  client: ['client_id or azp', 'Refuses every token of the client issued until then.'],
  issuer: ['', 'Refuses every token of the issuer issued until then: the emergency brake.'],
};

export const faults = {
  __proto__: null,
  dns: 'DNS', tls: 'TLS', timeout: 'Timeout', network: 'Network', status: 'HTTP status', content: 'Content', issuer_mismatch: 'Another issuer', file: 'File',
};

export const sources = {
  __proto__: null,
  discovery: 'discovery', jwks: 'key set at a URL', jwks_file: 'key set in a file', pem_file: 'PEM file', secret: 'shared secret',
};
