#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`make install` into a folder: what is there is enough for a stranger to build and run a client, with the shared
and with the static library; `make uninstall` leaves nothing behind."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import Daemon  # noqa: E402

# A make that runs this test must not lend its job slots to the one that is run here.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

PROGRAM = r"""
#include <holdfast.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    hf_conn *conn;
    hf_id id;
    int error = hf_connect(argc > 1 ? argv[1] : NULL, 0, &conn);
    if (error == 0) {
        error = hf_put(conn, hf_str("hello", 5), NULL, &id);
    }
    printf("%s\n", error == 0 ? "stored" : hf_last_error(conn)->text);
    hf_close(conn);
    return error != 0;
}
"""


def run(*command, **environment):
    done = subprocess.run(command, cwd=ROOT, env=dict(ENVIRONMENT, **environment), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise AssertionError("%s\n%s" % (" ".join(command), done.stdout.decode()))
    return done.stdout.decode()


def files_below(folder):
    return {os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="hf-install-")
        cls.root = cls.temporary.name
        cls.make("install")

    @classmethod
    def tearDownClass(cls):
        cls.make("uninstall")
        left = files_below(cls.root)
        cls.temporary.cleanup()
        if left:
            raise AssertionError("make uninstall left %s" % sorted(left))

    @classmethod
    def make(cls, target):
        run("make", target, "DESTDIR=" + cls.root, "PREFIX=/usr")

    def pkg_config(self, *options):
        return run("pkg-config", *options, "libholdfast", PKG_CONFIG_SYSROOT_DIR=self.root,
                   PKG_CONFIG_LIBDIR=os.path.join(self.root, "usr/lib/pkgconfig"),
                   PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1", PKG_CONFIG_ALLOW_SYSTEM_LIBS="1").split()

    def compile(self, libraries):
        folder = tempfile.TemporaryDirectory(prefix="hf-program-")
        self.addCleanup(folder.cleanup)
        source, program = (os.path.join(folder.name, name) for name in ("hello.c", "hello"))
        with open(source, "w", encoding="ascii") as file:
            file.write(PROGRAM)
        run("gcc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-o", program,
            *self.pkg_config("--cflags"), *libraries)
        return program

    def test_files(self):
        there = files_below(os.path.join(self.root, "usr"))
        for path in ("bin/holdfastd", "bin/holdfast", "include/holdfast.h", "lib/libholdfast.a", "lib/libholdfast.so",
                     "lib/pkgconfig/libholdfast.pc", "share/man/man8/holdfastd.8", "share/man/man5/holdfast.conf.5",
                     "share/doc/holdfast/OPERATIONS.md",
                     "share/doc/holdfast/python.md",
                     "lib/systemd/system/holdfast.service", "lib/systemd/system/holdfast.socket",
                     "lib/systemd/system/holdfast-stats.socket",
                     "lib/sysusers.d/holdfast.conf", "lib/tmpfiles.d/holdfast.conf"):
            self.assertIn(path, there)

    def test_the_unit_starts_what_was_installed(self):
        with open(os.path.join(self.root, "usr/lib/systemd/system/holdfast.service"), encoding="ascii") as unit:
            text = unit.read()
        self.assertIn("\nExecStart=/usr/bin/holdfastd --config /etc/holdfast/holdfast.conf\n", text)
        self.assertNotIn("/usr/local", text)

    def test_another_folder_for_the_configuration(self):
        with tempfile.TemporaryDirectory(prefix="hf-install-") as root:
            where = ("DESTDIR=" + root, "PREFIX=/usr/local", "SYSCONFDIR=/opt/etc")
            run("make", "install", *where)
            self.assertTrue(os.path.exists(os.path.join(root, "opt/etc/holdfast/holdfast.conf")))
            with open(os.path.join(root, "usr/local/lib/systemd/system/holdfast.service"), encoding="ascii") as unit:
                text = unit.read()
            self.assertIn("\nExecStart=/usr/local/bin/holdfastd --config /opt/etc/holdfast/holdfast.conf\n", text)
            self.assertNotIn("/etc/holdfast", text.replace("/opt/etc/holdfast", ""))
            run("make", "uninstall", *where)
            self.assertEqual(files_below(root), set())

    def test_where_systemd_does_not_look_there_is_no_service(self):
        with tempfile.TemporaryDirectory(prefix="hf-install-") as root:
            where = ("DESTDIR=" + root, "PREFIX=/opt/holdfast")
            said = run("make", "install", *where)
            there = files_below(root)
            self.assertIn("opt/holdfast/bin/holdfastd", there)
            self.assertEqual([path for path in there if "systemd" in path or ".d/" in path or "etc/" in path], [])
            self.assertNotIn("service", said)
            run("make", "uninstall", *where)
            self.assertEqual(files_below(root), set())

    def test_a_configuration_that_was_changed_is_kept(self):
        path = os.path.join(self.root, "etc/holdfast/holdfast.conf")
        with open(path, encoding="ascii") as file:
            shipped = file.read()
        with open(path, "a", encoding="ascii") as file:
            file.write("# mine\n")
        self.make("install")
        self.make("uninstall")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), shipped + "# mine\n")
        os.remove(path)
        self.make("install")

    def test_versions_agree(self):
        version = self.pkg_config("--modversion")[0]
        for program in ("holdfastd", "holdfast"):
            self.assertIn(version, run(os.path.join(self.root, "usr/bin", program), "--version").split())

    def test_library_exports_only_its_interface(self):
        names = re.findall(r" [A-Z] (\w+)", run("nm", "-D", "--defined-only",
                                                os.path.join(self.root, "usr/lib/libholdfast.so")))
        self.assertIn("hf_connect", names)
        self.assertEqual([name for name in names if not re.match(r"hf_[a-z]", name)], [])

    def test_static_library_defines_only_its_interface(self):
        names = re.findall(r" [A-Z] (\w+)", run("nm", "-g", "--defined-only",
                                                os.path.join(self.root, "usr/lib/libholdfast.a")))
        self.assertIn("hf_connect", names)
        self.assertEqual([name for name in names if not re.match(r"hf_[a-z]", name)], [])

    def test_shared_library(self):
        program = self.compile(self.pkg_config("--libs"))
        self.assertRegex(run("readelf", "-d", program), r"NEEDED.*libholdfast\.so\.\d+\]")
        with Daemon(tcp=False) as daemon:
            output = run(program, "unix:" + daemon.unix, LD_LIBRARY_PATH=os.path.join(self.root, "usr/lib"))
        self.assertEqual(output, "stored\n")

    def test_static_library(self):
        program = self.compile([os.path.join(self.root, "usr/lib/libholdfast.a")])
        self.assertNotIn("libholdfast", run("readelf", "-d", program))
        with Daemon(tcp=False) as daemon:
            self.assertEqual(run(program, "unix:" + daemon.unix), "stored\n")


if __name__ == "__main__":
    unittest.main()
