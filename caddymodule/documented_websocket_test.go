package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// dialWebSocket opens a WebSocket with the token as a subprotocol and returns
// the connection behind the handshake.
func (g *gateway) dialWebSocket(t *testing.T, offered string) (*bufio.Reader, net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.WriteString(conn, "GET /feed HTTP/1.1\r\nHost: live.example.com\r\nOrigin: https://app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "+offered+"\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	head := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, %v", head, err)
		}
		if line == "\r\n" {
			return in, conn, dateLine.ReplaceAllString(head, "Date: Sat, 21 Nov 2026 12:00:00 GMT\r")
		}
		head += line
	}
}

// echoes sends a text frame and expects it back.
func echoes(t *testing.T, in *bufio.Reader, conn net.Conn, when string) {
	t.Helper()
	frame := []byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'} // masked with zeros
	if _, err := conn.Write(frame); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	back := make([]byte, len(frame))
	if _, err := io.ReadFull(in, back); err != nil || string(back) != string(frame) {
		t.Fatalf("%s: %x, %v", when, back, err)
	}
}

func (g *gateway) captureWebSocket(t *testing.T, got captures, raw *rawBackend, config []byte) {
	short := g.Issuer.Sign(map[string]any{"exp": time.Now().Add(3 * time.Second)})
	in, conn, head := g.dialWebSocket(t, "jwtgate, jwtgate.bearer."+short)
	block, _ := raw.last()
	if strings.Contains(block, "jwtgate") || strings.Contains(block, short) {
		t.Errorf("the backend got %q", block)
	}
	got["websocket"] = answered{raw: head}.block("A handshake that offers `jwtgate, jwtgate.bearer.<token>`:")
	_, other, head := g.dialWebSocket(t, "chat, jwtgate.bearer."+g.Issuer.Sign(nil))
	other.Close()
	got["websocket backend"] = answered{raw: head}.block("One that offers `chat, jwtgate.bearer.<token>`, where the backend speaks `chat`:")
	expired := g.Issuer.Sign(map[string]any{"exp": time.Now().Add(-time.Hour)})
	got["websocket refused"] = g.wire("GET", "/feed", "live.example.com", "Origin: https://app.example.com", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: jwtgate, jwtgate.bearer."+expired).
		block("One with an expired token:")

	// The connection outlives its token.
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if a := g.wire("GET", "/orders", "live.example.com", "Authorization: Bearer "+short); strings.Contains(a.body, "token_expired") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the token does not expire")
		}
	}
	echoes(t, in, conn, "after the token has expired")
	leaving := g.Issuer.Sign(nil)
	in2, conn2, _ := g.dialWebSocket(t, "jwtgate, jwtgate.bearer."+leaving)
	if a := g.wire("POST", "/auth/logout", "live.example.com", "Authorization: Bearer "+leaving); a.status != http.StatusNoContent {
		t.Fatalf("logout: %s", a.raw)
	}
	echoes(t, in2, conn2, "after the logout")
	closing := map[string]string{"expires": "stays open", "is revoked": "stays open"}

	// A reload closes it.
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(in2)
	if err != nil && len(rest) == 0 {
		t.Fatalf("after a reload: %v", err)
	}
	closing["reload"] = fmt.Sprintf("is closed with code %d", closeCode(t, rest))
	got["websocket ends"] = "| what happens to the token | a WebSocket that is open |\n|---|---|\n" +
		"| it expires | " + closing["expires"] + " |\n| it is revoked | " + closing["is revoked"] + " |\n| nothing, but the gateway's configuration is reloaded | " + closing["reload"] + " |\n"
}

// closeCode reads a close frame. It may be masked: the backend here echoes the
// one that the proxy sends to it.
func closeCode(t *testing.T, frame []byte) int {
	t.Helper()
	if len(frame) >= 8 && frame[0] == 0x88 && frame[1] == 0x82 {
		return int(frame[6]^frame[2])<<8 | int(frame[7]^frame[3])
	}
	if len(frame) < 4 || frame[0] != 0x88 {
		t.Fatalf("no close frame: %x", frame)
	}
	return int(frame[2])<<8 | int(frame[3])
}
