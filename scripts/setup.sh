#!/bin/sh
# setup.sh - make the virtual environment that the Makefile works in, and install wormsig into it.
#
# Usage: setup.sh VENV runtime|dev|bench|fuzz
#
#   runtime   wormsig itself, editable, with what it needs to run
#   dev       the tools of `make check` and `make test` (dependency group "dev")
#   bench     the peers that `make bench` measures (dependency group "bench")
#   fuzz      the fuzzer of `make fuzz` (dependency group "fuzz")
#
# Each installs its own part alone, into the same VENV; runtime comes first.
#
# Environment: PYTHON   the interpreter to use; default: the first of python3, python3.13, python3.12, python3.11
#                       that is 3.11 or newer and has venv
#
# Nothing outside VENV is changed. When something of the system is missing, the last two lines say what and how to
# get it. Called again it brings VENV up to date; a VENV that is broken, or was moved, is made anew.
set -eu

venv=$1 level=$2

die() {  # die MESSAGE HINT
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {  # prints the interpreter's name; explains itself and fails when there is none
  without_venv=
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    new_enough "$candidate" || continue
    if has_venv "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
    without_venv=${without_venv:-$candidate}
  done
  if [ -n "$without_venv" ]; then
    version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    die "$without_venv has no venv and ensurepip" \
      "Debian, Ubuntu: apt-get install python3-venv (or python$version-venv); elsewhere: a complete Python $version"
  fi
  [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not a Python 3.11 or newer" "leave PYTHON out, or name another one"
  die "no Python 3.11 or newer found (tried python3, python3.13, python3.12, python3.11)" \
    "Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; macOS: brew install python; or: make PYTHON=/path/to/python3"
}

make_venv() {
  python=$(find_python)
  printf 'making %s with %s\n' "$venv" "$("$python" --version 2>&1)" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv" ||
    die "$python could not make a virtual environment in $venv" "see the lines above; is the disk full?"
}

install() {  # install WHAT PIP-ARGUMENTS...
  what=$1
  shift
  printf 'installing %s\n' "$what" >&2
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@" ||
    die "pip could not install $what; its own words are above" \
      "is the network there? (behind a proxy set https_proxy; with a package mirror of your own set PIP_INDEX_URL); then the same make again"
}

# The scripts in a virtual environment carry its path: one that was copied or moved does not work.
here=$(pwd -P)
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || [ "$(cat "$venv/.made-in" 2>/dev/null || echo "$here")" != "$here" ]; then
  make_venv
fi
printf '%s\n' "$here" >"$venv/.made-in"

case $level in
  runtime) install "wormsig and what it needs" --editable . ;;
  # `pip install --group` came with pip 25.1; Debian 12 has 23.
  dev) install "pip 25.1 or newer" 'pip>=25.1' && install "the tools for checks and tests" --group dev ;;
  bench) install "pip 25.1 or newer" 'pip>=25.1' && install "the peers to measure against" --group bench ;;
  fuzz) install "pip 25.1 or newer" 'pip>=25.1' && install "the fuzzer" --group fuzz ;;
  *) die "setup.sh: unknown level: $level" "one of runtime, dev, bench, fuzz" ;;
esac
