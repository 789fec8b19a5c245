#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration on a small database whose outcome can be counted by hand, and on this machine's own."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import HOLDFASTD  # noqa: E402

DEMO = os.path.join(os.path.dirname(HOLDFASTD), "holdfast-demo")


def paragraph(name, depends="", status="install ok installed", more=""):
    return "Package: %s\nStatus: %s\nVersion: 1\nArchitecture: amd64\n%s%sDescription: x\n  more\n\n" % (
        name, status, "Depends: %s\n" % depends if depends else "", more)


# left <-> right is a cycle that refers to base; mail is virtual, old is not installed any more.
SMALL = "".join([
    paragraph("git", "lib1 (>= 2), nothing | lib2:any, mail"),
    paragraph("python3", "lib2"),
    paragraph("gcc", "lib1"),
    paragraph("lib1", "left"),
    paragraph("lib2"),
    paragraph("left", "right"),
    paragraph("right", "left, base"),
    paragraph("base"),
    paragraph("server", more="Provides: mail, other (= 1)\n"),
    paragraph("alone", "old"),
    paragraph("old", status="deinstall ok config-files"),
])


def demo(status):
    """(output, [(objects, died, names, sessions) after each step])"""
    done = subprocess.run([DEMO, HOLDFASTD, status], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError("exit code %d\n%s" % (done.returncode, done.stdout))
    states = re.findall(r"\| objects (\d+), died now (\d+), names (\d+), held by sessions: (.*)", done.stdout)
    return done.stdout, [(int(a), int(b), int(c), who) for a, b, c, who in states]


class Demo(unittest.TestCase):
    def test_small_database(self):
        with tempfile.NamedTemporaryFile("w", suffix=".status") as file:
            file.write(SMALL)
            file.flush()
            output, states = demo(file.name)
        self.assertEqual(states, [
            (10, 0, 10, "nobody"),
            (210, 0, 10, "builder 202, keeper 2"),
            (10, 200, 10, "keeper 2"),
            # gcc and alone die; keeper's git and python3 keep all others.
            (8, 2, 0, "keeper 2"),
            # git, python3, lib1, lib2, server.
            (3, 5, 0, "nobody"),
        ], output)
        self.assertIn("10 objects, 9 references", output.replace("\n           ", " "))
        self.assertRegex(output, r"git up and follows its slots: 7 packages, 4 steps deep")
        self.assertRegex(output, r"who holds git\? .*session builder \(pid \d+\).*\n.*\n\n3 ")
        self.assertRegex(output, r"3 objects still live: 1 cycle, and what it refers to\.\n +(left <-> right|right <-> left)\n")
        self.assertRegex(output, r"and with them: base\n")
        self.assertIn("verify walked 3 objects and every invariant of the heap: 0 findings", output)

    def test_this_machine(self):
        output, states = demo("/var/lib/dpkg/status")
        loaded, used, killed, unnamed, left = states
        self.assertEqual(killed[0], loaded[0])
        self.assertEqual(used[0], loaded[0] + 200)
        self.assertEqual(left[0], loaded[0] - unnamed[1] - left[1])
        # In every Debian the C library and the compiler's refer to each other.
        self.assertRegex(output, r"libc6 <-> libgcc-s1|libgcc-s1 <-> libc6")

    def test_without_a_database(self):
        done = subprocess.run([DEMO, HOLDFASTD, "/nonexistent"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)


if __name__ == "__main__":
    unittest.main()
