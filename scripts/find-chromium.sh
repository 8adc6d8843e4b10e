#!/bin/sh
# Print the path of a Chromium: $CHROMIUM, else the first one that is there.
set -eu

if [ -n "${CHROMIUM:-}" ]; then
    command -v "$CHROMIUM" && exit 0
    printf 'error: CHROMIUM=%s is not a program\nhint: unset it, or let it name a browser\n' "$CHROMIUM" >&2
    exit 1
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" && exit 0
done
printf 'error: no Chromium found\nhint: Debian: apt-get install chromium; another one: CHROMIUM=/path/to/it\n' >&2
exit 1
