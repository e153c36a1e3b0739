package jwks

import (
	"testing"

	"github.com/jwtgate/jwtgate/token"
)

func ids(ks []*Key) string {
	s := ""
	for _, k := range ks {
		id := k.id
		if k.kty == "oct" {
			id = "secret"
		}
		s += id + " "
	}
	return s
}

func TestCandidates(t *testing.T) {
	secret := newSecretKey(make([]byte, 48))
	mixed := func() *Set {
		return newSet(parse(t, keySet(rsaJWKObject("a"), ecJWKObject("a"), rsaJWKObject("b"), ecFresh("dup"), ecFresh("dup"), ecFresh(""))).keys, secret, false)
	}()
	tests := []struct {
		name   string
		set    *Set
		alg    token.Algorithm
		kid    string
		hasKid bool
		want   string
	}{
		{"by kid and type: rsa", mixed, token.PS256, "a", true, "a "},
		{"by kid and type: ec", mixed, token.ES256, "a", true, "a "},
		{"duplicate kid: both", mixed, token.ES256, "dup", true, "dup dup "},
		{"kid that is there, algorithm that is not", mixed, token.EdDSA, "a", true, ""},
		{"unknown kid", mixed, token.RS256, "c", true, ""},
		{"kid of another case", mixed, token.RS256, "A", true, ""},
		{"empty kid", mixed, token.ES256, "", true, ""},
		{"no kid: all that fit", mixed, token.RS256, "", false, "a b "},
		{"no kid: at most four", mixed, token.ES256, "", false, "a dup dup  "},
		{"kid ignored when there is none", mixed, token.RS256, "zzz", false, "a b "},
		{"hmac is the secret's", mixed, token.HS256, "", false, "secret "},
		{"hmac with any kid", mixed, token.HS384, "a", true, "secret "},
		{"hmac longer than the secret", mixed, token.HS512, "a", true, ""},
		{"no algorithm", mixed, 0, "a", true, ""},
		{"algorithm beyond the list", mixed, 200, "a", true, ""},
		{"nil set", nil, token.RS256, "a", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ids(tt.set.Candidates(tt.alg, tt.kid, tt.hasKid)); got != tt.want {
				t.Errorf("candidates %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCandidatesAreBoundedInEveryWay(t *testing.T) {
	var same, none []object
	for range 20 {
		same, none = append(same, ecFresh("same")), append(none, ecFresh(""))
	}
	for name, set := range map[string]*Set{"same kid": setOf(t, same...), "no kid": setOf(t, none...)} {
		for _, hasKid := range []bool{true, false} {
			if got := len(set.Candidates(token.ES256, "same", hasKid)); got != maxCandidates {
				t.Errorf("%s, token with kid %t: %d candidates", name, hasKid, got)
			}
		}
	}
}

func TestSetWithoutKids(t *testing.T) {
	set := setOf(t, rsaJWKObject(""), ecJWKObject(""), publicJWK(&rsaOther().PublicKey))
	thumb := set.keys[2].thumb
	if got := set.Candidates(token.RS256, thumb, true); len(got) != 1 || got[0] != set.keys[2] {
		t.Errorf("thumbprint selects %d keys", len(got))
	}
	if got := set.Candidates(token.ES256, thumb, true); len(got) != 0 {
		t.Errorf("thumbprint of an RSA key selects %d EC keys", len(got))
	}
	if got := set.Candidates(token.RS256, "1", true); len(got) != 2 {
		t.Errorf("another kid selects %d keys, want both that fit", len(got))
	}
	if !set.HasKid("1") || !set.HasKid(thumb) {
		t.Error("a set without kids answers to all of them")
	}
	// A kid anywhere in the set ends this.
	set = setOf(t, rsaJWKObject("a"), publicJWK(&rsaOther().PublicKey))
	if got := set.Candidates(token.RS256, set.keys[1].thumb, true); len(got) != 0 || set.HasKid(set.keys[1].thumb) {
		t.Errorf("thumbprint selects %d keys of a set with kids", len(got))
	}
}

func TestHasKid(t *testing.T) {
	secret := newSecretKey(make([]byte, 32))
	keys := parse(t, keySet(rsaJWKObject("a"))).keys
	pem := parse(t, keySet(rsaJWKObject(""))).keys
	pem[0].anyID = true
	tests := []struct {
		name string
		set  *Set
		kid  string
		want bool
	}{
		{"there", newSet(keys, secret, false), "a", true},
		{"not there, though a secret is", newSet(keys, secret, false), "b", false},
		{"secret alone", newSet(nil, secret, true), "b", true},
		{"secret of an issuer whose keys are not there", newSet(nil, secret, false), "b", false},
		{"pem file", newSet(pem, nil, false), "b", true},
		{"nil", nil, "b", false},
	}
	for _, tt := range tests {
		if got := tt.set.HasKid(tt.kid); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	if got := newSet(pem, nil, false).Candidates(token.RS256, "b", true); len(got) != 1 {
		t.Errorf("a PEM key answers to any kid; %d candidates", len(got))
	}
}

func TestHas(t *testing.T) {
	a, other := rsaJWKObject("a"), publicJWK(&rsaOther().PublicKey)
	set := setOf(t, a)
	k := set.keys[0]
	tests := []struct {
		name string
		set  *Set
		want bool
	}{
		{"the same set", set, true},
		{"identical in another set", setOf(t, ecJWKObject("e"), a), true},
		{"with use and x5c", setOf(t, a.with(object{"use": "sig", "x5c": []string{"x"}})), true},
		{"withdrawn", setOf(t, ecJWKObject("e")), false},
		{"other material under the kid", setOf(t, other.with(object{"kid": "a"})), false},
		{"same material under another kid", setOf(t, a.with(object{"kid": "b"})), false},
		{"other permitted use", setOf(t, a.with(object{"alg": "PS256"})), false},
		{"nil set", nil, false},
	}
	for _, tt := range tests {
		if got := tt.set.Has(k); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
	if set.Has(nil) {
		t.Error("set has the nil key")
	}
}

func TestCandidatesCannotBeAppendedTo(t *testing.T) {
	set := setOf(t, rsaJWKObject("a"), rsaJWKObject("b"))
	got := set.Candidates(token.RS256, "a", true)
	if cap(got) != len(got) {
		t.Errorf("%d candidates with room for %d", len(got), cap(got))
	}
}

// The hot path allocates nothing.
func TestNoAllocations(t *testing.T) {
	s := start(t, Config{Issuer: "i", JWKSFile: write(t, "keys.json", keySet(rsaJWKObject("a"), ecJWKObject("b")))}, Options{})
	now := s.now()
	if n := testing.AllocsPerRun(100, func() {
		set, _ := s.Keys(now)
		k := set.Candidates(token.ES256, "b", true)[0]
		if !set.Has(k) || !set.HasKid("b") {
			t.Error("key is not there")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
