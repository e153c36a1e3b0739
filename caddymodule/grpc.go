package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
)

const grpcType = "application/grpc"

// isGRPC reports whether r is a gRPC call, in any of its encodings.
func isGRPC(r *http.Request) bool {
	lines := r.Header["Content-Type"]
	return len(lines) > 0 && len(lines[0]) >= len(grpcType) && strings.EqualFold(lines[0][:len(grpcType)], grpcType)
}

// writeGRPC sends a trailers-only response: gRPC clients read the status from
// there and take any other HTTP status for a broken server.
func (a *reply) writeGRPC(w http.ResponseWriter) {
	header := w.Header()
	delete(header, "Www-Authenticate")
	header["Content-Type"] = []string{grpcType}
	header["Grpc-Status"] = []string{strconv.Itoa(a.grpc)}
	header["Grpc-Message"] = []string{string(a.code)}
	w.WriteHeader(http.StatusOK)
}
