#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holdfast beside redis, memcached (meta commands) and a bare libuv echo: `make bench-peers`.

    tests/bench/peers.py [--build build] [--rounds 5] [--seconds 1] [--only ROW ...] [--servers SERVER ...]
                         [--transport unix|tcp|both] [--quick]

One load generator for all servers, on core 1; the server on core 0. All cells of a round are measured once and the
servers take turns within a cell, so that what the machine does meanwhile hits all of them. Each cell of each round
is a line of the output. At the end stand the medians, what is required of them and whether that is reached; the same
goes to BUILD/bench-peers.md, every figure of every round to BUILD/bench-peers.json, and a picture to
BUILD/bench-peers.svg.

Exit code 0: all that is required is reached. 1: something is not, a cell failed, or the load core was the limit where
that would falsify a claim (verdict.py says when that is); the last lines say which. With --quick, or another number
of objects than a million, nothing is judged.
"""
import argparse
import json
import os
import sys
import tempfile
import time

import plot
import report
import verdict
from cells import OTHER_ROWS, ROWS, SERVERS, Bench, Results
from servers import Failed, Programs, machine

TITLES = {row.key: row.title for row in ROWS}
CONNECTIONS = {row.key: row.connections for row in ROWS}
OBJECTS = 1000000  # what is required is said of so many
ROW_KEYS = [row.key for row in ROWS] + list(OTHER_ROWS)


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="measured seconds of a cell (1)")
    parser.add_argument("--warmup", type=float, default=0.2, help="seconds before them (0.2)")
    parser.add_argument("--objects", type=int, default=OBJECTS)
    parser.add_argument("--transport", choices=("unix", "tcp", "both"), default="unix",
                        help="what is required is said of unix sockets")
    parser.add_argument("--only", nargs="+", metavar="ROW", dest="rows", choices=ROW_KEYS, default=ROW_KEYS,
                        help="rows: " + " ".join(ROW_KEYS))
    parser.add_argument("--servers", nargs="+", metavar="SERVER", choices=SERVERS, default=SERVERS)
    parser.add_argument("--quick", action="store_true", help="one round of 0.25 s a cell, not judged: does it work?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.warmup = 1, 0.25, 0.05
    options.transports = ("unix", "tcp") if options.transport == "both" else (options.transport,)
    return options


def versions_of(programs, servers):
    """{server: version}; a server without a program fails the run: nothing is left out in silence."""
    for server in servers:
        if not programs.path(server):
            raise Failed(f"{server} has no program: run `make bench-peers`, which builds and installs what is missing")
    return {server: programs.version(server) for server in servers}


def measure(programs, options):
    """(results, how each server was started)"""
    results = Results()

    def tell(key, number, result):
        print(report.cell_text(key, number, result), flush=True)

    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        bench = Bench(programs, options, folder, tell)
        try:
            bench.start()
            for number in range(options.rounds):
                begun = time.monotonic()
                bench.one_round(number, results)
                print(f"round {number + 1} of {options.rounds} took {time.monotonic() - begun:.0f} s", flush=True)
            return results, bench.commands()
        finally:
            bench.stop()


def heading(options, versions):
    names = ", ".join(f"{server} {version}" for server, version in versions.items())
    return (f"{machine()}; {names}.\n{options.objects} objects, values of 64 B, 50 connections unless a row says other; "
            f"medians of {options.rounds} round{'s' * (options.rounds != 1)} of {options.seconds:g} s. \"*\": the server was "
            f"not the limit itself.")


def save_markdown(path, head, tables, closing, commands):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# Holdfast beside its peers\n\n{head}\n\n{closing}\n\n![the same as a picture](bench-peers.svg)\n\n")
        for table in tables:
            file.write(report.render(table, True) + "\n")
        file.write("## How the servers were started\n\n")
        for server, command in commands.items():
            file.write(f"- {server}: `{command}`\n")


def save_json(path, options, versions, commands, results, judged):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "versions": versions, "commands": commands, "objects": options.objects,
                   "seconds": options.seconds, "rounds": results.rounds,
                   "verdicts": [{"figure": verdict.title_of(one.target, TITLES), "must": one.target.must,
                                 "aim": one.target.aim, "measured": one.value, "low": one.low, "high": one.high,
                                 "at_least": one.at_least, "cpu_ratio": one.cpu_ratio, "state": one.state,
                                 "note": one.note} for one in judged]}, file, indent=1)


def main(arguments):
    options = options_of(arguments)
    programs = Programs(options.build)
    versions = versions_of(programs, options.servers)
    results, commands = measure(programs, options)
    rows = [row for row in ROWS if row.key in options.rows and any(kind in row.servers for kind in options.servers)]
    judged = []
    if "unix" in options.transports and not options.quick and options.objects == OBJECTS:
        judged = verdict.judge(results, CONNECTIONS, options.rows, options.servers)
    tables = report.tables(results, rows, options, judged, TITLES)
    complaints = verdict.complaints(judged, results.failures, TITLES)
    closing = "\n".join(([report.summary(judged)] if judged else []) + complaints)
    base = os.path.join(options.build, "bench-peers")
    head = heading(options, versions)
    save_json(base + ".json", options, versions, commands, results, judged)
    save_markdown(base + ".md", head, tables, closing.replace("\n", "\n\n"), commands)
    plot.save(base + ".svg", results, rows, options, judged, TITLES)
    print(f"\n{head}\n")
    for table in tables:
        print(report.render(table, False))
    print(f"written: {base}.md, {base}.svg, {base}.json")
    print(closing)
    return 1 if complaints else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failed:
        sys.exit(f"peers.py: {failed}")
