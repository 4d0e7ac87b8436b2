#!/usr/bin/env bash
# Judges translations by the types of the official SDKs (judge.py): the requests of every field in
# src/protocol/LOSSES.md, the cases of tests/corpus in both directions, and, where AIPROXY_CORPUS names a
# folder of them, recorded exchanges in all directions.
#
#   tests/sdk/types.sh [short] [all]
#
# `short` leaves the recorded exchanges out; `all` also tells where what was recorded is at odds with the
# types. Needs Python 3 with venv. The last line says how many translations are invalid.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$(tests/sdk/python.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ " $* " == *" short "* ]]; then
  export AIPROXY_CORPUS=none
fi
AIPROXY_TRANSLATIONS=$work cargo test --quiet --all-features --test protocol -- corpus loss_table
"$python" tests/sdk/judge.py "$work" "$@"
