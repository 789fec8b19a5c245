# SPDX-License-Identifier: BSD-3-Clause
"""Requests beside work that a daemon does in the background: rounds of `holdfast bench` as an open loop at half of what
the daemon can do, first quiet, then while a method that causes such work is called again and again.

The daemon has a core, with all of its threads, the generator another one, and both get it before all else where that is
allowed: when they do not run, for whatever else runs on the machine, that is no latency of the daemon's. It is the same
for both runs of a round. What the machine did meanwhile is told beside the latencies: how long the worker could have
run and had to wait, and the time that a hypervisor kept from the machine.
"""
import json
import os
import subprocess
import threading
import time

from rpc import Rpc
from servers import LOAD_CORE, Failed, pinned

SATURATION_S = 2.0
WARM_UP_S = 1.0
SETTLED_S = 60
BUDGET_US = 200
STOLEN_MOST = 0.005  # of a run's time, of both processors
QUIET_TRIES = 6


def above_us(figures):
    """By how much p99.9 is above that of the quiet run + 10 %: the rule is at most BUDGET_US."""
    return figures["p999_us"] - 1.1 * figures["quiet_p999_us"]


def is_own(steal_ms, seconds):
    """Whether the latencies of a run are the daemon's: the hypervisor kept the processors for nearly none of the time."""
    return steal_ms <= STOLEN_MOST * 1000 * seconds


class Repeated:
    """A method, called again when it has answered, from `after` seconds on until stop(). `results` has the answers."""

    def __init__(self, address, method, after):
        self.rpc, self.method, self.after = Rpc(address), method, after
        self.results, self.stopping = [], threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        if self.stopping.wait(self.after):
            return
        while not self.stopping.is_set():
            self.results.append(self.rpc.call(self.method))

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.rpc.close()


def _worker_wait_ns(pid):
    """How long the worker has waited for a processor."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as comm:
            if comm.read().strip() != "worker-0":
                continue
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as schedstat:
            return int(schedstat.read().split()[1])
    raise Failed("the daemon has no thread worker-0")


def _steal_ms():
    with open("/proc/stat", encoding="utf-8") as stat:
        return int(stat.readline().split()[8]) * 1000 / os.sysconf("SC_CLK_TCK")


def preferred():
    """What stands before a command that is to run before all else, where that is allowed. The real-time class would be
    worse: a generator that is always awake is stopped there for 50 ms of each second (sched_rt_runtime_us), and these would
    be the latencies that are seen."""
    nice = ["nice", "-n", "-20"]
    allowed = subprocess.run(nice + ["true"], capture_output=True, check=False)
    return nice if allowed.returncode == 0 and not allowed.stderr else []


class Generator:
    """`holdfast bench` for one server; `options` are those of the load."""

    def __init__(self, programs, server, options):
        self.command = preferred() + [os.path.join(programs.build, "holdfast"), "--json", "--address", server.address] + options + [
            "--warmup", f"{WARM_UP_S:g}"]
        self.server = server

    def settle(self):
        """Until what the run before has left is freed."""
        rpc, end = Rpc(self.server.address), time.monotonic() + SETTLED_S
        while rpc.call("stats", "gc")["backlog"] != 0:
            if time.monotonic() > end:
                raise Failed("what a run has left is not freed")
            time.sleep(0.05)
        rpc.close()

    def run(self, seconds, rate=None):
        self.settle()
        command = self.command + ["--duration", f"{seconds:g}"] + (["--rate", str(rate)] if rate else [])
        waited, stolen = _worker_wait_ns(self.server.pid), _steal_ms()
        done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"holdfast bench: {done.stderr.strip() or done.returncode}")
        result = json.loads(done.stdout)
        result["worker_wait_ms"] = (_worker_wait_ns(self.server.pid) - waited) / 1e6
        result["steal_ms"] = _steal_ms() - stolen
        return result

    def quiet(self, seconds, rate):
        """A quiet run in which the hypervisor kept little from the machine, if one of some tries is."""
        for _ in range(QUIET_TRIES):
            quiet = self.run(seconds, rate)
            if is_own(quiet["steal_ms"], seconds):
                break
        return quiet

    def round(self, seconds, method):
        """Figures of a round, and what the calls of the method answered."""
        rate = int(self.run(min(seconds, SATURATION_S))["rate"] / 2)
        quiet = self.quiet(seconds, rate)
        calls = Repeated(self.server.address, method, WARM_UP_S)
        try:
            busy = self.run(seconds, rate)
        finally:
            calls.stop()
        figures = {"rate": rate, "sent_rate": busy["rate"],
                   "quiet_p50_us": quiet["latency_us"]["p50"], "quiet_p999_us": quiet["latency_us"]["p999"],
                   "p50_us": busy["latency_us"]["p50"], "p999_us": busy["latency_us"]["p999"],
                   "quiet_wait_ms": quiet["worker_wait_ms"], "wait_ms": busy["worker_wait_ms"],
                   "quiet_steal_ms": quiet["steal_ms"], "steal_ms": busy["steal_ms"]}
        figures["above_us"] = above_us(figures)
        return figures, calls.results
