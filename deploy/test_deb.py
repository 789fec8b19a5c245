#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The packages of `make deb` on a machine of their own: they install, start by the socket, survive an upgrade while
clients use them, are removed, and are purged without a trace. Takes root, and build/deb."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from rpc import Client, Closed, poll  # noqa: E402
from systemd_boot import Systemd  # noqa: E402

SOCKET = "/run/holdfast/holdfast.sock"
CONFIG = "/etc/holdfast/holdfast.conf"
PACKAGES = ("holdfast", "libholdfast0", "libholdfast-dev")
UNITS = ("holdfast.service", "holdfast.socket")


def built():
    found = [path for path in glob.glob(os.path.join(ROOT, "build", "deb", "*.deb")) if "dbgsym" not in path]
    if len(found) != len(PACKAGES):
        raise AssertionError("no packages in build/deb: `make deb` makes them")
    return found


def newer(package, folder):
    """The same package as version 99, whose configuration has a line more."""
    unpacked = os.path.join(folder, "unpacked")
    subprocess.run(["dpkg-deb", "--raw-extract", package, unpacked], check=True)
    control = os.path.join(unpacked, "DEBIAN", "control")
    with open(control, encoding="utf-8") as file:
        text = re.sub(r"^Version: .*", "Version: 99", file.read(), flags=re.M)
    with open(control, "w", encoding="utf-8") as file:
        file.write(re.sub(r"\(= [^)]*\)", "(= 99)", text))
    if os.path.exists(unpacked + CONFIG):
        with open(unpacked + CONFIG, "a", encoding="utf-8") as file:
            file.write("# as version 99 has it\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", unpacked, folder], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(unpacked)


def lay_out(tree):
    """What dpkg needs of a machine: its own database, and what its helpers read. The packages, and newer ones."""
    shutil.copytree("/var/lib/dpkg", tree + "/var/lib/dpkg", symlinks=True)
    for name in ("statoverride", "triggers/File", "lock", "lock-frontend"):  # of users and triggers that are not there
        with open(os.path.join(tree, "var/lib/dpkg", name), "w", encoding="ascii"):
            pass
    os.makedirs(tree + "/etc")
    for name in ("alternatives", "ld.so.conf.d"):
        shutil.copytree("/etc/" + name, tree + "/etc/" + name, symlinks=True)
    shutil.copy("/etc/ld.so.conf", tree + "/etc/ld.so.conf")
    for name in ("deb", "newer"):
        os.makedirs(os.path.join(tree, "mnt", name))
    for package in built():
        shutil.copy(package, tree + "/mnt/deb")
        newer(package, tree + "/mnt/newer")


class Knocking:
    """A client that connects again and again; none of its connections may be refused."""

    def __init__(self, path):
        self.path, self.count, self.problem = path, 0, None
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.end.is_set() and self.problem is None:
            try:
                with Client(self.path) as client:
                    client.call("ping")
                self.count += 1
            except Closed:
                pass  # it was in the middle of the change
            except OSError as error:
                self.problem = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.end.set()
        self.thread.join()


class Deb(unittest.TestCase):
    def test_life_of_the_packages(self):
        with tempfile.TemporaryDirectory(prefix="hf-deb-") as tree:
            lay_out(tree)
            with Systemd(tree, scratch_usr=True) as self.boot:
                self.boot.try_run("rm", "-f", "/usr/sbin/policy-rc.d")  # of this machine, for this machine
                self.boot.run("systemctl", "start", "multi-user.target")
                for step in (self.installs, self.starts_by_the_socket, self.survives_an_upgrade, self.is_removed,
                             self.comes_back, self.is_purged):
                    step()

    def dpkg(self, *words):
        return self.boot.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *words)

    def install(self, folder, *options):
        names = sorted(os.listdir(self.boot.path("/mnt/" + folder)))
        return self.dpkg("--install", *options, *("/mnt/%s/%s" % (folder, name) for name in names))

    def states(self):
        return [self.boot.finish("systemctl", "is-active", unit)[1].strip() for unit in UNITS]

    def installs(self):
        self.assertNotRegex(self.install("deb"), r"(?i)warning|error|failed")
        self.assertEqual(self.states(), ["inactive", "active"])
        self.assertEqual(self.boot.run("systemctl", "is-enabled", "holdfast.socket").strip(), "enabled")
        self.assertIn("holdfast", self.boot.read("/etc/passwd"))
        self.assertEqual(self.boot.run("stat", "-c", "%U %G %a", SOCKET).strip(), "root holdfast 660")
        self.boot.run("holdfastd", "--config", CONFIG, "--check-config")
        self.boot.run("test", "-e", "/usr/share/man/man8/holdfastd.8.gz")

    def starts_by_the_socket(self):
        self.assertIn("answered", self.boot.run("holdfast", "ping"))
        self.assertEqual(self.states(), ["active", "active"])
        # From here on its pools are in files, so that an upgrade keeps them.
        text = self.boot.read(CONFIG)
        self.boot.write(CONFIG, text.replace("#heap = memfd", "heap = /var/lib/holdfast/heap"))
        self.boot.run("systemctl", "restart", "holdfast.service")
        self.boot.run("holdfast", "put", "-q", "kept", "--name", "kept")

    def survives_an_upgrade(self):
        before = self.boot.show("holdfast.service", "MainPID")
        path = self.boot.path(SOCKET)
        with Client(path, hello={"name": "user", "lease_ms": 60000}) as client:
            number = client.call("put", "held")
            key = client.hello_result["session"]
            with Knocking(path) as knocking:
                poll(lambda: knocking.count > 0, "a client is served")
                self.install("newer", "--force-confold")
                count = knocking.count
                poll(lambda: knocking.problem or knocking.count > count, "a client is served after the upgrade")
            self.assertIsNone(knocking.problem)
        self.assertNotEqual(self.boot.show("holdfast.service", "MainPID"), before)
        self.assertEqual(self.states(), ["active", "active"])
        self.assertEqual(self.boot.run("holdfast", "fetch", "kept"), "kept\n")
        with Client(path, hello={"session": key}) as client:
            self.assertEqual(client.call("get", number), "held")
            self.assertTrue(client.call("verify")["ok"])
        text = self.boot.read(CONFIG)
        self.assertIn("\nheap = /var/lib/holdfast/heap\n", text)
        self.assertNotIn("version 99", text)

    def is_removed(self):
        self.dpkg("--remove", *PACKAGES)
        self.assertEqual(self.states(), ["inactive", "inactive"])
        self.assertEqual(self.boot.try_run("test", "-e", SOCKET), 1)
        self.assertEqual(self.boot.try_run("test", "-e", "/usr/bin/holdfastd"), 1)
        self.boot.run("test", "-e", "/var/lib/holdfast/heap")
        self.boot.run("test", "-e", CONFIG)

    def comes_back(self):
        self.install("newer", "--force-confold")
        self.assertEqual(self.boot.run("holdfast", "fetch", "kept"), "kept\n")

    def is_purged(self):
        self.dpkg("--purge", *PACKAGES)
        self.assertEqual(self.states(), ["inactive", "inactive"])
        self.assertEqual(self.boot.finish("dpkg-query", "--show", *PACKAGES)[0], 1)
        left = self.boot.run("find", "/etc", "/var", "/run", "/usr/bin", "/usr/lib/systemd", "/usr/lib/tmpfiles.d",
                             "/usr/lib/sysusers.d", "/usr/share/man", "/usr/share/doc", "-name", "*holdfast*",
                             "-not", "-path", "/run/systemd/*", "-not", "-path", "/var/lib/dpkg/*")
        self.assertEqual(left.split(), [])
        self.assertNotIn("holdfast", self.boot.run("systemctl", "list-unit-files"))


if __name__ == "__main__":
    unittest.main()
