package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// The words that OnFetch is told; FetchResults lists them.
const (
	resultOK          = "ok"
	resultNotModified = "not_modified"
	resultNetwork     = "network"
	resultTLS         = "tls"
	resultDNS         = "dns"
	resultTimeout     = "timeout"
	resultStatus      = "status"
	resultContent     = "content"
	resultIssuer      = "issuer_mismatch"
	resultFile        = "file" // of files alone; OnFetch is not told
)

// fault is why a fetch failed: a word for metrics and a sentence for people.
type fault struct {
	result string
	text   string
	status int // of the answer, for resultStatus
}

func (f *fault) Error() string { return f.text }

func faultf(result, format string, args ...any) *fault {
	return &fault{result: result, text: fmt.Sprintf(format, args...)}
}

// resultOf returns the word for err.
func resultOf(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return f.result
	}
	return resultNetwork
}

// ErrorKind returns the word from ErrorKinds for an error of RefreshNow; empty
// for nil.
func ErrorKind(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return resultTimeout
	}
	return resultOf(err)
}

// statusOf returns the HTTP status that err is about; 0 if none.
func statusOf(err error) int {
	var f *fault
	if errors.As(err, &f) {
		return f.status
	}
	return 0
}

// networkFault names what kept a request from being answered: the name, the
// certificate, the time or the connection.
func networkFault(where string, err error) *fault {
	var own *fault
	if errors.As(err, &own) {
		return &fault{result: own.result, text: where + ": " + own.text, status: own.status}
	}
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case errors.As(err, &dns):
		return faultf(resultDNS, "%s: DNS: %s", where, dnsText(dns))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return faultf(resultTimeout, "%s: timeout: no complete answer in time", where)
	case isTLS(err):
		return faultf(resultTLS, "%s: TLS: %s", where, innermost(err))
	}
	return faultf(resultNetwork, "%s: network: %s", where, innermost(err))
}

func dnsText(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "no such host " + err.Name
	case err.IsTimeout:
		return "no answer for host " + err.Name + " in time"
	}
	return "cannot resolve host " + err.Name
}

func isTLS(err error) bool {
	var (
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		alert    tls.AlertError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		cert     x509.CertificateInvalidError
		system   x509.SystemRootsError
	)
	if errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &unknown) ||
		errors.As(err, &hostname) || errors.As(err, &cert) || errors.As(err, &system) {
		return true
	}
	text := err.Error()
	// net/http and crypto/tls have plain errors for some mistakes.
	return strings.Contains(text, "tls: ") || strings.Contains(text, "TLS handshake") ||
		strings.Contains(text, "server gave HTTP response to HTTPS client")
}

// innermost drops the layers that repeat method, URL and address.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
