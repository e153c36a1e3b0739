package cli

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

func tree(t *testing.T, run func(*cobra.Command, []string) error) *cobra.Command {
	t.Helper()
	mu.Lock()
	saved := builders
	builders = nil
	mu.Unlock()
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		builders = saved
	})
	for _, name := range []string{"zeta", "alpha"} {
		Add(func() *cobra.Command {
			cmd := &cobra.Command{Use: name, Args: NoArgs, RunE: run}
			cmd.Flags().Int("port", 1, "")
			return cmd
		})
	}
	root := &cobra.Command{Use: "caddy"}
	parent := &cobra.Command{Use: "jwtgate", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(parent)
	root.SilenceErrors, root.SilenceUsage = true, true
	Attach(parent)
	root.SetOut(discard{})
	return root
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestAttachOrdersByName(t *testing.T) {
	root := tree(t, func(*cobra.Command, []string) error { return nil })
	var names []string
	for _, c := range root.Commands()[0].Commands() {
		names = append(names, c.Name())
	}
	if !slices.Equal(names, []string{"alpha", "zeta"}) {
		t.Errorf("commands %v", names)
	}
}

func TestExitCodes(t *testing.T) {
	cause := errors.New("cause")
	for _, tt := range []struct {
		name string
		args []string
		err  error
		want int
	}{
		{"done", []string{"jwtgate", "alpha"}, nil, Done},
		{"help", []string{"jwtgate"}, nil, Done},
		{"plain error", []string{"jwtgate", "alpha"}, cause, Refused},
		{"unreachable", []string{"jwtgate", "alpha"}, Exit(Unreachable, cause), Unreachable},
		{"wrapped", []string{"jwtgate", "alpha"}, fmt.Errorf("asking: %w", Exit(Unreachable, cause)), Unreachable},
		{"usage", []string{"jwtgate", "alpha"}, Usagef("bad: %w", cause), Usage},
		{"unknown flag", []string{"jwtgate", "alpha", "--what"}, nil, Usage},
		{"bad value", []string{"jwtgate", "alpha", "--port", "x"}, nil, Usage},
		{"argument", []string{"jwtgate", "alpha", "x"}, nil, Usage},
		{"unknown command", []string{"jwtgate", "what"}, nil, Usage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tree(t, func(*cobra.Command, []string) error { return tt.err })
			root.SetArgs(tt.args)
			err := root.Execute()
			if got := Code(err); got != tt.want {
				t.Errorf("exit code %d, want %d: %v", got, tt.want, err)
			}
			if tt.err != nil && !errors.Is(err, cause) {
				t.Errorf("%v does not wrap the cause", err)
			}
		})
	}
}

func TestExitOfNilIsNil(t *testing.T) {
	if err := Exit(Unreachable, nil); err != nil {
		t.Errorf("got %v", err)
	}
}
