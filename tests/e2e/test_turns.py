#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""No turn of the loop does more than its share of work, whatever is asked and however much there is.

A pool of more than a million objects, large in every direction, is asked everything with the arguments that make
most work, one by one and pipelined. The daemon counts the units of work (objects, slots, holds, names, rows looked
at) of each turn; the largest must stay below what the limits of a turn allow. Times are printed, never judged."""
import itertools
import os
import sys
import tempfile
import unittest

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import RELEASE, Daemon  # noqa: E402
from rpc import Raw, encode, poll  # noqa: E402

OBJECTS = 1000000
CHAIN = 300000
NAMES = 200000
TICKETS = 50000
SESSIONS = 2000
SLOTS = 100000
IDS_MAX = 1024   # ids or names in a call
REFS_MAX = 8192  # refs in a call
PIPELINED = 300  # more than the 256 requests of a connection's turn
FAT = 64         # objects with as many slots as a call can give them, for each of the ways to lose one


# One client at a time: its requests up to the limit of 4096 units, one call that passes it (8192 refs and 1024 items
# of a put_many, 512 units of freeing, 4096 that it owes to a running collection), and 4096 of background work in steps of
# 128.
BOUND = 22400
# In a pool whose memory is spent a call makes room (4096 units), and then does all of its work again. A young collection
# looks at suspects then, too: a trial is one piece, of up to 1792 units, and so may be the last one of the background.
BOUND_FULL = BOUND + 8192 + 4096 + 2 * 1792


def frame(method, *params):
    """A request; `bulk` answers in order, so all may have the same msgid."""
    return b"\x94\x00\x07" + encode(method) + encode(list(params))


def chunks(items, size):
    return [items[start:start + size] for start in range(0, len(items), size)]


class Turns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="holdfast-turns-")
        self.addCleanup(folder.cleanup)
        self.daemon = Daemon("--save-dir", folder.name, program=RELEASE, tcp=False).start()
        self.addCleanup(self.daemon.kill)

    def tearDown(self):
        self.daemon.stop()

    def client(self, hello=None):
        client = self.daemon.client(hello)
        self.addCleanup(client.close)
        return client

    def bulk(self, client, frames, window=PIPELINED):
        """The results, none of which may be an error."""
        replies = client.bulk(frames, window)
        for reply in replies:
            if reply[2]:
                self.fail(reply[2])
        return [reply[3] for reply in replies]

    def told(self, client, frames, window=PIPELINED):
        """The same for a client to which events come in between; these are thrown away if nobody takes them."""
        for part in chunks(frames, window):
            client.asked = True
            client.send_raw(b"".join(part))
            for _ in part:
                client.recv().value()

    def take(self, client, count):
        """So many events in all, of which none comes twice."""
        while len(client.events) < count:
            client.events.append(client._event(client.recv_frame()))
        self.assertEqual(len({(event.topic, event.seq) for event in client.events}), count)
        client.events.clear()

    # A large pool ----------------------------------------------------------------------------------

    def open(self):
        self.number = itertools.count()
        self.watcher = self.client()
        self.watcher.call("pool_create", "full")
        self.owner = self.client({"name": "owner", "pool": "full", "lease_ms": 3600000})
        self.second = self.client({"name": "second", "pool": "full", "lease_ms": 3600000})
        self.c = self.client({"name": "caller", "pool": "full", "lease_ms": 3600000})

    def fill_objects(self):
        leaves = frame("put_many", [[k] for k in range(IDS_MAX)])
        made = self.bulk(self.owner, [leaves] * (OBJECTS // IDS_MAX + 1), 8)
        self.ids = [obj for ids in made for obj in ids]
        self.next_id = itertools.cycle(self.ids)
        self.bulk(self.second, [frame("retain", ids) for ids in chunks(self.ids[:CHAIN], IDS_MAX)], 16)

    def fill_chain(self):
        rest = [Raw(encode([k, [-k]])) for k in range(1, IDS_MAX)]
        self.head, self.tail = None, []
        for _ in range(CHAIN // IDS_MAX + 1):
            ids = self.owner.call("put_many", [[0, [self.head]]] + rest)
            self.head = ids[-1]
            self.tail += ids
        self.tail.pop()
        self.bulk(self.owner, [frame("release", ids) for ids in chunks(self.tail, IDS_MAX)], 16)

    def fill_holders(self):
        """One object with names, tickets and sessions; as many names on objects of their own."""
        self.popular = self.owner.call("put", "popular")
        self.names = ["name-%d" % k for k in range(NAMES)]
        self.bulk(self.owner, [frame("name", name, self.popular if k % 2 else self.ids[k])
                               for k, name in enumerate(self.names)])
        self.bulk(self.owner, [frame("share", self.popular, {"ttl_ms": 3600000})] * TICKETS)

    def fill_sessions(self):
        for k in range(SESSIONS):
            with self.daemon.client({"name": "s%d" % k, "pool": "full", "lease_ms": 3600000}) as client:
                client.call("retain", self.popular)

    def fill_slots(self):
        self.long_list = self.c.call("put", None)
        self.bulk(self.c, [frame("link", self.long_list, k, self.ids[k]) for k in range(SLOTS)])

    def make_fat(self):
        """Objects of 8192 slots each, held by the caller."""
        refs = Raw(msgpack.packb([self.popular] * REFS_MAX))
        return self.bulk(self.c, [frame("put", None, {"refs": refs})] * FAT, 8)

    def fresh_names(self, count):
        return ["fresh-%d" % next(self.number) for _ in range(count)]

    def named_fat(self):
        """Names that alone keep objects of 8192 slots."""
        ids = self.make_fat()
        names = self.fresh_names(FAT)
        self.bulk(self.c, [frame("name", name, obj) for name, obj in zip(names, ids)])
        self.bulk(self.c, [frame("release", obj) for obj in ids], 1)
        return names

    def some_ids(self, count):
        return list(itertools.islice(self.next_id, count))

    def repeat(self, *params, window=PIPELINED, count=PIPELINED):
        """The call once alone, then pipelined."""
        self.bulk(self.c, [frame(*params)])
        return self.bulk(self.c, [frame(*params)] * count, window)

    # Every method with its worst arguments ---------------------------------------------------------

    def do_hello(self):
        ignored = {"key-%d" % k: k for k in range(64)}
        for key in (self.owner.hello_result["session"], self.owner.hello_result["session"]):
            self.owner = self.client(dict(ignored, session=key))
            self.assertGreaterEqual(self.owner.hello_result["held"], OBJECTS)

    def do_ping(self):
        self.repeat("ping")

    def do_methods(self):
        self.repeat("methods")

    def do_put(self):
        refs = Raw(msgpack.packb(self.some_ids(REFS_MAX)))
        self.repeat("put", None, {"refs": refs}, count=100, window=20)
        self.repeat("put", b"x" * 200000, count=20)
        self.repeat("put", {"a": [1, 2, 3]})

    def do_put_many(self):
        items = Raw(msgpack.packb([[k, self.some_ids(REFS_MAX // IDS_MAX)] for k in range(IDS_MAX)]))
        self.repeat("put_many", items, count=40, window=20)
        self.repeat("put_many", [[k, [-1] * 8] for k in range(IDS_MAX)], count=40, window=20)

    def do_get(self):
        self.repeat("get", self.some_ids(IDS_MAX), window=20)
        self.repeat("get", self.popular)

    def do_set(self):
        self.repeat("set", self.popular, "another value")
        self.repeat("set", self.ids[5], b"x" * 200000, count=20)

    def do_write(self):
        obj = self.c.call("put", None, {"size": 1000000})
        self.repeat("write", obj, 300000, b"w" * 200000, count=20)

    def do_seal(self):
        fat = self.make_fat()
        self.bulk(self.c, [frame("seal", obj) for obj in fat])
        self.repeat("seal", fat[0])

    def do_refs(self):
        obj = self.c.call("put", None, {"refs": self.some_ids(IDS_MAX)})
        self.repeat("refs", obj, window=20)
        for _ in range(PIPELINED):
            self.assertEqual(self.c.code("refs", self.long_list), "TOOBIG")

    def do_link(self):
        self.bulk(self.c, [frame("link", self.long_list, SLOTS + k, obj) for k, obj in enumerate(self.some_ids(PIPELINED))])
        keeper = self.c.call("put", None)
        fat = self.make_fat()
        self.bulk(self.c, [frame("link", keeper, k, obj) for k, obj in enumerate(fat)])
        self.bulk(self.c, [frame("release", obj) for obj in fat])
        self.bulk(self.c, [frame("link", keeper, k, None) for k in range(FAT)])

    def do_retain(self):
        self.repeat("retain", self.some_ids(IDS_MAX), window=20)
        self.repeat("retain", self.popular)
        self.repeat("retain", [self.popular] * IDS_MAX, window=20)

    def do_share(self):
        self.repeat("share", self.c.call("put", 1))

    def do_claim(self):
        tickets = self.bulk(self.owner, [frame("share", self.popular)] * PIPELINED)
        self.bulk(self.c, [frame("claim", ticket) for ticket in tickets])

    def do_unshare(self):
        fat = self.make_fat()
        tickets = self.bulk(self.c, [frame("share", obj) for obj in fat])
        self.bulk(self.c, [frame("release", obj) for obj in fat])
        self.bulk(self.c, [frame("unshare", ticket) for ticket in tickets])

    def do_name(self):
        self.bulk(self.c, [frame("name", name, self.popular) for name in self.fresh_names(PIPELINED)])
        self.bulk(self.c, [frame("name", name, self.popular) for name in self.named_fat()])

    def do_lookup(self):
        self.repeat("lookup", self.names[:IDS_MAX], window=20)
        self.repeat("lookup", self.names[1:2 * IDS_MAX:2], window=20)

    def do_unname(self):
        self.bulk(self.c, [frame("unname", names) for names in chunks(self.names[NAMES // 2:], IDS_MAX)], 20)
        self.bulk(self.c, [frame("unname", name) for name in self.named_fat()])
        self.bulk(self.c, [frame("unname", self.named_fat())])

    def do_names(self):
        self.repeat("names", 0, {"prefix": "nobody has this"})
        cursor, calls = 0, 0
        while calls == 0 or cursor != 0:
            cursor, rows = self.c.call("names", cursor, {"prefix": "nobody has this"})
            self.assertEqual(rows, [])
            calls += 1
        self.assertGreater(calls, NAMES // 2 // 4096)
        self.repeat("names", 0, window=20)

    def do_store(self):
        self.bulk(self.c, [frame("store", name, b"s" * 100) for name in self.names[:PIPELINED]])
        self.bulk(self.c, [frame("store", name, "instead") for name in self.named_fat()])

    def do_fetch(self):
        self.repeat("fetch", self.names[:IDS_MAX], window=20)

    def do_inspect(self):
        self.repeat("inspect", self.popular)
        self.repeat("inspect", self.long_list)

    def do_holders(self):
        self.assertEqual(len(self.repeat("holders", self.popular, window=20)[0]), IDS_MAX)

    def do_referrers(self):
        self.repeat("referrers", self.tail[-1], count=3)
        self.repeat("referrers", self.long_list, count=3)

    def do_why(self):
        found = self.c.call("why", self.tail[0])
        self.assertGreaterEqual(found["length"], CHAIN)
        self.assertEqual(found["path"][0], self.head)

    def do_scan(self):
        self.repeat("scan", 0, {"min_size": 1 << 40})
        self.repeat("scan", 0, {"sid": self.owner.hello_result["sid"], "tag": "nobody has this"})
        self.repeat("scan", 0, window=20)

    def do_sessions(self):
        self.repeat("sessions", window=20, count=50)
        self.repeat("sessions", {"pool": "*"}, window=20, count=50)

    def do_pools(self):
        self.repeat("pools", window=20, count=50)

    def do_pool_create(self):
        self.bulk(self.c, [frame("pool_create", "p%d" % k) for k in range(50)])

    def do_stats(self):
        self.repeat("stats")

    def do_slowlog(self):
        self.repeat("slowlog", {"limit": 256}, window=20, count=50)

    def do_verify(self):
        result = self.c.call("verify")
        self.assertEqual(result["findings"], [])
        self.assertGreaterEqual(result["objects"], OBJECTS + CHAIN)

    def do_save(self):
        saved = self.c.call("save")
        self.assertGreater(saved["pieces"], OBJECTS * 48 // 16384)

    def do_load(self):
        self.c.call("save", "to-load")
        loaded = self.c.call("load", "to-load", {"pool": "loaded"})
        self.assertGreater(loaded["objects"], OBJECTS)
        self.c.call("pool_drop", "loaded", {"force": True})

    def do_gc_config(self):
        self.repeat("gc_config")

    def do_gc_collect(self):
        """Rings let go all at once; then much is made and linked while a collection runs."""
        ring = Raw(encode([[k, [-((k + 1) % IDS_MAX + 1), self.popular]] for k in range(IDS_MAX)]))
        rings = self.bulk(self.c, [frame("put_many", ring)] * 100, 4)
        self.bulk(self.c, [frame("release", ids) for ids in rings], 20)
        before = self.c.call("stats", "objects")["count"]
        result = self.c.call("gc_collect", {"explain": True})
        self.assertGreaterEqual(result["candidates"], OBJECTS)
        self.assertLessEqual(self.c.call("stats", "objects")["count"], before - 100 * IDS_MAX)
        self.second.request("gc_collect", msgid=9)
        self.bulk(self.c, [frame("put_many", ring)] * 50, 4)
        self.assertGreaterEqual(self.second.recv().value()["candidates"], OBJECTS)

    def do_watch(self):
        """Many watches of one session, many sessions on the same objects, and all of these die at once; then a session
        that ends with many."""
        ids = self.bulk(self.c, [frame("put_many", [[k] for k in range(IDS_MAX)])] * 40, 4)
        clients = [self.client({"name": "w%d" % k, "pool": "full"}) for k in range(PIPELINED)]
        self.told(clients[0], [frame("watch", part) for part in ids], 20)
        for client in clients[1:]:
            self.told(client, [frame("watch", ids[0])])
        self.bulk(self.c, [frame("release", part) for part in ids], 20)
        self.take(clients[0], 40 * IDS_MAX)
        for client in clients[1:]:
            self.take(client, IDS_MAX)
        self.told(clients[0], [frame("watch", self.some_ids(IDS_MAX)) for _ in range(40)], 20)
        for client in clients:
            client.call("bye")

    def do_unwatch(self):
        client = self.client({"name": "w", "pool": "full"})
        ids = [self.some_ids(IDS_MAX) for _ in range(20)]
        self.told(client, [frame("watch", part) for part in ids] + [frame("unwatch", part) for part in ids], 20)

    def do_guard(self):
        """Delivered because its only holder lets go, in a collection, and not at all."""
        client = self.client({"name": "g", "pool": "full"})
        ids = self.bulk(self.c, [frame("put", b"x" * 100)] * 20 * PIPELINED)
        ring = self.c.call("put_many", [[k, [-((k + 1) % IDS_MAX + 1)]] for k in range(IDS_MAX)])
        self.told(client, [frame("guard", obj) for obj in ids + ring])
        released = ids[:len(ids) // 2]
        self.bulk(self.c, [frame("release", part) for part in chunks(released, IDS_MAX)])
        self.bulk(self.c, [frame("release", ring)])
        self.c.call("gc_collect")
        self.take(client, len(released) + IDS_MAX)
        self.told(client, [frame("release", part) for part in chunks(released, IDS_MAX) + [ring]])
        client.call("bye")

    def do_unguard(self):
        client = self.client({"name": "g", "pool": "full"})
        ids = self.bulk(self.c, [frame("put", b"x" * 100)] * PIPELINED)
        self.told(client, [frame("guard", obj) for obj in ids] + [frame("unguard", obj) for obj in ids])

    def do_subscribe(self):
        """The most topics a call can name; then many subscribers, each of which goes back again and again."""
        clients = [self.client({"name": "s%d" % k, "pool": "full"}) for k in range(20)]
        many = frame("subscribe", ["gc"] * IDS_MAX, {"prefix": "nobody has this"})
        for client in clients:
            self.told(client, [many] * PIPELINED)
        seq = clients[0].call("subscribe", [])
        self.c.call("gc_collect")
        for client in clients:
            self.told(client, [frame("subscribe", ["gc"], {"from_seq": seq + 1, "prefix": ""})] * PIPELINED)
            client.call("ping")
            self.assertEqual({event.seq for event in client.events}, {seq + 1, seq + 2})
            client.call("bye")

    def do_unsubscribe(self):
        client = self.client({"name": "s", "pool": "full"})
        self.told(client, [frame("subscribe", ["gc"]), frame("unsubscribe", ["gc"] * IDS_MAX)] * PIPELINED)
        client.call("bye")

    # These end what the others need.

    def do_release(self):
        self.owner.call("release", self.head)
        self.assertEqual(self.owner.code("get", self.tail[-1]), "GONE")
        self.drain()
        self.bulk(self.c, [frame("release", obj) for obj in self.make_fat()])
        self.bulk(self.c, [frame("release", self.make_fat())])
        dying = [ids for ids in chunks(self.ids[CHAIN + NAMES:CHAIN + NAMES + 40 * IDS_MAX], IDS_MAX)]
        self.bulk(self.owner, [frame("release", ids) for ids in dying], 20)

    def do_kill(self):
        self.assertGreaterEqual(self.c.call("kill", self.second.hello_result["sid"]), CHAIN)
        self.second.wait_closed()

    def do_bye(self):
        self.assertGreater(self.owner.call("bye"), OBJECTS // 2)
        self.owner.wait_closed()

    def do_pool_drop(self):
        self.bulk(self.watcher, [frame("pool_drop", "p%d" % k) for k in range(50)])
        other = self.client({"name": "filler", "pool": "full"})
        self.bulk(other, [frame("put_many", [[k] for k in range(IDS_MAX)])] * (OBJECTS // IDS_MAX), 8)
        full = self.daemon.memory()
        self.watcher.call("pool_drop", "full", {"force": True})
        poll(lambda: self.daemon.memory() < full // 4, "the memory of the dropped pool is given back")

    # -----------------------------------------------------------------------------------------------

    def figures(self):
        return self.watcher.call("stats", "server")

    def drain(self):
        poll(lambda: self.c.call("stats", "gc")["backlog"] == 0, "gc.backlog 0")

    def run_case(self, name, case, bound=BOUND):
        before = self.figures()
        case()
        if name != "pool_drop":
            self.drain()
        after = self.figures()
        print("%-14s %9d units in %5d turns; most in one so far %6d, longest so far %6d us" % (
            name, after["units"] - before["units"], after["turns"] - before["turns"], after["turn_units_max"],
            after["turn_us_max"]))
        self.assertLessEqual(after["turn_units_max"], bound, name)

    def test_every_method(self):
        self.open()
        for name in ("objects", "chain", "holders", "sessions", "slots"):
            self.run_case("fill " + name, getattr(self, "fill_" + name))
        self.assertGreaterEqual(self.c.call("stats", "objects")["count"], OBJECTS + CHAIN)
        methods = [row["name"] for row in self.watcher.call("methods")]
        cases = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}
        self.assertEqual(set(methods), set(cases), "a method without a case, or a case without a method")
        last = ["release", "kill", "bye", "pool_drop"]
        for name in [name for name in methods if name not in last] + last:
            self.run_case(name, cases[name])
        # Some turn did much, or nothing was measured.
        self.assertGreater(self.figures()["turn_units_max"], REFS_MAX)

    # A pool whose memory is spent: what allocates has to free first ----------------------------------

    def spend(self):
        """Fills the pool: with what a session alone holds, then to the last byte."""
        items = Raw(encode([[b"x" * 100, [self.leaf] * 8]] * IDS_MAX))
        self.bulk(self.holder, [frame("put_many", items)] * 40, 4)
        for size in (100000, 1000, 100, 10):
            while self.c.bulk([frame("put", b"x" * size)])[0][2] is None:
                pass

    def allocate(self):
        """Ends the session and allocates in one go, so that freeing has not begun when memory is asked for."""
        items = Raw(encode([[b"x" * 100, [self.leaf] * 8]] * IDS_MAX))
        frames = [frame("kill", self.holder.hello_result["sid"])]
        frames += [frame("put_many", items)] * 4 + [frame("put", b"x" * 100)] * PIPELINED
        replies = self.c.bulk(frames, len(frames))
        # What one call frees first is less than the largest call needs, but enough for an object. Where the socket
        # has cut the bytes, the background may have freed more in between.
        for reply in replies[1:5]:
            self.assertTrue(reply[2] is None or reply[2].startswith("OOM "), reply[2])
        for reply in replies[:1] + replies[5:]:
            self.assertIsNone(reply[2])

    def fill_with_rings(self):
        """Rings that no trial can find, until no more fits, and let go: a full collection has to find them."""
        items = Raw(encode([[b"x" * 100, [-((k + 1) % IDS_MAX + 1)]] for k in range(IDS_MAX)]))
        rings = []
        while True:
            reply = self.c.bulk([frame("put_many", items)])[0]
            if reply[2] is not None:
                break
            rings.append(reply[3])
        self.assertGreater(len(rings), 10)
        for ring, other in zip(rings, rings[1:] + rings[:1]):
            self.c.call("link", ring[0], 1, other[0])
        self.bulk(self.c, [frame("release", ring) for ring in rings], 20)

    def large(self, value):
        """It waits for the collection, and others are served meanwhile. Want of memory begins one a second at most, and one has just
        ended on a fast machine: until then the answer is OOM."""
        def put():
            reply = self.c.reply("put", value)
            return reply.value() if reply.error is None or reply.exception().code != "OOM" else None
        self.assertEqual(self.c.call("get", poll(put, "there is memory again")), value)

    def test_full_pool(self):
        self.watcher = self.client()
        self.watcher.call("pool_create", "small", {"max_bytes": 24 << 20})
        self.c = self.client({"name": "caller", "pool": "small"})
        self.holder = self.client({"name": "holder", "pool": "small"})
        self.leaf = self.c.call("put", None)
        self.run_case("spend", self.spend)
        self.assertEqual(self.c.code("put", b"x" * 100), "OOM")
        self.run_case("allocate", self.allocate, BOUND_FULL)
        for name, value in (("stream", b"x" * (1 << 20)), ("staged", [b"x" * 100000] * 10)):
            self.watcher.call("pool_create", name, {"max_bytes": 24 << 20})
            self.c = self.client({"name": "caller", "pool": name})
            self.run_case("rings", self.fill_with_rings, BOUND_FULL)
            self.run_case(name, lambda large=value: self.large(large), BOUND_FULL)
        # Some turn did much, or nothing was measured.
        self.assertGreater(self.figures()["turn_units_max"], REFS_MAX // 2)


if __name__ == "__main__":
    unittest.main()
