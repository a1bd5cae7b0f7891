#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a newcomer types: up, up again, a second one beside it, the preemption, down, up, down.
set -euo pipefail
cd "$SOURCE"
[ "$(id -u)" = 0 ] || echo "note: without root, work runs unconfined"
work=$(mktemp -d)
export HOME=$work/home CONSOLE=0
mkdir "$HOME"
unset SUDO_USER LISTEN TESSERA_SERVER TESSERA_KEY

# Two free ports, found by asking the kernel.
read -r port_a port_b < <(python3 -c '
import socket
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0))
print(a.getsockname()[1], b.getsockname()[1])')

clean() {
    local status=$?
    DATA=$work/a PORT=$port_a tools/down >/dev/null 2>&1 || true
    DATA=$work/b PORT=$port_b tools/down >/dev/null 2>&1 || true
    if [ $status != 0 ]; then
        tail -n 30 "$work"/*.out "$work"/?/run/*.log || true
    fi
    rm -rf "$work"
}
trap clean EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}
expect() { # expect FILE TEXT
    grep -qF -- "$2" "$1" || fail "no '$2' in what ${1##*/} printed"
}

DATA=$work/a PORT=$port_a tools/up >"$work/first.out" 2>&1 || fail "up"
expect "$work/first.out" "step 5 of 5"
expect "$work/first.out" "Console:"
expect "$work/first.out" "examples/preemption"
[ "$(stat -c %a "$work/a/client.yaml")" = 600 ] || fail "client.yaml can be read by others"
[ "$(stat -c %a "$HOME/.config/tessera/client.yaml")" = 600 ] || fail "the user's client.yaml can be read by others"

DATA=$work/a PORT=$port_a tools/up >"$work/again.out" 2>&1 || fail "up, again"
expect "$work/again.out" "Everything is up already."

! DATA=$work/a PORT=$port_a LISTEN=127.0.0.9 tools/up >"$work/listen.out" 2>&1 || fail "up says yes to an address that it does not listen on"
expect "$work/listen.out" "make down first, then make up LISTEN=127.0.0.9"

DATA=$work/b PORT=$port_b tools/up >"$work/beside.out" 2>&1 || fail "a second one beside the first"
expect "$work/beside.out" "step 5 of 5"
addresses() { grep -oE '127\.0\.[0-9]+\.11' "$1" | head -n 1; }
[ "$(addresses "$work/first.out")" != "$(addresses "$work/beside.out")" ] || fail "both use the same addresses"

key() { sed -n 's/^key: *//p' "$work/$1/client.yaml" | tr -d "\"'"; }
TESSERA_SERVER=http://127.0.0.1:$port_b TESSERA_KEY=$(key b) timeout 120 examples/preemption \
    >"$work/preemption.out" 2>&1 || fail "examples/preemption"
expect "$work/preemption.out" "hurried: step 3"

ask() { TESSERA_SERVER=http://127.0.0.1:$port_a TESSERA_KEY=$(key a) "$TESSERA" "$@"; }
long=$(ask submit --preemptible --cpus 0.1 -- sleep 600)
until ask status "$long" | grep -q '^state *running'; do sleep 0.1; done
DATA=$work/a PORT=$port_a tools/down >"$work/down.out" 2>&1 || fail "down"
expect "$work/down.out" "the data stays"
! DATA=$work/a PORT=$port_a LISTEN=192.0.2.77 tools/up >"$work/nowhere.out" 2>&1 || fail "listens on an address of another machine"
expect "$work/nowhere.out" "cannot listen on 192.0.2.77"
! grep -qF "stopping" "$work/nowhere.out" || fail "shows what an earlier server said"

DATA=$work/a PORT=$port_a LISTEN=127.0.0.9 tools/up >"$work/on.out" 2>&1 || fail "up after down"
expect "$work/on.out" "step 5 of 5"
expect "$work/on.out" "takes the code too"
[ "$(ask status "$long" | grep -c ' preempting ')" = 1 ] || fail "down sent work from node to node: $(ask status "$long")"
ask status "$long" | grep -q '^state *running, attempt 2' || fail "up did not go on with it: $(ask status "$long")"
! grep -qF "leads to another server" "$work/on.out" || fail "the user's client.yaml is taken for another server's"
ask node add >"$work/add.out" 2>&1 || fail "node add"
expect "$work/add.out" "https://127.0.0.9:$port_a/v1/binary"
DATA=$work/a PORT=$port_a tools/down >"$work/down.out" 2>&1 || fail "down"
# By sudo, for somebody who has no home.
DATA=$work/a PORT=$port_a SUDO_USER=nobody tools/up >"$work/kept.out" 2>&1 || fail "up, listening as before"
expect "$work/kept.out" "and on 127.0.0.9"
echo "ok"
