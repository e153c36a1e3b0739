// Package cli owns the command `caddy jwtgate`: packages add their sub-commands
// from init functions, and whoever registers the parent with Caddy attaches
// them. It knows neither Caddy nor what the commands do.
package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// Exit codes of every sub-command.
const (
	Done        = 0
	Refused     = 1 // the answer is no, or the work failed
	Usage       = 2 // the command line is wrong
	Unreachable = 3 // whom we had to ask does not answer
)

var (
	mu       sync.Mutex
	builders []func() *cobra.Command
)

// Add registers a sub-command; build is called once for each command tree.
func Add(build func() *cobra.Command) {
	mu.Lock()
	defer mu.Unlock()
	builders = append(builders, build)
}

// Attach gives parent all sub-commands, ordered by name, and makes mistakes on
// the command line of any of them carry the exit code Usage. Without a
// sub-command, parent prints its help.
func Attach(parent *cobra.Command) {
	mu.Lock()
	all := slices.Clone(builders)
	mu.Unlock()

	var children []*cobra.Command
	for _, build := range all {
		children = append(children, build())
	}
	slices.SortFunc(children, func(a, b *cobra.Command) int { return strings.Compare(a.Name(), b.Name()) })
	parent.AddCommand(children...)
	parent.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	parent.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return Usagef("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	parent.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// NoArgs refuses positional arguments, with the exit code Usage.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("%s takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Exit returns err with an exit code; nil for nil.
func Exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// Usagef returns an error with the exit code Usage.
func Usagef(format string, args ...any) error {
	return &exitError{Usage, fmt.Errorf(format, args...)}
}

// Code returns the exit code that err leads to: Done for nil, Refused for an
// error without one of its own.
func Code(err error) int {
	if err == nil {
		return Done
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return Refused
}
