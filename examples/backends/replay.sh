#!/bin/sh
# Replays what the gateway would send to an API, for the API's own CI: needs no
# gateway that runs, no issuer and no token.
#
#     GATEWAY_SECRET=... examples/backends/replay.sh CADDYFILE http://127.0.0.1:9000
#
# Prints a line for each request and fails unless the API answers each with 2xx.
# CADDY names the program, if it is not `caddy`.
set -eu
if [ $# -ne 2 ]; then
	echo "usage: replay.sh CADDYFILE URL-OF-THE-API" >&2
	exit 2
fi
umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"${CADDY:-caddy}" jwtgate contract --config "$1" --fixture >"$dir/fixture.sh"

# The secret is no part of that contract: header_up adds it after the gate. curl
# takes it from here, so that no process list shows it.
printf 'header = "X-Gateway-Secret: %s"\n' "${GATEWAY_SECRET:-}" >"$dir/.curlrc"
CURL_HOME=$dir BACKEND=$2 sh "$dir/fixture.sh" >"$dir/answers" || failed=1
cat "$dir/answers"

if [ -n "${failed:-}" ] || [ ! -s "$dir/answers" ] || grep -qvE ': 2[0-9][0-9]$' "$dir/answers"; then
	echo "$2 does not take every request that the gateway of $1 may send" >&2
	exit 1
fi
