#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Requests of a pool while the pool is saved: the real daemon with one worker, the load in the pool that is saved, quiet and
while saves follow one another without a break, from the end of its warm-up on (beside.py). What writes the saves has the
daemon's core, as on a machine without an idle one.

    tests/bench/save_latency.py [--build build] [--gib 2] [--seconds 10] [--rounds 3] [--mix get=70,put=10,store=10,link=10] [--folder DIR]

The rule: p99.9 beside saves is at most that of the quiet run + 10 % + one budget of a turn (200 us). The median of the rounds
is judged, but for those in which a hypervisor kept more than 0.5 % of the time for itself: these latencies are its own. Some
hypervisors do that for every byte that goes to a disk; a folder in memory (--folder /dev/shm) shows the daemon's part then,
and more than that, for the copy to a disk costs no processor's time.
"""
import argparse
import os
import statistics
import struct
import sys
import tempfile
import threading

from beside import BUDGET_US, Generator, is_own, preferred
from rpc import Rpc
from servers import Programs, Server, table_text

VALUE = 64 * 1024


def fill(address, gib):
    rpc = Rpc(address)
    for k in range(int(gib * (1 << 30) / VALUE)):
        rpc.call("store", f"fill{k}", struct.pack(">BI", 0xc6, VALUE) + os.urandom(VALUE))
    rpc.close()


class Latency:
    def __init__(self, programs, options, folder):
        self.options = options
        self.server = Server(programs, "holdfast", "unix", folder, wrapper=preferred(), extra=("--save-dir", os.path.join(folder, "saves")))
        self.generator = Generator(programs, self.server,
                                   ["--pool", "default", "bench", "--mix", options.mix, "--value", "64-4K"])
        fill(self.server.address, options.gib)

    def memory(self):
        rpc = Rpc(self.server.address)
        memory = rpc.call("stats", "memory")
        rpc.close()
        return memory["anon"]

    def one_round(self):
        most, watching = [self.memory()], threading.Event()

        def watch():
            while not watching.wait(0.5):  # more often would be a part of what is measured
                most.append(self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            figures, results = self.generator.round(self.options.seconds, "save")
        finally:
            watching.set()
            watcher.join()
        written, took = sum(r["bytes"] for r in results), sum(r["took_ms"] for r in results)
        return {**figures, "saves": len(results), "mb_s": written / 1e3 / max(took, 1),
                "pieces": sum(r["pieces"] for r in results), "urgent": sum(r["urgent"] for r in results),
                "direct": sum(r["direct"] for r in results), "anon_mib": (max(most) - most[0]) / (1 << 20)}


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mix", default="get=70,put=10,store=10,link=10")
    parser.add_argument("--folder", help="where to save to; else the temporary folder")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=options.folder) as folder:
        latency = Latency(Programs(options.build), options, folder)
        try:
            rounds = [latency.one_round() for _ in range(options.rounds)]
        finally:
            latency.server.stop()
    keys = list(rounds[0])
    print(table_text(["", *(str(k + 1) for k in range(len(rounds)))],
                     [[key, *(f"{r[key]:.1f}" if isinstance(r[key], float) else str(r[key]) for r in rounds)] for key in keys], False))
    quiet, late = (statistics.median(r[key] for r in rounds) for key in ("quiet_p999_us", "p999_us"))
    own = [r["above_us"] for r in rounds if all(is_own(r[key], options.seconds) for key in ("steal_ms", "quiet_steal_ms"))]
    if len(own) <= len(rounds) / 2:
        print(f"p99.9: quiet {quiet:.0f} us, beside saves {late:.0f} us\n"
              f"verdict: none; in {len(rounds) - len(own)} of {len(rounds)} rounds the hypervisor kept the processors for too long")
        return 2
    above = statistics.median(own)
    print(f"rule: p99.9 beside saves is at most that of the quiet run + 10 % + {BUDGET_US} us, in the median of {len(own)} rounds\n"
          f"p99.9: quiet {quiet:.0f} us, beside saves {late:.0f} us; above the quiet run + 10 %: {above:.0f} us\n"
          f"verdict: {'kept' if above <= BUDGET_US else 'NOT kept'}")
    return 0 if above <= BUDGET_US else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
