#!/bin/sh
# Runs one stage of a make target: says what it does, how long it took, and how to mend it.
# Usage: sh tools/stage.sh "What it does" "How to mend a failure" command [argument ...]
title=$1
remedy=$2
shift 2

printf '\n── %s\n' "$title"
start=$(date +%s)
"$@"
status=$?
seconds=$(($(date +%s) - start))
if [ "$status" -eq 0 ]; then
    printf '── done in %s s: %s\n' "$seconds" "$title"
else
    printf '── FAILED after %s s: %s\n   %s\n' "$seconds" "$title" "$remedy" >&2
fi
exit "$status"
