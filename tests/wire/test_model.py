#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random calls by several sessions against a naive model: every result, every error code, at last every object.

HF_SEED replays a run; HF_TEST_LONG=1 runs the long form.
"""
import os
import random

from common import LONG, WireTest, unittest

SESSIONS = 5
NAMES = ["n%d" % i for i in range(12)]


class Failure(Exception):
    """What the contract says the call fails with: a code, and the index of the first bad entry of an array."""

    def __init__(self, code, index=None):
        super().__init__(code)
        self.code, self.index = code, index


class Thing:
    def __init__(self, value, slots, sealed=False):
        self.value, self.slots, self.sealed = value, slots, sealed
        self.holds = {}
        self.names = set()
        self.tickets = 0
        self.pointed = 0
        self.version = None

    def count(self):
        return sum(self.holds.values()) + len(self.names) + self.tickets + self.pointed


class Model:
    """A pool as a dictionary. Objects are known by the ids that the daemon gave them."""

    def __init__(self):
        self.things, self.names, self.tickets = {}, {}, {}
        self.versions = {}

    def thing(self, obj, index=None):
        if obj not in self.things:
            raise Failure("GONE", index)
        return self.things[obj]

    def bury(self, obj):
        queue = [obj]
        while queue:
            obj = queue.pop()
            thing = self.things.get(obj)
            if thing is None or thing.count():
                continue
            del self.things[obj]
            for target in thing.slots:
                if target is not None:
                    self.things[target].pointed -= 1
                    queue.append(target)

    # Each call below checks, changes, and returns the expected result.

    def check_refs(self, refs):
        for ref in refs:
            if ref is not None:
                self.thing(ref)

    def made(self, session, obj, value, refs, seal):
        self.things[obj] = Thing(value, list(refs), seal)
        self.things[obj].holds[session] = 1
        for ref in refs:
            if ref is not None:
                self.things[ref].pointed += 1

    def retain(self, session, ids, n):
        for index, obj in enumerate(ids):
            self.thing(obj, index)
        counts = []
        for obj in ids:
            holds = self.things[obj].holds
            holds[session] = holds.get(session, 0) + n
            counts.append(holds[session])
        return counts

    def release(self, session, ids, n):
        need = {}
        for index, obj in enumerate(ids):
            need[obj] = need.get(obj, 0) + n
            if obj not in self.things or self.things[obj].holds.get(session, 0) < need[obj]:
                raise Failure("NOTHELD", index)
        counts = []
        for obj in ids:
            counts.append(self.drop(session, obj, n))
        for obj in ids:
            self.bury(obj)
        return counts

    def drop(self, session, obj, n):
        holds = self.things[obj].holds
        holds[session] -= n
        return holds[session] or holds.pop(session)  # nothing left: 0

    def set(self, obj, value):
        thing = self.thing(obj)
        if thing.sealed:
            raise Failure("SEALED")
        thing.value = value

    def seal(self, obj):
        self.thing(obj).sealed = True
        return True

    def link(self, obj, slot, target):
        thing = self.thing(obj)
        if thing.sealed:
            raise Failure("SEALED")
        if slot > len(thing.slots):
            raise Failure("BADARG")
        if target is not None:
            self.thing(target).pointed += 1
        if slot == len(thing.slots):
            thing.slots.append(target)
            return None
        old, thing.slots[slot] = thing.slots[slot], target
        if old is not None:
            self.things[old].pointed -= 1
            self.bury(old)
        return old

    def bind(self, name, obj):
        thing = self.thing(obj)
        old = self.names.get(name)
        thing.names.add(name)
        self.names[name] = obj
        if old is not None and old != obj:
            self.things[old].names.discard(name)
            self.bury(old)

    def lookup(self, session, names):
        for index, name in enumerate(names):
            if name not in self.names:
                raise Failure("NOTFOUND", index)
        ids = [self.names[name] for name in names]
        for obj in ids:
            self.retain(session, [obj], 1)
        return ids

    def unname(self, names):
        for index, name in enumerate(names):
            if name not in self.names or name in names[:index]:
                raise Failure("NOTFOUND", index)
        for name in names:
            obj = self.names.pop(name)
            self.things[obj].names.discard(name)
            self.bury(obj)
        return [True] * len(names)

    def share(self, session, obj):
        if obj not in self.things or not self.things[obj].holds.get(session):
            raise Failure("NOTHELD")

    def shared(self, ticket, obj, uses):
        self.tickets[ticket] = [obj, uses]
        self.things[obj].tickets += 1

    def claim(self, session, ticket):
        if ticket not in self.tickets:
            raise Failure("NOTFOUND")
        obj = self.tickets[ticket][0]
        self.retain(session, [obj], 1)
        self.tickets[ticket][1] -= 1
        if self.tickets[ticket][1] == 0:
            self.unshare(ticket)
        return obj

    def unshare(self, ticket):
        if ticket not in self.tickets:
            raise Failure("NOTFOUND")
        obj = self.tickets.pop(ticket)[0]
        self.things[obj].tickets -= 1
        self.bury(obj)
        return True

    def end(self, session):
        dropped = 0
        for obj, thing in list(self.things.items()):
            dropped += thing.holds.pop(session, 0)
        for obj in list(self.things):
            self.bury(obj)
        return dropped


class Against(WireTest):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("HF_SEED") or random.SystemRandom().randrange(2 ** 32))
        self.rng = random.Random(self.seed)
        print("seed %d (HF_SEED=%d replays it)" % (self.seed, self.seed), flush=True)
        self.model = Model()
        self.clients = [None] * SESSIONS
        self.keys = [None] * SESSIONS
        self.sessions_made = 0
        self.sids = [None] * SESSIONS
        self.last_version = 0
        self.known, self.tickets = [], [bytes(16)]
        self.c.call("gc_config", {"enabled": False})  # the model counts and knows no cycles: they stay until the end
        for i in range(SESSIONS):
            self.open_session(i)

    def open_session(self, i):
        self.sessions_made += 1
        self.sids[i] = self.sessions_made
        self.clients[i] = self.client({"name": "s%d" % i, "lease_ms": 60000})
        self.keys[i] = self.clients[i].hello_result["session"]

    # Arguments: mostly good ones, and always some bad ones.

    def some_id(self, held_by=None):
        model, rng = self.model, self.rng
        if held_by is not None and rng.random() < 0.8:
            held = [obj for obj in self.known[-60:] if obj in model.things and held_by in model.things[obj].holds]
            if held:
                return rng.choice(held)
        if self.known and rng.random() < 0.97:
            return rng.choice(self.known[-60:])
        return rng.choice([12345, 2 ** 32 + 1, 2 ** 40 + 7])

    def some_refs(self):
        refs = [None if self.rng.random() < 0.2 else self.some_id() for _ in range(self.rng.choice((0, 0, 1, 2, 3, 7)))]
        if self.rng.random() < 0.9:
            refs = [ref for ref in refs if ref is None or ref in self.model.things]
        return refs

    def some_value(self):
        return self.rng.choice([None, True, 5, -1, 2 ** 60, 1.5, "text", "long" * 30, b"", b"b" * self.rng.randrange(300),
                                [1, [2, "x"]], {"a": 1}, b"z" * 5000, "w" * 70000])

    def some_names(self):
        return [self.rng.choice(NAMES) for _ in range(self.rng.choice((1, 1, 2, 3)))]

    # One random call: (params, what the model says, what to do with the daemon's result).

    def call(self, i, method, params, expect, learn=None):
        """expect: a function that returns the model's result or raises Failure; learn: takes what the model
        cannot know (ids, versions, tickets) from the daemon's result, and returns what is left to compare."""
        context = "seed %d: %s%r by session %d" % (self.seed, method, params, i)
        try:
            wanted = expect()
        except Failure as failure:
            reply = self.clients[i].reply(method, *params)
            self.assertIsNotNone(reply.error, context)
            error = reply.exception()
            self.assertEqual(error.code, failure.code, context + ": " + error.text)
            if failure.index is not None and isinstance(params[0], list):
                self.assertEqual(error.fields.get("index"), str(failure.index), context + ": " + error.text)
            return
        reply = self.clients[i].reply(method, *params)
        self.assertIsNone(reply.error, context)
        result = reply.result
        if learn:
            learn(result)
        else:
            self.assertEqual(result, wanted, context)

    def new_version(self, version):
        self.assertGreater(version, self.last_version, "seed %d: versions only grow" % self.seed)
        self.last_version = version

    def do_put(self, i):
        value, refs, seal = self.some_value(), self.some_refs(), self.rng.random() < 0.2
        options = {"refs": refs, "seal": seal} if refs or seal else {}

        def learn(obj):
            self.model.made(self.sids[i], obj, value, refs, seal)
            self.known.append(obj)
        self.call(i, "put", (value, options), lambda: self.model.check_refs(refs), learn)

    def do_put_many(self, i):
        items = []
        size = self.rng.randrange(1, 6)
        for _ in range(size):
            refs = self.some_refs()
            if self.rng.random() < 0.3:
                refs.append(-self.rng.randrange(1, size + 1))
            items.append([self.some_value(), refs])

        def expect():
            for index, (_, refs) in enumerate(items):
                try:
                    self.model.check_refs([ref for ref in refs if ref is not None and ref > 0])
                except Failure:
                    raise Failure("GONE", index) from None

        def learn(ids):
            made = [[ids[-ref - 1] if ref is not None and ref < 0 else ref for ref in refs] for _, refs in items]
            for obj, (value, _) in zip(ids, items):
                self.model.made(self.sids[i], obj, value, [], False)
            for obj, refs in zip(ids, made):
                self.model.things[obj].slots = refs
                for ref in refs:
                    if ref is not None:
                        self.model.things[ref].pointed += 1
            self.known.extend(ids)
        self.call(i, "put_many", (items,), expect, learn)

    def do_get(self, i):
        ids = [self.some_id() for _ in range(self.rng.choice((1, 2, 4)))]
        self.call(i, "get", (ids,), lambda: [self.model.thing(obj, index).value for index, obj in enumerate(ids)])
        self.call(i, "get", (ids[0],), lambda: self.model.thing(ids[0]).value)

    def do_set(self, i):
        obj, value = self.some_id(), self.some_value()
        self.call(i, "set", (obj, value), lambda: self.model.set(obj, value), self.new_version)

    def do_seal(self, i):
        obj = self.some_id()
        if self.rng.random() < 0.1:
            self.call(i, "seal", (obj,), lambda: self.model.seal(obj))

    def do_refs(self, i):
        obj = self.some_id()
        self.call(i, "refs", (obj,), lambda: self.model.thing(obj).slots)

    def do_link(self, i):
        obj, target = self.some_id(), None if self.rng.random() < 0.3 else self.some_id()
        thing = self.model.things.get(obj)
        slot = self.rng.randrange(len(thing.slots) + 2) if thing else 0
        if target is not None and target not in self.model.things and thing and (thing.sealed or slot > len(thing.slots)):
            return  # two things are wrong with it; the contract does not say which is told
        self.call(i, "link", (obj, slot, target), lambda: self.model.link(obj, slot, target))

    def do_retain(self, i):
        ids, n = [self.some_id() for _ in range(self.rng.choice((1, 2, 5)))], self.rng.choice((1, 1, 2, 9))
        self.call(i, "retain", (ids, n), lambda: self.model.retain(self.sids[i], ids, n))

    def do_release(self, i):
        sid = self.sids[i]
        ids, n = [self.some_id(held_by=sid) for _ in range(self.rng.choice((1, 1, 2, 5)))], self.rng.choice((1, 1, 1, 2))
        self.call(i, "release", (ids, n), lambda: self.model.release(sid, ids, n))

    def do_name(self, i):
        name, obj = self.rng.choice(NAMES), self.some_id()
        self.call(i, "name", (name, obj), lambda: self.model.bind(name, obj), self.new_version)

    def do_store(self, i):
        name, value = self.rng.choice(NAMES), self.some_value()

        def learn(result):
            obj, version = result
            self.new_version(version)
            self.model.things[obj] = Thing(value, [])
            self.model.bind(name, obj)
            self.known.append(obj)
        self.call(i, "store", (name, value), lambda: None, learn)

    def do_lookup(self, i):
        names = self.some_names()
        self.call(i, "lookup", (names,), lambda: self.model.lookup(self.sids[i], names))

    def do_fetch(self, i):
        names = self.some_names()

        def expect():
            for index, name in enumerate(names):
                if name not in self.model.names:
                    raise Failure("NOTFOUND", index)
            return [self.model.things[self.model.names[name]].value for name in names]
        self.call(i, "fetch", (names,), expect)

    def do_unname(self, i):
        names = self.some_names()
        self.call(i, "unname", (names,), lambda: self.model.unname(names))

    def do_share(self, i):
        obj, uses = self.some_id(held_by=self.sids[i]), self.rng.choice((1, 1, 2, 5))

        def learn(ticket):
            self.model.shared(ticket, obj, uses)
            self.tickets.append(ticket)
        self.call(i, "share", (obj, {"uses": uses, "ttl_ms": 10 ** 9}), lambda: self.model.share(self.sids[i], obj), learn)

    def do_claim(self, i):
        ticket = self.rng.choice(self.tickets[-20:])
        self.call(i, "claim", (ticket,), lambda: self.model.claim(self.sids[i], ticket))

    def do_unshare(self, i):
        ticket = self.rng.choice(self.tickets[-20:])
        self.call(i, "unshare", (ticket,), lambda: self.model.unshare(ticket))

    def do_inspect(self, i):
        obj = self.some_id()
        thing = self.model.things.get(obj)
        if thing is None:
            self.assertCode("GONE", self.clients[i], "inspect", obj)
        else:
            self.compare(self.clients[i], obj, thing)

    def do_end(self, i):
        if self.rng.random() < 0.7:
            return
        dropped = self.model.end(self.sids[i])
        self.assertEqual(self.clients[i].call("bye"), dropped, "seed %d: bye" % self.seed)
        self.open_session(i)

    def do_resume(self, i):
        if self.rng.random() < 0.5:
            self.clients[i].close()
        self.clients[i] = self.client({"session": self.keys[i]})
        held = sum(1 for thing in self.model.things.values() if self.sids[i] in thing.holds)
        self.assertEqual(self.clients[i].hello_result["held"], held, "seed %d: held" % self.seed)

    def compare(self, client, obj, thing):
        row = client.call("inspect", obj)
        held = {"sessions": sum(thing.holds.values()), "slots": thing.pointed, "names": len(thing.names),
                "tickets": thing.tickets}
        context = "seed %d: object %d" % (self.seed, obj)
        self.assertEqual(row["held_by"], held, context)
        self.assertEqual((row["count"], row["slots"], row["state"]),
                         (thing.count(), len(thing.slots), "sealed" if thing.sealed else "mutable"), context)

    def compare_all(self):
        c = self.c
        self.assertEqual(self.assertVerified(c)["objects"], len(self.model.things), "seed %d" % self.seed)
        self.assertEqual(c.call("stats", "objects")["count"], len(self.model.things))
        for obj, thing in self.model.things.items():
            self.compare(c, obj, thing)
            self.assertEqual(c.call("get", obj), thing.value)
            self.assertEqual(c.call("refs", obj), thing.slots)
        self.assertEqual(dict(c.call("names", 0)[1]), self.model.names)

    def test_random_calls(self):
        calls = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")]
        calls += [self.do_put, self.do_put, self.do_put_many, self.do_release, self.do_release, self.do_release, self.do_link]
        steps = 100000 if LONG else 15000
        for step in range(steps):
            self.rng.choice(calls)(self.rng.randrange(SESSIONS))
            if step % 3000 == 2999:
                self.compare_all()
        # Sessions, names and tickets end: only cycles stay.
        for i in range(SESSIONS):
            dropped = self.model.end(self.sids[i])
            self.assertEqual(self.clients[i].call("bye"), dropped)
        for name in list(self.model.names):
            self.model.unname([name])
            self.c.call("unname", name)
        for ticket in list(self.model.tickets):
            self.model.unshare(ticket)
            self.c.call("unshare", ticket)
        self.compare_all()
        self.c.call("gc_collect")
        self.assertEqual(self.assertVerified(self.c)["objects"], 0)


if __name__ == "__main__":
    unittest.main()
