package caddymodule_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAttackCorpus sends several hundred generated requests to a real Caddy with
// a gate per path prefix, all of the same issuer with different blocks. Each
// says that it is accepted, and what the backend gets, or for which reason it is
// refused; then docs/mobile.md says what the client must hear.
func TestAttackCorpus(t *testing.T) {
	start := time.Now()
	l := newLab(t)
	t.Logf("ready after %s", time.Since(start).Round(time.Millisecond))
	for _, class := range []struct {
		name    string
		attacks func() []attack
	}{
		{"authorization", l.authorization}, {"places", l.places}, {"methods", l.methods}, {"structure", l.structure}, {"base64url", l.base64url}, {"names", l.names},
		{"algorithms", l.algorithms}, {"confusion", l.confusion}, {"parameters", l.parameters}, {"signatures", l.signatures}, {"times", l.times}, {"identity", l.identity},
		{"kinds", l.kinds}, {"rules", l.rules}, {"keysets", l.keySetCases}, {"forwarding", l.forwarding}, {"spoofed", l.spoofed},
		{"remembered", l.remembered},
	} {
		began := time.Now()
		attacks := class.attacks()
		l.count += len(attacks)
		l.run(t, class.name, attacks)
		t.Logf("%s: %d cases in %s", class.name, len(attacks), time.Since(began).Round(time.Millisecond))
	}
	t.Run("differential", l.differential)
	t.Run("http2", l.http2)
	t.Run("frames", l.frames)
	t.Run("expiry", l.expiry)
	t.Run("nobody was called", func(t *testing.T) {
		if n := l.canary.visits.Load(); n > 0 {
			t.Errorf("%d visits to addresses in tokens", n)
		}
		// With and without a secret there are two sources of the issuer's keys. Each
		// fetches at first, for an unknown key, and then once each 30 s.
		if n, most := l.issuer.KeyRequests(), 2*(2+int(time.Since(start)/(30*time.Second))); n > most {
			t.Errorf("%d fetches of the keys, want at most %d", n, most)
		}
	})
	t.Run("no token in the log", l.secrecy)
	t.Logf("%d cases, %d fetches, %s", l.count, l.issuer.KeyRequests(), time.Since(start).Round(time.Millisecond))
}

var encoded = regexp.MustCompile(`[A-Za-z0-9_-]{40,}`)

// secrecy finds parts of tokens in the log (conformance 19.3). What Caddy's
// proxy logs at DEBUG is the request that it sends, all headers but
// Authorization: there are the claims, if they are forwarded so, and whatever
// the client put where nobody looks for a token; but never a signature of a
// token that we took from the place of tokens.
func (l *lab) secrecy(t *testing.T) {
	text, err := os.ReadFile(l.log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "request refused") {
		t.Error("the log has no refusal: DEBUG is not on")
	}
	const ours, proxied = 1, 2
	parts := map[string]int{}
	for _, tok := range l.minted {
		for i, part := range strings.Split(tok, ".") {
			if len(part) >= 40 {
				parts[part] = ours
				if i == 2 {
					parts[part] = proxied
				}
			}
		}
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		least := ours
		if strings.Contains(line, "http.handlers.reverse_proxy") {
			if least = proxied; strings.Contains(line, `"uri":"/main/x?access_token=`) || strings.Contains(line, `"uri":"/header/x"`) {
				continue
			}
		}
		for _, part := range encoded.FindAllString(line, -1) {
			if parts[part] >= least && found < 5 {
				found++
				t.Errorf("the log has %.20s... of a token: %.600s", part, line)
			}
		}
	}
}

// http2 repeats over HTTP/2 what can be said there.
func (l *lab) http2(t *testing.T) {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	n := 0
	for _, attacks := range [][]attack{l.authorization(), l.places(), l.methods(), l.spoofed()} {
		for _, a := range attacks {
			request, ok := l.over2(a)
			if !ok {
				continue
			}
			n++
			t.Run(a.gate+"/"+a.name, func(t *testing.T) {
				before, _ := l.backend.since(0)
				got := l.exchange2(t, client, request)
				got.hits, got.seen = l.backend.since(before)
				if a.want.reasons != nil {
					l.checkRefusal(t, a, got)
				} else {
					l.checkAccepted(t, a, got)
				}
				if a.want.also != nil && !t.Failed() {
					a.want.also(t, got)
				}
			})
		}
	}
	if n < 200 {
		t.Errorf("only %d cases", n)
	}
}
