package policy

import (
	"context"
	"errors"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// How an evaluation stays within costLimit. CEL's own counter takes longer than
// what it counts, and in a loop its time grows with the square of the steps, so
// it is the last resort:
//
//   - an expression whose worst case is below the limit is not counted at all;
//   - with loops whose bodies do nothing that grows, the steps are counted,
//     those of nested loops together;
//   - with anything else CEL counts, and loops may take fewer steps.
const (
	// costLimit bounds one evaluation, in CEL's cost units.
	costLimit = 100_000
	// maxSteps of a loop with five units each, which is one comparison of an
	// element, are costLimit.
	maxSteps        = costLimit / 5
	maxCountedSteps = maxSteps / 4
	// maxSize is the length of strings, lists and maps in the worst case: four
	// times the default of max_token and of the server's header limit. Larger
	// ones, where an operator allows them, raise the cost of an expression
	// without loops in proportion and no more.
	maxSize = 64 << 10
)

// boundedValues tells CEL's estimator of maxSize.
type boundedValues struct{}

// EstimateSize implements checker.CostEstimator.
func (boundedValues) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Min: 0, Max: maxSize}
}

// EstimateCallCost implements checker.CostEstimator.
func (boundedValues) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// features is what an expression consists of.
type features struct {
	// request: the name occurs. A variable of a loop may carry it as well; that
	// costs an evaluation per request and no more.
	request bool
	loops   bool
	costly  bool // calls something that is not in cheap
}

// cheap functions allocate nothing that grows and read their operands once.
var cheap = map[string]bool{
	operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true, operators.Conditional: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true,
	operators.Greater: true, operators.GreaterEquals: true, operators.In: true, operators.Index: true,
	operators.NotStrictlyFalse: true, overloads.Size: true, overloads.StartsWith: true, overloads.EndsWith: true,
	overloads.Contains: true,
}

// inspect walks a checked expression.
func inspect(root ast.Expr) (features, error) {
	var f features
	var err error
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			f.request = f.request || e.AsIdent() == "request"
		case ast.CallKind:
			f.costly = f.costly || !cheap[e.AsCall().FunctionName()]
		case ast.ComprehensionKind:
			f.loops = true
		case ast.StructKind:
			if e.AsStruct().TypeName() == requestTypeName {
				err = errors.New("a request cannot be made, only read")
			}
		}
	}))
	return f, err
}

// limits returns the options for an expression that may exceed costLimit.
// stepped says that its program must be run with a context.
func (f features) limits() (options []cel.ProgramOption, stepped bool) {
	steps := uint(maxSteps)
	if f.costly || !f.loops {
		options = append(options, cel.CostLimit(costLimit))
		steps = maxCountedSteps
	}
	if f.loops {
		options = append(options, cel.InterruptCheckFrequency(steps))
	}
	return options, f.loops
}

var errSteps = errors.New("cost limit: too many steps of loops")

// over is done from the start. An evaluation looks at its context at every
// step whose number is a multiple of InterruptCheckFrequency: the first look
// ends it.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// run evaluates within the limits.
func (e *expression) run(a *activation) (ref.Val, error) {
	if !e.stepped {
		out, _, err := e.program.Eval(a)
		return out, err
	}
	out, _, err := e.program.ContextEval(over, a)
	if errors.Is(err, interpreter.InterruptError{}) {
		return nil, errSteps
	}
	return out, err
}
