package caddymodule

import "net/http"

// adminExplain says what would become of a request, and why. It is a POST, and
// the token comes in the body: URLs are logged. The answer holds no token.
func adminExplain(v *adminView, w http.ResponseWriter, r *http.Request, body []byte) error {
	if object, _ := mediaType(r); !object {
		return errMediaType
	}
	o, err := readExplainOrder(body)
	if err != nil {
		return err
	}
	var notes []string
	o.Token, notes = unpaste(o.Token)
	if v.http == nil {
		return problem(codeNotConfigured, "the running configuration has no HTTP server")
	}
	answer := (&explainSite{http: v.http, list: v.list, now: v.now}).explain(r.Context(), o)
	answer.Warnings = append(append([]string{}, notes...), answer.Warnings...)
	writeAdminJSON(w, "application/json", http.StatusOK, answer)
	return nil
}
