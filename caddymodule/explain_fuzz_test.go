package caddymodule

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzExplainOrder: whatever the body is, it becomes a request or a refusal
// that quotes none of it.
func FuzzExplainOrder(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"token":"a.b.c","path":"/x?y"}`, `{"headers":{"A":["b"]}}`, `{"headers":{"A":"b"}}`, `{"path":"//x/%zz"}`,
		`{"host":"a b"}`, `{"method":"G T"}`, `{"remote_ip":"::1","scheme":"https"}`, `{"Secret-Secret-1":1}`, `{"token":1,"token":2}`,
		`{"headers":{"Authorization":["Bearer x"]},"token":"y"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := readExplainOrder(body)
		if err != nil {
			var p *adminProblem
			if !errors.As(err, &p) || len(p.Errors) == 0 {
				t.Fatalf("%v", err)
			}
			text, _ := json.Marshal(p)
			if strings.Contains(string(text), "Secret-Secret-1") {
				t.Errorf("%s", text)
			}
			return
		}
		r := o.request(t.Context(), "https", o.Host)
		if r.URL == nil || r.Method == "" || !strings.HasPrefix(r.RequestURI, "/") {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzUnpaste: what it returns is a piece of what was pasted.
func FuzzUnpaste(f *testing.F) {
	for _, seed := range []string{"", `"Bearer a.b.c"`, "Authorization: Bearer 'x'", "''", "eyJhbGciOiJ.\neyJzdWIiOi.\nx"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw, notes := unpaste(text)
		if raw != text && len(notes) == 0 || !strings.Contains(strings.Join(strings.Fields(text), ""), strings.Join(strings.Fields(raw), "")) {
			t.Errorf("%q became %q, %q", text, raw, notes)
		}
	})
}
