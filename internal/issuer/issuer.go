// Package issuer is a small OpenID issuer for development: discovery, a key set
// that rotates on demand, and a token endpoint that believes whoever asks. The
// demo, the examples and the tests use it. It hands tokens to everybody who can
// reach it, so it listens on loopback only and turns browsers' cross-site
// requests away.
package issuer

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// The defaults that a zero in Config stands for.
const (
	DefaultLifetime  = 5 * time.Minute
	DefaultGrace     = 15 * time.Minute
	DefaultAlgorithm = "RS256"
	DefaultClient    = "demo-app"
)

// Config configures an Issuer.
type Config struct {
	URL        string        // the iss of its tokens and the base of its endpoints
	Audience   []string      // the aud of its tokens
	Dir        string        // where keys persist; empty: in memory only
	Algorithms []string      // keys made at start, the first is the default; none: RS256
	Lifetime   time.Duration // of access tokens
	Grace      time.Duration // how long a rotated key stays in the key set
	Users      []User        // nil: SampleUsers
	Now        func() time.Time
	// KeysMaxAge is the max-age of the key set's Cache-Control; 0: one minute.
	KeysMaxAge time.Duration
	// RefreshGrace is for how long the refresh token that was replaced last is
	// answered once more; 0: half a minute; negative: never.
	RefreshGrace time.Duration
}

// User is somebody the issuer knows. There are no passwords.
type User struct {
	Name  string // the sub and the username
	Email string
	Full  string
	Scope string // what is granted when no scope is asked for
	Roles []string
}

// SampleUsers is the directory of the demo.
var SampleUsers = []User{
	{"alice", "alice@example.com", "Alice Åström", "orders:read orders:write", []string{"editor"}},
	{"bob", "bob@example.com", "Bob Brown", "orders:read", []string{"reader"}},
	{"carol", "carol@example.com", "Carol Chen", "orders:read orders:write", []string{"admin", "editor"}},
}

// Issuer is a running issuer. It is safe for concurrent use; serve it with any
// HTTP server.
type Issuer struct {
	cfg     Config
	keys    *ring
	refresh *families
	handler http.Handler
}

// New returns an Issuer with the keys of cfg.Dir, making those that are missing.
func New(cfg Config) (*Issuer, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("issuer URL %q is not an http or https URL", cfg.URL)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = []string{DefaultAlgorithm}
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.KeysMaxAge == 0 {
		cfg.KeysMaxAge = time.Minute
	}
	if cfg.Users == nil {
		cfg.Users = SampleUsers
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	keys, err := openRing(cfg.Dir, cfg.Grace, cfg.Now)
	if err != nil {
		return nil, err
	}
	for _, alg := range cfg.Algorithms {
		if _, err := keys.current(alg); err != nil {
			return nil, err
		}
	}
	i := &Issuer{cfg: cfg, keys: keys, refresh: newFamilies(cfg.RefreshGrace, cfg.Now)}
	i.handler = i.routes(u)
	return i, nil
}

// ServeHTTP answers requests to the issuer's endpoints.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.handler.ServeHTTP(w, r) }

// URL returns the issuer string.
func (i *Issuer) URL() string { return i.cfg.URL }

// Key returns the current key for an algorithm, an empty alg standing for the
// default one. It makes the key if there is none: the key set then grows.
func (i *Issuer) Key(alg string) (*signing.Key, error) {
	if alg == "" {
		alg = i.cfg.Algorithms[0]
	}
	return i.keys.current(alg)
}

// Rotate puts a new key in the place of the current one for alg (empty: the
// default). The old one stays in the key set for the grace, or leaves it at once.
func (i *Issuer) Rotate(alg string, withdraw bool) (*signing.Key, error) {
	if alg == "" {
		alg = i.cfg.Algorithms[0]
	}
	return i.keys.rotate(alg, withdraw)
}

// Withdraw takes the key of that ID out of the key set at once; it reports
// whether it was there. If it was a current key, the next one is made on demand.
func (i *Issuer) Withdraw(kid string) (bool, error) { return i.keys.withdraw(kid) }

// EndSessions makes the refresh tokens of a user worthless, of everybody if name
// is empty. It returns how many sessions ended.
func (i *Issuer) EndSessions(name string) int { return i.refresh.endUser(name) }

// JWKS returns the key set as the issuer publishes it.
func (i *Issuer) JWKS() []byte { return signing.MarshalJWKS(i.keys.published()...) }

// ErrUnknownUser is returned for a username that is not in the directory.
var ErrUnknownUser = errors.New("unknown user")

// Request asks for an access token. All fields may be zero.
type Request struct {
	Username  string // empty: a client on its own behalf
	ClientID  string
	Scope     string        // empty: the user's
	Subject   string        // instead of the user's name
	SessionID string        // empty: a new one
	Algorithm string        // empty: the default
	Lifetime  time.Duration // 0: the default; negative: already expired
}

// Claims returns the claims of an access token for r.
func (i *Issuer) Claims(r Request) (map[string]any, error) {
	now := i.cfg.Now()
	if r.Lifetime == 0 {
		r.Lifetime = i.cfg.Lifetime
	}
	if r.ClientID == "" {
		r.ClientID = DefaultClient
	}
	expires, issued := now.Add(r.Lifetime), now
	if r.Lifetime < 0 { // was good once
		issued = expires.Add(-i.cfg.Lifetime)
	}
	claims := map[string]any{
		"iss":       i.cfg.URL,
		"sub":       r.ClientID,
		"exp":       expires.Unix(),
		"iat":       issued.Unix(),
		"jti":       rand.Text(),
		"client_id": r.ClientID,
	}
	switch len(i.cfg.Audience) {
	case 0:
	case 1:
		claims["aud"] = i.cfg.Audience[0]
	default:
		claims["aud"] = i.cfg.Audience
	}
	if r.Username != "" {
		user, ok := i.user(r.Username)
		if !ok {
			return nil, fmt.Errorf("%w %q", ErrUnknownUser, r.Username)
		}
		maps.Copy(claims, map[string]any{
			"sub":          user.Name,
			"sid":          rand.Text(),
			"email":        user.Email,
			"name":         user.Full,
			"realm_access": map[string]any{"roles": user.Roles},
		})
		if r.Scope == "" {
			r.Scope = user.Scope
		}
	}
	if r.Scope != "" {
		claims["scope"] = r.Scope
	}
	if r.Subject != "" {
		claims["sub"] = r.Subject
	}
	if r.SessionID != "" {
		claims["sid"] = r.SessionID
	}
	return claims, nil
}

// Token returns a signed access token (RFC 9068) for r.
func (i *Issuer) Token(r Request) (string, error) {
	claims, err := i.Claims(r)
	if err != nil {
		return "", err
	}
	return i.sign(claims, r.Algorithm)
}

func (i *Issuer) sign(claims map[string]any, alg string) (string, error) {
	key, err := i.Key(alg)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": key.Algorithm(), "kid": key.ID(), "typ": "at+jwt"})
	if err != nil {
		return "", err
	}
	return key.Sign(header, payload)
}

func (i *Issuer) user(name string) (User, bool) {
	for _, u := range i.cfg.Users {
		if u.Name == name {
			return u, true
		}
	}
	return User{}, false
}
