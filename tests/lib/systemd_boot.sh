#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# systemd_boot.sh DIR TREE CONSOLE USR: boots systemd for systemd_boot.py and ends it when standard input ends. Runs in a
# mount namespace of its own, as root. DIR: an empty folder to mount things below, removed at the end. TREE: a folder
# whose files are laid over the new root, as DESTDIR has them; or empty. CONSOLE: a terminal. USR: `read-only`, or
# `scratch`: then what is written to /usr lies over that of this machine, and ends with the boot.
#
# The booted system cannot reach a file of this machine but those in /usr, which it sees read-only: its root is a tmpfs
# that is filled here, and the old root is unmounted before systemd starts. What systemd does at boot to /run, /tmp,
# /var and /etc it does to that tmpfs. It has none of the capabilities, devices and kernel settings by which it could
# change the machine otherwise. It is the first process of a PID namespace: when that is killed, all that it has
# started is killed by the kernel.
set -euo pipefail
umask 022

if [ "${1:-}" != --inside ]; then
    dir=$1 tree=$2 console=$3 usr=$4
    [ "$(readlink /proc/self/ns/mnt)" != "$(readlink "/proc/$PPID/ns/mnt")" ] ||
        { echo "systemd_boot: not started in a mount namespace of its own" >&2; exit 1; }
    root=$dir/root groups=$dir/groups
    mkdir "$root" "$groups"

    # ---- the end: the test's, or its death ----
    group='' boot='' input=''
    end() {
        local code=$?
        set +e
        trap '' PIPE # a test that has died reads no more
        [ ! -e "$group/cgroup.kill" ] || echo 1 >"$group/cgroup.kill"
        [ -z "$boot" ] || kill -KILL "$boot" 2>/dev/null
        [ -z "$input" ] || kill "$input" 2>/dev/null
        wait
        # The last of its processes may be still on its way out.
        for ((i = 0; i < 200; i++)); do
            [ -e "$group" ] || break
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
        [ ! -e "$group" ] || { echo "systemd_boot: control groups below $group stay" >&2; code=1; }
        cd /
        for name in "$root" "$groups"; do
            ! mountpoint -q "$name" || umount -l "$name"
        done
        rmdir "$root" "$groups" "$dir" # empty ones: nothing is ever removed here with what is in it
        exit "$code"
    }
    trap end EXIT

    # ---- the root ----
    mount -t tmpfs -o mode=755 holdfast-boot "$root"
    cd "$root"
    mkdir -p usr proc sys dev run old etc/systemd/system tmp root var/{lib,log,tmp,cache} mnt
    chmod 1777 tmp var/tmp
    for name in /bin /sbin /lib*; do # links into /usr, on an older machine folders of their own
        if [ -L "$name" ]; then
            cp -P "$name" .
        else
            mkdir ".$name" && mount --bind "$name" ".$name" && mount -o remount,bind,ro ".$name"
        fi
    done
    if [ "$usr" = scratch ]; then
        mkdir -p .usr/upper .usr/work
        mount -t overlay -o lowerdir=/usr,upperdir=.usr/upper,workdir=.usr/work holdfast-boot usr
    else
        mount --bind /usr usr
        mount -o remount,bind,ro usr
    fi
    mount -t tmpfs -o mode=755 holdfast-boot usr/local
    # A mount each: where there is none, systemd mounts the machine's own devices.
    mount -t tmpfs -o mode=755 holdfast-boot dev
    mount -t tmpfs -o mode=755 holdfast-boot run
    mkdir dev/pts dev/shm
    mount -t tmpfs -o mode=1777 holdfast-boot dev/shm
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    : >dev/console && mount --bind "$console" dev/console
    echo root:x:0:0:root:/root:/bin/sh >etc/passwd
    echo root:x:0: >etc/group
    echo holdfast-boot >etc/hostname
    tr -d - </proc/sys/kernel/random/uuid >etc/machine-id # there is one: nobody is asked for a first boot's settings
    # Of no use here: the machine's file systems, its audit, its message bus.
    for unit in proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount sys-kernel-config.mount \
        sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount systemd-journald-audit.socket \
        dbus.socket systemd-initctl.socket systemd-udevd.service systemd-update-utmp.service; do
        ln -s /dev/null "etc/systemd/system/$unit"
    done
    [ -z "$tree" ] || cp -RT "$tree" .

    # ---- a control group of its own, so that those systemd makes can be removed again ----
    mount -t cgroup2 cgroup2 "$groups"
    own=$groups$(sed -n 's/^0:://p' /proc/self/cgroup)
    [ -d "$own" ] || own=$groups
    group=$own/$(basename "$dir")
    mkdir "$group"

    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec setpriv --pdeathsig KILL unshare --kill-child --pid --fork --mount --propagation private \
            --cgroup --uts --ipc --net /bin/bash "$0" --inside "$root"
    ) </dev/null &
    boot=$!
    cat <&0 >/dev/null &
    input=$!
    wait -n "$boot" "$input" || true
    [ -e "/proc/$boot" ] || { echo "systemd_boot: it has ended by itself" >&2; exit 1; }
    exit 0
fi

root=$2
cd "$root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
if [ -e proc/sysrq-trigger ]; then
    mount --bind proc/sysrq-trigger proc/sysrq-trigger
    mount -o remount,bind,ro proc/sysrq-trigger
fi
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
# No chroot: the kernel gives a process in one no user namespace (PrivateUsers=).
pivot_root . old
cd /
umount -l /old
rmdir /old
for name in / /run /dev /tmp /var/tmp; do
    [ "$(stat -f -c %T "$name")" = tmpfs ] || { echo "systemd_boot: $name is not the one made here" >&2; exit 1; }
done
exec setpriv --bounding-set \
    "$(printf -- '-%s,' sys_time sys_module sys_rawio sys_boot syslog mac_admin mac_override wake_alarm \
        block_suspend audit_control audit_read audit_write perfmon)-bpf" \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=holdfast-boot \
    /lib/systemd/systemd --system --unit=basic.target --show-status=no
