#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/run.py counts what programs tell, and takes nothing for a success that is none."""
import os
import subprocess
import sys
import tempfile
import unittest

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run.py")


class Runner(unittest.TestCase):
    def run_programs(self, *scripts):
        """(last line, exit code) of the runner over shell scripts."""
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, script in enumerate(scripts):
                paths.append(os.path.join(folder, "p%d" % number))
                with open(paths[-1], "w", encoding="utf-8") as file:
                    file.write("#!/bin/sh\n" + script + "\n")
                os.chmod(paths[-1], 0o755)
            done = subprocess.run([sys.executable, RUNNER, *paths], capture_output=True, text=True, check=False)
            return done.stdout.strip().split("\n")[-1], done.returncode

    def test_programs_and_tests_are_counted(self):
        self.assertEqual(self.run_programs("true", "echo '100%: Checks: 5, Failures: 0, Errors: 0'",
                                           "echo 'Ran 3 tests in 0.1s'"), ("9 passed, 0 failed", 0))

    def test_failures(self):
        self.assertEqual(self.run_programs("false"), ("0 passed, 1 failed", 1))
        self.assertEqual(self.run_programs("echo '60%: Checks: 5, Failures: 1, Errors: 1'; exit 1", "true"),
                         ("4 passed, 2 failed", 1))
        self.assertEqual(self.run_programs("echo 'Ran 3 tests in 1s'; echo 'FAILED (failures=1, errors=1)'; exit 1"),
                         ("1 passed, 2 failed", 1))
        self.assertEqual(self.run_programs("kill -SEGV $$"), ("0 passed, 1 failed", 1))
        self.assertEqual(self.run_programs("echo '100%: Checks: 5, Failures: 0, Errors: 0'; exit 1"),
                         ("4 passed, 1 failed", 1), "a sanitizer's report after the last test")

    def test_environment(self):
        """What is told holds for the programs behind it."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p")
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho \"$HF_WORD\" >>%s/out\n" % folder)
            os.chmod(path, 0o755)
            words = [path, "HF_WORD=a=b", path, path, "HF_WORD=", path]
            done = subprocess.run([sys.executable, RUNNER, "--jobs", "1", *words], capture_output=True, text=True, check=False,
                                  env={"HF_WORD": "outside"})
            self.assertTrue(done.stdout.endswith("\n4 passed, 0 failed\n"), done.stdout)
            with open(os.path.join(folder, "out"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "outside\na=b\na=b\n\n")

    def test_one_that_does_not_end(self):
        """Nor does what it has started."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p")
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nsleep 1000 & sleep 1000\n")
            os.chmod(path, 0o755)
            done = subprocess.run([sys.executable, RUNNER, "--seconds", "1", path], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("no end after 1 s", done.stdout)
            self.assertTrue(done.stdout.endswith("\n0 passed, 1 failed\n"), done.stdout)

    def test_nothing_is_no_success(self):
        self.assertEqual(self.run_programs(), ("0 passed, 0 failed", 1))
        self.assertEqual(self.run_programs("echo '100%: Checks: 0, Failures: 0, Errors: 0'"), ("0 passed, 1 failed", 1))
        self.assertEqual(self.run_programs("echo 'Ran 4 tests in 1s'; echo 'OK (skipped=1)'")[1], 1)
        done = subprocess.run([sys.executable, RUNNER, "no/such/program"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.endswith("\n0 passed, 1 failed\n"))


if __name__ == "__main__":
    unittest.main()
