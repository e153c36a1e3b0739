package caddymodule

import (
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/jwtgate/jwtgate/internal/cli"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "jwtgate",
		Usage: "<command>",
		Short: "Works with the JWT gate: demo, development tokens, operation",
		Long: `
Works with the JWT gate. Every command exits with 0 when it is done, 1 when the
answer is no or the work failed, 2 when the command line is wrong, and 3 when
whom it had to ask does not answer.`,
		CobraFunc: func(cmd *cobra.Command) {
			cli.Attach(cmd)
			translateErrors(cmd)
		},
	})
}

// translateErrors makes the errors of parent and its children reach the caller
// as one line on stderr and as an exit code. Caddy takes exit codes above 1 only
// from a CommandFunc, and would log its error as JSON when stderr is no terminal.
func translateErrors(parent *cobra.Command) {
	report := func(cmd *cobra.Command, err error) error {
		if err == nil {
			return nil
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", cmd.CommandPath(), err)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if code := cli.Code(err); code > 1 {
			return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
		}
		return err
	}
	// Children inherit the parent's handling of flag errors.
	flagError := parent.FlagErrorFunc()
	parent.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return report(cmd, flagError(cmd, err)) })

	var wrap func(cmd *cobra.Command)
	wrap = func(cmd *cobra.Command) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error { return report(cmd, run(cmd, args)) }
		}
		if check := cmd.Args; check != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error { return report(cmd, check(cmd, args)) }
		}
		for _, child := range cmd.Commands() {
			wrap(child)
		}
	}
	wrap(parent)
}
