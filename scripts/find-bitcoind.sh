#!/bin/sh
# find-bitcoind.sh - print the path of a bitcoind for the demo, the tests and the benchmarks.
#
# Order: $BITCOIND, a bitcoind on PATH, the one fetched before, fetch one now (get-bitcoind.sh, which knows
# where it keeps it and does nothing when it is there).
set -eu

if [ -n "${BITCOIND:-}" ]; then
  if ! path=$(command -v "$BITCOIND"); then
    printf 'error: BITCOIND=%s is not a program\nhint: %s\n' "$BITCOIND" "name a bitcoind, or leave BITCOIND out" >&2
    exit 1
  fi
elif ! path=$(command -v bitcoind); then
  path=$("$(dirname "$0")/get-bitcoind.sh" | tail -n 1)
  if [ ! -x "$path" ]; then
    printf 'error: no bitcoind\nhint: %s\n' "install Bitcoin Core (https://bitcoincore.org/en/download/), then BITCOIND=/path/to/bitcoind make ..." >&2
    exit 1
  fi
fi
printf '%s\n' "$path"
