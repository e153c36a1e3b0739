#!/bin/sh
# Starts one Redis, an issuer, a backend and three gateways on this machine, and
# ends them all with Ctrl-C. Everything they write goes to a directory of its own,
# which is deleted then.
set -eu
cd "$(dirname "$0")/../.."

REDIS_PORT=${REDIS_PORT:-6390}
ISSUER_PORT=${ISSUER_PORT:-8081}
BACKEND_PORT=${BACKEND_PORT:-8082}
GATEWAY_PORTS=${GATEWAY_PORTS:-8080 8090 8100}
ADMIN_PORTS=${ADMIN_PORTS:-2019 2029 2039}

command -v redis-server >/dev/null || { echo "redis-server is missing (Debian: apt-get install redis-server)" >&2; exit 1; }

dir=$(mktemp -d)
started=
end() {
	trap - EXIT INT TERM
	for p in $started; do kill "$p" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 0' INT TERM

if [ -z "${CADDY:-}" ]; then
	CADDY=$dir/caddy
	go build -o "$CADDY" ./cmd/caddy
fi

redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$dir" --save '' --appendonly yes >"$dir/redis.log" &
started=$!

export JWTGATE_REDIS="redis://127.0.0.1:$REDIS_PORT"
config=examples/cluster/Caddyfile
n=0
# shellcheck disable=SC2086
set -- $ADMIN_PORTS
for port in $GATEWAY_PORTS; do
	n=$((n + 1))
	export JWTGATE_JOURNAL="$dir/list-$n.db" XDG_DATA_HOME="$dir/data-$n" XDG_CONFIG_HOME="$dir/config-$n"
	if [ "$n" = 1 ]; then
		# The first one comes with the issuer and the backend.
		"$CADDY" jwtgate demo --config "$config" --data "$dir/demo" --gateway "$port" --admin "$1" \
			--issuer "$ISSUER_PORT" --backend "$BACKEND_PORT" &
	else
		JWTGATE_SITE="http://:$port" JWTGATE_ADMIN="127.0.0.1:$1" JWTGATE_ISSUER="http://127.0.0.1:$ISSUER_PORT" \
			JWTGATE_BACKEND="127.0.0.1:$BACKEND_PORT" "$CADDY" run --adapter caddyfile --config "$config" 2>"$dir/gateway-$n.log" &
	fi
	started="$started $!"
	shift
done

for port in $GATEWAY_PORTS; do
	tries=0
	until curl -sf -o "$dir/ready" "http://127.0.0.1:$port/ready"; do
		tries=$((tries + 1))
		[ "$tries" -lt 300 ] || { echo "the gateway on port $port does not become ready" >&2; cat "$dir"/*.log >&2; exit 1; }
		sleep 0.1
	done
done
echo "ready: gateways on ports $GATEWAY_PORTS, Redis on $REDIS_PORT; Ctrl-C ends them"
wait
