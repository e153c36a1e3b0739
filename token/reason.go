package token

// Reason says why a request is refused, finely enough for an operator. The
// list is closed: it is a metric label. What a client hears is the Code.
type Reason uint8

// Code is the stable word a client reads in the body of an answer; the list is
// part of the public interface (docs/mobile.md).
type Code string

// The codes of all answers.
const (
	CodeTokenMissing          Code = "token_missing"
	CodeRequestInvalid        Code = "request_invalid"
	CodeTokenInvalid          Code = "token_invalid"
	CodeTokenNotYetValid      Code = "token_not_yet_valid"
	CodeTokenExpired          Code = "token_expired"
	CodeTokenRevoked          Code = "token_revoked"
	CodeInsufficientScope     Code = "insufficient_scope"
	CodeAccessDenied          Code = "access_denied"
	CodeKeysUnavailable       Code = "keys_unavailable"
	CodeRevocationUnavailable Code = "revocation_unavailable"
)

// The reasons, in the order in which a request meets them.
const (
	ReasonNone Reason = iota // accepted
	TokenMissing
	AuthorizationMalformed
	TokenDuplicate
	CrossOrigin
	TokenTooLong
	TokenMalformed
	HeaderMalformed
	HeaderUnsupported
	AlgNotAllowed
	ClaimsMalformed
	IssuerMissing
	IssuerUnknown
	KeysNeverObtained
	KeysStale
	KeysFetchFailed
	KidUnknown
	KeyMismatch
	SignatureInvalid
	ExpiryMissing
	Expired
	NotBeforeAhead
	IssuedAtAhead
	TooOld
	LifetimeExceeded
	RevokedToken
	RevokedSession
	RevokedSubject
	RevokedClient
	RevokedIssuer
	RevocationLoading
	RevocationStale
	TypeMismatch
	ClaimMissing
	ProofUnsupported
	EventsPresent
	AudienceMismatch
	ScopeMissing
	ClaimDenied
	ExpressionDenied
	ExpressionFailed
	HeaderTooLarge
	reasonCount
)

// reasons is the one table from reason to label and code.
var reasons = [reasonCount]struct {
	label string
	code  Code
}{
	ReasonNone:             {"", ""},
	TokenMissing:           {"token_missing", CodeTokenMissing},
	AuthorizationMalformed: {"authorization_malformed", CodeRequestInvalid},
	TokenDuplicate:         {"token_duplicate", CodeRequestInvalid},
	CrossOrigin:            {"cross_origin", CodeRequestInvalid},
	TokenTooLong:           {"token_too_long", CodeTokenInvalid},
	TokenMalformed:         {"token_malformed", CodeTokenInvalid},
	HeaderMalformed:        {"header_malformed", CodeTokenInvalid},
	HeaderUnsupported:      {"header_unsupported", CodeTokenInvalid},
	AlgNotAllowed:          {"alg_not_allowed", CodeTokenInvalid},
	ClaimsMalformed:        {"claims_malformed", CodeTokenInvalid},
	IssuerMissing:          {"iss_missing", CodeTokenInvalid},
	IssuerUnknown:          {"iss_unknown", CodeTokenInvalid},
	KeysNeverObtained:      {"keys_never_obtained", CodeKeysUnavailable},
	KeysStale:              {"keys_stale", CodeKeysUnavailable},
	KeysFetchFailed:        {"keys_fetch_failed", CodeKeysUnavailable},
	KidUnknown:             {"kid_unknown", CodeTokenInvalid},
	KeyMismatch:            {"key_mismatch", CodeTokenInvalid},
	SignatureInvalid:       {"sig_invalid", CodeTokenInvalid},
	ExpiryMissing:          {"exp_missing", CodeTokenInvalid},
	Expired:                {"exp_passed", CodeTokenExpired},
	NotBeforeAhead:         {"nbf_ahead", CodeTokenNotYetValid},
	IssuedAtAhead:          {"iat_ahead", CodeTokenNotYetValid},
	TooOld:                 {"max_age_passed", CodeTokenInvalid},
	LifetimeExceeded:       {"lifetime_exceeded", CodeTokenInvalid},
	RevokedToken:           {"token_revoked", CodeTokenRevoked},
	RevokedSession:         {"session_revoked", CodeTokenRevoked},
	RevokedSubject:         {"subject_revoked", CodeTokenRevoked},
	RevokedClient:          {"client_revoked", CodeTokenRevoked},
	RevokedIssuer:          {"issuer_revoked", CodeTokenRevoked},
	RevocationLoading:      {"revocation_loading", CodeRevocationUnavailable},
	RevocationStale:        {"revocation_stale", CodeRevocationUnavailable},
	TypeMismatch:           {"typ_mismatch", CodeTokenInvalid},
	ClaimMissing:           {"claim_missing", CodeTokenInvalid},
	ProofUnsupported:       {"cnf_unsupported", CodeTokenInvalid},
	EventsPresent:          {"events_present", CodeTokenInvalid},
	AudienceMismatch:       {"aud_mismatch", CodeTokenInvalid},
	ScopeMissing:           {"scope_missing", CodeInsufficientScope},
	ClaimDenied:            {"claim_denied", CodeAccessDenied},
	ExpressionDenied:       {"expr_denied", CodeAccessDenied},
	ExpressionFailed:       {"expr_failed", CodeAccessDenied},
	HeaderTooLarge:         {"header_too_large", CodeAccessDenied},
}

// String returns the label of r as metrics and logs carry it; empty for
// ReasonNone.
func (r Reason) String() string { return reasons[r].label }

// Code returns what the client is told for r; empty for ReasonNone.
func (r Reason) Code() Code { return reasons[r].code }

// Reasons lists every reason a request can be refused for.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := TokenMissing; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// Refusal is the error of every check: a reason, and for the operator what was
// expected and what came. Want and Got may hold attacker-chosen text: they go
// into DEBUG logs and explanations, never into an answer or a metric.
type Refusal struct {
	Reason Reason
	Want   string // what was expected; may be empty
	Got    string // what the token or request had; may be empty
	// Seconds is how far a time check missed (exp, nbf, iat, age), else 0.
	Seconds int64
	// Scope is the first unmet `require scope` line, for the challenge.
	Scope string
	// Err is the cause, where there is one.
	Err error
}

// Refuse returns a Refusal for reason with want and got.
func Refuse(reason Reason, want, got string) *Refusal {
	return &Refusal{Reason: reason, Want: want, Got: got}
}

// Error names the reason and what was expected.
func (r *Refusal) Error() string {
	s := r.Reason.String()
	if r.Want != "" {
		s += ": want " + r.Want
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }
