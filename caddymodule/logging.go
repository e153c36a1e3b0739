package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/token"
)

// maxLogged bounds what a DEBUG line quotes of a token or request, in bytes.
const maxLogged = 256

// logRefusal writes the operator's line about a refusal, at DEBUG alone: a
// client's fault is no event of the gateway. The token appears as the head of
// its hash, which finds it again and opens nothing.
func (h *Handler) logRefusal(message string, r *http.Request, cred credential, issuer string, refused *token.Refusal) {
	c := h.run.logger.Check(zap.DebugLevel, message)
	if c == nil {
		return
	}
	fields := []zap.Field{
		zap.String("reason", refused.Reason.String()),
		zap.String("code", string(refused.Reason.Code())),
	}
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, zap.String(key, bounded(value)))
		}
	}
	add("want", refused.Want)
	add("got", refused.Got)
	if refused.Err != nil {
		add("cause", refused.Err.Error())
	}
	if refused.Seconds != 0 {
		fields = append(fields, zap.Int64("seconds", refused.Seconds))
	}
	add("issuer", issuer)
	if source := h.run.keys[issuer]; source != nil {
		if at := source.Status().FetchedAt; !at.IsZero() {
			fields = append(fields, zap.Int64("keys_age_seconds", int64(h.run.now().Sub(at).Seconds())))
		}
	}
	if cred.token != "" {
		sum := sha256.Sum256([]byte(cred.token))
		add("token_sha256", hex.EncodeToString(sum[:6]))
		if t, err := token.Parse(cred.token, h.run.maxToken); err == nil {
			add("alg", t.Header.Alg)
			add("kid", t.Header.KeyID)
		}
	}
	view := newRequestView(r)
	if server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		add("server", server.Name())
	}
	add("method", r.Method)
	add("host", r.Host)
	add("path", withoutTokens(r.URL.Path))
	add("client_ip", view.ClientIP())
	c.Write(fields...)
}

// withoutTokens returns path with what looks like a token in a segment left
// out: where a client puts its token is not in our hands. The first letters
// are those of every JOSE header, {" in base64url.
func withoutTokens(path string) string {
	if !strings.Contains(path, "eyJ") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if start := strings.Index(s, "eyJ"); start >= 0 {
			segments[i] = s[:start] + "..."
		}
	}
	return strings.Join(segments, "/")
}

// bounded cuts s between characters.
func bounded(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	end := maxLogged
	for end > maxLogged-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}
