#!/usr/bin/env bash
# Installs the official SDKs for Python, unless they are there, and prints the Python that has them.
# Needs Python 3 with venv.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/sdk-venv
if ! cmp -s tests/sdk/requirements.txt "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt >&2
  cp tests/sdk/requirements.txt "$venv/installed.txt"
fi
echo "$venv/bin/python"
