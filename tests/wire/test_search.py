#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""referrers and why over the wire: rows, pages, errors, beside other clients."""
from common import WireTest, unittest


def pages(client, obj, limit):
    cursor, found = client.call("referrers", obj, 0, {"limit": limit})
    while cursor != 0:
        cursor, page = client.call("referrers", obj, cursor, {"limit": limit})
        found += page
    return found


class Search(WireTest):
    def test_referrers(self):
        c = self.pool_client()
        leaf = c.call("put", "leaf")
        nodes = c.results([("put", i, {"refs": [leaf, leaf]}) for i in range(3000)])
        self.assertEqual(sorted(pages(c, leaf, 7)), sorted(nodes))
        cursor, page = c.call("referrers", leaf, 0)
        self.assertEqual(len(page), 1024)
        self.assertNotEqual(cursor, 0)
        self.assertEqual(c.call("referrers", nodes[0]), [0, []])
        self.assertCode("BADARG", c, "referrers")
        self.assertCode("BADARG", c, "referrers", leaf, 0, {"limit": 0})
        self.assertCode("BADARG", c, "referrers", leaf, "0")
        c.call("release", leaf)
        self.assertEqual(c.call("referrers", leaf, 0, {"limit": 1})[1], [nodes[0]])
        self.assertVerified(c)

    def test_why(self):
        c = self.pool_client(name="who-asks")
        leaf = c.call("put", "leaf")
        middle = c.call("put", 1, {"refs": [None, leaf]})
        top = c.call("put", 2, {"refs": [middle]})
        c.call("release", [leaf, middle])
        found = c.call("why", leaf)
        self.assertEqual(found["path"], [top, middle, leaf])
        self.assertEqual(found["length"], 3)
        self.assertEqual((found["holder"]["kind"], found["holder"]["name"]), ("session", "who-asks"))
        c.call("name", "top", top)
        c.call("release", top)
        self.assertEqual(c.call("why", leaf)["holder"], {"kind": "name", "name": "top"})
        self.assertEqual(c.call("why", top)["path"], [top])
        c.call("unname", "top")
        self.assertCode("GONE", c, "why", leaf)
        self.assertCode("GONE", c, "referrers", leaf)
        self.assertCode("BADARG", c, "why")

    def test_a_cycle_has_no_holder(self):
        c = self.pool_client()
        c.call("gc_config", {"enabled": False})
        a = c.call("put", "a", {"refs": [None]})
        b = c.call("put", "b", {"refs": [a]})
        c.call("link", a, 0, b)
        c.call("release", [a, b])
        self.assertEqual(c.call("why", a), {"holder": None})
        self.assertEqual(c.call("referrers", a), [0, [b]])

    def test_others_are_served_meanwhile(self):
        c = self.pool_client()
        other = self.client({"pool": c.hello_result["pool"]})
        ids = []
        for _ in range(100):
            ids += c.call("put_many", [[i] for i in range(1000)])
        last = c.call("put", "last", {"refs": [ids[-1]]})
        c.call("release", ids[-1])
        c.request("why", ids[-1])
        self.assertIs(type(other.call("ping")), int)
        self.assertEqual(c.recv().value()["path"], [last, ids[-1]])


if __name__ == "__main__":
    unittest.main()
