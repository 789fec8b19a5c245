# SPDX-License-Identifier: BSD-3-Clause
"""What the checks of this folder share: which files there are, and C without comments."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXT = (".c", ".h", ".py", ".sh", ".js", ".mjs", ".md", ".mk", ".in")


def files():
    """Paths from the root of all files that are, or would be, under version control."""
    try:
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"],
                                capture_output=True, check=True).stdout.decode().split("\0")
        return sorted(path for path in set(listed) if path and os.path.isfile(os.path.join(ROOT, path)))
    except (OSError, subprocess.CalledProcessError):
        return sorted(walk())


def walk():
    """The same without git, from an unpacked archive."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in (".git", "build", "node_modules", "__pycache__")]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    """C with comments, strings and characters emptied, and every line where it was."""
    return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def comments(text):
    """(line number, text) of each comment of a C file."""
    for match in COMMENT_OR_STRING.finditer(text):
        if match[0].startswith("/"):
            yield text.count("\n", 0, match.start()) + 1, match[0]


def report(findings, name):
    """Prints the findings; the exit code."""
    for finding in findings:
        print(finding)
    if findings:
        print("%s: %d findings" % (name, len(findings)))
    return 1 if findings else 0


def main(check, name):
    sys.exit(report(check(), name))
