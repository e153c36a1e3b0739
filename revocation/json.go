package revocation

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// EntryJSON is an entry as people and the admin API see it, a flat object whose
// empty members are left out. Times are RFC 3339 with up to nine decimals, UTC.
type EntryJSON struct {
	ID        string    `json:"id,omitempty"`
	Kind      string    `json:"kind"`
	Issuer    string    `json:"issuer"`
	Value     string    `json:"value,omitempty"`
	Cutoff    time.Time `json:"cutoff,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	UndoneAt  time.Time `json:"undone_at,omitzero"`
	Via       string    `json:"via,omitempty"`
	By        string    `json:"by,omitempty"`
	Note      string    `json:"note,omitempty"`
}

// JSON returns the form of e for people, its id included.
func (e *Entry) JSON() EntryJSON {
	return EntryJSON{
		ID: e.ID(), Kind: e.Kind.String(), Issuer: e.Issuer, Value: e.Value,
		Cutoff: e.Cutoff.UTC(), Until: e.Until.UTC(), RevokedAt: e.RevokedAt.UTC(), UndoneAt: e.UndoneAt.UTC(),
		Via: e.Via, By: e.By, Note: e.Note,
	}
}

// Entry returns the entry that j describes, which is valid, or everything that
// is wrong with it. An id must be that of the kind, issuer and value.
func (j *EntryJSON) Entry() (Entry, error) {
	kind, ok := ParseKind(j.Kind)
	if !ok {
		return Entry{}, fmt.Errorf("kind: %q is none of token, session, subject, client, issuer", truncate(j.Kind, 64))
	}
	e := Entry{
		Kind: kind, Issuer: j.Issuer, Value: j.Value,
		Cutoff: j.Cutoff.UTC(), Until: j.Until.UTC(), RevokedAt: j.RevokedAt.UTC(), UndoneAt: j.UndoneAt.UTC(),
		Via: j.Via, By: j.By, Note: j.Note,
	}
	if err := e.Validate(); err != nil {
		return Entry{}, err
	}
	if j.ID != "" && j.ID != e.ID() {
		return Entry{}, errors.New("id: not that of this kind, issuer and value")
	}
	return e, nil
}

// ParseEntryJSON reads one object as Export wrote it, strictly: unknown and
// repeated members, other spellings and trailing data are errors.
func ParseEntryJSON(b []byte) (Entry, error) {
	var j EntryJSON
	if err := json.Unmarshal(b, &j, json.RejectUnknownMembers(true)); err != nil {
		return Entry{}, err
	}
	return j.Entry()
}
