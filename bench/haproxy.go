package main

import (
	"fmt"
	"os/exec"
)

// outside are the gateways of other makers that are installed here.
func outside() []*variant {
	if _, err := exec.LookPath("haproxy"); err != nil {
		return nil
	}
	all := []*variant{
		{name: "haproxy", about: "HAProxy, plain", program: "haproxy", config: fmt.Sprintf(haproxy, ""), wrk: send("RS256", false, false)},
	}
	for _, a := range []string{"RS256", "ES256"} {
		all = append(all, &variant{
			name: "haproxy-" + a, about: "HAProxy, `jwt_verify` " + a, program: "haproxy",
			config: fmt.Sprintf(haproxy, fmt.Sprintf(haproxyChecks, a)), wrk: send(a, true, false),
		})
	}
	return all
}

const haproxy = `global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend gateway
  bind ADDRESS
%s  default_backend orders
backend orders
  server one BACKEND
`

// haproxyChecks asks what the gate asks, as far as HAProxy can: algorithm,
// signature, issuer, audience, exp. It keeps no verdicts, so warm is cold.
const haproxyChecks = `  http-request set-var(txn.bearer) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_header_query('$.alg') -m str %[1]s }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify("%[1]s","DIR/%[1]s.pem") 1 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str ` + issuerName + ` }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str orders-api }
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if { var(txn.bearer),jwt_payload_query('$.exp','int'),sub(txn.now) -m int lt 0 }
  http-request set-header X-User-ID %%[var(txn.bearer),jwt_payload_query('$.sub')]
  http-request set-header X-User-Email %%[var(txn.bearer),jwt_payload_query('$.email')]
`
