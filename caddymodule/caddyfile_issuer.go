package caddymodule

import (
	"slices"

	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/token"
)

// issuerWords are the words of an issuer block.
var issuerWords = []string{
	"audience", "discovery", "jwks", "jwks_file", "pem_file", "secret", "algorithms", "skew", "max_age",
	"token_type", "require_claims", "refresh", "max_stale", "timeout", "tls_ca", "insecure",
}

// readIssuer reads an `issuer` line with its block, if it has one:
//
//	issuer <issuer> {
//	    audience       <audience...> | any
//	    discovery      <url>
//	    jwks           <url>
//	    jwks_file      <path>
//	    pem_file       <path>
//	    secret         <secret> [plain|base64|base64url|hex]
//	    algorithms     <name...>
//	    skew           <duration>
//	    max_age        <duration>
//	    token_type     <typ...>
//	    require_claims <claim...> | none
//	    refresh        <duration>
//	    max_stale      <duration>
//	    timeout        <duration>
//	    tls_ca         <path>
//	    insecure
//	}
func readIssuer(outer *block) (issuer *Issuer, hasBlock bool, err error) {
	values, err := outer.values("issuer", 1, 1)
	if err != nil {
		return nil, false, err
	}
	issuer = &Issuer{Issuer: values[0]}
	if outer.peek() != "{" {
		return issuer, false, nil
	}
	b := newBlock(outer.Dispenser, "issuer "+issuer.Issuer)
	return issuer, true, b.each(func(word string) error { return issuer.read(b, word) })
}

// onlyOneSource says why the places that keys come from exclude each other.
const onlyOneSource = "keys come from one place"

func (i *Issuer) read(b *block, word string) error {
	switch word {
	case "audience":
		return readAudience(b, &i.Audience, &i.AnyAudience)
	case "discovery":
		if err := b.excludes(word, onlyOneSource, "jwks", "jwks_file", "pem_file"); err != nil {
			return err
		}
		return b.value(word, &i.Discovery)
	case "jwks":
		if err := b.excludes(word, onlyOneSource, "discovery", "jwks_file", "pem_file"); err != nil {
			return err
		}
		return b.value(word, &i.JWKS)
	case "jwks_file":
		if err := b.excludes(word, onlyOneSource, "discovery", "jwks", "pem_file"); err != nil {
			return err
		}
		return b.value(word, &i.JWKSFile)
	case "pem_file":
		if err := b.excludes(word, onlyOneSource, "discovery", "jwks", "jwks_file"); err != nil {
			return err
		}
		return b.value(word, &i.PEMFile)
	case "secret":
		return i.readSecret(b)
	case "algorithms":
		return i.readAlgorithms(b)
	case "skew":
		return b.duration(word, &i.Skew, skewLimits)
	case "max_age":
		return b.duration(word, &i.MaxAge, maxAgeLimits)
	case "token_type":
		return i.readTokenType(b)
	case "require_claims":
		return i.readRequireClaims(b)
	case "refresh":
		return b.duration(word, &i.Refresh, refreshLimits)
	case "max_stale":
		return b.duration(word, &i.MaxStale, maxStaleLimits)
	case "timeout":
		return b.duration(word, &i.Timeout, timeoutLimits)
	case "tls_ca":
		return b.value(word, &i.TLSCA)
	case "insecure":
		return b.flag(word, &i.Insecure)
	default:
		return b.unknown(word, issuerWords...)
	}
}

// readAudience reads an `audience` line of an issuer or a gate. `any` has to
// stand alone: beside a name it would quietly undo the name.
func readAudience(b *block, list *[]string, anyone *bool) error {
	const word = "audience"
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	if slices.Contains(values, "any") {
		if len(values) > 1 || len(*list) > 0 || *anyone {
			return b.fail(word, "'any' stands alone: it accepts tokens made for anybody")
		}
		*anyone = true
		return nil
	}
	if *anyone {
		return b.excludes(word, "'any' stands alone: it accepts tokens made for anybody", word)
	}
	return b.wrap(word, unique(list, values...))
}

func (i *Issuer) readSecret(b *block) error {
	const word = "secret"
	if err := b.once(word); err != nil {
		return err
	}
	values, err := b.values(word, 1, 2)
	if err != nil {
		return err
	}
	i.Secret = &Secret{Value: values[0]}
	if len(values) == 2 {
		i.Secret.Encoding = values[1]
		return b.wrap(word, checkWord(values[1], secretEncodings...))
	}
	return nil
}

func (i *Issuer) readAlgorithms(b *block) error {
	const word = "algorithms"
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	for _, name := range values {
		if _, ok := token.ParseAlgorithm(name); !ok {
			return b.wrap(word, errUnknownAlgorithm(name))
		}
	}
	return b.wrap(word, unique(&i.Algorithms, values...))
}

func (i *Issuer) readTokenType(b *block) error {
	const word = "token_type"
	if err := b.once(word); err != nil {
		return err
	}
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	if err := unique(&i.TokenType, values...); err != nil {
		return b.wrap(word, err)
	}
	_, err = policy.NewIssuer(policy.IssuerConfig{AnyAudience: true, Types: i.TokenType})
	return b.wrap(word, err)
}

func (i *Issuer) readRequireClaims(b *block) error {
	const word = "require_claims"
	values, err := b.values(word, 1, -1)
	if err != nil {
		return err
	}
	if slices.Contains(values, "none") {
		if len(values) > 1 || i.SubOptional {
			return b.fail(word, "'none' stands alone on a line, once: it lifts the requirement of a sub")
		}
		i.SubOptional = true
	} else {
		for _, path := range values {
			if _, err := token.ParsePath(path); err != nil {
				return b.wrap(word, err)
			}
		}
		if err := unique(&i.RequireClaims, values...); err != nil {
			return b.wrap(word, err)
		}
	}
	if i.SubOptional && slices.Contains(i.RequireClaims, "sub") {
		return b.fail(word, "'none' contradicts 'sub'")
	}
	return nil
}
