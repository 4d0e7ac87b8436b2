#!/usr/bin/env bash
# Runs the conversations of the official SDKs.
#
# With AIPROXY_URL or SIMULATOR_URL set, against what listens there (see conversations.py).
# With neither, against a simulator that this script starts and stops.
# AIPROXY_BIN names the binary; without it one is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/sdk-venv
if ! cmp -s tests/sdk/requirements.txt "$venv/installed.txt"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
  cp tests/sdk/requirements.txt "$venv/installed.txt"
fi

if [ -z "${AIPROXY_URL:-}${SIMULATOR_URL:-}" ]; then
  if [ -z "${AIPROXY_BIN:-}" ]; then
    cargo build --quiet --bin aiproxy
    AIPROXY_BIN=target/debug/aiproxy
  fi
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$AIPROXY_BIN" simulate --listen "127.0.0.1:$port" &
  simulator=$!
  trap 'kill "$simulator" 2>/dev/null || true' EXIT
  export SIMULATOR_URL="http://127.0.0.1:$port"
fi

"$venv/bin/python" tests/sdk/conversations.py
