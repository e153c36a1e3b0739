package caddymodule

import (
	"fmt"
	"net/http"
)

// readiness is whether the gateway can decide about tokens.
type readiness struct {
	Ready bool `json:"ready"`
	// Reasons are why it cannot.
	Reasons []string `json:"reasons,omitempty"`
	// Degraded are issuers whose tokens are answered with 503.
	Degraded []degradedIssuer `json:"degraded,omitempty"`
}

type degradedIssuer struct {
	Issuer string `json:"issuer"`
	Reason string `json:"reason"`
}

// readiness asks the list, the feed and the keys: the list is loaded, what other
// gateways revoked is known, and some issuer has usable keys, where there is any
// issuer.
func (v *adminView) readiness() *readiness {
	answer := new(readiness)
	if err := v.list.Ready(); err != nil {
		reason := "the revocation list is not loaded"
		if done, total := v.list.Progress(); total > 0 {
			reason += fmt.Sprintf(": %d of %d", done, total)
		}
		answer.Reasons = append(answer.Reasons, reason)
	}
	if v.feed != nil {
		if err := v.feed(); err != nil {
			answer.Reasons = append(answer.Reasons, feedReason(err))
		}
	}
	now := v.now()
	seen := make(map[degradedIssuer]bool)
	usable := 0
	for _, t := range v.issuers {
		set, why := t.source.Keys(now)
		if set != nil {
			usable++
			continue
		}
		d := degradedIssuer{t.name, why.String()}
		if !seen[d] {
			seen[d] = true
			answer.Degraded = append(answer.Degraded, d)
		}
	}
	if len(v.issuers) > 0 && usable == 0 {
		answer.Reasons = append(answer.Reasons, "no issuer has usable keys")
	}
	answer.Ready = len(answer.Reasons) == 0
	return answer
}

// adminReady answers probes.
func adminReady(v *adminView, w http.ResponseWriter, _ *http.Request, _ []byte) error {
	state := v.readiness()
	if !state.Ready {
		p := problem(codeNotReady, "")
		p.Ready, p.Reasons, p.Degraded = &state.Ready, state.Reasons, state.Degraded
		return p
	}
	writeAdminJSON(w, "application/json", http.StatusOK, state)
	return nil
}
