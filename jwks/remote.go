package jwks

import (
	"context"
	"net/url"
	"time"
)

// rediscover is how old a discovery document may get before a scheduled fetch
// reads it again.
const rediscover = time.Hour

// remote fetches the key set of one issuer. It belongs to the one goroutine of
// its Source.
type remote struct {
	cfg    *Config
	client *client
	now    func() time.Time

	where      endpoint
	discovered time.Time // zero: not yet, or the last fetch failed

	// etag is that of the document whose keys are in use, and etagURL where it
	// came from.
	etag, etagURL string
}

// fetched is the result of a good fetch.
type fetched struct {
	notModified bool
	doc         document
	began       time.Time
	fresh       time.Duration // 0: the answer does not say
	etag, url   string
}

// fetch gets the keys, through discovery where that is configured and due.
// forced goes past all caches on the way and asks for the whole document.
func (r *remote) fetch(ctx context.Context, forced bool) (fetched, error) {
	where, err := r.locate(ctx, forced)
	if err != nil {
		r.discovered = time.Time{}
		return fetched{}, err
	}
	began := r.now()
	req := request{url: where.url, public: where.public, noCache: forced}
	if !forced && r.etagURL == where.url.String() {
		req.etag = r.etag
	}
	ans, err := r.client.get(ctx, req)
	if err != nil {
		r.discovered = time.Time{}
		return fetched{}, err
	}
	out := fetched{notModified: ans.notModified, began: began, url: where.url.String()}
	out.fresh, _ = freshness(ans.header)
	if ans.notModified {
		out.etag = r.etag
		return out, nil
	}
	if out.doc, err = parseDocument(ans.body); err != nil {
		r.discovered = time.Time{}
		return fetched{}, faultf(resultContent, "%s: %v%s", place(where.url), err, contentHint(ans))
	}
	if etag := ans.header.Get("ETag"); len(etag) <= 256 {
		out.etag = etag
	}
	r.etag, r.etagURL = out.etag, out.url
	return out, nil
}

// contentHint tells an operator who fetched a web page that it is one.
func contentHint(ans *answer) string {
	if t := ans.header.Get("Content-Type"); t != "" && len(ans.body) > 0 && ans.body[0] == '<' {
		return " (content type " + quote(t) + ")"
	}
	return ""
}

// locate returns where the key set is. An endpoint that was discovered before
// outlives an outage of the discovery document, but not one that names another
// issuer or another, unacceptable, endpoint.
func (r *remote) locate(ctx context.Context, forced bool) (endpoint, error) {
	if r.cfg.JWKS != "" {
		u, err := url.Parse(r.cfg.JWKS)
		if err != nil {
			return endpoint{}, faultf(resultContent, "jwks: is not a URL")
		}
		return endpoint{url: u}, nil
	}
	known := r.where.url != nil
	age := r.now().Sub(r.discovered)
	if known && !r.discovered.IsZero() && (forced || age >= 0 && age < rediscover) {
		return r.where, nil
	}
	where, err := r.discover(ctx, forced)
	if err != nil {
		switch result := resultOf(err); {
		case known && (result == resultDNS || result == resultNetwork || result == resultStatus):
			return r.where, nil
		default:
			return endpoint{}, err
		}
	}
	r.where, r.discovered = where, r.now()
	return where, nil
}
