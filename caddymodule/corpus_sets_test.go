package caddymodule_test

import (
	"fmt"
	"math/big"

	"github.com/jwtgate/jwtgate/token"
)

// keySetCases is which keys of a set count (conformance 6).
func (l *lab) keySetCases() []attack {
	k := l.keys
	var attacks []attack
	add := func(gate, name string, key *corpusKey, w want) {
		attacks = append(attacks, attack{name: name, gate: gate, token: l.token(key), want: w})
	}
	in, unknown, forged, mismatch := accepted(), refused(token.KidUnknown), refused(token.SignatureInvalid), refused(token.KeyMismatch)
	for _, key := range []*corpusKey{k.rsa, k.ec, k.ec2, k.ed} {
		add("kidless", key.alg+" without kid, "+key.kid, key.as(""), in)
		add("kidless", key.alg+" with some kid, "+key.kid, key.as("some"), in)
	}
	add("kidless", "thumbprint", k.ec.as(thumbprintOf(l.t, k.ec)), in)
	add("kidless", "thumbprint of another key", k.ec.as(thumbprintOf(l.t, k.ec2)), forged)
	add("kidless", "stranger", k.rogueEC.as(""), forged)
	add("kidless", "stranger with a thumbprint", k.rogueEC.as(thumbprintOf(l.t, k.ec)), forged)
	for i, key := range k.spare {
		w := in
		if i == 4 {
			w = forged // four are tried
		}
		add("kidless5", fmt.Sprintf("key %d", i), key.as(""), w)
		add("kidless5", fmt.Sprintf("key %d by its thumbprint", i), key.as(thumbprintOf(l.t, key)), in)
	}
	for _, gate := range []string{"dup", "duprev"} {
		add(gate, "first", k.ec.as("d"), in)
		add(gate, "second", k.ec2.as("d"), in)
		add(gate, "stranger", k.rogueEC.as("d"), forged)
	}
	for _, key := range []*corpusKey{k.rsa, k.ec, k.ed} {
		add("dupkinds", key.alg, key.as("d"), in)
	}
	add("bad", "the good key", k.ec.as("good"), in)
	add("bad", "the good key, no kid", k.ec.as(""), in)
	for _, kid := range []string{"e1", "e2", "e0", "ebig", "nomod", "std"} {
		add("bad", kid, k.rsa.as(kid), unknown)
	}
	for _, kid := range []string{"curve", "k1", "off", "short", "inf", "private", "7", "dupmember", "usenum", "opsnum", "kty", "x"} {
		add("bad", kid, k.ec.as(kid), unknown)
	}
	for _, kid := range []string{"ed31", "x25519", "ed448", "identity"} {
		add("bad", kid, k.ed.as(kid), unknown)
	}
	add("bad", "1024 bits", k.weak, unknown)
	add("bad", "RSA, no kid", k.rsa.as(""), mismatch)
	// With an exponent of 1 the encoded message is its own signature, and under
	// the identity this signature holds over everything.
	everybody := header(k.rsa.as("e1"))
	input := b64([]byte(everybody)) + "." + b64([]byte(l.claims()))
	encoding := new(big.Int).Exp(new(big.Int).SetBytes(k.rsa.sign(l.t, "RS256", input)), big.NewInt(int64(k.rsa.rsa.E)), k.rsa.rsa.N)
	attacks = append(attacks, attack{name: "signed with exponent 1", gate: "bad", token: input + "." + b64(encoding.FillBytes(make([]byte, 256))), want: unknown})
	everybody = header(k.ed.as("identity"))
	attacks = append(attacks, attack{name: "signed with the identity", gate: "bad", token: b64([]byte(everybody)) + "." + b64([]byte(l.claims())) + "." + b64(append([]byte{1}, make([]byte, 63)...)), want: unknown})

	published := &corpusKey{kid: "sym", alg: "HS256", secret: l.octSecret()}
	for _, alg := range []string{"HS256", "HS512"} {
		add("oct", alg+" with the published secret", k.hmac.as("sym").with(alg), refused(token.AlgNotAllowed))
		add("oct", alg+" with the kid of a good key", k.hmac.as("good").with(alg), refused(token.AlgNotAllowed))
		add("octsecret", alg+" with the published secret", published.with(alg), forged)
		add("octsecret", alg+" with the configured secret", k.hmac.as("sym").with(alg), in)
		add("onlyoct", alg+" with the published secret", k.hmac.as("sym").with(alg), refused(token.AlgNotAllowed))
	}
	add("oct", "the good key", k.ec.as("good"), in)
	add("octsecret", "the good key", k.ec.as("good"), in)

	add("uses", "use sig", k.ec.as("sig"), in)
	add("uses", "key_ops verify", k.ec.as("verify"), in)
	add("uses", "alg RS512", k.rsa.as("rs512").with("RS512"), in)
	for _, kid := range []string{"enc", "ops", "sign", "wrongalg"} {
		add("uses", "kid "+kid, k.ec.as(kid), refused(token.KidUnknown, token.KeyMismatch))
	}
	for _, kid := range []string{"rs512", "oaep", "hs", "none"} {
		add("uses", "RS256 with kid "+kid, k.rsa.as(kid), refused(token.KidUnknown, token.KeyMismatch))
	}
	for _, gate := range []string{"keystwice", "empty", "html", "half", "tail", "onlyoct", "single"} {
		add(gate, "good key", k.ec, refused(token.KeysNeverObtained))
		add(gate, "stranger", k.rogueEC, refused(token.KeysNeverObtained))
	}
	for _, key := range []*corpusKey{k.ec, k.ec.as(""), k.ec.as("whatever")} {
		add("pem", "kid "+key.kid, key, in)
	}
	add("pem", "stranger", k.rogueEC, forged)
	add("pem", "RS256", k.rsa, refused(token.KeyMismatch, token.AlgNotAllowed))
	add("pemrsa", "RS256", k.rsa, in)
	add("pemrsa", "PS256", k.rsa.with("PS256"), in)
	add("pemrsa", "ES256", k.ec, refused(token.KeyMismatch, token.AlgNotAllowed))
	return attacks
}
