# SPDX-License-Identifier: BSD-3-Clause
"""The service under a real systemd, booted for a test class from what `make install` puts there. Takes root."""
import contextlib
import os
import re
import subprocess
import tempfile
import time
import unittest

from rpc import Client, poll
from systemd_boot import Systemd

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICE, SOCKET = "holdfast.service", "holdfast.socket"
UNITS = (SOCKET, SERVICE)
SOCKET_PATH = "/run/holdfast/holdfast.sock"
CONFIG = "/etc/holdfast/holdfast.conf"
DROP_INS = "/run/systemd/system/%s.d/test.conf"
MIB = 1 << 20
ERROR, WARNING, INFO = "3", "4", "6"
# `make` as a person calls it, not as a part of the `make` that runs the tests.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def finish(*command):
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, text=True)
    return done.returncode, done.stdout


class Host:
    """What a boot that reaches this machine would change. Other tests work here meanwhile, so it plants files that a
    clean-up at boot would remove, and otherwise looks at what they leave alone."""

    OLD_S = 400 * 86400  # systemd-tmpfiles removes what is older than 10 and 30 days
    FOLDERS = ("/tmp", "/var/tmp", "/run")
    STEADY = ("/dev", "/etc", "/etc/systemd/system", "/run", "/var/lib", "/var/log")
    FILES = ("/etc/passwd", "/etc/group", "/etc/machine-id", "/etc/hostname", "/proc/sys/kernel/hostname",
             "/proc/sys/kernel/core_pattern", "/proc/sys/fs/file-max", "/proc/sys/fs/nr_open")
    OTHERS = re.compile(r"\Ahf-|\Aholdfast\Z|\Amount\Z")  # of other tests; mount(8) notes there what it has mounted

    def __init__(self):
        self.planted = []
        for folder in self.FOLDERS:
            path = tempfile.mkdtemp(prefix="hf-planted-", dir=folder)
            file = os.path.join(path, "old")
            with open(file, "w", encoding="ascii"):
                pass
            for old in (file, path):
                os.utime(old, (time.time() - self.OLD_S,) * 2)
            self.planted += [file, path]
        self.before = self.look()

    def look(self):
        facts = {path: self.read(path) for path in self.FILES}
        for path in self.STEADY:
            facts[path] = sorted(name for name in os.listdir(path) if not self.OTHERS.search(name))
        facts["planted"] = [path for path in self.planted if os.path.exists(path)]
        return facts

    @staticmethod
    def read(path):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def clear(self):
        for path in self.planted:
            with contextlib.suppress(FileNotFoundError):
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)

    def check(self, folder):
        """Fails if something is not as it was, or is left of the boot in `folder`."""
        after = self.look()
        for what, value in self.before.items():
            if after[what] != value:
                raise AssertionError("the boot has changed this machine's %s:\n%r\n%r" % (what, value, after[what]))
        mounts = [line.split() for line in self.read("/proc/self/mountinfo").splitlines()]
        left = [fields[4] for fields in mounts if folder in fields[4]]
        for place in (fields[4] for fields in mounts if "cgroup2" in fields):
            left += [where for where, _, _ in os.walk(place) if os.path.basename(folder) in where]
        left += [folder] if os.path.exists(folder) else []
        if left:
            raise AssertionError("the boot has left %s" % left)


class BootedTest(unittest.TestCase):
    """Each test begins with the socket listening and the service stopped."""

    @classmethod
    def setUpClass(cls):
        host = Host()
        cls.addClassCleanup(host.clear)
        tree = tempfile.TemporaryDirectory(prefix="hf-tree-")
        cls.addClassCleanup(tree.cleanup)
        for command in (["make", "-s", "install", "DESTDIR=" + tree.name, "PREFIX=/usr/local"],
                        ["systemctl", "--root=" + tree.name, "enable", SOCKET]):
            code, text = finish(*command)
            if code != 0:
                raise AssertionError("%s: exit code %d\n%s" % (" ".join(command), code, text))
        cls.booted = Systemd(tree.name)
        cls.addClassCleanup(host.check, cls.booted.dir)
        cls.booted.start()
        cls.addClassCleanup(cls.booted.stop)
        cls.at_boot = {unit: cls.booted.show(unit, "ActiveState") for unit in UNITS}
        cls.config = cls.booted.read(CONFIG)

    def setUp(self):
        self.systemctl("start", SOCKET)
        self.addCleanup(self.reset)

    def reset(self):
        self.systemctl("stop", *UNITS)
        self.systemctl("reset-failed")
        self.booted.write(CONFIG, self.config)
        if any([self.remove(DROP_INS % unit) for unit in UNITS]):
            self.systemctl("daemon-reload")

    def run(self, result=None):
        """A test that failed shows what the units have logged."""
        bad = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad:
            print("\n".join(entry.get("MESSAGE", "") for entry in self.log()[-60:]))

    def systemctl(self, *arguments):
        return self.booted.run("systemctl", *arguments)

    def show(self, prop, unit=SERVICE):
        return self.booted.show(unit, prop)

    def log(self):
        return [entry for unit in UNITS for entry in self.booted.journal(unit)]

    def wait_log(self, pattern, priority=INFO):
        def found():
            return [entry for entry in self.booted.journal(SERVICE)
                    if re.search(pattern, entry["MESSAGE"]) and entry["PRIORITY"] == priority]
        return poll(found, "the journal has %r with priority %s" % (pattern, priority))

    def drop_in(self, unit, text):
        self.booted.write(DROP_INS % unit, text)
        self.systemctl("daemon-reload")

    def remove(self, path):
        try:
            os.unlink(self.booted.path(path))
        except FileNotFoundError:
            return False
        return True

    def client(self, hello=None):
        client = Client(self.booted.path(SOCKET_PATH), hello)
        self.addCleanup(client.close)
        return client

    def pid(self):
        return int(self.show("MainPID"))
