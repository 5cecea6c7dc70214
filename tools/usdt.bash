# bash completion for usdt(1)
_usdt()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} pid i
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W 'list how trace dump demo --help --version' -- "$word"))
        return
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        [ "${COMP_WORDS[i]}" = -p ] && pid=${COMP_WORDS[i+1]}
    done
    if [ "$before" = -p ]; then
        COMPREPLY=($(compgen -W "$(usdt list 2>/dev/null | cut -f1 | sort -u)" -- "$word"))
    elif [[ $word = -* ]]; then
        case $command in
            list) COMPREPLY=($(compgen -W '-p --types --json --help' -- "$word")) ;;
            how) COMPREPLY=($(compgen -W '-p --help' -- "$word")) ;;
            trace) COMPREPLY=($(compgen -W '-p --count --for --help' -- "$word")) ;;
            *) COMPREPLY=($(compgen -W '--help' -- "$word")) ;;
        esac
    elif [ "$command" = dump ]; then
        COMPREPLY=($(compgen -f -- "$word"))
    else # a colon is the end of a word to bash
        COMPREPLY=($(compgen -W "$(usdt list ${pid:+-p "$pid"} 2>/dev/null | cut -f2 | sort -u)" -- "$word"))
        declare -F __ltrim_colon_completions > /dev/null && __ltrim_colon_completions "$word"
    fi
}
complete -F _usdt usdt
