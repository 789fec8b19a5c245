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


def ring(*names):
    """Packages each of which depends on the next one, and the last one on the first."""
    return "".join(paragraph(name, names[(i + 1) % len(names)]) for i, name in enumerate(names))


def demo_of(text):
    with tempfile.NamedTemporaryFile("w", suffix=".status") as file:
        file.write(text)
        file.flush()
        return demo(file.name)


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
        output, states = demo_of(SMALL)
        self.assertEqual(states, [
            (10, 0, 10, "nobody"),
            (210, 0, 10, "builder 202, keeper 2"),
            (10, 200, 10, "keeper 2"),
            # gcc and alone die; keeper's git and python3 keep all others.
            (8, 2, 0, "keeper 2"),
            # git, python3, lib1, lib2, server.
            (3, 5, 0, "nobody"),
            (0, 3, 0, "nobody"),
        ], output)
        self.assertIn("10 objects, 9 references", output.replace("\n           ", " "))
        self.assertRegex(output, r"git up and follows its slots: 7 packages, 4 steps deep")
        self.assertRegex(output, r"who holds git\? .*session builder \(pid \d+\).*\n.*\n\n3 ")
        self.assertIn("why does base live? session keeper holds git -> lib1 -> left -> right -> base\n", output)
        self.assertIn("verify walked 3 objects and every invariant of the heap: 0 findings", output)

    def test_cycles_are_shown_and_collected(self):
        output, _ = demo_of(SMALL)
        self.assertRegex(output, r"3 of 3 objects are out of reach: .*\n.*\bfinds 1 cycle and frees nothing:\n"
                                 r" +(left <-> right|right <-> left)\n +Only these depend on the rest, 1 object\.\n")
        self.assertRegex(output, r"3 objects freed, values of 3 bytes, in \d+\.\d\d ms and\n"
                                 r" +\d+ steps?, the longest of \d+ us\.")
        self.assertRegex(output, r"event for those who watch (left|right): freed, reason cycle\n")
        self.assertTrue(output.endswith("verify walked 0 objects and every invariant of the heap: 0 findings\n\n"), output)

    def test_more_than_can_be_shown(self):
        large = ["member%02d" % i for i in range(30)]
        pairs = "".join(ring("p%02d" % i, "q%02d" % i) for i in range(13))
        output, states = demo_of(paragraph("bash") + paragraph("apt") + ring(*large) + pairs)
        self.assertEqual([state[:2] for state in states[4:]], [(56, 2), (0, 56)])
        self.assertIn("finds 14 cycles and frees nothing:", output)
        self.assertRegex(output, r"\n             and 2 more\n")
        line, = re.findall(r"member.* <-> .*", output)
        more = re.search(r" and (\d+) more$", line)
        self.assertEqual(line.count("member") + int(more[1]), len(large), line)

    def test_without_a_cycle(self):
        output, states = demo_of(paragraph("git", "base") + paragraph("base"))
        self.assertEqual(states[-2:], [(0, 2, 0, "nobody"), (0, 0, 0, "nobody")])
        self.assertIn("finds 0 cycles", output)
        self.assertNotIn("event for those", output)

    def test_this_machine(self):
        output, states = demo("/var/lib/dpkg/status")
        loaded, used, killed, unnamed, left, collected = states
        self.assertEqual(killed[0], loaded[0])
        self.assertEqual(used[0], loaded[0] + 200)
        self.assertEqual(left[0], loaded[0] - unnamed[1] - left[1])
        self.assertEqual(collected[:2], (0, left[0]))
        # In every Debian the C library and the compiler's refer to each other.
        self.assertRegex(output, r"libc6 <-> libgcc-s1|libgcc-s1 <-> libc6")

    def test_without_a_database(self):
        done = subprocess.run([DEMO, HOLDFASTD, "/nonexistent"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)


if __name__ == "__main__":
    unittest.main()
