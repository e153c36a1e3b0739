package caddymodule_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/jwtgate/jwtgate/token"
)

// over2 returns a as a request for Go's HTTP/2 client, if that can send it.
func (l *lab) over2(a attack) (*http.Request, bool) {
	if a.raw != "" || a.want.server != nil || a.body != "" {
		return nil, false
	}
	method, target := a.method, a.target
	if method == "" {
		method = http.MethodGet
	}
	if target == "" {
		target = "/" + a.gate + "/x"
	}
	if strings.HasPrefix(target, "http:") || strings.Contains(target, "#") || method == http.MethodHead {
		return nil, false
	}
	r, err := http.NewRequest(method, "http://"+l.addr+target, nil)
	if err != nil {
		return nil, false
	}
	if a.token != "" {
		r.Header["Authorization"] = []string{"Bearer " + a.token}
	}
	for _, line := range a.head {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " \t")
		switch strings.ToLower(name) {
		case "connection", "proxy-connection", "keep-alive", "upgrade", "te", "content-length", "transfer-encoding", "trailer", "host":
			return nil, false // forbidden in HTTP/2, or the client's own
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, false
		}
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], value)
	}
	return r, true
}

func (l *lab) exchange2(t *testing.T, client *http.Client, r *http.Request) reply {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatalf("%s, %v", resp.Proto, err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// frames sends what Go's client would not: one request in frames of our own
// (conformance 20.14).
func (l *lab) frames(t *testing.T) {
	tok, other := l.token(l.keys.ec), l.token(l.keys.rsa)
	f := func(pairs ...string) []hpack.HeaderField {
		var fields []hpack.HeaderField
		for i := 0; i < len(pairs); i += 2 {
			fields = append(fields, hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return fields
	}
	bearer := []string{"authorization", "Bearer " + tok}
	for _, tt := range []struct {
		name, path string
		fields     []hpack.HeaderField
		status     string // empty: the server ends the stream
		reason     token.Reason
	}{
		{"control", "/main/x", f(bearer...), "200", token.ReasonNone},
		{"nothing", "/main/x", nil, "401", token.TokenMissing},
		{"cookie crumbs", "/cookie/x", f("cookie", "a=b", "cookie", "session="+tok, "cookie", "c=d"), "200", token.ReasonNone},
		{"cookie crumbs, two tokens", "/cookie/x", f("cookie", "session="+tok, "cookie", "session="+other), "400", token.TokenDuplicate},
		{"two authorizations", "/main/x", f("authorization", "Bearer "+tok, "authorization", "Bearer "+other), "400", token.AuthorizationMalformed},
		{"a name in upper case", "/main/x", f("Authorization", "Bearer "+tok), "", token.ReasonNone},
		{"NUL in a value", "/main/x", f("authorization", "Bearer "+tok+"\x00"), "", token.ReasonNone},
		{"CRLF in a value", "/main/x", f(append(bearer, "x-y", "a\r\nx-auth-email: mallory")...), "", token.ReasonNone},
		{"blank in a name", "/main/x", f(append(bearer, "x-auth-email ", "mallory")...), "", token.ReasonNone},
		{"an unknown pseudo-header", "/main/x", f(append(bearer, ":x-auth-email", "mallory")...), "", token.ReasonNone},
		{"a connection header", "/main/x", f(append(bearer, "connection", "x-auth-sub")...), "400", token.ReasonNone},
		{"spoofed", "/main/x", f(append(bearer, "x-auth-sub", "mallory", "x_auth_email", "mallory", "x-auth-email", "mallory")...), "200", token.ReasonNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, _ := l.backend.since(0)
			status, reason := l.frame(t, tt.path, tt.fields)
			if status != tt.status || reason != tt.reason.String() {
				t.Errorf("status %q, reason %q, want %q %q", status, reason, tt.status, tt.reason)
			}
			hits, seen := l.backend.since(before)
			if (hits == 1) != (tt.status == "200") {
				t.Fatalf("%d at the backend", hits)
			}
			if hits == 1 {
				for name, want := range map[string]string{"X-Auth-Sub": "alice", "X-Auth-Email": ""} {
					if have, _ := seen.field(name); have != want {
						t.Errorf("%s: the backend got %q, want %q", name, have, want)
					}
				}
			}
		})
	}
}

// frame sends one GET over a connection of its own and returns the :status and
// the reason of the answer; both are empty when the server ends stream or
// connection without one.
func (l *lab) frame(t *testing.T, path string, fields []hpack.HeaderField) (status, reason string) {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, field := range append([]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: l.addr}, {Name: ":path", Value: path}}, fields...) {
		if err := enc.WriteField(field); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	// In a frame of its own per 100 bytes: CONTINUATION must change nothing.
	first := block.Next(100)
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: true, EndHeaders: block.Len() == 0}); err != nil {
		t.Fatal(err)
	}
	for block.Len() > 0 {
		if err := framer.WriteContinuation(1, block.Len() <= 100, block.Next(100)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "", ""
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.Fields {
				switch field.Name {
				case ":status":
					status = field.Value
				case "x-reason":
					reason = field.Value
				}
			}
			return status, reason
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "", ""
		}
	}
}
