package jwks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

func TestDocumentsRefused(t *testing.T) {
	good := string(must(json.Marshal(ecJWKObject("e"))))
	many := make([]object, maxKeys+1)
	for i := range many {
		many[i] = object{"kty": "unknown"}
	}
	many[0] = ecJWKObject("e")
	tests := []struct{ name, text, why string }{
		{"empty", "", "empty"},
		{"blank", " \n", "empty"},
		{"html", "<html><body>Sign in</body></html>", "not JSON"},
		{"array", "[" + good + "]", "not a JSON object"},
		{"string", `"keys"`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"object without keys", `{}`, "no member keys"},
		{"a single key", good, "single key"},
		{"no keys", `{"keys":[]}`, "no keys"},
		{"keys null", `{"keys":null}`, "not an array"},
		{"keys an object", `{"keys":{"a":` + good + `}}`, "not an array"},
		{"half", keySet(ecJWKObject("e"), rsaJWKObject("r"))[:200], "ends in the middle"},
		{"without its last brace", strings.TrimSuffix(keySet(ecJWKObject("e")), "}"), "ends in the middle"},
		{"keys twice", `{"keys":[` + good + `],"keys":[` + good + `]}`, `"keys" is there twice`},
		{"keys twice, once escaped", `{"keys":[` + good + `],"\u006beys":[` + good + `]}`, `"keys" is there twice`},
		{"another member twice", `{"keys":[` + good + `],"a":1,"a":2}`, `"a" is there twice`},
		{"twice at depth", `{"keys":[` + good + `],"a":{"b":1,"b":2}}`, "twice"},
		{"keys in upper case", `{"Keys":[` + good + `]}`, "no member keys"},
		{"something behind", keySet(ecJWKObject("e")) + "{}", "follows"},
		{"a byte behind", keySet(ecJWKObject("e")) + "x", "follows"},
		{"byte order mark", "\xef\xbb\xbf" + keySet(ecJWKObject("e")), "not JSON"},
		{"invalid UTF-8", `{"keys":[` + good + `],"a":"` + "\xff" + `"}`, "not JSON"},
		{"comment", `{"keys":[` + good + `] /* mine */}`, "not JSON"},
		{"too many keys", keySet(many...), "more than 100 keys"},
		{"too long", `{"keys":[` + good + `],"pad":"` + strings.Repeat("x", maxDocument) + `"}`, "longer than"},
		{"only unusable keys", keySet(object{"kty": "AKP"}, ecJWKObject("e").with(object{"use": "enc"})), "no usable key: key 1: kty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := parseDocument([]byte(tt.text))
			if err == nil {
				t.Fatalf("accepted with %d keys", len(doc.keys))
			}
			if !strings.Contains(err.Error(), tt.why) {
				t.Errorf("error %q, want words %q", err, tt.why)
			}
			if strings.Contains(err.Error(), ecJWKObject("e")["x"].(string)) {
				t.Errorf("error %q holds key material", err)
			}
		})
	}
}

func TestTrapOneUnknownKeyTypeBreakingTheSet(t *testing.T) {
	doc := parse(t, keySet(
		object{"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"},
		rsaJWKObject("r"),
		object{"kty": "OKP", "crv": "Ed448", "x": "AAAA", "kid": "ed448"},
		object{"kty": "RSA", "kid": "no-e", "n": rsaJWKObject("r")["n"]},
		edJWKObject("short").with(object{"x": encode64(make([]byte, 31))}),
		ecJWKObject("e"),
	))
	if len(doc.keys) != 2 || len(doc.skipped) != 4 {
		t.Fatalf("keys %d, skipped %q", len(doc.keys), doc.skipped)
	}
	for i, kid := range []string{"pq", "ed448", "no-e", "short"} {
		if !strings.Contains(doc.skipped[i], kid) {
			t.Errorf("%q does not name %q", doc.skipped[i], kid)
		}
	}
}

func TestSameKeyTwiceIsOneKey(t *testing.T) {
	if doc := parse(t, keySet(ecJWKObject("e"), ecJWKObject("e"), ecJWKObject("f"))); len(doc.keys) != 2 {
		t.Errorf("%d keys, want 2", len(doc.keys))
	}
}

func TestSkippedReasonIsBoundedAndEscaped(t *testing.T) {
	doc := parse(t, keySet(ecJWKObject("e"), object{"kty": "x\r\n\x1b[31m" + strings.Repeat("y", 5000), "kid": "k\r\nERROR " + strings.Repeat("z", 5000)}))
	if got := doc.skipped[0]; len(got) > 400 || strings.ContainsAny(got, "\r\n\x1b") {
		t.Errorf("reason of %d bytes: %q", len(got), got)
	}
}

// Documents in the shapes that well-known issuers publish, with keys of our own.
func TestShapesOfIssuers(t *testing.T) {
	rsaPub := publicJWK(&rsaKey().PublicKey)
	rsaPub2 := publicJWK(&rsaOther().PublicKey)
	x5c := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("certificate+/", 60)))
	tests := []struct {
		name    string
		text    string
		keys    int
		skipped int
		alg     token.Algorithm
		kid     string
		fits    int
	}{
		{"azure: no alg, x5c, issuer template", keySet(
			rsaPub.with(object{"use": "sig", "kid": "az1", "x5t": "az1", "x5c": []string{x5c}, "issuer": "https://login/{tenantid}/v2.0", "cloud_instance_name": "x"}),
			rsaPub2.with(object{"use": "sig", "kid": "az2", "x5t": "az2", "x5c": []string{x5c}}),
		), 2, 0, token.RS256, "az2", 1},
		{"keycloak: an encryption key beside", keySet(
			rsaPub.with(object{"kid": "sig1", "alg": "RS256", "use": "sig", "x5c": []string{x5c}, "x5t#S256": "abc"}),
			rsaPub2.with(object{"kid": "enc1", "alg": "RSA-OAEP", "use": "enc", "x5c": []string{x5c}}),
		), 1, 1, token.RS256, "sig1", 1},
		{"google: members in another order", `{"keys":[{"n":"` + rsaPub["n"].(string) + `","use":"sig","kid":"g1","alg":"RS256","kty":"RSA","e":"AQAB"},{"kid":"g2","e":"AQAB","alg":"RS256","kty":"RSA","use":"sig","n":"` + rsaPub2["n"].(string) + `"}]}`,
			2, 0, token.RS256, "g2", 1},
		{"auth0: kty first, x5c", keySet(rsaPub.with(object{"kid": "a0", "use": "sig", "alg": "RS256", "x5t": "t", "x5c": []string{x5c}})), 1, 0, token.RS256, "a0", 1},
		{"kubernetes: use, no x5c", keySet(rsaPub.with(object{"kid": "k8s", "use": "sig", "alg": "RS256"})), 1, 0, token.RS256, "k8s", 1},
		{"zitadel, hydra: several types", keySet(
			rsaPub.with(object{"kid": "z1", "use": "sig", "alg": "RS256"}),
			ecJWKObject("z2").with(object{"use": "sig", "alg": "ES256"}),
			edJWKObject("z3").with(object{"use": "sig", "alg": "EdDSA"}),
		), 3, 0, token.ES256, "z2", 1},
		{"apple: no x5c, several", keySet(
			rsaPub.with(object{"kid": "ap1", "use": "sig", "alg": "RS256"}), rsaPub2.with(object{"kid": "ap2", "use": "sig", "alg": "RS256"}),
		), 2, 0, token.RS256, "ap1", 1},
		{"a legacy server: one key, no kid", keySet(rsaPub), 1, 0, token.RS256, "whatever", 1},
		{"nulls for all that is not there", `{"keys":[{"kty":"RSA","use":"sig","kid":"n1","n":"` + rsaPub["n"].(string) + `","e":"AQAB","d":null,"p":null,"k":null,"crv":null,"alg":null,"key_ops":null}]}`,
			1, 0, token.PS512, "n1", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := parse(t, tt.text)
			if len(doc.keys) != tt.keys || len(doc.skipped) != tt.skipped {
				t.Fatalf("keys %d, skipped %q; want %d and %d", len(doc.keys), doc.skipped, tt.keys, tt.skipped)
			}
			if got := newSet(doc.keys, nil, false).Candidates(tt.alg, tt.kid, true); len(got) != tt.fits {
				t.Errorf("%d candidates for %s, want %d", len(got), tt.kid, tt.fits)
			}
		})
	}
}

func TestWycheproofKeySets(t *testing.T) {
	data, err := os.ReadFile("testdata/wycheproof_json_web_key.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			TcID    int
			Comment string
			Public  json.RawMessage
			JWS     string
			Result  string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Tests) != 12 {
		t.Fatalf("%d tests, want 12", len(file.Tests))
	}
	for _, tt := range file.Tests {
		t.Run(fmt.Sprintf("%d %s", tt.TcID, tt.Comment), func(t *testing.T) {
			parts := strings.Split(tt.JWS, ".")
			var header struct{ Alg, Kid string }
			if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[0])), &header); err != nil {
				t.Fatal(err)
			}
			alg, _ := token.ParseAlgorithm(header.Alg)
			signature := must(base64.RawURLEncoding.DecodeString(parts[2]))
			doc, _ := parseDocument(tt.Public)
			result := "invalid"
			for _, k := range newSet(doc.keys, nil, false).Candidates(alg, header.Kid, true) {
				if k.Verify(alg, parts[0]+"."+parts[1], signature) == nil {
					result = "valid"
				}
			}
			if result != tt.Result {
				t.Errorf("%s, want %s (skipped %q)", result, tt.Result, doc.skipped)
			}
		})
	}
}

// Whatever a document is: no panic, and every key that comes out of it is
// within the limits and does what its type can.
func FuzzParseDocument(f *testing.F) {
	f.Add(keySet(rsaJWKObject("r"), ecJWKObject("e"), edJWKObject("o")))
	f.Add(keySet(ecJWKObject("").with(object{"alg": "ES256", "key_ops": []string{"verify"}})))
	f.Add(keySet(edJWKObject("o").with(object{"x": encode64(make([]byte, 31))}), edJWKObject("p")))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"","e":"AQ"}],"keys":[]}`)
	f.Add(`{"keys":[[[[]]],{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := parseDocument([]byte(text))
		if (err == nil) != (len(doc.keys) > 0) {
			t.Fatalf("%d keys and error %v", len(doc.keys), err)
		}
		if len(doc.keys)+len(doc.skipped) > maxKeys {
			t.Fatalf("%d keys and %d skipped", len(doc.keys), len(doc.skipped))
		}
		set := newSet(doc.keys, nil, false)
		for _, k := range doc.keys {
			checkLimits(t, k)
			if !set.Has(k) {
				t.Error("set lacks a key of its own")
			}
			if k.id != "" && !set.HasKid(k.id) {
				t.Error("set does not know a kid of its own")
			}
			for _, a := range k.Algorithms().List() {
				if fits := set.Candidates(a, k.id, k.id != ""); len(fits) > maxCandidates || len(fits) < maxCandidates && !slices.Contains(fits, k) {
					t.Errorf("%d candidates for %s", len(fits), a)
				}
			}
			for a := token.Algorithm(0); a <= token.HS512+1; a++ {
				if k.Verify(a, signingInput, make([]byte, 64)) == nil {
					t.Errorf("a signature of zeroes verifies with %d", a)
				}
			}
		}
		again, err := parseDocument(set.document())
		if len(doc.keys) > 0 && len(text) < maxDocument/2 && (err != nil || !newSet(again.keys, nil, false).sameKeys(set)) {
			t.Errorf("stored form %s gives other keys: %v", set.document(), err)
		}
	})
}

func checkLimits(t *testing.T, k *Key) {
	t.Helper()
	s := k.status()
	ok := len(s.Algorithms) > 0 && len(s.Thumbprint) == 43
	for _, a := range k.algs.List() {
		ok = ok && !a.Symmetric()
	}
	switch s.Type {
	case "RSA":
		ok = ok && s.Bits >= 2048 && s.Bits <= 8192 && k.algs&^rsaAlgorithms == 0
	case "EC":
		want := map[string]token.Algorithm{"P-256": token.ES256, "P-384": token.ES384, "P-521": token.ES512}[s.Curve]
		ok = ok && k.algs == token.Algorithms(want)
	case "OKP":
		ok = ok && s.Curve == "Ed25519" && k.algs == ed25519Algs
	default:
		ok = false
	}
	if !ok {
		t.Errorf("key beyond the limits: %+v", s)
	}
}
