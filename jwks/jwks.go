// Package jwks answers "which keys does this issuer vouch with, now?": it finds
// keys through discovery, a JWKS URL, a JWKS or PEM file or a shared secret,
// refreshes them in the background, and keeps the last good ones through an
// outage. It is the only package that imports jwx, and feeds it nothing but
// documents of configured issuers.
package jwks

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Config says where the keys of one issuer come from. At most one of JWKS,
// JWKSFile and PEMFile; none of them and no Secret, or Discovery, means
// discovery. A Secret may stand alone or beside one of the others.
type Config struct {
	Issuer    string
	Discovery string // URL of the discovery document; empty: from the issuer
	JWKS      string
	JWKSFile  string // path, re-read when it changes
	PEMFile   string // path of one public key, re-read when it changes
	Secret    []byte

	Refresh  time.Duration // when an answer has no Cache-Control; 0: DefaultRefresh
	MaxStale time.Duration // how long past its refresh a set may still be used; 0: not at all
	Timeout  time.Duration // of one whole fetch; 0: DefaultTimeout
	CAFile   string        // PEM bundle that replaces the system's roots for this issuer
	Insecure bool          // allows plain http off loopback
}

// The defaults that a zero in Config stands for, and the one for MaxStale,
// which the caller sets because its zero means none.
const (
	DefaultRefresh  = 10 * time.Minute
	DefaultMaxStale = 24 * time.Hour
	DefaultTimeout  = 5 * time.Second
)

// Storage keeps the last good key sets over restarts. Its methods are called
// from background goroutines and must end when ctx does: Close waits for them.
type Storage interface {
	Load(ctx context.Context, name string) ([]byte, error)
	Store(ctx context.Context, name string, data []byte) error
}

// Options are what a Source needs besides its configuration. All may be zero.
type Options struct {
	Logger  *slog.Logger
	Now     func() time.Time
	Storage Storage
	// OnDemand leaves all fetching to RefreshNow and Refetch: nothing is fetched
	// at the start or on a schedule.
	OnDemand bool
	// OnFetch is told the result of each fetch: a word from FetchResults.
	OnFetch func(result string)
	// OnFetchTime is told how long each fetch over the network took.
	OnFetchTime func(took time.Duration)
	// OnSuppressed is told each time the budget for unknown keys refused a fetch.
	OnSuppressed func()

	// transport replaces the network in tests.
	transport http.RoundTripper
}

// Outcome is what came of a Refetch.
type Outcome uint8

// The outcomes of a Refetch.
const (
	// Current: the set is as fresh as it may be; judge the token with it.
	Current Outcome = iota
	// Changed: a new set is there; try the token again.
	Changed
	// Failed: the last attempt to reach the issuer failed, or the shared fetch
	// has not come back; nobody can tell whether the key exists.
	Failed
)

// Status is a snapshot for people.
type Status struct {
	Issuer      string
	Kind        string // discovery, jwks, jwks_file, pem_file, secret
	Location    string // URL, without query, or path; empty for a secret
	KeysURL     string // where discovery led to, without query; empty before, and without discovery
	Keys        []KeyStatus
	Skipped     []string // keys of the document that cannot be used, with the reason, no material
	FetchedAt   time.Time
	NextRefresh time.Time
	UsableUntil time.Time // zero: no limit
	Stale       bool      // past its refresh, still in use
	LastError   string    // in words; empty when the last attempt was good
	// LastErrorKind is one of ErrorKinds; empty when the last attempt was good.
	LastErrorKind string
	LastErrorAt   time.Time
}

// KeyStatus describes one usable key. Of a secret it says nothing but the type:
// the algorithms that fit it would tell how long it is.
type KeyStatus struct {
	ID         string
	Type       string // RSA, EC, OKP, oct
	Bits       int
	Curve      string
	Use        string // sig, or empty when the document does not say
	Algorithms []string
	Thumbprint string    // RFC 7638 with SHA-256
	Since      time.Time // when it was first seen here; of stored keys, no later than that
}

// FetchResults is the closed list of words that OnFetch is told.
var FetchResults = []string{"ok", "not_modified", "network", "tls", "dns", "timeout", "status", "content", "issuer_mismatch"}

// ErrorKinds is the closed list of what ErrorKind returns: where to look for
// the cause. "file" is a file that cannot be read.
var ErrorKinds = []string{"dns", "tls", "timeout", "network", "status", "content", "issuer_mismatch", "file"}
