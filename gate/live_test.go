package gate

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/token"
)

// live is a gate over a real source that reads a real issuer.
func live(t *testing.T) (iss *issuertest.Issuer, source *jwks.Source, g *Gate, c *clock) {
	t.Helper()
	c = newClock()
	iss = issuertest.New(t, "ES256")
	iss.SetNow(c.now)
	source, err := jwks.New(jwks.Config{Issuer: iss.URL(), MaxStale: jwks.DefaultMaxStale}, jwks.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if set, _ := source.Keys(c.now()); set != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the source never had keys")
		}
	}
	is := Issuer{Name: iss.URL(), Keys: source, Policy: issuerPolicy(t, nil), Digest: digestFor("live")}
	return iss, source, newGate(t, Config{Issuers: []Issuer{is}, Cache: newCache(t), Now: c.now}), c
}

func TestLiveRotationIsAcceptedAtOnce(t *testing.T) {
	iss, _, g, _ := live(t)
	before := iss.Sign(nil)
	expect(t, g, before, token.ReasonNone)
	iss.Rotate()
	fetches := iss.KeyRequests()
	expect(t, g, iss.Sign(nil), token.ReasonNone)
	expect(t, g, before, token.ReasonNone)
	if n := iss.KeyRequests() - fetches; n != 1 {
		t.Errorf("%d fetches for one rotation", n)
	}
}

func TestLiveWithdrawnKeyStopsAtTheNextRefresh(t *testing.T) {
	iss, source, g, _ := live(t)
	before := iss.Sign(nil)
	expect(t, g, before, token.ReasonNone)
	iss.RotateWithdraw()
	expect(t, g, before, token.ReasonNone) // nobody has heard of it yet
	if err := source.RefreshNow(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := decide(t, g, before); got.Code() != token.CodeTokenInvalid {
		t.Errorf("a remembered token of a withdrawn key: %q", got)
	}
	expect(t, g, iss.Sign(nil), token.ReasonNone)
}

func TestLiveFloodOfRandomKids(t *testing.T) {
	iss, _, g, c := live(t)
	good := iss.Sign(nil)
	fetches := iss.KeyRequests()
	for i := range 200 {
		if got := decide(t, g, iss.Sign(nil, issuertest.Kid(fmt.Sprint("random-", i)))); got != token.KidUnknown {
			t.Fatalf("random kid: %q", got)
		}
	}
	if n := iss.KeyRequests() - fetches; n > 1 {
		t.Errorf("%d fetches for 200 random kids", n)
	}
	expect(t, g, good, token.ReasonNone)
	// A real rotation in the middle of the flood waits for the budget, no longer.
	iss.Rotate()
	c.advance(30 * time.Second)
	expect(t, g, iss.Sign(nil), token.ReasonNone)
}

func TestLiveOutageIsNever401(t *testing.T) {
	iss, _, g, _ := live(t)
	good := iss.Sign(nil)
	iss.Rotate()
	rotated := iss.Sign(nil)
	iss.Down()
	for range 3 {
		if got := decide(t, g, rotated); got.Code() != token.CodeKeysUnavailable {
			t.Fatalf("a key that nobody could fetch: %q", got)
		}
		expect(t, g, good, token.ReasonNone)
	}
}
