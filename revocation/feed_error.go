package revocation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// side is what failed.
type side int

const (
	reading side = iota
	appending
	trimming
	restoring
	sides
)

// problem is what is wrong with a side; its zero value is nothing.
type problem struct{ kind, words string }

// connecting is the kind of all that is wrong on the way to the server: one
// outage shows as several of them by turns.
const connecting = "connection"

// describe turns an error into its kind and into words for an operator that say
// what is needed. They hold no secret.
func (f *Feed) describe(err error) problem {
	var (
		version  *versionError
		rights   *rightsError
		dns      *net.DNSError
		verify   *tls.CertificateVerificationError
		hostname x509.HostnameError
		unknown  x509.UnknownAuthorityError
		record   tls.RecordHeaderError
		alert    tls.AlertError
		replicas *replicasError
	)
	text := err.Error()
	has := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch {
	case errors.As(err, &version):
		return problem{"version", "version: " + text}
	case errors.As(err, &rights), isNoPermission(err):
		return problem{"NOPERM", "rights: " + text + "; the user needs: " + f.rule()}
	case has("WRONGPASS"), has("NOAUTH"), strings.Contains(text, "invalid username-password"),
		strings.Contains(text, "without any password configured"):
		return problem{"auth", "authentication: user name or password is wrong or missing: " + text}
	case errors.As(err, &replicas):
		return problem{"replicas", text}
	case has("READONLY"):
		return problem{"replica", "the server is a read-only replica; name the master, or use sentinel: " + text}
	case has("LOADING"):
		return problem{"loading", "the server is loading its data: " + text}
	case has("OOM"):
		return problem{"memory", "the server's maxmemory is used up: " + text}
	case has("MISCONF"):
		return problem{"disk", "the server cannot write to its disk: " + text}
	case has("WRONGTYPE"):
		return problem{"key", "the key " + f.keys.stream + " is not a stream; choose another prefix: " + text}
	case has("CLUSTERDOWN"):
		return problem{"cluster", "the cluster is down: " + text}
	case has("MOVED"), has("CROSSSLOT"):
		return problem{"cluster", "the server is a node of a cluster; write cluster: " + text}
	case strings.Contains(text, "cluster support disabled"):
		return problem{"cluster", "the server is no node of a cluster; leave cluster out: " + text}
	case has("NOPROTO"), has("ERR unknown command"):
		return problem{"version", "version: needed is Redis 7 or Valkey: " + text}
	case strings.Contains(text, "all sentinels"):
		return problem{"sentinel", "no sentinel knows the master " + f.options.Sentinel + ": " + text}
	case errors.As(err, &dns):
		return problem{connecting, "DNS: " + text}
	case errors.As(err, &verify), errors.As(err, &hostname), errors.As(err, &unknown), errors.As(err, &alert),
		errors.As(err, &record), strings.Contains(text, "tls:"):
		return problem{connecting, "TLS: " + text}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		words := "no answer within " + f.options.Timeout.String()
		if f.answered.Load() == 0 && f.options.URLs[0].Scheme == "rediss" {
			words += "; if the server listens there without TLS, it is redis:// and not rediss://"
		}
		return problem{connecting, words}
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem{connecting, "connection refused: " + text}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return problem{connecting, "the connection was closed: " + text}
	}
	return problem{"other", text}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func isServerError(err error) bool {
	var server redis.Error
	return errors.As(err, &server)
}

func isNoPermission(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "NOPERM")
}

// failed notes what is wrong with a side and says so when it is something else
// than before.
func (f *Feed) failed(s side, err error) {
	if f.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	now := f.describe(err)
	f.mu.Lock()
	before := f.problems[s].kind
	f.problems[s] = now
	others := make([]problem, 0, sides)
	for other, p := range f.problems {
		if side(other) != s {
			others = append(others, p)
		}
	}
	f.mu.Unlock()
	if before == now.kind {
		return
	}
	for _, p := range others {
		if p.kind == now.kind {
			return // the same cause has been told
		}
	}
	f.log.Warn("the feed between gateways does not work; revocations apply here and wait for it",
		"redis", f.endpoint, "while", sideNames[s], "error", now.words)
}

var sideNames = [sides]string{"reading", "appending", "trimming", "putting back"}

// works notes that a side is in order.
func (f *Feed) works(s side) {
	f.mu.Lock()
	was := f.problems[s].kind
	f.problems[s] = problem{}
	all := true
	for _, p := range f.problems {
		all = all && p.kind == ""
	}
	f.mu.Unlock()
	if was != "" && all {
		f.log.Info("the feed between gateways works again", "redis", f.endpoint)
	}
}
