# SPDX-License-Identifier: BSD-3-Clause
"""Boots a real systemd for a test, as root, and ends it without a trace.

It runs as the first process of namespaces of its own (processes, mounts, control groups, host name, IPC, network), on
an overlay over the machine's root file system: all it reads is there, all it writes goes to a tmpfs that ends with it.
Devices are copies of the harmless ones, the kernel's settings are read-only, services that would change them are
masked. Its network has a loopback of its own, so ports there may be fixed.

    with Systemd() as booted:
        booted.write("/etc/systemd/system/x.service", text)
        booted.run("systemctl", "start", "x")
        booted.path("/run/x.sock")       # for a client outside
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time

DEADLINE_S = 60

# What runs before systemd, inside the namespaces: $1 is an empty folder. Files below /run, /tmp and /var/tmp of the
# machine cannot be reached from there, so nothing that cleans up at boot can remove them.
PREPARE = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind -o ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for d in dev run tmp var/tmp; do mount -t tmpfs tmpfs $d; done
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
ln -s pts/ptmx dev/ptmx
mkdir -p dev/shm dev/pts run/systemd/system
for u in systemd-sysctl systemd-modules-load systemd-binfmt systemd-udevd systemd-udev-trigger systemd-random-seed \
    systemd-remount-fs systemd-hwdb-update; do
    ln -s /dev/null run/systemd/system/$u.service
done
ip link set lo up
: > etc/machine-id
# No chroot: the kernel gives a process in one no user namespace (PrivateUsers=).
pivot_root . mnt
cd /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=unshare sh -c \
    'umount -l /mnt; exec /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no'
"""


class BootFailed(Exception):
    """systemd did not come up here; the text says what it said."""


class Systemd:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hf-boot-")
        self.log = os.path.join(self.dir, "console")
        self.mount = os.path.join(self.dir, "m")
        self.process = self.pid = None

    # Life cycle ----------------------------------------------------------------------------------

    def start(self):
        os.mkdir(self.mount)
        # Should this program be killed, so is all it has started.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--kill-child", "--pid", "--fork", "--mount",
                   "--cgroup", "--uts", "--ipc", "--net", "sh", "-c", PREPARE, "sh", self.mount]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        try:
            self._wait_child()
            self._wait(lambda: self.try_run("systemctl", "is-active", "basic.target") == 0, "basic.target is reached")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Killing the outer process kills the first process of the namespace, and with it all in it."""
        if self.process and self.process.poll() is None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_S)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("the console of systemd:\n" + self.console()[-3000:])
        self.stop()

    def console(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def _wait(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if self.process.poll() is not None:
                raise BootFailed("systemd ended before %s:\n%s" % (what, self.console()[-3000:]))
            if time.monotonic() > deadline:
                raise BootFailed("waited %d s until %s:\n%s" % (DEADLINE_S, what, self.console()[-3000:]))
            time.sleep(0.02)

    def _wait_child(self):
        children = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)

        def found():
            with open(children, encoding="ascii") as text:
                pids = text.read().split()
            self.pid = int(pids[0]) if pids else None
            try:
                return self.pid is not None and os.readlink("/proc/%d/exe" % self.pid).endswith("/systemd")
            except OSError:
                return False
        self._wait(found, "it runs")

    # Use -----------------------------------------------------------------------------------------

    def path(self, path):
        """Where a file of the booted system is for those outside."""
        return "/proc/%d/root%s" % (self.pid, path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as file:
            return file.read()

    def copy(self, source, path):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        shutil.copy(source, self.path(path))

    def command(self, *command):
        """The same command inside."""
        return ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", "--"] + list(command)

    def try_run(self, *command):
        return subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=False).returncode

    def run(self, *command):
        """Its output; must succeed."""
        done = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=DEADLINE_S, check=False, text=True)
        if done.returncode != 0:
            raise AssertionError("%s: exit code %d\n%s" % (" ".join(command), done.returncode, done.stdout))
        return done.stdout

    def show(self, unit, prop):
        """A property of a unit, as `systemctl show` prints it."""
        return self.run("systemctl", "show", "--value", "--property", prop, unit).strip()

    def wait_for(self, unit, prop, value):
        self._wait(lambda: self.show(unit, prop) == value, "%s of %s is %s, not %s"
                   % (prop, unit, value, self.show(unit, prop)))
