#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions (user space) that the daemon executes for one request, counted by valgrind's callgrind: the
figure does not depend on the machine's load or clock, so two versions can be compared to the percent.

    tests/bench/instructions.py [--build build] [--depth 16]

Each kind of request is run twice with different numbers of units; the difference cancels what starting,
filling and ending cost. 4 connections; a unit of retain+release or put+release is two requests.
"""
import argparse
import re
import shutil
import sys
import tempfile

from servers import Failed, Programs, Server, table_text

OBJECTS, FEW, MANY = 20000, 4096, 45056

ROWS = (("get, one object", 1, ["--work", "get"]), ("get, random objects", 1, ["--work", "get", "--random"]),
        ("retain+release, one object", 2, ["--work", "count"]),
        ("retain+release, random objects", 2, ["--work", "count", "--random"]),
        ("put+release", 2, ["--work", "put"]),
        ("get, one object; with a replay window", 1, ["--work", "get", "--replay"]),
        ("retain+release, one object; with a window", 2, ["--work", "count", "--replay"]),
        ("put+release; with a window", 2, ["--work", "put", "--replay"]))


def instructions_of(programs, units, arguments, depth):
    """All instructions of a daemon that was filled and then did that many units."""
    wrapper = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        server = Server(programs, "holdfast", "unix", folder, wrapper=wrapper)
        try:
            server.fill(OBJECTS, 64)
            server.run(arguments + ["--objects", str(OBJECTS), "--connections", "4", "--depth", str(depth),
                                    "--units", str(units)])
        finally:
            server.stop(graceful=True)
        found = re.search(r"Collected : (\d+)", server.log_text())
        if not found:
            raise Failed(f"callgrind counted nothing: {server.log_text()[-500:]}")
        return int(found.group(1))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--depth", type=int, default=16)
    options = parser.parse_args(arguments)
    programs = Programs(options.build)
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed")
    lines = []
    for title, requests, work in ROWS:
        counts = [instructions_of(programs, units, work, options.depth) for units in (FEW, MANY)]
        lines.append([title, f"{(counts[1] - counts[0]) / ((MANY - FEW) * requests):.0f}"])
    title = f"holdfastd {programs.version('holdfast')}, depth {options.depth}"
    print(table_text([title, "instructions a request"], lines, False))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failed:
        sys.exit(f"instructions.py: {failed}")
