// Command go is the smallest legacy API in Go: it answers with what it believes
// about the user, and knows nothing of tokens.
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// user is what the gateway's headers say. A field without a header is null.
type user struct {
	ID       *string         `json:"id"`
	Name     *string         `json:"name"`
	Account  *string         `json:"account"` // digits; a float64 would round them
	Verified *bool           `json:"verified"`
	Roles    []string        `json:"roles"`
	Groups   json.RawMessage `json:"groups"`
	Profile  *string         `json:"profile"`
	City     *string         `json:"city"`
}

// text reads the default form. PathUnescape leaves + alone; QueryUnescape would
// make a blank of it.
func text(h http.Header, name string) *string {
	if h.Get(name) == "" {
		return nil
	}
	value, err := url.PathUnescape(h.Get(name))
	if err != nil {
		return nil
	}
	return &value
}

// list reads join: split first, decode each element then.
func list(h http.Header, name string) []string {
	if h.Get(name) == "" {
		return nil
	}
	elements := strings.Split(h.Get(name), ",")
	for i, e := range elements {
		value, err := url.PathUnescape(e)
		if err != nil {
			return nil
		}
		elements[i] = value
	}
	return elements
}

func believe(h http.Header) user {
	u := user{ID: text(h, "X-User-ID"), Name: text(h, "X-User-Name"), Account: text(h, "X-User-Account"), Roles: list(h, "X-User-Roles")}
	if v := h.Get("X-User-Verified"); v != "" {
		is := v == "true"
		u.Verified = &is
	}
	if v := h.Get("X-User-Groups"); v != "" { // json
		u.Groups = json.RawMessage(v)
	}
	if v, err := base64.RawURLEncoding.DecodeString(h.Get("X-User-Profile")); err == nil && len(v) > 0 {
		profile := string(v)
		u.Profile = &profile
	}
	if v := h.Get("X-User-City"); v != "" { // utf8: Go keeps the bytes
		u.City = &v
	}
	return u
}

// onlyGateway refuses whoever does not know the secret. The digests make the
// comparison take the same time for a secret of any length.
func onlyGateway(secret string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("X-Gateway-Secret")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			http.Error(w, "not through the gateway", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	listen := os.Getenv("LISTEN")
	if listen == "" {
		listen = "127.0.0.1:9000" // never 0.0.0.0
	}
	var api http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(believe(r.Header))
	})
	server := &http.Server{Addr: listen, ReadHeaderTimeout: 10 * time.Second}
	secret, certs := os.Getenv("GATEWAY_SECRET"), os.Getenv("CERTS")
	switch {
	case certs != "":
		authority, err := os.ReadFile(certs + "/ca.pem") //nolint:gosec // whoever starts the API says where its files are
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authority) {
			return errors.New("no certificate in ca.pem")
		}
		server.Handler = api
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
		return server.ListenAndServeTLS(certs+"/api.pem", certs+"/api.key")
	case secret != "":
		server.Handler = onlyGateway(secret, api)
		return server.ListenAndServe()
	default:
		return errors.New("set GATEWAY_SECRET, or CERTS for a client certificate: without either, anybody who reaches this port is whom they say")
	}
}
