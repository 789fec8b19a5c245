#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What belongs into the tree: the top level is fixed, nothing that was built or belongs to one machine is in it."""
import re
import sys

import source

TOP = {"Makefile", "README.md", "LICENSE", "daemon", "client", "proto", "tests", "deploy"}

BUILT = re.compile(r"\.(o|a|so|d|pyc|gcda|gcno|log|orig|rej|swp)$|(^|/)(node_modules|__pycache__|build)/|~$")

# A path of someone's home or of a machine, an address of a package registry: they mean nothing elsewhere.
PLACES = re.compile(r"(?<![\w.$}])/(home|work|root)/\w+|https?://[\w.-]*(registry|artifact|mirror)[\w.-]*")
ELF = b"\x7fELF"


def check_path(path):
    top = path.split("/")[0]
    if top not in TOP and not top.startswith("."):
        yield "%s: not on the list of the top level" % path
    if BUILT.search(path):
        yield "%s: was built, or left behind by a tool" % path


def check_text(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if PLACES.search(line):
            yield "%s:%d: belongs to one machine: %s" % (path, number, PLACES.search(line)[0])


def check():
    findings = []
    for path in source.files():
        findings += check_path(path)
        text = source.read(path)
        if text.startswith(ELF.decode("latin-1")):
            findings.append("%s: a program" % path)
        elif not path.startswith("tests/tidy/"):
            findings += check_text(path, text)
    return findings


if __name__ == "__main__":
    sys.exit(source.report(check(), "tree"))
