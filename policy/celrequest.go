package policy

import (
	"errors"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// requestTypeName is the name of the type of `request`, as CEL's messages
// show it.
const requestTypeName = "jwtgate.Request"

var requestType = cel.ObjectType(requestTypeName)

// requestFields are the fields of `request`. Each is asked of the Request only
// when an evaluation comes to it.
var requestFields = map[string]*types.FieldType{
	"method":    requestField(types.StringType, func(r Request) any { return types.String(r.Method()) }),
	"path":      requestField(types.StringType, func(r Request) any { return types.String(r.Path()) }),
	"host":      requestField(types.StringType, func(r Request) any { return types.String(r.Host()) }),
	"remote_ip": requestField(types.StringType, func(r Request) any { return types.String(r.RemoteIP()) }),
	"client_ip": requestField(types.StringType, func(r Request) any { return types.String(r.ClientIP()) }),
	"header":    requestField(listsType, func(r Request) any { return r.Header() }),
	"query":     requestField(listsType, func(r Request) any { return r.Query() }),
}

// requestFieldNames are the keys of requestFields in the order for people.
var requestFieldNames = []string{"method", "path", "host", "header", "query", "remote_ip", "client_ip"}

var listsType = types.NewMapType(types.StringType, types.NewListType(types.StringType))

var errNoRequest = errors.New("there is no request")

func requestField(t *types.Type, get func(Request) any) *types.FieldType {
	return &types.FieldType{
		Type:  t,
		IsSet: func(any) bool { return true },
		GetFrom: func(target any) (any, error) {
			r, ok := target.(Request)
			if !ok {
				return nil, errNoRequest
			}
			return get(r), nil
		},
	}
}

// requestProvider adds the type of `request`, so that a field that does not
// exist is an error at load.
type requestProvider struct{ types.Provider }

// FindStructType implements types.Provider.
func (p requestProvider) FindStructType(name string) (*types.Type, bool) {
	if name == requestTypeName {
		return types.NewTypeTypeWithParam(requestType), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p requestProvider) FindStructFieldNames(name string) ([]string, bool) {
	if name == requestTypeName {
		return requestFieldNames, true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p requestProvider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name == requestTypeName {
		t, ok := requestFields[field]
		return t, ok
	}
	return p.Provider.FindStructFieldType(name, field)
}

// activation gives one evaluation its variables.
type activation struct {
	claims  map[string]any
	request Request
}

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "claims":
		return a.claims, true
	case "request":
		return a.request, a.request != nil
	default:
		return nil, false
	}
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }
