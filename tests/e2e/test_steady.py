#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""In the steady state a request costs no call of the allocator: the release daemon runs with a library that counts
them (tests/preload/count_malloc.c), and no kind of request may move the counts, however many there are of it."""
import mmap
import os
import random
import re
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import RELEASE, Daemon  # noqa: E402
from rpc import Raw, encode  # noqa: E402

PRELOAD = os.path.join(os.path.dirname(RELEASE), "tests", "preload", "count_malloc.so")
REQUESTS = 20000
TRIALS = 10
WARM_UP = 2000
WINDOW = 64
OBJECTS = 2000
ID_ARRAY = 32
KINDS = ("malloc", "calloc", "realloc", "free")


def frame(method, *params):
    """A request; `bulk` answers in order, so all may have the same msgid."""
    return b"\x94\x00\x07" + encode(method) + encode(list(params))


class Steady(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = tempfile.NamedTemporaryFile(prefix="hf-count-")
        cls.addClassCleanup(cls.file.close)
        cls.file.truncate(mmap.PAGESIZE)
        cls.page = mmap.mmap(cls.file.fileno(), mmap.PAGESIZE)
        cls.addClassCleanup(cls.page.close)
        assert os.path.exists(PRELOAD), "%s is missing: run `make check`, which builds it" % PRELOAD
        cls.daemon = Daemon(program=RELEASE, tcp=False, env={"LD_PRELOAD": PRELOAD, "HF_COUNT_MALLOC": cls.file.name})
        cls.daemon.start()
        cls.addClassCleanup(cls.daemon.kill)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def setUp(self):
        self.random = random.Random(1)
        self.first = self.client({"name": "first", "pool": self.pool()})
        self.c = self.client({"name": "second", "pool": self.pool()})
        values = [Raw(encode(bytes([k % 256]) * (16 + k % 100))) for k in range(OBJECTS)]
        self.ids = [reply[3] for reply in self.first.bulk([frame("put", value) for value in values])]
        self.names = ["name-%d" % k for k in range(OBJECTS)]
        self.bulk(self.first, [frame("name", name, obj) for name, obj in zip(self.names, self.ids)])

    def pool(self):
        name = "p." + self.id().rsplit(".", 1)[1].replace("_", "-")[:50]
        with self.daemon.client() as client:
            if not any(row["name"] == name for row in client.call("pools")):
                client.call("pool_create", name)
        return name

    def client(self, hello):
        client = self.daemon.client(hello)
        self.addCleanup(client.close)
        return client

    def counts(self):
        return dict(zip(KINDS, struct.unpack_from("=4Q", self.page)))

    def bulk(self, client, frames, code=None):
        """The results; all must have failed with `code`, if there is one."""
        replies = client.bulk(frames, WINDOW)
        for reply in replies:
            error = reply[2]
            if (error and re.match("[A-Z]*", error)[0]) != code:
                self.fail("%r instead of %s" % (error, code))
        return [reply[3] for reply in replies]

    def steady(self, run):
        """run(n) makes n requests: after some to warm up, REQUESTS of them must cost nothing. What the daemon keeps
        may still grow to its final size then, and come and go (a buffer for requests that wait for their turn, which depends
        on how the socket parted them, and with it on what else the machine does), so there are up to TRIALS; what a request
        costs is in each of them."""
        run(WARM_UP)
        costs = []
        for _ in range(TRIALS):
            before = self.counts()
            run(REQUESTS)
            after = self.counts()
            costs.append({kind: after[kind] - before[kind] for kind in KINDS if after[kind] != before[kind]})
            if not costs[-1]:
                return
        self.fail("calls of the allocator in %d requests, %d times: %r" % (REQUESTS, TRIALS, costs))

    def steady_frames(self, client, frames, code=None):
        """The same for requests that can be sent again and again."""
        frames = frames * (REQUESTS // len(frames) + 1)
        self.steady(lambda n: self.bulk(client, frames[:n], code))

    def some(self, items):
        return self.random.choices(items, k=OBJECTS)

    # The counter -----------------------------------------------------------------------------------

    def test_the_counter_counts(self):
        before = self.counts()
        self.assertGreater(before["malloc"], 0)
        with self.daemon.client({"name": "another", "pool": self.pool()}) as client:
            client.call("bye")
            client.wait_closed()
        after = self.counts()
        self.assertGreater(after["malloc"] + after["calloc"], before["malloc"] + before["calloc"])
        self.assertGreater(after["free"], before["free"])

    # Reading ---------------------------------------------------------------------------------------

    def test_get(self):
        self.steady_frames(self.c, [frame("get", obj) for obj in self.some(self.ids)])

    def test_get_of_many_and_with_options(self):
        frames = [frame("get", self.random.choices(self.ids, k=ID_ARRAY)) for _ in range(100)]
        frames += [frame("get", obj, {"offset": 1, "len": 5, "version": True}) for obj in self.some(self.ids)]
        self.steady_frames(self.c, frames)

    def test_fetch(self):
        self.steady_frames(self.c, [frame("fetch", name) for name in self.some(self.names)])

    def test_fetch_of_many(self):
        self.steady_frames(self.c, [frame("fetch", self.random.choices(self.names, k=ID_ARRAY)) for _ in range(100)])

    def test_what_is_there(self):
        frames = [frame("ping"), frame("methods"), frame("stats"), frame("stats", "memory"), frame("slowlog"), frame("pools"),
                  frame("sessions"), frame("names", 0, {"limit": 10, "prefix": "name-1"}),
                  frame("scan", 0, {"min_size": 100, "limit": 10})]
        for obj in self.some(self.ids)[:50]:
            frames += [frame("inspect", obj), frame("holders", obj), frame("refs", obj)]
        self.steady_frames(self.c, frames)

    # Holding ---------------------------------------------------------------------------------------

    def in_pairs(self, first, second):
        """Requests of the one kind in one window, what undoes them in the next."""
        self.assertEqual(len(first), len(second))
        frames = []
        for start in range(0, len(first) - len(first) % WINDOW, WINDOW):
            frames += first[start:start + WINDOW] + second[start:start + WINDOW]
        return frames

    def test_retain_and_release_by_a_second_session(self):
        ids = self.some(self.ids)
        self.steady_frames(self.c, self.in_pairs([frame("retain", obj) for obj in ids],
                                                 [frame("release", obj) for obj in ids]))

    def test_retain_and_release_with_a_site(self):
        ids = self.some(self.ids)
        self.steady_frames(self.c, self.in_pairs([frame("retain", obj, 3, {"site": "here"}) for obj in ids],
                                                 [frame("release", obj, 3) for obj in ids]))

    def test_retain_and_release_of_many(self):
        arrays = [self.random.choices(self.ids, k=ID_ARRAY) for _ in range(WINDOW * 4)]
        self.steady_frames(self.c, self.in_pairs([frame("retain", ids) for ids in arrays],
                                                 [frame("release", ids) for ids in arrays]))

    def test_lookup_and_release(self):
        chosen = self.some(range(OBJECTS))
        self.steady_frames(self.c, self.in_pairs([frame("lookup", self.names[k]) for k in chosen],
                                                 [frame("release", self.ids[k]) for k in chosen]))

    def test_share_claim_and_release(self):
        shares = [frame("share", obj) for obj in self.ids[:WINDOW]]

        def run(count):
            for _ in range(0, count, 3 * WINDOW):
                tickets = self.bulk(self.first, shares)
                ids = self.bulk(self.c, [frame("claim", ticket) for ticket in tickets])
                self.bulk(self.c, [frame("release", obj) for obj in ids])
        self.steady(run)

    # Making and changing ---------------------------------------------------------------------------

    def put_and_release(self, puts):
        """A run() that puts a window of objects and then releases them; `puts` is a window of frames."""
        def run(count):
            for _ in range(0, count, 2 * WINDOW):
                self.bulk(self.c, [frame("release", obj) for obj in self.bulk(self.c, puts)])
        return run

    def test_put_and_release(self):
        self.steady(self.put_and_release([frame("put", b"v" * 64) for k in range(WINDOW)]))

    def test_put_of_other_sizes_and_release(self):
        self.steady(self.put_and_release([frame("put", b"v" * (k * 61)) for k in range(WINDOW)]))

    def test_put_with_all_options_and_release(self):
        options = {"tag": "a tag", "site": "a site", "seal": True}
        self.steady(self.put_and_release([frame("put", k, dict(options, refs=[self.ids[k], None] + self.ids[:k]))
                                          for k in range(WINDOW)]))

    def test_put_many_and_release(self):
        # Few at a time: a session's list of what it holds has 1024 places a block, and one whose length swings by
        # two blocks is not in a steady state.
        items = [[k, [-k] if k else [self.ids[0]], {"tag": "of many"}] for k in range(ID_ARRAY)]
        window = 1024 // ID_ARRAY

        def run(count):
            for _ in range(0, count, 2 * window):
                graphs = self.bulk(self.c, [frame("put_many", items)] * window)
                self.bulk(self.c, [frame("release", ids) for ids in graphs])
        self.steady(run)

    def test_put_open_write_seal_and_release(self):
        def run(count):
            for _ in range(0, count, 4 * WINDOW):
                ids = self.bulk(self.c, [frame("put", None, {"size": 200})] * WINDOW)
                self.bulk(self.c, [frame("write", obj, 20, b"w" * 100) for obj in ids])
                self.bulk(self.c, [frame("seal", obj) for obj in ids])
                self.bulk(self.c, [frame("release", obj) for obj in ids])
        self.steady(run)

    def test_set_of_the_same_size(self):
        self.steady_frames(self.c, [frame("set", obj, b"s" * 64) for obj in self.some(self.ids)])

    def test_set_of_other_sizes(self):
        self.steady_frames(self.c, [frame("set", obj, b"s" * (k % 300)) for k, obj in enumerate(self.some(self.ids))])

    def test_store_over_a_name(self):
        self.steady_frames(self.c, [frame("store", name, b"s" * 64) for name in self.some(self.names)])

    def test_name_and_unname(self):
        names = ["other-%d" % k for k in range(OBJECTS)]
        self.steady_frames(self.c, self.in_pairs([frame("name", name, obj) for name, obj in zip(names, self.ids)],
                                                 [frame("unname", name) for name in names]))

    def test_link(self):
        lists = self.ids[:WINDOW]
        for obj in lists:
            self.first.call("link", obj, 0, None)
        self.steady_frames(self.c, [frame("link", obj, 0, target) for target in (self.ids[1], None, self.ids[2])
                                    for obj in lists])

    # Events ----------------------------------------------------------------------------------------

    def test_watch_and_unwatch(self):
        self.steady_frames(self.c, self.in_pairs([frame("watch", obj) for obj in self.ids],
                                                 [frame("unwatch", obj) for obj in self.ids]))

    def test_guard_and_unguard(self):
        pairs = self.in_pairs([frame("guard", obj) for obj in self.ids], [frame("unguard", obj) for obj in self.ids])
        self.steady(lambda n: [self.bulk(self.c, pairs) for _ in range(0, n, len(pairs))])

    def until(self, client, events):
        """Reads so many events."""
        while len(client.events) < events:
            client.events.append(client._event(client.recv_frame()))
        client.events.clear()

    def test_events_of_watches(self):
        """Each request costs an event."""
        self.c.asked = True

        def run(count):
            for _ in range(0, count, 2 * WINDOW):
                ids = [reply[3] for reply in self.first.bulk([frame("put", k) for k in range(WINDOW)])]
                self.c.call("watch", ids)
                self.bulk(self.first, [frame("release", obj) for obj in ids])
                self.until(self.c, WINDOW)
        self.steady(run)

    def test_events_of_guards(self):
        self.c.asked = True

        def run(count):
            for _ in range(0, count, 4 * WINDOW):
                ids = [reply[3] for reply in self.first.bulk([frame("put", k) for k in range(WINDOW)])]
                self.bulk(self.c, [frame("guard", obj) for obj in ids])
                self.bulk(self.first, [frame("release", obj) for obj in ids])
                self.until(self.c, WINDOW)
                self.bulk(self.c, [frame("release", obj) for obj in ids])
        self.steady(run)

    # Errors ----------------------------------------------------------------------------------------

    def test_gone(self):
        obj = self.c.call("put", 1)
        self.c.call("release", obj)
        self.steady_frames(self.c, [frame("get", obj), frame("retain", obj), frame("set", obj, 1), frame("inspect", obj),
                                    frame("get", [self.ids[0], obj]), frame("put", 1, {"refs": [obj]})], "GONE")

    def test_not_held(self):
        self.steady_frames(self.c, [frame("release", self.ids[0]), frame("release", self.ids[:5], 2)], "NOTHELD")

    def test_not_found(self):
        self.steady_frames(self.c, [frame("fetch", "nobody"), frame("lookup", "nobody"), frame("unname", "nobody"),
                                    frame("claim", b"0123456789abcdef"), frame("stats", "nothing")], "NOTFOUND")

    def test_other_errors(self):
        self.steady_frames(self.c, [frame("frobnicate", 1)], "NOMETHOD")
        self.steady_frames(self.c, [frame("get"), frame("get", "x"), frame("put", 1, {"no": 1}), frame("hello", {}),
                                    frame("put", 1, {"refs": 7})], "BADARG")
        self.steady_frames(self.c, [frame("store", self.names[0], 1, {"if_version": 1 << 40})], "CONFLICT")


if __name__ == "__main__":
    unittest.main()
