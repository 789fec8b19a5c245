#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In the steady state no cache line is written by two workers, nor written by one and read by another.

The daemon is one in which each load and store tells where it goes (flavour `lines`, tests/preload/record_lines.c). All
workers serve the same requests, first to warm up, then with the record open: no line may be in it with two threads of
which one wrote. That the record would show one is seen with requests that do cross threads."""
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import ROOT, Daemon  # noqa: E402
from rpc import Raw, encode  # noqa: E402

PROGRAM = os.path.join(ROOT, "build", "lines", "holdfastd")
WORKERS = 4
POOLS = ["default"] + ["p%d" % n for n in range(7)]  # two on each worker
OBJECTS = 200
REQUESTS = 4000  # of a kind and pool
WINDOW = 64

LINE = 64
ENTRIES = 1 << 18
ENTRY_WORDS = 5
HEAD_WORDS = 8


def frame(method, *params):
    """A request; `bulk` answers in order, so all may have the same msgid."""
    return b"\x94\x00\x07" + encode(method) + encode(list(params))


class Record:
    """What tests/preload/record_lines.c notes."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="hf-lines-")
        size = (HEAD_WORDS + ENTRIES * ENTRY_WORDS) * 8
        self.file.truncate(size)
        self.map = mmap.mmap(self.file.fileno(), size)

    def close(self):
        self.map.close()
        self.file.close()

    def open(self):
        self.map[HEAD_WORDS * 8:] = bytes(len(self.map) - HEAD_WORDS * 8)
        struct.pack_into("=Q", self.map, 16, 0)
        struct.pack_into("=Q", self.map, 0, 1)

    def shut(self):
        """[(line, writers, readers, first, second), ...]: all lines that were written, threads as sets of bits."""
        struct.pack_into("=Q", self.map, 0, 0)
        assert struct.unpack_from("=Q", self.map, 16)[0] == 0, "the record is too small for these requests"
        rows = struct.iter_unpack("=%dQ" % ENTRY_WORDS, self.map[HEAD_WORDS * 8:])
        return [row for row in rows if row[0] and row[1]]


def where(place):
    """The function and line of a code address of the daemon."""
    done = subprocess.run(["addr2line", "-fe", PROGRAM, hex(place)], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split()) if place and done.returncode == 0 else "(unknown)"


def count(bits):
    return bin(bits).count("1")


class Lines(unittest.TestCase):
    def setUp(self):
        assert os.path.exists(PROGRAM), "%s is missing: run `make check`, which builds it" % PROGRAM
        self.record = Record()
        self.addCleanup(self.record.close)
        # The slow requests of all workers are in one log; on a busy machine there are some, and they are not what is looked at.
        self.daemon = Daemon("--workers", str(WORKERS), "--slowlog-us", "0", program=PROGRAM, tcp=False,
                             env={"HF_RECORD_LINES": self.record.file.name}).start()
        self.addCleanup(self.daemon.stop)
        with self.daemon.client() as admin:
            for name in POOLS[1:]:
                admin.call("pool_create", name)
        self.clients = {name: [self.client(name), self.client(name)] for name in POOLS}
        self.ids = {name: self.fill(pair[0]) for name, pair in self.clients.items()}

    def client(self, pool):
        client = self.daemon.client({"pool": pool, "name": "a client"})
        self.addCleanup(client.close)
        return client

    def fill(self, client):
        """Objects of all sizes that the hot path knows, each with a name."""
        values = [Raw(encode(bytes(16 + k * 7 % 900))) for k in range(OBJECTS)]
        ids = self.results(client, [frame("put", value) for value in values])
        self.results(client, [frame("name", "name-%d" % k, obj) for k, obj in enumerate(ids)])
        return ids

    def results(self, client, frames):
        replies = client.bulk(frames, WINDOW)
        for reply in replies:
            self.assertIsNone(reply[2])
        return [reply[3] for reply in replies]

    # What the workers do -----------------------------------------------------------------------------

    def hot(self, name):
        """The six requests of the hot path and some more, by two sessions in turn."""
        first, second = self.clients[name]
        ids = (self.ids[name] * (REQUESTS // OBJECTS + 1))[:REQUESTS]
        names = ["name-%d" % (k % OBJECTS) for k in range(REQUESTS)]
        for client in (first, second):
            self.results(client, [frame("get", obj) for obj in ids])
            self.results(client, [frame("fetch", n) for n in names])
        for start in range(0, REQUESTS, WINDOW):
            part = ids[start:start + WINDOW]
            self.results(second, [frame("retain", obj) for obj in part])
            self.results(second, [frame("release", obj) for obj in part])
            self.results(second, [frame("lookup", n) for n in names[start:start + WINDOW]])
            self.results(second, [frame("release", obj) for obj in part])
            made = self.results(first, [frame("put", Raw(encode(bytes(20)))) for _ in part])
            self.results(first, [frame("release", obj) for obj in made])
            self.results(first, [frame("set", obj, Raw(encode(bytes(24)))) for obj in part[:8]])
            self.results(first, [frame("store", n, start) for n in names[:8]])
            self.results(first, [frame("name", n, obj) for n, obj in zip(names[:8], self.ids[name])])

    def recorded(self, run):
        """Lines of which one thread has written what another has written or read, while `run` ran."""
        self.record.open()
        run()
        return self.record.shut()

    def shared(self, rows):
        return [row for row in rows if count(row[1]) > 1 or row[2] & ~row[1]]

    def tell(self, rows):
        return "\n".join("line %#x: %d threads wrote, %d read it; first %s, then %s"
                         % (line * LINE, count(writers), count(readers), where(first), where(second))
                         for line, writers, readers, first, second in rows)

    def all_pools(self):
        for name in POOLS:
            self.hot(name)

    # Tests -------------------------------------------------------------------------------------------

    def test_each_worker_writes_lines_of_its_own(self):
        self.all_pools()
        rows = self.recorded(self.all_pools)
        threads = 0
        for row in rows:
            threads |= row[1]
        self.assertEqual(count(threads), WORKERS, "all workers were at work, and nobody else")
        self.assertGreater(len(rows), WORKERS * OBJECTS, "their stores were seen")
        bad = self.shared(rows)
        self.assertEqual(bad, [], self.tell(bad))

    def test_the_record_shows_what_crosses_threads(self):
        client = self.clients["p1"][0]
        self.assertNotEqual(self.shared(self.recorded(lambda: client.call("pools"))), [], "mailboxes")
        grow = [frame("put", Raw(encode(bytes(900)))) for _ in range(1000)]
        rows = self.recorded(lambda: [self.results(self.clients[name][0], grow) for name in POOLS])
        places = " ".join(where(row[4]) for row in self.shared(rows) if count(row[1]) > 1)
        self.assertIn("mem_charge", places, "budgets, when heaps grow")


if __name__ == "__main__":
    unittest.main()
