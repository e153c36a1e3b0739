package jwks

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	oidcSuffix  = "/.well-known/openid-configuration"
	oauthPrefix = "/.well-known/oauth-authorization-server"
)

// discoveryURLs returns where the discovery document of an issuer is: OpenID
// Connect Discovery section 4 appends to the issuer, RFC 8414 section 3.1
// inserts between host and path. A slash at the end of the issuer is dropped
// for both.
func discoveryURLs(issuer string) (oidc, oauth *url.URL, err error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, nil, err
	}
	appended, inserted := *u, *u
	path, raw := strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	appended.Path = path + oidcSuffix
	inserted.Path = oauthPrefix + path
	if raw != "" {
		appended.RawPath = raw + oidcSuffix
		inserted.RawPath = oauthPrefix + raw
	}
	return &appended, &inserted, nil
}

// endpoint is where a JWK set is.
type endpoint struct {
	url    *url.URL
	public bool // not the operator's choice: only public addresses
}

// discover finds the JWK set of the configured issuer.
func (r *remote) discover(ctx context.Context, noCache bool) (endpoint, error) {
	ans, from, err := r.discoveryDocument(ctx, noCache)
	if err != nil {
		return endpoint{}, err
	}
	issuer, jwksURI, err := parseDiscovery(ans.body)
	if err != nil {
		return endpoint{}, faultf(resultContent, "%s: %v%s", place(from), err, contentHint(ans))
	}
	// Byte by byte (RFC 8414 section 3.3): otherwise one issuer could name the
	// keys of another.
	if issuer != r.cfg.Issuer {
		hint := ""
		if strings.TrimSuffix(issuer, "/") == strings.TrimSuffix(r.cfg.Issuer, "/") {
			hint = "; they differ by the slash at the end"
		}
		return endpoint{}, faultf(resultIssuer, "%s: document is of issuer %s, configured is %s%s",
			place(from), quote(issuer), quote(r.cfg.Issuer), hint)
	}
	return r.checkJWKSURI(jwksURI, from)
}

func (r *remote) discoveryDocument(ctx context.Context, noCache bool) (*answer, *url.URL, error) {
	if r.cfg.Discovery != "" {
		u, err := url.Parse(r.cfg.Discovery)
		if err != nil {
			return nil, nil, faultf(resultContent, "discovery: is not a URL")
		}
		ans, err := r.client.get(ctx, request{url: u, noCache: noCache})
		return ans, u, err
	}
	oidc, oauth, err := discoveryURLs(r.cfg.Issuer)
	if err != nil {
		return nil, nil, faultf(resultContent, "issuer: is not a URL")
	}
	ans, err := r.client.get(ctx, request{url: oidc, noCache: noCache})
	if err == nil || statusOf(err) != http.StatusNotFound {
		return ans, oidc, err
	}
	ans, err = r.client.get(ctx, request{url: oauth, noCache: noCache})
	if statusOf(err) == http.StatusNotFound {
		f := faultf(resultStatus, "neither %s nor %s exists (status 404)", place(oidc), place(oauth))
		f.status = http.StatusNotFound
		return nil, nil, f
	}
	return ans, oauth, err
}

// checkJWKSURI judges the URL of a discovery document. On the host that the
// operator named it may be private; on any other it must be https and public,
// so that a document cannot send requests into the operator's network.
func (r *remote) checkJWKSURI(raw string, from *url.URL) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return endpoint{}, faultf(resultContent, "%s: jwks_uri is no https URL", place(from))
	}
	same := strings.EqualFold(u.Hostname(), from.Hostname())
	switch {
	case same && u.Scheme == "http" && !r.cfg.httpAllowed(u):
		return endpoint{}, faultf(resultContent, "%s: jwks_uri %s is plain http", place(from), place(u))
	case same && from.Scheme == "https" && u.Scheme == "http" && !r.cfg.Insecure:
		return endpoint{}, faultf(resultContent, "%s: jwks_uri %s steps down from https to plain http", place(from), place(u))
	case !same && u.Scheme != "https":
		return endpoint{}, faultf(resultContent, "%s: jwks_uri %s is on another host and not https", place(from), place(u))
	case !same && !publicName(u.Hostname()):
		return endpoint{}, faultf(resultContent, "%s: jwks_uri %s is on another host and not public; name it with `jwks` if it is meant", place(from), place(u))
	}
	return endpoint{url: u, public: !same}, nil
}

// publicName refuses what needs no resolving to be seen as private; the rest is
// checked when it is dialled.
func publicName(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return false
	}
	ip, err := netip.ParseAddr(name)
	return err != nil || public(ip)
}

// parseDiscovery returns the two members of a discovery document that count.
// No member may be there twice, at any depth.
func parseDiscovery(data []byte) (issuer, jwksURI string, err error) {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	if err := open(dec, jsontext.KindBeginObject, "discovery document is not a JSON object"); err != nil {
		return "", "", err
	}
	m := make(members)
	for dec.PeekKind() != jsontext.KindEndObject {
		tok, err := dec.ReadToken()
		if err != nil {
			return "", "", syntaxError(err)
		}
		name := tok.String()
		value, err := dec.ReadValue()
		if err != nil {
			return "", "", syntaxError(err)
		}
		if name == "issuer" || name == "jwks_uri" {
			m[name] = value.Clone()
		}
	}
	if err := end(dec); err != nil {
		return "", "", err
	}
	if issuer, err = m.text("issuer"); err != nil {
		return "", "", err
	}
	if jwksURI, err = m.text("jwks_uri"); err != nil {
		return "", "", err
	}
	switch {
	case issuer == "":
		return "", "", errors.New("discovery document has no issuer")
	case jwksURI == "":
		return "", "", errors.New("discovery document has no jwks_uri")
	}
	return issuer, jwksURI, nil
}
