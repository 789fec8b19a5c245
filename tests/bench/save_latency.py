#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Requests of a pool while the pool is saved: the real daemon with one worker, `holdfast bench` as an open loop at half of what
the daemon can do, in the pool that is saved, first quiet, then while saves follow one another without a break.

    tests/bench/save_latency.py [--build build] [--gib 2] [--seconds 10] [--rounds 3] [--mix get=70,put=10,store=10,link=10] [--folder DIR]

The rule: p99.9 beside saves is at most that of the quiet run + 10 % + one budget of a turn (200 us). The folder of the saves
is to be on a disk, as it would be. The median of the rounds is judged.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading

from rpc import Rpc
from servers import LOAD_CORE, Failed, Programs, Server, pinned, table_text

VALUE = 64 * 1024
SATURATION_S = 2.0
BUDGET_US = 200


def fill(address, gib):
    rpc = Rpc(address)
    for k in range(int(gib * (1 << 30) / VALUE)):
        rpc.call("store", f"fill{k}", struct.pack(">BI", 0xc6, VALUE) + os.urandom(VALUE))
    rpc.close()


class Saves:
    """Saves of the pool `default`, one after the other, until stop()."""

    def __init__(self, address):
        self.rpc, self.results, self.stopping = Rpc(address), [], False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            self.results.append(self.rpc.call("save"))

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.rpc.close()


class Latency:
    def __init__(self, programs, options, folder):
        self.options, self.holdfast = options, os.path.join(programs.build, "holdfast")
        saves = os.path.join(folder, "saves")
        self.server = Server(programs, "holdfast", "unix", folder, extra=("--save-dir", saves))
        fill(self.server.address, options.gib)

    def bench(self, seconds, rate=None):
        command = [self.holdfast, "--json", "--address", self.server.address, "--pool", "default", "bench", "--mix",
                   self.options.mix, "--value", "64-4K", "--duration", f"{seconds:g}", "--warmup", "0.5"]
        done = subprocess.run(pinned(LOAD_CORE, command + (["--rate", str(rate)] if rate else [])), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"holdfast bench: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout)

    def memory(self):
        rpc = Rpc(self.server.address)
        memory = rpc.call("stats", "memory")
        rpc.close()
        return memory["anon"]

    def one_round(self):
        seconds = self.options.seconds
        rate = int(self.bench(min(seconds, SATURATION_S))["rate"] / 2)
        quiet = self.bench(seconds, rate)["latency_us"]
        before, most, saves = self.memory(), 0, Saves(self.server.address)
        watching = threading.Event()

        def watch():
            nonlocal most
            while not watching.wait(0.05):
                most = max(most, self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            busy = self.bench(seconds, rate)
        finally:
            saves.stop()
            watching.set()
            watcher.join()
        late, results = busy["latency_us"], saves.results
        written, took = sum(r["bytes"] for r in results), sum(r["took_ms"] for r in results)
        return {"rate": rate, "sent_rate": busy["rate"], "quiet_p50_us": quiet["p50"], "quiet_p999_us": quiet["p999"],
                "p50_us": late["p50"], "p999_us": late["p999"], "saves": len(results), "mb_s": written / 1e3 / max(took, 1),
                "urgent": sum(r["urgent"] for r in results), "direct": sum(r["direct"] for r in results),
                "anon_mib": (most - before) / (1 << 20), "above_us": late["p999"] - 1.1 * quiet["p999"]}


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
    above = statistics.median(r["above_us"] for r in rounds)
    print(f"p99.9 is {above:.0f} us above that of the quiet run + 10 %: {'within' if above <= BUDGET_US else 'NOT within'} "
          f"the budget of {BUDGET_US} us")
    return 0 if above <= BUDGET_US else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
