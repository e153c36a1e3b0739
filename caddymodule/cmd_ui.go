package caddymodule

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/caddymodule/ui"
	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newUICommand) }

// uiFlags are the flags of `caddy jwtgate ui`.
type uiFlags struct {
	address, listen, expose string
	readOnly                bool
}

func newUICommand() *cobra.Command {
	var f uiFlags
	cmd := &cobra.Command{
		Use:   "ui [flags]",
		Short: "Serves a page on this machine that shows the gateway and works on its revocations",
		Long: `Serves one page for a browser on this machine and prints its URL: readiness,
issuers and keys, decisions by reason, revocations, what observing gates would
refuse, and a box that explains a token. The page asks the admin endpoint of a
running Caddy, which itself refuses browsers.

The URL ends in a random path. Whoever has it can do what the page does, so treat
it as a password; it is worth nothing once this command has ended. With
--read-only the page only shows.

For the page of another machine, forward its port instead of opening it:
  ssh -L 9000:127.0.0.1:9000 gateway caddy jwtgate ui --listen 127.0.0.1:9000`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// A second Ctrl-C ends the process at once.
			context.AfterFunc(ctx, stop)
			return f.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addressFlag(flags, &f.address)
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "where the page is; port 0 is any free one")
	flags.BoolVar(&f.readOnly, "read-only", false, "show only: no revoking, undoing, refreshing or resetting")
	flags.StringVar(&f.expose, "expose", "", "serve beyond this machine, in plain HTTP, under this host name or IP address")
	return cmd
}

func (f *uiFlags) run(ctx context.Context, out, warn io.Writer) error {
	client, err := newAdminClient(f.address)
	if err != nil {
		return err
	}
	defer client.close()
	l, err := f.listener(ctx)
	if err != nil {
		return err
	}
	o := ui.Options{Admin: adminRelay{client}, Address: client.address, ReadOnly: f.readOnly}
	host := "127.0.0.1"
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		host = a.IP.String()
	}
	if f.expose != "" {
		host = f.expose
	}
	o.Hosts = []string{host}
	page, err := ui.New(o)
	if err != nil {
		_ = l.Close()
		return err
	}
	if !ui.Loopback(l) {
		fmt.Fprintln(warn, "The page can be reached from other machines, without TLS: whoever reads along can do what it does.")
	}
	port := l.Addr().(*net.TCPAddr).Port
	fmt.Fprintf(out, "http://%s%s\n", net.JoinHostPort(host, strconv.Itoa(port)), page.Path())
	fmt.Fprintf(warn, "The page of the gateway at %s; Ctrl-C ends it. Whoever has this URL can do what the page does.\n", client.address)
	return page.Serve(ctx, l)
}

// listener opens --listen, beyond loopback only with --expose.
func (f *uiFlags) listener(ctx context.Context) (net.Listener, error) {
	if strings.ContainsAny(f.expose, "/@ ") {
		return nil, cli.Usagef("--expose %s: a host name or an IP address is wanted, without a scheme, port or path", printable(f.expose))
	}
	if host, _, err := net.SplitHostPort(f.expose); err == nil {
		return nil, cli.Usagef("--expose %s: leave the port out: %s", printable(f.expose), printable(host))
	}
	host, port, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, cli.Usagef("--listen %s: host:port is wanted, such as 127.0.0.1:9000", printable(f.listen))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, cli.Usagef("--listen %s: %q is no port from 0 to 65535", printable(f.listen), port)
	} else if host == "" && f.expose == "" {
		return nil, cli.Usagef("--listen %s listens on every address of this machine; write 127.0.0.1:%d, or see --expose", printable(f.listen), n)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, cli.Exit(cli.Refused, fmt.Errorf("--listen %s: %w", printable(f.listen), err))
	}
	if !ui.Loopback(l) && f.expose == "" {
		_ = l.Close()
		return nil, cli.Usagef("--listen %s can be reached from other machines, and the page has no password but its URL, and no TLS. "+
			"Write 127.0.0.1:%s and forward the port (see --help), or say --expose HOST if that is meant", printable(f.listen), port)
	}
	return l, nil
}

// adminRelay is an adminClient that leaves answers as they are.
type adminRelay struct{ *adminClient }

// Send implements ui.Admin.
func (c adminRelay) Send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	if len(body) == 0 {
		return c.send(ctx, method, path, "", nil)
	}
	return c.send(ctx, method, path, "application/json", bytes.NewReader(body))
}
