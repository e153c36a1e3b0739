package policy

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/jwtgate/jwtgate/token"
)

const (
	// maxExpression bounds the source of one expression in bytes.
	maxExpression = 16 << 10
	// maxRegexp bounds the program of a regular expression, which may come out
	// of a claim.
	maxRegexp = 4_000
)

// environment is what expressions are checked against; it is expensive to make
// and never changes.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	base, err := cel.NewEnv(
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		ext.Strings(),
		ext.Sets(),
		cel.RegexProgramSizeLimit(maxRegexp),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
	)
	if err != nil {
		return nil, err
	}
	return base.Extend(
		cel.CustomTypeProvider(requestProvider{base.CELTypeProvider()}),
		cel.Variable("request", requestType),
	)
})

// expression is one `require expr`. Safe for concurrent use.
type expression struct {
	source       string
	program      cel.Program
	needsRequest bool
	stepped      bool // the steps of its loops are limited
}

func compileExpression(source string) (*expression, error) {
	if strings.TrimSpace(source) == "" {
		return nil, errors.New("the expression is empty")
	}
	if len(source) > maxExpression {
		return nil, fmt.Errorf("the expression is longer than %d bytes", maxExpression)
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	checked, issues := env.Compile(source)
	if err := describe(source, issues); err != nil {
		return nil, err
	}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		if out.IsExactType(cel.DynType) {
			return nil, fmt.Errorf("the result may be of any type, it must be true or false; write `%s == true`", source)
		}
		return nil, fmt.Errorf("the result is of type %s, it must be bool", out)
	}
	e := &expression{source: source}
	features, err := inspect(checked.NativeRep().Expr())
	if err != nil {
		return nil, err
	}
	e.needsRequest = features.request
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if worst, err := env.EstimateCost(checked, boundedValues{}); err != nil || worst.Max > costLimit {
		var limits []cel.ProgramOption
		limits, e.stepped = features.limits()
		options = append(options, limits...)
	}
	if e.program, err = env.Program(checked, options...); err != nil {
		return nil, err
	}
	return e, nil
}

// describe turns the first of CEL's issues into an error with line, column and
// the place; nil if there are none.
func describe(source string, issues *cel.Issues) error {
	if issues.Err() == nil {
		return nil
	}
	all := issues.Errors()
	if len(all) == 0 {
		return issues.Err()
	}
	first := all[0]
	message := strings.TrimSuffix(strings.TrimSpace(first.Message), " (in container '')")
	lines := strings.Split(source, "\n")
	line, column := first.Location.Line(), first.Location.Column() // from 1; from 0 in characters
	if line < 1 || line > len(lines) || column < 0 {
		return errors.New(message)
	}
	text := strings.TrimSuffix(strings.ReplaceAll(lines[line-1], "\t", " "), "\r")
	place := fmt.Sprintf("line %d, column %d: %s\n    %s\n    %s^", line, column+1, message, text, strings.Repeat(" ", column))
	if more := len(all) - 1; more > 0 {
		place += fmt.Sprintf("\n    (and %d more)", more)
	}
	return errors.New(place)
}

// judge evaluates an expression that needs no request.
func (e *expression) judge(s *subject) error { return e.eval(s.values, nil) }

// eval refuses unless the expression is true. An error of the evaluation may
// quote claims and goes nowhere but into Got.
func (e *expression) eval(claims map[string]any, req Request) error {
	out, err := e.run(&activation{claims: claims, request: req})
	if err != nil {
		return token.Refuse(token.ExpressionFailed, "expr "+e.source, shorten(err.Error()))
	}
	switch result, ok := out.(types.Bool); {
	case !ok:
		return token.Refuse(token.ExpressionFailed, "expr "+e.source, "no bool")
	case !bool(result):
		return token.Refuse(token.ExpressionDenied, "expr "+e.source, "false")
	}
	return nil
}
