#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Objects: the methods that make, read, change and link them; the shape of each result, its errors, its edges."""
from common import IDS_MAX, VALUE_MAX, Raw, WireTest, dead_id, unittest


class Objects(WireTest):
    def test_put(self):
        obj = self.c.call("put", "value", {"tag": "t", "site": "a.c:1"})
        row = self.c.call("inspect", obj)
        self.assertLessEqual({"id", "size", "type", "tag", "site", "state", "version", "slots", "age_ms", "count",
                              "held_by"}, set(row))
        self.assertEqual((row["id"], row["tag"], row["site"], row["state"], row["slots"], row["count"]),
                         (obj, "t", "a.c:1", "mutable", 0, 1))
        self.assertEqual(row["held_by"], {"sessions": 1, "slots": 0, "names": 0, "tickets": 0})
        self.assertTrue(5 <= row["size"] <= 10)
        self.assertEqual(row["type"], "str")
        self.assertGreaterEqual(row["age_ms"], 0)
        self.assertEqual(row["version"], self.c.call("get", obj, {"version": True})[1])
        plain = self.c.call("inspect", self.c.call("put", b"v"))
        self.assertEqual((plain["tag"], plain["site"], plain["type"]), (None, None, "bin"))

    def test_ids_are_never_reused(self):
        seen = set()
        for _ in range(2000):
            obj = self.c.call("put", 1)
            self.assertNotIn(obj, seen)
            self.assertTrue(0 < obj < 2 ** 53 and obj & 0x80000000 == 0)
            seen.add(obj)
            self.c.call("release", obj)
        for reply in self.c.pipeline([("get", obj) for obj in seen]):
            self.assertEqual(reply.exception().code, "GONE")

    def test_put_seal(self):
        obj = self.c.call("put", 1, {"seal": True})
        self.assertEqual(self.c.call("inspect", obj)["state"], "sealed")
        self.assertCode("SEALED", self.c, "set", obj, 2)
        self.assertEqual(self.c.call("inspect", self.c.call("put", 1, {"seal": False}))["state"], "mutable")

    def test_put_badarg(self):
        c = self.pool_client()
        for options in ({"tag": 1}, {"tag": ""}, {"tag": "x" * 256}, {"tag": "a\x01"}, {"tag": "a\x7f"},
                        {"tag": Raw(b"\xa1\xff")}, {"tag": Raw(b"\xa2\xc0\x80")}, {"tag": Raw(b"\xa3\xed\xa0\x80")},
                        {"site": "\n"}, {"site": []}, {"refs": 1}, {"refs": {}}, {"refs": ["x"]}, {"refs": [0]},
                        {"refs": [-1]}, {"refs": [[1]]}, {"size": -1}, {"size": "1"}, {"seal": 1}, {"seal": "true"}):
            with self.subTest(options):
                self.assertCode("BADARG", c, "put", None, options)
        self.assertCode("BADARG", c, "put", "value", {"size": 5})
        self.assertEqual(c.call("stats", "objects")["count"], 0)

    def test_tag_and_site_of_255_bytes(self):
        text = "ü" * 127 + "x"
        obj = self.c.call("put", 1, {"tag": text, "site": text})
        row = self.c.call("inspect", obj)
        self.assertEqual((row["tag"], row["site"]), (text, text))

    def test_many_tags(self):
        # Tags in use are limited, and free again when nothing uses them.
        c = self.pool_client()
        plain = c.call("put", 1)
        ids, error = [], None
        while error is None:
            tags = range(len(ids), len(ids) + 500)
            for reply in c.pipeline([("put", tag, {"tag": "tag %d" % tag}) for tag in tags]):
                if reply.error:
                    error = error or reply.exception()
                else:
                    ids.append(reply.result)
            self.assertLess(len(ids), 1000000)
        self.assertEqual(error.code, "LIMIT")
        self.assertGreater(len(ids), 10000)
        self.assertCode("LIMIT", c, "store", "n", 1, {"tag": "another"})
        self.assertCode("LIMIT", c, "put_many", [["x"], ["y", None, {"tag": "another"}]])
        self.assertCode("NOTFOUND", c, "lookup", "n")
        self.assertEqual(c.call("retain", plain, 1), 2)
        self.assertEqual(c.call("stats", "objects")["count"], len(ids) + 1)
        # The tags in use may be used again, and one that has ended makes room for another.
        self.assertEqual(c.call("inspect", c.call("put", 1, {"tag": "tag 5"}))["tag"], "tag 5")
        c.call("release", ids[7])
        self.assertEqual(c.call("inspect", c.call("put", 1, {"tag": "another"}))["tag"], "another")
        self.assertVerified(c)

    def test_put_refs(self):
        c = self.pool_client()
        a, b = c.call("put", "a"), c.call("put", "b")
        node = c.call("put", None, {"refs": [a, None, b, a]})
        self.assertEqual(c.call("refs", node), [a, None, b, a])
        self.assertEqual(c.call("inspect", node)["slots"], 4)
        self.assertEqual(c.call("inspect", a)["held_by"], {"sessions": 1, "slots": 2, "names": 0, "tickets": 0})
        self.assertEqual(self.count(c, a), 3)
        gone = dead_id(c)
        self.assertCode("GONE", c, "put", None, {"refs": [a, b, gone]})
        self.assertEqual((self.count(c, a), self.count(c, b)), (3, 2))
        self.assertEqual(c.call("stats", "objects")["count"], 3)
        self.assertEqual(c.call("release", [a, b]), [0, 0])
        self.assertEqual(c.call("get", a), "a")
        self.assertEqual(c.call("release", node), 0)
        self.assertGone(c, a)
        self.assertGone(c, b)
        self.assertVerified(c)

    def test_many_refs(self):
        c = self.pool_client()
        leaf = c.call("put", "leaf")
        for slots in (1, 2, 3, 4, 5, 8, 9, 100, 1000, 1024):
            node = c.call("put", None, {"refs": [leaf] * slots})
            self.assertEqual(c.call("refs", node), [leaf] * slots)
            self.assertEqual(self.count(c, leaf), 1 + slots)
            c.call("release", node)
            self.wait_backlog(c)
            self.assertEqual(self.count(c, leaf), 1)
        # More than one reply may list.
        node = c.call("put", None, {"refs": [leaf] * 1025})
        self.assertCode(("TOOBIG", "LIMIT"), c, "refs", node)
        self.assertCode(("LIMIT", "BADARG", "TOOBIG"), c, "put", None, {"refs": [leaf] * 20000})
        self.assertVerified(c)

    def test_get(self):
        ids = self.c.call("put_many", [["a"], [b"b"], [3]])
        self.assertEqual(self.c.call("get", ids), ["a", b"b", 3])
        self.assertEqual(self.c.call("get", [ids[0], ids[0]]), ["a", "a"])
        self.assertEqual(self.c.call("get", []), [])
        self.assertEqual(self.c.call("get", ids[0], {"version": False}), "a")
        value, version = self.c.call("get", ids[0], {"version": True})
        self.assertEqual(value, "a")
        pairs = self.c.call("get", ids, {"version": True})
        self.assertEqual([pair[0] for pair in pairs], ["a", b"b", 3])
        self.assertEqual(pairs[0][1], version)
        self.assertEqual(self.c.call("get", ids[:2], {"offset": 0, "len": 1}), [b"a", b"b"])

    def test_get_errors(self):
        obj = self.c.call("put", "x")
        gone = dead_id(self.c)
        self.assertCode("GONE", self.c, "get", gone)
        error = self.assertCode("GONE", self.c, "get", [obj, obj, gone, gone])
        self.assertEqual(error.fields.get("index"), "2", error.text)
        error = self.assertCode("BADARG", self.c, "get", [obj, "x"])
        self.assertEqual(error.fields.get("index"), "1", error.text)
        number = self.c.call("put", 5)
        self.assertCode("BADARG", self.c, "get", number, {"offset": 0})
        self.assertCode("BADARG", self.c, "get", number, {"len": 1})
        self.assertCode("BADARG", self.c, "get", obj, {"offset": -1})
        self.assertCode("BADARG", self.c, "get", obj, {"version": 1})
        self.assertCode(("LIMIT", "BADARG", "TOOBIG"), self.c, "get", [obj] * (IDS_MAX + 1))
        self.assertEqual(self.c.call("get", [obj] * IDS_MAX), ["x"] * IDS_MAX)

    def test_reply_too_big(self):
        c = self.pool_client()
        half = c.call("put", bytes(40 * 1024 * 1024))
        error = self.assertCode("TOOBIG", c, "get", [half, half])
        self.assertIn("offset", error.text)
        self.assertEqual(c.call("get", half, {"offset": 40 * 1024 * 1024 - 4}), bytes(4))
        c.call("release", half)

    def test_largest_value(self):
        c = self.pool_client()
        body = bytes(range(256)) * (VALUE_MAX // 256)
        over = Raw(b"\xc6" + (VALUE_MAX + 1).to_bytes(4, "big") + body + b"x")
        self.assertCode("TOOBIG", c, "put", over)
        size = VALUE_MAX - 5
        exact = Raw(b"\xc6" + size.to_bytes(4, "big") + body[:size])
        obj = c.call("put", exact)
        self.assertEqual(c.reply("get", obj).result_raw, bytes(exact))
        self.assertCode("TOOBIG", c, "set", obj, over)
        self.assertCode("TOOBIG", c, "store", "big", over)
        self.assertEqual(c.call("release", obj), 0)

    def test_set(self):
        obj = self.c.call("put", "a")
        _, v0 = self.c.call("get", obj, {"version": True})
        v1 = self.c.call("set", obj, "b")
        self.assertGreater(v1, v0)
        self.assertEqual(self.c.call("get", obj, {"version": True}), ["b", v1])
        other = self.c.call("put", "c")
        v2 = self.c.call("set", other, "d")
        self.assertGreater(v2, v1, "one counter of the pool")
        v3 = self.c.call("set", obj, "e", {"if_version": v1})
        self.assertGreater(v3, v2)
        self.assertCode("CONFLICT", self.c, "set", obj, "f", {"if_version": v1})
        self.assertCode("CONFLICT", self.c, "set", obj, "f", {"if_version": 0})
        self.assertEqual(self.c.call("get", obj, {"version": True}), ["e", v3])
        self.assertCode("GONE", self.c, "set", dead_id(self.c), 1)
        # A set changes the value only.
        node = self.c.call("put", 1, {"refs": [obj], "tag": "t"})
        self.c.call("set", node, "x" * 10000)
        row = self.c.call("inspect", node)
        self.assertEqual((row["slots"], row["tag"], row["count"], row["state"]), (1, "t", 1, "mutable"))
        self.assertEqual(self.c.call("refs", node), [obj])

    def test_set_of_the_first_version(self):
        obj = self.c.call("put", "a")
        version = self.c.call("get", obj, {"version": True})[1]
        self.assertGreater(self.c.call("set", obj, "b", {"if_version": version}), version)

    def test_set_through_all_sizes(self):
        c = self.pool_client()
        obj = c.call("put", None)
        for size in [0, 1, 8, 9, 100, 5000, 70000, 300000, 5000000, 300000, 70, 3, 0]:
            c.call("set", obj, b"v" * size)
            self.assertEqual(c.call("get", obj), b"v" * size)
        self.assertVerified(c)

    def test_versions_of_everything_from_one_counter(self):
        c = self.pool_client()
        obj = c.call("put", 1)
        seen = [c.call("set", obj, 2), c.call("name", "n", obj), c.call("store", "s", 1)[1], c.call("set", obj, 3),
                c.call("store", "s", 2)[1], c.call("name", "n", obj)]
        self.assertEqual(seen, sorted(set(seen)))

    def test_open_objects(self):
        other = self.client()
        obj = self.c.call("put", None, {"size": 10})
        for client in (self.c, other):
            self.assertCode("UNSEALED", client, "get", obj)
            self.assertCode("UNSEALED", client, "get", obj, {"offset": 0, "len": 1})
            self.assertCode("UNSEALED", client, "set", obj, 1)
            self.assertCode("UNSEALED", client, "link", obj, 0, None)
            self.assertCode("UNSEALED", client, "link", client.call("put", 1), 0, obj)
            self.assertCode("UNSEALED", client, "retain", obj)
            self.assertCode("UNSEALED", client, "put", 1, {"refs": [obj]})
            self.assertCode("UNSEALED", client, "put_many", [[1, [obj]]])
            self.assertCode("UNSEALED", client, "name", "open", obj)
            error = self.assertCode("UNSEALED", client, "get", [client.call("put", 1), obj])
            self.assertEqual(error.fields.get("index"), "1")
        self.assertCode("UNSEALED", self.c, "share", obj)
        self.assertCode("UNSEALED", other, "write", obj, 0, b"x")
        self.assertCode("UNSEALED", other, "seal", obj)
        self.assertCode(("UNSEALED", "NOPERM", "NOTHELD"), other, "release", obj)
        self.assertEqual(self.c.call("write", obj, 2, b"abc"), 3)
        self.assertEqual(self.c.call("write", obj, 10, b""), 0)
        self.assertEqual(self.c.call("write", obj, 9, b"z"), 1)
        self.assertCode("BADARG", self.c, "write", obj, 10, b"x")
        self.assertCode("BADARG", self.c, "write", obj, 5, b"123456")
        self.assertCode("BADARG", self.c, "write", obj, 2 ** 40, b"x")
        self.assertCode("BADARG", self.c, "write", obj, 0, 5)
        self.assertIs(self.c.call("seal", obj), True)
        self.assertEqual(other.call("get", obj), b"\0\0abc\0\0\0\0z")
        self.assertEqual(other.call("retain", obj), 1)
        self.assertCode("SEALED", self.c, "write", obj, 0, b"x")
        row = self.c.call("inspect", obj)
        self.assertEqual((row["state"], row["type"]), ("sealed", "bin"))

    def test_open_object_released_by_its_creator(self):
        c = self.pool_client()
        obj = c.call("put", None, {"size": 1000000})
        c.call("write", obj, 500000, b"x" * 100000)
        self.assertEqual(c.call("release", obj), 0)
        self.assertGone(c, obj)
        self.assertEqual(c.call("stats", "objects")["count"], 0)
        self.assertVerified(c)

    def test_open_object_of_many_megabytes(self):
        c = self.pool_client()
        size = 70 * 1024 * 1024
        piece = bytes(range(256)) * 4096
        obj = c.call("put", None, {"size": size})
        for i in range(size // len(piece)):
            self.assertEqual(c.call("write", obj, i * len(piece), piece), len(piece))
        c.call("seal", obj)
        self.assertCode("TOOBIG", c, "get", obj)
        for offset in (0, 12345 * 256, size - len(piece)):
            self.assertEqual(c.call("get", obj, {"offset": offset, "len": len(piece)}), piece)
        self.assertGreaterEqual(c.call("inspect", obj)["size"], size)
        self.assertEqual(c.call("release", obj), 0)

    def test_write_to_other_objects(self):
        self.assertCode(("BADARG", "SEALED"), self.c, "write", self.c.call("put", b"abc"), 0, b"x")
        self.assertCode("SEALED", self.c, "write", self.c.call("put", b"abc", {"seal": True}), 0, b"x")
        self.assertCode("GONE", self.c, "write", dead_id(self.c), 0, b"x")

    def test_open_with_refs(self):
        leaf = self.c.call("put", "leaf")
        obj = self.c.call("put", None, {"size": 4, "refs": [leaf], "tag": "t"})
        self.assertEqual(self.count(self.c, leaf), 2)
        self.c.call("seal", obj)
        self.assertEqual(self.c.call("refs", obj), [leaf])
        self.c.call("release", obj)
        self.assertEqual(self.count(self.c, leaf), 1)

    def test_seal(self):
        leaf = self.c.call("put", "leaf")
        obj = self.c.call("put", "x", {"refs": [leaf]})
        version = self.c.call("get", obj, {"version": True})[1]
        self.assertIs(self.c.call("seal", obj), True)
        self.assertIs(self.c.call("seal", obj), True)
        self.assertCode("SEALED", self.c, "set", obj, "y")
        self.assertCode("SEALED", self.c, "set", obj, "y", {"if_version": version})
        self.assertCode("SEALED", self.c, "link", obj, 0, None)
        self.assertCode("SEALED", self.c, "link", obj, 1, leaf)
        self.assertEqual(self.c.call("get", obj), "x")
        self.assertEqual(self.c.call("refs", obj), [leaf])
        self.assertCode("GONE", self.c, "seal", dead_id(self.c))

    def test_link(self):
        a, b = self.c.call("put", "a"), self.c.call("put", "b")
        node = self.c.call("put", None)
        self.assertEqual(self.c.call("refs", node), [])
        self.assertIsNone(self.c.call("link", node, 0, a))
        self.assertIsNone(self.c.call("link", node, 1, None))
        self.assertIsNone(self.c.call("link", node, 2, b))
        self.assertEqual(self.c.call("refs", node), [a, None, b])
        self.assertCode("BADARG", self.c, "link", node, 4, a)
        self.assertCode("BADARG", self.c, "link", node, 2 ** 40, a)
        self.assertCode("BADARG", self.c, "link", node, -1, a)
        self.assertCode("BADARG", self.c, "link", node, 0, "a")
        self.assertEqual(self.c.call("link", node, 0, b), a)
        self.assertEqual(self.c.call("link", node, 0, None), b)
        self.assertIsNone(self.c.call("link", node, 0, a))
        self.assertCode("GONE", self.c, "link", node, 0, dead_id(self.c))
        self.assertCode("GONE", self.c, "link", dead_id(self.c), 0, a)
        self.assertEqual(self.c.call("refs", node), [a, None, b])
        self.assertEqual((self.count(self.c, a), self.count(self.c, b)), (2, 2))
        # A slot alone keeps its target; dropping it kills.
        self.c.call("release", a)
        self.assertEqual(self.c.call("get", a), "a")
        self.assertEqual(self.c.call("link", node, 0, None), a)
        self.assertGone(self.c, a)

    def test_link_to_itself_and_replace_by_itself(self):
        c = self.pool_client()
        a = c.call("put", "a")
        node = c.call("put", None, {"refs": [a]})
        c.call("release", a)
        self.assertEqual(c.call("link", node, 0, a), a)
        self.assertEqual(self.count(c, a), 1)
        self.assertIsNone(c.call("link", node, 1, node))
        self.assertEqual(self.count(c, node), 2)
        self.assertEqual(c.call("link", node, 1, None), node)
        self.assertEqual(c.call("release", node), 0)
        self.assertGone(c, a)
        self.assertEqual(c.call("stats", "objects")["count"], 0)

    def test_links_growing_far(self):
        c = self.pool_client()
        leaf, node = c.call("put_many", [["leaf"], [None]])
        c.results([("link", node, i, leaf) for i in range(20000)])
        self.assertEqual(self.count(c, leaf), 20001)
        self.assertEqual(c.call("inspect", node)["slots"], 20000)
        self.assertEqual(c.call("link", node, 19999, None), leaf)
        self.assertEqual(c.call("link", node, 0, None), leaf)
        c.call("release", node)
        self.wait_backlog(c)
        self.assertEqual(self.count(c, leaf), 1)
        self.assertVerified(c)


class PutMany(WireTest):
    def test_graph(self):
        c = self.pool_client()
        old = c.call("put", "old")
        a, b, d = c.call("put_many", [["a", [-2, -3, None, old]], ["b", [-1], {"tag": "t"}], ["c", None, {"seal": True}]])
        self.assertEqual(len({a, b, d, old}), 4)
        self.assertEqual(c.call("refs", a), [b, d, None, old])
        self.assertEqual(c.call("refs", b), [a])
        self.assertEqual(c.call("refs", d), [])
        self.assertEqual([self.count(c, obj) for obj in (a, b, d, old)], [2, 2, 2, 2])
        self.assertEqual(c.call("inspect", b)["tag"], "t")
        self.assertEqual(c.call("inspect", d)["state"], "sealed")
        c.call("gc_config", {"enabled": False})
        self.assertEqual(c.call("release", [a, b, d]), [0, 0, 0])
        # a and b are a cycle: they stay until a collection is asked for.
        self.assertEqual(c.call("get", [a, b, d]), ["a", "b", "c"])
        self.assertVerified(c)

    def test_self_reference(self):
        c = self.pool_client()
        (a,) = c.call("put_many", [["a", [-1]]])
        self.assertEqual(c.call("refs", a), [a])
        self.assertEqual(self.count(c, a), 2)

    def test_empty(self):
        self.assertEqual(self.c.call("put_many", []), [])

    def test_all_or_nothing(self):
        c = self.pool_client()
        old, gone = c.call("put", "old"), dead_id(c)
        for code, index, bad in (("GONE", 1, ["x", [gone]]), ("BADARG", 1, ["x", [-4]]), ("BADARG", 1, ["x", [0]]),
                                 ("BADARG", 1, ["x", ["y"]]), ("BADARG", 1, "x"), ("BADARG", 1, []),
                                 ("BADARG", 1, ["x", None, {"bogus": 1}]), ("BADARG", 1, ["x", None, {}, 1]),
                                 ("BADARG", 1, ["x", None, {"tag": ""}]), ("BADARG", 1, ["x", old])):
            with self.subTest(bad):
                error = self.assertCode(code, c, "put_many", [["a", [old, -2, -3]], bad, ["c", [-1]]])
                self.assertEqual(error.fields.get("index"), str(index), error.text)
                self.assertEqual(c.call("stats", "objects")["count"], 1)
                self.assertEqual(self.count(c, old), 1)
        self.assertCode("BADARG", c, "put_many", "x")
        self.assertCode("BADARG", c, "put_many", {})
        self.assertVerified(c)

    def test_1024_items(self):
        c = self.pool_client()
        items = [[i, [-((i + 1) % IDS_MAX) - 1]] for i in range(IDS_MAX)]
        ids = c.call("put_many", items)
        self.assertEqual(c.call("refs", ids[-1]), [ids[0]])
        self.assertCode(("LIMIT", "BADARG", "TOOBIG"), c, "put_many", items + [["x"]])
        self.assertEqual(c.call("stats", "objects")["count"], IDS_MAX)


if __name__ == "__main__":
    unittest.main()
