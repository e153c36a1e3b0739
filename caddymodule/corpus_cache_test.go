package caddymodule_test

import (
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// remembered is what comes of a verdict that is kept: nothing for another text,
// and nothing at another gate (conformance 12.1, 12.4, 12.6).
func (l *lab) remembered() []attack {
	k := l.keys
	tok := l.token(k.ec, `scope="orders:read"`, `tenant="acme"`, `aud="https://api.example.test/orders"`)
	in := accepted()
	expected := map[string]want{
		"main": accepted("X-Auth-Sub", "alice", "X-Auth-Tenant", "acme"), "default": accepted("X-Auth-Sub", "alice"), "file": in, "narrow": in, "skew0": in, "maxage": in, "anyaud": in, "nosub": in, "scope": in, "observe": in, "public": accepted("X-Auth-Sub", ""),
		"both": in, "pem": in, "two": in, "strip": accepted("Authorization", ""), "subset": refused(token.AudienceMismatch), "strict": refused(token.ClaimMissing), "untyped": refused(token.TypeMismatch),
		"scopeall": {reasons: []token.Reason{token.ScopeMissing}, scope: "orders:read orders:write"}, "claim": refused(token.ClaimDenied), "present": refused(token.ClaimDenied), "expr": refused(token.ExpressionFailed), "hs": refused(token.KeyMismatch),
		"pemrsa": refused(token.KeyMismatch, token.AlgNotAllowed), "partner": refused(token.IssuerUnknown), "plain": refused(token.IssuerUnknown), "bad": refused(token.KidUnknown), "down": refused(token.KeysNeverObtained),
	}
	var gates []string
	for gate := range expected {
		gates = append(gates, gate)
	}
	slices.Sort(gates)
	var attacks []attack
	for round := range 4 {
		order := slices.Clone(gates)
		switch round {
		case 1:
			slices.Reverse(order)
		case 2: // another one first
			order = append(order[len(order)/2:], order[:len(order)/2]...)
		}
		for _, gate := range order {
			attacks = append(attacks, attack{name: fmt.Sprintf("one token, round %d", round), gate: gate, token: tok, want: expected[gate]})
		}
	}

	// Texts that look like the one that is known.
	parts := strings.Split(tok, ".")
	signature := unb64(l.t, parts[2])
	forged := refused(token.SignatureInvalid)
	for round := range 2 {
		add := func(name, text string, w want) {
			attacks = append(attacks, attack{name: fmt.Sprintf("%s, round %d", name, round), gate: "main", token: text, want: w})
		}
		flipped := slices.Clone(signature)
		flipped[63] ^= 1
		n := k.ec.ec.Params().N
		mirrored := append(slices.Clone(signature[:32]), new(big.Int).Sub(n, new(big.Int).SetBytes(signature[32:])).FillBytes(make([]byte, 32))...)
		add("itself", tok, accepted("X-Auth-Sub", "alice"))
		add("another signature", parts[0]+"."+parts[1]+"."+b64(flipped), forged)
		add("no signature", parts[0]+"."+parts[1]+".", refused(token.TokenMalformed))
		add("signature of another token", parts[0]+"."+parts[1]+"."+strings.Split(l.token(k.ec), ".")[2], forged)
		add("another payload", parts[0]+"."+b64([]byte(l.claims(`sub="mallory"`)))+"."+parts[2], forged)
		add("another header", b64([]byte(header(k.ec, "x=1")))+"."+parts[1]+"."+parts[2], forged)
		add("the other signature that is as good", parts[0]+"."+parts[1]+"."+b64(mirrored), accepted("X-Auth-Sub", "alice"))
		add("unused bits", parts[0]+"."+parts[1]+"."+unusedBits(parts[2]), refused(token.TokenMalformed))
	}
	return attacks
}

// expiry is that a verdict which is kept does not outlive exp.
func (l *lab) expiry(t *testing.T) {
	exp := time.Now().Unix() + 2
	raw := l.request(attack{gate: "skew0", token: l.token(l.keys.ec, fmt.Sprintf("exp=%d", exp))})
	for {
		before := time.Now()
		got := l.exchange(http.MethodGet, raw)
		after := time.Now()
		switch {
		case after.Unix() < exp && got.status != http.StatusOK:
			t.Fatalf("status %d %s before exp", got.status, got.header.Get("X-Reason"))
		case before.Unix() >= exp:
			if got.status != http.StatusUnauthorized || got.header.Get("X-Reason") != token.Expired.String() {
				t.Fatalf("status %d %s after exp", got.status, got.header.Get("X-Reason"))
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
