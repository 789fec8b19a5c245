#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# clang_tidy.sh JOBS FILE...: clang-tidy over the product's C files. The checks are those that find bugs; what
# is a matter of style is clang-format's and the scripts' beside this one.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Left out, with the reason:
#   DeprecatedOrUnsafeBufferHandling   asks for Annex K functions (memcpy_s), which the C library does not have
#   bugprone-easily-swappable-...      every (offset, size) is one
#   bugprone-reserved-identifier       finds _GNU_SOURCE, and hf__name, the library's internal prefix
#   bugprone-assignment-in-if-...      -Wall asks for the second parentheses
#   bugprone-narrowing-conversions     fields of the image are as narrow as their invariants allow
#   bugprone-implicit-widening-...     constants such as 4 * 1024 in a size
#   bugprone-signed-char-misuse        the reader of small negative integers is meant so
#   bugprone-macro-parentheses         X-macros pass declarations
#   bugprone-branch-clone              tables of cases, some alike
#   bugprone-sizeof-expression         takes each array of pointers for a slip
#   bugprone-integer-division          prints cut, not rounded, figures on purpose
#   performance-no-int-to-ptr          opaque numbers in void * of callbacks
checks='-*,clang-analyzer-*,bugprone-*,misc-redundant-expression,performance-*
,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling
,-bugprone-easily-swappable-parameters
,-bugprone-reserved-identifier
,-bugprone-assignment-in-if-condition
,-bugprone-narrowing-conversions
,-bugprone-implicit-widening-of-multiplication-result
,-bugprone-signed-char-misuse
,-bugprone-macro-parentheses
,-bugprone-branch-clone
,-bugprone-sizeof-expression
,-bugprone-integer-division
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
