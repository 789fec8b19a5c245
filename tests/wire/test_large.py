#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Large values and large replies: on their way in, on their way out, and when something breaks meanwhile.

After each test the pool must hold what it held before: nothing that broke off may keep memory.
"""
import socket

from common import LONG, Closed, WireTest, encode, poll, request_bytes, unittest

MIB = 1 << 20
# Sizes around every bound where a value changes the way it takes (copied, staged, pinned, large blocks).
SIZES = [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 262143, 262144, 262145, 300000, MIB, 3 * MIB + 7]


def pattern(size, seed=0):
    return (bytes((i * 31 + seed) % 251 for i in range(251)) * (size // 251 + 1))[:size]


class LargeTest(WireTest):
    def setUp(self):
        super().setUp()
        self.c.call("ping")
        self.before = self.figures()

    def figures(self):
        self.wait_backlog(self.c)
        stats = self.c.call("stats")
        return stats["objects"]["count"], stats["objects"]["bytes"], stats["memory"].get("values_live")

    def tearDown(self):
        poll(lambda: self.figures() == self.before, "the pool holds what it held before: %r" % (self.before,))
        self.assertVerified(self.c)

    def upload_head(self, size, method="put", first=()):
        """A request up to the value's payload, which is to be `size` bytes of bin."""
        params = len(first) + 1
        return (b"\x94\x00\x01" + encode(method) + bytes([0x90 | params]) + b"".join(map(encode, first))
                + b"\xc6" + size.to_bytes(4, "big"))


class Inward(LargeTest):
    def test_sizes_around_all_bounds(self):
        obj = self.c.call("put", None)
        for size in SIZES:
            value = pattern(size)
            other = self.c.call("put", value)
            self.assertEqual(self.c.call("get", other), value)
            self.c.call("set", obj, value)
            self.assertEqual(self.c.call("get", obj), value)
            stored, _ = self.c.call("store", "large", value)
            self.assertEqual(self.c.call("fetch", "large"), value)
            self.assertEqual(self.c.call("get", [obj, other, stored]), [value] * 3)
            self.c.call("release", other)
        self.c.call("release", obj)
        self.c.call("unname", "large")

    def test_large_value_of_other_types(self):
        for value in ("t" * 300000, ["x" * 70000] * 10, {"k%d" % i: b"v" * 1000 for i in range(1000)}, list(range(200000))):
            obj = self.c.call("put", value)
            self.assertEqual(self.c.call("get", obj), value)
            self.c.call("release", obj)

    def test_put_many_with_many_large_values(self):
        for count, size in ((3, MIB), (200, 100000), (400, 70000), (1000, 60000), (900, 66000)):
            values = [pattern(size, i) for i in range(count)]
            ids = self.c.call("put_many", [[value, [-1]] for value in values])
            self.assertEqual(self.c.call("get", ids[::97]), values[::97])
            for obj in ids:
                self.assertEqual(self.c.call("link", obj, 0, None), ids[0])
            self.c.call("release", ids)
            self.wait_backlog(self.c)

    def test_put_many_of_large_and_small_items(self):
        # Small ones stay in the frame, larger ones are copied into the heap first; numbers, nested ones, bytes.
        sizes = (1, 255, 256, 257, 300, 1021, 1022, 1024, 1025, 16385, 70000)
        makers = (lambda n, i: [i % 100] * n, lambda n, i: [[]] * n, lambda n, i: pattern(n, i), lambda n, i: "t" * n,
                  lambda n, i: {"k": [[i]] * n})
        values = [make(size, i) for i, size in enumerate(sizes) for make in makers]
        items = [[value, [-(i or 1)], {"tag": "tag-%d" % i}] for i, value in enumerate(values, 1)]
        for part in (items, items[::-1]):
            kept = [[value, [-1]] if k == 0 else [value, None, options] for k, (value, _, options) in enumerate(part)]
            ids = self.c.call("put_many", kept)
            for obj, (value, _, options) in zip(ids, part):
                self.assertEqual(self.c.call("get", obj), value)
            self.assertEqual([self.c.call("inspect", obj)["tag"] for obj in ids[1:]],
                             [options["tag"] for _, _, options in part[1:]])
            self.c.call("link", ids[0], 0, None)
            self.c.call("release", ids)

    def test_put_many_of_half_a_million_numbers(self):
        ids = self.c.call("put_many", [[[i % 128] * 500] for i in range(1024)])
        self.assertEqual(self.c.call("get", ids[1023]), [1023 % 128] * 500)
        self.c.call("release", ids)

    def test_put_many_whose_refs_are_far_too_many(self):
        for refs in ([None] * 1000000, [[None] * 1000000], [None] * 9000):
            error = self.c.error("put_many", [["a" * 300], ["b" * 300000, refs]])
            self.assertIn(error.code, ("LIMIT", "BADARG"), error.text)

    def test_refused_after_all_its_bytes(self):
        gone = self.c.call("put", 1)
        self.c.call("release", gone)
        sealed = self.c.call("put", 1, {"seal": True})
        value = pattern(2 * MIB)
        for code, call in (("BADARG", ("put", value, {"bogus": 1})), ("GONE", ("put", value, {"refs": [gone]})),
                           ("BADARG", ("put", value, {"size": 5})), ("GONE", ("set", gone, value)),
                           ("SEALED", ("set", sealed, value)), ("BADARG", ("set", "x", value)),
                           ("BADARG", ("store", "", value)), ("CONFLICT", ("store", "n", value, {"if_version": 5})),
                           ("BADARG", ("ping", value)), ("NOMETHOD", ("nonsense", value)), ("BADARG", ("get", value)),
                           ("BADARG", ("put_many", [[value], [value, [gone - gone]]])),
                           ("GONE", ("put_many", [[value], [value, [gone]]])), ("BADARG", ("put_many", value)),
                           ("BADARG", ("name", value, sealed)), ("NOTFOUND", ("claim", value)),
                           ("BADARG", ("lookup", [value])), ("BADARG", ("put", value, value)), ("BADARG", ("hello", value))):
            self.assertCode(code, self.c, *call)
        self.c.call("release", sealed)

    def test_large_value_in_a_notification(self):
        self.c.notify("store", "noted", pattern(2 * MIB))
        self.assertEqual(self.c.call("fetch", "noted"), pattern(2 * MIB))
        self.c.notify("put", pattern(2 * MIB), {"bogus": 1})
        self.c.call("unname", "noted")

    def test_the_connection_breaks_amid_the_bytes(self):
        for sent in (0, 1, 65536, 262144, 5 * MIB - 1):
            for hello in (None, {"lease_ms": 0}):
                client = self.client(hello)
                client.call("ping")
                client.send_raw(self.upload_head(5 * MIB) + pattern(sent))
                self.c.call("ping")
                client.close()

    def test_kill_and_newcomer_amid_the_bytes(self):
        for end in ("kill", "newcomer"):
            client = self.client({"name": "x", "lease_ms": 0})
            client.send_raw(self.upload_head(5 * MIB) + pattern(2 * MIB))
            self.c.call("ping")
            if end == "kill":
                self.c.call("kill", client.hello_result["sid"])
            else:
                newcomer = self.client({"session": client.hello_result["session"]})
                self.assertEqual(newcomer.call("bye"), 0)
            with self.assertRaises(Closed):
                client.send_raw(pattern(4 * MIB))
                client.recv()

    def test_pool_drop_amid_the_bytes(self):
        self.c.call("pool_create", "doomed")
        client = self.client({"pool": "doomed"})
        obj = client.call("put", pattern(8 * MIB))
        reader = self.client({"pool": "doomed"})
        reader.request("get", obj)
        self.assertTrue(reader.sock.recv(1))
        client.send_raw(self.upload_head(5 * MIB) + pattern(2 * MIB))
        walker = self.client({"pool": "doomed"})
        walker.request("verify")
        self.assertIs(self.c.call("pool_drop", "doomed", {"force": True}), True)
        for other in (client, reader, walker):
            with self.assertRaises(Closed):
                other.send_raw(pattern(4 * MIB))
                while other.sock.recv(MIB):
                    pass
                raise Closed()
        poll(lambda: "doomed" not in [row["name"] for row in self.c.call("pools")], "it is gone")

    def test_two_uploads_side_by_side(self):
        clients = [self.client() for _ in range(8)]
        size = 4 * MIB
        for client in clients:
            client.send_raw(self.upload_head(size))
        values = [pattern(size, i) for i in range(8)]
        for at in range(0, size, 50000):
            for client, value in zip(clients, values):
                client.send_raw(value[at:at + 50000])
        ids = [client.recv().value() for client in clients]
        for obj, value in zip(ids, values):
            self.assertTrue(self.c.call("get", obj) == value)
        for client in clients:
            client.close()

    def test_ends_amid_calls_of_many_turns(self):
        # The call has come as a whole and takes hundreds of turns; then somebody else ends its session.
        many = [[list(range(100)) * 40] for _ in range(500)]
        for round_number, ending in enumerate(("kill", "newcomer", "pool_drop", "close", "bye") * (3 if LONG else 1)):
            self.c.call("pool_create", "brief")
            client = self.client({"lease_ms": 0, "pool": "brief"})
            obj = client.call("put", None, {"size": 20 * MIB})
            calls = [request_bytes(1, "put_many", [many]), request_bytes(2, "write", [obj, 0, bytes(20 * MIB)]),
                     request_bytes(3, "put", [[b"x" * 1000] * 5000])]
            client.send_raw(b"".join(calls[round_number % 3:] + calls[:round_number % 3]))
            if ending == "kill":
                self.c.call("kill", client.hello_result["sid"])
                client.drain_until_closed()
            elif ending == "newcomer":
                newcomer = self.client({"session": client.hello_result["session"]})
                client.drain_until_closed()
                self.assertGreater(newcomer.call("put", 1), 0)
                newcomer.call("bye")
            elif ending == "bye":
                client.send_raw(request_bytes(4, "bye", []))
                replies = client.drain_until_closed()
                self.assertEqual(sorted(reply.msgid for reply in replies), [1, 2, 3, 4])
                self.assertEqual([reply.error for reply in replies], [None] * 4)
            elif ending == "close":
                client.close()
            if ending != "pool_drop":
                again = self.client({"pool": "brief"})
                poll(lambda: again.call("stats", "objects")["count"] == 0, "all of the session is released")
                self.assertVerified(again)
                again.call("bye")
            self.c.call("pool_drop", "brief", {"force": True})
            if ending == "pool_drop":
                client.drain_until_closed()

    def test_requests_behind_a_large_one_keep_their_order(self):
        client = self.client()
        obj = client.call("put", 0)
        client.send_raw(request_bytes(1, "set", [obj, pattern(3 * MIB)]) + request_bytes(2, "get", [obj, {"len": 3}])
                        + request_bytes(3, "set", [obj, "small"]) + request_bytes(4, "get", [obj])
                        + request_bytes(5, "release", [obj]))
        replies = [client.recv() for _ in range(5)]
        self.assertEqual([reply.msgid for reply in replies], [1, 2, 3, 4, 5])
        self.assertEqual([reply.value() for reply in replies[1::2]], [pattern(3), "small"])
        self.assertEqual(replies[4].value(), 0)

    def test_write_of_many_megabytes_at_once(self):
        size = 60 * MIB
        client = self.client()
        obj = client.call("put", None, {"size": size})
        client.send_raw(request_bytes(1, "write", [obj, 0, pattern(size)]) + request_bytes(2, "seal", [obj]))
        self.assertEqual(client.recv().value(), size)
        self.assertIs(client.recv().value(), True)
        self.assertTrue(client.call("get", obj) == pattern(size))
        self.assertEqual(client.call("release", obj), 0)

    def test_write_that_breaks_off(self):
        size = 30 * MIB
        for end in ("close", "kill"):
            client = self.client({"lease_ms": 0})
            obj = client.call("put", None, {"size": size})
            client.send_raw(request_bytes(1, "write", [obj, 0, pattern(size)]))
            if end == "kill":
                self.c.call("kill", client.hello_result["sid"])
            client.close()

    def test_open_object_that_is_sealed_without_bytes(self):
        size = 30 * MIB
        client = self.client()
        obj = client.call("put", None, {"size": size})
        self.assertIs(client.call("seal", obj), True)
        self.assertTrue(client.call("get", obj) == bytes(size))
        self.assertEqual(client.call("get", obj, {"offset": size, "len": 5}), b"")
        empty = client.call("put", None, {"size": 0})
        self.assertEqual(client.call("write", empty, 0, b""), 0)
        client.call("seal", empty)
        self.assertEqual(client.call("get", empty), b"")
        client.call("bye")


class Outward(LargeTest):
    def test_many_large_values_in_one_reply(self):
        for count, size in ((1024, 20000), (1024, 16384), (1024, 60000), (30, 2 * MIB)):
            values = [pattern(size, i) for i in range(count)]
            ids = []
            for start in range(0, count, 256):
                ids += self.c.call("put_many", [[value] for value in values[start:start + 256]])
            self.assertTrue(self.c.call("get", ids) == values)
            self.c.call("release", ids)
            self.wait_backlog(self.c)

    def test_a_thousand_values_of_every_size_in_one_reply(self):
        values = [pattern(100 + i * 16, i) for i in range(1000)]
        ids = [obj for k in range(0, 1000, 10) for obj in self.c.call("put_many", [[v] for v in values[k:k + 10]])]
        self.assertEqual(self.c.call("get", ids), values)
        self.assertEqual(self.c.call("get", ids[::-1], {"version": True}), [[v, 1] for v in values[::-1]])
        for k in range(0, 1000, 10):
            self.c.call("release", ids[k:k + 10])

    def test_reply_just_above_the_limit(self):
        frame = self.client({}).hello_result["limits"]["frame"]
        large = [self.c.call("put", bytes(32 * MIB - 1 * MIB // 4)) for _ in range(2)]
        small = self.c.call("put", bytes(10000))
        # Response head 4, array head 3, bin heads 5 and 3.
        rest = frame - 4 - 3 - 2 * (32 * MIB - MIB // 4 + 5)
        count = rest // 10003
        last = self.c.call("put", bytes(rest - count * 10003 - 3))
        reply = self.c.reply("get", large + [small] * count + [last])
        self.assertEqual((reply.error, len(reply.raw)), (None, frame))
        for ids in (large + [small] * count + [last, small], large + [small] * (count + 60)):
            reply = self.c.reply("get", ids)
            self.assertIsNotNone(reply.error, "%d bytes" % len(reply.raw))
            self.assertEqual(reply.exception().code, "TOOBIG")
        self.c.call("release", large + [small, last])

    def test_one_value_many_times(self):
        obj = self.c.call("put", pattern(60000))
        self.assertTrue(self.c.call("get", [obj] * 1024) == [pattern(60000)] * 1024)
        self.assertEqual(self.c.call("release", obj), 0)

    def test_pipelined_large_and_small(self):
        big, small = self.c.call("put", pattern(500000)), self.c.call("put", "small")
        replies = self.c.pipeline([("get", big), ("get", small), ("ping",), ("get", big, {"offset": 100000, "len": 100000})] * 50)
        for i in range(0, len(replies), 4):
            self.assertTrue(replies[i].value() == pattern(500000))
            self.assertEqual(replies[i + 1].value(), "small")
            self.assertTrue(replies[i + 3].value() == pattern(500000)[100000:200000])
        self.c.call("release", [big, small])

    def test_the_reader_goes_away_amid_the_bytes(self):
        obj = self.c.call("put", pattern(20 * MIB))
        for how in ("close", "kill", "shutdown", "newcomer"):
            client = self.client({"lease_ms": 0, "name": how})
            for _ in range(5):
                client.request("get", obj)
            self.assertTrue(client.sock.recv(1000))
            if how == "kill":
                self.c.call("kill", client.hello_result["sid"])
            elif how == "shutdown":
                client.sock.shutdown(socket.SHUT_RDWR)
            elif how == "newcomer":
                self.client({"session": client.hello_result["session"]}).call("bye")
            client.close()
        # Pinned for those, it must now die at once.
        self.assertEqual(self.c.call("release", obj), 0)
        self.assertGone(self.c, obj)

    def test_values_set_again_and_again_while_they_are_sent(self):
        obj = self.c.call("put", pattern(MIB))
        readers = [self.client() for _ in range(4)]
        for i in range(20):
            for reader in readers:
                reader.request("get", obj)
            self.c.call("set", obj, pattern(MIB, i + 1))
        known = [pattern(MIB, i) for i in range(21)]
        for reader in readers:
            versions = []
            for _ in range(20):
                value = reader.recv().value()
                self.assertIn(value, known, "a value that never was")
                versions.append(known.index(value))
            self.assertEqual(versions, sorted(versions))
            reader.close()
        self.c.call("release", obj)

    def test_get_and_bye_in_one_write(self):
        client = self.client()
        obj = client.call("put", pattern(10 * MIB))
        client.send_raw(request_bytes(1, "get", [obj]) + request_bytes(2, "bye", []))
        replies = client.drain_until_closed()
        self.assertEqual(len(replies), 2)
        self.assertTrue(replies[0].value() == pattern(10 * MIB))
        self.assertEqual(replies[1].value(), 1)


class Steps(LargeTest):
    """Calls that take many turns, and connections that do not wait for their end."""

    def fill(self, count):
        client = self.client()
        for _ in range(count // 1000):
            client.call("put_many", [[i, [-1]] for i in range(1000)])
        return client

    def unfill(self, client):
        """All of them are small stars of which the first points at itself; cut it, then they die with the session."""
        cursor = 0
        while True:
            cursor, ids = self.c.call("scan", cursor, {"limit": 1000})
            for obj in ids:
                if self.c.call("refs", obj) == [obj]:
                    self.c.call("link", obj, 0, None)
            if cursor == 0:
                break
        client.call("bye")

    def test_verify_by_several_at_once(self):
        keeper = self.fill(20000)
        clients = [self.client() for _ in range(5)]
        for client in clients:
            client.request("verify")
        for client in clients:
            reply = client.recv()
            if reply.error is None:
                self.assertEqual(reply.result["findings"], [])
            else:
                self.assertEqual(reply.exception().code, "BUSY")
        self.unfill(keeper)

    def test_verify_while_others_change_everything(self):
        keeper = self.fill(20000)
        walker, writer = self.client(), self.client()
        for _ in range(5):
            walker.request("verify")
            ids = writer.call("put_many", [[i, [-2], {"tag": "t%d" % (i % 50)}] for i in range(1000)])
            for i, obj in enumerate(ids[:100]):
                writer.call("set", obj, b"x" * i * 100)
                writer.call("name", "v%d" % i, obj)
                writer.call("link", obj, 0, None)
            writer.call("unname", ["v%d" % i for i in range(100)])
            writer.call("link", ids[1], 0, None)
            writer.call("release", ids)
            result = walker.recv().value()
            self.assertEqual((result["ok"], result["findings"]), (True, []))
        self.unfill(keeper)

    def test_gone_while_verify_runs(self):
        keeper = self.fill(20000)
        for how in ("close", "kill", "requests behind it"):
            client = self.client({"lease_ms": 0})
            client.send_raw(request_bytes(1, "verify", []) + request_bytes(2, "verify", []) + request_bytes(3, "ping", []))
            if how == "kill":
                self.c.call("kill", client.hello_result["sid"])
            elif how == "close":
                client.close()
            else:
                self.assertEqual(sorted(client.recv().msgid for _ in range(3)), [1, 2, 3])
        poll(lambda: self.c.reply("verify").error is None, "verify is free again")
        self.unfill(keeper)

    def test_bye_behind_verify(self):
        keeper = self.fill(20000)
        client = self.client()
        client.send_raw(request_bytes(1, "verify", []) + request_bytes(2, "bye", []))
        self.assertEqual([reply.msgid for reply in client.drain_until_closed()], [1, 2])
        self.unfill(keeper)


if __name__ == "__main__":
    unittest.main()
