package caddymodule

import (
	"net/http"
	"testing"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/internal/issuertest"
	"github.com/jwtgate/jwtgate/token"
)

// TestServingAllocatesLittle holds what the handler adds to a request: its
// state, the placeholders' provider and Caddy's list of them, the values of the
// forwarded headers; on a refusal, the refusal and the answer.
func TestServingAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, c := range map[string]struct {
		auth func(*issuertest.Issuer) string
		want token.Reason
		most float64
	}{
		"warm":    {good, token.ReasonNone, 4},
		"missing": {func(*issuertest.Issuer) string { return "" }, token.TokenMissing, 5},
		"expired": {func(i *issuertest.Issuer) string { return "Bearer " + i.Sign(map[string]any{"exp": 1000000000}) }, token.Expired, 10},
		"rubbish": {func(*issuertest.Issuer) string { return "Bearer abc.def.ghi" }, token.HeaderMalformed, 9},
	} {
		t.Run(name, func(t *testing.T) {
			h, fresh := settled(t, c.auth, c.want)
			w := &nullWriter{http.Header{}}
			making := testing.AllocsPerRun(1000, func() { fresh() })
			all := testing.AllocsPerRun(1000, func() {
				clear(w.h)
				_ = h.ServeHTTP(w, fresh(), pass)
			})
			if got := all - making; got > c.most {
				t.Errorf("%v allocations, want at most %v", got, c.most)
			} else {
				t.Logf("%v allocations", got)
			}
		})
	}
}

// TestForwardingAllocatesOnce: one slice for the values of all headers.
func TestForwardingAllocatesOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	headers := make([]gate.Header, 6)
	for i := range headers {
		headers[i] = gate.Header{Name: http.CanonicalHeaderKey("x-user-" + string(rune('a'+i))), Value: "value"}
	}
	r := &http.Request{Header: make(http.Header, 16)}
	if n := testing.AllocsPerRun(1000, func() {
		clear(r.Header)
		forward(r, headers)
	}); n != 1 {
		t.Errorf("%v allocations for %d headers", n, len(headers))
	}
}

// TestCleaningAllocatesNothing: a request that has nothing to remove.
func TestCleaningAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	managed := gate.NewManagedNames("X-User-ID", "X-User-Email", "X-Tenant-*")
	r := &http.Request{ProtoMajor: 1, Header: http.Header{
		"Accept": {"*/*"}, "Authorization": {"Bearer x"}, "Connection": {"keep-alive"}, "User-Agent": {"test"}, "X-Request-Id": {"1"}, "Cookie": {"a=b"},
	}}
	if n := testing.AllocsPerRun(1000, func() { clean(r, managed, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
