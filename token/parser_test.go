package token

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestDetachedSurvivesItsParser: another token through the same Parser changes
// nothing of what was kept of the first.
func TestDetachedSurvivesItsParser(t *testing.T) {
	p := new(Parser)
	first, err := p.Parse(mint(t, HS256, `{"alg":"HS256","kid":"first"}`, goodPayload), 0)
	if err != nil {
		t.Fatal(err)
	}
	kept := first.Detach()
	issuer, input := first.Claims.Issuer, first.SigningInput()
	if _, err := p.Parse(unsigned(`{"alg":"ES512","kid":"other"}`, bigPayload), 0); err != nil {
		t.Fatal(err)
	}
	p.reset()
	if kept.Header.KeyID != "first" || kept.Claims.Subject != "alice" || fmt.Sprint(kept.Claims.Audience) != "[api web]" {
		t.Errorf("kept %+v %+v", kept.Header, kept.Claims)
	}
	if got := string(kept.Claims.Root().AppendJSON(nil)); got != goodPayload {
		t.Errorf("kept %s", got)
	}
	if issuer != "https://id.example.com" || kept.SigningInput() != input {
		t.Errorf("strings changed: %q", issuer)
	}
	if kept.Signature() != nil {
		t.Error("a detached token has a signature")
	}
	if err := Verify(HS256, secret, kept.SigningInput(), kept.Signature()); err == nil {
		t.Error("a detached token verifies again")
	}
}

// TestReleasedTokenIsEmpty: who uses a token after its Parser's release finds
// nobody's claims rather than somebody else's.
func TestReleasedTokenIsEmpty(t *testing.T) {
	p := new(Parser)
	tok, err := p.Parse(unsigned(goodHeader, goodPayload), 0)
	if err != nil {
		t.Fatal(err)
	}
	claims := tok.Claims
	p.reset()
	if claims.Subject != "" || claims.Expires.Present() || claims.Root().Kind() != Missing || tok.SigningInput() != "" || tok.Header != (Header{}) {
		t.Errorf("released token %+v %+v", tok, claims)
	}
}

// TestRefusedTokenLeavesNothing: what a refused token said is not seen by the
// next one through the same Parser.
func TestRefusedTokenLeavesNothing(t *testing.T) {
	p := new(Parser)
	for _, bad := range []string{
		unsigned(goodHeader, `{"iss":"evil","sub":"mallory","aud":["x","y"],"jti":"1","nbf":9,"iat":9,"azp":"z","exp":"no"}`),
		unsigned(`{"kid":"evil","typ":"evil","alg":"none"}`, goodPayload),
		unsigned(goodHeader, goodPayload)[:60] + "!",
	} {
		if _, err := p.Parse(bad, 0); err == nil {
			t.Fatal("accepted")
		}
		tok, err := p.Parse(unsigned(`{"alg":"EdDSA"}`, `{"iss":"i","exp":1}`), 0)
		if err != nil {
			t.Fatal(err)
		}
		c := tok.Claims
		if c.Subject != "" || c.ID != "" || c.ClientID != "" || len(c.Audience) != 0 || c.NotBefore.Present() || c.IssuedAt.Present() ||
			tok.Header.HasKeyID || tok.Header.HasType || c.Root().Len() != 2 {
			t.Errorf("left behind: %+v %+v", tok.Header, c)
		}
	}
}

// TestPoolKeepsNoGiants: a Parser that a huge token has grown is dropped.
func TestPoolKeepsNoGiants(t *testing.T) {
	p := new(Parser)
	huge := unsigned(goodHeader, `{"iss":"i","exp":1,"x":[`+strings.Repeat("0,", 100000)+`0]}`)
	if _, err := p.Parse(huge, 1<<20); err != nil {
		t.Fatal(err)
	}
	p.Release()
	if got := Acquire(); got == p {
		t.Errorf("%d bytes and %d nodes stay in the pool", cap(p.text), cap(p.scan.nodes))
	}
}

func TestParseConcurrently(t *testing.T) {
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, unsigned(goodHeader, fmt.Sprintf(`{"iss":"i","exp":1,"sub":"%d","list":[%s0]}`, i, strings.Repeat("1,", i*20))))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var kept []*Token
			for i := range 200 {
				p := Acquire()
				tok, err := p.Parse(tokens[i%8], 0)
				if err != nil {
					t.Error(err)
					return
				}
				kept = append(kept, tok.Detach())
				p.Release()
			}
			for i, tok := range kept {
				if tok.Claims.Subject != fmt.Sprint(i%8) || tok.Claims.Get(must(ParsePath("list"))).Len() != i%8*20+1 {
					t.Errorf("token %d is %s's", i, tok.Claims.Subject)
				}
			}
		})
	}
	wg.Wait()
}

// TestRefusalIsCheap bounds what a token allocates that never gets as far as a
// signature check.
func TestRefusalIsCheap(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes the pool forget")
	}
	good := mint(t, RS256, bigHeader, bigPayload)
	cases := map[string]string{
		"a megabyte of dots":  strings.Repeat(".", 1<<20),
		"expired or unknown":  good,
		"signature not text":  good[:len(good)-1] + "=",
		"text behind":         unsigned(bigHeader, bigPayload+"x"),
		"duplicate":           unsigned(bigHeader, bigPayload[:len(bigPayload)-1]+`,"iss":"x"}`),
		"unknown alg":         unsigned(strings.Replace(bigHeader, "RS256", "none", 1), bigPayload),
		"crit":                unsigned(`{"alg":"RS256","crit":["x"]}`, bigPayload),
		"wrong type of claim": unsigned(bigHeader, strings.Replace(bigPayload, "2000000000", `"2000000000"`, 1)),
	}
	for name, raw := range cases {
		const runs = 1000
		refuse := func() {
			p := Acquire()
			defer p.Release()
			tok, err := p.Parse(raw, 0)
			if err == nil {
				// What a caller does that finds it expired or of no issuer.
				err = Refuse(IssuerUnknown, "a configured issuer", clip(tok.Claims.Issuer))
			}
			sink = err
		}
		refuse()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			refuse()
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / runs; n >= 1024 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

var sink error
