#!/bin/sh
# Rebuilds the contracts with the pinned compiler and compares them with the committed code.
set -eu
cd "$(dirname "$0")"
[ -d node_modules/@ton/tolk-js ] || npm ci --no-audit --no-fund --silent
exec node build.mjs --check
