#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Many connections at once that send valid requests without waiting, break off, come back, kill each other and drop
pools; nobody waits for anybody. The daemon must answer a witness all the time, find nothing wrong with any pool,
and hold nothing in the end but what cycles keep.

HF_SEED gives a run's choices again (what the connections see of each other depends on time as well);
HF_TEST_LONG=1 runs the long form.
"""
import collections
import os
import random
import select

from common import LONG, Closed, RpcError, WireTest, poll, request_bytes, unittest

POOLS = ["default", "one", "two"]
SIZES = [0, 5, 40, 300, 5000, 20000, 100000, 300000, 2000000]


class Chaos(WireTest):
    full = ()  # what hello may also fail with

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("HF_SEED") or random.SystemRandom().randrange(2 ** 32))
        print("seed %d (HF_SEED=%d gives its choices again)" % (seed, seed), flush=True)
        self.rng = random.Random(seed)
        self.ids = {pool: [1] for pool in POOLS}
        self.tickets = [bytes(16)]
        self.sids, self.keys = [2 ** 40], []
        self.live, self.parting = [], []
        self.codes = collections.Counter()

    def request(self, pool):
        """(method, params) of one valid request; what it names may have ended."""
        rng, ids = self.rng, self.ids[pool][-200:]
        some = rng.choice
        name = "n%d" % rng.randrange(30)
        value = bytes(some(SIZES) if rng.random() < 0.2 else rng.randrange(50))
        refs = [some(ids) if rng.random() < 0.7 else None for _ in range(rng.randrange(4))]
        return some((
            lambda: ("put", value, {"refs": refs, "tag": "t%d" % rng.randrange(20)}),
            lambda: ("put", value),
            lambda: ("put", None, {"size": some(SIZES)}),
            lambda: ("put_many", [[value, [-rng.randrange(1, 4)]], [1, refs], [value]]),
            lambda: ("get", [some(ids) for _ in range(rng.randrange(5))]),
            lambda: ("get", some(ids)),
            lambda: ("set", some(ids), value),
            lambda: ("write", some(ids), rng.randrange(100), value),
            lambda: ("seal", some(ids)),
            lambda: ("refs", some(ids)),
            lambda: ("link", some(ids), rng.randrange(3), some(ids + [None] * 20)),
            lambda: ("retain", [some(ids) for _ in range(3)], rng.randrange(1, 4)),
            lambda: ("retain", some(ids)),
            lambda: ("release", some(ids), 1),
            lambda: ("release", some(ids), 1),
            lambda: ("release", [some(ids)]),
            lambda: ("share", some(ids), {"uses": rng.randrange(1, 3), "ttl_ms": rng.randrange(1, 3000)}),
            lambda: ("claim", some(self.tickets[-50:])),
            lambda: ("unshare", some(self.tickets[-50:])),
            lambda: ("name", name, some(ids)),
            lambda: ("store", name, value),
            lambda: ("fetch", [name]),
            lambda: ("lookup", name),
            lambda: ("unname", name),
            lambda: ("names", 0, {"limit": 5}),
            lambda: ("scan", 0, {"tag": "t1"}),
            lambda: ("holders", some(ids)),
            lambda: ("inspect", some(ids)),
            lambda: ("stats",),
            lambda: ("sessions", {"pool": "*"}),
            lambda: ("verify",) if rng.random() < 0.2 else ("ping",),
        ))()

    # What a connection may do -------------------------------------------------------------------------

    def do_connect(self):
        if len(self.live) > 25:
            return
        pool = self.rng.choice(POOLS)
        tcp = self.rng.random() < 0.3
        try:
            if self.rng.random() < 0.3 and pool == "default":
                client = self.daemon.client(tcp=tcp)
            else:
                client = self.daemon.client({"pool": pool, "lease_ms": self.rng.choice((0, 1, 50, 500))}, tcp=tcp)
                self.sids.append(client.hello_result["sid"])
                self.keys.append(client.hello_result["session"])
        except RpcError as error:
            self.assertIn(error.code, ("NOTFOUND",) + self.full)  # a pool that was dropped just now
            return
        client.pool = pool
        self.live.append(client)

    def do_send(self):
        client = self.rng.choice(self.live)
        data = b""
        for _ in range(self.rng.randrange(1, 30)):
            call = self.request(client.pool)
            data += request_bytes(self.rng.randrange(2 ** 32), call[0], call[1:])
        if self.rng.random() < 0.1:
            data = data[:self.rng.randrange(len(data))]
            self.live.remove(client)
            try:
                client.send_some(data)
            finally:
                client.close()
            return
        left = getattr(client, "unsent", b"") + data
        client.unsent = left[client.send_some(left):]

    def do_read(self):
        client = self.rng.choice(self.live)
        left = getattr(client, "unsent", b"")
        client.unsent = left[client.send_some(left):] if left else b""
        while select.select([client.sock], [], [], 0)[0]:
            reply = client.recv()
            if reply.error is None:
                self.learn(client, reply.result)
            else:
                self.codes[reply.exception().code] += 1

    def learn(self, client, result):
        results = result if isinstance(result, list) else [result]
        for part in results[:5]:
            if isinstance(part, int) and part > 2 ** 32 and part < 2 ** 53:
                self.ids[client.pool].append(part)
            elif isinstance(part, bytes) and len(part) == 16:
                self.tickets.append(part)

    def do_close(self):
        if self.rng.random() < 0.3:
            client = self.rng.choice(self.live)
            self.live.remove(client)
            client.close()

    def do_bye(self):
        client = self.rng.choice(self.live)
        if self.rng.random() < 0.2 and not getattr(client, "unsent", b""):
            self.live.remove(client)
            try:
                client.send_some(request_bytes(1, "bye", []))
            finally:
                self.parting.append(client)
                if len(self.parting) > 10:
                    self.parting.pop(0).close()

    def do_newcomer(self):
        if self.keys and self.rng.random() < 0.3:
            client = self.daemon.client(tcp=self.rng.random() < 0.3)
            client.pool = "default"
            self.live.append(client)
            try:
                reply = client.reply("hello", {"session": self.rng.choice(self.keys[-10:])})
            except RpcError as error:
                self.assertIn(error.code, self.full)
                raise Closed() from error
            if reply.error is None:
                client.pool = reply.result["pool"]
            else:
                self.assertIn(reply.exception().code, ("EXPIRED", "NOTFOUND") + self.full)

    def do_kill(self):
        if self.rng.random() < 0.1:
            client = self.rng.choice(self.live)
            left = getattr(client, "unsent", b"")
            if not left:
                client.send_some(request_bytes(5, "kill", [self.rng.choice(self.sids[-10:])]))

    def do_drop(self):
        if self.rng.random() < 0.03:
            pool = self.rng.choice(POOLS[1:])
            reply = self.c.reply("pool_drop", pool, {"force": True})
            self.assertIn(reply.error and reply.exception().code, (None, "NOTFOUND"))
            poll(lambda: self.created(pool), "the pool's name is free again")

    def created(self, pool):
        reply = self.c.reply("pool_create", pool)
        return reply.error is None or reply.exception().code in ("EXISTS",) + self.full

    def witness(self, pools):
        for pool in pools:
            try:
                client = self.daemon.client({"pool": pool, "lease_ms": 0})
            except RpcError as error:
                # With full memory the pool may not have come again.
                self.assertIn(error.code, self.full + ("NOTFOUND",) * len(self.full))
                continue
            with client:
                result = client.reply("verify")
                if result.error is None:
                    self.assertEqual(result.result["findings"], [])
                else:
                    self.assertIn(result.exception().code, ("BUSY",) + self.full)

    def test_chaos(self):
        # The witness's own session must not be hit by a kill: no sid it could have is among those that are known.
        own = self.c.call("put", "witness")
        for pool in POOLS[1:]:
            self.c.call("pool_create", pool)
        actions = [self.do_connect, self.do_connect, self.do_send, self.do_send, self.do_send, self.do_read, self.do_read,
                   self.do_close, self.do_bye, self.do_newcomer, self.do_kill, self.do_drop]
        self.c_sid = self.c.call("holders", own)[0]["sid"]
        steps = 150000 if LONG else 15000
        for step in range(steps):
            if self.c_sid in self.sids:
                self.sids = [sid for sid in self.sids if sid != self.c_sid]
            if not self.live:
                self.do_connect()
                continue
            try:
                self.rng.choice(actions)()
            except Closed:
                self.forget_closed()
            if step % 100 == 99:
                self.assertEqual(self.c.call("get", own), "witness")
            if step % 2500 == 2499:
                self.witness(POOLS)
        self.end(own)
        self.assertGreater(self.codes["GONE"], 0)
        self.assertEqual(self.codes["INTERNAL"], 0)
        for code in self.full:
            self.assertGreater(self.codes[code], 0)

    def forget_closed(self):
        """One of them was closed by the daemon: find it."""
        for client in list(self.live):
            try:
                client.send_some(b"\x93\x02\xa1x\x90" if not getattr(client, "unsent", b"") else b"")
                while select.select([client.sock], [], [], 0)[0]:
                    client.recv()
            except Closed:
                self.live.remove(client)
                client.close()

    def end(self, own):
        for client in self.live + self.parting:
            client.close()
        for pool in POOLS[1:]:
            reply = self.c.reply("pool_drop", pool, {"force": True})
            # With full memory the pool may not have come again after its last drop.
            self.assertIn(reply.error and reply.exception().code, (None,) + ("NOTFOUND",) * len(self.full))
        poll(lambda: self.c.call("stats", "sessions")["grace"] == 0, "all leases end")
        poll(lambda: self.c.call("stats", "sessions")["open"] == 1, "all sessions end")
        poll(lambda: self.c.call("stats", "tickets")["count"] == 0, "all tickets expire")
        for name, _ in self.c.call("names", 0)[1]:
            self.c.call("unname", name)
        self.wait_backlog(self.c)
        self.assertVerified(self.c)
        # What is left is kept by slots alone.
        cursor = 0
        while True:
            cursor, ids = self.c.call("scan", cursor)
            for obj in ids:
                held = self.c.call("inspect", obj)["held_by"]
                if obj != own:
                    self.assertEqual((held["sessions"], held["names"], held["tickets"]), (0, 0, 0))
                    self.assertGreater(held["slots"], 0)
            if cursor == 0:
                break
        self.assertEqual(self.c.call("release", own), 0)


class FullChaos(Chaos):
    """The same with little memory: OOM at any place."""

    daemon_args = ("--max-memory", "16M")
    full = ("OOM",)


if __name__ == "__main__":
    unittest.main()
