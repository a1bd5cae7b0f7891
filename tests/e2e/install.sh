#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `make install` puts in place, and that it works there.
set -euo pipefail
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
cd "$SOURCE"
DESTDIR=$to PREFIX=/usr tools/install

fail() {
    echo "FAILED: $*"
    exit 1
}
for file in bin/tessera share/man/man1/tessera.1 share/man/man1/tessera-node-add.1 share/man/man1/tessera-serve.1 \
    share/bash-completion/completions/tessera lib/systemd/system/tessera-serve.service share/tessera/examples/hello-gang.yaml; do
    [ -s "$to/usr/$file" ] || fail "no $file"
done
[ -x "$to/usr/share/tessera/examples/preemption" ] || fail "the example cannot be run"
"$to/usr/bin/tessera" version | grep -q '^tessera [0-9]' || fail "tessera version"
grep -rl '@PREFIX@' "$to/usr/lib" && fail "a unit still says @PREFIX@"
# Every page that tessera(1) names is there.
for page in $(sed 's/\\-/-/g' "$to/usr/share/man/man1/tessera.1" | grep -oE 'tessera-[a-z-]+'); do
    [ -s "$to/usr/share/man/man1/$page.1" ] || fail "tessera(1) names $page, which has no page"
done
echo "ok"
