#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions (user space) that the daemon executes for one request, counted by valgrind's callgrind: the
figure does not depend on the machine's load or clock, so two versions can be compared to the percent.

    tests/bench/instructions.py [--build build] [--load 4x16]
    tests/bench/instructions.py --beside build/unbooked --most 3 --load 4x16 4x1 1x1

Each kind of request is run twice with different numbers of units; the difference cancels what starting,
filling and ending cost. A load is a number of connections and of the requests that each has in flight; a unit of
retain+release or put+release is two requests, of which one connection has two in flight at least.

With --beside, another build's daemon does the same in turns; the medians of all rounds and what the first has
more are told, and with --most it must not be more than so many percent. (How many connections are served in one
run of the event loop depends on the machine's load, and with it a percent or two; medians even that out. On a
machine that is busy with other things turns come to the end of their time, and what is left of a connection's
requests is put aside: some 10 instructions more for a request, now for the one and now for the other.) What
the bookkeeping costs is the difference to the flavour `unbooked`: `make bench-bookkeeping`.
"""
import argparse
import itertools
import re
import shutil
import statistics
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


def load_of(text):
    """The connections and the depth of `4x16`."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text} is not of the form CONNECTIONSxDEPTH")
    return tuple(int(number) for number in text.split("x"))


def instructions_of(programs, units, arguments, load):
    """All instructions of a daemon that was filled and then did that many units."""
    wrapper = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        server = Server(programs, "holdfast", "unix", folder, wrapper=wrapper)
        try:
            server.fill(OBJECTS, 64)
            connections, depth = load
            server.run(arguments + ["--objects", str(OBJECTS), "--connections", str(connections), "--depth", str(depth),
                                    "--units", str(units)])
        finally:
            server.stop(graceful=True)
        found = re.search(r"Collected : (\d+)", server.log_text())
        if not found:
            raise Failed(f"callgrind counted nothing: {server.log_text()[-500:]}")
        return int(found.group(1))


def count(programs, row, load):
    """Instructions for one request of a row."""
    _, requests, work = row
    few, many = (instructions_of(programs, units, work, load) for units in (FEW, MANY))
    return (many - few) / ((MANY - FEW) * requests)


def compare(builds, rows, loads, rounds):
    """For each load and row a title, and the median of each build's counts in turns."""
    for load, row in itertools.product(loads, rows):
        counts = [[count(programs, row, load) for programs in builds] for _ in range(rounds)]
        yield "%dx%d, %s" % (*load, row[0]), [statistics.median(column) for column in zip(*counts)]


def judge(builds, options):
    """Two builds side by side; 1 if the first has too many instructions more."""
    lines, worst = [], 0.0
    for title, (own, other) in compare(builds, ROWS, options.load, options.rounds):
        more = (own / other - 1) * 100
        worst = max(worst, more)
        lines.append([title, f"{own:.1f}", f"{other:.1f}", f"{more:+.2f} %"])
        print(f"{title}: {own:.1f} and {other:.1f}", file=sys.stderr, flush=True)
    print(table_text(["instructions a request", options.build, options.beside, "more"], lines, False))
    if options.most is None:
        return 0
    print(f"at most {worst:.2f} % more: " + ("within" if worst <= options.most else "above") + f" {options.most:g} %")
    return int(worst > options.most)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--beside", metavar="BUILD", help="folder of another build's programs, to compare with")
    parser.add_argument("--most", type=float, metavar="PERCENT", help="fail if it is more than that (with --beside)")
    parser.add_argument("--rounds", type=int, default=5, help="of a comparison (5)")
    parser.add_argument("--load", type=load_of, nargs="+", default=[(4, 16)], metavar="CONNECTIONSxDEPTH", help="(4x16)")
    options = parser.parse_args(arguments)
    programs = Programs(options.build)
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed")
    if options.beside:
        return judge([programs, Programs(options.beside, load=programs.load)], options)
    lines = [[title, f"{number:.0f}"] for title, (number,) in compare([programs], ROWS, options.load, 1)]
    print(table_text([f"holdfastd {programs.version('holdfast')}", "instructions a request"], lines, False))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failed:
        sys.exit(f"instructions.py: {failed}")
