#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""README.md is run word for word (tests/lib/page.py), and its links must lead somewhere."""
import os
import re
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import page  # noqa: E402
from daemon import Daemon  # noqa: E402
from rpc import Client  # noqa: E402


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


class Readme(unittest.TestCase):
    def test_links(self):
        for path in page.LINK.findall(readme()):
            self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)

    def test_blocks(self):
        with tempfile.TemporaryDirectory(prefix="hf-readme-") as folder:
            for name in ("build", "client"):
                os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            address, environment = page.default_address(folder)
            with Daemon("--listen", address, unix=False, tcp=False) as daemon:
                daemon.wait_line("listening on")
                with Client(address[len("unix:"):]) as client:  # nor does the collector's clock change what is shown
                    client.call("gc_config", {"enabled": False})
                with page.Shell(folder, environment) as shell:
                    self.run_blocks(folder, shell)

    def run_blocks(self, folder, shell):
        ran = 0
        for kind, block in page.BLOCK.findall(readme()):
            if kind in ("c", "python"):
                self.assertTrue(page.save_program(block, folder), "a program without the name of its file:\n" + block)
            for command, expected in page.commands(block) if kind == "console" else ():
                ran += 1
                self.assertEqual(page.shape(shell.run(command)), page.shape(expected), "$ " + command)
        self.assertGreater(ran, 0)

    def test_nothing_is_told_twice_or_left_open(self):
        headings = re.findall(r"^#+ [A-Z].*", readme(), re.M)
        self.assertEqual(sorted(headings), sorted(set(headings)))
        self.assertNotRegex(readme(), r"\b(SAMPLE|PLACEHOLDER)\b")


if __name__ == "__main__":
    unittest.main()
