package token

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	const far, past = maxSeconds, minSeconds
	cases := []struct {
		literal        string
		seconds        int64
		nanos          int32
		upSeconds      int64
		upNanos        int32
		nanosSinceZero int64
	}{
		{"0", 0, 0, 0, 0, 0},
		{"-0", 0, 0, 0, 0, 0},
		{"0.0e99", 0, 0, 0, 0, 0},
		{"1700000000", 1700000000, 0, 1700000000, 0, 1700000000e9},
		{"1700000000.5", 1700000000, 5e8, 1700000000, 5e8, 17000000005e8},
		{"1.7e9", 1700000000, 0, 1700000000, 0, 1700000000e9},
		{"17E+8", 1700000000, 0, 1700000000, 0, 1700000000e9},
		{"17000000000000000000e-10", 1700000000, 0, 1700000000, 0, 1700000000e9},
		{"0.0000000017e18", 1700000000, 0, 1700000000, 0, 1700000000e9},
		{"0.5", 0, 5e8, 0, 5e8, 5e8},
		{"-0.5", -1, 5e8, -1, 5e8, -5e8},
		{"-1.25", -2, 75e7, -2, 75e7, -125e7},
		{"1.0000000001", 1, 0, 1, 1, 1e9},
		{"1.9999999999", 1, 999999999, 2, 0, 1999999999},
		{"-1.0000000001", -2, 999999999, -1, 0, -1000000001},
		{"1e-9", 0, 1, 0, 1, 1},
		{"1e-10", 0, 0, 0, 1, 0},
		{"-1e-10", -1, 999999999, 0, 0, -1},
		{"1e-400", 0, 0, 0, 1, 0},
		{"-1e-400", -1, 999999999, 0, 0, -1},
		{"253402300799", 253402300799, 0, 253402300799, 0, math.MaxInt64},
		{"253402300799.9999999999", 253402300799, 999999999, far, 0, math.MaxInt64},
		{"253402300800", far, 0, far, 0, math.MaxInt64},
		{"9007199254740993", far, 0, far, 0, math.MaxInt64},
		{"9223372036854775807", far, 0, far, 0, math.MaxInt64},
		{"9223372036854775808", far, 0, far, 0, math.MaxInt64},
		{"18446744073709551616", far, 0, far, 0, math.MaxInt64},
		{"1e19", far, 0, far, 0, math.MaxInt64},
		{"1e300", far, 0, far, 0, math.MaxInt64},
		{"1e400", far, 0, far, 0, math.MaxInt64},
		{"1e99999999999999999999999999", far, 0, far, 0, math.MaxInt64},
		{"1e-99999999999999999999999999", 0, 0, 0, 1, 0},
		{"-9223372036854775808", past, 0, past, 0, math.MinInt64 + 1},
		{"-1e300", past, 0, past, 0, math.MinInt64 + 1},
		{"9223372036", 9223372036, 0, 9223372036, 0, math.MaxInt64},
		{"9223372035.999999999", 9223372035, 999999999, 9223372035, 999999999, 9223372035999999999},
		{"-9223372036", -9223372036, 0, -9223372036, 0, math.MinInt64 + 1},
	}
	for _, c := range cases {
		d, up := parseDate(c.literal, false), parseDate(c.literal, true)
		if s, n := d.Unix(); s != c.seconds || n != c.nanos || !d.Present() {
			t.Errorf("%s down: %d %d, want %d %d", c.literal, s, n, c.seconds, c.nanos)
		}
		if s, n := up.Unix(); s != c.upSeconds || n != c.upNanos || !up.Present() {
			t.Errorf("%s up: %d %d, want %d %d", c.literal, s, n, c.upSeconds, c.upNanos)
		}
		if n := d.UnixNano(); n != c.nanosSinceZero {
			t.Errorf("%s down: %d ns, want %d", c.literal, n, c.nanosSinceZero)
		}
		if n := up.UnixNano(); n != c.nanosSinceZero {
			t.Errorf("%s up: %d ns, want %d", c.literal, n, c.nanosSinceZero)
		}
	}
}

func TestNumericDateTime(t *testing.T) {
	if got, want := parseDate("1700000000.25", false).Time(), time.Date(2023, 11, 14, 22, 13, 20, 25e7, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("%v, want %v", got, want)
	}
	if !(NumericDate{}).Time().IsZero() || (NumericDate{}).Present() || (NumericDate{}).UnixNano() != 0 {
		t.Error("the zero date is not absent")
	}
	for _, literal := range []string{"0", "-1e300", "-62135596800"} {
		if parseDate(literal, false).Time().IsZero() {
			t.Errorf("%s looks absent", literal)
		}
	}
}

// TestClaimsRoundAgainstTheToken: exp loses what is finer than a nanosecond,
// nbf and iat gain it, a cutoff sees iat without it.
func TestClaimsRoundAgainstTheToken(t *testing.T) {
	c, err := ParseClaims(`{"iss":"i","exp":1.9999999999,"nbf":1.0000000001,"iat":2.0000000001}`)
	if err != nil {
		t.Fatal(err)
	}
	if s, n := c.Expires.Unix(); s != 1 || n != 999999999 {
		t.Errorf("exp %d %d", s, n)
	}
	if s, n := c.NotBefore.Unix(); s != 1 || n != 1 {
		t.Errorf("nbf %d %d", s, n)
	}
	if s, n := c.IssuedAt.Unix(); s != 2 || n != 1 {
		t.Errorf("iat %d %d", s, n)
	}
	if n := c.IssuedAt.UnixNano(); n != 2e9 {
		t.Errorf("iat for a cutoff %d", n)
	}
}

// TestParseDateIsBounded: digits and exponents of any length cost one pass.
func TestParseDateIsBounded(t *testing.T) {
	zeros := strings.Repeat("0", 1<<20)
	for literal, want := range map[string]int64{
		"0." + zeros + "17e" + "1048586": 17e8,
		"17" + zeros + "e-1048568":       17e8,
		"1e1" + zeros:                    maxSeconds,
		"1e-1" + zeros:                   0,
		"1." + zeros + "1":               1,
	} {
		start := time.Now()
		if s, _ := parseDate(literal, false).Unix(); s != want {
			t.Errorf("%.20s...: %d, want %d", literal, s, want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.20s...: %v", literal, took)
		}
	}
}

var numberLiteral = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)

// FuzzParseDate compares with exact rational arithmetic.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"0", "-0.5", "1700000000.123456789123", "1e9", "17e-1", "253402300799.99999999999", "-62135510400.5", "1e-12", "123456789012345e-5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, literal string) {
		if len(literal) > 100 || !numberLiteral.MatchString(literal) {
			return
		}
		exact, ok := new(big.Rat).SetString(literal)
		if !ok {
			t.Fatalf("%s is no number", literal)
		}
		exact.Mul(exact, big.NewRat(1e9, 1))
		floor := new(big.Int).Div(exact.Num(), exact.Denom()) // Euclidean: down, for a positive divisor
		for _, up := range []bool{false, true} {
			want := new(big.Int).Set(floor)
			if up && !exact.IsInt() {
				want.Add(want, big.NewInt(1))
			}
			low, high := new(big.Int).Mul(big.NewInt(minSeconds), big.NewInt(1e9)), new(big.Int).Mul(big.NewInt(maxSeconds), big.NewInt(1e9))
			if want.Cmp(low) < 0 {
				want = low
			} else if want.Cmp(high) > 0 {
				want = high
			}
			s, n := parseDate(literal, up).Unix()
			got := new(big.Int).Mul(big.NewInt(s), big.NewInt(1e9))
			got.Add(got, big.NewInt(int64(n)))
			if got.Cmp(want) != 0 || n < 0 || n > 999999999 {
				t.Fatalf("%s up %v: %d s %d ns, want %v ns", literal, up, s, n, want)
			}
		}
	})
}
