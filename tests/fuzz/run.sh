#!/usr/bin/env bash
# Fuzzes every target in release, and prints a table: target, inputs, inputs a second, the slowest input, the longest,
# memory, finds.
#
#   tests/fuzz/run.sh [--inputs N | --seconds S] [target…]
#
# Both are per target; 20,000 inputs where nothing is said; the project's own measure is 1,000,000. A target is wanted if
# it holds one of the words. Finds are in target/fuzz; one that is mended goes to tests/fuzz/finds, under the same name,
# and is tried in every run.
set -euo pipefail
cd "$(dirname "$0")/../.."
case "${1:-}" in
  --inputs | --seconds) ;;
  *) set -- --inputs 20000 "$@" ;;
esac
# What is only checked in debug builds is a find, too.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
exec cargo test --quiet --release --all-features --test fuzz -- "$@"
