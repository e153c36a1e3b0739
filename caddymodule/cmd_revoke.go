package caddymodule

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() { cli.Add(newRevokeCommand) }

// revokeFlags are the flags of `caddy jwtgate revoke`.
type revokeFlags struct {
	address, issuer               string
	jti, session, subject, client string
	all, tokenStdin               bool
	before, note                  string
	yes, json                     bool
}

func newRevokeCommand() *cobra.Command {
	var f revokeFlags
	cmd := &cobra.Command{
		Use:   "revoke --issuer <iss> (--jti | --session | --subject | --client <value> | --all) [flags]",
		Short: "Revokes a token, a session, a person, a client or an issuer",
		Long: `Revokes through the admin endpoint of a running Caddy. What is revoked is refused
on the next request, and still after a restart.

  --jti       one token
  --session   all tokens of a session (sid)
  --subject   all tokens of a person (sub) issued until now: a new login works
  --client    all tokens of a client (client_id or azp) issued until now
  --all       all tokens of the issuer issued until now: everybody has to log in

With --token-stdin, a token is read from standard input and revoked, after its
signature was checked. There is no flag for a token: command lines are seen by
every user of a machine.`,
		Example: `  caddy jwtgate revoke --issuer https://id.example.com --subject alice --note "left the company"
  caddy jwtgate revoke --issuer https://id.example.com --all --before 2026-01-31T12:00:00Z
  caddy jwtgate revoke --token-stdin < token.txt`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addressFlag(flags, &f.address)
	flags.StringVar(&f.issuer, "issuer", "", "iss, as it is configured")
	flags.StringVar(&f.jti, "jti", "", "the token with this jti")
	flags.StringVar(&f.session, "session", "", "the session with this sid")
	flags.StringVar(&f.subject, "subject", "", "the subject with this sub")
	flags.StringVar(&f.client, "client", "", "the client with this client_id or azp")
	flags.BoolVar(&f.all, "all", false, "every token of the issuer")
	flags.BoolVar(&f.tokenStdin, "token-stdin", false, "the token on standard input")
	flags.StringVar(&f.before, "before", "now", "spare tokens issued after this time (RFC 3339), or now")
	flags.StringVar(&f.note, "note", "", "a note that is kept and logged with it")
	flags.BoolVar(&f.yes, "yes", false, "do not ask back for --all")
	flags.BoolVar(&f.json, "json", false, "print the answer as JSON")
	return cmd
}

// order is the body of a request to revoke.
type order struct {
	Kind   string `json:"kind,omitempty"`
	Issuer string `json:"issuer,omitempty"`
	Value  string `json:"value,omitempty"`
	Token  string `json:"token,omitempty"`
	Before string `json:"before,omitempty"`
	Note   string `json:"note,omitempty"`
}

func (f *revokeFlags) run(cmd *cobra.Command) error {
	o, err := f.order(cmd)
	if err != nil {
		return err
	}
	client, err := newAdminClient(f.address)
	if err != nil {
		return err
	}
	defer client.close()
	if o.Kind == "issuer" && !f.yes {
		if terminal(cmd.InOrStdin()) == nil {
			return cli.Usagef("--all ends every token of %s; say --yes if that is meant", printable(f.issuer))
		}
		if err := confirmIssuer(cmd.InOrStdin(), cmd.ErrOrStderr(), f.issuer); err != nil {
			return err
		}
	}
	if f.tokenStdin {
		if o.Token, err = readToken(cmd.InOrStdin()); err != nil {
			return err
		}
	}
	var answer revocationAnswer
	if err := client.ask(cmd.Context(), http.MethodPost, "/jwtgate/revocations", o, &answer); err != nil {
		return err
	}
	if !answer.Durable {
		fmt.Fprintln(cmd.ErrOrStderr(), "It is in memory only, since `journal off` is configured: a restart forgets it.")
	}
	if !answer.Fed {
		fmt.Fprintln(cmd.ErrOrStderr(), "Other gateways have not heard of it yet; this one will tell them.")
	}
	return f.report(cmd.OutOrStdout(), &answer)
}

func (f *revokeFlags) report(out io.Writer, answer *revocationAnswer) error {
	if f.json {
		return json.NewEncoder(out).Encode(answer)
	}
	what := answer.Kind
	if answer.Value != "" {
		what += " " + answer.Value
	}
	text := fmt.Sprintf("revoked %s of %s\n  id     %s\n", printable(what), printable(answer.Issuer), answer.ID)
	if !answer.Cutoff.IsZero() {
		text += fmt.Sprintf("  issued until %s\n", answer.Cutoff.Format(time.RFC3339Nano))
	}
	text += fmt.Sprintf("  kept until   %s\n", answer.Until.Format(time.RFC3339))
	_, err := io.WriteString(out, text)
	return err
}

// order turns the flags into a request, but for the token.
func (f *revokeFlags) order(cmd *cobra.Command) (order, error) {
	o := order{Issuer: f.issuer, Note: f.note}
	chosen := 0
	for _, c := range []struct{ flag, kind, value string }{
		{"jti", "token", f.jti}, {"session", "session", f.session}, {"subject", "subject", f.subject}, {"client", "client", f.client},
	} {
		if !cmd.Flags().Changed(c.flag) {
			continue
		}
		if c.value == "" {
			return o, cli.Usagef("--%s is empty", c.flag)
		}
		o.Kind, o.Value = c.kind, c.value
		chosen++
	}
	if f.all {
		o.Kind = "issuer"
		chosen++
	}
	if f.tokenStdin {
		o.Kind = "token"
		chosen++
	}
	if chosen != 1 {
		return o, cli.Usagef("one of --jti, --session, --subject, --client, --all and --token-stdin is wanted")
	}
	if f.issuer == "" && !f.tokenStdin {
		return o, cli.Usagef("--issuer is missing")
	}
	if looksLikeToken(f.jti) || looksLikeToken(f.note) {
		return o, cli.Usagef("a token does not belong on a command line, where every user of the machine sees it; use --token-stdin")
	}
	before, err := f.cutoff(cmd, o.Kind)
	o.Before = before
	return o, err
}

// cutoff returns --before for the request. "now" is the gateway's now, which is
// what no `before` means there.
func (f *revokeFlags) cutoff(cmd *cobra.Command, kind string) (string, error) {
	if !cmd.Flags().Changed("before") || f.before == "now" {
		return "", nil
	}
	if kind == "token" || kind == "session" {
		return "", cli.Usagef("--before goes with --subject, --client and --all: a token or session is revoked whenever it was issued")
	}
	if _, err := time.Parse(time.RFC3339Nano, f.before); err != nil {
		return "", cli.Usagef("--before %s: neither now nor a time as in RFC 3339, such as 2026-01-31T13:45:00Z", printable(f.before))
	}
	return f.before, nil
}

// confirmIssuer has the issuer typed.
func confirmIssuer(in io.Reader, out io.Writer, issuer string) error {
	fmt.Fprintf(out, "This ends every token of %s that was issued until then: everybody has to log in again.\nType the issuer to go on: ", printable(issuer))
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != issuer {
		return cli.Exit(cli.Refused, errors.New("not confirmed; nothing was revoked"))
	}
	return nil
}

// readToken reads a token, alone or as it stands behind Authorization.
func readToken(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxAdminBody))
	if err != nil {
		return "", err
	}
	raw := strings.TrimSpace(string(text))
	if scheme, rest, found := strings.Cut(raw, " "); found && strings.EqualFold(scheme, "Bearer") {
		raw = strings.TrimSpace(rest)
	}
	if raw == "" || strings.ContainsAny(raw, " \t\r\n") {
		return "", cli.Usagef("standard input holds no token, or more than one")
	}
	return raw, nil
}

func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// printable returns text that came from tokens or from elsewhere in a form that
// a terminal shows and does not obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == ' ' {
			return r
		}
		if !isGraphic(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
