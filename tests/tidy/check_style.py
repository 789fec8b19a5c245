#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What can be seen in a line or a file without a compiler: licence lines, tabs, length, leftovers, code in
comments, long files and long functions."""
import re
import sys

import source

# C is cut at 110 by clang-format; comments, which it leaves alone, may go a little over.
LINE_MAX = {".c": 120, ".h": 130, ".py": 140, ".sh": 140, ".js": 130, ".mjs": 130}
FILE_MAX = 800
TEST_FILE_MAX = 1500  # tables of cases are read one at a time
FUNCTION_MAX = 70

# Longer functions, each with the reason why parting it would help nobody.
LONG_FUNCTIONS = {}

LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b")
# A line of a comment that is a statement, a block's begin or end, or a preprocessor line. Examples in a header's
# comment are indented by four more: those are meant to be there.
CODE = re.compile(r"^(?:\s*\*(?!     )|\s*/\*|\s*//|(?!\s*\*))\s*"
                  r"(?:[\w>.\[\]-]+\s*(?:[-+|&]?=[^=].*;|\(.*\)\s*;)|\}\s*(?:else.*)?|return\b[^.]*;"
                  r"|#\s*(?:if|ifdef|endif|include|define)\b.*|(?:if|for|while)\s*\(.*\)\s*\{)\s*(?:\*/)?\s*$")
SPDX = "SPDX-License-Identifier: BSD-3-Clause"


# As others publish it.
VENDORED = "daemon/observe/page/uplot/"


def suffix(path):
    return "." + path.rsplit(".", 1)[1] if "." in path.rsplit("/", 1)[-1] else ""


def check_lines(path, text):
    limit = LINE_MAX.get(suffix(path))
    for number, line in enumerate(text.split("\n"), 1):
        if limit and len(line) > limit:
            yield "%s:%d: %d columns, more than %d" % (path, number, len(line), limit)
        if "\t" in line and "Makefile" not in path:
            yield "%s:%d: a tab" % (path, number)
        if line != line.rstrip():
            yield "%s:%d: spaces at the end" % (path, number)
        if LEFTOVER.search(line) and not path.startswith("tests/tidy/"):
            yield "%s:%d: a leftover: %s" % (path, number, LEFTOVER.search(line)[0])


def check_licence(path, text):
    head = "\n".join(text.split("\n")[:2])
    if suffix(path) in LINE_MAX or path == "Makefile" or text.startswith("#!"):
        if SPDX not in head:
            yield "%s:1: no licence line (%s)" % (path, SPDX)


def check_comments(path, text):
    for number, comment in source.comments(text):
        for offset, line in enumerate(comment.split("\n")):
            if CODE.match(line):
                yield "%s:%d: code in a comment: %s" % (path, number + offset, line.strip())



def functions(text):
    """(name, first line, number of lines) of each function; relies on the braces that clang-format makes."""
    code = source.blank(text)
    for match in re.finditer(r"^\{$|^START_TEST\((\w+)\)", code, re.M):
        if match[1]:
            end = code.find("\nEND_TEST", match.end())
            name = match[1]
        else:
            end = code.find("\n}", match.end())
            names = re.findall(r"\b(\w+)\s*\(", code[max(code.rfind("\n}", 0, match.start()),
                                                         code.rfind(";\n", 0, match.start()), 0):match.start()])
            if not names:
                continue
            name = names[0]
        first = code.count("\n", 0, match.start()) + 1
        yield name, first, code.count("\n", match.start(), end + (match[1] is None)) - 1


def check_size(path, text):
    lines = text.count("\n")
    limit = TEST_FILE_MAX if path.startswith("tests/") else FILE_MAX
    if lines > limit:
        yield "%s: %d lines, more than %d" % (path, lines, limit)
    if suffix(path) in (".c", ".h"):
        for name, first, length in functions(text):
            if length > FUNCTION_MAX and (path, name) not in LONG_FUNCTIONS:
                yield "%s:%d: %s has %d lines, more than %d" % (path, first, name, length, FUNCTION_MAX)


def check_text(path, text):
    findings = list(check_lines(path, text)) + list(check_licence(path, text))
    if suffix(path) in (".c", ".h"):
        findings += check_comments(path, text)
    if suffix(path) in LINE_MAX:
        findings += check_size(path, text)
    if text and not text.endswith("\n"):
        findings.append("%s: no newline at the end" % path)
    return findings


def check():
    findings = []
    for path in source.files():
        if path.startswith(VENDORED):
            continue
        if suffix(path) in source.TEXT or path in ("Makefile", ".ci/run"):
            findings += check_text(path, source.read(path))
    for path, name in LONG_FUNCTIONS:
        if path not in source.files() or name not in [row[0] for row in functions(source.read(path))
                                                      if row[2] > FUNCTION_MAX]:
            findings.append("check_style.py: %s in %s is not long any more" % (name, path))
    return findings


if __name__ == "__main__":
    sys.exit(source.report(check(), "style"))
