// Package demo is the command `caddy jwtgate demo`: a development issuer, a
// backend that knows nothing of tokens, and the gateway of Caddyfile.example
// between them, in one process and on loopback only.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/internal/issuer"
)

// Audience is what the demo's tokens are made for.
const Audience = "orders-api"

// issuerAlgorithms have a key from the start; the first is the default.
var issuerAlgorithms = []string{"RS256", "ES256", "ES384", "EdDSA", "PS256"}

// stopWithin bounds the wait for requests in flight when the demo stops.
const stopWithin = 3 * time.Second

// Register adds the command. caddyfile is the configuration of its gateway,
// which it parameterises through the JWTGATE_* environment.
func Register(caddyfile []byte) {
	cli.Add(func() *cobra.Command { return newCommand(caddyfile) })
}

type options struct {
	gateway, issuer, backend, admin int // ports; 0: any free one
	data                            string
	config                          string // path of a Caddyfile instead of caddyfile
	caddyfile                       []byte
}

func newCommand(caddyfile []byte) *cobra.Command {
	o := options{caddyfile: caddyfile}
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Shows the gate at work: issuer, legacy backend and gateway on this machine",
		Long: `Starts a development issuer, a backend that knows nothing of tokens, and the
gateway of Caddyfile.example between them, and prints curl commands to try.

With --config it runs a Caddyfile of your own instead, which finds the demo's
addresses in the environment: JWTGATE_SITE, JWTGATE_BIND, JWTGATE_ISSUER,
JWTGATE_AUDIENCE, JWTGATE_BACKEND and JWTGATE_ADMIN.

Everything listens on 127.0.0.1 alone and needs neither root nor a network. Keys
and data stay in a directory of their own, so tokens outlive a restart. Ctrl-C
stops it all.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// A second Ctrl-C ends the process at once.
			context.AfterFunc(ctx, stop)
			return run(ctx, o, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&o.gateway, "gateway", 8080, "port of the gateway, 0 for any free one")
	flags.IntVar(&o.issuer, "issuer", 8081, "port of the issuer, 0 for any free one")
	flags.IntVar(&o.backend, "backend", 8082, "port of the backend, 0 for any free one")
	flags.IntVar(&o.admin, "admin", 2019, "port of Caddy's admin API, 0 for any free one")
	flags.StringVar(&o.data, "data", "", "directory for keys and data (default: jwtgate-demo in the user's data directory)")
	flags.StringVar(&o.config, "config", "", "Caddyfile of the gateway (default: Caddyfile.example, built in)")
	return cmd
}

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.data == "" {
		if o.data, err = defaultData(); err != nil {
			return err
		}
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return err
	}
	if o.config != "" {
		if o.caddyfile, err = os.ReadFile(o.config); err != nil {
			return err
		}
	}
	unlock, err := lockData(o.data)
	if err != nil {
		return err
	}
	defer unlock()

	places, err := listenAll(o)
	if err != nil {
		return err
	}
	defer places.close()

	iss, err := issuer.New(issuer.Config{
		URL:        places.issuer.url(),
		Audience:   []string{Audience},
		Dir:        filepath.Join(o.data, "issuer"),
		Algorithms: issuerAlgorithms,
	})
	if err != nil {
		return err
	}
	servers := make(chan error, 2)
	defer serve(places.issuer.listener, iss, servers)()
	defer serve(places.backend.listener, http.HandlerFunc(serveBackend), servers)()

	config, err := gatewayConfig(o, places)
	if err != nil {
		return err
	}
	places.yield()
	// What Caddy says until its log goes to the file is of no use on a terminal.
	_, logger, _ := caddy.BufferedLog()
	if err := caddy.Load(config, true); err != nil {
		caddy.UnbufferDefaultLogger(logger)
		return fmt.Errorf("gateway: %w", err)
	}
	defer func() {
		if stopErr := caddy.Stop(); stopErr != nil && err == nil {
			err = fmt.Errorf("stopping the gateway: %w", stopErr)
		}
	}()
	if o.config == "" { // nobody knows what another gateway answers
		if err := waitReady(ctx, places.gateway.url(), iss); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("%w; its log is %s", err, logFile(o.data))
		}
	}
	if err := describe(out, o, places); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(out, "\nstopping")
		return nil
	case err := <-servers:
		return err
	}
}

// serve runs a server on l; the returned function stops it.
func serve(l net.Listener, h http.Handler, failed chan<- error) (stop func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
	}
}

// waitReady returns when the gateway has the issuer's keys: it fetches them in
// the background and answers 503 until then.
func waitReady(ctx context.Context, gateway string, iss *issuer.Issuer) error {
	raw, err := iss.Token(issuer.Request{Username: issuer.SampleUsers[0].Name})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"/orders", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+raw)
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("the gateway answers %s to a good token", resp.Status)
			if resp.StatusCode != http.StatusServiceUnavailable {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// defaultData is the demo's place in the user's data directory.
func defaultData() (string, error) {
	const name = "jwtgate-demo"
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, name), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the demo's data, choose one with --data: %w", err)
	}
	switch runtime.GOOS {
	case "windows":
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, name), nil
		}
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", name), nil
	}
	return filepath.Join(home, ".local", "share", name), nil
}
