package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newRefreshCommand) }

func newRefreshCommand() *cobra.Command {
	var address string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "refresh [issuer] [flags]",
		Short: "Fetches the keys of the issuers now",
		Long: `Has a running Caddy fetch the keys of one issuer, or of all, past every cache on the
way, and says what changed. The gate does so by itself when keys are due and when a
token names an unknown one; this is for when you have just mended something.

Exit code 0: all were fetched. 1: one could not be, or the issuer is not
configured. 3: the admin endpoint does not answer.`,
		Example: `  caddy jwtgate refresh
  caddy jwtgate refresh https://id.example.com`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] == "" {
				return cli.Usagef("one issuer, or none for all of them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := newAdminClient(address)
			if err != nil {
				return err
			}
			defer client.close()
			path := "/jwtgate/refresh"
			if len(args) == 1 {
				path += "/" + pathSegment(args[0])
			}
			var answer refreshAnswer
			if err := client.ask(cmd.Context(), http.MethodPost, path, nil, &answer); err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
			} else {
				_, err = fmt.Fprint(cmd.OutOrStdout(), answer.text())
			}
			for i := range answer.Issuers {
				if err == nil && !answer.Issuers[i].OK {
					err = cli.Exit(cli.Refused, errors.New("not all keys could be fetched"))
				}
			}
			return err
		},
	}
	addressFlag(cmd.Flags(), &address)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// pathSegment escapes s so that it stays one segment, whatever a server makes of
// dots.
func pathSegment(s string) string { return strings.ReplaceAll(url.PathEscape(s), ".", "%2E") }

// text is a line for each source.
func (a *refreshAnswer) text() string {
	if len(a.Issuers) == 0 {
		return "No issuer is configured.\n"
	}
	var b strings.Builder
	for i := range a.Issuers {
		r := &a.Issuers[i]
		fmt.Fprintf(&b, "%s (%s): ", graphic(r.Issuer), graphic(r.Source))
		switch {
		case !r.OK:
			fmt.Fprintf(&b, "FAILED: %s; %s in use\n", graphic(r.Error), plural(r.Keys, "key"))
		case r.Changed:
			fmt.Fprintf(&b, "%s", plural(r.Keys, "key"))
			if len(r.Added) > 0 {
				fmt.Fprintf(&b, ", added %s", graphic(strings.Join(r.Added, " ")))
			}
			if len(r.Withdrawn) > 0 {
				fmt.Fprintf(&b, ", withdrawn %s", graphic(strings.Join(r.Withdrawn, " ")))
			}
			fmt.Fprintln(&b)
		default:
			fmt.Fprintf(&b, "%s, unchanged\n", plural(r.Keys, "key"))
		}
	}
	return b.String()
}
