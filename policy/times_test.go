package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// clock is the time at which tests judge, half a second after a full one.
var clock = time.Unix(1_700_000_000, 500_000_000)

func mustIssuer(t testing.TB, cfg IssuerConfig) *Issuer {
	t.Helper()
	if len(cfg.Audience) == 0 {
		cfg.AnyAudience = true
	}
	p, err := NewIssuer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTimes(t *testing.T) {
	skewed := IssuerConfig{Skew: 30 * time.Second}
	aged := IssuerConfig{Skew: 30 * time.Second, MaxAge: time.Hour}
	lived := IssuerConfig{Skew: 30 * time.Second, MaxLifetime: 24 * time.Hour}
	// Offsets are from the clock, in seconds and as JSON would have them.
	at := func(seconds float64) string {
		return fmt.Sprintf("%.1f", float64(clock.Unix())+0.5+seconds)
	}
	tests := []struct {
		name    string
		cfg     IssuerConfig
		claims  string
		grace   time.Duration
		reason  token.Reason
		seconds int64
	}{
		{"exp a tenth before exp+skew", skewed, `"exp":` + at(-29.9), 0, token.ReasonNone, 0},
		{"exp at exp+skew", skewed, `"exp":` + at(-30), 0, token.Expired, 30},
		{"exp a fraction past is not rounded in its favour", skewed, `"exp":` + at(-30.5), 0, token.Expired, 30},
		{"exp with skew zero, now", IssuerConfig{}, `"exp":` + at(0), 0, token.Expired, 0},
		{"exp with skew zero, a tenth ahead", IssuerConfig{}, `"exp":` + at(0.1), 0, token.ReasonNone, 0},
		{"exp zero is long past and not absent", skewed, `"exp":0`, 0, token.Expired, clock.Unix()},
		{"exp minus zero", skewed, `"exp":-0`, 0, token.Expired, clock.Unix()},
		{"exp a half", skewed, `"exp":0.5`, 0, token.Expired, clock.Unix()},
		{"exp far negative", skewed, `"exp":-9223372036854775808`, 0, token.Expired, clock.Unix() + 62135510400},
		{"exp with an exponent", skewed, `"exp":1.8e9`, 0, token.ReasonNone, 0},
		{"grace a tenth before its end", skewed, `"exp":` + at(-629.9), 10 * time.Minute, token.ReasonNone, 0},
		{"grace at its end", skewed, `"exp":` + at(-630), 10 * time.Minute, token.Expired, 630},
		{"negative grace takes nothing away", skewed, `"exp":` + at(-29), -time.Hour, token.ReasonNone, 0},
		{"largest grace", skewed, `"exp":1`, 1<<63 - 1, token.ReasonNone, 0},

		{"nbf at nbf-skew", skewed, `"nbf":` + at(30), 0, token.ReasonNone, 0},
		{"nbf a tenth more", skewed, `"nbf":` + at(30.1), 0, token.NotBeforeAhead, 1},
		{"nbf 31 ahead", skewed, `"nbf":` + at(31), 0, token.NotBeforeAhead, 1},
		{"nbf an hour ahead", skewed, `"nbf":` + at(3600), 0, token.NotBeforeAhead, 3570},
		{"nbf 1e300", skewed, `"nbf":1e300`, 0, token.NotBeforeAhead, 253402300800 - clock.Unix() - 30},
		{"nbf 2^64", skewed, `"nbf":18446744073709551616`, 0, token.NotBeforeAhead, 253402300800 - clock.Unix() - 30},
		{"grace does not reach nbf", skewed, `"nbf":` + at(31), time.Hour, token.NotBeforeAhead, 1},

		{"iat at now+skew", skewed, `"iat":` + at(30), 0, token.ReasonNone, 0},
		{"iat beyond", skewed, `"iat":` + at(32.4), 0, token.IssuedAtAhead, 3},
		{"iat 2^63-1", skewed, `"iat":9223372036854775807`, 0, token.IssuedAtAhead, 253402300800 - clock.Unix() - 30},
		{"iat long past", skewed, `"iat":0`, 0, token.ReasonNone, 0},
		{"iat missing", skewed, ``, 0, token.ReasonNone, 0},

		{"age at max_age+skew", aged, `"iat":` + at(-3630), 0, token.ReasonNone, 0},
		{"age beyond", aged, `"iat":` + at(-3630.1), 0, token.TooOld, 30},
		{"age without iat", aged, ``, 0, token.ClaimMissing, 0},
		{"age under grace", aged, `"iat":` + at(-4200), 10 * time.Minute, token.ReasonNone, 0},
		{"age beyond grace", aged, `"iat":` + at(-4231), 10 * time.Minute, token.TooOld, 631},
		{"iat ahead comes before age", aged, `"iat":` + at(90), 0, token.IssuedAtAhead, 60},

		{"lifetime at its end", lived, `"exp":` + at(86430), 0, token.ReasonNone, 0},
		{"lifetime beyond", lived, `"exp":` + at(86430.1), 0, token.LifetimeExceeded, 1},
		{"lifetime of centuries", lived, `"exp":253402300799`, 0, token.LifetimeExceeded, 253402300799 - clock.Unix() - 86430},
		{"expired comes first", aged, `"exp":` + at(-100) + `,"nbf":` + at(1e6), 0, token.Expired, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := claimsOf(t, tt.claims)
			r := wantReason(t, mustIssuer(t, tt.cfg).Times(clock, c, tt.grace), tt.reason)
			if r != nil && r.Seconds != tt.seconds {
				t.Errorf("missed by %d s, want %d", r.Seconds, tt.seconds)
			}
		})
	}
}

func TestExpiredLooksAtExpAlone(t *testing.T) {
	p := mustIssuer(t, IssuerConfig{Skew: time.Minute, MaxAge: time.Minute, MaxLifetime: time.Minute})
	c := claimsOf(t, `"nbf":9e9,"iat":9e9,"exp":9e9`)
	wantReason(t, p.Expired(clock, c, 0), token.ReasonNone)
	wantReason(t, p.Expired(clock, claimsOf(t, `"exp":1`), 0), token.Expired)
}

func TestTrapExpOptional(t *testing.T) {
	// No parser lets such claims through; the check does not depend on that.
	p := mustIssuer(t, IssuerConfig{})
	wantReason(t, p.Times(clock, &token.Claims{}, 0), token.ExpiryMissing)
	wantReason(t, p.Expired(clock, &token.Claims{}, time.Hour), token.ExpiryMissing)
}

func TestTrapOfflineLogoutRefusedForAge(t *testing.T) {
	// A logout that was queued offline carries a token past exp and past
	// max_age: allow_expired has to lift both.
	p := mustIssuer(t, IssuerConfig{Skew: 30 * time.Second, MaxAge: 24 * time.Hour})
	c := claimsOf(t, fmt.Sprintf(`"iat":%d,"exp":%d`, clock.Unix()-20*86400, clock.Unix()-20*86400+900))
	wantReason(t, p.Times(clock, c, 0), token.Expired)
	wantReason(t, p.Times(clock, c, 720*time.Hour), token.ReasonNone)
}

func TestTimesAllocateNothing(t *testing.T) {
	p, c := benchTimes(t)
	if n := testing.AllocsPerRun(100, func() {
		if p.Times(clock, c, 0) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzTimes compares with arithmetic on time.Time, whose range holds every date
// that a parser lets through.
func FuzzTimes(f *testing.F) {
	f.Add(int64(1_700_000_000), int64(0), int64(1_700_000_000), int64(30), int64(0))
	f.Add(int64(-62135510400), int64(1), int64(253402300799), int64(300), int64(720))
	f.Fuzz(func(t *testing.T, exp, nbf, iat, skew, age int64) {
		const limit = 253402300799
		for _, v := range []int64{exp, nbf, iat} {
			if v > limit || v < -62135510400 {
				t.Skip()
			}
		}
		skew, age = abs(skew)%301, abs(age)%1_000_000
		p := mustIssuer(t, IssuerConfig{Skew: time.Duration(skew) * time.Second, MaxAge: time.Duration(age) * time.Second})
		c := claimsOf(t, fmt.Sprintf(`"exp":%d,"nbf":%d,"iat":%d`, exp, nbf, iat))
		s := time.Duration(skew) * time.Second
		want := token.ReasonNone
		switch {
		case !clock.Before(time.Unix(exp, 0).Add(s)):
			want = token.Expired
		case clock.Before(time.Unix(nbf, 0).Add(-s)):
			want = token.NotBeforeAhead
		case clock.Before(time.Unix(iat, 0).Add(-s)):
			want = token.IssuedAtAhead
		case age > 0 && clock.After(time.Unix(iat, 0).Add(time.Duration(age)*time.Second).Add(s)):
			want = token.TooOld
		}
		wantReason(t, p.Times(clock, c, 0), want)
	})
}

func abs(v int64) int64 {
	if v < 0 {
		v = -(v + 1)
	}
	return v
}

func benchTimes(t testing.TB) (*Issuer, *token.Claims) {
	p := mustIssuer(t, IssuerConfig{Skew: 30 * time.Second, MaxAge: time.Hour, MaxLifetime: time.Hour})
	return p, claimsOf(t, fmt.Sprintf(`"iat":%d,"nbf":%d`, clock.Unix(), clock.Unix()))
}

func BenchmarkTimes(b *testing.B) {
	p, c := benchTimes(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Times(clock, c, 0); err != nil {
			b.Fatal(err)
		}
	}
}
