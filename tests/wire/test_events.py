#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Events on the wire: watch, guard, subscribe; who is told what, when, and nothing else."""
import time

from common import Raw, WireTest, encode, poll, unittest

# Their events are more than a socket takes.
MANY = 100000


class EventTest(WireTest):
    def session(self, pool=None, lease_ms=60000, **more):
        hello = dict(more, lease_ms=lease_ms)
        if pool:
            hello["pool"] = pool
        return self.client(hello)

    def resume(self, client):
        """A new connection with the session of `client`."""
        return self.client({"session": client.hello_result["session"]})

    def assertEvent(self, client, topic, **fields):
        event = client.next_event()
        self.assertEqual((event.topic, event.map), (topic, fields))
        return event.seq

    def assertFreed(self, client, obj, reason):
        return self.assertEvent(client, "freed", id=obj, reason=reason)


class Watches(EventTest):
    def test_golden(self):
        w, c = self.session(), self.client()
        obj = c.call("put", "x")
        self.assertIs(w.call("watch", obj), True)
        c.call("release", obj)
        event = w.next_event()
        self.assertEqual(event.raw, b"\x93\x02\xa5event\x93\x01\xa5freed\x82\xa2id" + encode(obj)
                         + b"\xa6reason\xa7release")

    def test_arrays(self):
        w, c = self.session(), self.client()
        a, b = c.call("put", 1), c.call("put", 2)
        self.assertEqual(w.call("watch", [a, b, a]), [True, True, True])
        self.assertEqual(w.call("watch", []), [])
        self.assertEqual(w.call("unwatch", [a]), [True])
        self.assertIs(w.call("unwatch", a), True)
        c.call("release", [a, b])
        self.assertFreed(w, b, "release")
        w.no_event()

    def test_errors(self):
        w, c = self.session(), self.client()
        a, b = c.call("put", 1), c.call("put", 2)
        c.call("release", b)
        for method in "watch", "unwatch":
            self.assertEqual(self.assertCode("GONE", w, method, [a, b]).fields["index"], "1")
            self.assertNotIn("index", self.assertCode("GONE", w, method, b).fields)
            self.assertCode("BADARG", w, method)
            self.assertCode("BADARG", w, method, "x")
            self.assertCode("BADARG", w, method, a, {"n": 1})
            self.assertCode("LIMIT", w, method, [a] * 1025)
        c.call("release", a)  # of the failed calls none took effect
        w.no_event()

    def test_reply_first(self):
        c = self.client()
        obj = c.call("put", "x")
        c.call("watch", obj)
        first = c.next_msgid
        c.pipeline([("release", obj), ("ping",)])
        self.assertEqual(c.next_msgid, first + 2)
        self.assertFreed(c, obj, "release")

    def test_as_notifications(self):
        c = self.session()
        obj = c.call("put", "x")
        c.notify("watch", obj)
        c.notify("release", obj)
        self.assertFreed(c, obj, "release")

    def test_reasons(self):
        w, c, pool = self.session(), self.session(), "default"
        dead = self.session(pool)
        value = iter(range(1000))

        def put(client=c, **options):
            obj = client.call("put", next(value), options)
            w.call("watch", obj)
            return obj

        obj = put()
        c.call("release", obj)
        self.assertFreed(w, obj, "release")
        leaf = put()
        root = put(refs=[leaf])
        c.call("release", leaf)
        c.call("link", root, 0, None)
        self.assertFreed(w, leaf, "unlink")
        obj = put()
        c.call("name", "n", obj)
        c.call("release", obj)
        c.call("unname", "n")
        self.assertFreed(w, obj, "unname")
        obj = put()
        c.call("name", "n", obj)
        c.call("release", obj)
        c.call("store", "n", "other")
        self.assertFreed(w, obj, "replaced")
        obj = put()
        ticket = c.call("share", obj)
        c.call("release", obj)
        c.call("unshare", ticket)
        self.assertFreed(w, obj, "ticket")
        obj = put()
        ticket = c.call("share", obj, {"ttl_ms": 1})
        c.call("release", obj)
        self.assertFreed(w, obj, "ticket")
        opened = c.call("put", None, {"size": 10})
        w.call("watch", opened)
        c.call("release", opened)
        self.assertFreed(w, opened, "abort")
        obj = put(dead)
        dead.call("bye")
        self.assertFreed(w, obj, "session_end")
        victim = self.session()
        obj = put(victim)
        c.call("kill", victim.hello_result["sid"])
        self.assertFreed(w, obj, "kill")
        anonymous = self.client()
        obj = put(anonymous)
        anonymous.close()
        self.assertFreed(w, obj, "session_end")

    def test_a_cascade_has_the_reason_of_its_root(self):
        w, c = self.session(), self.client()
        ids = [c.call("put", 0)]
        for _ in range(500):
            ids.append(c.call("put", 0, {"refs": [ids[-1]]}))
        c.call("release", ids[:-1])
        c.call("name", "head", ids[-1])
        c.call("release", ids[-1])
        w.call("watch", ids)
        c.call("unname", "head")
        for obj in reversed(ids):
            self.assertFreed(w, obj, "unname")
        w.no_event()

    def test_cycles(self):
        w, c = self.pool_client(), self.pool_client()
        ring = c.call("put_many", [[k, [-(k + 2) if k < 9 else -1]] for k in range(10)])
        w.call("watch", ring)
        c.call("release", ring)
        w.no_event()
        c.call("gc_collect")
        freed = {w.next_event().map["id"] for _ in ring}
        self.assertEqual(freed, set(ring))
        w.no_event()

    def test_many_watchers(self):
        c = self.client()
        obj = c.call("put", "x")
        watchers = [self.session() for _ in range(100)]
        for w in watchers:
            w.call("watch", obj)
        c.call("release", obj)
        for w in watchers:
            self.assertFreed(w, obj, "release")

    def test_stats(self):
        w, c = self.pool_client(), self.pool_client()
        a, b = c.call("put", 1), c.call("put", 2)
        w.call("watch", a)
        w.call("guard", b)
        self.assertEqual(w.call("subscribe", ["gc"]), w.call("stats", "events")["seq"])
        before = c.call("stats", "events")
        self.assertEqual((before["watches"], before["guards"], before["subscribers"], before["waiting"]), (1, 1, 1, 0))
        c.call("release", [a, b])
        w.next_event()
        w.next_event()
        after = c.call("stats", "events")
        self.assertEqual((after["watches"], after["guards"], after["told"]), (0, 0, before["told"] + 2))


class Sessions(EventTest):
    def test_events_wait_in_grace_until_asked_for(self):
        w, c = self.session(), self.client()
        ids = [c.call("put", k) for k in range(4)]
        w.call("watch", ids)
        c.call("release", ids[0])
        self.assertEqual(self.assertFreed(w, ids[0], "release"), 1)
        w.close()
        poll(lambda: any(row["sid"] == w.hello_result["sid"] and row["state"] == "grace" for row in c.call("sessions")),
             "grace")
        c.call("release", ids[1])
        again = self.resume(w)
        c.call("release", ids[2])
        for _ in range(10):
            again.call("ping")  # an event here fails: this connection has not asked
        again.call("subscribe", [])
        self.assertEqual(self.assertFreed(again, ids[1], "release"), 2)
        self.assertEqual(self.assertFreed(again, ids[2], "release"), 3)
        c.call("release", ids[3])
        self.assertEqual(self.assertFreed(again, ids[3], "release"), 4)
        again.no_event()

    def test_a_call_that_fails_asks_too(self):
        w, c = self.session(), self.client()
        obj = c.call("put", 1)
        w.call("watch", obj)
        w.close()
        poll(lambda: c.call("stats", "sessions")["grace"] > 0, "grace")
        c.call("release", obj)
        again = self.resume(w)
        self.assertCode("GONE", again, "watch", obj)
        self.assertFreed(again, obj, "release")

    def test_a_newcomer_takes_the_events(self):
        w, c = self.session(), self.client()
        obj = c.call("put", 1)
        w.call("watch", obj)
        again = self.resume(w)
        w.wait_closed()
        c.call("release", obj)
        again.call("subscribe", [])
        self.assertFreed(again, obj, "release")

    def test_the_end_of_a_session_cancels(self):
        w, c = self.pool_client(), self.pool_client()
        ids = c.call("put_many", [[k] for k in range(5)])
        w.call("watch", ids)
        w.call("guard", ids[0])
        w.call("bye")
        poll(lambda: c.call("stats", "sessions")["ending"] == 0, "the session's end")
        stats = c.call("stats", "events")
        self.assertEqual((stats["watches"], stats["guards"], stats["waiting"]), (0, 0, 0))
        c.call("release", ids)
        self.assertGone(c, ids[0])
        self.assertVerified(c)

    def test_two_connections_hear_their_own(self):
        a, b, c = self.session(), self.session(), self.client()
        ids = [c.call("put", k) for k in range(2)]
        a.call("watch", ids[0])
        b.call("watch", ids[1])
        c.call("release", ids)
        self.assertEqual(self.assertFreed(a, ids[0], "release"), 1)
        self.assertEqual(self.assertFreed(b, ids[1], "release"), 1)
        a.no_event()
        b.no_event()

    def test_hello_after_a_notification_that_asks(self):
        """The anonymous session of the notification ends, and what it asked for with it."""
        c = self.client()
        obj = c.call("put", 1)
        w = self.client()
        w.notify("watch", obj)
        w.call("hello", {})
        w.asked = False
        c.call("release", obj)
        for _ in range(10):
            w.call("ping")


class Guards(EventTest):
    def test_unreachable(self):
        w, c = self.session(), self.client()
        obj = c.call("put", "x")
        self.assertIs(w.call("guard", obj), True)
        self.assertEqual(self.count(c, obj), 1)
        c.call("release", obj)
        event = w.next_event()
        self.assertEqual(event.raw, b"\x93\x02\xa5event\x93\x01\xabunreachable\x81\xa2id" + encode(obj))
        self.assertEqual([row["sid"] for row in c.call("holders", obj)], [w.hello_result["sid"]])
        self.assertEqual(w.call("get", obj), "x")
        self.assertEqual(w.call("release", obj), 0)
        self.assertGone(c, obj)
        w.no_event()

    def test_errors(self):
        w, c = self.session(), self.client()
        obj, dead = c.call("put", 1), c.call("put", 2)
        c.call("release", dead)
        self.assertCode("GONE", w, "guard", dead)
        self.assertCode("GONE", w, "unguard", dead)
        w.call("guard", obj)
        self.assertCode("CONFLICT", w, "guard", obj)
        self.assertCode("CONFLICT", c, "guard", obj)
        self.assertCode("CONFLICT", c, "unguard", obj)
        self.assertIs(w.call("unguard", obj), True)
        self.assertCode("CONFLICT", w, "unguard", obj)
        self.assertCode("BADARG", w, "guard", [obj])
        self.assertCode("BADARG", w, "guard")
        self.assertCode("UNSEALED", w, "guard", c.call("put", None, {"size": 3}))
        c.call("release", obj)
        self.assertGone(c, obj)
        w.no_event()

    def test_in_grace(self):
        w, c = self.session(), self.client()
        obj = c.call("put", "x")
        w.call("guard", obj)
        w.close()
        poll(lambda: c.call("stats", "sessions")["grace"] > 0, "grace")
        c.call("release", obj)
        self.assertEqual(c.call("get", obj), "x")
        again = self.resume(w)
        self.assertEqual(again.hello_result["held"], 1)
        again.call("subscribe", [])
        self.assertEvent(again, "unreachable", id=obj)
        again.no_event()
        again.call("release", obj)
        self.assertGone(c, obj)

    def test_the_session_ends_in_grace(self):
        w, c = self.session(lease_ms=1), self.session()
        obj = c.call("put", "x")
        w.call("guard", obj)
        c.call("watch", obj)
        c.call("release", obj)
        self.assertEvent(w, "unreachable", id=obj)
        w.close()
        self.assertFreed(c, obj, "session_end")

    def test_cycle(self):
        w, c = self.pool_client(), self.pool_client()
        ring = c.call("put_many", [["a", [-2]], ["b", [-1]]])
        w.call("guard", ring[0])
        c.call("release", ring)
        self.assertEqual(c.call("gc_collect")["collected"], 0)
        self.assertEvent(w, "unreachable", id=ring[0])
        self.assertEqual(w.call("get", ring), ["a", "b"])
        w.call("release", ring[0])
        self.assertEqual(c.call("gc_collect")["collected"], 2)
        w.no_event()


class Topics(EventTest):
    def collect(self, client, kind="full"):
        client.call("gc_config", {"young_after_ms": 86400000})  # none begins by itself
        ids = client.call("put_many", [["x", [-1]]])
        client.call("release", ids)
        client.call("gc_collect", {"kind": kind})

    def test_start_and_end(self):
        w, c = self.pool_client(), self.pool_client()
        seq = w.call("subscribe", ["gc"])
        self.collect(c)
        start, end = w.next_event(), w.next_event()
        self.assertEqual((start.seq, start.topic, end.seq, end.topic), (seq + 1, "gc", seq + 2, "gc"))
        self.assertEqual(start.map, {"phase": "start", "kind": "full", "trigger": "call", "dry_run": False,
                                     "candidates": start.map["candidates"]})
        self.assertEqual(set(end.map), {"phase", "kind", "trigger", "dry_run", "candidates", "unreachable", "collected",
                                        "bytes", "delivered", "units"})
        self.assertEqual((end.map["phase"], end.map["collected"]), ("end", 1))
        self.assertIs(w.call("unsubscribe", ["gc"]), True)
        self.collect(c)
        w.no_event()

    def test_young_ones_are_told(self):
        w, c = self.pool_client(), self.pool_client()
        w.call("subscribe", ["gc"])
        self.collect(c, "young")
        start, end = w.next_event(), w.next_event()
        self.assertEqual([(e.map["phase"], e.map["kind"], e.map["trigger"], e.map["dry_run"]) for e in (start, end)],
                         [("start", "young", "call", False), ("end", "young", "call", False)])
        self.assertEqual((end.map["candidates"], end.map["unreachable"], end.map["collected"]), (1, 1, 1))
        w.no_event()

    def test_prefix_and_replay(self):
        w, c, late = self.pool_client(), self.pool_client(), self.pool_client()
        seq = w.call("subscribe", ["gc"], {"prefix": "end"})
        for _ in range(3):
            self.collect(c)
        self.assertEqual([w.next_event().seq for _ in range(3)], [seq + 2, seq + 4, seq + 6])
        self.assertEqual(late.call("subscribe", ["gc"], {"from_seq": seq + 3}), seq + 6)
        self.assertEqual([late.next_event().seq for _ in range(4)], [seq + 3, seq + 4, seq + 5, seq + 6])
        w.no_event()
        late.no_event()

    def test_gap(self):
        w, c = self.pool_client(), self.pool_client()
        seq = w.call("subscribe", ["gc"])
        self.collect(c)
        w.next_event()
        w.next_event()
        w.call("unsubscribe", ["gc"])
        self.collect(c)
        latest = w.call("subscribe", ["gc"], {"from_seq": seq + 3})
        self.assertEqual(self.assertEvent(w, "gap", **{"of": "ring", "from": seq + 3, "to": latest}), latest)
        self.collect(c)
        self.assertEqual(w.next_event().seq, latest + 1)

    def test_reconnect_goes_on_where_it_was(self):
        w, c = self.pool_client(lease_ms=60000), self.pool_client()
        seq = w.call("subscribe", ["gc"])
        w.close()
        poll(lambda: c.call("stats", "sessions")["grace"] == 1, "grace")
        self.collect(c)
        again = self.resume(w)
        again.call("subscribe", [])
        self.assertEqual([again.next_event().seq for _ in range(2)], [seq + 1, seq + 2])

    def test_errors(self):
        w = self.pool_client()
        for topics in (None, "gc", 1, {"gc": 1}):
            self.assertCode("BADARG", w, "subscribe", topics)
        self.assertCode("BADARG", w, "subscribe")
        error = self.assertCode("BADARG", w, "subscribe", ["gc", "names"])
        self.assertEqual((error.fields["arg"], error.fields["index"]), ("topics", "1"))
        self.assertCode("BADARG", w, "subscribe", ["gc", 1])
        for own in "freed", "unreachable", "gap":
            self.assertCode("BADARG", w, "subscribe", [own])
        self.assertCode("LIMIT", w, "subscribe", ["gc"] * 1025)
        self.assertCode("BADARG", w, "subscribe", ["gc"], {"from_seq": 0})
        self.assertCode("BADARG", w, "subscribe", ["gc"], {"from_seq": 2 ** 52})
        self.assertCode("BADARG", w, "subscribe", ["gc"], {"prefix": 1})
        self.assertCode("BADARG", w, "subscribe", ["gc"], {"prefix": "x" * 256})
        self.assertCode("BADARG", w, "subscribe", ["gc"], {"filter": "x"})
        self.assertCode("BADARG", w, "unsubscribe", ["gc"], {"prefix": "x"})
        self.assertEqual(w.call("stats", "events")["subscribers"], 0)
        self.assertIs(w.call("unsubscribe", ["gc"]), True)
        w.call("subscribe", [Raw(b"\xc4\x02gc"), "gc"])  # as bin, and twice
        self.assertEqual(w.call("stats", "events")["subscribers"], 1)


class SlowReaders(EventTest):
    def unread(self):
        """(c, w, ids): MANY objects that w watched have died, and w has read nothing of it."""
        c = self.pool_client()
        w = self.session(c.hello_result["pool"])
        ids = []
        for _ in range(MANY // 1000):
            part = c.call("put_many", [[0]] * 1000)
            w.call("watch", part)
            ids += part
        for k in range(0, len(ids), 1000):
            c.call("release", ids[k:k + 1000])
        self.wait_backlog(c)
        self.assertGreater(c.call("stats", "events")["waiting"], MANY // 10)
        return c, w, ids

    def test_nothing_is_lost_and_nobody_waits(self):
        c, w, ids = self.unread()
        self.assertEqual(c.call("stats", "connections")["cut"], 0)
        events = [w.next_event() for _ in ids]
        self.assertEqual([event.seq for event in events], list(range(1, len(ids) + 1)))
        self.assertEqual(sorted(event.map["id"] for event in events), sorted(ids))
        poll(lambda: c.call("stats", "events")["waiting"] == 0, "nothing waits")
        w.no_event()
        self.assertVerified(c)

    def test_replies_do_not_wait_for_all_events(self):
        _, w, ids = self.unread()
        msgid = w.request("ping")
        self.assertEqual(w.recv().msgid, msgid)  # behind the events that were on their way
        self.assertLess(len(w.events), len(ids))

    def test_a_session_that_leaves_in_the_middle(self):
        _, w, ids = self.unread()
        seen = [w.next_event() for _ in range(10)]
        self.assertEqual([event.seq for event in seen], list(range(1, 11)))
        w.close()
        again = self.resume(w)
        again.call("subscribe", [])
        # What the socket had taken is lost with it; all behind that comes, under its old numbers.
        seqs = [again.next_event().seq]
        self.assertGreater(seqs[0], 1)
        while seqs[-1] != len(ids):
            seqs.append(again.next_event().seq)
        self.assertEqual(seqs, list(range(seqs[0], len(ids) + 1)))
        again.no_event()


class DroppedPools(EventTest):
    def test_watchers_are_told(self):
        c = self.pool_client()
        pool = c.hello_result["pool"]
        w, idle = self.session(pool), self.session(pool)
        ids = c.call("put_many", [[k] for k in range(1000)])
        w.call("watch", ids[:300])
        c.call("watch", ids[0])
        self.assertIs(c.call("pool_drop", pool, {"force": True}), True)
        self.assertFreed(c, ids[0], "pool_drop")  # behind the reply
        c.wait_closed()
        seen = [w.next_event() for _ in range(257)]
        self.assertLessEqual({event.map["id"] for event in seen[:-1]}, set(ids[:300]))
        self.assertEqual({event.map["reason"] for event in seen[:-1]}, {"pool_drop"})
        self.assertEqual((seen[-1].topic, seen[-1].map), ("gap", {"of": "session", "from": 257, "to": 300}))
        w.wait_closed()
        idle.wait_closed()
        poll(lambda: pool not in [row["name"] for row in self.c.call("pools")], "the pool is gone")
        self.c.call("pool_create", pool)

    def test_who_drops_may_be_elsewhere(self):
        c = self.pool_client()
        pool = c.hello_result["pool"]
        obj = c.call("put", "x")
        c.call("watch", obj)
        self.c.call("pool_drop", pool, {"force": True})
        self.assertFreed(c, obj, "pool_drop")
        c.wait_closed()


class SeveralWorkers(DroppedPools):
    daemon_args = ("--workers", "2")


class Ops(EventTest):
    """The topic ops: a sample of the requests of a pool."""

    def pair(self, **options):
        c = self.pool_client(name="worker", pid=7)
        w = self.session(pool=c.hello_result["pool"], name="tracer")
        w.call("subscribe", ["ops"], options)
        if "prefix" not in options:
            w.next_event()  # the subscription itself
        return w, c

    def test_every_request_when_they_are_few(self):
        w, c = self.pair(rate=10000)
        obj = c.call("put", "private", {"tag": "t"})
        c.call("get", obj)
        self.assertEqual(c.code("get", 5), "GONE")
        for method, args in (("put", '<7 bytes>, {tag: "t"}'), ("get", str(obj)), ("get", "5")):
            event = w.next_event()
            self.assertEqual(event.topic, "ops")
            self.assertEqual((event.map["method"], event.map["args"]), (method, args))
            self.assertEqual((event.map["sid"], event.map["name"], event.map["pid"], event.map["passed"]),
                             (c.hello_result["sid"], "worker", 7, 1))
            self.assertGreater(event.map["bytes"], 5)
            self.assertIn("duration_us", event.map)

    def test_calls_of_several_turns(self):
        w, c = self.pair(rate=10000)
        c.call("gc_collect")
        self.assertEqual(w.next_event().map["method"], "gc_collect")

    def test_a_sample_of_many(self):
        """What was passed adds up, and no more are told than the rate allows: a tenth of a second's worth at once, and
        what time brings."""
        w, c = self.pair(rate=20)
        obj = c.call("put", "x")
        begin = time.monotonic()
        c.pipeline([("get", obj)] * 20000)
        took_s = time.monotonic() - begin
        w.call("unsubscribe", ["ops"])
        told = [event.map for event in w.events]
        self.assertLessEqual(len(told), 20 * (took_s + 2))
        self.assertLessEqual(sum(op["passed"] for op in told), 20003)
        self.assertGreaterEqual(sum(op["passed"] for op in told), 1)

    def test_prefix_and_pools(self):
        w, c = self.pair(rate=10000, prefix="put")
        other = self.client()
        other.call("put", 1)
        c.call("ping")
        c.call("put_many", [[1]])
        event = w.next_event()
        self.assertEqual((event.map["method"], event.map["args"]), ("put_many", "[[1]]"))

    def test_rate(self):
        w = self.session()
        for rate in (0, 10001, "x"):
            self.assertCode("BADARG", w, "subscribe", ["ops"], {"rate": rate})
        self.assertCode("BADARG", w, "subscribe", ["gc"], {"rate": 5})
        self.assertCode("BADARG", w, "subscribe", [], {"rate": 5})

    def test_nobody_listens_any_more(self):
        w, c = self.pair(rate=10000)
        w.call("unsubscribe", ["ops"])
        del w.events[:]
        c.call("ping")
        w.no_event()
        self.assertEqual(w.call("stats", "events")["subscribers"], 0)


if __name__ == "__main__":
    unittest.main()
