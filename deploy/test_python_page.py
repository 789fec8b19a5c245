#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The page for those who know Python: it is run word for word (tests/lib/page.py), in its order, with the commands of its
tables. Small numbers must be those of the page, and equal ids in it must be equal ones in the output. And it must be
complete: what this Python has in gc, weakref and tracemalloc is in a table, and nothing else is."""
import functools
import gc
import os
import re
import sys
import tempfile
import tracemalloc
import types
import unittest
import weakref

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import page  # noqa: E402
from daemon import HOLDFASTD, Daemon  # noqa: E402
from rpc import Client  # noqa: E402

PAGE = os.path.join(ROOT, "deploy", "doc", "python.md")
HEADER = "| Python | method | in a shell | the same, and what differs |"
SPAN = re.compile(r"`([^`]+)`")
ID = re.compile(r"\b\d{12,}\b")
VARIES = r"\b\d+(\.\d+)? (us|ms|s)\b|\b\d{4,}\b"

# Beside the three modules: what has no list that could be asked for.
BESIDES = {"__del__", "id", "is", "del x", "copy.copy", "copy.deepcopy", "sys.getrefcount", "sys.getsizeof", "sys.intern",
           "sys._debugmallocstats", "sys.getallocatedblocks", "multiprocessing.Manager",
           "multiprocessing.shared_memory.SharedMemory"}
# Classes whose attributes belong on the page, too.
CLASSES = (weakref.finalize, tracemalloc.Snapshot, tracemalloc.Statistic, tracemalloc.StatisticDiff, tracemalloc.Trace,
           tracemalloc.Traceback, tracemalloc.Frame, tracemalloc.Filter, tracemalloc.DomainFilter)


def text():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache
def header():
    with open(os.path.join(ROOT, "client", "holdfast.h"), encoding="utf-8") as file:
        return file.read()


def pieces():
    """What the page consists of, in its order: (kind, block) of its blocks and ("row", cells) of its tables."""
    kind = None
    for line in text().split("\n"):
        if kind is not None and line == "```":
            yield kind, block
            kind = None
        elif kind is not None:
            block += line + "\n"
        elif line.startswith("```"):
            kind, block = line[3:], ""
        elif line.startswith("| ") and line != HEADER:
            yield "row", [cell.strip() for cell in line[1:-1].split("|")]


def rows():
    return [piece for kind, piece in pieces() if kind == "row"]


def names():
    """What the first column names, without arguments."""
    return {span.split("(")[0] for row in rows() for span in SPAN.findall(row[0])}


def own_names(module):
    """The public names of a module but for what it imported."""
    for name in dir(module):
        value = getattr(module, name)
        elsewhere = getattr(value, "__module__", None) in ("collections.abc", "functools")
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and not elsewhere:
            yield "%s.%s" % (module.__name__, name)


def attributes(cls):
    return {"%s.%s.%s" % (cls.__module__, cls.__name__, name) for name in dir(cls) if not name.startswith("_")}


class Complete(unittest.TestCase):
    def test_rows_have_their_columns(self):
        for row in rows():
            self.assertEqual(len(row), 4, row)
            for name, cell in zip(("Python", "method", "in a shell"), row):
                self.assertRegex(cell, r"\A(none|(`[^`]+`(, )?)*)\Z", "%s in %s" % (name, row))
            if row[1] == "none":
                self.assertEqual(row[2], "", row)
                self.assertGreater(len(row[3]), 0, "the reason why there is none is missing: %s" % row)
            else:
                self.assertRegex(row[2], r"\A`[^`]+`\Z", row)

    def test_nothing_is_missing(self):
        wanted = BESIDES.union(*(own_names(module) for module in (gc, weakref, tracemalloc)), *map(attributes, CLASSES))
        self.assertEqual(wanted - names(), set())

    def test_nothing_is_there_that_python_has_not(self):
        for name in sorted(names()):
            module, *path = name.split(".")
            if module in ("gc", "weakref", "tracemalloc", "sys"):
                place = sys.modules[module]
                for part in path:
                    self.assertTrue(hasattr(place, part), name)
                    place = getattr(place, part)


class Examples(unittest.TestCase):
    def setUp(self):
        self.ids = {}

    def test_page(self):
        with tempfile.TemporaryDirectory(prefix="hf-page-") as folder:
            address, environment = page.default_address(folder)
            environment["PATH"] = os.path.dirname(HOLDFASTD) + ":" + environment["PATH"]
            with Daemon("--listen", address, unix=False, tcp=False) as daemon:
                daemon.wait_line("listening on")
                with page.Shell(folder, environment) as shell, Client(address[len("unix:"):]) as client:
                    self.run_pieces(folder, shell, client)

    def run_pieces(self, folder, shell, client):
        methods = {method["name"] for method in client.call("methods")}
        ran = 0
        for kind, piece in pieces():
            if kind == "row" and piece[1] != "none":
                self.run_row(piece, shell, client, methods)
                ran += 1
            elif kind == "python":
                self.assertTrue(page.save_program(piece, folder), piece)
            elif kind == "console":
                for command, expected in page.commands(piece):
                    self.compare(command, expected, shell.run(command))
        self.assertGreater(ran, 0)

    def compare(self, command, expected, output):
        self.assertEqual(page.shape(output, VARIES), page.shape(expected, VARIES), "$ %s\n%s" % (command, output))
        for there, here in zip(ID.findall(expected), ID.findall(output)):
            self.assertEqual(self.ids.setdefault(there, here), here, "$ %s: %s was another id before" % (command, there))
        self.assertEqual(len(set(self.ids.values())), len(self.ids), "$ %s: one id has two on the page" % command)

    def run_row(self, row, shell, client, methods):
        """Its command succeeds, and calls one of its methods."""
        named, command = set(SPAN.findall(row[1])), row[2].strip("`")
        self.assertEqual(named - methods, set())
        for method in named:
            self.assertIn("hf_%s(" % method, header(), row)
        before = client.call("stats", "requests")["by_method"]
        output = shell.run(command + '; echo "exit $?"')
        self.assertRegex(output, r"(\A|\n)exit 0\n\Z", command)
        after = client.call("stats", "requests")["by_method"]
        called = {name for name in after if after[name] > before.get(name, 0)}
        self.assertTrue(named & called, "%s called %s" % (command, called))


if __name__ == "__main__":
    unittest.main()
