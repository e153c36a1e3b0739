package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// journaled notes in which order things reach a response.
type journaled struct {
	*httptest.ResponseRecorder
	order *[]string
}

func (j journaled) WriteHeader(status int) {
	*j.order = append(*j.order, http.StatusText(status))
	j.ResponseRecorder.WriteHeader(status)
}

func (j journaled) Write(p []byte) (int, error) {
	*j.order = append(*j.order, "body")
	return j.ResponseRecorder.Write(p)
}

func (j journaled) FlushError() error {
	*j.order = append(*j.order, "flush")
	return nil
}

// TestNothingPrecedesTheRevocation: not a byte of a final answer goes out before
// it is settled, by whatever method a handler begins it, and it is settled once.
func TestNothingPrecedesTheRevocation(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *logoutWriter)
		want []string
	}{
		{"header", func(w *logoutWriter) { w.WriteHeader(204) }, []string{"settled 204", "No Content"}},
		{"hints and header", func(w *logoutWriter) { w.WriteHeader(103); w.WriteHeader(200) }, []string{"Early Hints", "settled 200", "OK"}},
		{"body", func(w *logoutWriter) { _, _ = io.WriteString(w, "x") }, []string{"settled 200", "OK", "body"}},
		{"empty body", func(w *logoutWriter) { _, _ = w.Write(nil) }, []string{"settled 200", "OK", "body"}},
		{"copy", func(w *logoutWriter) { _, _ = io.Copy(w, strings.NewReader("x")) }, []string{"settled 200", "OK", "body"}},
		{"flush", func(w *logoutWriter) { _ = http.NewResponseController(w).Flush() }, []string{"settled 200", "OK", "flush"}},
		{"nothing", func(*logoutWriter) {}, []string{"settled 200"}},
		{"all of it", func(w *logoutWriter) {
			w.WriteHeader(201)
			_, _ = io.WriteString(w, "x")
			w.Flush()
			w.WriteHeader(200)
		}, []string{"settled 201", "Created", "body", "flush", "OK"}},
		{"upgrade", func(w *logoutWriter) { w.WriteHeader(101) }, []string{"settled 101", "Switching Protocols"}},
	} {
		for _, replace := range []bool{false, true} {
			var order []string
			below := journaled{httptest.NewRecorder(), &order}
			w := &logoutWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: below}}
			w.settle = func(_ http.ResponseWriter, _ http.Header, status int) bool {
				order = append(order, "settled "+strconv.Itoa(status))
				return replace
			}
			tt.do(w)
			w.finish()
			want := tt.want
			if replace {
				want = want[:1+slices.IndexFunc(want, func(s string) bool { return strings.HasPrefix(s, "settled ") })]
			}
			if !slices.Equal(order, want) {
				t.Errorf("%s, replaced %v: %q, want %q", tt.name, replace, order, want)
			}
		}
	}
}

// TestSettlingThatPanicsIsNotTriedAgain and lets nothing through.
func TestSettlingThatPanicsIsNotTriedAgain(t *testing.T) {
	below := httptest.NewRecorder()
	w := &logoutWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: below}}
	times := 0
	w.settle = func(http.ResponseWriter, http.Header, int) bool {
		times++
		panic("on purpose")
	}
	func() {
		defer func() { _ = recover() }()
		w.WriteHeader(200)
	}()
	w.WriteHeader(200)
	_, _ = io.WriteString(w, "x")
	if times != 1 || below.Body.Len() > 0 {
		t.Errorf("settled %d times, %q", times, below.Body)
	}
	if _, _, err := w.Hijack(); err == nil {
		t.Error("the connection was handed out")
	}
}
