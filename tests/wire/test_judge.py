#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A second judge: CPython and the pool are given the same random graph and the same changes of it, and the same objects must
be alive after each of them: of what nothing refers to any more by count, and of cycles after gc.collect() and gc_collect.

A hold is a reference in a list, a name one in a dictionary, a slot an attribute, and a guard a __del__() that puts its object
back into the list: it is called once, of all unreachable objects that have one, before any of them is freed (PEP 442).
Who lives is asked of the collector itself: weak references to an object that its __del__() revives would be cleared.

HF_SEED replays a graph; HF_TEST_LONG=1 tries more of them.
"""
import gc
import os
import random

from common import LONG, WireTest, unittest

SEED = int(os.environ.get("HF_SEED") or 0)
GRAPHS = 1 if SEED else 3000 if LONG else 150
SLOTS = ["s%d" % k for k in range(20)]  # more than what fits an entry
NAMES = 5


class Node:
    __slots__ = ("number", *SLOTS)

    def __init__(self, number):
        self.number = number
        for slot in SLOTS:
            setattr(self, slot, None)


class Guarded(Node):
    __slots__ = ("world",)

    def __init__(self, number, world):
        super().__init__(number)
        self.world = world

    def __del__(self):
        self.world.delivered.append(self.number)
        self.world.held.append(self)


class Cpython:
    """Objects by number. No reference to one is left in a variable when a method returns."""

    def __init__(self):
        self.held, self.names, self.delivered, self.made = [], {}, [], 0
        gc.collect()
        gc.freeze()  # what was there before is none of our business

    def make(self, guarded):
        first = self.made
        self.made += len(guarded)
        self.held += [Guarded(first + k, self) if is_guarded else Node(first + k) for k, is_guarded in enumerate(guarded)]

    def find(self, number):
        """One that is held or named, directly."""
        return next(node for node in [*self.held, *self.names.values()] if node.number == number)

    def holds(self):
        return [node.number for node in self.held]

    def link(self, number, slot, target):
        setattr(self.find(number), SLOTS[slot], None if target is None else self.find(target))

    def retain(self, number):
        self.held.append(self.find(number))

    def release(self, numbers):
        for number in numbers:
            self.held.pop(next(k for k, node in enumerate(self.held) if node.number == number))

    def name(self, name, number):
        self.names[name] = self.find(number)

    def unname(self, name):
        del self.names[name]

    def collect(self):
        gc.collect()

    def alive(self):
        return {node.number for node in gc.get_objects() if isinstance(node, Node)}


class Pool:
    """The same, by calls."""

    def __init__(self, client):
        self.client = client
        self.ids, self.numbers = [], {}

    def make(self, guarded):
        ids = self.client.call("put_many", [[None, [None] * len(SLOTS)] for _ in guarded])
        for obj, is_guarded in zip(ids, guarded):
            if is_guarded:
                self.client.call("guard", obj)
            self.numbers[obj] = len(self.ids)
            self.ids.append(obj)

    def link(self, number, slot, target):
        self.client.call("link", self.ids[number], slot, None if target is None else self.ids[target])

    def retain(self, number):
        self.client.call("retain", self.ids[number])

    def release(self, numbers):
        for number in numbers:
            self.client.call("release", self.ids[number])

    def name(self, name, number):
        self.client.call("name", name, self.ids[number])

    def unname(self, name):
        self.client.call("unname", name)

    def collect(self):
        self.client.call("gc_collect")

    def alive(self):
        cursor, found = self.client.call("scan", 0)
        while cursor:
            cursor, more = self.client.call("scan", cursor)
            found += more
        return {self.numbers[obj] for obj in found}

    @property
    def delivered(self):
        self.client.call("ping")
        self.client.call("ping")  # what was to be told is behind the first reply
        return [self.numbers[event.map["id"]] for event in self.client.events]


class Judge(WireTest):
    def both(self, word, *params):
        for side in (self.python, self.pool):
            getattr(side, word)(*params)

    def compare(self, what):
        self.wait_backlog(self.p)
        expected, found = self.python.alive(), self.pool.alive()
        if self.guards and sorted(self.pool.delivered) != sorted(self.python.delivered):
            self.fail("HF_SEED=%d: after %s, delivered by the pool: %s, by CPython: %s" % (
                self.seed, what, self.pool.delivered, self.python.delivered))
        if found != expected:
            self.fail("HF_SEED=%d: after %s, only in the pool: %s, only in CPython: %s" % (
                self.seed, what, sorted(found - expected), sorted(expected - found)))

    # A graph ---------------------------------------------------------------------------------------

    def ring(self, numbers, slot):
        for number, following in zip(numbers, numbers[1:] + numbers[:1]):
            self.both("link", number, slot, following)

    def chain(self, numbers, slot):
        for number, following in zip(numbers, numbers[1:]):
            self.both("link", number, slot, following)

    def build(self, rng):
        count = rng.choice((1, 3, 10, 30, 90, 300) if rng.random() < 0.2 else (3, 10, 30))
        guards = rng.choice((0, 0, 0.05, 0.4))
        self.guards = guards != 0
        self.both("make", [rng.random() < guards for _ in range(count)])
        numbers = list(range(count))
        for _ in range(rng.randrange(4)):
            shape, slot = rng.choice((self.ring, self.chain)), rng.randrange(len(SLOTS))
            shape(rng.sample(numbers, rng.randrange(1, count + 1)), slot)
        for _ in range(rng.randrange(2 * count)):
            self.both("link", rng.choice(numbers), rng.choice((0, 1, rng.randrange(len(SLOTS)))), rng.choice(numbers))

    # What happens to it ----------------------------------------------------------------------------

    def change(self, rng):
        """One operation on what is held; its name."""
        held = self.python.holds()
        word = rng.choice(("release", "release", "release", "link", "unlink", "retain", "name", "unname"))
        name = "n%d" % rng.randrange(NAMES)
        if word == "unname" and name in self.python.names:
            self.both("unname", name)
        elif not held:
            return "nothing"
        elif word == "release":
            self.both("release", rng.sample(held, rng.randrange(1, len(held) + 1) if rng.random() < 0.5 else 1))
        elif word == "link":
            self.both("link", rng.choice(held), rng.randrange(len(SLOTS)), rng.choice(held))
        elif word == "unlink":
            self.both("link", rng.choice(held), rng.randrange(3), None)
        elif word == "retain":
            self.both("retain", rng.choice(held))
        elif word == "name":
            self.both("name", name, rng.choice(held))
        return word

    def young(self):
        """Trials find less, but nothing that CPython keeps. (What they deliver is theirs, so there are no guards.)"""
        self.p.call("gc_collect", {"kind": "young"})
        self.wait_backlog(self.p)
        before, found = self.python.alive(), self.pool.alive()
        self.python.collect()
        self.assertLessEqual(self.python.alive(), found, "HF_SEED=%d" % self.seed)
        self.assertLessEqual(found, before, "HF_SEED=%d" % self.seed)

    def collect(self, rng):
        before = len(self.python.alive())
        if not self.guards and rng.random() < 0.5:
            self.young()
        self.both("collect")
        self.compare("collect")
        self.figures["collected"] += before - len(self.python.alive())

    def let_go(self, rng):
        """All that is left, and what guards keep then."""
        for name in list(self.python.names):
            self.both("unname", name)
        for ends in range(self.python.made + 2):
            if ends and not self.python.held:
                break
            self.both("release", self.python.holds())
            self.compare("the end")
            self.collect(rng)
        self.assertEqual(self.p.call("stats", "objects")["count"], 0)

    def one_graph(self, seed):
        rng = random.Random(seed)
        self.seed = seed
        self.p.events.clear()
        self.python, self.pool = Cpython(), Pool(self.p)
        self.build(rng)
        self.compare("build")
        for _ in range(rng.randrange(2, 20)):
            if rng.random() < 0.25:
                self.collect(rng)
                continue
            before = len(self.python.alive())
            self.compare(self.change(rng))
            self.figures["by count"] += before - len(self.python.alive())
        self.let_go(rng)
        self.figures["delivered"] += len(self.python.delivered)

    def test_random_graphs(self):
        gc.disable()
        self.addCleanup(gc.enable)
        self.addCleanup(gc.unfreeze)
        self.p = self.pool_client()
        self.p.call("gc_config", {"enabled": False})
        self.figures = {"by count": 0, "collected": 0, "delivered": 0}
        for seed in range(SEED or 1, (SEED or 1) + GRAPHS):
            self.one_graph(seed)
        self.assertVerified(self.p)
        print(self.figures)
        self.assertTrue(SEED or min(self.figures.values()) > GRAPHS, self.figures)


if __name__ == "__main__":
    unittest.main()
