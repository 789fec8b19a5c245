#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who holds: retain and release, tickets; the shape of each result, its errors, its edges."""
from common import IDS_MAX, RpcError, WireTest, dead_id, poll, unittest


class Counts(WireTest):
    def test_retain_release(self):
        obj = self.c.call("put", "x")
        other = self.client()
        self.assertEqual(self.c.call("retain", obj), 2)
        self.assertEqual(self.c.call("retain", obj, 5), 7)
        self.assertEqual(other.call("retain", obj, 2), 2)
        self.assertEqual(self.count(self.c, obj), 9)
        self.assertCode("NOTHELD", other, "release", obj, 3)
        self.assertEqual(self.count(self.c, obj), 9)
        self.assertEqual(other.call("release", obj, 2), 0)
        self.assertCode("NOTHELD", other, "release", obj)
        self.assertEqual(self.c.call("release", obj, 6), 1)
        self.assertCode("NOTHELD", self.c, "release", obj, 2)
        self.assertEqual(self.c.call("release", obj), 0)
        self.assertCode("GONE", self.c, "retain", obj)
        self.assertCode("NOTHELD", self.c, "release", obj)

    def test_n_out_of_range(self):
        obj = self.c.call("put", "x")
        for n in (0, 2 ** 53 - 1, -1):
            self.assertCode("BADARG", self.c, "retain", obj, n)
            self.assertCode("BADARG", self.c, "release", obj, n)
        self.assertEqual(self.count(self.c, obj), 1)

    def test_count_has_a_maximum(self):
        obj = self.c.call("put", "x")
        held, error = 1, None
        for _ in range(64):
            reply = self.c.reply("retain", obj, 10 ** 9 // 16)
            if reply.error:
                error = RpcError(reply.error)
                break
            held += 10 ** 9 // 16
            self.assertEqual(reply.result, held)
        if error:
            self.assertIn(error.code, ("LIMIT", "QUOTA"))
        self.assertEqual(self.count(self.c, obj), held)
        self.assertCode(("LIMIT", "QUOTA", "BADARG"), self.c, "retain", [obj] * IDS_MAX, 10 ** 9)
        self.assertEqual(self.count(self.c, obj), held)

    def test_arrays(self):
        a, b = self.c.call("put_many", [["a"], ["b"]])
        self.assertEqual(self.c.call("retain", [a, a, b]), [2, 3, 2])
        self.assertEqual(self.c.call("retain", [a, b], 10), [13, 12])
        self.assertEqual(self.c.call("release", [b, a, b], 5), [7, 8, 2])
        self.assertEqual(self.c.call("retain", []), [])
        self.assertEqual(self.c.call("release", []), [])

    def test_arrays_all_or_nothing(self):
        a, b = self.c.call("put_many", [["a"], ["b"]])
        gone = dead_id(self.c)
        error = self.assertCode("GONE", self.c, "retain", [a, b, gone, a, gone])
        self.assertEqual(error.fields.get("index"), "2", error.text)
        error = self.assertCode("NOTHELD", self.c, "release", [a, b, gone])
        self.assertEqual(error.fields.get("index"), "2", error.text)
        error = self.assertCode("NOTHELD", self.c, "release", [a, b, a])
        self.assertEqual(error.fields.get("index"), "2", error.text)
        error = self.assertCode("NOTHELD", self.c, "release", [a, b], 2)
        self.assertEqual(error.fields.get("index"), "0", error.text)
        error = self.assertCode("BADARG", self.c, "release", [a, None])
        self.assertEqual(error.fields.get("index"), "1", error.text)
        self.assertEqual([self.count(self.c, obj) for obj in (a, b)], [1, 1])
        self.assertEqual(self.c.call("release", [a, b]), [0, 0])

    def test_release_of_an_array_that_holds_another(self):
        # The first release kills neither: each is held by the session until its own turn.
        a = self.c.call("put", "a")
        b = self.c.call("put", "b", {"refs": [a]})
        self.assertEqual(self.c.call("release", [b, a]), [0, 0])
        self.assertGone(self.c, a)
        self.assertGone(self.c, b)

    def chain(self, client, length):
        """Head first; only the head is held."""
        ids, below = [], None
        for start in range(0, length, 512):
            size = min(512, length - start)
            part = client.call("put_many", [[None, [-(i + 2) if i + 1 < size else below]] for i in range(size)])
            if size > 1:
                client.call("release", part[1:])
            if below is not None:
                client.call("release", below)
            below, ids = part[0], part + ids
        return ids

    def test_64_descendants_die_at_once(self):
        c = self.pool_client()
        for _ in range(20):
            ids = self.chain(c, 65)
            replies = c.pipeline([("release", ids[0])] + [("get", obj) for obj in ids])
            self.assertEqual(replies[0].value(), 0)
            for reply in replies[1:]:
                self.assertEqual(reply.exception().code, "GONE")
        self.wait_backlog(c)
        self.assertEqual(c.call("stats", "objects")["count"], 0)

    def test_64_leaves_die_at_once(self):
        c = self.pool_client()
        ids = c.call("put_many", [[None, [-i for i in range(2, 66)]]] + [["leaf"]] * 64)
        c.call("release", ids[1:])
        replies = c.pipeline([("release", ids[0])] + [("inspect", obj) for obj in ids])
        self.assertEqual([reply.exception().code for reply in replies[1:]], ["GONE"] * 65)

    def test_the_rest_follows_in_steps(self):
        c = self.pool_client()
        ids = self.chain(c, 50000)
        self.assertEqual(c.call("stats", "objects")["count"], 50000)
        self.assertEqual(c.call("release", ids[0]), 0)
        self.assertGone(c, ids[0])
        self.wait_backlog(c)
        self.assertEqual(c.call("stats", "objects")["count"], 0)
        for reply in c.pipeline([("get", obj) for obj in ids[::7]]):
            self.assertEqual(reply.exception().code, "GONE")
        self.assertVerified(c)

    def test_death_by_link_unname_unshare_replace(self):
        c = self.pool_client()
        leaf = c.call("put", "leaf")
        node = c.call("put", None, {"refs": [leaf]})
        c.call("release", leaf)
        c.call("link", node, 0, None)
        self.assertGone(c, leaf)
        named = c.call("store", "n", 1)[0]
        replaced = c.call("store", "n", 2)[0]
        self.assertGone(c, named)
        c.call("name", "n", node)
        self.assertGone(c, replaced)
        ticket = c.call("share", node)
        c.call("unname", "n")
        c.call("release", node)
        self.assertEqual(self.count(c, node), 1)
        c.call("unshare", ticket)
        self.assertGone(c, node)
        self.assertEqual(c.call("stats", "objects")["count"], 0)

    def test_a_shared_leaf_survives(self):
        c = self.pool_client()
        leaf, a, b = c.call("put_many", [["leaf"], [None, [-1]], [None, [-1, -2]]])
        c.call("release", [leaf, a])
        c.call("retain", leaf)
        c.call("release", b)
        self.assertGone(c, a)
        self.assertEqual(self.count(c, leaf), 1)

    def test_many_holders(self):
        c = self.pool_client()
        obj = c.call("put", "x")
        pool = c.hello_result["pool"]
        others = [self.client({"pool": pool, "name": "h%d" % i}) for i in range(30)]
        for i, other in enumerate(others):
            self.assertEqual(other.call("retain", obj, i + 1), i + 1)
        self.assertEqual(self.count(c, obj), 1 + 30 * 31 // 2)
        self.assertEqual(c.call("inspect", obj)["held_by"]["sessions"], 1 + 30 * 31 // 2)
        rows = {row["name"]: row["count"] for row in c.call("holders", obj)}
        expected = {"h%d" % i: i + 1 for i in range(30)}
        expected[None] = 1
        self.assertEqual(rows, expected)
        for other in others[::2]:
            other.call("bye")
        self.assertEqual(self.count(c, obj), 1 + sum(range(2, 31, 2)))
        self.assertVerified(c)


class Tickets(WireTest):
    def test_share_and_claim(self):
        other = self.client()
        obj = self.c.call("put", "x")
        ticket = self.c.call("share", obj)
        self.assertIs(type(ticket), bytes)
        self.assertEqual(len(ticket), 16)
        self.assertEqual(self.c.call("inspect", obj)["held_by"], {"sessions": 1, "slots": 0, "names": 0, "tickets": 1})
        self.assertEqual(self.c.call("release", obj), 0)
        self.assertEqual(other.call("claim", ticket), obj)
        self.assertEqual(other.call("inspect", obj)["held_by"], {"sessions": 1, "slots": 0, "names": 0, "tickets": 0})
        self.assertCode("NOTFOUND", other, "claim", ticket)
        self.assertCode("NOTFOUND", self.c, "unshare", ticket)
        self.assertEqual(other.call("release", obj), 0)

    def test_uses(self):
        obj = self.c.call("put", "x")
        ticket = self.c.call("share", obj, {"uses": 3})
        self.assertEqual(self.count(self.c, obj), 2)
        self.assertEqual(self.c.call("claim", ticket), obj)
        self.assertEqual(self.count(self.c, obj), 3)
        self.assertEqual(self.c.call("claim", ticket), obj)
        self.assertEqual(self.count(self.c, obj), 4)
        self.assertEqual(self.c.call("claim", ticket), obj)
        self.assertEqual(self.count(self.c, obj), 4, "the last use hands its hold over")
        self.assertCode("NOTFOUND", self.c, "claim", ticket)
        self.assertEqual(self.c.call("release", obj, 4), 0)

    def test_unshare(self):
        obj = self.c.call("put", "x")
        ticket = self.c.call("share", obj, {"uses": 2})
        self.c.call("claim", ticket)
        self.assertIs(self.client().call("unshare", ticket), True)
        self.assertCode("NOTFOUND", self.c, "claim", ticket)
        self.assertCode("NOTFOUND", self.c, "unshare", ticket)
        self.assertEqual(self.count(self.c, obj), 2)

    def test_ttl(self):
        obj = self.c.call("put", "x")
        kept = self.c.call("share", obj)
        ticket = self.c.call("share", obj, {"ttl_ms": 50, "uses": 5})
        poll(lambda: self.c.call("inspect", obj)["held_by"]["tickets"] == 1, "the ticket expires")
        self.assertCode("NOTFOUND", self.c, "claim", ticket)
        self.assertEqual(self.c.call("claim", kept), obj)
        # Expiry of the last reference kills.
        alone = self.c.call("put", "y")
        self.c.call("share", alone, {"ttl_ms": 50})
        self.c.call("release", alone)
        poll(lambda: self.c.reply("inspect", alone).error is not None, "the last ticket expires")
        self.assertGone(self.c, alone)

    def test_errors(self):
        obj = self.c.call("put", "x")
        other = self.client()
        self.assertCode("NOTHELD", other, "share", obj)
        self.assertCode("NOTHELD", self.c, "share", dead_id(self.c))
        for options in ({"ttl_ms": 0}, {"ttl_ms": -1}, {"ttl_ms": 2 ** 53 - 1}, {"uses": 0}, {"uses": -1},
                        {"uses": 2 ** 53 - 1}, {"ttl_ms": "1"}):
            self.assertCode("BADARG", self.c, "share", obj, options)
        self.assertCode("NOTFOUND", self.c, "claim", bytes(16))
        self.assertCode("NOTFOUND", self.c, "unshare", bytes(16))
        for ticket in (b"", bytes(15), bytes(17)):
            self.assertCode(("NOTFOUND", "BADARG"), self.c, "claim", ticket)
            self.assertCode(("NOTFOUND", "BADARG"), self.c, "unshare", ticket)
        self.assertCode("BADARG", self.c, "claim", 5)
        self.assertEqual(self.count(self.c, obj), 1)

    def test_tickets_are_random(self):
        obj = self.c.call("put", "x")
        tickets = self.c.results([("share", obj)] * 200)
        self.assertEqual(len(set(tickets)), 200)
        self.assertGreater(len({ticket[0] for ticket in tickets}), 50)
        self.assertEqual(self.count(self.c, obj), 201)

    def test_tickets_outlive_their_session(self):
        maker = self.client()
        obj = maker.call("put", "x")
        ticket = maker.call("share", obj)
        maker.call("bye")
        self.assertEqual(self.c.call("claim", ticket), obj)
        self.assertEqual(self.c.call("get", obj), "x")


if __name__ == "__main__":
    unittest.main()
