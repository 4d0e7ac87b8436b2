#!/usr/bin/env bash
# Holds the conversations of the official SDKs with the gateway, in Python and in Node: every client
# protocol against every upstream protocol, which a simulated provider plays. cells.json lists them.
#
#   tests/sdk/run.sh [short] [WORD...]
#
# `short` is the representative part for CI; words must be in a row of the table for it to be run.
# Needs Python 3 with venv, and Node with npm: the SDKs for Node ask for Node 22 or newer.
#
# With AIPROXY_URL or SIMULATOR_URL set, against what listens there (see conversations.py); else this
# script starts a simulator and a gateway in front of it, and stops both. AIPROXY_BIN names the binary;
# without it one is built. The last line says how many conversations failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in python3 node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is needed" >&2 && exit 2; }
done
major=$(node --print 'process.versions.node.split(".")[0]')
[ "$major" -ge 22 ] || echo "Node $major is older than the SDKs ask for (22); they are tried all the same" >&2

python=$(tests/sdk/python.sh)
# The script finds its packages beside itself, and the cells one folder up.
packages=target/sdk-node/node
if ! cmp -s tests/sdk/node/package-lock.json "$packages/installed.json"; then
  rm -rf "$packages"
  mkdir -p "$packages"
  cp tests/sdk/node/package.json tests/sdk/node/package-lock.json "$packages/"
  (cd "$packages" && npm ci --ignore-scripts --fetch-retries=5 --no-audit --no-fund --loglevel=error)
  cp tests/sdk/node/package-lock.json "$packages/installed.json"
fi
cp tests/sdk/node/conversations.mjs "$packages/"
cp tests/sdk/cells.json target/sdk-node/
# Everything is on this machine.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

work=$(mktemp -d)
children=()
stop() {
  [ "${#children[@]}" -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

if [ -z "${AIPROXY_URL:-}${SIMULATOR_URL:-}" ]; then
  if [ -z "${AIPROXY_BIN:-}" ]; then
    cargo build --quiet --bin aiproxy
    AIPROXY_BIN=target/debug/aiproxy
  fi
  read -r simulator_port gateway_port < <(python3 - <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in held))
PY
  )
  # Upstreams that fail on purpose must not rest afterwards.
  python3 - "$simulator_port" "$gateway_port" > "$work/config.yaml" <<'PY'
import json, sys
simulator, gateway = sys.argv[1:]
table = json.load(open("tests/sdk/cells.json"))
upstreams = {api: [model] for api, model in table["upstreams"].items()}
for cell in table["cells"]:
    for api, model in cell.get("models", {}).items():
        upstreams[api].append(model)
print(json.dumps({
    "listen": f"127.0.0.1:{gateway}",
    "api-key": "sk-sdk-test",
    "log": {"level": "warn"},
    "circuit_breaker": {"enabled": False},
    "upstreams": [
        {"name": api, "api_type": api, "base_url": f"http://127.0.0.1:{simulator}", "available_models": [f"{model}*" for model in models]}
        for api, models in upstreams.items()
    ],
}))
PY
  "$AIPROXY_BIN" simulate --listen "127.0.0.1:$simulator_port" &
  children+=($!)
  "$AIPROXY_BIN" --config "$work/config.yaml" &
  children+=($!)
  export SIMULATOR_URL="http://127.0.0.1:$simulator_port" AIPROXY_URL="http://127.0.0.1:$gateway_port"
fi

failed=0
held=0
# Each says at its end how many conversations failed; one that ends in another way counts as one.
converse() {
  "$@" | tee "$work/rows" || true
  local count
  count=$(sed -n '$s/^\([0-9]*\) failed$/\1/p' "$work/rows")
  failed=$((failed + ${count:-1}))
  held=$((held + $(grep -c '| \(yes\|no\) |' "$work/rows" || true)))
}
converse "$python" tests/sdk/conversations.py "$@"
converse node "$packages/conversations.mjs" "$@"

# Words that no row has must not look like success.
[ "$held" -gt 0 ] || failed=1
echo
echo "$failed failed"
[ "$failed" -eq 0 ]
