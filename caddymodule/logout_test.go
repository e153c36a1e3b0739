package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestLogoutRevokesOnSuccessAlone: every way in which a backend can answer.
func TestLogoutRevokesOnSuccessAlone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backend caddyhttp.HandlerFunc
		method  string
		status  int
		body    string
		revoked bool
	}{
		{"200", status(200), "POST", 200, "", true},
		{"204", status(204), "POST", 204, "", true},
		{"299", status(299), "POST", 299, "", true},
		{"HEAD", status(200), "HEAD", 200, "", true},
		{"302", status(302), "POST", 302, "", false},
		{"304", status(304), "GET", 304, "", false},
		{"400", status(400), "POST", 400, "", false},
		{"401", status(401), "POST", 401, "", false},
		{"500", status(500), "POST", 500, "", false},
		{"503", status(503), "POST", 503, "", false},
		{"nothing", func(http.ResponseWriter, *http.Request) error { return nil }, "POST", 200, "", true},
		{"an error", func(http.ResponseWriter, *http.Request) error { return errors.New("down") }, "POST", 502, "", false},
		{"a body alone", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "bye")
			return err
		}, "POST", 200, "bye", true},
		{"copied", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("bye"))
			return err
		}, "POST", 200, "bye", true},
		{"flushed", func(w http.ResponseWriter, _ *http.Request) error {
			return http.NewResponseController(w).Flush()
		}, "POST", 200, "", true},
		{"flushed as of old", func(w http.ResponseWriter, _ *http.Request) error {
			w.(http.Flusher).Flush()
			return nil
		}, "POST", 200, "", true},
		{"early hints", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(103)
			w.WriteHeader(102)
			w.WriteHeader(401)
			return nil
		}, "POST", 401, "", false},
		{"early hints, then success", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(103)
			w.WriteHeader(204)
			return nil
		}, "POST", 204, "", true},
		{"two statuses", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(403)
			w.WriteHeader(200)
			return nil
		}, "POST", 403, "", false},
		{"a body after a refusal", func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(403)
			_, err := io.WriteString(w, "no")
			return err
		}, "POST", 403, "no", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newLogoutSite(t, gated, tt.backend)
			raw := s.issuer.Sign(nil)
			if a := s.ask(tt.method, raw); a.Status != tt.status || a.Body != tt.body {
				t.Errorf("%d %q, want %d %q", a.Status, a.Body, tt.status, tt.body)
			}
			s.backend = status(200)
			want, code, entries := 200, "", 1 // the second question is a logout itself
			if tt.revoked {
				want, code = 401, "token_revoked"
			}
			a := s.ask("POST", raw)
			if a.Status != want || a.code() != code {
				t.Errorf("afterwards: %d %s, want %d %s", a.Status, a.code(), want, code)
			}
			if found := s.entries(); len(found) != entries {
				t.Errorf("entries: %+v", found)
			}
		})
	}
}

// TestLogoutIsOnDiskBeforeTheClientHears: while the backend's handler is still
// at work after the header, the list has the entry.
func TestLogoutIsOnDiskBeforeTheClientHears(t *testing.T) {
	goOn := make(chan struct{})
	s := newLogoutSite(t, gated, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, err := io.WriteString(w, "the end")
		return err
	})
	raw := s.issuer.Sign(nil)
	r, _ := http.NewRequestWithContext(t.Context(), "POST", s.server.URL, nil)
	r.Header.Set("Authorization", "Bearer "+raw)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if entries := s.entries(); len(entries) != 1 || entries[0].Via != "logout" || entries[0].By != "alice" {
		t.Errorf("entries: %+v", entries)
	}
	if a := s.ask("POST", raw); a.code() != "token_revoked" {
		t.Errorf("while the answer is under way: %d %s", a.Status, a.code())
	}
	close(goOn)
	if body, err := io.ReadAll(resp.Body); string(body) != "the end" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// TestLogoutThatCannotBeWritten: 503 in the place of the backend's answer, and
// in force all the same.
func TestLogoutThatCannotBeWritten(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backend caddyhttp.HandlerFunc
	}{
		{"header", status(204)},
		{"body", func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Set-Cookie", "session=; Max-Age=0")
			w.Header().Set("Content-Length", "3")
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Access-Control-Allow-Origin", "https://app.example.com")
			if n, err := io.WriteString(w, "bye"); n != 3 || err != nil {
				t.Errorf("writing: %d, %v", n, err)
			}
			return http.NewResponseController(w).Flush()
		}},
		{"copied", func(w http.ResponseWriter, _ *http.Request) error {
			n, err := io.Copy(w, strings.NewReader("bye"))
			if n != 3 || err != nil {
				t.Errorf("copying: %d, %v", n, err)
			}
			w.WriteHeader(103)
			return nil
		}},
		{"nothing", func(http.ResponseWriter, *http.Request) error { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newLogoutSite(t, gated, tt.backend)
			raw := s.issuer.Sign(nil)
			if err := s.app.state.list.own.Load().Close(); err != nil {
				t.Fatal(err)
			}
			a := s.ask("POST", raw)
			if a.Status != 503 || a.code() != "revocation_unavailable" || a.Header.Get("Retry-After") == "" ||
				a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
			}
			if a.Header.Get("Set-Cookie") != "" || a.Header.Get("Content-Encoding") != "" || a.Header.Get("Www-Authenticate") != "" {
				t.Errorf("headers of the backend: %v", a.Header)
			}
			if tt.name == "body" && a.Header.Get("Access-Control-Allow-Origin") == "" {
				t.Error("the page cannot read it")
			}
			if a := s.ask("POST", raw); a.code() != "token_revoked" {
				t.Errorf("afterwards: %d %s", a.Status, a.code())
			}
			fresh := s.issuer.Sign(nil)
			if a := s.ask("HEAD", fresh); a.Status != 503 || a.Body != "" {
				t.Errorf("HEAD: %d %q", a.Status, a.Body)
			}
			if a := s.ask("POST", s.issuer.Sign(nil), "Content-Type: application/grpc"); a.Status != 200 || a.Header.Get("Grpc-Status") != "14" {
				t.Errorf("gRPC: %d %v", a.Status, a.Header)
			}
		})
	}
}

// TestAbortedLogout: a handler that breaks the connection off before the header
// has said nothing; after it, the client may have read its 2xx.
func TestAbortedLogout(t *testing.T) {
	for _, begun := range []bool{false, true} {
		s := newLogoutSite(t, gated, func(w http.ResponseWriter, _ *http.Request) error {
			if begun {
				w.WriteHeader(200)
			}
			panic(http.ErrAbortHandler)
		})
		r, _ := http.NewRequestWithContext(t.Context(), "POST", s.server.URL, nil)
		r.Header.Set("Authorization", "Bearer "+s.issuer.Sign(nil))
		if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
			resp.Body.Close()
			if !begun {
				t.Errorf("an answer: %d", resp.StatusCode)
			}
		}
		if entries := s.entries(); (len(entries) == 1) != begun {
			t.Errorf("begun %v: %d entries", begun, len(entries))
		}
		s.app.state.list.lists.mu.Lock()
		if n := s.app.state.list.own.Load().holders; n != 0 {
			t.Errorf("%d holders remain", n)
		}
		s.app.state.list.lists.mu.Unlock()
	}
}

// TestHijackedLogout: an upgrade is no success, nothing is revoked.
func TestHijackedLogout(t *testing.T) {
	for _, announced := range []bool{false, true} {
		s := newLogoutSite(t, gated, func(w http.ResponseWriter, _ *http.Request) error {
			if announced {
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", "x")
				w.WriteHeader(101)
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			defer conn.Close()
			if !announced {
				_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			}
			_, _ = rw.WriteString("hello\n")
			return rw.Flush()
		})
		conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\nAuthorization: Bearer %s\r\n\r\n", s.issuer.Sign(nil))
		answer, err := io.ReadAll(bufio.NewReader(conn))
		if !strings.HasPrefix(string(answer), "HTTP/1.1 101") || !strings.HasSuffix(string(answer), "hello\n") {
			t.Errorf("announced %v: %q, %v", announced, answer, err)
		}
		if entries := s.entries(); len(entries) != 0 {
			t.Errorf("%d entries", len(entries))
		}
	}
}

// TestClientThatLeaves changes nothing: the backend goes on, and its success
// revokes.
func TestClientThatLeaves(t *testing.T) {
	reached, left, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s := newLogoutSite(t, gated, func(w http.ResponseWriter, r *http.Request) error {
		close(reached)
		<-left
		// Long enough for net/http to notice, if it told us.
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
		}
		done <- r.Context().Err()
		w.WriteHeader(204)
		return nil
	})
	raw := s.issuer.Sign(nil)
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", s.server.URL, nil)
	r.Header.Set("Authorization", "Bearer "+raw)
	go func() {
		<-reached
		cancel()
		close(left)
	}()
	if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
		resp.Body.Close()
		t.Fatal("the client did not leave")
	}
	if err := <-done; err != nil {
		t.Errorf("the backend was interrupted: %v", err)
	}
	eventually(t, "revoked", func() bool { return len(s.entries()) == 1 })
}

// TestGRPCLogout: its failures come with HTTP 200.
func TestGRPCLogout(t *testing.T) {
	for status, entries := range map[string]int{"0": 1, "": 1, "5": 0} {
		s := newLogoutSite(t, gated, func(w http.ResponseWriter, _ *http.Request) error {
			if status != "" {
				w.Header().Set("Grpc-Status", status)
			}
			w.WriteHeader(200)
			return nil
		})
		s.ask("POST", s.issuer.Sign(nil), "Content-Type: application/grpc+proto")
		if found := s.entries(); len(found) != entries {
			t.Errorf("status %q: %d entries, want %d", status, len(found), entries)
		}
	}
}
