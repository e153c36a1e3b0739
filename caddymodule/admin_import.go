package caddymodule

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// The sizes of an import.
const (
	maxImportLines = 10_000
	maxImportLine  = 256 << 10 // bytes; a value of 16 KiB that JSON escapes throughout fits
)

// importAnswer is what a caller hears of a whole request of NDJSON.
type importAnswer struct {
	Lines   int  `json:"lines"`   // without empty ones
	Changed int  `json:"changed"` // the others were known
	Expired int  `json:"expired"` // left out: no token that they could match is alive
	Durable bool `json:"durable"`
	Fed     bool `json:"fed"`
}

// adminImport takes NDJSON: lines of either form, all of them or none.
func adminImport(v *adminView, w http.ResponseWriter, r *http.Request, body []byte) error {
	now := v.now()
	lines := bytes.Split(body, []byte("\n"))
	answer := importAnswer{Durable: v.durable, Fed: true}
	var entries []revocation.Entry
	var own []int // of entries, those that were asked for here
	var faults []fault
	for n, line := range lines {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if answer.Lines++; answer.Lines > maxImportLines {
			return problemf(codeTooLarge, "more than %d lines; send them in several requests", maxImportLines)
		}
		e, mine, wrong := v.importLine(r, line, now)
		for _, f := range wrong {
			f.Line = n + 1
			faults = append(faults, f)
		}
		switch {
		case len(wrong) > 0:
		case !e.Until.After(now):
			answer.Expired++
		default:
			if mine {
				own = append(own, len(entries))
			}
			entries = append(entries, e)
		}
	}
	if err := faulty(faults); err != nil {
		return err
	}
	if err := v.list.Ready(); err != nil {
		return err
	}
	ctx, cancel := detached(r.Context())
	defer cancel()
	for _, i := range own {
		if err := v.afterUndoing(&entries[i]); err != nil {
			return err
		}
	}
	var err error
	if len(entries) > 0 {
		answer.Changed, err = v.list.Apply(ctx, entries)
	}
	if err != nil && !errors.Is(err, revocation.ErrNotDurable) {
		return err
	}
	for _, i := range own {
		v.audit(ctx, "revoked", &entries[i])
	}
	if err != nil {
		return err
	}
	answer.Fed = v.isFed(ctx)
	writeAdminJSON(w, "application/json", statusFor(answer.Fed), answer)
	return nil
}

// importLine reads one line. mine says that it is an order given here rather
// than an entry that was made elsewhere.
func (v *adminView) importLine(r *http.Request, line []byte, now time.Time) (e revocation.Entry, mine bool, faults []fault) {
	if len(line) > maxImportLine {
		return e, false, []fault{{Detail: "longer than 256 KiB"}}
	}
	m := readMembers(line, append(slices.Clone(askedMembers), exportedOnly...)...)
	if !m.whole() || len(m.faults) > 0 {
		return e, false, m.faults
	}
	if slices.ContainsFunc(exportedOnly, m.has) {
		for _, name := range []string{"token", "before"} {
			if m.has(name) {
				m.fault(name, "not in an entry that an export wrote")
			}
		}
		e = m.readExported(now)
		return e, false, m.faults
	}
	a := readAsked(m)
	if len(m.faults) > 0 {
		return e, true, m.faults
	}
	e = v.entry(r.Context(), a, m, now)
	if len(m.faults) > 0 {
		return e, true, m.faults
	}
	e.Via, e.By = viaImport, caller(r)
	if err := e.Validate(); err != nil {
		m.entryFaults(err)
	}
	return e, true, m.faults
}

// afterUndoing dates an order after an undoing that is known, which a clock that
// is ahead may have dated later than now: what is asked for now has to hold.
func (v *adminView) afterUndoing(e *revocation.Entry) error {
	known, err := v.list.Get(e.Digest())
	if errors.Is(err, revocation.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !known.UndoneAt.Before(e.RevokedAt) {
		e.RevokedAt = known.UndoneAt.Add(time.Nanosecond)
	}
	return nil
}
