#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The attack must catch broken store orders: one in eight of the mutants here, all of them in `make mutants`."""
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Mutants(unittest.TestCase):
    def test_every_mutant_is_caught(self):
        command = [sys.executable, str(HERE / "mutants.py"), "--quick"]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
