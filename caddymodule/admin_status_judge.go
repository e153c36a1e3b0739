package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/jwtgate/jwtgate/token"
)

// The levels of a problem and the states of a gateway.
const (
	levelError   = "error"   // requests are refused, or something may be lost
	levelWarning = "warning" // nothing is refused for it yet

	stateOK       = "ok"
	stateWarning  = "warning"
	stateDegraded = "degraded"
	stateNotReady = "not_ready"
)

// statusProblem is one thing that is wrong.
type statusProblem struct {
	Level string `json:"level"`
	// About is what it is about: issuer, revocations, journal, feed.
	About  string `json:"about"`
	Issuer string `json:"issuer,omitempty"`
	Text   string `json:"text"`            // what is wrong and what it does to requests
	Cause  string `json:"cause,omitempty"` // what was seen
	Do     string `json:"do"`              // what to look at or write
}

// judge turns the facts into problems, state and summary.
func (s *gatewayStatus) judge() {
	s.Problems = []statusProblem{}
	s.judgeRevocations()
	s.judgeFeed()
	unusable := 0
	for i := range s.Issuers {
		if !s.Issuers[i].Usable {
			unusable++
		}
	}
	for _, usable := range []bool{false, true} {
		for i := range s.Issuers {
			if s.Issuers[i].Usable == usable {
				s.judgeIssuer(&s.Issuers[i])
			}
		}
	}
	// Errors before warnings, otherwise in this order.
	var errs, warnings []statusProblem
	for _, p := range s.Problems {
		if p.Level == levelError {
			errs = append(errs, p)
		} else {
			warnings = append(warnings, p)
		}
	}
	s.Problems = append(append(s.Problems[:0:0], errs...), warnings...)
	if s.Problems == nil {
		s.Problems = []statusProblem{}
	}
	switch {
	case !s.Ready:
		s.State, s.Summary = stateNotReady, "Every request with a token is answered with 503."
	case unusable > 0:
		s.State = stateDegraded
		s.Summary = fmt.Sprintf("Tokens of %d of %s are answered with 503.", unusable, plural(len(s.Issuers), "issuer"))
	case len(errs) > 0:
		s.State, s.Summary = stateDegraded, fmt.Sprintf("Requests are decided, but %s wrong.", areIs(len(errs)))
	case len(warnings) > 0:
		s.State, s.Summary = stateWarning, fmt.Sprintf("In order, with %s.", plural(len(warnings), "warning"))
	default:
		s.State, s.Summary = stateOK, "Everything is in order."
	}
}

func areIs(n int) string {
	if n == 1 {
		return "one thing is"
	}
	return strconv.Itoa(n) + " things are"
}

// plural is "1 warning" or "2 warnings".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func (s *gatewayStatus) problem(p statusProblem) { s.Problems = append(s.Problems, p) }

func (s *gatewayStatus) judgeRevocations() {
	r := &s.Revocations
	switch {
	case r.Error != "":
		s.problem(statusProblem{Level: levelError, About: "revocations", Cause: r.Error,
			Text: "The revocation list cannot be read; tokens are answered with 503.",
			Do:   "Put the journal back from a backup, or write `on_damage rename` to set it aside: what was revoked before is then accepted again."})
	case !r.Loaded:
		p := statusProblem{Level: levelError, About: "revocations",
			Text: "The revocation list is being loaded; tokens are answered with 503 until it is there.",
			Do:   "Wait: it goes on by itself."}
		if r.Total > 0 {
			p.Cause = fmt.Sprintf("%d of %d entries are read", r.Done, r.Total)
		}
		s.problem(p)
	}
	if j := r.Journal; j != nil && (j.Error != "" || j.NotDurable > 0) {
		text := "Revocations cannot be saved; they are in force, but a restart forgets those of now."
		if j.NotDurable > 0 {
			text = fmt.Sprintf("%s cannot be saved; they are in force, but a restart forgets them.", plural(j.NotDurable, "revocation"))
		}
		s.problem(statusProblem{Level: levelError, About: "journal", Cause: j.Error, Text: text,
			Do: "Look at the disk of " + j.Path + ": is it full, or mounted read-only? Saving is tried again by itself."})
	}
}

func (s *gatewayStatus) judgeFeed() {
	f := s.Feed
	if f == nil {
		return
	}
	waits := ""
	if f.Outbox > 0 {
		waits = fmt.Sprintf(" Waiting here for it: %s.", plural(f.Outbox, "change"))
	}
	do := "Is Redis running at " + f.Redis + ", and does it let this machine in? It is asked again by itself." + waits
	switch {
	case f.State == "starting":
		s.problem(statusProblem{Level: levelError, About: "feed", Cause: f.LastError,
			Text: "What other gateways revoked is being read from Redis; tokens are answered with 503 until it is known.", Do: do})
	case f.State == "stale" && f.OnStale == "allow":
		s.problem(statusProblem{Level: levelWarning, About: "feed", Cause: f.LastError,
			Text: "What other gateways revoked meanwhile is not known here, and passes (`on_stale allow`).", Do: do})
	case f.State == "stale":
		s.problem(statusProblem{Level: levelError, About: "feed", Cause: f.LastError,
			Text: "What other gateways revoked meanwhile is not known here; tokens are answered with 503 (`on_stale deny`).", Do: do})
	case f.LastError != "":
		s.problem(statusProblem{Level: levelWarning, About: "feed", Cause: f.LastError,
			Text: "Redis makes trouble; what other gateways revoked is still known here.", Do: do})
	}
}

func (s *gatewayStatus) judgeIssuer(i *issuerStatus) {
	p := statusProblem{About: "issuer", Issuer: i.Issuer, Cause: i.LastError, Do: adviceFor(i)}
	switch {
	case !i.Usable && i.Reason == token.KeysStale.String():
		p.Level, p.Text = levelError, "No usable keys: the last good ones have passed max_stale. Tokens of this issuer are answered with 503."
	case !i.Usable && i.LastError == "":
		p.Level, p.Text = levelError, "Its keys are being fetched for the first time. Tokens of this issuer are answered with 503 until they are there."
	case !i.Usable:
		p.Level, p.Text = levelError, "No usable keys: none were ever obtained. Tokens of this issuer are answered with 503."
	case i.LastError != "" && onlySecret(i):
		p.Level, p.Text = levelError, "Its public keys cannot be fetched; only tokens made with the secret can be verified."
	case onlySecret(i):
		p.Level, p.Text = levelWarning, "Its public keys are being fetched for the first time; until then only tokens made with the secret can be verified."
	case i.LastError != "" && (i.Source == "jwks_file" || i.Source == "pem_file"):
		p.Level, p.Text = levelWarning, "The key file cannot be used; the keys of its last good content stay in use, until a restart."
	case i.LastError != "":
		p.Level, p.Text = levelWarning, "Keys cannot be refreshed; the last good ones stay in use"+until(i.UsableUntil)+"."
	case i.Stale:
		p.Level, p.Text = levelWarning, "Its keys are past their refresh and stay in use"+until(i.UsableUntil)+"."
	default:
		return
	}
	s.problem(p)
}

// onlySecret reports whether an issuer that should have public keys has nothing
// but its secret.
func onlySecret(i *issuerStatus) bool {
	if i.Source == "secret" {
		return false
	}
	for _, k := range i.Keys {
		if k.Type != "oct" {
			return false
		}
	}
	return true
}

func until(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " until " + t.Format(time.RFC3339)
}

// adviceFor says where to look, by what kind of fault it was.
func adviceFor(i *issuerStatus) string {
	host, address := i.Location, i.Location
	if u, err := url.Parse(i.Location); err == nil && u.Host != "" {
		host, address = u.Hostname(), u.Host
		if u.Port() == "" {
			address += ":443"
		}
	}
	const again = " `caddy jwtgate refresh` asks again at once."
	try := " Try from this machine: `curl -v " + i.Location + "`."
	switch i.LastErrorFor {
	case "dns":
		return "Is the host name in the issuer's block right? Does this machine resolve it: `getent hosts " + host + "`." + again
	case "tls":
		return "Look at the certificate: `openssl s_client -connect " + address + "`. For a certificate authority of your own write `tls_ca FILE` into the issuer's block." + again
	case "timeout":
		return "Does a firewall or proxy swallow it?" + try + " For a slow issuer raise `timeout`." + again
	case "network":
		return "Is the issuer running, and may this machine connect to it?" + try + again
	case "status":
		return "Is the address right?" + try + " For an issuer without discovery write `jwks URL`; otherwise the issuer's own log knows more." + again
	case "content":
		if i.Source == "jwks_file" || i.Source == "pem_file" {
			return "Put a good file in its place; it is read again within seconds."
		}
		return "The issuer's document is not what it should be, or something else answers in its place, such as a proxy or a login page." + try + again
	case "issuer_mismatch":
		return "Write `issuer` exactly as the document has it, to the last slash; that is what its tokens say, too."
	case "file":
		return "Does the file exist, and may the user that Caddy runs as read it? It is read again within seconds."
	}
	return "Wait a moment. `caddy jwtgate refresh` asks at once."
}

// loadFault returns why a list will not be loaded, nil while it is on its way.
func loadFault(err error) error {
	var refused *token.Refusal
	if errors.As(err, &refused) {
		return nil
	}
	return err
}
