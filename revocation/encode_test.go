package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// samples are entries of all shapes.
func samples() []Entry {
	list := []Entry{
		entry(Token, "jti"),
		entry(Subject, "alice"),
		{Kind: Issuer, Issuer: testIssuer, Cutoff: epoch.Add(123456789), Until: latest, RevokedAt: earliest, Via: "feed"},
		{Kind: Session, Issuer: strings.Repeat("i", MaxIssuer), Value: strings.Repeat("v", MaxValue), Until: epoch.Add(time.Second),
			UndoneAt: epoch.Add(1), RevokedAt: epoch, Via: strings.Repeat("w", maxWord), By: strings.Repeat("b", maxWord), Note: strings.Repeat("n", MaxNote)},
		{Kind: Client, Issuer: "ü", Value: "\x00\n\"", Cutoff: epoch, Until: epoch, UndoneAt: epoch, Via: "x"},
	}
	for i := range list {
		list[i].normalize()
	}
	return list
}

func TestEncodeAndBack(t *testing.T) {
	for _, e := range samples() {
		wire := AppendEntry([]byte("before"), &e)[6:]
		if len(wire) > MaxEncoded {
			t.Errorf("%d bytes", len(wire))
		}
		got, err := DecodeEntry(wire)
		if err != nil || got != e {
			t.Errorf("got %+v, %v; want %+v", got, err, e)
		}
		kind, until, known, err := DecodeHead(wire)
		if kind != e.Kind || !until.Equal(e.Until) || !known || err != nil {
			t.Errorf("head: %v %v %v %v", kind, until, known, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	e := entry(Subject, "alice")
	wire := AppendEntry(nil, &e)
	for n := range wire {
		if got, err := DecodeEntry(wire[:n]); err == nil || got != (Entry{}) {
			t.Fatalf("cut off after %d: %+v, %v", n, got, err)
		}
	}
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(wire)) }
	for _, tc := range []struct {
		name string
		wire []byte
		want string
	}{
		{"trailing data", change(func(b []byte) []byte { return append(b, 0) }), "1 bytes too many"},
		{"long", make([]byte, MaxEncoded+1), "at most"},
		{"time before 1970", change(func(b []byte) []byte { b[wireHead] = 0x80; return b }), "before 1970"},
		{"no cutoff", change(func(b []byte) []byte { clear(b[wireHead : wireHead+8]); return b }), "cutoff: missing"},
		{"text longer than all", change(func(b []byte) []byte { b[wireHead+wireTimes] = 0x7f; return b }), "cut off in its texts"},
		{"not UTF-8", change(func(b []byte) []byte { b[wireHead+wireTimes+1] = 0xff; return b }), "issuer: not UTF-8"},
		{"length in more bytes than needed", change(func(b []byte) []byte {
			i := wireHead + wireTimes
			return append(append(bytes.Clone(b[:i]), b[i]|0x80, 0), b[i+1:]...)
		}), "not in its shortest form"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := DecodeEntry(tc.wire)
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, ErrUnknownVersion) || got != (Entry{}) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for _, at := range []int{0, 1} {
		other := change(func(b []byte) []byte { b[at] = 99; return b })
		if _, err := DecodeEntry(other); !errors.Is(err, ErrUnknownVersion) {
			t.Errorf("byte %d: %v", at, err)
		}
		if _, until, known, err := DecodeHead(other); known || err != nil || !until.Equal(e.Until) {
			t.Errorf("byte %d: %v %v %v", at, until, known, err)
		}
	}
}

// FuzzDecodeEntry: what is taken is valid, has one form, and is merged without
// a panic; what is not leaves nothing behind.
func FuzzDecodeEntry(f *testing.F) {
	for _, e := range samples() {
		f.Add(AppendEntry(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			if e != (Entry{}) {
				t.Fatalf("half an entry: %+v", e)
			}
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		if again := AppendEntry(nil, &e); !bytes.Equal(again, b) {
			t.Fatalf("%x\nbecame %x", b, again)
		}
		if j := e.JSON(); true {
			if back, err := j.Entry(); err != nil || back != e {
				t.Fatalf("%+v, %v", back, err)
			}
		}
	})
}

// FuzzJournalLog: whatever a log holds, it is read without a panic, and only
// what was written to it is taken.
func FuzzJournalLog(f *testing.F) {
	e := entry(Token, "t")
	f.Add(appendItem(nil, 1, AppendEntry(nil, &e)))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		err := eachItem(b, func(sequence uint64, wire []byte) error {
			again = appendItem(again, sequence, wire)
			return nil
		})
		if err == nil && !bytes.Equal(again, b) || !bytes.HasPrefix(b, again) {
			t.Fatalf("%x\nbecame %x, %v", b, again, err)
		}
		l := journalLog{id: journalID{1}}
		records, end := l.records(b)
		if end > int64(len(b)) || len(records) > 0 && end == 0 {
			t.Fatalf("%d records end at %d of %d", len(records), end, len(b))
		}
		l.later(b, 0)
	})
}

// FuzzEntryJSON: what is taken is valid and comes back as it was.
func FuzzEntryJSON(f *testing.F) {
	for _, e := range samples() {
		b, err := bytesOf(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"kind":"issuer","issuer":"a","cutoff":"2026-01-01T00:00:00.1+02:00","until":"2026-01-01T00:00:00Z","revoked_at":"2026-01-01T00:00:00Z","via":"v"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntryJSON(b)
		if err != nil {
			if e != (Entry{}) {
				t.Fatalf("half an entry: %+v", e)
			}
			return
		}
		again, err := bytesOf(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseEntryJSON(again)
		if err != nil || back != e {
			t.Fatalf("%+v\nbecame %+v, %v", e, back, err)
		}
		if wire, err := DecodeEntry(AppendEntry(nil, &e)); err != nil || wire.Digest() != e.Digest() {
			t.Fatalf("%+v, %v", wire, err)
		}
	})
}

func TestEntryJSON(t *testing.T) {
	e := entry(Subject, "alice")
	e.Cutoff = e.Cutoff.Add(5)
	b, err := bytesOf(e)
	want := fmt.Sprintf(`{"id":%q,"kind":"subject","issuer":"https://issuer.test/","value":"alice","cutoff":"2027-01-15T08:00:00.000000005Z","until":"2027-01-15T09:00:00Z","revoked_at":"2027-01-15T08:00:00Z","via":"admin","by":"ops","note":"n"}`, e.ID())
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v\nwant %s", b, err, want)
	}
	local := strings.Replace(want, "09:00:00Z", "11:00:00+02:00", 1)
	if got, err := ParseEntryJSON([]byte(local)); err != nil || got != e {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tc := range []struct{ name, old, new, want string }{
		{"unknown member", `"note"`, `"not"`, "not"},
		{"another spelling", `"kind"`, `"Kind"`, "Kind"},
		{"repeated member", `"via":"admin"`, `"via":"admin","via":"x"`, "via"},
		{"unknown kind", `"subject"`, `"user"`, `kind: "user" is none of`},
		{"id of another", `"alice"`, `"bob"`, "id: not that of"},
		{"no issuer", `"https://issuer.test/"`, `""`, "issuer: missing"},
		{"no time", `"2027-01-15T09:00:00Z"`, `"tomorrow"`, "tomorrow"},
		{"no until", `"until":"2027-01-15T09:00:00Z",`, ``, "until: missing"},
		{"far future", `"2027-01-15T09:00:00Z"`, `"9999-01-15T09:00:00Z"`, "until: "},
		{"trailing data", `"n"}`, `"n"}{}`, "after top-level value"},
		{"array", `{"id"`, `[{"id"`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(want, tc.old, tc.new, 1)
			if text == want {
				t.Fatal("nothing was changed")
			}
			got, err := ParseEntryJSON([]byte(text))
			if err == nil || !strings.Contains(err.Error(), tc.want) || got != (Entry{}) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func bytesOf(e Entry) ([]byte, error) { return json.Marshal(e.JSON()) }
