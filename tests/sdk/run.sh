#!/usr/bin/env bash
# Holds the conversations of the official SDKs with the gateway: every client protocol against every
# upstream protocol, which a simulated provider plays.
#
# With AIPROXY_URL or SIMULATOR_URL set, against what listens there (see conversations.py); else this
# script starts a simulator and a gateway in front of it, and stops both. AIPROXY_BIN names the binary;
# without it one is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/sdk-venv
if ! cmp -s tests/sdk/requirements.txt "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
  cp tests/sdk/requirements.txt "$venv/installed.txt"
fi
# Everything is on this machine.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

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
  work=$(mktemp -d)
  children=()
  stop() {
    kill "${children[@]}" 2>/dev/null || true
    rm -rf "$work"
  }
  trap stop EXIT
  {
    echo "listen: 127.0.0.1:$gateway_port"
    echo "api-key: sk-sdk-test"
    echo "log: { level: warn }"
    echo "upstreams:"
    for api in anthropic openai responses gemini; do
      echo "  - { name: $api, api_type: $api, base_url: 'http://127.0.0.1:$simulator_port', available_models: ['sim-$api*'] }"
    done
  } > "$work/config.yaml"
  "$AIPROXY_BIN" simulate --listen "127.0.0.1:$simulator_port" &
  children+=($!)
  "$AIPROXY_BIN" --config "$work/config.yaml" &
  children+=($!)
  export AIPROXY_URL="http://127.0.0.1:$gateway_port"
fi

"$venv/bin/python" tests/sdk/conversations.py
