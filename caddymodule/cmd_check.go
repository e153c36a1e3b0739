package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newCheckCommand) }

// checkFlags are the flags of `caddy jwtgate check`.
type checkFlags struct {
	config, adapter string
	options         checkOptions
	json            bool
}

func newCheckCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [--config <file>] [flags]",
		Short: "Looks for what is wrong with a configuration before it goes live",
		Long: `Loads a configuration without starting it, asks each issuer for its keys, and
says what does not work and what is legal but probably wrong: routes that reach a
backend without a gate, headers that clients could forge, checks that are
weakened. Nothing listens, nothing is written, no revocation list is opened.

Exits with 0 when nothing is an error, 1 when something is, and 3 when all that is
wrong is that an issuer cannot be reached: another try may do. With --strict,
warnings are errors. Notes never are.`,
		Example: `  caddy jwtgate check --config /etc/caddy/Caddyfile
  caddy jwtgate check --strict --offline      # in a pipeline that reaches no issuer`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.config, "config", "c", "", "the configuration; - for standard input; default: the Caddyfile here")
	flags.StringVarP(&f.adapter, "adapter", "a", "", "the adapter of a configuration that is neither a Caddyfile nor JSON")
	flags.BoolVar(&f.options.strict, "strict", false, "make errors of warnings")
	flags.DurationVar(&f.options.timeout, "timeout", 10*time.Second, "how long to wait for each issuer")
	flags.BoolVar(&f.options.offline, "offline", false, "ask no issuer")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// errFindings says that the report, which is printed, has errors.
var errFindings = errors.New("there are errors")

func (f *checkFlags) run(cmd *cobra.Command) error {
	if f.options.timeout <= 0 {
		return cli.Usagef("--timeout: %s is not positive", f.options.timeout)
	}
	var report *checkReport
	o, err := loadOffline(cmd.Context(), f.config, f.adapter)
	if err != nil {
		if f.config != "-" && f.config != "" {
			if _, missing := os.Stat(f.config); missing != nil {
				return cli.Usagef("%w", err)
			}
		}
		report = failure(f.config, err)
	} else {
		report = check(cmd.Context(), o, f.options)
		o.close()
	}
	if err := f.print(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	return report.verdict()
}

// verdict is the exit code. It says nothing that the report does not.
func (r *checkReport) verdict() error {
	if r.Errors == 0 {
		return nil
	}
	waiting := 0
	for _, f := range r.Findings {
		if f.ID == "issuer_unreachable" {
			waiting++
		}
	}
	if waiting == r.Errors {
		return cli.Exit(cli.Unreachable, errors.New("an issuer cannot be reached"))
	}
	return cli.Exit(cli.Refused, errFindings)
}

func (f *checkFlags) print(out io.Writer, r *checkReport) error {
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, err := io.WriteString(out, r.text(paintFor(out)))
	return err
}

// text is the report for people.
func (r *checkReport) text(p paint) string {
	var b strings.Builder
	for _, i := range r.Issuers {
		what := i.Source
		if i.Location != "" {
			what += " " + i.Location
		}
		switch {
		case !i.Asked:
			fmt.Fprintf(&b, "%s issuer %s: not asked (%s)\n", p.dim("-"), printable(i.Issuer), printable(what))
		case i.OK:
			took := ""
			if i.Seconds > 0 {
				took = fmt.Sprintf(", %d ms", int64(i.Seconds*1000))
			}
			fmt.Fprintf(&b, "%s issuer %s: %s (%s), %d not used (%s%s)\n", p.green("✓"), printable(i.Issuer), counted(i.Keys, "usable key"),
				strings.Join(i.KeyTypes, ", "), len(i.Skipped), printable(what), took)
		default:
			fmt.Fprintf(&b, "%s issuer %s: %s\n", p.red("✗"), printable(i.Issuer), printable(i.Error))
		}
	}
	if len(r.Issuers) > 0 {
		b.WriteByte('\n')
	}
	for _, f := range r.Findings {
		severity := p.dim(f.Severity)
		switch f.Severity {
		case severityError:
			severity = p.red(f.Severity)
		case severityWarning:
			severity = p.yellow(f.Severity)
		}
		fmt.Fprintf(&b, "%s: %s: %s %s\n", f.place, severity, printable(f.Message), p.dim("["+f.ID+"]"))
		fmt.Fprintf(&b, "    why: %s\n    fix: %s\n\n", f.Why, printable(f.Fix))
	}
	fmt.Fprintf(&b, "%s: %s, %s, %s\n", r.File, counted(r.Errors, "error"), counted(r.Warnings, "warning"), counted(r.Notes, "note"))
	return b.String()
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
