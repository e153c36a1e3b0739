package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/signing"
)

// coldTokens is how many different tokens a cold run has; the cache of the
// cold variants is off, so none is ever warm.
const coldTokens = 2000

var algorithms = []string{"RS256", "ES256", "EdDSA"}

// makeTokens writes the key set and, for each algorithm, a file of tokens of
// about 900 bytes.
func (b *bench) makeTokens() error {
	if err := os.Mkdir(filepath.Join(b.dir, "tokens"), 0o700); err != nil {
		return err
	}
	var keys []*signing.Key
	now := time.Now()
	for _, name := range algorithms {
		key, err := signing.Generate(name)
		if err != nil {
			return err
		}
		key = key.WithID("key-" + name)
		keys = append(keys, key)
		var lines strings.Builder
		for i := range coldTokens {
			claims, err := json.Marshal(map[string]any{
				"iss": "https://id.example.com", "aud": "orders-api", "sub": fmt.Sprintf("user-%06d", i),
				"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": fmt.Sprintf("%032x", i), "sid": fmt.Sprintf("session-%08d", i),
				"client_id": "mobile", "scope": "openid profile email orders:read orders:write", "email": "user@example.com",
				"name": "A User of Middling Name", "tenant": "acme-europe-west", "preferred_username": "auser",
				"realm_access": map[string]any{"roles": []string{"editor", "reader", "offline_access", "default-roles-acme"}},
			})
			if err != nil {
				return err
			}
			raw, err := key.Sign(fmt.Appendf(nil, `{"alg":%q,"typ":"at+jwt","kid":%q}`, name, key.ID()), claims)
			if err != nil {
				return err
			}
			lines.WriteString(raw + "\n")
			b.token = raw
		}
		if err := os.WriteFile(filepath.Join(b.dir, "tokens", name), []byte(lines.String()), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(b.dir, "keys.json"), signing.MarshalJWKS(keys...), 0o600)
}

const site = `{
	admin off
	persist_config off
	auto_https off
%s}
http://ADDRESS {
	log_skip
%s	reverse_proxy BACKEND%s
}
`

const gateBlock = `	jwtgate {
		forward {
			X-User-ID sub
			X-User-Email email
			X-User-Roles realm_access.roles join ,
		}
	}
`

func app(extra string) string {
	return "\tjwtgate {\n\t\tissuer https://id.example.com {\n\t\t\taudience orders-api\n\t\t\tjwks_file DIR/keys.json\n\t\t}\n" + extra + "\t}\n"
}

// send is the Lua of wrk: every request has the first token of a file, or with
// all the next one of it; damage turns one character of the signature.
func send(algorithm string, all, damage bool) string {
	return fmt.Sprintf(`
local tokens = {}
function init(args)
  for line in io.lines(os.getenv("TOKENS") .. "/%s") do
    if %t then local n = #line - 20; line = line:sub(1, n - 1) .. (line:sub(n, n) == "A" and "B" or "A") .. line:sub(n + 1) end
    tokens[#tokens + 1] = wrk.format("GET", "/orders", {["Authorization"] = "Bearer " .. line})
    if not %t then break end
  end
end
local i = 0
function request() i = i %% #tokens + 1 return tokens[i] end
`, algorithm, damage, all)
}

func variants() []*variant {
	none := `wrk.method = "GET"` + "\n"
	bearer := send("RS256", false, false)
	all := []*variant{
		{name: "plain", config: fmt.Sprintf(site, "", "", ""), wrk: bearer},
		{name: "plain+header_up", config: fmt.Sprintf(site, "", "", ` {
		header_up X-User-ID user-000000
		header_up X-User-Email user@example.com
		header_up X-User-Roles editor,reader,offline_access,default-roles-acme
	}`), wrk: bearer},
		{name: "warm", config: fmt.Sprintf(site, app(""), gateBlock, ""), wrk: bearer},
		{name: "missing", config: fmt.Sprintf(site, app(""), gateBlock, ""), wrk: none, refuses: true},
		{name: "bad-signature", config: fmt.Sprintf(site, app(""), gateBlock, ""), wrk: send("RS256", true, true), refuses: true},
	}
	for _, a := range algorithms {
		all = append(all, &variant{name: "cold-" + a, config: fmt.Sprintf(site, app("\t\tcache off\n"), gateBlock, ""), wrk: send(a, true, false)})
	}
	return all
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// report prints a Markdown table; ratios are of medians of pairs in the same
// round, so that a drift of the machine falls out.
func report(all []*variant) {
	plain := all[0]
	fmt.Println("| variant | req/s | of plain | CPU s per 10,000 | of plain | resident MiB |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, v := range all {
		var rate, cpu, rateOf, cpuOf []float64
		for i, r := range v.runs {
			rate, cpu = append(rate, r.perSecond), append(cpu, r.cpu)
			rateOf = append(rateOf, r.perSecond/plain.runs[i].perSecond)
			cpuOf = append(cpuOf, r.cpu/plain.runs[i].cpu)
		}
		fmt.Printf("| %s | %.0f | %.2f | %.2f | %.2f | %.0f |\n", v.name, median(rate), median(rateOf), median(cpu), median(cpuOf), float64(v.rss)/1024)
	}
}
