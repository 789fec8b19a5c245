#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Collections of cycles over the wire: what is found, what is told, what goes on meanwhile. (What lives is judged by CPython
in test_judge.py.)"""
from common import WireTest, poll, unittest


def ring(client, count, tag=None):
    """A ring of that many objects that nobody holds; the ids."""
    options = {"tag": tag} if tag else {}
    ids = client.call("put_many", [[i, [-((i + 1) % count + 1)], options] for i in range(count)])
    client.call("release", ids)
    return ids


class Collect(WireTest):
    def test_result(self):
        c = self.pool_client()
        keep = c.call("put", "kept")
        ids = ring(c, 10)
        c.call("inspect", ids[0])
        result = c.call("gc_collect")
        self.assertEqual(set(result), {"candidates", "unreachable", "collected", "delivered", "bytes", "duration_us",
                                       "step_us_max", "steps"})
        self.assertEqual((result["candidates"], result["unreachable"], result["collected"]), (11, 10, 10))
        self.assertGreaterEqual(result["steps"], 1)
        self.assertGreaterEqual(result["duration_us"], result["step_us_max"])
        for obj in ids:
            self.assertGone(c, obj)
        self.assertEqual(c.call("get", keep), "kept")
        self.assertEqual(c.call("gc_collect", {"kind": "full"})["collected"], 0)
        self.assertVerified(c)

    def test_dry_run_frees_nothing(self):
        c = self.pool_client()
        ids = ring(c, 7)
        result = c.call("gc_collect", {"dry_run": True})
        self.assertEqual((result["unreachable"], result["collected"]), (7, 0))
        self.assertEqual(c.call("get", ids), list(range(7)))
        self.assertEqual(c.call("gc_collect")["collected"], 7)

    def test_explain(self):
        c = self.pool_client()
        three, one = ring(c, 3, "wheel"), ring(c, 1)
        result = c.call("gc_collect", {"dry_run": True, "explain": True})
        self.assertEqual((result["cycles_found"], result["cycles_whole"]), (2, True))
        told = {frozenset(member["id"] for member in cycle["members"]): cycle for cycle in result["cycles"]}
        self.assertEqual(set(told), {frozenset(three), frozenset(one)})
        wheel = told[frozenset(three)]
        self.assertEqual((wheel["objects"], wheel["bytes"]), (3, 3))
        self.assertEqual({member["tag"] for member in wheel["members"]}, {"wheel"})
        self.assertEqual({member["size"] for member in wheel["members"]}, {1})
        self.assertIsNone(told[frozenset(one)]["members"][0]["tag"])
        self.assertEqual(c.call("gc_collect", {"explain": True})["cycles_found"], 2)
        self.assertEqual(c.call("gc_collect", {"explain": True})["cycles"], [])

    def test_young_finds_a_ring(self):
        c = self.pool_client()
        keep = c.call("put", "kept")
        ids = ring(c, 10)
        dry = c.call("gc_collect", {"kind": "young", "dry_run": True})
        self.assertEqual((dry["candidates"], dry["unreachable"], dry["collected"], dry["bytes"]), (10, 10, 0, 10))
        self.assertEqual(c.call("get", ids), list(range(10)))
        result = c.call("gc_collect", {"kind": "young"})
        self.assertEqual(set(result), {"candidates", "unreachable", "collected", "delivered", "bytes", "duration_us",
                                       "step_us_max", "steps"})
        self.assertEqual((result["candidates"], result["unreachable"], result["collected"]), (10, 10, 10))
        self.assertGreaterEqual(result["steps"], 1)
        for obj in ids:
            self.assertGone(c, obj)
        self.assertEqual(c.call("get", keep), "kept")
        self.assertEqual(c.call("gc_collect", {"kind": "young"})["candidates"], 0)
        stats = c.call("stats", "gc")
        self.assertEqual(stats["young"], {"call": 3, "suspects": 0, "growth": 0, "time": 0, "memory": 0, "candidates": 10,
                                          "unreachable": 10, "collected": 10, "bytes": 10})
        self.assertEqual((sum(stats["full"].values()), stats["suspects"], stats["unresolved"]), (0, 0, 0))
        self.assertVerified(c)

    def test_young_leaves_what_is_too_large(self):
        c = self.pool_client()
        ids = ring(c, 1000)
        self.assertEqual(c.call("gc_collect", {"kind": "young"})["collected"], 0)
        self.assertGreaterEqual(c.call("stats", "gc")["unresolved"], 1)
        self.assertEqual(c.call("get", ids[0]), 0)
        self.assertEqual(c.call("gc_collect", {"kind": "full"})["collected"], 1000)
        self.assertEqual(c.call("stats", "gc")["unresolved"], 0)

    def test_young_explains_nothing(self):
        error = self.assertCode("BADARG", self.c, "gc_collect", {"kind": "young", "explain": True})
        self.assertIn("option=explain", str(error))

    def test_bad_options(self):
        self.assertCode("BADARG", self.c, "gc_collect", {"kind": "old"})
        self.assertCode("BADARG", self.c, "gc_collect", {"dry_run": 1})
        self.assertCode("BADARG", self.c, "gc_collect", {"generation": 2})
        self.assertCode("BADARG", self.c, "gc_collect", 2)

    def test_others_are_served(self):
        c = self.pool_client()
        for _ in range(100):
            ring(c, 1000)
        others = [self.pool_client() for _ in range(3)]
        for client in others:
            client.request("gc_collect", msgid=5)
        for _ in range(20):
            self.assertIs(type(self.c.call("ping")), int)
        for client in others:
            self.assertGreaterEqual(client.recv().value()["candidates"], 0)
        stats = c.call("stats", "gc")
        self.assertEqual(stats["collected"], 100000)
        self.assertLessEqual(stats["full"]["call"], 3)
        self.assertEqual(c.call("stats", "objects")["count"], 0)

    def test_what_a_session_held_counts_no_more_when_it_ends(self):
        c = self.pool_client()
        other = self.pool_client()
        ids = other.call("put_many", [[i, [-((i + 1) % 500 + 1)]] for i in range(500)])
        other.call("bye")
        other.wait_closed()
        self.assertEqual(c.call("gc_collect")["collected"], 500)
        self.assertGone(c, ids[250])

    def test_a_caller_that_goes_away(self):
        c = self.pool_client()
        for _ in range(30):
            ring(c, 1000)
        other = self.pool_client()
        other.request("gc_collect", msgid=5)
        other.close()
        c.call("gc_collect")
        self.assertEqual(c.call("stats", "objects")["count"], 0)


class Config(WireTest):
    def test_values(self):
        c = self.pool_client()
        config = c.call("gc_config")
        self.assertEqual(config, {"enabled": True, "budget_us": 200, "growth_percent": 25, "objects_least": 16384,
                                  "bytes_least": 33554432, "full_after_ms": 30000, "young_suspects": 2000,
                                  "young_after_ms": 1000})
        changed = c.call("gc_config", {"enabled": False, "budget_us": 300, "growth_percent": 50, "objects_least": 10,
                                       "bytes_least": 1000, "full_after_ms": 5, "young_suspects": 8192, "young_after_ms": 7})
        self.assertEqual(changed, c.call("gc_config"))
        self.assertEqual((changed["enabled"], changed["budget_us"], changed["full_after_ms"]), (False, 300, 5))
        self.assertEqual((changed["young_suspects"], changed["young_after_ms"]), (8192, 7))
        self.assertEqual(self.c.call("gc_config"), config)
        for option, bad in (("budget_us", 0), ("budget_us", 10**6), ("growth_percent", 0), ("objects_least", 0),
                            ("bytes_least", 0), ("full_after_ms", 0), ("young_suspects", 0), ("young_suspects", 8193),
                            ("young_after_ms", 0), ("young_after_ms", -1), ("enabled", 1), ("threshold", 700)):
            self.assertCode("BADARG", c, "gc_config", {option: bad})
        self.assertEqual(c.call("gc_config"), changed)

    def test_by_time(self):
        c = self.pool_client()
        c.call("gc_config", {"enabled": False, "full_after_ms": 20, "young_after_ms": 1})
        ids = ring(c, 1000)  # too large for a young collection
        stats = c.call("stats", "gc")
        self.assertEqual((stats["suspects"], stats["unresolved"]), (1000, 0))
        c.call("gc_config", {"enabled": True})
        poll(lambda: c.call("stats", "gc")["full"]["time"] == 1, "a collection by time")
        self.assertGone(c, ids[0])
        self.assertEqual(c.call("stats", "gc")["suspects"], 0)

    def test_young_by_time(self):
        c = self.pool_client()
        c.call("gc_config", {"enabled": False, "young_after_ms": 20})
        ids = ring(c, 3)
        self.assertEqual(c.call("stats", "gc")["suspects"], 3)
        self.assertEqual(c.call("get", ids[0]), 0)
        c.call("gc_config", {"enabled": True})
        poll(lambda: c.call("stats", "objects")["count"] == 0, "a young collection by time")
        stats = c.call("stats", "gc")
        self.assertEqual((stats["young"]["time"], sum(stats["full"].values()), stats["suspects"]), (1, 0, 0))
        self.assertGone(c, ids[0])

    def test_young_by_suspects(self):
        c = self.pool_client()
        c.call("gc_config", {"young_suspects": 30, "young_after_ms": 86400000})
        for _ in range(50):
            ring(c, 10)
        poll(lambda: c.call("stats", "gc")["young"]["suspects"] >= 2, "young collections by suspects")
        self.assertLess(c.call("stats", "gc")["suspects"], 30)
        self.assertLess(c.call("stats", "objects")["count"], 30)

    def test_by_objects(self):
        c = self.pool_client()
        c.call("gc_config", {"objects_least": 1000})
        for _ in range(50):
            ring(c, 600)  # too large for young ones
        poll(lambda: c.call("stats", "gc")["full"]["objects"] >= 2, "collections by objects")


class Stats(WireTest):
    def test_section(self):
        c = self.pool_client()
        ring(c, 100)
        c.call("gc_collect")
        stats = c.call("stats", "gc")
        self.assertEqual((stats["backlog"], stats["phase"], stats["enabled"]), (0, "idle", True))
        self.assertEqual(stats["full"], {"call": 1, "objects": 0, "bytes": 0, "time": 0, "memory": 0})
        self.assertEqual((stats["candidates"], stats["collected"], stats["debt"], stats["slots"]), (100, 100, 0, 0))
        bounds = stats["step_us"]["bounds"]
        self.assertEqual(bounds, sorted(bounds))
        for kind in ("cpu", "wall"):
            self.assertEqual(len(stats["step_us"][kind]), len(bounds) + 1)
            self.assertEqual(sum(stats["step_us"][kind]), stats["steps"])
        self.assertGreaterEqual(stats["units"], 300)

    def test_no_cycle_no_collection(self):
        c = self.pool_client()
        c.call("gc_config", {"full_after_ms": 1, "objects_least": 1})
        last = c.call("put", 0)
        for i in range(300):
            following = c.call("put", i, {"refs": [last]})
            c.call("release", last)
            last = following
        c.call("name", "last", last)
        c.call("release", last)
        stats = c.call("stats", "gc")
        self.assertEqual((stats["slots"], stats["slots_linked"], stats["suspects"]), (300, 0, 0))
        self.assertEqual(sum(stats["full"].values()), 0)


if __name__ == "__main__":
    unittest.main()
