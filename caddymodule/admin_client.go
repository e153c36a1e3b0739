package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/pflag"

	"github.com/jwtgate/jwtgate/internal/cli"
)

// adminClient asks the admin endpoint of a running Caddy. Caddy's own client
// makes a transport for each request, which a long import could not afford, and
// turns answers into text.
type adminClient struct {
	address string // as it was given, for errors
	base    string // of URLs
	origin  string // for the Origin header; empty on a socket
	http    *http.Client
}

// addressFlag adds --address to a command.
func addressFlag(flags *pflag.FlagSet, into *string) {
	flags.StringVar(into, "address", "", "admin endpoint: host:port, http://host:port or unix//path (default: $CADDY_ADMIN, else localhost:2019)")
}

// newAdminClient returns a client for address, or for the one that Caddy's own
// commands would ask.
func newAdminClient(address string) (*adminClient, error) {
	if address = strings.TrimSpace(address); strings.HasPrefix(address, "https://") {
		return nil, cli.Usagef("--address %s: the local admin endpoint speaks no TLS; the remote one takes requests with a client certificate, see docs/revocations.md", address)
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	address, err := caddycmd.DetermineAdminAPIAddress(address, nil, "", "")
	if err != nil {
		return nil, cli.Usagef("--address: %w", err)
	}
	parsed, err := caddy.ParseNetworkAddressWithDefaults(address, "tcp", 2019)
	if err != nil || parsed.PortRangeSize() > 1 || !slices.Contains([]string{"tcp", "tcp4", "tcp6", "unix"}, parsed.Network) {
		return nil, cli.Usagef("--address %s: neither host:port nor unix//path", address)
	}
	c := &adminClient{address: address, base: "http://127.0.0.1"}
	network, target := parsed.Network, parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		// A listener's address may name the permissions of the socket.
		target, _, _ = strings.Cut(target, "|")
	} else {
		c.base = "http://" + target
		c.origin = c.base
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, target)
			},
			// The gateway waits for its disk for less.
			ResponseHeaderTimeout: 3 * writeTimeout,
			// Caddy closes its own at 60 s.
			IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (c *adminClient) close() { c.http.CloseIdleConnections() }

// adminRefusal is an answer of the endpoint that says no.
type adminRefusal struct {
	adminProblem
	text string // of an answer that is not ours
}

// Error implements error.
func (e *adminRefusal) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the admin endpoint answered %d: %s", e.Status, printable(e.text))
	}
	s := e.Title
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	for _, f := range e.Errors {
		s += "\n  "
		if f.Line > 0 {
			s += fmt.Sprintf("line %d: ", f.Line)
		}
		if f.Field != "" {
			s += f.Field + ": "
		}
		s += f.Detail
	}
	if more := e.ErrorCount - len(e.Errors); more > 0 {
		s += fmt.Sprintf("\n  and %d more", more)
	}
	return printable(s)
}

// unreachable names the way that is left.
func (c *adminClient) unreachable(err error) error {
	return cli.Exit(cli.Unreachable, fmt.Errorf(
		"the admin endpoint at %s does not answer: %w\nIs Caddy running, and with this admin address? With `admin off` there is none: revoke through an endpoint with jwtgate_revoke instead, see docs/revocations.md",
		c.address, innermost(err)))
}

// innermost drops the URL that net/http puts before the cause.
func innermost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}

// do sends a request. Its error has the exit code that it leads to; answers
// from 400 on are errors that hold an *adminRefusal. The caller closes the body.
func (c *adminClient) do(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	response, err := c.send(ctx, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return nil, cli.Exit(cli.Refused, refusalOf(response.StatusCode, text))
}

// send is do without a look at the answer.
func (c *adminClient) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if c.origin != "" {
		r.Header.Set("Origin", c.origin)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return response, nil
}

func refusalOf(status int, text []byte) *adminRefusal {
	e := new(adminRefusal)
	if err := json.Unmarshal(text, &e.adminProblem); err == nil && e.Code != "" {
		return e
	}
	e.adminProblem = adminProblem{Status: status}
	var caddys struct {
		Error string `json:"error"`
	}
	switch {
	case json.Unmarshal(text, &caddys) == nil && caddys.Error != "":
		e.text = caddys.Error
	case status == http.StatusNotFound:
		e.text = "this Caddy has no jwtgate"
	default:
		e.text = http.StatusText(status)
	}
	return e
}

// ask sends v as JSON, if it is not nil, and reads the answer into out.
func (c *adminClient) ask(ctx context.Context, method, path string, v, out any) error {
	var body io.Reader
	contentType := ""
	if v != nil {
		encoded, err := json.Marshal(v)
		if err != nil {
			return err
		}
		body, contentType = strings.NewReader(string(encoded)), "application/json"
	}
	response, err := c.do(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return c.unreachable(fmt.Errorf("reading its answer: %w", err))
	}
	return nil
}

// terminal returns the file behind a stream that is a terminal, nil otherwise.
func terminal(stream any) *os.File {
	file, ok := stream.(*os.File)
	if !ok || !isTerminal(file) {
		return nil
	}
	return file
}
