package caddymodule

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
)

func quietLender() *lender { return &lender{logger: slog.New(slog.DiscardHandler)} }

// formRequest is a POST as a handler gets it.
func formRequest(method, body, contentType string) (*httptest.ResponseRecorder, *http.Request) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return w, prepared(r, w)
}
