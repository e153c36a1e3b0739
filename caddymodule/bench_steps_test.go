package caddymodule

import (
	"net/http"
	"testing"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

// BenchmarkStep is each step that a request meets outside the decision, in the
// way of BenchmarkStep of package gate.
func BenchmarkStep(b *testing.B) {
	h, iss := benchGate(b)
	fresh := benchRequest(good(iss))
	r := fresh()
	r.Header["Accept-Language"], r.Header["X-Request-Id"] = []string{"en"}, []string{"1"}
	managed := h.run.app.managed()
	headers := []gate.Header{{Name: "X-User-Id", Value: "u"}, {Name: "X-User-Email", Value: "u@example.com"}, {Name: "X-User-Roles", Value: "a,b"}}
	refused := token.Refuse(token.TokenMissing, "", "")
	w := &nullWriter{http.Header{}}
	st := stateFor(r)
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"0b clean the headers/every", func() { clean(r, managed, nil) }},
		{"1 find the token/every", func() { _, _ = h.find(r, st) }},
		{"9a set three headers/every", func() { forward(r, headers) }},
		{"9c count the decision/every", func() { h.run.metrics.decision("allow", token.ReasonNone, iss.URL()) }},
		{"answer of a refusal, instead of 2 to 9/refused", func() { _ = h.refuse(w, r, st, credential{}, "", refused) }},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step.run()
			}
		})
	}
	b.Run("0a remember the request, offer placeholders/every", func(b *testing.B) {
		b.ReportAllocs()
		requests := make([]*http.Request, 1000)
		for i := range b.N {
			if i%len(requests) == 0 {
				b.StopTimer()
				for j := range requests {
					requests[j] = fresh()
				}
				b.StartTimer()
			}
			stateFor(requests[i%len(requests)])
		}
	})
}
