#!/bin/sh
# Makes a small certificate authority of the gateway's own, and with it one
# certificate for the gateway and one for the API, good for a year:
# certs.sh [DIRECTORY [HOST-OR-ADDRESS-OF-THE-API]]
#
# Whoever has a certificate of this authority is the gateway to the API. Sign
# nothing else with it, and keep ca.key off both machines.
set -eu
dir=${1:-certs}
host=${2:-127.0.0.1}
case $host in
*[!0-9.]*) name=DNS:$host ;;
*) name=IP:$host ;;
esac
umask 077
mkdir -p "$dir"
cd "$dir"

new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch"
$new -x509 -days 365 -keyout ca.key -out ca.pem -subj "/CN=gateway and API" 2>/dev/null

issue() { # issue FILE NAME USAGE ALTERNATIVE-NAME
	$new -keyout "$1.key" -out "$1.csr" -subj "/CN=$2" 2>/dev/null
	printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$3" "$4" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
	rm "$1.csr" "$1.ext"
}
issue gateway gateway clientAuth DNS:gateway
issue api api serverAuth "$name"
echo "$dir: ca.pem, gateway.pem, gateway.key, api.pem, api.key"
