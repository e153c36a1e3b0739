package caddymodule

import (
	"net/http"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/gate"
)

// clean makes r safe to add our headers to. It deletes every managed header in
// every spelling, takes managed names and Authorization out of the client's
// Connection header, and sees to it that no managed name comes as a trailer.
//
// keep lists header names, in canonical spelling, that an earlier gate of the
// same request set: they are not the client's, and stay. clean edits r in
// place (Header, Trailer, Body); a nil managed set is empty. It allocates
// nothing when there is nothing to remove and no trailers can come.
func clean(r *http.Request, managed *gate.ManagedNames, keep []string) {
	for name := range r.Header {
		if managed.Match(name) && !slices.Contains(keep, name) {
			delete(r.Header, name)
		}
	}
	// Proxies delete the fields that Connection names (RFC 9110 section 7.6.1)
	// after our handler has run: a client could have them delete ours.
	cleanList(r.Header, "Connection", managed)
	cleanList(r.Header, "Trailer", managed)
	cleanTrailers(r, managed)
}

// forbidden reports whether a client may name the field in Connection, and send
// it as a trailer: neither a managed one nor a credential (RFC 9110 section
// 6.5.1).
func forbidden(name string, managed *gate.ManagedNames) bool {
	return credentialNames.Match(name) || managed.Match(name)
}

var credentialNames = gate.NewManagedNames("Authorization")

// cleanList takes the forbidden names out of a header whose value is a
// comma-separated list of field names.
func cleanList(header http.Header, name string, managed *gate.ManagedNames) {
	lines := header[name]
	if len(lines) == 0 || !slices.ContainsFunc(lines, func(line string) bool {
		return hasForbidden(line, managed)
	}) {
		return
	}
	setOrDelete(header, name, filterLists(lines, func(element string) bool {
		return !forbidden(strings.TrimSpace(element), managed)
	}))
}

// hasForbidden reports whether a list of field names has a forbidden one.
func hasForbidden(line string, managed *gate.ManagedNames) bool {
	for element := range strings.SplitSeq(line, ",") {
		// Whatever a proxy may take for white space does not hide a name.
		if forbidden(strings.TrimSpace(element), managed) {
			return true
		}
	}
	return false
}

// filterLists returns the lines of a list header with only the elements that
// keep accepts, and without lines that become empty. It leaves lines alone.
func filterLists(lines []string, keep func(element string) bool) []string {
	var kept []string
	for _, line := range lines {
		var elements []string
		for element := range strings.SplitSeq(line, ",") {
			if element = trimBlanks(element); element != "" && keep(element) {
				elements = append(elements, element)
			}
		}
		if len(elements) > 0 {
			kept = append(kept, strings.Join(elements, ", "))
		}
	}
	return kept
}

// setOrDelete sets the lines of the header name, or deletes it without any.
func setOrDelete(header http.Header, name string, lines []string) {
	if len(lines) == 0 {
		delete(header, name)
		return
	}
	header[name] = lines
}

// trimBlanks removes the white space that may surround list elements and field
// values, and what proxies trim beyond that.
func trimBlanks(s string) string { return strings.Trim(s, " \t\r\n") }

// spellings returns what matches the headers that carry tokens, nil if there
// are none.
func spellings(sources []TokenSource) *gate.ManagedNames {
	var names []string
	for i := range sources {
		if sources[i].From == "header" {
			names = append(names, sources[i].Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return gate.NewManagedNames(names...)
}

// dropAliases deletes the headers that are a token header in another spelling:
// the gate reads the one, and a backend that folds names may read the other.
func dropAliases(header http.Header, run *runtime) {
	if run.aliases == nil {
		return
	}
	for name := range header {
		if run.aliases.Match(name) && !slices.ContainsFunc(run.sources, func(s TokenSource) bool {
			return s.From == "header" && http.CanonicalHeaderKey(s.Name) == name
		}) {
			delete(header, name)
		}
	}
}
