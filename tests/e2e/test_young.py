#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Young collections in a daemon that is left alone: it frees small cycles by itself, within the time it was told, and then
rests; a pool that can have no cycles is never looked at."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import Daemon  # noqa: E402
from rpc import RpcError, poll  # noqa: E402

RING = 5


class Young(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(tcp=False).start()
        self.addCleanup(self.daemon.kill)

    def tearDown(self):
        self.daemon.stop()

    def client(self, pool):
        client = self.daemon.client({"name": pool, "pool": pool})
        self.addCleanup(client.close)
        return client

    def ring(self, client):
        """A ring that nobody holds any more; its ids."""
        ids = client.call("put_many", [[i, [-((i + 1) % RING + 1)]] for i in range(RING)])
        client.call("release", ids)
        return ids

    def is_gone(self, client, obj):
        try:
            client.call("inspect", obj)
        except RpcError as error:
            self.assertEqual(error.code, "GONE")
            return True
        return False

    def turns(self, client):
        return client.call("stats", "server")["turns"]

    def test_left_alone_it_frees_cycles_and_rests(self):
        admin = self.client("default")
        admin.call("pool_create", "first")
        admin.call("pool_create", "second")
        first, second = self.client("first"), self.client("second")
        second.call("gc_config", {"young_after_ms": 1500})
        ids, later = self.ring(first), self.ring(second)
        poll(lambda: self.is_gone(first, ids[0]), "the first pool frees its ring")
        for obj in ids:
            self.assertTrue(self.is_gone(first, obj))
        done = first.call("stats", "gc")
        self.assertEqual((done["young"]["time"], done["young"]["collected"], done["suspects"]), (1, RING, 0))
        # from here on the first pool has nothing to do; while the second one waits the daemon only answers
        requests, before = [0], self.turns(admin)

        def asked():
            requests[0] += 1
            return self.is_gone(second, later[0])

        poll(asked, "the second pool frees its ring")
        self.assertLessEqual(self.turns(admin) - before, 4 * requests[0] + 20)
        after = first.call("stats", "gc")
        self.assertEqual((after["young"], after["full"], after["units"]), (done["young"], done["full"], done["units"]))
        self.assertEqual(second.call("stats", "gc")["young"]["time"], 1)

    def test_without_cycles_nothing_is_looked_at(self):
        admin = self.client("default")
        admin.call("pool_create", "trees")
        admin.call("pool_create", "rings")
        trees, rings = self.client("trees"), self.client("rings")
        for client in (trees, rings):
            client.call("gc_config", {"young_after_ms": 1, "young_suspects": 1, "full_after_ms": 1, "objects_least": 1})
        last = trees.call("put", 0)
        for i in range(200):
            following = trees.call("put", i, {"refs": [last]})
            trees.call("release", last)
            last = following
        ids = self.ring(rings)
        poll(lambda: self.is_gone(rings, ids[0]), "the pool with a ring frees it")
        stats = trees.call("stats", "gc")
        self.assertEqual((sum(stats["young"].values()), sum(stats["full"].values()), stats["suspects"]), (0, 0, 0))
        self.assertEqual((stats["slots"], stats["slots_linked"]), (200, 0))


if __name__ == "__main__":
    unittest.main()
