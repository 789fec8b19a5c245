#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# run.sh BUILD [OPTION...]: what `make run` starts: BUILD/holdfastd in the foreground, after a word on what to
# try next. With --listen among the options, or where holdfastd has a default place for its socket, nothing
# is added to them; a user without $XDG_RUNTIME_DIR gets a socket below BUILD.
set -euo pipefail

build=$1
shift
address=
for ((i = $#; i >= 1; i--)); do
    next=$((i + 1))
    case ${!i} in
        --listen) address=${!next:-} ;;
        --listen=*) address=${!i#--listen=} ;;
    esac
done
if [ -z "$address" ] && [ -z "${XDG_RUNTIME_DIR:-}" ] && [ "$(id -u)" != 0 ]; then
    mkdir -p "$build/run"
    address=unix:$build/run/holdfast.sock
    set -- --listen "$address" "$@"
fi
cli="$build/holdfast${address:+ -s $address}"
echo "Starting $build/holdfastd; Ctrl-C ends it."
case $address in
    tcp:*:0) echo "The system chooses the port; the line event=ready says what to try in a second terminal." ;;
    *) printf '%s\n' "In a second terminal, try" "" "    $cli ping" "    $cli help" ;;
esac
echo
exec "$build/holdfastd" "$@"
