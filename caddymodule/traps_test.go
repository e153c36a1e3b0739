package caddymodule

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

const trapSite = `GATEWAY {
	jwtgate /optional* {
		optional
		forward {
			X-User-ID sub
			X-User-Email email
		}
	}
	jwtgate /public* {
		public
	}
	@rest not path /optional* /public*
	jwtgate @rest {
		preflight on
		forward {
			X-User-ID sub
			X-User-Email email
		}
	}
	reverse_proxy BACKEND
}`

// forged are the client's own identity headers.
var forged = []string{"X-User-Email: mallory@example.com", "X_User_Email: mallory@example.com", "X-User-ID: mallory"}

func TestTrapClientsIdentityHeaderSurvivesAnAbsentClaim(t *testing.T) {
	g := live(t, trapSite)
	if a := g.do("GET", "/", append(forged[:len(forged):len(forged)], g.bearer(map[string]any{"sub": "alice"}))...); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	got := g.one()
	for name, values := range got.Header {
		if name == "X-User-Email" || len(values) > 0 && values[0] == "mallory@example.com" {
			t.Errorf("%s: %q, though the token has no email", name, values)
		}
	}
	if id := got.Header["X-User-Id"]; len(id) != 1 || id[0] != "alice" {
		t.Errorf("X-User-Id: %q", id)
	}
}

func TestTrapHeadersNotCleanedOnPreflightOrOptionalPaths(t *testing.T) {
	g := live(t, trapSite)
	for _, c := range []struct {
		name, method, path string
		more               []string
	}{
		{"preflight", "OPTIONS", "/", []string{"Origin: https://app.example.com", "Access-Control-Request-Method: PUT"}},
		{"optional without a token", "GET", "/optional", nil},
		{"public", "GET", "/public", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := g.do(c.method, c.path, append(c.more, forged...)...); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			for name, values := range g.one().Header {
				if len(values) > 0 && (values[0] == "mallory" || values[0] == "mallory@example.com") {
					t.Errorf("the backend got %s: %q", name, values)
				}
			}
		})
	}
}

func TestTrapRedirectToALoginPage(t *testing.T) {
	g := live(t, trapSite)
	expired := g.bearer(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	for _, headers := range [][]string{
		{"Accept: text/html"}, {"Accept: text/html", expired}, {"Accept: text/html", "Sec-Fetch-Mode: navigate", "Authorization: Basic YTpi"},
	} {
		a := g.do("GET", "/", headers...)
		if a.Status != http.StatusUnauthorized || a.Header.Get("Location") != "" || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %d, Location %q, %s", headers, a.Status, a.Header.Get("Location"), a.Header.Get("Content-Type"))
		}
	}
}

// TestTrapRistrettoUsedAsTheRevocationList: the verdict cache may drop what it
// is given, the list may not. Every one of many revocations, made as fast as
// they can be, is in force.
func TestTrapRistrettoUsedAsTheRevocationList(t *testing.T) {
	store, err := revocation.Open(revocation.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const many, issuer = 200_000, "https://id.example.com"
	until := time.Now().Add(time.Hour)
	entries := make([]revocation.Entry, many)
	for i := range entries {
		entries[i] = revocation.Entry{Kind: revocation.Token, Issuer: issuer, Value: fmt.Sprint("jti-", i), Until: until, RevokedAt: time.Now(), Via: "test"}
	}
	if n, err := store.Apply(t.Context(), entries); n != many || err != nil {
		t.Fatalf("%d applied, %v", n, err)
	}
	for i := range many {
		ids := revocation.IDs{Token: revocation.DigestOf(revocation.Token, issuer, fmt.Sprint("jti-", i)), IssuedAt: revocation.NoIssuedAt}
		if kind, err := store.Revoked(&ids); kind != revocation.Token || err != nil {
			t.Fatalf("revocation %d of %d is gone: %v, %v", i, many, kind, err)
		}
	}
	parsed, err := token.Parse(issuertest.New(t).Sign(nil), 0)
	if err != nil {
		t.Fatal(err)
	}
	ids := revocation.IDsOf(parsed)
	if kind, err := store.Revoked(&ids); kind != 0 || err != nil {
		t.Errorf("a token that nobody revoked: %v, %v", kind, err)
	}
}
