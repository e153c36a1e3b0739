package main

import (
	"fmt"
	"os/exec"
	"time"
)

// variant is one gateway in one state under one kind of requests.
type variant struct {
	name    string
	about   string // for readers of the table
	program string // empty: ours; stock, haproxy, or the path of another build
	config  string // ADDRESS, ADMIN, BACKEND and DIR are filled in
	wrk     string // Lua for wrk: the requests
	env     []string
	started func() // called once the gateway answers
	refuses bool   // every answer is a refusal; otherwise none
	probe   string // path that says whether it is ready; empty: /orders

	address, admin string
	process        *exec.Cmd
	pid            int
	began          time.Time
	ready          time.Duration // from the start of the process to the first answer
	rss            float64       // MiB after the last run
	runs           []measured
}

// measured is one run of one variant.
type measured struct {
	perSecond float64
	cpu       float64 // seconds of the proxy for 10,000 requests
}

// site is a Caddyfile: options of the app, handlers before the proxy, a block
// of the proxy.
const site = `{
	admin ADMIN
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

const constants = ` {
		header_up X-User-ID user-000000
		header_up X-User-Email user@example.com
		header_up X-User-Roles editor,reader,offline_access,default-roles-acme
	}`

// app is the options block of the app; extra are further lines of it.
func app(extra string) string {
	return "\tjwtgate {\n\t\tissuer " + issuerName + " {\n\t\t\taudience orders-api\n\t\t\tjwks_file DIR/keys.json\n\t\t}\n" + extra + "\t}\n"
}

// gated is a site with a gate; extra are further lines of the app.
func gated(extra string) string { return fmt.Sprintf(site, app(extra), gateBlock, "") }

var plainSite = fmt.Sprintf(site, "", "", "")

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

// variants are those of the section load. The first one is what the others are
// compared with.
func (b *bench) variants() ([]*variant, error) {
	bearer := send("RS256", false, false)
	all := []*variant{
		{name: "plain", about: "plain `reverse_proxy`, the shipped binary", config: plainSite, wrk: bearer},
		{name: "stock", about: "plain `reverse_proxy`, a stock build of Caddy", program: "stock", config: plainSite, wrk: bearer},
		{name: "header-up", about: "plain with three constant `header_up`", config: fmt.Sprintf(site, "", "", constants), wrk: bearer},
		{name: "warm", about: "gate, warm RS256, three headers forwarded", config: gated(""), wrk: bearer},
	}
	for _, a := range algorithms {
		all = append(all, &variant{name: "cold-" + a, about: "gate, cold " + a + " (cache off)", config: gated("\t\tcache off\n"), wrk: send(a, true, false)})
	}
	all = append(all,
		&variant{name: "bad-signature", about: "gate, bad RS256 signatures", config: gated(""), wrk: send("RS256", true, true), refuses: true},
		&variant{name: "missing", about: "gate, no token", config: gated(""), wrk: `wrk.method = "GET"` + "\n", refuses: true},
	)
	listed, err := b.withRevocations(b.settings.entries)
	if err != nil {
		return nil, err
	}
	return append(append(all, listed...), outside()...), nil
}
