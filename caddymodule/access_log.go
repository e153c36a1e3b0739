package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/jwtgate/jwtgate/token"
)

// accessField is the object that the access log has for every request that met
// a gate:
//
//	"jwtgate": {"result": "deny", "issuer": "https://id.example.com", "code": "token_expired", "reason": "exp_passed"}
//
// It holds what the configuration and closed lists say, nothing of a token.
const accessField = "jwtgate"

// tellAccessLog lets the access log of r have what becomes of it, if there is
// one. The field is read when the line is written.
func (st *requestState) tellAccessLog(r *http.Request) {
	ctx := r.Context()
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Logs == nil {
		return // no site of the server has one
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Object(accessField, (*accessEntry)(st)))
	}
}

// decided counts what a gate made of the request, and keeps it for the access
// log.
func (run *runtime) decided(st *requestState, result string, reason token.Reason, issuer string) {
	run.metrics.decision(result, reason, issuer)
	st.result, st.issuer = result, issuer
}

// accessEntry is a requestState as the access log sees it.
type accessEntry requestState

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (e *accessEntry) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, f := range [...]struct{ key, value string }{
		{"result", e.result},
		{"issuer", e.issuer},
		{"code", string(e.reason.Code())},
		{"reason", e.reason.String()},
	} {
		if f.value != "" {
			enc.AddString(f.key, f.value)
		}
	}
	return nil
}

// Interface guard.
var _ zapcore.ObjectMarshaler = (*accessEntry)(nil)
