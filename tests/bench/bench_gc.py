#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The collector beside CPython's gc.collect() on the same graphs, and what it costs others: `make bench-gc`.

    tests/bench/bench_gc.py [--build build] [--rounds 3] [--objects 1000000 10000000] [--only ROW ...]
                            [--python /usr/bin/python3] [--quick]

Graphs are collected in Holdfast (the pool's code in one process, `gc` of this folder) and in CPython by turns, each in
a process of its own, timed by CPU time; so are deaths of chains and churn. `barrier` is the difference of two builds of the
same program, with and without the collector (no_collector.h). `churn`, a collected object: the CPU time of the steps of the
collector, which is asked for around each turn's steps, less what asking takes, by the objects they freed; and what their
release takes more in the program with the collector than without, since it notes suspects. What making and releasing take
otherwise is no part of it. Errands (memory made ready ahead of need) run between turns and are not counted, as the daemon has a
thread for them. `get` is a daemon under an open loop (gc_latency.py). Core 0 measures, core 1 puts load on.

At the end stand all figures, what is required of them and whether that is reached; the same goes to BUILD/bench-gc.md,
every figure of every round to BUILD/bench-gc.json, and a picture to BUILD/bench-gc.svg.

Exit code 0: all that is required is reached; 1: something is not, or a measurement failed: the last lines say which.
With --quick nothing is judged. 10 M objects in CPython take 2 GB and minutes to build.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import gc_figures
import plot
import report
import verdict
from gc_figures import CHAINS, CPYTHON, GRAPHS, MILLION, OPERATIONS, OURS
from gc_latency import Latency
from servers import SERVER_CORE, Failed, Programs, machine, output, pinned

# Of both programs in a round: a neighbour on the same machine moves each of them by more than their difference.
BARRIER_TURNS = 5
NOTE_TURNS = 10

ROWS = GRAPHS + CHAINS + ("churn", "barrier", "get")


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, nargs="+", default=[MILLION, 10 * MILLION])
    parser.add_argument("--only", nargs="+", metavar="ROW", dest="rows", choices=ROWS, default=ROWS,
                        help="rows: " + " ".join(ROWS))
    parser.add_argument("--python", default="/usr/bin/python3", help="the CPython to compare with")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured seconds of each load of `get` (5)")
    parser.add_argument("--quick", action="store_true", help="one round, 100,000 objects, not judged: does it work?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.objects, options.seconds = 1, [100000], 0.5
    return options


def run(command):
    """Its line of JSON."""
    done = subprocess.run(pinned(SERVER_CORE, command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


class Measuring:
    """The measurements of a round; each adds its results."""

    def __init__(self, options):
        self.options, self.programs = options, Programs(options.build)
        self.program = os.path.join(options.build, "tests/bench/gc")
        self.bare = os.path.join(options.build, "bare/tests/bench/gc")
        self.results = gc_figures.Results()

    def record(self, key, number, measure):
        begun = time.monotonic()
        try:
            result = measure()
        except (Failed, OSError) as failure:
            result = {"failed": str(failure)}
        self.results.add(key, number, result)
        text = ", ".join(f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}"
                         for name, value in result.items())
        print(f"{number + 1}  {key[0]:<8} {key[1]:>9} {key[2]:<10} {text}  ({time.monotonic() - begun:.0f} s)", flush=True)
        return result

    def graph(self, number, name, objects):
        sides = [(OURS, [self.program, "graph"]), (CPYTHON, [self.options.python, "tests/bench/cpython_gc.py"])]
        for who, command in sides if number % 2 == 0 else reversed(sides):
            self.record((name, objects, who), number, lambda command=command: run(command + [name, str(objects)]))

    def chain(self, number, name, objects):
        def measure():
            result = run([self.program, "chain", name, str(objects)])
            return {**result, "call_us": result["call_ns"] / 1e3}
        self.record((name, objects, OURS), number, measure)

    def churn(self, number, objects):
        def measure():
            result = run([self.program, "churn", str(objects), str(objects)])
            noted, bare = (min(run([program, "note"])["release_ns"] for _ in range(NOTE_TURNS)) for program in (self.program, self.bare))
            result["noted_ns"] = noted - bare
            return {**result, "ns_per_collected": result["steps_ns_per_collected"] + result["noted_ns"]}
        self.record(("churn", objects, OURS), number, measure)

    def barrier(self, number):
        objects = min(self.options.objects)

        def measure(program):
            result = run([program, "barrier", str(objects)])
            return {f"{state}_{name}": result[state][name] for state in ("idle", "marking") for name in OPERATIONS}
        for _ in range(BARRIER_TURNS):
            self.record(("barrier", objects, "without"), number, lambda: measure(self.bare))
            self.record(("barrier", objects, OURS), number, lambda: measure(self.program))

    def one_round(self, number):
        for objects in self.options.objects:
            for row in self.options.rows:
                if row in GRAPHS:
                    self.graph(number, row, objects)
                elif row in CHAINS:
                    self.chain(number, row, objects)
                elif row == "churn":
                    self.churn(number, objects)
        if "barrier" in self.options.rows:
            self.barrier(number)

    def latency(self):
        """One daemon for all rounds: it takes a minute to fill."""
        objects = max(self.options.objects)
        try:
            latency = Latency(self.programs, objects)
        except (Failed, OSError) as failure:
            self.results.add(("get", objects, OURS), 0, {"failed": str(failure)})
            return
        try:
            for number in range(self.options.rounds):
                self.record(("get", objects, OURS), number, lambda: latency.one_round(self.options.seconds))
        finally:
            latency.stop()


def save(options, head, results, judged, tables, closing):
    base = os.path.join(options.build, "bench-gc")
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "rounds": results.rounds,
                   "verdicts": [{"figure": one.target.title, "must": one.target.must, "aim": one.target.aim,
                                 "measured": one.value, "low": one.low, "high": one.high, "state": one.state}
                                for one in judged]}, file, indent=1)
    with open(base + ".md", "w", encoding="utf-8") as file:
        paragraphs = closing.replace("\n", "\n\n")
        file.write(f"# The collector\n\n{head}\n\n{paragraphs}\n\n![the same as a picture](bench-gc.svg)\n\n")
        file.writelines(report.render(table, True) + "\n" for table in tables)
    plot.save_collections(base + ".svg", results, options.objects, judged)
    return base


def main(arguments):
    options = options_of(arguments)
    load = os.getloadavg()[0]
    measuring = Measuring(options)
    for number in range(options.rounds):
        measuring.one_round(number)
    if "get" in options.rows:
        measuring.latency()
    results = measuring.results
    gc_figures.add_differences(results, min(options.objects))
    judged = [] if options.quick else gc_figures.judge(results, options.rows, options.objects)
    tables = ([report.verdicts(judged, {})] if judged else []) + gc_figures.tables(results, options.objects)
    complaints = verdict.complaints(judged, results.failures, {})
    closing = "\n".join(([report.summary(judged)] if judged else []) + complaints)
    head = (f"{machine()}, load average {load:.1f} before; {output([options.python, '--version'])}. {options.rounds} "
            f"round{'s' * (options.rounds != 1)}; times are CPU times, the best of the rounds for both sides.")
    base = save(options, head, results, judged, tables, closing)
    print(f"\n{head}\n")
    for table in tables:
        print(report.render(table, False))
    print(f"written: {base}.md, {base}.svg, {base}.json")
    print(closing)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
