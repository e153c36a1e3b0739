package jwks

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Bounds of the settings.
const (
	minSecret  = 32 // bytes: the hash of HS256, the shortest (RFC 7518 section 3.2)
	minRefresh = time.Second
	maxRefresh = 24 * time.Hour
	maxTimeout = 10 * time.Second
)

// The words of Status.Kind.
const (
	kindDiscovery = "discovery"
	kindJWKS      = "jwks"
	kindJWKSFile  = "jwks_file"
	kindPEMFile   = "pem_file"
	kindSecret    = "secret"
)

// kind returns where c takes its keys from.
func (c *Config) kind() string {
	switch {
	case c.JWKS != "":
		return kindJWKS
	case c.JWKSFile != "":
		return kindJWKSFile
	case c.PEMFile != "":
		return kindPEMFile
	case c.Discovery == "" && len(c.Secret) > 0:
		return kindSecret
	}
	return kindDiscovery
}

// remote reports whether c takes keys from the network.
func (c *Config) remote() bool {
	k := c.kind()
	return k == kindDiscovery || k == kindJWKS
}

// Validate reports everything that is wrong with c, without touching network or
// disk: URLs, schemes, contradictions, durations.
func (c *Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Issuer == "" {
		fail("issuer: must not be empty")
	}
	var given []string
	for _, o := range []struct{ name, value string }{
		{"discovery", c.Discovery}, {"jwks", c.JWKS}, {"jwks_file", c.JWKSFile}, {"pem_file", c.PEMFile},
	} {
		if o.value != "" {
			given = append(given, o.name)
		}
	}
	if len(given) > 1 {
		fail("%s: these contradict each other, keep one", strings.Join(given, ", "))
	}

	switch {
	case c.Discovery != "":
		if err := c.checkURL("discovery", c.Discovery); err != nil {
			errs = append(errs, err)
		}
	case c.JWKS == "" && c.kind() == kindDiscovery && c.Issuer != "" && c.Secret == nil:
		if err := c.checkIssuerURL(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.JWKS != "" {
		if err := c.checkURL("jwks", c.JWKS); err != nil {
			errs = append(errs, err)
		}
	}
	if err := checkSecret(c.Secret); err != nil {
		errs = append(errs, err)
	}
	if c.Refresh != 0 && (c.Refresh < minRefresh || c.Refresh > maxRefresh) {
		fail("refresh %s: must be between %s and %s", c.Refresh, minRefresh, maxRefresh)
	}
	if c.MaxStale < 0 {
		fail("max_stale %s: must not be negative; 0 keeps no stale keys", c.MaxStale)
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		fail("timeout %s: must be above 0 and at most %s", c.Timeout, maxTimeout)
	}
	if c.CAFile != "" && !c.remote() {
		fail("tls_ca: has no effect with %s, which fetches nothing; remove it", c.kind())
	}
	return errors.Join(errs...)
}

// checkIssuerURL says why keys cannot be discovered from the issuer itself
// (RFC 8414 section 2: an https URL without query and fragment).
func (c *Config) checkIssuerURL() error {
	const instead = "add discovery, jwks, jwks_file, pem_file or secret"
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("issuer %q: is no https URL, so its keys cannot be discovered; %s", c.Issuer, instead)
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(c.Issuer, "#") {
		return fmt.Errorf("issuer %q: has a query or fragment, so its keys cannot be discovered; %s", c.Issuer, instead)
	}
	return c.checkURL("issuer", c.Issuer)
}

// checkURL checks a URL that the operator wrote.
func (c *Config) checkURL(option, raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return fmt.Errorf("%s: is not a URL; write one like https://id.example.com/keys", option)
	case u.User != nil:
		// The URL is not repeated: it holds a password.
		return fmt.Errorf("%s: must not carry a user name or password", option)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fmt.Errorf("%s %q: must be a whole URL that starts with https://", option, raw)
	case strings.Contains(raw, "#"):
		return fmt.Errorf("%s %q: must not have a fragment (#)", option, raw)
	case u.Scheme == "http" && !c.httpAllowed(u):
		return fmt.Errorf("%s %q: plain http lets anyone on the way choose the keys; write https, or add `insecure` if you accept that", option, raw)
	}
	return nil
}

// httpAllowed reports whether plain http to u is acceptable.
func (c *Config) httpAllowed(u *url.URL) bool { return c.Insecure || loopback(u.Hostname()) }

// loopback reports whether host is this machine by its spelling alone: the name
// localhost, 127.0.0.0/8 or ::1.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkSecret refuses secrets that are short, and public keys, which everybody
// knows, written where a secret belongs (RFC 8725 section 3.5).
func checkSecret(secret []byte) error {
	switch {
	case secret == nil:
		return nil
	case len(secret) == 0:
		return errors.New("secret: must not be empty")
	case publicKeyText(secret):
		return errors.New("secret: holds a public key or certificate, which is no secret; use pem_file or jwks_file for it")
	case len(secret) < minSecret:
		return fmt.Errorf("secret: has %d bytes, needs at least %d (HS256), %d (HS384) or %d (HS512)", len(secret), 32, 48, 64)
	}
	return nil
}

func publicKeyText(b []byte) bool {
	t := bytes.TrimSpace(b)
	if bytes.Contains(t, []byte("-----BEGIN")) || bytes.HasPrefix(t, []byte("{")) && bytes.Contains(t, []byte(`"kty"`)) {
		return true
	}
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PublicKey(b); err == nil {
		return true
	}
	_, err := x509.ParseCertificate(b)
	return err == nil
}
