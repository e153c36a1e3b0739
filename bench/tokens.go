package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// coldTokens is how many different tokens a cold run has; the cache of the
// cold variants is off, so none is ever warm.
const coldTokens = 2000

// issuerName is who all tokens are from.
const issuerName = "https://id.example.com"

var algorithms = []string{"RS256", "ES256", "EdDSA"}

// claimsOf are the claims of one user, such as an identity provider issues: an
// RS256 token of about 900 bytes.
func claimsOf(i int, now time.Time) ([]byte, error) {
	return json.Marshal(map[string]any{
		"iss": issuerName, "aud": "orders-api", "sub": fmt.Sprintf("user-%06d", i),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": jti(i), "sid": fmt.Sprintf("session-%08d", i),
		"client_id": "mobile", "scope": "openid profile email orders:read orders:write", "email": "user@example.com",
		"name": "A User of Middling Name", "tenant": "acme-europe-west", "preferred_username": "auser",
		"realm_access": map[string]any{"roles": []string{"editor", "reader", "offline_access", "default-roles-acme"}},
	})
}

func jti(i int) string { return fmt.Sprintf("%032x", i) }

// tokensFile is where the tokens of an algorithm are, one a line.
func (b *bench) tokensFile(algorithm string) string { return filepath.Join(b.dir, "tokens", algorithm) }

// makeTokens writes the key set, the public key that HAProxy reads, the shared
// secret of the section memory and, for each algorithm, a file of tokens.
func (b *bench) makeTokens() error {
	if err := os.Mkdir(filepath.Join(b.dir, "tokens"), 0o700); err != nil {
		return err
	}
	var keys []*signing.Key
	now := time.Now()
	for _, name := range algorithms {
		key, err := signing.Generate(name)
		if err != nil {
			return err
		}
		key = key.WithID("key-" + name)
		keys = append(keys, key)
		var lines strings.Builder
		for i := range coldTokens {
			raw, err := signed(key, i, now)
			if err != nil {
				return err
			}
			lines.WriteString(raw + "\n")
			if i == 0 && name == "RS256" {
				b.token = raw
			}
		}
		if err := os.WriteFile(b.tokensFile(name), []byte(lines.String()), 0o600); err != nil {
			return err
		}
		public, err := key.MarshalPublicPEM()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.dir, name+".pem"), public, 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(b.dir, "secret"), []byte(floodSecret), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "keys.json"), signing.MarshalJWKS(keys...), 0o600)
}

// floodSecret signs the many tokens of the section memory, which would take a
// private key minutes.
const floodSecret = "a-secret-of-the-benchmark-of-32-bytes-at-least"

func signed(key *signing.Key, i int, now time.Time) (string, error) {
	claims, err := claimsOf(i, now)
	if err != nil {
		return "", err
	}
	return key.Sign(fmt.Appendf(nil, `{"alg":%q,"typ":"at+jwt","kid":%q}`, key.Algorithm(), key.ID()), claims)
}
