package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// routeTokens is how many tokens visit every route.
const routeTokens = 500

// measureRoutes sends tokens through sites with more and more routes, each with
// a policy of its own, and counts signature checks. More than one for a token
// is an error.
func (b *bench) measureRoutes() (string, error) {
	tokens, err := b.firstTokens("RS256", routeTokens)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString("| routes with different policies | requests | signature checks | for a token |\n|---|---|---|---|\n")
	for _, n := range []int{1, 2, 4, 8, 16} {
		v := &variant{name: fmt.Sprintf("routes-%d", n), config: routesSite(n), probe: "/0/orders"}
		if err := b.start(v); err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		checks, err := b.visit(v, n, tokens)
		v.stop()
		if err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		if checks != len(tokens) {
			return "", fmt.Errorf("%d routes: %d signature checks for %d tokens", n, checks, len(tokens))
		}
		fmt.Fprintf(&text, "| %d | %d | %d | %d |\n", n, n*len(tokens), checks, checks/len(tokens))
	}
	b.measured["checks of a token"] = 1 // any other number is an error above
	return text.String(), nil
}

// routesSite has n routes, /0 and so on, that differ in audience, rules and
// headers.
func routesSite(n int) string {
	var routes strings.Builder
	for i := range n {
		fmt.Fprintf(&routes, "\thandle /%d/* {\n\t\tjwtgate {\n\t\t\trequire claim tenant acme-europe-west tenant-%d\n\t\t\tforward {\n\t\t\t\tX-User-%d sub\n\t\t\t}\n\t\t}\n\t\treverse_proxy BACKEND\n\t}\n", i, i, i)
	}
	return fmt.Sprintf(site, app(""), routes.String(), "")
}

func (b *bench) firstTokens(algorithm string, n int) ([]string, error) {
	text, err := os.ReadFile(b.tokensFile(algorithm))
	if err != nil {
		return nil, err
	}
	return strings.Split(string(text), "\n")[:n], nil
}

// visit sends each token to each route and returns how many signature checks
// that took. The first token has been there, for the probe.
func (b *bench) visit(v *variant, routes int, tokens []string) (int, error) {
	c, err := dial(v.address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	for _, token := range tokens {
		for i := range routes {
			request := bytes.Replace(requestFor(v.address, token), []byte("/orders"), fmt.Appendf(nil, "/%d/orders", i), 1)
			status, err := c.do(request)
			if err != nil {
				return 0, err
			}
			if status != http.StatusOK {
				return 0, fmt.Errorf("route %d: status %d", i, status)
			}
		}
	}
	return b.signatureChecks(v)
}

// signatureChecks reads the gateway's own count.
func (b *bench) signatureChecks(v *variant) (int, error) {
	text, err := b.get("http://" + v.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	total := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "jwtgate_verify_seconds_count") {
			continue
		}
		n, err := strconv.Atoi(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:])
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
