package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	raw := mint(t, RS256, goodHeader, goodPayload)
	tok, err := Parse(raw, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{Algorithm: RS256, Alg: "RS256", KeyID: "k1", HasKeyID: true, Type: "at+jwt", HasType: true}); tok.Header != want {
		t.Errorf("header %+v, want %+v", tok.Header, want)
	}
	c := tok.Claims
	got := fmt.Sprint(c.Issuer, c.Subject, c.ID, c.SessionID, c.ClientID, c.Audience, c.Expires.Time().Unix(), c.NotBefore.Time().Unix(), c.IssuedAt.Time().Unix())
	if want := "https://id.example.comalicej-1s-1app[api web] 2000000000 1700000000 1700000000"; got != want {
		t.Errorf("claims %q, want %q", got, want)
	}
	if want := raw[:strings.LastIndexByte(raw, '.')]; tok.SigningInput() != want {
		t.Errorf("signing input %q, want %q", tok.SigningInput(), want)
	}
	if err := Verify(RS256, keysFor(RS256).public, tok.SigningInput(), tok.Signature()); err != nil {
		t.Error(err)
	}
	if got := string(c.Root().AppendJSON(nil)); got != goodPayload {
		t.Errorf("claims again: %s, want %s", got, goodPayload)
	}
}

func TestParseStructure(t *testing.T) {
	good := unsigned(goodHeader, goodPayload)
	parts := strings.Split(good, ".")
	h, p, s := parts[0], parts[1], parts[2]
	cases := []struct {
		name, raw string
		want      Reason
	}{
		{"good", good, ReasonNone},
		{"empty", "", TokenMalformed},
		{"one part", h, TokenMalformed},
		{"two parts", h + "." + p, TokenMalformed},
		{"empty header", "." + p + "." + s, TokenMalformed},
		{"empty payload", h + ".." + s, TokenMalformed},
		{"empty signature", h + "." + p + ".", TokenMalformed},
		{"three dots at the end", good + ".", TokenMalformed},
		{"four parts", good + "." + s, TokenMalformed},
		{"five parts, a JWE", good + "." + s + "." + s, TokenMalformed},
		{"only dots", "..", TokenMalformed},
		{"12000 dots", strings.Repeat(".", 12000), TokenMalformed},
		{"dots behind a token", good + strings.Repeat(".", 12000), TokenMalformed},
		{"flattened JSON serialization", `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`, TokenMalformed},
		{"JSON with dots", `{"a":"."}.{"b":"."}.x`, TokenMalformed},
		{"too long", good + strings.Repeat("A", DefaultMaxLength), TokenTooLong},
		{"a megabyte of dots", strings.Repeat(".", 1<<20), TokenTooLong},
		{"signature longer than any", h + "." + p + "." + strings.Repeat("AAAA", 342), TokenMalformed},
		{"signature as long as the longest", h + "." + p + "." + b64(strings.Repeat("x", 1024)), ReasonNone},
		{"blank before", " " + good, TokenMalformed},
		{"newline behind", good + "\n", TokenMalformed},
		{"NUL", good[:10] + "\x00" + good[11:], TokenMalformed},
		{"not ASCII", good[:10] + "é" + good[12:], TokenMalformed},
		{"token as payload", unsigned(goodHeader, good), ClaimsMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tok, err := Parse(c.raw, 0)
			wantReason(t, err, c.want)
			if (tok == nil) == (c.want == ReasonNone) {
				t.Errorf("token %v", tok)
			}
		})
	}
}

func TestParseMaxLength(t *testing.T) {
	raw := unsigned(goodHeader, goodPayload)
	for _, c := range []struct {
		max  int
		want Reason
	}{{len(raw), ReasonNone}, {len(raw) - 1, TokenTooLong}, {1, TokenTooLong}, {0, ReasonNone}, {-1, ReasonNone}} {
		_, err := Parse(raw, c.max)
		wantReason(t, err, c.want)
	}
}

// TestBase64 changes each of the three parts into other spellings of itself.
// The signature is never looked at: a second spelling must fail as text.
func TestBase64(t *testing.T) {
	// Lengths 1 and 2 modulo 3, so that each part has unused bits to set.
	for _, pad := range []string{"", " "} {
		h, p, s := goodHeader+pad, goodPayload+pad, "signature"+pad
		parts := []string{b64(h), b64(p), b64(s)}
		if _, err := Parse(strings.Join(parts, "."), 0); err != nil {
			t.Fatal(err)
		}
		for i, part := range parts {
			spellings := map[string]string{
				"padded":             part + "=",
				"padded twice":       part + "==",
				"blank":              part[:4] + " " + part[4:],
				"line feed":          part[:4] + "\n" + part[4:],
				"carriage return":    part[:4] + "\r" + part[4:],
				"line feed at end":   part + "\n",
				"CRLF in last group": part[:len(part)-1] + "\r\n" + part[len(part)-1:],
				"percent":            part[:4] + "%41" + part[4:],
				"plus":               part[:4] + "+" + part[5:],
				"slash":              part[:4] + "/" + part[5:],
				"quoted":             `"` + part + `"`,
			}
			if len(part)%4 != 0 {
				last := strings.IndexByte(base64Alphabet, part[len(part)-1])
				spellings["unused bits"] = part[:len(part)-1] + base64Alphabet[last+1:last+2]
			}
			if len(part)%4 == 0 {
				spellings["one character too many"] = part + "A"
			}
			for name, spelling := range spellings {
				t.Run(fmt.Sprintf("part %d %s", i, name), func(t *testing.T) {
					odd := append([]string(nil), parts...)
					odd[i] = spelling
					_, err := Parse(strings.Join(odd, "."), 0)
					wantReason(t, err, TokenMalformed)
				})
			}
		}
	}
}

func TestParseHeader(t *testing.T) {
	deep := func(n int) string {
		return `{"alg":"RS256","x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	cases := []struct {
		name, header string
		want         Reason
	}{
		{"least", `{"alg":"RS256"}`, ReasonNone},
		{"blanks", " {\r\n\t\"alg\" : \"RS256\" } ", ReasonNone},
		{"alg by escapes", `{"\u0061lg":"RS\u0032\u00356"}`, ReasonNone},
		{"unknown members", `{"alg":"RS256","x":1,"exp":[{}],"ALG":"none"}`, ReasonNone},
		{"keys of its own are ignored", `{"alg":"RS256","jwk":{"kty":"oct","k":"AA"},"jku":"https://evil","x5u":7,"x5c":[],"x5t":"","jwks":null}`, ReasonNone},
		{"kid empty", `{"alg":"RS256","kid":""}`, ReasonNone},
		{"cty json", `{"alg":"RS256","cty":"json"}`, ReasonNone},
		{"depth 32", deep(31), ReasonNone},
		{"depth 33", deep(32), HeaderMalformed},

		{"not JSON", `alg`, HeaderMalformed},
		{"array", `["RS256"]`, HeaderMalformed},
		{"string", `"RS256"`, HeaderMalformed},
		{"null", `null`, HeaderMalformed},
		{"byte order mark", "\ufeff" + `{"alg":"RS256"}`, HeaderMalformed},
		{"second object", `{"alg":"RS256"}{"alg":"none"}`, HeaderMalformed},
		{"trailing NUL", `{"alg":"RS256"}` + "\x00", HeaderMalformed},
		{"truncated", `{"alg":"RS256"`, HeaderMalformed},
		{"trailing comma", `{"alg":"RS256",}`, HeaderMalformed},
		{"comment", `{"alg":"RS256"/**/}`, HeaderMalformed},
		{"duplicate alg", `{"alg":"RS256","alg":"RS256"}`, HeaderMalformed},
		{"duplicate alg by escape", `{"alg":"none","\u0061lg":"RS256"}`, HeaderMalformed},
		{"duplicate deep down", `{"alg":"RS256","jwk":{"k":1,"k":2}}`, HeaderMalformed},
		{"invalid UTF-8", "{\"alg\":\"RS256\",\"kid\":\"\xff\"}", HeaderMalformed},
		{"lone surrogate", `{"alg":"RS256","kid":"\ud800"}`, HeaderMalformed},
		{"kid number", `{"alg":"RS256","kid":7}`, HeaderMalformed},
		{"kid null", `{"alg":"RS256","kid":null}`, HeaderMalformed},
		{"kid array", `{"alg":"RS256","kid":["k1"]}`, HeaderMalformed},
		{"typ number", `{"alg":"RS256","typ":1}`, HeaderMalformed},
		{"typ null", `{"alg":"RS256","typ":null}`, HeaderMalformed},
		{"cty null", `{"alg":"RS256","cty":null}`, HeaderMalformed},

		{"crit", `{"alg":"RS256","crit":["exp"],"exp":1}`, HeaderUnsupported},
		{"crit empty", `{"alg":"RS256","crit":[]}`, HeaderUnsupported},
		{"crit null", `{"alg":"RS256","crit":null}`, HeaderUnsupported},
		{"crit by escape", `{"alg":"RS256","cr\u0069t":["x"]}`, HeaderUnsupported},
		{"b64 false", `{"alg":"RS256","b64":false}`, HeaderUnsupported},
		{"b64 false with crit", `{"alg":"RS256","b64":false,"crit":["b64"]}`, HeaderUnsupported},
		{"zip", `{"alg":"RS256","zip":"DEF"}`, HeaderUnsupported},
		{"enc", `{"alg":"RS256","enc":"A256GCM"}`, HeaderUnsupported},
		{"cty JWT", `{"alg":"RS256","cty":"JWT"}`, HeaderUnsupported},
		{"cty in small letters", `{"alg":"RS256","cty":"jwt"}`, HeaderUnsupported},
		{"cty as media type", `{"alg":"RS256","cty":" Application/JWT; x=y"}`, HeaderUnsupported},
		{"cty of a profile", `{"alg":"RS256","cty":"at+jwt"}`, HeaderUnsupported},
		{"cty JOSE", `{"alg":"RS256","cty":"JOSE+JSON"}`, HeaderUnsupported},

		{"alg missing", `{"kid":"k1"}`, AlgNotAllowed},
		{"alg null", `{"alg":null}`, AlgNotAllowed},
		{"alg number", `{"alg":256}`, AlgNotAllowed},
		{"alg array", `{"alg":["RS256"]}`, AlgNotAllowed},
		{"alg object", `{"alg":{"RS256":1}}`, AlgNotAllowed},
		{"alg false", `{"alg":false}`, AlgNotAllowed},
		{"only ALG", `{"ALG":"RS256"}`, AlgNotAllowed},
		{"only a look-alike of alg", `{"al` + "\u0261" + `":"RS256"}`, AlgNotAllowed},
	}
	for _, name := range []string{
		"", "none", "None", "NONE", "nOnE", "none ", " none", "rs256", "RS256 ", " RS256", "RS256\\u0000", "RS-256", "RSA256", "RS1", "HS1",
		"ES256K", "Ed25519", "Ed448", "EDDSA", "eddsa", "RSA-OAEP", "RSA1_5", "dir", "A128KW", "PBES2-HS256+A128KW", "ECDH-ES", "ML-DSA-44",
	} {
		cases = append(cases, struct {
			name, header string
			want         Reason
		}{"alg " + name, `{"alg":"` + name + `"}`, AlgNotAllowed})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(unsigned(c.header, goodPayload), 0)
			wantReason(t, err, c.want)
		})
	}
}

// TestTrapAlgorithmNoneInAnySpelling walks all 16 spellings, with and without a
// signature.
func TestTrapAlgorithmNoneInAnySpelling(t *testing.T) {
	for bits := range 16 {
		name := []byte("none")
		for i := range name {
			if bits>>i&1 == 1 {
				name[i] -= 'a' - 'A'
			}
		}
		header := fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, name)
		_, err := Parse(unsigned(header, goodPayload), 0)
		wantReason(t, err, AlgNotAllowed)
		_, err = Parse(b64(header)+"."+b64(goodPayload)+".", 0)
		wantReason(t, err, TokenMalformed)
	}
}

func TestParseKeyIDIsNotTouched(t *testing.T) {
	for _, kid := range []string{"", " k1", "K1", "../../dev/null", "' OR 1=1", "{env.HOME}", "ключ", "e\u0301", "\u212a", "a\u0000b", "\U0001f600"} {
		tok, err := Parse(unsigned(`{"alg":"ES256","kid":`+string(appendQuoted(nil, kid))+`}`, goodPayload), 0)
		if err != nil || !tok.Header.HasKeyID || tok.Header.KeyID != kid {
			t.Errorf("kid %q: %+v, %v", kid, tok, err)
		}
	}
	tok, err := Parse(unsigned(`{"alg":"ES256"}`, goodPayload), 0)
	if err != nil || tok.Header.HasKeyID || tok.Header.HasType {
		t.Errorf("no kid, no typ: %+v, %v", tok, err)
	}
}

// TestRefusalsAreBounded: what a refusal repeats of a token is short and valid
// UTF-8, however long the token's text was.
func TestRefusalsAreBounded(t *testing.T) {
	for fill := range 4 {
		long := strings.Repeat("x", fill) + strings.Repeat("\U0001f600", 1000)
		for _, raw := range []string{
			unsigned(`{"alg":"`+long+`"}`, goodPayload),
			unsigned(`{"alg":"RS256","cty":"`+long+`+jwt"}`, goodPayload),
			unsigned(goodHeader, `{"iss":"i","exp":1`+strings.Repeat("0", 1000)+`}`),
		} {
			_, err := Parse(raw, 0)
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v", err)
			}
			if n := len(refusal.Got); n > maxQuoted || n < maxQuoted-3 || !utf8.ValidString(refusal.Got) {
				t.Errorf("got %d bytes %q", n, refusal.Got)
			}
			if len(refusal.Want) > 100 || len(refusal.Error()) > 200 {
				t.Errorf("want %q, error %q", refusal.Want, refusal.Error())
			}
		}
	}
}

// FuzzParse: an accepted token encodes to the same bytes again, by another
// encoder; nothing else is a *Refusal with one of the promised reasons.
func FuzzParse(f *testing.F) {
	f.Add(unsigned(goodHeader, goodPayload))
	f.Add(unsigned(`{"alg":"ES512","kid":"\ud83d\ude00"}`, bigPayload))
	f.Add(unsigned(goodHeader, `{"iss":"a","exp":1e9,"aud":"b","x":[[],{},"",null,true,-0.5e-7]}`))
	f.Add("..")
	f.Add("e30.e30.e30")
	allowed := map[Reason]bool{TokenTooLong: true, TokenMalformed: true, HeaderMalformed: true, HeaderUnsupported: true,
		AlgNotAllowed: true, ClaimsMalformed: true, IssuerMissing: true, ExpiryMissing: true}
	f.Fuzz(func(t *testing.T, raw string) {
		tok, err := Parse(raw, 0)
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) || !allowed[refusal.Reason] {
				t.Fatalf("error %T %v", err, err)
			}
			if !utf8.ValidString(refusal.Got) || len(refusal.Got) > maxQuoted {
				t.Fatalf("got %q", refusal.Got)
			}
			return
		}
		header, err := base64.RawURLEncoding.Strict().DecodeString(raw[:strings.IndexByte(raw, '.')])
		if err != nil {
			t.Fatal(err)
		}
		again := b64(string(header)) + "." + b64(tok.Claims.src) + "." + b64(string(tok.Signature()))
		if again != raw {
			t.Fatalf("%q encodes again to %q", raw, again)
		}
		if tok.Header.Algorithm == 0 || tok.Claims.Issuer == "" || !tok.Claims.Expires.Present() {
			t.Fatalf("accepted %+v %+v", tok.Header, tok.Claims)
		}
	})
}

// FuzzBase64: our decoder and encoding/base64 in its strict mode agree, but for
// the line breaks that the latter skips.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "Zm9v", "Zm9vYg", "Zm9vYg=", "Zm\n9v", "-_-_", "+/+/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		dst := make([]byte, decodedLen(len(src)))
		n, bad := decodeBase64(dst, src)
		want, err := base64.RawURLEncoding.Strict().DecodeString(src)
		if strings.ContainsAny(src, "\r\n") {
			if bad < 0 {
				t.Fatalf("%q accepted", src)
			}
			return
		}
		if (bad < 0) != (err == nil) || bad < 0 && string(dst[:n]) != string(want) {
			t.Fatalf("%q: %q bad %d, want %q %v", src, dst[:n], bad, want, err)
		}
		if bad >= len(src) {
			t.Fatalf("%q: bad at %d", src, bad)
		}
	})
}
