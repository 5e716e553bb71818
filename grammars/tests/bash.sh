#!/usr/bin/env bash
set -euo pipefail
# <- statement

source "$(dirname "$0")/common.sh"
# <- import
# <- statement
. ./colours.sh
# <- import

LIMIT=10
# <- statement
# <- symbol
# <- name
readonly NAME="backup"
# <- symbol
#        ^^^^ name

log() {
# <- symbol ... }
# <- name
#     ^ block ... }
    local level=$1; shift
    # <- statement ... local level=$1
    #               ^ statement
    printf '%s [%s] %s\n' "$(date +%T)" "$level" "$*" >&2
    # <- statement
}

function copy_all {
# <- statement ... }
#        ^^^^^^^^ name
    for file in "$@"; do
    # <- statement ... done
    #                 ^ block ... done
        if [[ -d "$file" && $LIMIT -gt 0 ]]; then
        # <- statement ... fi
        # <- block ... fi
            tar czf "$file.tgz" "$file" | tee -a log.txt
            # <- statement
        elif ! cmp -s "$file" "/backup/$file"; then
        # <- block
            cp -- "$file" /backup/ && log info "copied $file"
            # <- statement
            #                         ^ !statement
        else
        # <- block
            log debug "same: $file"
            # <- statement
        fi
    done
    while read -r line; do echo "$line"; done < list.txt
    # <- statement
    #                   ^ block
    #                      ^ statement
    case "${1:-}" in
    # <- statement ... esac
        -h | --help)
        # <- block
        # <- statement
            usage
            # <- statement
            ;;
        *) exit 1 ;;
        #  ^ statement
    esac
}

(cd /tmp && rm -f -- *.tgz)
# <- block
copy_all "$@" || exit $?
# <- statement
cat <<EOF
Done: $NAME
EOF
