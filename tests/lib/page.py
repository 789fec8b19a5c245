# SPDX-License-Identifier: BSD-3-Clause
"""Pages that are run word for word: the lines after `$ ` of each ```console block in one shell, with a daemon of its own
at the default address; what comes out must be what the page shows, up to what differs from run to run. A ```c or ```python
block that begins with the name of a file in a comment is put into that file first."""
import os
import re
import signal
import subprocess

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FILE_NAME = re.compile(r"\A(?:/\*|#|//) ([\w.-]+\.(?:c|py))\b")
LINK = re.compile(r"\]\(([^)#:]+)\)")


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


def save_program(block, folder):
    """Puts a ```c or ```python block into the file that its first line names. Whether it names one."""
    name = FILE_NAME.match(block)
    if name:
        with open(os.path.join(folder, name[1]), "w", encoding="utf-8") as file:
            file.write(block)
    return name is not None


def shape(output, varies=r"\d+(\.\d+)?"):
    """Output with what differs from run to run taken out: what `varies`, tickets, and columns as wide as those."""
    output = re.sub(r"\b[0-9a-f]{32}\b", "N", output)
    output = re.sub(varies, "N", output)
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

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def default_address(folder):
    """(option of the daemon, environment of its clients) by which `folder` is where they find each other."""
    os.mkdir(os.path.join(folder, "holdfast"))
    environment = dict(os.environ, XDG_RUNTIME_DIR=folder)
    environment.pop("HOLDFAST_ADDRESS", None)
    return "unix:" + os.path.join(folder, "holdfast", "holdfast.sock"), environment
