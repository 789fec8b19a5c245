#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/parts.sh tries every part, tells how each ended, and takes nothing for a success that is none."""
import os
import re
import subprocess
import tempfile
import unittest

PARTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "parts.sh")
MAKEFILE = """
good bad worse: ; @echo "this is $@" && [ $@ = good ]
stopped: ; @kill -INT $$(ps -o ppid= $$PPID)
"""


class Parts(unittest.TestCase):
    def run_parts(self, *parts):
        """(lines behind the heading of the summary, without seconds; exit code; whole output)."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "Makefile")
            with open(path, "w", encoding="utf-8") as file:
                file.write(MAKEFILE)
            done = subprocess.run([PARTS, "make -f " + path, *parts], capture_output=True, text=True, check=False)
        heading, _, summary = done.stdout.rpartition("==== all parts, ")
        rows = [re.sub(r" +(\d+ s)? +", " ", line) for line in summary.splitlines()[1:]]
        return rows, done.returncode, heading

    def test_all_pass(self):
        rows, code, before = self.run_parts("good", "good")
        self.assertEqual((rows, code), (["passed good", "passed good", "everything passed"], 0))
        self.assertEqual(before.count("==== good\nthis is good\n"), 2)

    def test_those_behind_a_failure_are_tried(self):
        rows, code, before = self.run_parts("good", "worse", "bad", "good")
        self.assertEqual((rows, code), (["passed good", "FAILED worse", "FAILED bad", "passed good", "the first that failed: worse"], 1))
        self.assertEqual(before.count("==== good\nthis is good\n"), 2)

    def test_a_part_that_there_is_not(self):
        self.assertEqual(self.run_parts("good", "unknown")[:2], (["passed good", "FAILED unknown", "the first that failed: unknown"], 1))

    def test_interrupted(self):
        rows, code, _ = self.run_parts("good", "stopped", "good")
        self.assertEqual((rows, code), (["passed good", "passed stopped", "not run good"], 1))

    def test_nothing_is_no_success(self):
        self.assertEqual(self.run_parts()[1], 1)


if __name__ == "__main__":
    unittest.main()
