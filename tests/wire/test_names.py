#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Names, and values that are stored under them; the shape of each result, its errors, its edges."""
from common import IDS_MAX, WireTest, dead_id, unittest, walk_cursor


class Names(WireTest):
    BAD = ["", "x" * 256, "a\0b", "a\nb", "a\x7fb", "\x1f", "é" * 128, b"", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
           5, None, [], {}]
    GOOD = ["x", "x" * 255, "é" * 127, "a b/c:d", "\u20ac", "\U0001F600", "."]

    def test_name_lookup_unname(self):
        obj = self.c.call("put", "x")
        version = self.c.call("name", "n", obj)
        self.assertIs(type(version), int)
        self.assertEqual(self.c.call("inspect", obj)["held_by"], {"sessions": 1, "slots": 0, "names": 1, "tickets": 0})
        other = self.client()
        self.assertEqual(other.call("lookup", "n"), obj)
        self.assertEqual(other.call("lookup", "n", {"version": True}), [obj, version])
        self.assertEqual(self.count(self.c, obj), 4)
        self.assertEqual(other.call("release", obj, 2), 0)
        self.c.call("release", obj)
        self.assertEqual(self.c.call("get", obj), "x", "a name is strong")
        self.assertIs(self.c.call("unname", "n"), True)
        self.assertGone(self.c, obj)
        self.assertCode("NOTFOUND", self.c, "lookup", "n")
        self.assertCode("NOTFOUND", self.c, "unname", "n")

    def test_name_replaces(self):
        a, b = self.c.call("put_many", [["a"], ["b"]])
        v1 = self.c.call("name", "n", a)
        v2 = self.c.call("name", "n", b)
        self.assertGreater(v2, v1)
        self.assertEqual((self.count(self.c, a), self.count(self.c, b)), (1, 2))
        self.c.call("name", "n", b)
        self.assertEqual(self.count(self.c, b), 2)
        self.assertEqual(self.c.call("lookup", "n"), b)
        self.c.call("unname", "n")

    def test_if_version(self):
        a, b = self.c.call("put_many", [["a"], ["b"]])
        v1 = self.c.call("name", "n", a, {"if_version": 0})
        self.assertCode("CONFLICT", self.c, "name", "n", b, {"if_version": 0})
        self.assertCode("CONFLICT", self.c, "name", "n", b, {"if_version": v1 + 1})
        v2 = self.c.call("name", "n", b, {"if_version": v1})
        self.assertCode("CONFLICT", self.c, "unname", "n", {"if_version": v1})
        self.assertCode("CONFLICT", self.c, "name", "m", b, {"if_version": v2})
        self.assertIs(self.c.call("unname", "n", {"if_version": v2}), True)
        self.assertCode("NOTFOUND", self.c, "unname", "n", {"if_version": v2})
        self.assertEqual((self.count(self.c, a), self.count(self.c, b)), (1, 1))

    def test_name_errors(self):
        obj = self.c.call("put", "x")
        self.assertCode("GONE", self.c, "name", "n", dead_id(self.c))
        for name in self.BAD:
            with self.subTest(name):
                self.assertCode("BADARG", self.c, "name", name, obj)
                self.assertCode("BADARG", self.c, "store", name, 1)
                if name != []:
                    self.assertCode("BADARG", self.c, "lookup", name)
                    self.assertCode("BADARG", self.c, "fetch", name)
                    self.assertCode("BADARG", self.c, "unname", name)
        self.assertEqual(self.c.call("names", 0), [0, []])
        self.assertEqual(self.count(self.c, obj), 1)

    def test_good_names(self):
        obj = self.c.call("put", "x")
        for name in self.GOOD:
            self.c.call("name", name, obj)
            self.assertEqual(self.c.call("lookup", name), obj)
            self.assertIs(self.c.call("unname", name), True)

    def test_lookup_arrays(self):
        a, b = self.c.call("put_many", [["a"], ["b"]])
        va, vb = self.c.call("name", "a", a), self.c.call("name", "b", b)
        self.assertEqual(self.c.call("lookup", ["a", "b", "a"]), [a, b, a])
        self.assertEqual([self.count(self.c, obj) for obj in (a, b)], [4, 3])
        self.assertEqual(self.c.call("lookup", ["b", "a"], {"version": True}), [[b, vb], [a, va]])
        error = self.assertCode("NOTFOUND", self.c, "lookup", ["a", "no", "b", "none"])
        self.assertEqual(error.fields.get("index"), "1", error.text)
        error = self.assertCode("BADARG", self.c, "lookup", ["a", 5])
        self.assertEqual(error.fields.get("index"), "1", error.text)
        self.assertEqual([self.count(self.c, obj) for obj in (a, b)], [5, 4])
        self.assertEqual(self.c.call("lookup", []), [])
        self.c.call("unname", ["a", "b"])

    def test_unname_arrays(self):
        obj = self.c.call("put", "x")
        for name in "abc":
            self.c.call("name", name, obj)
        error = self.assertCode("NOTFOUND", self.c, "unname", ["a", "b", "no"])
        self.assertEqual(error.fields.get("index"), "2", error.text)
        error = self.assertCode("NOTFOUND", self.c, "unname", ["a", "b", "a"])
        self.assertEqual(error.fields.get("index"), "2", error.text)
        self.assertEqual(self.count(self.c, obj), 4)
        self.assertEqual(self.c.call("unname", ["a", "c"]), [True, True])
        self.assertEqual(self.count(self.c, obj), 2)
        self.assertEqual(self.c.call("unname", ["b"]), [True])

    def test_two_names_of_one_object(self):
        obj = self.c.call("put", "x")
        names = ["n%d" % i for i in range(30)]
        for name in names:
            self.c.call("name", name, obj)
        self.assertEqual(self.c.call("inspect", obj)["held_by"]["names"], 30)
        self.assertEqual(sorted(row["name"] for row in self.c.call("holders", obj) if row["kind"] == "name"), sorted(names))
        self.c.call("unname", names)

    def test_names(self):
        c = self.pool_client()
        obj = c.call("put", "x")
        expected = []
        for i in range(300):
            name = "%s/%d" % ("odd" if i % 2 else "even", i)
            c.call("name", name, obj)
            expected.append([name, obj])
        self.assertEqual(sorted(walk_cursor(c, "names", {})), sorted(expected))
        self.assertEqual(sorted(walk_cursor(c, "names", {"limit": 7})), sorted(expected))
        odd = walk_cursor(c, "names", {"prefix": "odd/", "limit": 10})
        self.assertEqual(sorted(odd), sorted(row for row in expected if row[0].startswith("odd/")))
        self.assertEqual(walk_cursor(c, "names", {"prefix": "none"}), [])
        cursor, page = c.call("names", 0, {"limit": 1})
        self.assertEqual(len(page), 1)
        self.assertNotEqual(cursor, 0)
        self.assertEqual(self.count(c, obj), 301, "listing names takes no hold")
        for options in ({"limit": 0}, {"limit": -1}, {"limit": "x"}, {"prefix": 5}):
            self.assertCode("BADARG", c, "names", 0, options)
        self.assertCode("BADARG", c, "names", "x")
        # Any number is a cursor: it finds something or nothing, and harms nothing.
        for cursor in (1, 12345, 2 ** 31, 2 ** 40, 2 ** 53 - 1):
            self.assertIn(c.reply("names", cursor).error and c.error("names", cursor).code, (None, "BADARG"))

    def test_names_cursor_across_growth_and_shrinking(self):
        c = self.pool_client()
        obj = c.call("put", "x")
        constant = ["stay%04d" % i for i in range(1000)]
        c.results([("name", name, obj) for name in constant])
        c.results([("name", "old%04d" % i, obj) for i in range(3000)])
        step = [0]

        def between():
            i = step[0]
            step[0] += 1
            c.results([("name", "new%06d" % (i * 200 + j), obj) for j in range(200)])
            if i < 30:
                c.results([("unname", "old%04d" % (i * 100 + j)) for j in range(100)])

        seen, cursor, turns = set(), 0, 0
        while True:
            cursor, page = c.call("names", cursor, {"limit": 100})
            seen.update(row[0] for row in page)
            if cursor == 0:
                break
            if turns < 60:
                between()
            turns += 1
        self.assertGreater(turns, 5)
        self.assertLessEqual(set(constant), seen)

    def test_names_page_has_a_maximum(self):
        c = self.pool_client()
        obj = c.call("put", "x")
        c.results([("name", "n%d" % i, obj) for i in range(1500)])
        reply = c.reply("names", 0, {"limit": 5000})
        if reply.error:
            self.assertEqual(reply.exception().code, "BADARG")
        else:
            self.assertLessEqual(len(reply.result[1]), IDS_MAX)
        self.assertEqual(len({row[0] for row in walk_cursor(c, "names", {"limit": IDS_MAX})}), 1500)


class Store(WireTest):
    def test_store_fetch(self):
        c = self.pool_client()
        obj, version = c.call("store", "n", {"a": [1, 2]}, {"tag": "cache"})
        self.assertEqual(c.call("fetch", "n"), {"a": [1, 2]})
        self.assertEqual(c.call("fetch", "n", {"version": True}), [{"a": [1, 2]}, version])
        row = c.call("inspect", obj)
        self.assertEqual((row["count"], row["held_by"]["names"], row["tag"]), (1, 1, "cache"))
        self.assertCode("NOTHELD", c, "release", obj)
        self.assertEqual(c.call("lookup", "n", {"version": True}), [obj, version])
        other, later = c.call("store", "n", "new")
        self.assertGreater(later, version)
        self.assertNotEqual(other, obj)
        self.assertEqual(c.call("get", obj), {"a": [1, 2]}, "a held value stays")
        self.assertEqual(c.call("release", obj), 0)
        self.assertGone(c, obj)
        c.call("unname", "n")
        self.assertGone(c, other)
        self.assertCode("NOTFOUND", c, "fetch", "n")
        self.assertEqual(c.call("stats", "objects")["count"], 0)

    def test_if_version(self):
        _, v1 = self.c.call("store", "n", 1, {"if_version": 0})
        self.assertCode("CONFLICT", self.c, "store", "n", 2, {"if_version": 0})
        obj, v2 = self.c.call("store", "n", 2, {"if_version": v1})
        self.assertCode("CONFLICT", self.c, "store", "n", 3, {"if_version": v1})
        self.assertCode("CONFLICT", self.c, "store", "other", 3, {"if_version": v2})
        self.assertEqual(self.c.call("fetch", "n", {"version": True}), [2, v2])
        self.assertEqual(self.count(self.c, obj), 1)
        self.assertCode("NOTFOUND", self.c, "fetch", "other")
        self.c.call("unname", "n")

    def test_fetch_arrays(self):
        versions = [self.c.call("store", name, name.upper())[1] for name in "abc"]
        self.assertEqual(self.c.call("fetch", ["a", "c", "a"]), ["A", "C", "A"])
        self.assertEqual(self.c.call("fetch", ["a", "b"], {"version": True}), [["A", versions[0]], ["B", versions[1]]])
        error = self.assertCode("NOTFOUND", self.c, "fetch", ["a", "no", "b"])
        self.assertEqual(error.fields.get("index"), "1", error.text)
        self.assertEqual(self.c.call("fetch", []), [])
        self.c.call("unname", list("abc"))

    def test_fetch_too_big(self):
        c = self.pool_client()
        c.call("store", "half", bytes(40 * 1024 * 1024))
        self.assertCode("TOOBIG", c, "fetch", ["half", "half"])
        c.call("unname", "half")

    def test_store_many_names(self):
        c = self.pool_client()
        c.results([("store", "name-%06d" % i, i) for i in range(20000)])
        self.assertEqual(c.call("stats", "names")["count"], 20000)
        self.assertEqual(c.results([("fetch", "name-%06d" % i) for i in range(20000)]), list(range(20000)))
        c.results([("unname", ["name-%06d" % i for i in range(start, start + 1000)]) for start in range(0, 20000, 1000)])
        self.assertEqual(c.call("stats", "names")["count"], 0)
        self.assertEqual(c.call("stats", "objects")["count"], 0)
        self.assertVerified(c)


if __name__ == "__main__":
    unittest.main()
