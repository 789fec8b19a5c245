#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each method of this version: the shape of its result, its errors, its edges."""
import time

from common import Raw, RpcError, WireTest, poll, request_bytes, unittest, walk_cursor

METHODS = """hello ping bye methods put put_many get set write seal refs link retain release share claim unshare
    name lookup unname names store fetch inspect holders referrers why scan sessions kill pools pool_create
    pool_drop stats verify gc_collect gc_config save watch unwatch guard unguard subscribe unsubscribe
    slowlog""".split()

LATER = """top census doctor attach view drain config""".split()

VALUE_MAX = 64 * 1024 * 1024
IDS_MAX = 1024


def dead_id(client):
    obj = client.call("put", "soon dead")
    client.call("release", obj)
    return obj


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
                              ("sessions", "pool limit ended"),
                              ("slowlog", "limit reset"),
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
