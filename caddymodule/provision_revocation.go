package caddymodule

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// revocationSettings are the effective settings of the revocation list:
// placeholders expanded, defaults filled in.
type revocationSettings struct {
	journal     string // absolute path, empty when off
	onDamage    string
	maxLifetime time.Duration
	// enforceLifetime says that the operator wrote max_token_lifetime: tokens
	// that live longer are refused.
	enforceLifetime bool
	redis           *redisSettings // nil: this gateway is alone
	onStale         string
	staleAfter      time.Duration
}

// redisSettings are the effective settings of the feed. URLs may hold
// passwords: none of it belongs in a log.
type redisSettings struct {
	urls               []*url.URL
	username, password string
	prefix             string
	timeout            time.Duration
	tls                *tls.Config // nil without TLS
	sentinel           string
	cluster            bool
	waitReplicas       int
	waitTimeout        time.Duration
}

// check refuses contradictions that can be seen before placeholders are
// expanded.
func (r *Revocation) check() error {
	if r == nil {
		return nil
	}
	if r.Journal == "off" {
		if r.Redis != nil {
			return errors.New("journal off contradicts redis: without a journal, revocations made while Redis is down would be lost")
		}
		if r.OnDamage != "" {
			return errors.New("on_damage contradicts journal off: there is nothing to be damaged")
		}
	}
	return r.Redis.check()
}

func (r *Redis) check() error {
	if r == nil {
		return nil
	}
	switch {
	case len(r.URLs) == 0:
		return errors.New("redis: a URL is missing")
	case r.Sentinel != "" && r.Cluster:
		return errors.New("redis: sentinel contradicts cluster")
	case len(r.URLs) > 1 && r.Sentinel == "" && !r.Cluster:
		return errors.New("redis: several URLs are for sentinel or cluster")
	case r.Username != "" && r.Password == "":
		return errors.New("redis: username without password")
	case (r.TLSClientCert == "") != (r.TLSClientKey == ""):
		return errors.New("redis: tls_client takes a certificate and its key")
	case r.WaitReplicas < 0 || r.WaitReplicas > maxReplicas:
		return fmt.Errorf("redis: wait_replicas: %d is not between 0 and %d", r.WaitReplicas, maxReplicas)
	case (r.WaitReplicas > 0) != (r.WaitTimeout != nil):
		return errors.New("redis: wait_replicas takes a number and how long to wait")
	}
	return nil
}

// settings returns the effective settings of r, which may be nil, or all that
// is wrong with it. It opens no journal and connects nowhere.
func (r *Revocation) settings() (*revocationSettings, error) {
	if r == nil {
		r = new(Revocation)
	}
	s := &revocationSettings{enforceLifetime: r.MaxTokenLifetime != nil}
	var errs collector
	errs.check(r.check())
	var err error
	s.journal, err = r.journalPath()
	errs.check(err)
	s.onDamage, err = wordOr("on_damage", r.OnDamage, "refuse", "rename")
	errs.check(err)
	s.maxLifetime, err = durationOr("max_token_lifetime", r.MaxTokenLifetime, defaultMaxLifetime, maxLifetimeLimits)
	errs.check(err)
	s.onStale, err = wordOr("on_stale", r.OnStale, "deny", "allow")
	errs.check(err)
	s.staleAfter, err = durationOr("stale_after", r.StaleAfter, defaultStaleAfter, staleAfterLimits)
	errs.check(err)
	if r.Redis != nil && len(errs) == 0 {
		s.redis, err = r.Redis.settings()
		errs.check(err)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("revocation: %w", errors.Join(errs...))
	}
	return s, nil
}

// journalPath returns the absolute path of the journal, empty when it is off.
func (r *Revocation) journalPath() (string, error) {
	switch r.Journal {
	case "off":
		return "", nil
	case "":
		return filepath.Join(caddy.AppDataDir(), "jwtgate", "revocations.db"), nil
	}
	path, err := expandName("journal", r.Journal)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	return path, nil
}

func (r *Redis) settings() (*redisSettings, error) {
	s := &redisSettings{prefix: r.Prefix, sentinel: r.Sentinel, cluster: r.Cluster, waitReplicas: r.WaitReplicas}
	if s.prefix == "" {
		s.prefix = defaultRedisPrefix
	}
	var errs collector
	tlsNeeded := r.TLSCA != "" || r.TLSClientCert != ""
	for i, text := range r.URLs {
		u, err := parseRedisURL(text)
		if err != nil {
			// The text itself may hold a password.
			errs.check(fmt.Errorf("redis: URL %d: %w", i+1, err))
			continue
		}
		if len(s.urls) > 0 && u.Scheme != s.urls[0].Scheme {
			errs.check(fmt.Errorf("redis: URL %d: %s beside %s", i+1, u.Scheme, s.urls[0].Scheme))
		}
		if tlsNeeded && u.Scheme != "rediss" {
			errs.check(fmt.Errorf("redis: URL %d: tls_ca and tls_client contradict %s, which is not encrypted", i+1, u.Scheme))
		}
		// Those in the URL of a sentinel are for the sentinel.
		if u.User != nil && r.Sentinel == "" && (r.Username != "" || r.Password != "") {
			errs.check(fmt.Errorf("redis: URL %d: it has credentials, and username or password is given, too", i+1))
		}
		s.urls = append(s.urls, u)
	}
	var err error
	s.username, err = expandName("redis: username", r.Username)
	errs.check(err)
	s.password, err = expand("redis: password", r.Password)
	if errors.Is(err, errUnknownPlaceholder) {
		err = fmt.Errorf("redis: password: %w", errUnknownPlaceholder)
	}
	errs.check(err)
	s.timeout, err = durationOr("redis: timeout", r.Timeout, defaultRedisTime, timeoutLimits)
	errs.check(err)
	s.waitTimeout, err = durationOr("redis: wait_replicas", r.WaitTimeout, 0, waitLimits)
	errs.check(err)
	if len(s.urls) > 0 && s.urls[0].Scheme == "rediss" {
		s.tls, err = r.tlsConfig()
		errs.check(err)
	}
	if len(errs) == 0 {
		if err := s.options().Check(); err != nil {
			errs.check(fmt.Errorf("redis: %w", err))
		}
	}
	return s, errors.Join(errs...)
}

// parseRedisURL expands and reads one URL. Its errors quote nothing of it.
func parseRedisURL(text string) (*url.URL, error) {
	expanded, err := expandName("redis", text)
	if err != nil {
		if errors.Is(err, errUnknownPlaceholder) {
			return nil, errUnknownPlaceholder
		}
		return nil, err
	}
	u, err := url.Parse(expanded)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	switch u.Scheme {
	case "redis", "rediss":
		if u.Host == "" {
			return nil, errors.New("it names no host")
		}
	case "unix":
		if u.Path == "" {
			return nil, errors.New("it names no socket")
		}
	default:
		return nil, errors.New("it begins neither with redis:// nor rediss:// nor unix://")
	}
	return u, nil
}

func (r *Redis) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.TLSCA != "" {
		path, err := expandName("redis: tls_ca", r.TLSCA)
		if err != nil {
			return nil, err
		}
		bundle, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("redis: tls_ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("redis: tls_ca: %s holds no certificate in PEM form", path)
		}
	}
	if r.TLSClientCert != "" {
		files, err := expandNames("redis: tls_client", []string{r.TLSClientCert, r.TLSClientKey})
		if err != nil {
			return nil, err
		}
		pair, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			return nil, fmt.Errorf("redis: tls_client: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// warnings are the dangers that the operator chose, for the log.
func (s *revocationSettings) warnings(configured *Revocation) []string {
	var all []string
	if s.journal == "" {
		all = append(all, "revocation journal is off: a restart forgets every revocation")
	}
	if configured != nil && configured.OnStale == "allow" {
		all = append(all, "on_stale allow: while Redis is silent, tokens that other gateways revoked pass here")
	}
	return all
}

// limit returns the lifetime beyond which tokens are refused; 0 is none.
func (s *revocationSettings) limit() time.Duration {
	if !s.enforceLifetime {
		return 0
	}
	return s.maxLifetime
}
