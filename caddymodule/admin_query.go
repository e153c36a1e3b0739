package caddymodule

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate/revocation"
)

// The sizes of a page.
const (
	defaultPage = 100
	maxPage     = 10_000
)

// queryAnswer is a page of entries.
type queryAnswer struct {
	Revocations []revocation.EntryJSON `json:"revocations"`
	// Cursor continues after this page; empty after the last one.
	Cursor string `json:"cursor,omitempty"`
}

// adminQuery lists entries. It is a POST so that no value of a claim stands in a
// URL, which Caddy logs.
func adminQuery(v *adminView, w http.ResponseWriter, r *http.Request, body []byte) error {
	if object, _ := mediaType(r); !object {
		return errMediaType
	}
	m := readMembers(body, "kind", "issuer", "value", "undone", "cursor", "limit")
	f := revocation.Filter{
		Issuer: m.text("issuer"), Value: m.text("value"), Undone: m.boolean("undone"),
		Cursor: m.text("cursor"), Limit: m.number("limit", defaultPage, 1, maxPage),
	}
	if m.has("kind") {
		f.Kind = m.kind(false)
	}
	if err := faulty(m.faults); err != nil {
		return err
	}
	if err := v.list.Ready(); err != nil {
		return err
	}
	answer := queryAnswer{Revocations: []revocation.EntryJSON{}}
	var entries []revocation.Entry
	var err error
	if exact := f.Issuer != "" && (f.Kind == revocation.Issuer || f.Kind != 0 && f.Value != ""); exact && f.Cursor == "" {
		entries, err = v.exactly(f)
	} else {
		entries, answer.Cursor, err = v.list.Query(r.Context(), f)
	}
	if err != nil {
		return err
	}
	for i := range entries {
		answer.Revocations = append(answer.Revocations, entries[i].JSON())
	}
	writeAdminJSON(w, "application/json", http.StatusOK, answer)
	return nil
}

// exactly looks up the one entry that a whole identity names.
func (v *adminView) exactly(f revocation.Filter) ([]revocation.Entry, error) {
	e, err := v.list.Get(revocation.DigestOf(f.Kind, f.Issuer, f.Value))
	switch {
	case errors.Is(err, revocation.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !f.Undone && !e.InForce():
		return nil, nil
	}
	return []revocation.Entry{e}, nil
}

// countAnswer says how many entries there are.
type countAnswer struct {
	Total  int            `json:"total"` // in force
	Kinds  map[string]int `json:"kinds"`
	Undone int            `json:"undone"`
}

// adminCount counts entries.
func adminCount(v *adminView, w http.ResponseWriter, _ *http.Request, _ []byte) error {
	if err := v.list.Ready(); err != nil {
		return err
	}
	answer := countAnswer{Kinds: make(map[string]int), Undone: v.list.Stats().Undone}
	counts := v.list.Count()
	for _, kind := range revocation.Kinds() {
		answer.Kinds[kind.String()] = counts[kind]
		answer.Total += counts[kind]
	}
	writeAdminJSON(w, "application/json", http.StatusOK, answer)
	return nil
}

// adminExport writes every live entry, undone ones included, one on a line. An
// export that fails half-way breaks the connection: a short list must not pass
// for the whole.
func adminExport(v *adminView, w http.ResponseWriter, r *http.Request, _ []byte) error {
	if err := v.list.Ready(); err != nil {
		return err
	}
	// The read timeout of Caddy's admin server, 10 s, would end a longer export
	// as if the caller had left: net/http keeps on reading meanwhile.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		v.logger.Debug("export: the deadline stays", "error", err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	err := v.list.Export(r.Context(), true, func(e *revocation.Entry) error { return encoder.Encode(e.JSON()) })
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		if r.Context().Err() == nil {
			v.logger.Error("export of revocations broken off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}
