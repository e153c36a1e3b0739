package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/jwtgate/jwtgate/token"
)

// maxLogged bounds what a DEBUG line quotes of a token or request, in bytes.
const maxLogged = 256

// logRefusal writes the operator's line about a refusal, at DEBUG alone: a
// client's fault is no event of the gateway. The token appears as the head of
// its hash, which finds it again and opens nothing.
func (h *Handler) logRefusal(message string, cred credential, issuer string, refused *token.Refusal) {
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
	if cred.token != "" {
		sum := sha256.Sum256([]byte(cred.token))
		add("token_sha256", hex.EncodeToString(sum[:6]))
		if t, err := token.Parse(cred.token, h.run.maxToken); err == nil {
			add("alg", t.Header.Alg)
			add("kid", t.Header.KeyID)
		}
	}
	c.Write(fields...)
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
