#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# parts.sh MAKE PART...: has MAKE make one part after the other, also those behind one that fails. In the end a line for each:
# how it ended, and the seconds that it took. The exit code is 0 if all passed.
make=$1
shift
rows=()
first=
over=
trap 'over=1' INT # from the terminal it reaches what runs, too

for part; do
    if [ -n "$over" ]; then
        rows+=("$(printf '%-7s %8s  %s' 'not run' '' "$part")")
        continue
    fi
    echo "==== $part"
    begin=$SECONDS
    if $make "$part" </dev/null; then
        result=passed
    else
        result=FAILED
        : "${first:=$part}"
    fi
    rows+=("$(printf '%-7s %6d s  %s' $result $((SECONDS - begin)) "$part")")
done

echo "==== all parts, $SECONDS s"
printf '%s\n' "${rows[@]}"
if [ -n "$first" ]; then
    echo "the first that failed: $first"
    exit 1
fi
[ $# -gt 0 ] && [ -z "$over" ] && echo 'everything passed'
