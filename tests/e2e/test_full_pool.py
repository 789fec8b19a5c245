#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A pool that is full of cyclic garbage: a request that needs memory waits for the collection instead of failing."""
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lib")
from daemon import Daemon  # noqa: E402
from rpc import RpcError, encode, Raw  # noqa: E402

RING = 1000
MAX_BYTES = 96 << 20
VALUE = b"v" * 1000


class FullPool(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(tcp=False).start()
        self.addCleanup(self.daemon.stop)
        admin = self.daemon.client()
        self.addCleanup(admin.close)
        admin.call("pool_create", "small", {"max_bytes": MAX_BYTES})
        self.c = self.daemon.client({"pool": "small"})
        self.addCleanup(self.c.close)

    def rings(self):
        """Rings, all linked to each other in a ring, until no more fits; the ids."""
        items = Raw(encode([[VALUE, [-(((k + 1) % RING) + 1)]] for k in range(RING)]))
        rings = []
        while True:
            try:
                rings.append(self.c.call("put_many", items))
            except RpcError as error:
                self.assertEqual(error.code, "OOM")
                break
        for ring, other in zip(rings, rings[1:] + rings[:1]):
            self.c.call("link", ring[0], 1, other[0])
        return rings

    def test_a_request_waits_for_the_collection(self):
        self.c.call("gc_config", {"objects_least": 1 << 30, "bytes_least": 1 << 40, "full_after_ms": 1 << 30})
        rings = self.rings()
        self.assertGreater(len(rings), 20)
        for ring in rings:
            self.c.call("release", ring)
        self.assertEqual(sum(self.c.call("stats", "gc")["full"].values()), 0)
        made = [self.c.call("put", VALUE) for _ in range(30000)]
        self.assertEqual(self.c.call("get", made[-1]), VALUE)
        figures = self.c.call("stats", "gc")
        self.assertGreaterEqual(figures["full"]["memory"], 1)
        self.assertEqual(self.c.code("get", rings[0][0]), "GONE")
        self.assertTrue(self.c.call("verify")["ok"])

    def test_without_anything_to_free_it_fails_at_once(self):
        rings = self.rings()
        error = self.c.error("put", b"v" * (1 << 20))
        self.assertEqual(error.code, "OOM")
        self.assertEqual(self.c.call("get", rings[0][0]), VALUE)


if __name__ == "__main__":
    unittest.main()
