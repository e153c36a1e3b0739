package jwks

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxRedirects = 3

// client fetches documents of one issuer: within limits, without cookies or
// credentials, through transports of its own.
type client struct {
	trusted http.Client // for URLs that the operator configured, and their hosts
	public  http.Client // for URLs that come from a document
	proxies proxies
	closers []func()
}

// newClient makes a client whose roots are ca, a PEM bundle, or the system's
// when it is nil. A transport given replaces the network.
func newClient(ca []byte, transport http.RoundTripper) (*client, error) {
	c := &client{proxies: environmentProxies()}
	c.trusted.CheckRedirect, c.public.CheckRedirect = checkRedirect, checkRedirect
	if transport != nil {
		c.trusted.Transport, c.public.Transport = transport, transport
		return c, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("holds no PEM certificate")
		}
	}
	c.trusted.Transport = c.transport(config, dial)
	c.public.Transport = c.transport(config, c.proxies.dialPublic)
	return c, nil
}

func (c *client) transport(config *tls.Config, dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
	t := &http.Transport{
		Proxy:                  func(r *http.Request) (*url.URL, error) { return c.proxies.choose(r.URL) },
		DialContext:            dial,
		TLSClientConfig:        config.Clone(),
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // done here, within a limit
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	c.closers = append(c.closers, t.CloseIdleConnections)
	return t
}

func (c *client) close() {
	for _, f := range c.closers {
		f()
	}
}

// checkRedirect follows at most three redirects, and those only within the
// origin: scheme, host and port. A redirect must neither lead inside the
// operator's network nor to plain http.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return faultf(resultStatus, "more than %d redirects", maxRedirects)
	case r.URL.User != nil, !sameOrigin(r.URL, first):
		return faultf(resultStatus, "redirected to %s, which is another origin; configure that URL if it is right", place(r.URL))
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && hostPort(a) == hostPort(b)
}

// place returns u for people: without query, user and fragment, which may hold
// what is nobody's business.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// request is one document to fetch.
type request struct {
	url     *url.URL
	public  bool   // the URL comes from a document and names another host
	etag    string // of the document that is there already
	noCache bool   // past every cache on the way
}

// answer is a document, or the news that it has not changed.
type answer struct {
	notModified bool
	body        []byte
	header      http.Header
}

// get fetches one document. Any failure is a *fault.
func (c *client) get(ctx context.Context, req request) (*answer, error) {
	where := place(req.url)
	hc := &c.trusted
	if req.public {
		hc = &c.public
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, req.url.String(), nil)
	if err != nil {
		return nil, faultf(resultNetwork, "%s: cannot be requested", where)
	}
	r.Header.Set("Accept", "application/json, */*;q=0.5")
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("User-Agent", "jwtgate")
	if req.noCache {
		r.Header.Set("Cache-Control", "no-cache")
	}
	if req.etag != "" {
		r.Header.Set("If-None-Match", req.etag)
	}
	resp, err := hc.Do(r)
	if err != nil {
		return nil, networkFault(where, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && req.etag != "":
		return &answer{notModified: true, header: resp.Header}, nil
	case resp.StatusCode != http.StatusOK:
		f := faultf(resultStatus, "%s: answered status %d", where, resp.StatusCode)
		f.status = resp.StatusCode
		return nil, f
	}
	body, err := readBody(resp)
	if err != nil {
		return nil, networkFault(where, err)
	}
	return &answer{body: body, header: resp.Header}, nil
}

// readBody reads at most maxDocument bytes, compressed and not.
func readBody(resp *http.Response) ([]byte, error) {
	tooLong := faultf(resultContent, "answer is longer than %d bytes", maxDocument)
	if resp.ContentLength > maxDocument {
		return nil, tooLong
	}
	body, err := readAtMost(resp.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > maxDocument {
		return nil, tooLong
	}
	switch encoding := strings.ToLower(strings.Join(resp.Header.Values("Content-Encoding"), ",")); encoding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, faultf(resultContent, "answer says it is gzip and is not")
		}
		body, err = readAtMost(zr)
		if err != nil {
			return nil, faultf(resultContent, "answer is damaged gzip")
		}
		if len(body) > maxDocument {
			return nil, faultf(resultContent, "answer is longer than %d bytes once decompressed", maxDocument)
		}
		return body, nil
	default:
		return nil, faultf(resultContent, "answer has the content encoding %s, which was not asked for", quote(encoding))
	}
}

// readAtMost reads up to one byte more than maxDocument.
func readAtMost(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return b, nil
}
