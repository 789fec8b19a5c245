#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# build.sh >OUT.c: makes the page at `/` one text, with its style and scripts in it, and that a C array with the policy that lets
# only these be run. It takes bash, coreutils and sed, as every Debian has them: the daemon is built without npm. The
# library of the charts lies here as its authors publish it (uplot/README.md).
set -euo pipefail
cd "$(dirname "$0")"

style=$(cat uplot/uPlot.min.css page.css)
script=$(cat uplot/uPlot.iife.min.js page.js)

# What Content-Security-Policy wants of a part: the hash of its bytes.
hash()
{
    local hex
    hex=$(printf '%s' "$1" | sha256sum | cut -d ' ' -f 1)
    printf "'sha256-%s'" "$(sed 's/../\\x&/g' <<<"$hex" | tr -d '\n' | xargs -0 printf '%b' | base64)"
}

policy="default-src 'none'; script-src $(hash "$script"); style-src $(hash "$style"); connect-src 'self'; img-src data:; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

# One line each of the page is where they go.
page()
{
    while IFS= read -r line; do
        case $line in
            '<!-- style -->') printf '<style>%s</style>\n' "$style" ;;
            '<!-- script -->') printf '<script>%s</script>\n' "$script" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done <index.html
}

cat <<END
/* Made by daemon/observe/page/build.sh. */
#include "daemon/observe/page.h"

const char observe_page_policy[] = "$policy";
const unsigned char observe_page[] = {
$(page | od -An -v -tx1 | sed 's/ \(..\)/0x\1,/g')
};
const size_t observe_page_size = sizeof observe_page;
END
