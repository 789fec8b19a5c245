#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A pool that is full of cyclic garbage: a request that needs memory waits for the collection instead of failing."""
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lib")
from daemon import Daemon  # noqa: E402
from rpc import RpcError, encode, poll, Raw  # noqa: E402

RING = 1000
MAX_BYTES = 96 << 20
VALUE = b"v" * 1000
MIB = 1 << 20


class FullPool(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon(tcp=False).start()
        self.addCleanup(self.daemon.stop)
        self.open("small")

    def open(self, name, max_bytes=MAX_BYTES):
        with self.daemon.client() as admin:
            admin.call("pool_create", name, {"max_bytes": max_bytes})
        self.c = self.daemon.client({"pool": name})
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

    def garbage(self):
        """The pool full of cyclic garbage that no trial can find, and nothing that begins a collection but want of memory."""
        self.c.call("gc_config", {"objects_least": 1 << 30, "bytes_least": 1 << 40, "full_after_ms": 1 << 30})
        rings = self.rings()
        for size in (100000, 1000):
            while self.c.reply("put", b"f" * size).error is None:
                pass
        for ring in rings:
            self.c.call("release", ring)
        self.assertEqual(sum(self.c.call("stats", "gc")["full"].values()), 0)
        self.assertEqual(self.c.call("get", rings[0][0]), VALUE)

    def test_large_values_wait_for_the_collection(self):
        # Streamed: read from the socket into the heap. Staged: copied there from a frame that has come as a whole.
        streamed, huge, nested = b"s" * MIB, b"h" * (8 * MIB), [b"n" * 100000] * 20
        cases = {
            "stream": lambda: self.c.call("get", self.c.call("put", streamed)) == streamed,
            "pieces": lambda: self.c.call("get", self.c.call("put", huge)) == huge,
            "set": lambda: self.c.call("set", self.kept, streamed) and self.c.call("get", self.kept) == streamed,
            "store": lambda: self.c.call("store", "name", streamed) and self.c.call("fetch", "name") == streamed,
            "nested": lambda: self.c.call("get", self.c.call("put", nested)) == nested,
            "many": lambda: self.c.call("get", self.c.call("put_many", [[streamed]] * 5)[4]) == streamed,
        }
        for what, case in cases.items():
            with self.subTest(what):
                self.open(what, 32 * MIB)
                self.kept = self.c.call("put", None)
                self.garbage()
                self.assertTrue(case())
                poll(lambda: self.c.call("stats", "gc")["full"]["memory"] >= 1, "the collection ends")
                self.assertTrue(self.c.call("verify")["ok"])

    def test_what_comes_with_a_large_value_waits_too(self):
        # There is room for the value itself, and none for its slots.
        value, nested = b"s" * MIB, [b"n" * 100000] * 10
        for what, value in (("streamed", value), ("staged", nested)):
            with self.subTest(what):
                self.open(what, 32 * MIB)
                kept, spare = self.c.call("put", None), self.c.call("put", value)
                self.garbage()
                self.c.call("release", spare)
                poll(lambda: self.c.call("stats", "gc")["backlog"] == 0, "the dead are freed")
                obj = self.c.call("put", value, {"refs": [kept] * 8000})
                self.assertEqual(self.c.call("get", obj), value)
                self.assertEqual(self.c.call("inspect", obj)["slots"], 8000)
                poll(lambda: self.c.call("stats", "gc")["full"]["memory"] >= 1, "the collection ends")
                self.assertTrue(self.c.call("verify")["ok"])

    def test_large_values_in_a_full_pool(self):
        """Nothing can be freed: OOM, and the connection goes on, in whatever way the value came."""
        kept = self.c.call("put", "kept")
        rings = self.rings()
        before = self.c.call("stats", "objects")
        for params in (("put", b"s" * MIB), ("put", b"h" * (20 * MIB)), ("set", kept, b"s" * MIB), ("store", "n", b"s" * MIB),
                       ("put", [b"n" * 100000] * 20), ("put_many", [[b"s" * MIB]] * 3)):
            error = self.c.error(*params)
            self.assertEqual(error.code, "OOM", error.text)
            self.assertEqual(self.c.call("get", [kept, rings[0][0]]), ["kept", VALUE])
        self.assertEqual(self.c.call("stats", "objects"), before)
        self.c.call("release", [obj for ring in rings[:3] for obj in ring][:1000])
        self.assertTrue(self.c.call("verify")["ok"])

    def test_without_anything_to_free_it_fails_at_once(self):
        rings = self.rings()
        error = self.c.error("put", b"v" * (1 << 20))
        self.assertEqual(error.code, "OOM")
        self.assertEqual(self.c.call("get", rings[0][0]), VALUE)


if __name__ == "__main__":
    unittest.main()
