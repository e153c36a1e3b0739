package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwtgate/jwtgate/internal/cli"
	"github.com/jwtgate/jwtgate/revocation"
)

func init() { cli.Add(newRevocationsCommand) }

func newRevocationsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revocations <command>",
		Short: "Lists, counts, exports, imports and undoes revocations",
		Long:  `Works with the revocation list of a running Caddy, through its admin endpoint.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unknown command %q for %q", printable(args[0]), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newListCommand(), newCountCommand(), newExportCommand(), newImportCommand(), newUndoCommand())
	return cmd
}

// listFlags are the flags of `caddy jwtgate revocations list`.
type listFlags struct {
	address, kind, issuer, value string
	undone, json                 bool
	limit                        int
}

func newListCommand() *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "Lists revocations in the order in which they expire",
		Args:  cli.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addressFlag(flags, &f.address)
	flags.StringVar(&f.kind, "kind", "", "only this kind: token, session, subject, client or issuer")
	flags.StringVar(&f.issuer, "issuer", "", "only this issuer")
	flags.StringVar(&f.value, "value", "", "only this jti, sid, sub or client")
	flags.BoolVar(&f.undone, "undone", false, "also those that were undone")
	flags.IntVar(&f.limit, "limit", 100, "at most this many; 0 for all")
	flags.BoolVar(&f.json, "json", false, "print each as a JSON object on a line")
	return cmd
}

// listQuery is the body of a query.
type listQuery struct {
	Kind   string `json:"kind,omitempty"`
	Issuer string `json:"issuer,omitempty"`
	Value  string `json:"value,omitempty"`
	Undone bool   `json:"undone,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Limit  int    `json:"limit"`
}

// listPage is how many entries a listing asks for at a time.
const listPage = 1000

func (f *listFlags) run(cmd *cobra.Command) error {
	if _, ok := revocation.ParseKind(f.kind); f.kind != "" && !ok {
		return cli.Usagef("--kind %s: %s", printable(f.kind), wantKind)
	}
	if f.limit < 0 {
		return cli.Usagef("--limit %d: it cannot be negative", f.limit)
	}
	client, err := newAdminClient(f.address)
	if err != nil {
		return err
	}
	defer client.close()
	show, finish := tableWriter(cmd.OutOrStdout())
	if f.json {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetEscapeHTML(false)
		show, finish = func(e *revocation.EntryJSON) error { return encoder.Encode(e) }, func() error { return nil }
	}
	query := listQuery{Kind: f.kind, Issuer: f.issuer, Value: f.value, Undone: f.undone}
	shown := 0
	for {
		query.Limit = listPage
		if f.limit > 0 {
			query.Limit = min(listPage, f.limit-shown)
		}
		var page queryAnswer
		if err := client.ask(cmd.Context(), http.MethodPost, "/jwtgate/revocations/query", query, &page); err != nil {
			return errors.Join(finish(), err)
		}
		for i := range page.Revocations {
			if err := show(&page.Revocations[i]); err != nil {
				return err
			}
		}
		shown += len(page.Revocations)
		query.Cursor = page.Cursor
		if page.Cursor == "" || f.limit > 0 && shown >= f.limit {
			break
		}
	}
	if query.Cursor != "" && !f.json {
		defer fmt.Fprintf(cmd.ErrOrStderr(), "There are more than %d; see --limit.\n", shown)
	}
	return finish()
}

// tableWriter shows entries as lines of a table.
func tableWriter(out io.Writer) (show func(*revocation.EntryJSON) error, finish func() error) {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKIND\tISSUER\tVALUE\tREVOKED\tISSUED UNTIL\tKEPT UNTIL\tBY\tNOTE")
	show = func(e *revocation.EntryJSON) error {
		note := e.Note
		if e.UndoneAt.After(e.RevokedAt) {
			note = strings.TrimSpace("undone " + shortTime(e.UndoneAt) + " " + note)
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Kind, cell(e.Issuer), cell(e.Value),
			shortTime(e.RevokedAt), shortTime(e.Cutoff), shortTime(e.Until), cell(strings.TrimSpace(e.Via+" "+e.By)), cell(note))
		return err
	}
	return show, table.Flush
}

func shortTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// cell is text that keeps to its place in a table.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	s = graphic(s)
	const most = 80
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most-1]) + "…"
	}
	return s
}

// graphic is printable for a single line.
func graphic(s string) string {
	return strings.Map(func(r rune) rune {
		if !isGraphic(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// isGraphic leaves out what a terminal obeys, marks that change the direction
// of text included.
func isGraphic(r rune) bool { return unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) }

func newCountCommand() *cobra.Command {
	var address string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "count [flags]",
		Short: "Counts revocations in force",
		Args:  cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := newAdminClient(address)
			if err != nil {
				return err
			}
			defer client.close()
			var counts countAnswer
			if err := client.ask(cmd.Context(), http.MethodGet, "/jwtgate/revocations/count", nil, &counts); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(counts)
			}
			for _, kind := range revocation.Kinds() {
				fmt.Fprintf(cmd.OutOrStdout(), "%-8s %d\n", kind, counts.Kinds[kind.String()])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%-8s %d\n%-8s %d\n", "total", counts.Total, "undone", counts.Undone)
			return err
		},
	}
	addressFlag(cmd.Flags(), &address)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newExportCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:     "export [flags]",
		Short:   "Writes all live revocations to standard output, for import",
		Long:    `Writes every live revocation to standard output, undone ones included, as a JSON object on a line. When it cannot be finished, the exit code is not 0.`,
		Example: `  caddy jwtgate revocations export > revocations.ndjson`,
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := newAdminClient(address)
			if err != nil {
				return err
			}
			defer client.close()
			response, err := client.do(cmd.Context(), http.MethodGet, "/jwtgate/revocations/export", "", nil)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			n, err := io.Copy(cmd.OutOrStdout(), response.Body)
			if err != nil {
				return cli.Exit(cli.Refused, fmt.Errorf("the export broke off after %d bytes and is not whole: %w", n, err))
			}
			return nil
		},
	}
	addressFlag(cmd.Flags(), &address)
	return cmd
}

func newUndoCommand() *cobra.Command {
	var address, note string
	cmd := &cobra.Command{
		Use:   "undo <id> [flags]",
		Short: "Takes a revocation back",
		Long:  `Takes the revocation with that id back, which "revoke" and "revocations list" print. Tokens that are still alive are accepted again.`,
		// Ids may begin with a hyphen.
		DisableFlagParsing: true,
	}
	addressFlag(cmd.Flags(), &address)
	cmd.Flags().StringVar(&note, "note", "", "a note that is kept and logged with it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, args := takeID(args)
		err := cmd.Flags().Parse(args)
		help, _ := cmd.Flags().GetBool("help")
		switch {
		case help || errors.Is(err, pflag.ErrHelp):
			return cmd.Help()
		case err != nil:
			return cli.Usagef("%w; see %s --help", err, cmd.CommandPath())
		case id == "" || cmd.Flags().NArg() > 0:
			return cli.Usagef("one id is wanted, which has 22 characters")
		}
		client, err := newAdminClient(address)
		if err != nil {
			return err
		}
		defer client.close()
		var body any
		if note != "" {
			body = order{Note: note}
		}
		if err := client.ask(cmd.Context(), http.MethodDelete, "/jwtgate/revocations/"+id, body, nil); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "undone")
		return err
	}
	return cmd
}

// takeID takes the first argument that is an id out of args.
func takeID(args []string) (id string, rest []string) {
	for i, arg := range args {
		if i > 0 && (args[i-1] == "--note" || args[i-1] == "--address") {
			continue
		}
		if _, err := revocation.ParseDigest(arg); err == nil {
			return arg, slices.Delete(slices.Clone(args), i, i+1)
		}
	}
	return "", args
}
