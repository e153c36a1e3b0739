package issuertest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuer"
)

// Failure is a way in which an endpoint misbehaves. Refused connections are not
// one: see Down.
type Failure uint8

// The failures.
const (
	Healthy      Failure = iota
	ServerError          // 500
	Hang                 // no answer; the connection ends when the client leaves, at another Fail, or Down
	SlowBody             // headers at once, then a byte each 50 ms
	HTML                 // 200 with a web page, as captive portals answer
	EmptyKeys            // {"keys":[]}; the discovery document is {}
	HalfDocument         // 200 with the first half of the document
)

// slowPace is the pause between the bytes of SlowBody.
const slowPace = 50 * time.Millisecond

// behaviour is what one endpoint does and what it has seen.
type behaviour struct {
	failure     Failure
	lifted      chan struct{} // closed when failure changes
	requests    int
	notModified int
	last        http.Header
}

func (b *behaviour) init() { b.lifted = make(chan struct{}) }

func (b *behaviour) set(f Failure) {
	b.failure = f
	close(b.lifted)
	b.lifted = make(chan struct{})
}

// Fail makes discovery and key set misbehave; Fail(Healthy) ends it.
func (i *Issuer) Fail(f Failure) {
	i.FailDiscovery(f)
	i.FailKeys(f)
}

// FailDiscovery makes the discovery documents misbehave.
func (i *Issuer) FailDiscovery(f Failure) { i.update(func() { i.discovery.set(f) }) }

// FailKeys makes the key set misbehave.
func (i *Issuer) FailKeys(f Failure) { i.update(func() { i.keys.set(f) }) }

// DiscoverAs puts another issuer into the discovery documents; empty puts the
// right one back.
func (i *Issuer) DiscoverAs(iss string) { i.update(func() { i.discovered = iss }) }

// DiscoverKeysAt puts another jwks_uri into the discovery documents; empty puts
// the right one back.
func (i *Issuer) DiscoverKeysAt(uri string) { i.update(func() { i.jwksURI = uri }) }

// SetCacheControl replaces the Cache-Control of the key set; "-" sends none,
// empty restores the default of one minute.
func (i *Issuer) SetCacheControl(v string) { i.update(func() { i.cacheControl = v }) }

// SetETag says whether the key set has an ETag and answers If-None-Match with
// 304. It does unless told otherwise.
func (i *Issuer) SetETag(on bool) { i.update(func() { i.noETag = !on }) }

// Publish serves document as the key set instead of the issuer's own; nil ends it.
func (i *Issuer) Publish(document []byte) { i.update(func() { i.document = document }) }

// Intercept gives every request to f first, which reports whether it has
// answered: for redirects, odd encodings and whatever else has no method here.
// nil ends it. Requests are counted before.
func (i *Issuer) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	i.update(func() { i.intercept = f })
}

// DiscoveryRequests counts requests for either discovery document.
func (i *Issuer) DiscoveryRequests() int { return read(i, func() int { return i.discovery.requests }) }

// KeyRequests counts requests for the key set, answered or not.
func (i *Issuer) KeyRequests() int { return read(i, func() int { return i.keys.requests }) }

// KeysNotModified counts the key set requests that were answered with 304.
func (i *Issuer) KeysNotModified() int { return read(i, func() int { return i.keys.notModified }) }

// LastKeyRequest returns the header of the latest request for the key set; nil
// if there was none.
func (i *Issuer) LastKeyRequest() http.Header {
	return read(i, func() http.Header { return i.keys.last.Clone() })
}

func (i *Issuer) update(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func read[T any](i *Issuer, f func() T) T {
	i.mu.Lock()
	defer i.mu.Unlock()
	return f()
}

func (i *Issuer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	var b *behaviour
	switch r.URL.Path {
	case issuer.DiscoveryPath, issuer.MetadataPath:
		b = &i.discovery
	case issuer.KeysPath:
		b = &i.keys
	}
	var failure Failure
	var lifted chan struct{}
	i.mu.Lock()
	if b != nil {
		b.requests++
		b.last = r.Header.Clone()
		failure, lifted = b.failure, b.lifted
	}
	intercept := i.intercept
	i.mu.Unlock()

	if intercept != nil && intercept(w, r) {
		return
	}
	switch failure {
	case ServerError:
		http.Error(w, "the issuer is broken", http.StatusInternalServerError)
	case Hang:
		select {
		case <-r.Context().Done():
		case <-lifted:
		}
		// Nothing was written: end the connection instead of answering 200.
		panic(http.ErrAbortHandler)
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>Sign in to the network</title>"))
	case EmptyKeys:
		w.Header().Set("Content-Type", "application/json")
		if b == &i.keys {
			_, _ = w.Write([]byte(`{"keys":[]}`))
		} else {
			_, _ = w.Write([]byte(`{}`))
		}
	case HalfDocument:
		answer := i.answer(r, b)
		body := answer.Body.Bytes()
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		_, _ = w.Write(body[:len(body)/2])
	case SlowBody:
		answer := i.answer(r, b)
		copyHeader(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		for _, c := range answer.Body.Bytes() {
			select {
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			case <-lifted:
				panic(http.ErrAbortHandler)
			case <-time.After(slowPace):
			}
			_, _ = w.Write([]byte{c})
			_ = http.NewResponseController(w).Flush()
		}
	default:
		answer := i.answer(r, b)
		if answer.Code == http.StatusNotModified && b == &i.keys {
			i.update(func() { b.notModified++ })
		}
		copyHeader(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}
}

// answer is the healthy answer, with what the test changed about it.
func (i *Issuer) answer(r *http.Request, b *behaviour) *httptest.ResponseRecorder {
	i.mu.Lock()
	discovered, jwksURI := i.discovered, i.jwksURI
	cacheControl, noETag, document := i.cacheControl, i.noETag, i.document
	i.mu.Unlock()

	rec := httptest.NewRecorder()
	switch b {
	case &i.keys:
		if document != nil {
			rec.Header().Set("Content-Type", "application/jwk-set+json")
			_, _ = rec.Write(document)
		} else {
			if noETag {
				r = r.Clone(r.Context())
				r.Header.Del("If-None-Match")
			}
			i.issuer.ServeHTTP(rec, r)
			if noETag {
				rec.Header().Del("ETag")
			}
		}
		switch cacheControl {
		case "":
		case "-":
			rec.Header().Del("Cache-Control")
		default:
			rec.Header().Set("Cache-Control", cacheControl)
		}
	case &i.discovery:
		i.issuer.ServeHTTP(rec, r)
		if discovered != "" {
			replaceMember(rec, "issuer", discovered)
		}
		if jwksURI != "" {
			replaceMember(rec, "jwks_uri", jwksURI)
		}
	default:
		i.issuer.ServeHTTP(rec, r)
	}
	return rec
}

func replaceMember(rec *httptest.ResponseRecorder, name, value string) {
	var doc map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		return // not a document, such as the answer to a POST
	}
	doc[name] = value
	data, err := json.Marshal(doc)
	if err != nil {
		panic(err) // came out of JSON
	}
	rec.Body = bytes.NewBuffer(data)
}

func copyHeader(dst, src http.Header) {
	for name, values := range src {
		dst[name] = values
	}
}
