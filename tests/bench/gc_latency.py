# SPDX-License-Identifier: BSD-3-Clause
"""Another client's `get` while a heap of millions is collected: the real daemon with one worker, `holdfast bench` as an
open loop at half of what the daemon can do, first quiet, then while collections follow one another without a break.

The heap is a pool of rings of ten in chunks; each chunk hangs on the one before, the last on a name. Every tenth chunk is
left out: it is garbage, which the first collection frees. The gets go to a pool of their own in the same worker.
"""
import json
import os
import struct
import subprocess
import tempfile
import threading

from rpc import Rpc
from servers import LOAD_CORE, Failed, Server, pinned

RING, CHUNK = 10, 1000
SATURATION_S = 2.0


def _slot(target):
    """An item of the same call (from 0), an id as MessagePack, or nil."""
    return struct.pack(">Bh", 0xd1, -(target + 1)) if isinstance(target, int) else target


def _item(slots):
    return b"\x92\xa1v" + bytes([0x90 + len(slots)]) + b"".join(map(_slot, slots))


def _chunk(before):
    """put_many of CHUNK items: rings, whose first members make a path to what was `before`."""
    items = []
    for index in range(CHUNK):
        ring = index // RING * RING
        slots = [ring + (index + 1 - ring) % RING]
        if index == ring:
            slots.append(ring + RING if ring + RING < CHUNK else before)
        items.append(_item(slots))
    return struct.pack(">BH", 0xdc, CHUNK) + b"".join(items)


def fill(address, objects):
    """So many objects in the pool `default`, nine tenths of them kept by the name `root`."""
    rpc = Rpc(address)
    before = b"\xc0"
    for chunk in range(objects // CHUNK):
        ids = rpc.call("put_many", _chunk(before))
        if chunk % 10 != 9:
            before = struct.pack(">BQ", 0xcf, ids[0])
    rpc.call("name", "root", before)
    rpc.close()


class Collections:
    """Collections of the pool `default`, one after the other, until stop()."""

    def __init__(self, address):
        self.rpc, self.results, self.stopping = Rpc(address), [], False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            self.results.append(self.rpc.call("gc_collect"))

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.rpc.close()


class Latency:
    """A filled daemon; bench(...) is one run of the generator on it."""

    def __init__(self, programs, objects):
        self.folder = tempfile.TemporaryDirectory(prefix="holdfast-bench-")
        self.holdfast = os.path.join(programs.build, "holdfast")
        self.server = Server(programs, "holdfast", "unix", self.folder.name)
        try:
            fill(self.server.address, objects)
            rpc = Rpc(self.server.address)
            self.first = rpc.call("gc_collect")  # waits for the end of the session that made all
            rpc.close()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.server.stop()
        self.folder.cleanup()

    def bench(self, seconds, rate=None):
        command = [self.holdfast, "--json", "--address", self.server.address, "bench", "--mix", "get",
                   "--duration", f"{seconds:g}", "--warmup", "0.5"]
        done = subprocess.run(pinned(LOAD_CORE, command + (["--rate", str(rate)] if rate else [])), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"holdfast bench: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout)

    def one_round(self, seconds):
        rate = int(self.bench(min(seconds, SATURATION_S))["rate"] / 2)
        quiet = self.bench(seconds, rate)["latency_us"]
        collections = Collections(self.server.address)
        try:
            busy = self.bench(seconds, rate)
        finally:
            collections.stop()
        late, results = busy["latency_us"], collections.results
        return {"rate": rate, "sent_rate": busy["rate"], "quiet_p999_us": quiet["p999"], "p999_us": late["p999"],
                "quiet_p50_us": quiet["p50"], "p50_us": late["p50"], "collections": len(results),
                "candidates": results[0]["candidates"],
                "step_us_max": max(result["step_us_max"] for result in results),
                "above_us": late["p999"] - 1.1 * quiet["p999"]}
