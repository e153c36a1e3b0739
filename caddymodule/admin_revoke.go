package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// The ways in of the admin API, as entries and metrics name them.
const (
	viaAdmin  = "admin"
	viaImport = "import"
)

// revocationAnswer is what a caller hears of one revocation.
type revocationAnswer struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`
	Issuer string    `json:"issuer"`
	Value  string    `json:"value,omitempty"`
	Cutoff time.Time `json:"cutoff,omitzero"`
	Until  time.Time `json:"until"`
	// Durable is whether a crash forgets it.
	Durable bool `json:"durable"`
	// Fed is whether nobody is left to tell: true on a gateway without a feed.
	Fed bool `json:"fed"`
}

func answerOf(r revocation.Result) *revocationAnswer {
	j := r.Entry.JSON()
	return &revocationAnswer{ID: j.ID, Kind: j.Kind, Issuer: j.Issuer, Value: j.Value, Cutoff: j.Cutoff, Until: j.Until,
		Durable: r.Durable, Fed: true}
}

// isFed reports whether other gateways can hear of what was done.
func (v *adminView) isFed(ctx context.Context) bool { return v.fed == nil || v.fed(ctx) }

// statusFor says by 202 that other gateways have yet to hear of it.
func statusFor(fed bool) int {
	if fed {
		return http.StatusOK
	}
	return http.StatusAccepted
}

// adminRevoke takes one revocation as JSON, or many as NDJSON.
func adminRevoke(v *adminView, w http.ResponseWriter, r *http.Request, body []byte) error {
	object, ndjson := mediaType(r)
	switch {
	case ndjson:
		return adminImport(v, w, r, body)
	case !object:
		return errMediaType
	}
	now := v.now()
	m := readMembers(body, askedMembers...)
	a := asked{}
	if m.whole() {
		a = readAsked(m)
	}
	if err := faulty(m.faults); err != nil {
		return err
	}
	e := v.entry(r.Context(), a, m, now)
	if len(m.faults) == 0 {
		e.Via, e.By = viaAdmin, caller(r)
		if err := e.Validate(); err != nil {
			m.entryFaults(err)
		}
	}
	if err := faulty(m.faults); err != nil {
		return err
	}
	e.RevokedAt = time.Time{} // now, or after an undoing that a faster clock dated ahead
	ctx, cancel := detached(r.Context())
	defer cancel()
	result, err := v.list.Revoke(ctx, e)
	switch {
	case err == nil:
	case errors.Is(err, revocation.ErrNotDurable):
		p := problemOf(err)
		p.Revocation = answerOf(result)
		return p
	default:
		return err
	}
	answer := answerOf(result)
	answer.Fed = v.isFed(ctx)
	writeAdminJSON(w, "application/json", statusFor(answer.Fed), answer)
	return nil
}

// detached returns a context for a write: neither a caller who leaves nor a
// reload may end it half-way.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

// adminUndo takes a revocation back. A body, if there is one, holds a note.
func adminUndo(v *adminView, w http.ResponseWriter, r *http.Request, body []byte) error {
	id, err := revocation.ParseDigest(r.PathValue("id"))
	if err != nil {
		return problem(codeNotFound, "the path ends in no id of a revocation, which has 22 characters")
	}
	var note string
	if len(body) > 0 {
		if object, _ := mediaType(r); !object {
			return errMediaType
		}
		m := readMembers(body, "note")
		note = m.text("note")
		if len(note) > revocation.MaxNote {
			m.fault("note", "%d bytes; at most %d", len(note), revocation.MaxNote)
		}
		m.noTokens("", "", note)
		if err := faulty(m.faults); err != nil {
			return err
		}
	}
	if err := v.list.Ready(); err != nil {
		return err
	}
	ctx, cancel := detached(r.Context())
	defer cancel()
	if _, err := v.list.Undo(ctx, id, viaAdmin, caller(r), note); err != nil {
		return undoProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// undoProblem says what an undoing is worth that is not on disk.
func undoProblem(err error) error {
	if !errors.Is(err, revocation.ErrNotDurable) {
		return err
	}
	return problem(codeNotDurable, "it is undone until this process ends, and a crash brings the revocation back; look at the disk, then revoke and undo it again to be sure: "+err.Error())
}

// audit writes the line about one revocation of many; the list itself writes
// that of a single one. A value of a claim may stand there, a token never does.
func (v *adminView) audit(ctx context.Context, message string, e *revocation.Entry) {
	fields := []any{"id", e.ID(), "kind", e.Kind.String(), "issuer", bounded(e.Issuer)}
	if e.Value != "" {
		fields = append(fields, "value", bounded(e.Value))
	}
	if !e.Cutoff.IsZero() {
		fields = append(fields, "cutoff", e.Cutoff)
	}
	fields = append(fields, "until", e.Until, "via", e.Via, "by", e.By)
	if e.Note != "" {
		fields = append(fields, "note", bounded(e.Note))
	}
	v.logger.InfoContext(ctx, message, fields...)
}
