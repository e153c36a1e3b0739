package caddymodule

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/signing"
)

func init() { cli.Add(newTokenCommand) }

// tokenFlags are the flags of `caddy jwtgate token`.
type tokenFlags struct {
	key, encoding, alg   string
	issuer, subject      string
	audience             []string
	scope                string
	lifetime             time.Duration
	claims, omit         []string
	claimsFile, kid, typ string
	// Whether the flags were given: then they go before --claims.
	setKid, setSubject, setLifetime bool
}

func newTokenCommand() *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "token --key <file> --issuer <iss> [flags]",
		Short: "Signs a token for development and prints it",
		Long: `Signs a JWT with a key of your own and prints it, alone, on standard output.

This is for development and tests: who holds the key can be anybody. Make a key
with "caddy jwtgate token keygen".

Without further flags the token has iss, sub, iat, exp and jti. A --claim sets
any other, at the path that the gate would read it from: dots nest
(realm_access.roles), a name with :// in it is one name. Its value is JSON if it
is valid JSON, else a string.

HS256, HS384 and HS512 take the content of the key file as the secret, without
one line break at its end.`,
		Example: `  caddy jwtgate token keygen --alg ES256 --out key.pem --jwks keys.json
  TOKEN=$(caddy jwtgate token --key key.pem --issuer https://id.example.com --audience orders-api \
      --subject alice --scope "orders:read" --claim email=alice@example.com \
      --claim 'realm_access.roles=["editor"]')
  curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/orders`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.setKid = cmd.Flags().Changed("kid")
			f.setSubject = cmd.Flags().Changed("subject")
			f.setLifetime = cmd.Flags().Changed("lifetime")
			signed, err := f.sign(cmd.InOrStdin(), time.Now())
			if err != nil {
				return err
			}
			if file, ok := cmd.ErrOrStderr().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
				fmt.Fprintln(file, "A token for development: never let a gateway in production trust this key.")
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), signed)
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.key, "key", "", "file with the private key in PEM form, or with the secret for HS*")
	flags.StringVar(&f.alg, "alg", "", "algorithm: "+strings.Join(signing.Algorithms(), " ")+" (default: what fits the key, RS256 for RSA)")
	flags.StringVar(&f.encoding, "encoding", "plain", "how the secret is written: plain, base64, base64url, hex")
	flags.StringVar(&f.issuer, "issuer", "", "iss")
	flags.StringArrayVar(&f.audience, "audience", nil, "aud; repeat for an array")
	flags.StringVar(&f.subject, "subject", "dev", "sub")
	flags.StringVar(&f.scope, "scope", "", "scope, several separated by blanks")
	flags.DurationVar(&f.lifetime, "lifetime", 5*time.Minute, "time to exp; negative for an expired token")
	flags.StringArrayVar(&f.claims, "claim", nil, "further claim, path=value; repeatable")
	flags.StringVar(&f.claimsFile, "claims", "", "file with a JSON object of claims, - for standard input; the flags go before it")
	flags.StringArrayVar(&f.omit, "omit", nil, "leave out this claim, such as jti; repeatable")
	flags.StringVar(&f.kid, "kid", "", "kid in the header; --kid= for none (default: the key's RFC 7638 thumbprint)")
	flags.StringVar(&f.typ, "typ", "at+jwt", "typ in the header; --typ= for none")
	cmd.AddCommand(newKeygenCommand())
	return cmd
}

func (f *tokenFlags) sign(stdin io.Reader, now time.Time) (string, error) {
	if f.key == "" {
		return "", cli.Usagef(`--key is missing; make a key with "caddy jwtgate token keygen --out key.pem"`)
	}
	claims, err := f.payload(stdin, now)
	if err != nil {
		return "", err
	}
	key, err := f.loadKey()
	if err != nil {
		return "", err
	}
	header := map[string]string{"alg": key.Algorithm()}
	kid := key.ID()
	if f.setKid {
		kid = f.kid
	}
	if kid != "" {
		header["kid"] = kid
	}
	if f.typ != "" {
		header["typ"] = f.typ
	}
	rawHeader, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return key.Sign(rawHeader, payload)
}

func (f *tokenFlags) loadKey() (*signing.Key, error) {
	data, err := os.ReadFile(f.key)
	if err != nil {
		return nil, err
	}
	if !signing.Symmetric(f.alg) {
		key, err := signing.ParsePEM(data, f.alg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		return key, nil
	}
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("%s holds a private key, which is no secret for %s", f.key, f.alg)
	}
	secret, err := decodeSecretFile(data, f.encoding)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, err)
	}
	key, err := signing.FromSecret(secret, f.alg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, err)
	}
	return key, nil
}

// payload builds the claims: defaults, then the file, then the flags that were
// meant for single claims.
func (f *tokenFlags) payload(stdin io.Reader, now time.Time) (map[string]any, error) {
	expires, issued := now.Add(f.lifetime), now
	if f.lifetime < 0 { // was good once
		issued = expires.Add(-5 * time.Minute)
	}
	claims := map[string]any{
		"sub": f.subject,
		"iat": issued.Unix(),
		"exp": expires.Unix(),
		"jti": rand.Text(),
	}
	if f.claimsFile != "" {
		fromFile, err := readClaims(f.claimsFile, stdin)
		if err != nil {
			return nil, err
		}
		if f.setSubject {
			delete(fromFile, "sub")
		}
		if f.setLifetime {
			delete(fromFile, "exp")
			delete(fromFile, "iat")
		}
		maps.Copy(claims, fromFile)
	}
	if f.issuer != "" {
		claims["iss"] = f.issuer
	}
	switch len(f.audience) {
	case 0:
	case 1:
		claims["aud"] = f.audience[0]
	default:
		claims["aud"] = f.audience
	}
	if f.scope != "" {
		claims["scope"] = f.scope
	}
	for _, claim := range f.claims {
		path, value, found := strings.Cut(claim, "=")
		if !found || path == "" {
			return nil, cli.Usagef("--claim %q is not path=value", claim)
		}
		if err := setClaim(claims, path, claimValue(value)); err != nil {
			return nil, err
		}
	}
	for _, name := range f.omit {
		if _, found := claims[name]; !found && name != "iss" && name != "aud" {
			return nil, cli.Usagef("--omit %s: the token has no such claim", name)
		}
		delete(claims, name)
	}
	if _, found := claims["iss"]; !found && !slices.Contains(f.omit, "iss") {
		return nil, cli.Usagef("--issuer is missing; --omit iss makes a token without one")
	}
	return claims, nil
}

func readClaims(path string, stdin io.Reader) (map[string]any, error) {
	var data []byte
	var err error
	if path == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil {
		return nil, fmt.Errorf("claims in %s: %w", path, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || claims == nil {
		return nil, fmt.Errorf("claims in %s: want one JSON object and nothing else", path)
	}
	return claims, nil
}

// claimValue keeps the digits of numbers, however large.
func claimValue(s string) any {
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	return s
}

func setClaim(claims map[string]any, path string, value any) error {
	if strings.Contains(path, "://") {
		claims[path] = value
		return nil
	}
	parts := strings.Split(path, ".")
	for n, part := range parts {
		if part == "" {
			return cli.Usagef("--claim %s: the path has an empty name", path)
		}
		if n == len(parts)-1 {
			claims[part] = value
			break
		}
		inner, ok := claims[part].(map[string]any)
		if !ok {
			if _, taken := claims[part]; taken {
				return cli.Usagef("--claim %s: %s is no object", path, strings.Join(parts[:n+1], "."))
			}
			inner = map[string]any{}
			claims[part] = inner
		}
		claims = inner
	}
	return nil
}
