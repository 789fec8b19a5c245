#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""All methods of this version: which there are, what all have in common, those that look around; pools and kill."""
import time

from common import VALUE_MAX, Raw, WireTest, dead_id, poll, request_bytes, unittest, walk_cursor

METHODS = """hello ping bye methods put put_many get set write seal refs link retain release share claim unshare
    name lookup unname names store fetch inspect holders referrers why scan sessions kill pools pool_create
    pool_drop stats verify gc_collect gc_config save load watch unwatch guard unguard subscribe unsubscribe
    slowlog""".split()

LATER = """top census doctor attach view drain config""".split()


class General(WireTest):
    def test_methods_are_those_accepted(self):
        rows = self.c.call("methods")
        for row in rows:
            self.assertLessEqual({"name", "params", "options", "since"}, set(row))
        self.assertEqual(sorted(row["name"] for row in rows), sorted(METHODS))
        for name in METHODS:
            reply = self.client().reply(name, "no", "method", "takes", "these", "params")
            self.assertTrue(reply.error.startswith("BADARG"), (name, reply.error))

    def test_options_in_methods(self):
        options = {row["name"]: str(row["options"]) for row in self.c.call("methods")}
        for method, names in (("put", "refs tag site size seal"), ("get", "offset len version"),
                              ("set", "if_version"), ("retain", "site"), ("share", "ttl_ms uses"),
                              ("name", "if_version"), ("lookup", "version"), ("unname", "if_version"),
                              ("names", "prefix limit"), ("store", "if_version tag"), ("fetch", "version"),
                              ("holders", "limit"), ("referrers", "limit"), ("scan", "tag min_size sid limit"),
                              ("sessions", "pool limit ended cursor"),
                              ("slowlog", "limit reset"), ("load", "pool"),
                              ("pool_create", "max_bytes"), ("pool_drop", "force"),
                              ("subscribe", "from_seq prefix rate")):
            for name in names.split():
                self.assertIn(name, options[method], method)
        for method in ("name", "store"):
            self.assertNotIn("idle_ms", options[method])

    def test_nomethod(self):
        for name in LATER + ["", "PUT", "pu", "putt", "get\0", "x" * 300, "retain_", "välue"]:
            error = self.assertCode("NOMETHOD", self.c, name)
            self.assertLess(len(error.text), 1000)
        self.assertCode("NOMETHOD", self.c, b"\xff\x00")
        self.assertIs(type(self.c.call("ping")), int)

    def test_options_of_later_versions(self):
        obj = self.c.call("put", "x")
        for method, params, names in (("name", ["n", obj], "ttl_ms idle_ms evict weak"), ("lookup", ["n"], "wait_ms"),
                                      ("unname", ["n"], "win"), ("fetch", ["n"], "wait_ms win_ms"),
                                      ("store", ["n", 1], "ttl_ms stale_ms idle_ms evict win")):
            for name in names.split():
                error = self.assertCode("BADARG", self.c, method, *params, {name: 1})
                self.assertIn("not in this version", error.text)
                self.assertIn(name, error.text)
        self.assertEqual(self.c.call("names", 0), [0, []])

    def test_ping(self):
        before = int(time.time() * 1000)
        now = self.c.call("ping")
        self.assertTrue(before - 2 <= now <= int(time.time() * 1000) + 2, now)

    def test_hello_shape(self):
        hello = self.client({"name": "worker-1", "pid": 4711}).hello_result
        self.assertEqual(hello["proto"], 1)
        self.assertIs(type(hello["session"]), bytes)
        self.assertEqual(len(hello["session"]), 16)
        self.assertIs(type(hello["sid"]), int)
        self.assertEqual(hello["pool"], "default")
        self.assertIs(type(hello["epoch"]), int)
        self.assertEqual(hello["held"], 0)
        self.assertIs(type(hello["server"]), str)
        self.assertIs(type(hello["version"]), str)
        self.assertEqual(hello["ignored"], [])
        limits = hello["limits"]
        self.assertLessEqual({"frame", "value", "depth", "slots", "ids", "name", "queue", "replay"}, set(limits))
        self.assertEqual(limits["value"], VALUE_MAX)
        self.assertGreaterEqual(limits["frame"], VALUE_MAX)
        self.assertEqual((limits["depth"], limits["ids"], limits["name"]), (64, 1024, 255))
        other = self.client({}).hello_result
        self.assertNotEqual(other["session"], hello["session"])
        self.assertNotEqual(other["sid"], hello["sid"])
        self.assertEqual(other["epoch"], hello["epoch"])

    def test_hello_comes_first_and_once(self):
        self.c.call("ping")
        self.assertCode("BADARG", self.c, "hello", {})
        self.assertIs(type(self.c.call("ping")), int)
        twice = self.client({})
        self.assertCode("BADARG", twice, "hello", {})
        self.assertIs(type(twice.call("ping")), int)
        after_failure = self.client()
        self.assertCode("NOMETHOD", after_failure, "nonsense")
        self.assertCode("BADARG", after_failure, "hello", {})

    def test_hello_after_notifications(self):
        client = self.client()
        client.notify("nvim_set_client_info", "client", {}, "remote", {}, {})
        client.send_raw(b"\x94\x01\x05\xc0\xc0")
        self.assertEqual(client.call("hello", {})["proto"], 1)

    def test_hello_again_after_one_that_failed(self):
        client = self.client()
        self.assertCode("NOTFOUND", client, "hello", {"pool": "no-such-pool"})
        self.assertEqual(client.call("hello", {"name": "x"})["pool"], "default")

    def test_hello_without_options(self):
        self.assertEqual(self.client().call("hello")["proto"], 1)

    def test_hello_badarg(self):
        for options in ({"name": 1}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 256}, {"pid": "x"}, {"pid": -1},
                        {"pool": 5}, {"pool": "UPPER"}, {"lease_ms": -1}, {"lease_ms": "1"}, {"session": 5},
                        {"lease_ms": 2 ** 52}, {"name": Raw(b"\xa2\xff\xfe")}):
            with self.subTest(options):
                self.assertCode("BADARG", self.client(), "hello", options)

    def test_bye(self):
        first, second = self.c.call("put_many", [["a"], ["b"]])
        self.c.call("retain", second, 3)
        other = self.client()
        other.call("retain", first)
        # References, not objects: one on the first, four on the second.
        self.assertEqual(self.c.call("bye"), 5)
        self.c.wait_closed()
        self.assertGone(other, second)
        self.assertEqual(self.count(other, first), 1)

    def test_bye_ends_what_follows_in_the_same_write(self):
        last = self.client()
        last.send_raw(request_bytes(1, "ping", []) + request_bytes(2, "bye", []) + request_bytes(3, "ping", []))
        replies = last.drain_until_closed()
        self.assertEqual([reply.msgid for reply in replies], [1, 2])
        self.assertEqual(replies[1].value(), 0)

    def test_bye_ends_the_session(self):
        named = self.client({"name": "x"})
        key = named.hello_result["session"]
        self.assertEqual(named.call("bye"), 0)
        named.wait_closed()
        self.assertCode(("EXPIRED", "NOTFOUND"), self.client(), "hello", {"session": key})

    def test_notifications_are_executed_and_not_answered(self):
        obj = self.c.call("put", "x")
        self.c.notify("retain", obj, 4)
        self.c.notify(b"retain", obj)
        self.c.notify("retain", "nonsense")
        self.c.notify("retain", 1)
        self.c.notify("no_such_method", 1, 2, 3)
        self.c.notify("release", obj, 2)
        self.c.notify("store", "note", "stored")
        self.assertEqual(self.count(self.c, obj), 4)
        self.assertEqual(self.c.call("fetch", "note"), "stored")
        self.c.call("unname", "note")

    def test_response_frames_are_ignored(self):
        for raw in (b"\x94\x01\x01\xc0\xc0", b"\x94\x01\xce\xff\xff\xff\xff\xa1x\xc0", b"\x94\x01\x00\xc0\x93\x01\x02\x03"):
            self.c.send_raw(raw)
        self.assertIs(type(self.c.call("ping")), int)

    def test_replies_in_order_and_effects_too(self):
        obj = self.c.call("put", 0)
        calls = []
        for i in range(1000):
            calls += [("set", obj, i), ("get", obj), ("no_such",), ("get", 1), ("retain", obj), ("release", obj)]
        replies = self.c.pipeline(calls)
        for i in range(1000):
            self.assertEqual(replies[6 * i + 1].value(), i)
            self.assertEqual(replies[6 * i + 4].value(), 2)
            self.assertEqual(replies[6 * i + 5].value(), 1)

    def test_msgids_are_the_clients_own(self):
        for msgid in (0, 0, 7, 7, 2 ** 32 - 1, 1):
            self.c.request("ping", msgid=msgid)
        self.assertEqual([self.c.recv().msgid for _ in range(6)], [0, 0, 7, 7, 2 ** 32 - 1, 1])


class Views(WireTest):
    def test_holders(self):
        c = self.pool_client(name="worker-1", pid=11)
        obj = c.call("put", "x")
        other = self.client({"pool": c.hello_result["pool"], "name": "worker-2", "pid": 22})
        other.call("retain", obj, 3)
        c.call("name", "first", obj)
        c.call("share", obj, {"ttl_ms": 50000})
        node = c.call("put", None, {"refs": [obj]})
        rows = c.call("holders", obj)
        self.assertEqual(sorted(row["kind"] for row in rows), ["name", "session", "session", "ticket"])
        sessions = {row["name"]: row for row in rows if row["kind"] == "session"}
        for row in sessions.values():
            self.assertLessEqual({"kind", "sid", "name", "pid", "count", "since_ms"}, set(row))
            self.assertGreaterEqual(row["since_ms"], 0)
        self.assertEqual((sessions["worker-1"]["pid"], sessions["worker-1"]["count"]), (11, 1))
        self.assertEqual((sessions["worker-2"]["pid"], sessions["worker-2"]["count"]), (22, 3))
        self.assertEqual(sessions["worker-1"]["sid"], c.hello_result["sid"])
        self.assertIn({"kind": "name", "name": "first"}, rows)
        (ticket,) = [row for row in rows if row["kind"] == "ticket"]
        self.assertLessEqual({"kind", "number", "ttl_ms"}, set(ticket))
        self.assertTrue(0 < ticket["ttl_ms"] <= 50000)
        self.assertIs(type(ticket["number"]), int)
        row = c.call("inspect", obj)
        self.assertEqual(row["held_by"], {"sessions": 4, "slots": 1, "names": 1, "tickets": 1})
        self.assertEqual(row["count"], 7)
        self.assertEqual(len(c.call("holders", obj, {"limit": 2})), 2)
        self.assertEqual(len(c.call("holders", node)), 1)
        for limit in (0, -1, "x"):
            self.assertCode("BADARG", c, "holders", obj, {"limit": limit})
        self.assertCode("GONE", c, "holders", dead_id(c))
        self.assertCode("GONE", c, "inspect", dead_id(c))

    def test_holders_of_an_anonymous_session(self):
        obj = self.c.call("put", "x")
        (row,) = self.c.call("holders", obj)
        self.assertEqual((row["kind"], row["name"], row["count"]), ("session", None, 1))

    def test_only_slots_hold(self):
        leaf = self.c.call("put", "leaf")
        self.c.call("put", None, {"refs": [leaf]})
        self.c.call("release", leaf)
        self.assertEqual(self.c.call("holders", leaf), [])

    def test_scan(self):
        c = self.pool_client()
        pool = c.hello_result["pool"]
        other = self.client({"pool": pool})
        red = c.call("put_many", [["r", None, {"tag": "red"}]] * 50)
        blue = other.call("put_many", [["b", None, {"tag": "blue"}]] * 40)
        big = other.call("put", bytes(100000))
        shared = red[0]
        other.call("retain", shared)
        everything = sorted(red + blue + [big])
        for options in ({}, {"limit": 3}, {"limit": 1000}):
            self.assertEqual(sorted(set(walk_cursor(c, "scan", options))), everything)
        self.assertEqual(sorted(set(walk_cursor(c, "scan", {"tag": "red", "limit": 7}))), sorted(red))
        self.assertEqual(walk_cursor(c, "scan", {"tag": "green"}), [])
        self.assertEqual(set(walk_cursor(c, "scan", {"min_size": 100000})), {big})
        self.assertEqual(set(walk_cursor(c, "scan", {"min_size": 2 ** 40})), set())
        self.assertEqual(set(walk_cursor(c, "scan", {"sid": other.hello_result["sid"], "limit": 5})),
                         set(blue + [big, shared]))
        self.assertEqual(set(walk_cursor(c, "scan", {"sid": c.hello_result["sid"], "tag": "red"})), set(red))
        for options in ({"limit": 0}, {"limit": "x"}, {"tag": 5}, {"min_size": -1}, {"sid": "x"}):
            self.assertCode("BADARG", c, "scan", 0, options)
        self.assertEqual(self.count(c, red[1]), 1, "scan takes no hold")

    def test_scan_across_growth_and_death(self):
        c = self.pool_client()
        constant = []
        for _ in range(4):
            constant += c.call("put_many", [[1]] * 500)
        doomed = c.call("put_many", [[2]] * 1000)
        seen, cursor, turns = set(), 0, 0
        while True:
            cursor, page = c.call("scan", cursor, {"limit": 100})
            self.assertLessEqual(len(page), 100)
            seen.update(page)
            if cursor == 0:
                break
            if turns < 40:
                c.call("put_many", [[3]] * 300)
                if doomed:
                    c.call("release", doomed[:50])
                    del doomed[:50]
            turns += 1
        self.assertLessEqual(set(constant), seen)

    def test_sessions_in_pages(self):
        """All that stay are told, each once, whoever comes and goes meanwhile; those that end are not."""
        c = self.pool_client(name="pager")
        pool = c.hello_result["pool"]
        stay, go = ([self.client({"pool": pool, "name": "%s%d" % (word, n), "lease_ms": 0}) for n in range(20)]
                    for word in ("stay", "go"))
        for n in range(5):
            go.pop().call("bye")
        cursor, pages, rows = 0, 0, []
        while pages == 0 or cursor != 0:
            cursor, page = c.call("sessions", {"cursor": cursor, "limit": 7})
            self.assertLessEqual(len(page), 7)
            rows += page
            pages += 1
            if go:
                go.pop().call("bye")
                self.client({"pool": pool, "name": "new"})
        self.assertGreaterEqual(pages, 6)
        sids = [row["sid"] for row in rows]
        self.assertEqual(len(sids), len(set(sids)))
        self.assertLessEqual({client.hello_result["sid"] for client in stay + [c]}, set(sids))
        self.assertEqual(c.call("sessions", {"cursor": 5000}), [0, []])
        pages = [asker.call("sessions", options)[1] for asker, options in ((self.c, {"pool": pool, "cursor": 0}), (c, {"cursor": 0}))]
        self.assertEqual(*[[row["sid"] for row in page] for page in pages])
        for options in ({"cursor": -1}, {"cursor": 1 << 32}, {"cursor": 0, "pool": "*"}, {"cursor": 0, "ended": True}):
            self.assertCode("BADARG", c, "sessions", options)

    def test_sessions(self):
        c = self.pool_client(name="lister", pid=5)
        pool = c.hello_result["pool"]
        self.client({"pool": pool, "name": "other", "pid": 6})
        rows = c.call("sessions")
        self.assertEqual({row["name"] for row in rows}, {"lister", "other"})
        self.assertEqual({row["pid"] for row in rows}, {5, 6})
        self.assertIn(c.hello_result["sid"], [row["sid"] for row in rows])
        self.assertEqual(len(self.c.call("sessions", {"pool": pool})), 2)
        everywhere = self.c.call("sessions", {"pool": "*"})
        self.assertGreaterEqual(len(everywhere), 3)
        self.assertEqual(len(c.call("sessions", {"limit": 1})), 1)
        self.assertCode("NOTFOUND", c, "sessions", {"pool": "no-such"})
        self.assertCode("BADARG", c, "sessions", {"limit": 0})
        self.assertCode("BADARG", c, "sessions", {"pool": 5})
        for row in everywhere:
            self.assertNotIn("session", row, "the key is a secret")
            self.assertNotIn(c.hello_result["session"], row.values())

    def test_stats(self):
        c = self.pool_client()
        stats = c.call("stats")
        self.assertLessEqual({"objects", "memory", "sessions", "names", "requests", "gc"}, set(stats))
        self.assertLessEqual({"count", "bytes"}, set(stats["objects"]))
        self.assertLessEqual({"limit", "used", "image", "anon"}, set(stats["memory"]))
        self.assertLessEqual({"open", "grace"}, set(stats["sessions"]))
        self.assertIn("count", stats["names"])
        self.assertIn("backlog", stats["gc"])
        for section in set(stats) - {"durations"}:  # which has the methods that were used
            self.assertEqual(set(c.call("stats", section)), set(stats[section]), section)
        for section in ("nonsense", "", "OBJECTS"):
            self.assertCode("NOTFOUND", c, "stats", section)
        self.assertCode("BADARG", c, "stats", 5)
        self.assertGreater(stats["memory"]["limit"], 0)
        self.assertGreaterEqual(stats["memory"]["limit"], stats["memory"]["used"])

    def test_stats_count_what_is_there(self):
        c = self.pool_client()
        before = c.call("stats", "objects")
        self.assertEqual(before["count"], 0)
        ids = c.call("put_many", [[bytes(1000)]] * 100)
        c.call("store", "n", 1)
        now = c.call("stats", "objects")
        self.assertEqual(now["count"], 101)
        self.assertGreaterEqual(now["bytes"] - before["bytes"], 100000)
        self.assertEqual(c.call("stats", "names")["count"], 1)
        self.assertEqual(c.call("stats", "sessions")["open"], 1)
        c.call("release", ids)
        c.call("unname", "n")
        self.wait_backlog(c)
        after = c.call("stats", "objects")
        self.assertEqual((after["count"], after["bytes"]), (0, before["bytes"]))

    def test_verify(self):
        c = self.pool_client()
        result = c.call("verify")
        self.assertEqual(set(result), {"objects", "ok", "findings"})
        self.assertEqual(result, {"objects": 0, "ok": True, "findings": []})
        c.call("put_many", [[i, [-1, -2]] for i in range(1000)])
        self.assertEqual(c.call("verify"), {"objects": 1000, "ok": True, "findings": []})

    def test_others_are_served_during_verify(self):
        c = self.pool_client()
        for _ in range(100):
            c.call("put_many", [[i, [-1]] for i in range(1000)])
        c.request("verify", msgid=77)
        for _ in range(50):
            self.assertIs(type(self.c.call("ping")), int)
        self.assertEqual(c.recv().value(), {"objects": 100000, "ok": True, "findings": []})


class Kill(WireTest):
    def test_kill(self):
        victim = self.client({"name": "victim"})
        a, b = victim.call("put_many", [["a"], ["b"]])
        self.c.call("retain", a)
        self.assertEqual(self.c.call("kill", victim.hello_result["sid"]), 2)
        victim.wait_closed()
        self.assertEqual(self.count(self.c, a), 1)
        self.assertGone(self.c, b)
        self.assertCode("NOTFOUND", self.c, "kill", victim.hello_result["sid"])
        self.assertCode(("EXPIRED", "NOTFOUND"), self.client(), "hello", {"session": victim.hello_result["session"]})

    def test_kill_a_session_in_grace(self):
        victim = self.client({"name": "victim"})
        obj = victim.call("put", "a")
        victim.close()
        poll(lambda: self.c.call("stats", "sessions")["grace"] == 1, "the session is in grace")
        self.assertEqual(self.c.call("get", obj), "a")
        self.assertEqual(self.c.call("kill", victim.hello_result["sid"]), 1)
        self.assertGone(self.c, obj)
        self.assertEqual(self.c.call("stats", "sessions")["grace"], 0)

    def test_kill_in_another_pool(self):
        self.c.call("pool_create", "other")
        victims = [self.client({"pool": "other", "name": "victim"}) for _ in range(3)]
        witness = self.client({"pool": "other"})
        sids = {client.hello_result["sid"] for client in victims + [witness, self.client({})]}
        self.assertEqual(len(sids), 5)
        obj = victims[1].call("put", "x")
        self.assertEqual(self.c.call("kill", victims[1].hello_result["sid"]), 1)
        victims[1].wait_closed()
        self.assertGone(witness, obj)
        self.assertIs(type(victims[0].call("ping")), int)
        self.c.call("pool_drop", "other", {"force": True})

    def test_kill_an_anonymous_session(self):
        victim = self.client()
        obj = victim.call("put", "a")
        (row,) = self.c.call("holders", obj)
        self.assertEqual(self.c.call("kill", row["sid"]), 1)
        victim.wait_closed()
        self.assertGone(self.c, obj)

    def test_errors(self):
        self.assertCode("NOTFOUND", self.c, "kill", 2 ** 31 - 2)
        self.assertCode("NOTFOUND", self.c, "kill", 2 ** 52)
        self.assertCode("BADARG", self.c, "kill", "x")
        self.assertCode("BADARG", self.c, "kill", -1)


class Pools(WireTest):
    def pool_names(self):
        return {row["name"] for row in self.c.call("pools")}

    def test_create_and_drop(self):
        self.assertEqual(self.pool_names() & {"default", "p1"}, {"default"})
        self.assertIs(self.c.call("pool_create", "p1"), True)
        self.assertCode("EXISTS", self.c, "pool_create", "p1")
        self.assertCode("EXISTS", self.c, "pool_create", "default")
        row = [row for row in self.c.call("pools") if row["name"] == "p1"][0]
        first = self.client({"pool": "p1"}).hello_result
        self.assertEqual((first["pool"], first["epoch"]), ("p1", row["epoch"]))
        self.assertIs(self.c.call("pool_drop", "p1", {"force": True}), True)
        self.assertNotIn("p1", self.pool_names())
        self.assertCode("NOTFOUND", self.c, "pool_drop", "p1")
        self.assertCode("NOTFOUND", self.client(), "hello", {"pool": "p1"})

    def test_names_of_pools(self):
        good = ["a", "0", "a.b-c_d", "x" * 64, "0..--__"]
        for name in good:
            self.assertIs(self.c.call("pool_create", name), True)
            self.assertIs(self.c.call("pool_drop", name), True)
        for name in ("", "A", ".a", "-a", "_a", "a/b", "..", "a b", "x" * 65, "ä", "a\0", 5, None, b"\xff"):
            with self.subTest(name):
                self.assertCode("BADARG", self.c, "pool_create", name)
        self.assertIs(self.c.call("pool_create", b"as-bin"), True)
        self.assertIn("as-bin", self.pool_names())
        self.assertIs(self.c.call("pool_drop", "as-bin"), True)

    def test_busy_and_force(self):
        self.c.call("pool_create", "busy")
        inside = self.client({"pool": "busy", "name": "n"})
        obj = inside.call("put", "x")
        self.assertCode("BUSY", self.c, "pool_drop", "busy")
        self.assertCode("BUSY", self.c, "pool_drop", "busy", {"force": False})
        self.assertEqual(inside.call("get", obj), "x")
        self.assertIs(self.c.call("pool_drop", "busy", {"force": True}), True)
        inside.wait_closed()
        self.assertNotIn("busy", self.pool_names())
        key = inside.hello_result["session"]
        self.assertCode(("EXPIRED", "NOTFOUND"), self.client(), "hello", {"session": key})
        # The same name again is another pool: another epoch, and the old ids are gone.
        self.c.call("pool_create", "busy")
        again = self.client({"pool": "busy"})
        self.assertNotEqual(again.hello_result["epoch"], inside.hello_result["epoch"])
        self.assertCode("GONE", again, "get", obj)
        self.assertCode(("EXPIRED", "NOTFOUND"), self.client(), "hello", {"session": key})
        again.call("bye")
        poll(lambda: not self.c.reply("pool_drop", "busy").error, "the pool is free")

    def test_a_session_in_grace_keeps_a_pool_busy(self):
        self.c.call("pool_create", "graced")
        inside = self.client({"pool": "graced", "name": "n"})
        inside.close()
        self.assertCode("BUSY", self.c, "pool_drop", "graced")
        self.assertIs(self.c.call("pool_drop", "graced", {"force": True}), True)

    def test_default_stays(self):
        for options in ({}, {"force": True}):
            self.c.error("pool_drop", "default", options)
        self.assertIn("default", self.pool_names())
        self.assertIs(type(self.c.call("put", 1)), int)

    def test_drop_a_full_pool(self):
        self.c.call("pool_create", "full")
        inside = self.client({"pool": "full"})
        for _ in range(50):
            inside.call("put_many", [[bytes(100), [-1]]] * 1000)
        inside.call("bye")
        poll(lambda: not self.c.reply("pool_drop", "full").error, "the pool is dropped")
        self.assertNotIn("full", self.pool_names())

    def test_isolation(self):
        for name in ("left", "right"):
            self.c.call("pool_create", name)
        left, right = self.client({"pool": "left"}), self.client({"pool": "right"})
        self.assertNotEqual(left.hello_result["epoch"], right.hello_result["epoch"])
        obj = left.call("put", "x")
        left.call("name", "n", obj)
        ticket = left.call("share", obj)
        self.assertCode("GONE", right, "get", obj)
        self.assertCode("GONE", right, "retain", obj)
        self.assertCode("GONE", right, "put", 1, {"refs": [obj]})
        self.assertCode("GONE", right, "link", right.call("put", 1), 0, obj)
        self.assertCode("NOTHELD", right, "release", obj)
        self.assertCode("NOTFOUND", right, "lookup", "n")
        self.assertCode("NOTFOUND", right, "claim", ticket)
        self.assertEqual(right.call("names", 0), [0, []])
        self.assertNotIn(obj, walk_cursor(right, "scan", {}))
        self.assertEqual(left.call("claim", ticket), obj)
        self.assertEqual(left.call("stats", "objects")["count"], 1)
        for name in ("left", "right"):
            self.c.call("pool_drop", name, {"force": True})

    def test_max_bytes(self):
        self.c.call("pool_create", "small", {"max_bytes": 8 * 1024 * 1024})
        inside = self.client({"pool": "small"})
        ids, error = [], None
        for _ in range(64):
            reply = inside.reply("put", bytes(256 * 1024))
            if reply.error:
                error = reply.exception()
                break
            ids.append(reply.result)
        self.assertIsNotNone(error)
        self.assertIn(error.code, ("OOM", "QUOTA"))
        self.assertGreater(len(ids), 8)
        self.assertLessEqual(len(ids), 32)
        inside.call("release", ids)
        self.assertIs(type(inside.call("put", bytes(1024 * 1024))), int)
        for value in (0, -1, "x"):
            self.assertCode("BADARG", self.c, "pool_create", "bad", {"max_bytes": value})
        self.c.call("pool_drop", "small", {"force": True})

    def test_errors(self):
        self.assertCode("NOTFOUND", self.c, "pool_drop", "never")
        self.assertCode("BADARG", self.c, "pool_drop", "busy", {"force": 1})
        self.assertCode("BADARG", self.c, "pool_drop", 5)


if __name__ == "__main__":
    unittest.main()
