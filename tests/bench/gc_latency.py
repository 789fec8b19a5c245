# SPDX-License-Identifier: BSD-3-Clause
"""Another client's `get` while a heap of millions is collected: the real daemon with one worker, quiet and while collections
follow one another without a break (beside.py).

The heap is a pool of rings of ten in chunks; each chunk hangs on the one before, the last on a name. Every tenth chunk is
left out: it is garbage, which the first collection frees. The gets go to a pool of their own in the same worker.
"""
import struct
import tempfile

from beside import Generator, preferred
from rpc import Rpc
from servers import Server

RING, CHUNK = 10, 1000


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


class Latency:
    """A filled daemon, and the generator on it."""

    def __init__(self, programs, objects):
        self.folder = tempfile.TemporaryDirectory(prefix="holdfast-bench-")
        self.server = Server(programs, "holdfast", "unix", self.folder.name, wrapper=preferred())
        self.generator = Generator(programs, self.server, ["bench", "--mix", "get"])
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

    def one_round(self, seconds):
        figures, results = self.generator.round(seconds, "gc_collect")
        return {**figures, "collections": len(results), "candidates": results[0]["candidates"],
                "step_us_max": max(result["step_us_max"] for result in results)}
