#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Cyclic garbage has a bound, in objects and in bytes, also in a daemon that is never idle.

Clients make rings and let them go as fast as they can: small ones, which trials find; rings larger than any trial, which
only full collections find; and pairs of 1 MiB each. Others read all the while. What is alive beyond what is held is
garbage (dead objects that wait to be freed are counted apart, as backlog), and a watcher asks again and again how much
that is.

HF_TEST_LONG=1  three minutes in all instead of a few seconds"""
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lib")
from daemon import Daemon  # noqa: E402
from rpc import encode, Raw  # noqa: E402

LONG = os.environ.get("HF_TEST_LONG") == "1"
SECONDS = 60 if LONG else 2
LEAST = {"objects_least": 16384, "bytes_least": 32 << 20}  # the defaults

MiB = 1 << 20


def ring(size, value):
    return Raw(encode([[value, [-((k + 1) % size + 1)]] for k in range(size)]))


class Load(threading.Thread):
    """Does `work(client)` until it is told to stop."""

    def __init__(self, daemon, work):
        super().__init__()
        self.client, self.work, self.failure, self.rounds = daemon.client(), work, None, 0
        self.running = True

    def run(self):
        try:
            while self.running:
                self.work(self.client)
                self.rounds += 1
        except Exception as error:  # told by the main thread
            self.failure = error

    def end(self):
        self.running = False
        self.join()
        self.client.close()
        if self.failure:
            raise self.failure


class Bound(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(tcp=False).start()
        self.addCleanup(self.daemon.stop)
        self.watcher = self.daemon.client()
        self.addCleanup(self.watcher.close)
        self.held = [self.watcher.call("put", b"v" * 100) for _ in range(1000)]
        self.most_objects = self.most_bytes = 0

    def read(self, client):
        for obj in self.held[:100]:
            client.call("get", obj)

    def look(self):
        objects = self.watcher.call("stats", "objects")
        self.most_objects = max(self.most_objects, objects["count"] - len(self.held))
        self.most_bytes = max(self.most_bytes, objects["bytes"])

    def churn(self, size, value):
        rings = ring(size, value)

        def work(client):
            client.call("release", client.call("put_many", rings))
        return work

    def loads(self, *works):
        loads = [Load(self.daemon, work) for work in works] + [Load(self.daemon, self.read)]
        for load in loads:
            load.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not any(load.failure for load in loads):
            self.look()
        for load in loads:
            load.end()
        figures = self.watcher.call("stats", "gc")
        print("%d rings; garbage at most %d objects, %d bytes; young %s, full %s" % (
            sum(load.rounds for load in loads[:-1]), self.most_objects, self.most_bytes, figures["young"], figures["full"]))
        self.assertTrue(self.watcher.call("verify")["ok"])
        return figures

    # What is on its way comes on top, twice: the rings of each client's last request at the end of a collection, which count as
    # alive there and are garbage soon after, and those of its last request now.

    def test_small_rings(self):
        figures = self.loads(*[self.churn(10, b"small")] * 3)
        self.assertGreater(figures["young"]["suspects"] + figures["young"]["growth"], 0)
        self.assertEqual(sum(figures["full"].values()), 0)
        self.assertLessEqual(self.most_objects, LEAST["objects_least"] // 4 + 2 * 3 * 10)

    def test_rings_that_are_too_large_for_trials(self):
        figures = self.loads(*[self.churn(1000, b"v" * 100)] * 3)
        self.assertGreater(figures["full"]["objects"], 0)
        self.assertLessEqual(self.most_objects, 2 * LEAST["objects_least"] + 2 * 3 * 1000)

    def test_pairs_of_large_values(self):
        figures = self.loads(*[self.churn(2, bytes(MiB))] * 3)
        self.assertGreater(figures["young"]["growth"], 0)
        self.assertLessEqual(self.most_bytes, LEAST["bytes_least"] // 4 + 2 * 3 * 2 * MiB + len(self.held) * 100)


if __name__ == "__main__":
    unittest.main()
