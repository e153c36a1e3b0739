package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newStatusCommand) }

// statusFlags are the flags of `caddy jwtgate status`.
type statusFlags struct {
	address string
	json    bool
	watch   time.Duration
}

// watchLeast keeps a watching terminal from keeping the gateway busy.
const watchLeast = 500 * time.Millisecond

func newStatusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Says whether everything is in order, and what is not",
		Long: `Asks the admin endpoint of a running Caddy how the gate does. The first line says
whether everything is in order; what is wrong comes next, with what to do; then
keys, revocations, the feed between gateways, and what was refused in the last
minutes.

Exit code 0: in order, or with warnings alone. 1: not ready or degraded, which is
that some good tokens are answered with 503 or that something may be lost. 3: the
admin endpoint does not answer.`,
		Example: `  caddy jwtgate status
  caddy jwtgate status --watch
  caddy jwtgate status --json | jq .problems`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addressFlag(flags, &f.address)
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.DurationVar(&f.watch, "watch", 0, "show it again and again, each so often: --watch=10s")
	flags.Lookup("watch").NoOptDefVal = "2s"
	return cmd
}

func (f *statusFlags) run(cmd *cobra.Command) error {
	if cmd.Flags().Changed("watch") && f.watch < watchLeast {
		return cli.Usagef("--watch %s: at least %s", f.watch, watchLeast)
	}
	client, err := newAdminClient(f.address)
	if err != nil {
		return err
	}
	defer client.close()
	if f.watch == 0 {
		return f.show(cmd.Context(), client, cmd.OutOrStdout(), paintFor(cmd.OutOrStdout()))
	}
	return f.watchOn(cmd, client)
}

// show prints the status once. What is wrong is the error.
func (f *statusFlags) show(ctx context.Context, client *adminClient, out io.Writer, p paint) error {
	var raw json.RawMessage
	if err := client.ask(ctx, http.MethodGet, "/jwtgate/status", nil, &raw); err != nil {
		return err
	}
	var s gatewayStatus
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("reading the status: %w", err)
	}
	var err error
	if f.json {
		_, err = fmt.Fprintf(out, "%s\n", raw)
	} else {
		err = s.print(out, p)
	}
	if err == nil && (s.State == stateNotReady || s.State == stateDegraded) {
		err = cli.Exit(cli.Refused, errors.New("not everything is in order"))
	}
	return err
}

// watchOn prints until the caller's context ends. A gateway that does not answer
// may be on its way.
func (f *statusFlags) watchOn(cmd *cobra.Command, client *adminClient) error {
	out := cmd.OutOrStdout()
	p, screen := paintFor(out), terminal(out) != nil
	ticker := time.NewTicker(f.watch)
	defer ticker.Stop()
	for {
		if screen && !f.json {
			_, _ = io.WriteString(out, "\x1b[H\x1b[2J")
		}
		err := f.show(cmd.Context(), client, out, p)
		if code := cli.Code(err); cmd.Context().Err() == nil && code == cli.Unreachable || code == cli.Usage {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
		}
		if !f.json {
			_, _ = io.WriteString(out, "\n")
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
}
