package caddymodule

import (
	"fmt"
	"strings"
)

// accessWords say what a request needs.
var accessWords = map[string]string{
	"token":    "Every request comes with a verified token.",
	"optional": "A request comes with a verified token, or with none: then all headers below are missing.",
	"observe":  "**Nothing is refused here**: requests may come with a bad token or none, and then all headers below are missing.",
	"public":   "No token is looked at. Managed headers are taken from what clients send.",
	"none":     "**There is no gate on this way**: no token is looked at, and clients can send any header.",
}

// markdown is the contract for people. Text in it comes from the configuration
// and from example claims, never from a token.
func (c *contract) markdown() string {
	var b strings.Builder
	b.WriteString("# What the API receives\n\nMade by `caddy jwtgate contract` from the gateway's configuration. What the forms mean: docs/backend.md of jwtgate.\n\n")
	if len(c.Managed) > 0 {
		fmt.Fprintf(&b, "No client can send these, in no spelling, to a route that has a gate: %s.\n", codes(c.Managed))
		b.WriteString("A header below comes once, from the gate, or is missing. It never has a control character, nor a blank at an end.\n")
	}
	for _, r := range c.Routes {
		r.markdown(&b)
	}
	if len(c.Routes) == 0 {
		b.WriteString("\nNo route leads to a backend.\n")
	}
	return b.String()
}

func (r *contractRoute) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", inMarkdown(r.Route), accessWords[r.Access])
	item := func(format string, args ...any) { fmt.Fprintf(b, "- "+format+"\n", args...) }
	if len(r.Backend) > 0 {
		item("Backend: %s", codes(r.Backend))
	}
	if len(r.Except) > 0 {
		item("Except: %s", codes(r.Except))
	}
	if r.StripPrefix != "" {
		item("The path comes without `%s`", r.StripPrefix)
	}
	if r.Rewritten {
		item("The path may be rewritten before it comes")
	}
	for _, i := range r.Issuers {
		if len(i.Audience) == 0 {
			item("Tokens of `%s`, made for anybody", i.Issuer)
		} else {
			item("Tokens of `%s`, made for %s", i.Issuer, codes(i.Audience))
		}
	}
	for _, q := range r.Requirements {
		if q.Kind == "expr" {
			item("The expression ``%s`` is true", strings.Join(strings.Fields(q.Expr), " "))
			continue
		}
		item("%s", inMarkdown(strings.ToUpper(q.Text[:1])+q.Text[1:]))
	}
	if r.Access != "none" && r.Access != "public" {
		if r.Authorization == "removed" {
			item("`Authorization` is taken out")
		} else {
			item("`Authorization` comes as the client sent it; the API need not look at it")
		}
	}
	if len(r.Headers) > 0 {
		b.WriteString("\n| header | claim | form | example | at most | missing when |\n|---|---|---|---|---|---|\n")
		for _, h := range r.Headers {
			h.markdown(b)
		}
	}
	if len(r.Answers) > 0 {
		b.WriteString("\nThe gate answers by itself, and the API sees nothing of it:\n\n| status | code | what the client does |\n|---|---|---|\n")
		for _, a := range r.Answers {
			fmt.Fprintf(b, "| %d | `%s` | %s |\n", a.Status, a.Code, a.Action)
		}
	}
}

func (h *contractHeader) markdown(b *strings.Builder) {
	form := h.Form
	if h.Separator != "" {
		form += " `" + strings.ReplaceAll(h.Separator, "|", `\|`) + "`"
	}
	size := fmt.Sprintf("%d bytes", h.MaxBytes)
	if h.TooLong == "refused" {
		size += ", else refused"
	}
	absent := "never"
	if !h.Always {
		absent = strings.Join(h.Absent, "; ")
	}
	example := ""
	if h.Example != "" {
		example = "`" + inMarkdown(h.Example) + "`"
	}
	fmt.Fprintf(b, "| `%s` | `%s` | %s | %s | %s | %s |\n", h.Name, inMarkdown(h.Claim), form, example, size, absent)
}

// codes writes values as code.
func codes(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = "`" + inMarkdown(v) + "`"
	}
	return strings.Join(out, ", ")
}

// inMarkdown keeps text inside its cell.
func inMarkdown(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
