#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# packages.sh PACKAGE...: installs those Debian packages that are missing, and says which. Nothing happens,
# quickly and without a network, when all are there. Called by the Makefile, which has the list.
#
# A package counts as there when it, or one that provides it, is installed (Node's own packages, for
# example, provide npm).
set -euo pipefail

if ! command -v dpkg-query >/dev/null; then
    echo "packages: not a Debian system; assuming that these are installed in some form: $*" >&2
    exit 0
fi

# One at a time: `make -j` may ask for two lists at once, and apt-get update does not wait for its lock.
exec 9>"${TMPDIR:-/tmp}/holdfast-packages-$(id -u).lock"
flock 9

installed=$(dpkg-query -W -f='${db:Status-Abbrev}|${Package}, ${Provides}\n' |
    sed -n -e 's/ ([^)]*)//g' -e 's/^.i *|//p' | tr -d ' ' | tr ',' '\n')
missing=()
for package in "$@"; do
    grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "packages: missing: ${missing[*]}; neither root nor sudo to install them" >&2; exit 1; }
    as_root=(sudo)
fi
echo "packages: installing from Debian: ${missing[*]}"

# Servers among them (redis-server, memcached) must not start on this machine just because a benchmark
# wants their programs: for the time of the installation a policy forbids it, unless there is one already.
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " =~ \ (redis-server|memcached)\  ]]; then
    echo "packages: redis-server and memcached are not started now; to keep them from starting with the machine:"
    echo "packages:     systemctl disable redis-server memcached"
    if [ ! -e $policy ]; then
        trap '"${as_root[@]}" rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
    fi
fi

# A fresh machine is often installing its updates: apt-get waits for that to end.
log=$(mktemp)
run() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" \
        >"$log" 2>&1 </dev/null || { cat "$log" >&2; rm -f "$log"; exit 1; }
}
run update
run install -y --no-install-recommends "${missing[@]}"
rm -f "$log"
