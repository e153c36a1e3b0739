package caddymodule

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newContractCommand) }

// contractFlags are the flags of `caddy jwtgate contract`.
type contractFlags struct {
	config, adapter, format, route string
	fixture                        bool
}

func newContractCommand() *cobra.Command {
	var f contractFlags
	cmd := &cobra.Command{
		Use:   "contract [--config <file>] [flags]",
		Short: "Prints what an API behind the gate receives, for those who write it",
		Long: `Prints for each route to a backend the headers that it gets, the claims and forms
that they come from, when they are missing, what a token has to have, and what the
gate answers by itself. Nothing is asked and nothing is started.

With --fixture it prints requests instead, as the API gets them: a shell script of
curl commands to replay against it. The headers come from the gateway's own code,
for ordinary claims and for odd ones: missing, of a wrong type, too long, with
characters beyond ASCII.`,
		Example: `  caddy jwtgate contract --config /etc/caddy/Caddyfile > api-headers.md
  caddy jwtgate contract --format openapi --route api.example.com > gateway.openapi.json
  caddy jwtgate contract --fixture > fixture.sh && BACKEND=http://localhost:3000 sh fixture.sh`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.config, "config", "c", "", "the configuration; - for standard input; default: the Caddyfile here")
	flags.StringVarP(&f.adapter, "adapter", "a", "", "the adapter of a configuration that is neither a Caddyfile nor JSON")
	flags.StringVar(&f.format, "format", "", "markdown (default), openapi or json; with --fixture: curl (default), http or json")
	flags.StringVar(&f.route, "route", "", "only routes that take this path, such as /orders/1, or whose name has this text, such as a host")
	flags.BoolVar(&f.fixture, "fixture", false, "print requests for tests of the API")
	return cmd
}

func (f *contractFlags) run(cmd *cobra.Command) error {
	formats := []string{"markdown", "openapi", "json"}
	if f.fixture {
		formats = []string{"curl", "http", "json"}
	}
	format := f.format
	if format == "" {
		format = formats[0]
	}
	if err := checkWord(format, formats...); err != nil {
		return cli.Usagef("--format: %w", err)
	}
	o, err := loadOffline(cmd.Context(), f.config, f.adapter)
	if err != nil {
		return err
	}
	defer o.close()
	c, err := newContract(o, f.picks)
	if err != nil {
		return err
	}
	if f.route != "" && len(c.Routes) == 0 {
		return cli.Usagef("--route %s: no route to a backend is like that", f.route)
	}
	text, err := f.text(c, format)
	if err != nil {
		return err
	}
	_, err = io.WriteString(cmd.OutOrStdout(), text)
	return err
}

// picks reports whether --route names m.
func (f *contractFlags) picks(m *mappedRoute) bool {
	switch {
	case f.route == "":
		return true
	case !strings.HasPrefix(f.route, "/"):
		return strings.Contains(m.label(), f.route)
	case len(m.Paths) > 0 && !allCovered(m.Paths, []string{f.route}, pathCovers):
		return false
	}
	for _, except := range m.Except {
		if strings.HasPrefix(except, "/") && pathCovers(except, f.route) {
			return false
		}
	}
	return true
}

func (f *contractFlags) text(c *contract, format string) (string, error) {
	if f.fixture {
		all, err := c.fixtures()
		if err != nil {
			return "", err
		}
		switch format {
		case "json":
			return indented(all)
		case "http":
			return fixtureHTTP(all), nil
		}
		return fixtureScript(all), nil
	}
	switch format {
	case "openapi":
		document, err := c.openAPI()
		if err != nil {
			return "", err
		}
		return indented(document)
	case "json":
		return indented(c)
	}
	return c.markdown(), nil
}
