#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""README.md is run word for word: the lines after `$ ` of each ```console block in one shell, with a daemon of its own
at the default address; what comes out must be what the page shows, up to numbers. A ```c or ```python block that
begins with the name of a file in a comment is put into that file first. Links must lead somewhere."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import Daemon  # noqa: E402

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FILE_NAME = re.compile(r"\A(?:/\*|#|//) ([\w.-]+\.(?:c|py))\b")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


def commands(block):
    """[(command, output that the page shows)] of a console block; a line that ends in a backslash goes on."""
    found = []
    for line in block.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1][0] += "\n" + line
        else:
            found[-1][1] += line + "\n"
    return found


def shape(output):
    """Output with what differs from run to run taken out: numbers, tickets, and columns as wide as those."""
    output = re.sub(r"\b[0-9a-f]{32}\b", "N", output)
    output = re.sub(r"\d+(\.\d+)?", "N", output)
    return [re.sub(r"[ -]{2,}", " ", line).strip() for line in output.strip().split("\n")]


class Shell:
    """One bash in a folder; each command's output, with stderr, is read up to a mark."""

    MARK = "--- end of the command ---"

    def __init__(self, folder, environment):
        self.process = subprocess.Popen(["/bin/bash"], cwd=folder, env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, command):
        self.process.stdin.write(("%s\necho; echo '%s'\n" % (command, self.MARK)).encode())
        self.process.stdin.flush()
        output = ""
        for line in self.process.stdout:
            if line.decode().rstrip("\n") == self.MARK:
                return output[:-1]
            output += line.decode()
        raise AssertionError("the shell ended in: %s\n%s" % (command, output))

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Readme(unittest.TestCase):
    def test_links(self):
        for path in LINK.findall(readme()):
            self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)

    def test_blocks(self):
        with tempfile.TemporaryDirectory(prefix="hf-readme-") as folder:
            for name in ("build", "client"):
                os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            os.mkdir(os.path.join(folder, "holdfast"))
            socket = os.path.join(folder, "holdfast", "holdfast.sock")
            environment = dict(os.environ, XDG_RUNTIME_DIR=folder)
            environment.pop("HOLDFAST_ADDRESS", None)
            with Daemon("--listen", "unix:" + socket, unix=False, tcp=False) as daemon:
                daemon.wait_line("listening on")
                self.run_blocks(folder, environment)

    def run_blocks(self, folder, environment):
        shell = Shell(folder, environment)
        ran = 0
        try:
            for kind, block in BLOCK.findall(readme()):
                if kind in ("c", "python"):
                    name = FILE_NAME.match(block)
                    self.assertIsNotNone(name, "a program without the name of its file:\n" + block)
                    with open(os.path.join(folder, name[1]), "w", encoding="utf-8") as file:
                        file.write(block)
                for command, expected in commands(block) if kind == "console" else ():
                    ran += 1
                    self.assertEqual(shape(shell.run(command)), shape(expected), "$ " + command)
        finally:
            shell.close()
        self.assertGreater(ran, 0)


if __name__ == "__main__":
    unittest.main()
