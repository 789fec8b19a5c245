#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# clang_tidy.sh JOBS FILE...: clang-tidy over the product's C files. The checks are those that find bugs; what
# is a matter of style is clang-format's and the scripts' beside this one.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Left out, with the reason:
#   DeprecatedOrUnsafeBufferHandling  asks for Annex K functions (memcpy_s), which the C library does not have
#   easily-swappable-parameters       every (offset, size) is one
#   reserved-identifier               finds _GNU_SOURCE
#   assignment-in-if, narrowing       covered by -Wall and by design of the on-image types
checks='-*,clang-analyzer-*,bugprone-*,cert-err33-c,misc-redundant-expression,performance-*
,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling
,-bugprone-easily-swappable-parameters
,-bugprone-reserved-identifier
,-bugprone-assignment-in-if-condition
,-bugprone-narrowing-conversions
,-bugprone-macro-parentheses
,-bugprone-suspicious-include
,-cert-err33-c
,-performance-no-int-to-ptr'

jobs=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
result=0
printf '%s\n' "$@" | checks=$(tr -d '\n' <<<"$checks") xargs -P "$jobs" -n 1 sh -c \
    'clang-tidy --quiet --warnings-as-errors="*" --checks="$checks" "$@" -- -std=c17 -D_GNU_SOURCE -I.' sh >"$log" 2>&1 || result=1
[ $result = 0 ] || grep -Ev '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter' "$log"
exit $result
