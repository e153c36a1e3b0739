package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/token"
)

func init() { cli.Add(newExplainCommand) }

// explainFlags are the flags of `caddy jwtgate explain`.
type explainFlags struct {
	config, adapter, address          string
	route, host, method, scheme, from string
	header                            []string
	offline, showClaims, json         bool
	timeout                           time.Duration
}

func newExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain [flags] [TOKEN | -]",
		Short: "Says why a token is refused, check by check",
		Long: `Takes a request with the token through the gates, as a client's would go, and
prints every check: what was expected, what was found, and what to do about it.
Then the headers that the backend would get, and the answer that the client
would see. No backend is contacted, and nothing is counted, kept or logged.

Without --config it asks the running Caddy, through its admin endpoint: with the
keys and the revocations that are there now. With --config it loads that file and
asks the issuers itself; it knows no revocations then. With --offline it asks
nobody, and takes the keys that a gateway has left in Caddy's storage, if any.

A token on the command line is seen by every user of the machine, in the list of
processes. With - it is read from standard input.`,
		Example: `  caddy jwtgate explain --route /orders - < token.txt
  caddy jwtgate explain --host api.example.com --route /orders?page=2 --method POST -
  caddy jwtgate explain --config Caddyfile --json - < token.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				// Not what it is: it may be a token.
				return cli.Usagef("one token is wanted, or - to read it from standard input; there are %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.config, "config", "", "load this configuration instead of asking the running Caddy; - for standard input")
	flags.StringVar(&f.adapter, "adapter", "", "how --config is written (default: by the name of the file)")
	addressFlag(flags, &f.address)
	flags.StringVar(&f.route, "route", "/", "path of the request, with its query if it has one")
	flags.StringVar(&f.host, "host", "", "host of the request (default: one that leads to a gate)")
	flags.StringVar(&f.method, "method", http.MethodGet, "method of the request")
	flags.StringVar(&f.scheme, "scheme", "", "http or https (default: what the server speaks)")
	flags.StringArrayVar(&f.header, "header", nil, "'Name: value' of a further header; repeatable")
	flags.StringVar(&f.from, "remote-ip", "", "address of the client (default: a stranger's, "+stranger+")")
	flags.BoolVar(&f.offline, "offline", false, "with --config: ask no issuer")
	flags.BoolVar(&f.showClaims, "show-claims", false, "show the values of claims, not only their types")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for the issuer, or for the running Caddy")
	return cmd
}

func (f *explainFlags) run(cmd *cobra.Command, args []string) error {
	o, notes, err := f.order(cmd, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	var x *explanation
	var asked error
	if f.config != "" {
		x, asked, err = f.explain(ctx, o)
	} else {
		x, err = f.ask(ctx, o)
	}
	if err != nil {
		return err
	}
	x.Warnings = append(notes, x.Warnings...)
	if f.json {
		err = writeASCII(cmd.OutOrStdout(), x)
	} else {
		err = newPrinter(cmd.OutOrStdout()).explanation(x, f.showClaims)
	}
	switch {
	case err != nil:
		return err
	case x.Allowed:
		return nil
	case asked != nil && keysMissing(x):
		return cli.Exit(cli.Unreachable, fmt.Errorf("the issuer does not answer: %w", asked))
	}
	return cli.Exit(cli.Refused, errors.New(map[string]string{"no_gate": "no gate", "undecided": "undecided"}[x.Verdict]+
		map[bool]string{true: "refused"}[x.Verdict != "no_gate" && x.Verdict != "undecided"]))
}

// order makes a request of flags and arguments.
func (f *explainFlags) order(cmd *cobra.Command, args []string) (*explainOrder, []string, error) {
	if f.config == "" && (f.offline || f.adapter != "") {
		return nil, nil, cli.Usagef("--offline and --adapter go with --config")
	}
	if f.config != "" && cmd.Flags().Changed("address") {
		return nil, nil, cli.Usagef("--address asks the running Caddy, --config does without it: give one of them")
	}
	if f.timeout <= 0 {
		return nil, nil, cli.Usagef("--timeout %s: it has to be longer than 0", f.timeout)
	}
	o := &explainOrder{Method: strings.ToUpper(f.method), Scheme: f.scheme, Host: f.host, Path: f.route, RemoteIP: f.from, ShowClaims: f.showClaims}
	for _, line := range f.header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, nil, cli.Usagef("--header: 'Name: value' is wanted")
		}
		if o.Headers == nil {
			o.Headers = map[string][]string{}
		}
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		o.Headers[name] = append(o.Headers[name], strings.TrimSpace(value))
	}
	var notes []string
	if len(args) == 1 {
		text := args[0]
		if text == "-" {
			if f.config == "-" {
				return nil, nil, cli.Usagef("the token and the configuration cannot both come from standard input")
			}
			in, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxAdminBody))
			if err != nil {
				return nil, nil, err
			}
			text = string(in)
		}
		if o.Token, notes = unpaste(text); o.Token == "" {
			return nil, nil, cli.Usagef("there is no token on standard input; leave TOKEN out for a request without one")
		}
	}
	if faults := o.faults(); len(faults) > 0 {
		names := map[string]string{"path": "route", "headers": "header", "remote_ip": "remote-ip"}
		return nil, nil, cli.Usagef("--%s: %s", cmp.Or(names[faults[0].Field], faults[0].Field), faults[0].Detail)
	}
	return o, notes, nil
}

// ask has the running gateway explain.
func (f *explainFlags) ask(ctx context.Context, o *explainOrder) (*explanation, error) {
	client, err := newAdminClient(f.address)
	if err != nil {
		return nil, err
	}
	defer client.close()
	x := new(explanation)
	if err := client.ask(ctx, http.MethodPost, "/jwtgate/explain", o, x); err != nil {
		if cli.Code(err) == cli.Unreachable {
			err = cli.Exit(cli.Unreachable, fmt.Errorf("%w\nWith --config FILE no running Caddy is needed", err))
		}
		return nil, err
	}
	return x, nil
}

// explain loads the configuration and explains with it. asked is why the
// issuer of the token could not be asked.
func (f *explainFlags) explain(ctx context.Context, o *explainOrder) (x *explanation, asked, err error) {
	loaded, err := loadOffline(context.WithValue(context.WithoutCancel(ctx), lastKeysKey{}, true), f.config, f.adapter)
	if err != nil {
		return nil, nil, err
	}
	defer loaded.close()
	s := &explainSite{http: loaded.http, offline: f.offline, now: time.Now}
	if loaded.app != nil {
		asked = readyIssuer(ctx, loaded.app.state.trusts.list(), o.Token, f.offline)
	}
	x = s.explain(ctx, o)
	if asked != nil {
		x.Warnings = append(x.Warnings, "the issuer does not answer: "+asked.Error())
	}
	for _, w := range loaded.warnings {
		x.Warnings = append(x.Warnings, fmt.Sprintf("%s:%d: %s", cmp.Or(w.File, loaded.file), w.Line, w.Message))
	}
	return x, asked, nil
}

// readyIssuer asks for the keys of the issuer that raw names, and of no other
// one. Offline it waits for what is in storage.
func readyIssuer(ctx context.Context, issuers []*trustedIssuer, raw string, offline bool) error {
	t, err := token.Parse(raw, int(maxTokenLimits.most))
	if err != nil {
		return nil //nolint:nilerr // the explanation says it
	}
	failed := make([]error, len(issuers))
	var all sync.WaitGroup
	for i, issuer := range issuers {
		switch {
		case issuer.name != t.Claims.Issuer:
		case offline:
			all.Go(func() { awaitStored(ctx, issuer) })
		default:
			all.Go(func() { failed[i] = issuer.source.RefreshNow(ctx) })
		}
	}
	all.Wait()
	return errors.Join(failed...)
}

// storagePatience is how long storage may take offline.
const storagePatience = time.Second

// awaitStored waits until the issuer has keys, or its storage had the time to
// tell that there are none.
func awaitStored(ctx context.Context, issuer *trustedIssuer) {
	ctx, cancel := context.WithTimeout(ctx, storagePatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if set, _ := issuer.source.Keys(time.Now()); set != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// keysMissing reports whether a gate refused for want of keys.
func keysMissing(x *explanation) bool {
	for i := range x.Gates {
		if x.Gates[i].Code == string(token.CodeKeysUnavailable) {
			return true
		}
	}
	return false
}
