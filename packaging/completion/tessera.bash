# SPDX-License-Identifier: Apache-2.0
# Completion for bash: commands and options as the program's own --help lists them, then files.
_tessera() {
    local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} command=() choices i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] || command+=("${COMP_WORDS[i]}")
    done
    if [ ${#command[@]} = 0 ]; then
        choices=$("$program" --help 2>/dev/null | awk '/^  [a-z]/ { print $1 } /^  .. --[a-z]/ || /^ +--[a-z]/ { print $0 }' |
            grep -oE '^[a-z][a-z-]*|--[a-z-]+')
    else
        choices=$("$program" "${command[@]:0:2}" --help 2>/dev/null || "$program" "${command[0]}" --help 2>/dev/null)
        choices=$(grep -oE '^ +(-[a-zA-Z], )?--[a-z-]+' <<<"$choices" | grep -oE -- '--[a-z-]+'
        # The second word of "node add" and its like.
        [ ${#command[@]} != 1 ] || "$program" --help 2>/dev/null | awk -v c="${command[0]}" '$1 == c && NF > 3 && /^  [a-z]+ [a-z]+  / { print $2 }')
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
    [[ ${#COMPREPLY[@]} != 0 || $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
complete -o filenames -F _tessera tessera
