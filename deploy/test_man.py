#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The manual pages are without mistakes for those who print them, carry this version, and name every command."""
import glob
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import ROOT as TREE  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(TREE, "build", "holdfast")
PAGES = sorted(glob.glob(os.path.join(ROOT, "deploy", "man", "*.[1-8]")))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Pages(unittest.TestCase):
    def test_no_warnings(self):
        self.assertGreater(len(PAGES), 4)
        for path in PAGES:
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", path], capture_output=True, text=True,
                                  env=dict(os.environ, MANROFFSEQ="", MANWIDTH="80", LC_ALL="C.UTF-8"), check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path)

    def test_version(self):
        version = re.search(r'HF_VERSION +"(.*)"', read(os.path.join(ROOT, "client", "holdfast.h"))
                            + read(os.path.join(ROOT, "proto", "version.h")))[1]
        for path in PAGES:
            self.assertRegex(read(path), r'\.TH [A-Z.-]+ \d "" "Holdfast %s"' % re.escape(version), path)

    def test_every_command_and_each_of_its_options(self):
        manual = read(os.path.join(ROOT, "deploy", "man", "holdfast.1"))
        beside = "".join(read(path) for path in PAGES if re.search(r"holdfast(-\w+)?\.1$", path)).replace("\\-", "-")
        commands = re.findall(r"^  (\w+) ", subprocess.run([HOLDFAST, "help"], capture_output=True, text=True, check=True)
                              .stdout.split("Commands:\n")[1].split("\n\n")[0], re.M)
        self.assertGreater(len(commands), 30)
        for command in commands:
            self.assertTrue(re.search(r"(?m)^\.B[RI]? .*\b%s\b" % command.replace("_", r"(_|\\-)"), manual), command)
            for option in re.findall(r"^  (--[a-z-]+)", subprocess.run([HOLDFAST, "help", command], capture_output=True,
                                                                       text=True, check=True).stdout, re.M):
                self.assertTrue(option in beside, "%s of %s is in no page" % (option, command))

    def test_pages_that_are_referred_to_exist(self):
        names = {os.path.basename(path).rsplit(".", 1)[0] for path in PAGES}
        for path in PAGES:
            for name in re.findall(r"^\.BR (holdfast[\w\\-]*|libholdfast) \(\d\)", read(path), re.M):
                self.assertIn(name.replace("\\", ""), names, path)


if __name__ == "__main__":
    unittest.main()
