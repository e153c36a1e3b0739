package caddymodule

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/signing"
)

func newKeygenCommand() *cobra.Command {
	var alg, out, jwks, publicPEM, kid string
	var force bool
	cmd := &cobra.Command{
		Use:   "keygen --out <file> [--alg <name>] [--jwks <file>] [--pem-public <file>]",
		Short: "Makes a key for development tokens",
		Long: `Makes a private key (PKCS #8 in PEM form, mode 0600) or, for HS256, HS384 and
HS512, a secret as one line of base64url text. The public half can be written as a
JWK Set for jwks_file and in PEM form for pem_file.`,
		Example: `  caddy jwtgate token keygen --alg ES256 --out key.pem --jwks keys.json
  caddy jwtgate token keygen --alg HS256 --out secret.txt`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return cli.Usagef("--out is missing")
			}
			if signing.Symmetric(alg) && (jwks != "" || publicPEM != "") {
				return cli.Usagef("%s has a secret and no public key: --jwks and --pem-public do not fit", alg)
			}
			key, err := signing.Generate(alg)
			if err != nil {
				return cli.Usagef("--alg: %w", err)
			}
			if kid != "" {
				key = key.WithID(kid)
			}
			files, err := keyFiles(key, out, jwks, publicPEM)
			if err != nil {
				return err
			}
			if err := writeKeyFiles(files, force); err != nil {
				return err
			}
			for _, f := range files {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", f.path, f.what)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&alg, "alg", "ES256", "algorithm: "+strings.Join(signing.Algorithms(), " "))
	flags.StringVar(&out, "out", "", "file for the private key or the secret")
	flags.StringVar(&jwks, "jwks", "", "file for the public key as a JWK Set")
	flags.StringVar(&publicPEM, "pem-public", "", "file for the public key in PEM form")
	flags.StringVar(&kid, "kid", "", "kid in the JWK Set; then give it to token as well (default: the RFC 7638 thumbprint)")
	flags.BoolVar(&force, "force", false, "overwrite files that exist")
	return cmd
}

type keyFile struct {
	path, what string
	data       []byte
	mode       os.FileMode
}

func keyFiles(key *signing.Key, out, jwks, publicPEM string) ([]keyFile, error) {
	if key.Public() == nil {
		text := signing.Encode(key.Secret()) + "\n"
		return []keyFile{{out, "secret for " + key.Algorithm() + ", keep it to yourself", []byte(text), 0o600}}, nil
	}
	private, err := key.MarshalPEM()
	if err != nil {
		return nil, err
	}
	files := []keyFile{{out, "private key for " + key.Algorithm() + ", keep it to yourself", private, 0o600}}
	if jwks != "" {
		files = append(files, keyFile{jwks, "public key as a JWK Set, kid " + key.ID(), signing.MarshalJWKS(key), 0o644})
	}
	if publicPEM != "" {
		public, err := key.MarshalPublicPEM()
		if err != nil {
			return nil, err
		}
		files = append(files, keyFile{publicPEM, "public key in PEM form", public, 0o644})
	}
	return files, nil
}

// writeKeyFiles writes all files or, when one exists already, none.
func writeKeyFiles(files []keyFile, force bool) error {
	if !force {
		for _, f := range files {
			if _, err := os.Lstat(f.path); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s exists already; --force overwrites it", f.path)
			}
		}
	}
	for _, f := range files {
		flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		if !force {
			flag |= os.O_EXCL
		}
		file, err := os.OpenFile(f.path, flag, f.mode)
		if err != nil {
			return err
		}
		// An overwritten file keeps its old mode unless told otherwise.
		err = file.Chmod(f.mode)
		if err == nil {
			_, err = file.Write(f.data)
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// decodeSecretFile reads a secret as a configuration would: {file.*} placeholders
// drop one line break at the end as well.
func decodeSecretFile(data []byte, encoding string) ([]byte, error) {
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	var secret []byte
	var err error
	switch encoding {
	case "plain":
		return []byte(text), nil
	case "base64":
		secret, err = base64.StdEncoding.DecodeString(text)
	case "base64url":
		secret, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	case "hex":
		secret, err = hex.DecodeString(text)
	default:
		return nil, cli.Usagef("--encoding %q is not plain, base64, base64url or hex", encoding)
	}
	if err != nil {
		// The decoders' errors quote bytes of the secret.
		return nil, fmt.Errorf("the secret is not valid %s", encoding)
	}
	return secret, nil
}
