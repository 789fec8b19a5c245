#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Evacuation in a daemon: memory goes back after most values have died, a full pool takes values of other sizes, and then all is
quiet."""
import random
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lib")
from daemon import Daemon  # noqa: E402
from rpc import poll  # noqa: E402

MIB = 1 << 20


def value(k):
    return bytes([k % 256]) * (40 + k % 300)


class Evacuation(unittest.TestCase):
    def start(self, *args):
        self.daemon = Daemon(*args, tcp=False).start()
        self.addCleanup(self.daemon.stop)
        self.c = self.daemon.client()
        self.addCleanup(self.c.close)

    def fill(self, count):
        ids = []
        for k in range(0, count, 1000):
            ids += self.c.call("put_many", [[value(n)] for n in range(k, k + 1000)])
        return dict(enumerate(ids))

    def thin_out(self, kept, percent):
        gone = random.Random(1).sample(sorted(kept), len(kept) * percent // 100)
        for k in range(0, len(gone), 1000):
            self.c.call("release", [kept.pop(n) for n in gone[k:k + 1000]])

    def share(self):
        memory = self.c.call("stats", "memory")
        return memory["values_live"] / memory["values"]

    def is_dense(self):
        """Less is not worth a pass."""
        memory = self.c.call("stats", "memory")
        return self.share() >= 0.6 or memory["values"] - memory["values_live"] < 8 * MIB

    def test_memory_goes_back_after_most_has_died(self):
        self.start()
        kept = self.fill(120000)
        self.thin_out(kept, 80)
        poll(self.is_dense, "memory goes back")
        poll(lambda: not self.c.call("stats", "evacuation")["running"], "the pass ends")
        figures = self.c.call("stats", "evacuation")
        self.assertEqual((figures["percent"], figures["cut_short"]), (60, 0))
        self.assertGreaterEqual(figures["passes"], 1)
        self.assertGreater(figures["moved"], 1000)
        self.assertGreater(figures["moved_bytes"], MIB)
        self.assertGreater(figures["returned_bytes"], 4 * MIB)
        self.daemon.wait_line("event=evacuated pool=default")
        for k in list(kept)[::50]:
            self.assertEqual(self.c.call("get", kept[k]), value(k))
        self.assertTrue(self.c.call("verify")["ok"])

    def test_then_it_is_quiet(self):
        self.start("--workers", "1")
        self.thin_out(self.fill(120000), 80)
        poll(self.is_dense, "memory goes back")
        poll(lambda: self.c.call("stats", "gc")["backlog"] == 0, "all is freed")
        poll(self.turns_stand_still, "no turn without a request")

    def turns_stand_still(self):
        first = self.c.call("stats", "server")["turns"]
        return self.c.call("stats", "server")["turns"] - first == 1

    def test_a_full_pool_takes_values_of_another_size(self):
        self.start()
        self.c.call("pool_create", "small", {"max_bytes": 24 * MIB})
        self.c = self.daemon.client({"pool": "small"})
        self.addCleanup(self.c.close)
        kept = self.fill(60000)
        self.thin_out(kept, 75)
        large = [self.c.call("put", b"l" * 3000) for _ in range(4000)]
        self.assertEqual(self.c.call("get", large[0]), b"l" * 3000)
        for k in list(kept)[::50]:
            self.assertEqual(self.c.call("get", kept[k]), value(k))
        self.assertGreater(self.c.call("stats", "evacuation")["passes"], 0)
        self.assertTrue(self.c.call("verify")["ok"])

    def test_it_can_be_switched_off(self):
        self.start("--evacuate-percent", "0")
        self.thin_out(self.fill(120000), 80)
        poll(lambda: self.c.call("stats", "gc")["backlog"] == 0, "all is freed")
        self.assertEqual(self.c.call("stats", "evacuation"),
                         {"percent": 0, "running": False, "passes": 0, "moved": 0, "moved_bytes": 0, "returned_bytes": 0,
                          "cut_short": 0})
        self.assertLess(self.share(), 0.4)


if __name__ == "__main__":
    unittest.main()
