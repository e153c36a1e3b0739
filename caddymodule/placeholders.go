package caddymodule

import (
	"strings"

	"github.com/jwtgate/jwtgate/gate"
	"github.com/jwtgate/jwtgate/token"
)

const (
	userPrefix = "http.auth.user."
	ownPrefix  = "jwtgate."
)

// placeholder answers for {http.auth.user.id}, which is the sub claim,
// {http.auth.user.<claim path>}, {jwtgate.code} and {jwtgate.reason}. They are
// known on every request that met a gate, and empty when there is nothing to
// say. Values are in the default form of forwarded headers and, as everything
// that a placeholder yields, not searched for placeholders again.
func (st *requestState) placeholder(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, userPrefix); ok {
		return st.user(name), true
	}
	if name, ok := strings.CutPrefix(key, ownPrefix); ok {
		switch name {
		case "code":
			return string(st.reason.Code()), true
		case "reason":
			return st.reason.String(), true
		}
	}
	return nil, false
}

func (st *requestState) user(name string) string {
	if name == "id" {
		if st.hideUser && st.logging() {
			return ""
		}
		name = "sub"
	}
	if st.id == nil {
		return ""
	}
	path, err := token.ParsePath(name)
	if err != nil {
		return ""
	}
	return gate.Text(st.id.Claims.Get(path))
}

// logging reports whether it is Caddy's access log that asks. It sets the
// status of the response just before it asks for the user id, and nothing else
// does.
func (st *requestState) logging() bool {
	_, ok := st.repl.Get("http.response.status")
	return ok
}
