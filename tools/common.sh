# SPDX-License-Identifier: Apache-2.0
# What tools/up and tools/down share: where things lie, who is alive, a word with the server.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
ROOT=$PWD
DATA=$(realpath -m "${DATA:-var}")
PORT=${PORT:-7070}
TESSERA=${TESSERA:-$ROOT/build/tessera}
RUN=$DATA/run
URL=http://127.0.0.1:$PORT
AGENTS=4
started_at=$SECONDS

say() { printf '%s\n' "$*"; }
fail() {
    printf 'make %s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# A path as people like to read it.
short() { case $1 in "$ROOT"/*) echo "${1#"$ROOT"/}" ;; *) echo "$1" ;; esac }

# The process that a pid file names, if it still is one of ours: pids are used again.
alive() {
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] &&
        [[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == *" --data $DATA"[/\ ]* ]]
}

# start NAME COMMAND…: in the background, in a session of its own; log and pid under DATA/run.
declare -A log_lines=() # by name, what its log held before
start() {
    local name=$1
    shift
    log_lines[$name]=$([ ! -e "$RUN/$name.log" ] || wc -l <"$RUN/$name.log")
    setsid nohup "$@" >>"$RUN/$name.log" 2>&1 </dev/null &
    echo $! >"$RUN/$name.pid"
}

# log_tail NAME: the last of what it said since it was started.
log_tail() { tail -n +$((${log_lines[$1]:-0} + 1)) "$RUN/$1.log" | tail -n 20 >&2; }

# http METHOD PATH [BODY [BEARER]]: the answer's body; fails unless it is 2xx. Needs only bash.
http() {
    local method=$1 path=$2 body=${3:-} bearer=${4:-} answer
    exec 9<>"/dev/tcp/127.0.0.1/$PORT" || return 1
    {
        printf '%s %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n' "$method" "$path" "$PORT"
        [ -z "$bearer" ] || printf 'Authorization: Bearer %s\r\n' "$bearer"
        [ -z "$body" ] || printf 'Content-Type: application/json\r\nContent-Length: %d\r\n' "${#body}"
        printf '\r\n%s' "$body"
    } >&9
    answer=$(timeout 10 cat <&9)
    exec 9>&-
    printf '%s\n' "$answer" | sed '1,/^\r*$/d'
    [[ $answer == HTTP/1.1\ 2* ]]
}

healthy() { http GET /healthz >/dev/null 2>&1; }

# json NAME <TEXT: the first text or number of that name.
json() { grep -oE "\"$1\": *(\"[^\"]*\"|-?[0-9]+)" | head -n 1 | sed -E 's/^[^:]*: *"?//; s/"$//'; }

# wait_for SECONDS WHAT COMMAND…: asks ten times a second, says every five seconds that it waits.
wait_for() {
    local seconds=$1 what=$2 tick=0
    shift 2
    until "$@"; do
        tick=$((tick + 1))
        [ $tick -lt $((seconds * 10)) ] || return 1
        [ $((tick % 50)) != 0 ] || say "  still waiting for $what ($((tick / 10)) s)"
        sleep 0.1
    done
}

# Our own key, straight from the file that the server wrote, so that nobody's environment interferes.
use_own_key() {
    TESSERA_SERVER=$URL
    TESSERA_KEY=$(sed -n 's/^key: *//p' "$DATA/client.yaml" | tr -d "\"'")
    export TESSERA_SERVER TESSERA_KEY
    [ -n "$TESSERA_KEY" ] || fail "$(short "$DATA")/client.yaml holds no key"
}

node_name() { echo "$(uname -n)-$1"; }
