package caddymodule

import (
	"testing"
)

// TestDefaultIssuerIsTheSameWithAndWithoutABlock compares an issuer named at a
// site with one that has an empty block.
func TestDefaultIssuerIsTheSameWithAndWithoutABlock(t *testing.T) {
	a, gates := load(t, ":8080 {\njwtgate /a {\nissuer https://c.example.test\naudience x\n}\njwtgate /b {\nissuer https://c.example.test {\n}\naudience x\n}\n}\n")
	var digests [][32]byte
	for _, h := range gates {
		trusted, err := h.trusted(a, a.state.lender, h.run.logger)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, trusted[0].digest)
	}
	if len(digests) != 2 || digests[0] != digests[1] {
		t.Errorf("digests %x", digests)
	}
}

// TestDigests makes sure that verdicts are shared where nothing they depend on
// differs, over reloads, too, and nowhere else.
func TestDigests(t *testing.T) {
	digest := func(t *testing.T, lines ...string) [32]byte {
		t.Helper()
		a, gates := load(t, site(lines...))
		trusted, err := gates[0].trusted(a, a.state.lender, gates[0].run.logger)
		if err != nil {
			t.Fatal(err)
		}
		return trusted[0].digest
	}
	block := func(name string, lines ...string) []string {
		return append(append([]string{"issuer " + name + " {", "audience x"}, lines...), "}")
	}
	base := digest(t, block("a", "pem_file testdata/key.pem")...)
	if again := digest(t, block("a", "pem_file testdata/key.pem")...); again != base {
		t.Error("equal configurations differ")
	}
	if other := digest(t, block("a", "pem_file testdata/key.pem", "skew 1s", "require_claims jti")...); other != base {
		t.Error("what no signature depends on changes the digest of the issuer")
	}
	seen := map[[32]byte]string{base: "base"}
	for name, lines := range map[string][]string{
		"name":       block("b", "pem_file testdata/key.pem"),
		"source":     block("a", "jwks_file testdata/keys.json"),
		"algorithms": block("a", "pem_file testdata/key.pem", "algorithms RS256"),
		"secret":     block("a", "pem_file testdata/key.pem", "secret 0123456789abcdef0123456789abcdef"),
		"secret 2":   block("a", "pem_file testdata/key.pem", "secret 0123456789abcdef0123456789abcdeF"),
	} {
		d := digest(t, lines...)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
}

// TestDigestOfAGate changes one thing at a time.
func TestDigestOfAGate(t *testing.T) {
	digest := func(t *testing.T, lines ...string) [32]byte {
		t.Helper()
		a, gates := load(t, site(append([]string{"issuer a {", "pem_file testdata/key.pem", "audience x y", "}"}, lines...)...))
		h := gates[0]
		settings, err := h.settings()
		if err != nil {
			t.Fatal(err)
		}
		run := *h.run
		if err := h.guard(&run, settings, nil, a.state.lender, run.logger); err != nil {
			t.Fatal(err)
		}
		return digestOf(settings)
	}
	if first, again := digest(t), digest(t); first != again {
		t.Error("equal gates differ")
	}
	seen := map[[32]byte]string{digest(t): "nothing"}
	for _, lines := range []string{
		"audience x", "require scope a", "require all scope a", "require claim a", "require claim a b", "require expr `true`",
		"forward {\nX-A sub\n}", "forward {\nX-B sub\n}", "forward {\nX-A sub json\n}", "forward {\nX-A a join ,\n}", "forward {\nX-A a join ;\n}",
		"max_token 1KiB", "max_header 1KiB", "max_header 1KiB refuse",
	} {
		d := digest(t, lines)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have one digest", lines, other)
		}
		seen[d] = lines
	}
}
