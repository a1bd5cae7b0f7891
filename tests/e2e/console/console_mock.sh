#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The pages against the mock server: their formatting, then a browser through all of them.
# 77 where this machine has no Node, no packages or no Chromium.
set -euo pipefail
cd "${SOURCE:-$(dirname "$0")/../../..}"

skip() { printf 'console: skipped: %s\n' "$*"; exit 77; }

chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
command -v node >/dev/null || skip 'node is missing'
[ -d console/node_modules/playwright-core ] || skip "the console's packages are missing (make console)"
[ -n "$chromium" ] || skip 'chromium is missing'

scratch=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
if ! (cd console && npm run --silent test) >"$scratch/unit" 2>&1; then
    cat "$scratch/unit"
    exit 1
fi
(cd console && npm run --silent build -- --outDir "$scratch/pages" --logLevel error)
node console/mock/server.mjs "$scratch/pages" 0 >"$scratch/address" &
server=$!
for _ in $(seq 200); do
    [ ! -s "$scratch/address" ] || break
    kill -0 "$server"
    sleep 0.05
done
node tests/e2e/console/console.mjs "$(cat "$scratch/address")" "$chromium" "${PICTURES:-}"
