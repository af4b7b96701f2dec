#!/bin/sh
# Runs one stage of a make target: says what it does, how long it took, and how to mend it.
# Usage: sh tools/stage.sh "What it does" "How to mend a failure" command [argument ...]
# Without arguments it prints the times of all stages that have the same BEGAN, which the Makefile
# sets; they are kept in _build/stages.txt.
record=_build/stages.txt

if [ $# -eq 0 ]; then
    exec awk -F '\t' -v began="$BEGAN" '
        $1 == began { printf "%6d s  %-6s  %s\n", $2, $3, $4; total += $2 }
        END { printf "%6d s  in all\n", total }' "$record"
fi

title=$1
remedy=$2
shift 2

printf '── %s\n' "$title"
start=$(date +%s)
"$@"
status=$?
seconds=$(($(date +%s) - start))
if [ "$status" -eq 0 ]; then
    end='done'
    printf '── done in %s s: %s\n' "$seconds" "$title"
else
    end=FAILED
    printf '── FAILED after %s s: %s\n   %s\n' "$seconds" "$title" "$remedy" >&2
fi
mkdir -p _build
printf '%s\t%s\t%s\t%s\n' "$BEGAN" "$seconds" "$end" "$title" >>"$record"
exit "$status"
