package gate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jwtgate/jwtgate/jwks"
	"github.com/jwtgate/jwtgate/policy"
	"github.com/jwtgate/jwtgate/revocation"
	"github.com/jwtgate/jwtgate/token"
)

// Result is what came of one step of an explanation.
type Result string

// The results of a step.
const (
	Pass Result = "pass"
	Fail Result = "fail"
	Skip Result = "skip" // not looked at; Note says why
)

// Step is one check of an explanation. Got may quote claims, Shape does not;
// both may hold text that a stranger chose.
type Step struct {
	policy.Finding
	Result Result
	Note   string
}

// ExplainOptions are the circumstances of one Explain.
type ExplainOptions struct {
	Options
	// NoRevocation says why the revocation list is not asked; empty: it is.
	NoRevocation string
	// Offline says that the issuers are not asked. Where a gateway would ask for
	// keys, the signature stays undecided instead.
	Offline bool
}

// Explanation is what Explain found.
type Explanation struct {
	Now time.Time // the one reading of the clock for all steps
	// Identity is who the token speaks for; nil when it is refused or
	// undecided.
	Identity *Identity
	Issuer   string         // that was chosen, also beside a refusal
	Refused  *token.Refusal // the first that failed; nil: none
	// Undecided says that nobody can tell whether the signature holds; a
	// refusal beside it is for something else.
	Undecided bool
	Token     *token.Token // nil when it cannot be parsed; unverified unless Verified
	Verified  bool
	IDs       revocation.IDs  // of Token
	Withdrawn revocation.Kind // by an entry of this kind; 0: not
	Skew      time.Duration   // of the issuer
	Keys      KeySource       // of the issuer; nil when none was chosen
	KeyID     string          // of the key that vouched
	Forward   []ForwardFinding
	Steps     []Step
}

// Explain decides about raw as Check does and says how, step by step. It goes
// on after a step that failed, where a later one still makes sense, so that all
// that is wrong is seen at once: the first failure is what Check refuses for.
//
// It leaves no trace: nothing is added to the verdict cache, no hook is told.
// An unknown key is asked for once more, as Check does: in the budget of its
// source, and only for a token that nothing else is wrong with. So an
// explanation causes no fetch that a request with the token would not.
func (g *Gate) Explain(ctx context.Context, raw string, req policy.Request, opts ExplainOptions) *Explanation {
	// Hooks and tallies are not among what is taken over.
	quiet := &Gate{
		issuers: g.issuers, names: g.names, rules: g.rules, forward: g.forward,
		cache: g.cache, maxToken: g.maxToken, now: g.now, digest: g.digest,
	}
	if opts.NoRevocation == "" {
		quiet.revocation = g.revocation
	}
	x := &explainer{Explanation: &Explanation{Now: g.now()}, gate: quiet, opts: opts}
	x.run(ctx, raw, req)
	return x.Explanation
}

// IssuerNames lists the issuers whose tokens g takes, sorted.
func (g *Gate) IssuerNames() []string {
	names := make([]string, 0, len(g.issuers))
	for name := range g.issuers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// explainer builds one Explanation.
type explainer struct {
	*Explanation
	gate *Gate
	opts ExplainOptions
}

// add takes a step in; the first that failed is the verdict.
func (x *explainer) add(s Step) {
	if s.Result == "" {
		s.Result = Pass
		if s.Err != nil {
			s.Result = Fail
		}
	}
	if s.Result == Fail && x.Refused == nil {
		x.Refused = asRefusal(s.Err)
	}
	x.Steps = append(x.Steps, s)
}

// step adds a check that has passed unless refused.
func (x *explainer) step(name, want, got string, refused *token.Refusal) bool {
	s := Step{Finding: policy.Finding{Step: name, Want: want, Got: got}}
	if refused != nil {
		s.Err = refused
		if refused.Want != "" {
			s.Want = refused.Want
		}
		if refused.Got != "" {
			s.Got = refused.Got
		}
	}
	x.add(s)
	return refused == nil
}

func (x *explainer) skip(note string, names ...string) {
	for _, name := range names {
		x.add(Step{Finding: policy.Finding{Step: name}, Result: Skip, Note: note})
	}
}

// afterIssuer are the steps that need the settings of an issuer.
var afterIssuer = []string{"algorithm", "expiry", "keys", "signature", "times", "revocation", "type", "required_claims", "audience", "rules", "forward"}

func (x *explainer) run(ctx context.Context, raw string, req policy.Request) {
	g := x.gate
	if !x.step("length", fmt.Sprintf("at most %d bytes", g.maxToken), strconv.Itoa(len(raw))+" bytes", g.tooLong(raw)) {
		x.skip("the token is too long to be looked at", append([]string{"syntax", "issuer"}, afterIssuer...)...)
		return
	}
	t, err := token.Parse(raw, g.maxToken)
	if refused := refusal(err, token.TokenMalformed); refused != nil {
		s := Step{Finding: policy.Finding{Step: "syntax", Want: refused.Want, Got: refused.Got, Err: refused}}
		if refused.Err != nil {
			s.Note = refused.Err.Error()
		}
		x.add(s)
		x.skip("the token cannot be read", append([]string{"issuer"}, afterIssuer...)...)
		return
	}
	x.Token = t
	x.step("syntax", "a signed JWT of three parts", "alg "+t.Header.Alg, nil)
	is, refused := g.choose(t.Claims.Issuer)
	if !x.step("issuer", g.names, excerpt(t.Claims.Issuer), refused) {
		x.skip("only the settings of its issuer could tell", afterIssuer...)
		return
	}
	x.Issuer, x.Keys, x.Skew = is.name, is.keys, is.policy.Skew()
	x.step("algorithm", is.algorithms(), excerpt(t.Header.Alg), is.permits(&t.Header))
	x.add(Step{Finding: is.policy.ExplainExpiry(x.Now, t.Claims, x.opts.AllowExpired)})
	key, remembered := x.signature(ctx, raw, is)
	x.judge(is, key, req, remembered)
}

// signature is how Check comes to the key that vouches. It returns nil when
// there is none.
func (x *explainer) signature(ctx context.Context, raw string, is *issuer) (key *jwks.Key, remembered bool) {
	g, t := x.gate, x.Token
	set, refused := is.current(x.Now)
	if refused != nil {
		if x.opts.Offline {
			x.undecided("keys", "there are none here, and the issuer is not asked offline")
			x.skip("there are no keys to check it with", "signature")
			return nil, false
		}
		x.step("keys", "", "", refused)
		x.skip("there are no keys to check it with", "signature")
		return nil, false
	}
	x.step("keys", "usable keys of the issuer", "there are", nil)
	if !is.allowed.Has(t.Header.Algorithm) {
		x.skip("the algorithm is not allowed", "signature")
		return nil, false
	}
	_, e, _ := g.recall(raw)
	if v := e.standing(is, set); v != nil {
		key, remembered = v.key, true
	} else if x.Refused != nil || x.opts.Offline {
		var why token.Reason
		if key, why = g.try(set, t); key == nil {
			refused = unvouched(why, t)
		}
	} else {
		key, refused = g.vouch(ctx, is, set, t, x.Now)
	}
	kid := "no kid"
	if t.Header.HasKeyID {
		kid = "kid " + excerpt(t.Header.KeyID)
	}
	if refused != nil && x.opts.Offline && x.fetched() && refused.Reason != token.SignatureInvalid {
		x.undecided("signature", "none of the keys here fits, and the issuer is not asked offline for later ones")
		return nil, false
	}
	if !x.step("signature", "a signature of the issuer", "it holds, "+kid, refused) {
		return nil, false
	}
	x.Verified, x.KeyID = true, key.ID()
	return key, remembered
}

// fetched reports whether the keys come from the network.
func (x *explainer) fetched() bool {
	source, ok := x.Keys.(interface{ Status() jwks.Status })
	if !ok {
		return false
	}
	switch source.Status().Kind {
	case "discovery", "jwks":
		return !x.Token.Header.Algorithm.Symmetric()
	}
	return false
}

func (x *explainer) undecided(step, note string) {
	x.Undecided = x.Refused == nil
	x.skip(note, step)
}

// judge is everything after the signature, on what an unverified token says of
// itself where there is none that holds.
func (x *explainer) judge(is *issuer, key *jwks.Key, req policy.Request, remembered bool) {
	g, t := x.gate, x.Token
	if remembered {
		x.Steps[len(x.Steps)-1].Note = "remembered from an earlier request; the key is still the issuer's"
	}
	before := x.Refused
	for _, f := range is.policy.ExplainTimes(x.Now, t.Claims, x.opts.AllowExpired) {
		x.add(Step{Finding: f})
	}
	x.IDs = revocation.IDsOf(t)
	switch {
	case x.opts.NoRevocation != "":
		x.skip(x.opts.NoRevocation, "revocation")
	default:
		refused := g.withdrawn(&x.IDs)
		if refused != nil {
			x.Withdrawn = kindOf(refused.Reason)
		}
		x.step("revocation", "no revocation of it", "none", refused)
	}
	for _, f := range is.policy.ExplainClaims(t.Header, t.Claims) {
		x.add(Step{Finding: f})
	}
	for _, f := range g.rules.Explain(t.Claims, req) {
		x.add(Step{Finding: f})
	}
	x.Forward = g.forward.Explain(t.Claims)
	if len(x.Forward) > 0 {
		set := 0
		for i := range x.Forward {
			if x.Forward[i].Absent == "" {
				set++
			}
		}
		x.step("forward", "claims for the backend", fmt.Sprintf("%d of %d headers", set, len(x.Forward)),
			refusal(forwarding(x.Forward), token.HeaderTooLarge))
	}
	if key == nil || before != nil {
		return
	}
	// Who passes is said by the code that says it to requests, on an entry of
	// our own. The cache's would remember the answer.
	e := &entry{token: t.Detach(), ids: x.IDs}
	id, _, refused := g.judge(e, e.vouch(is.digest, key), is, req, x.Now, x.opts.Options)
	if x.Identity, x.Refused = id, refused; refused != nil {
		x.Identity = nil
	}
}

// kindOf returns the kind of entry behind a refusal, 0 if it is another one.
func kindOf(reason token.Reason) revocation.Kind {
	switch reason {
	case token.RevokedToken:
		return revocation.Token
	case token.RevokedSession:
		return revocation.Session
	case token.RevokedSubject:
		return revocation.Subject
	case token.RevokedClient:
		return revocation.Client
	case token.RevokedIssuer:
		return revocation.Issuer
	}
	return 0
}
