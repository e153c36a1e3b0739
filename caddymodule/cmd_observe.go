package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newObserveCommand) }

// observeFlags are the flags of `caddy jwtgate observe-report`.
type observeFlags struct {
	address, failAbove string
	json, reset        bool
}

func newObserveCommand() *cobra.Command {
	var f observeFlags
	cmd := &cobra.Command{
		Use:   "observe-report [flags]",
		Short: "Says what gates with `observe` would have refused",
		Long: `Asks a running Caddy what its gates with observe would have refused, why, and how
often, by route, issuer and client, since they began to observe or since --reset.
A client is the client_id or azp of a token whose signature held; what tokens
claim that are forged or expired is not looked at. No person is named.

Exit code 0: the report is printed. 1: with --fail-above, more would be refused
than that, or there is nothing to judge by. 3: the admin endpoint does not answer.`,
		Example: `  caddy jwtgate observe-report
  caddy jwtgate observe-report --fail-above 0.5%
  caddy jwtgate observe-report --reset`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addressFlag(flags, &f.address)
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.BoolVar(&f.reset, "reset", false, "let the counts begin again once the report is printed")
	flags.StringVar(&f.failAbove, "fail-above", "", "exit with 1 when more than this share would be refused, such as 0.5%")
	return cmd
}

func (f *observeFlags) run(cmd *cobra.Command) error {
	limit, err := f.limit()
	if err != nil {
		return err
	}
	client, err := newAdminClient(f.address)
	if err != nil {
		return err
	}
	defer client.close()
	var report observeReport
	if err := client.ask(cmd.Context(), http.MethodGet, "/jwtgate/observe-report", nil, &report); err != nil {
		return err
	}
	if f.json {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	} else {
		err = report.print(cmd.OutOrStdout(), time.Now())
	}
	if err != nil {
		return err
	}
	if f.reset {
		if err := client.ask(cmd.Context(), http.MethodDelete, "/jwtgate/observe-report", nil, nil); err != nil {
			return err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "The counts begin again.")
	}
	if f.failAbove == "" {
		return nil
	}
	refused, all := report.totals()
	switch {
	case all == 0:
		return cli.Exit(cli.Refused, fmt.Errorf("no request has met a gate that observes: there is nothing to judge by"))
	case float64(refused) > limit/100*float64(all):
		return cli.Exit(cli.Refused, fmt.Errorf("%s would be refused, which is more than %s", percent(refused, all), strings.TrimSpace(f.failAbove)))
	}
	return nil
}

// limit reads --fail-above, in percent.
func (f *observeFlags) limit() (float64, error) {
	if f.failAbove == "" {
		return 0, nil
	}
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(f.failAbove), "%"))
	limit, err := strconv.ParseFloat(text, 64)
	if err != nil || !(limit >= 0 && limit <= 100) {
		return 0, cli.Usagef("--fail-above %s: not a share between 0%% and 100%%", printable(f.failAbove))
	}
	return limit, nil
}

// totals returns how many requests would be refused, of how many.
func (r *observeReport) totals() (refused, all uint64) {
	for i := range r.Gates {
		n := r.Gates[i].refused()
		refused += n
		all += n + r.Gates[i].WouldPass
	}
	return refused, all
}

// maxShownObserved keeps the table of a gate on the screen.
const maxShownObserved = 20

func (r *observeReport) print(out io.Writer, now time.Time) error {
	var b bytes.Buffer
	if len(r.Gates) == 0 {
		b.WriteString("No gate observes. Write `observe` into a gate to see what it would refuse, while everything passes.\n")
		_, err := out.Write(b.Bytes())
		return err
	}
	fmt.Fprintf(&b, "%s\n", share(r.totals()))
	for i := range r.Gates {
		g := &r.Gates[i]
		refused := g.refused()
		fmt.Fprintf(&b, "\n%s, since %s (%s)\n", graphic(g.Route), shortTime(g.Since), shortSpan(now.Sub(g.Since)))
		if len(r.Gates) > 1 {
			fmt.Fprintf(&b, "%s\n", share(refused, refused+g.WouldPass))
		}
		g.printRows(&b)
	}
	_, err := out.Write(b.Bytes())
	return err
}

// share is what the counts mean.
func share(refused, all uint64) string {
	switch {
	case all == 0:
		return "No request yet."
	case refused == 0:
		return fmt.Sprintf("Enforcing now would refuse none of %s requests.", thousands(all))
	}
	return fmt.Sprintf("Enforcing now would refuse %s of %s requests (%s).", thousands(refused), thousands(all), percent(refused, all))
}

func (g *observeGate) printRows(b *bytes.Buffer) {
	if len(g.WouldRefuse) == 0 {
		return
	}
	refused := g.refused()
	table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "COUNT\tOF ALL\tREASON\tCODE\tISSUER\tCLIENT\tLAST")
	hidden := uint64(0)
	for i := range g.WouldRefuse {
		row := &g.WouldRefuse[i]
		if i >= maxShownObserved {
			hidden += row.Count
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", thousands(row.Count), percent(row.Count, refused+g.WouldPass),
			cell(row.Reason), cell(row.Code), cell(row.Issuer), cell(row.Client), shortTime(row.LastAt))
	}
	_ = table.Flush() // into memory
	if hidden > 0 {
		fmt.Fprintf(b, "and %s of %d more kinds; see --json\n", thousands(hidden), len(g.WouldRefuse)-maxShownObserved)
	}
	if g.Unlisted > 0 {
		fmt.Fprintf(b, "and %s of kinds that found no room: a gate keeps %d\n", thousands(g.Unlisted), maxObserved)
	}
}
