#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Hostile input: broken frames, frames above limits, random damage. HF_SEED replays the random part with a seed it
printed; HF_TEST_LONG=1 runs the long form."""
import os
import random
import socket
import struct
import sys
import time

from common import LONG, Closed, Raw, encode, request_bytes, unittest
from hostile import FRAME_MAX, MIB, HostileTest, nested, put_frame


class BadFrames(HostileTest):
    # Bytes that no later byte could turn into MessagePack-RPC.
    BAD = {
        "five bytes that declare an array of 2^24": b"\xdd\x00\xff\xff\xff",
        "an array of 2^32-1": b"\xdd\xff\xff\xff\xff",
        "160 nested arrays": nested(160),
        "reserved byte": b"\xc1",
        "reserved byte as msgid": b"\x94\x00\xc1\xa4ping\x90",
        "reserved byte in params": b"\x94\x00\x01\xa3put\x91\xc1",
        "reserved byte deep in params": b"\x94\x00\x01\xa3put\x91\x92\x81\xa1a\xc1\xc0",
        "reserved byte as method": b"\x94\x00\x01\xc1\x90",
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "redis": b"*1\r\n$4\r\nPING\r\n",
        "nil": b"\xc0",
        "an integer": b"\x05",
        "a str": b"\xa4ping",
        "a map": b"\x81\xa1a\x01",
        "an ext": b"\xc7\x01\x05\x00",
        "an empty array": b"\x90",
        "an array of two": b"\x92\x00\x01",
        "an array of five": b"\x95\x00\x01\xa4ping\x90\x90",
        "message type 3": b"\x94\x03\x01\xa4ping\x90",
        "message type -1": b"\x94\xff\x01\xa4ping\x90",
        "message type of a str": b"\x94\xa10\x01\xa4ping\x90",
        "message type nil": b"\x94\xc0\x01\xa4ping\x90",
        "a request of three": b"\x93\x00\x01\xa4ping",
        "a notification of four": b"\x94\x02\x01\xa4ping\x90",
        "a response of three": b"\x93\x01\x01\xc0",
        "msgid of a str": b"\x94\x00\xa11\xa4ping\x90",
        "msgid nil": b"\x94\x00\xc0\xa4ping\x90",
        "msgid -1": b"\x94\x00\xff\xa4ping\x90",
        "msgid 2^32": b"\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa4ping\x90",
        "msgid an array": b"\x94\x00\x90\xa4ping\x90",
    }

    def assertBadFrame(self, client, before=0):
        """`before` replies, then one BADFRAME with msgid 0, then the end."""
        replies = client.drain_until_closed()
        self.assertEqual(len(replies), before + 1, [reply.raw[:40] for reply in replies])
        self.assertEqual(replies[-1].msgid, 0)
        self.assertEqual(replies[-1].exception().code, "BADFRAME")
        return replies

    def test_bad_frames_unix(self):
        for name, data in self.BAD.items():
            with self.subTest(name):
                client = self.client()
                client.send_raw(data)
                self.assertBadFrame(client)

    def test_bad_frames_tcp(self):
        for name, data in self.BAD.items():
            if len(data) < 1000:
                with self.subTest(name):
                    client = self.client(tcp=True)
                    client.send_raw(data)
                    self.assertBadFrame(client)

    def test_bad_frames_byte_by_byte(self):
        for name, data in self.BAD.items():
            if len(data) < 300:
                with self.subTest(name):
                    client = self.client()
                    try:
                        for i in range(len(data)):
                            client.send_raw(data[i:i + 1])
                    except Closed:
                        pass
                    self.assertBadFrame(client)

    def test_after_good_requests(self):
        for name, data in self.BAD.items():
            if len(data) < 1000:
                with self.subTest(name):
                    client = self.client()
                    good = request_bytes(7, "ping", []) + request_bytes(8, "get", [self.kept])
                    client.send_raw(good + data + request_bytes(9, "ping", []))
                    replies = self.assertBadFrame(client, before=2)
                    self.assertEqual([reply.msgid for reply in replies], [7, 8, 0])
                    self.assertEqual(replies[1].value(), "kept")

    def test_session_of_the_closed_connection_is_in_grace(self):
        client = self.client({"name": "fuzzy"})
        obj = client.call("put", "x")
        client.send_raw(b"\xc1")
        self.assertBadFrame(client)
        again = self.client({"session": client.hello_result["session"]})
        self.assertEqual(again.call("get", obj), "x")
        again.call("bye")

    def test_depth_above_64(self):
        # Well-formed MessagePack-RPC above a limit: TOOBIG under its msgid, and the connection lives on.
        for name, value in (("65", nested(63)), ("160", nested(158)), ("1,000,000", nested(1000000)),
                            ("66 in maps", b"\x81\x01" * 64 + b"\xc0"),
                            ("65 in keys of maps", b"\x81" * 63 + b"\xc0" * 64),
                            ("65 behind much else", b"\xdc\x01\x00" + b"\xc3" * 255 + nested(62))):
            with self.subTest(name):
                client = self.client()
                client.send_raw(put_frame(5, value) + request_bytes(6, "ping", []))
                first, second = client.recv(), client.recv()
                self.assertEqual((first.msgid, first.exception().code, second.msgid), (5, "TOOBIG", 6))
                self.assertIs(type(second.value()), int)
        client = self.client()
        client.send_raw(b"\x93\x02\xa3put\x91" + nested(63) + request_bytes(6, "ping", []))
        self.assertEqual(client.recv().msgid, 6)

    def test_depth_64_is_fine(self):
        # The frame's array and the params are two levels.
        obj = self.c.call("put", Raw(nested(62)))
        self.assertEqual(self.c.reply("get", obj).result_raw, nested(62))
        self.c.call("release", obj)

    def test_wrong_but_well_formed(self):
        # An error (or BADFRAME and the end), never silence, never an effect.
        for data in (b"\x94\x00\x01\x05\x90", b"\x94\x00\x01\xc0\x90", b"\x94\x00\x01\x90\x90",
                     b"\x94\x00\x01\xa4ping\xc0", b"\x94\x00\x01\xa4ping\x80", b"\x94\x00\x01\xa4ping\xa1x"):
            client = self.client()
            client.send_raw(data + request_bytes(2, "ping", []))
            reply = client.recv()
            code = reply.exception().code
            self.assertIn((code, reply.msgid), (("BADFRAME", 0), ("BADARG", 1), ("NOMETHOD", 1)))
            if code == "BADFRAME":
                client.wait_closed()
            else:
                self.assertEqual(client.recv().msgid, 2)

    def test_declared_sizes_cost_nothing(self):
        clients = []
        before = self.daemon.memory()
        for i in range(200):
            client = self.client()
            # Within the frame limit, and never completed.
            client.send_raw(put_frame(1, (b"\xc6\x03\xff\xf0\x00", b"\xdd\x00\xff\xff\xff", b"\xdf\x00\x7f\xff\xff",
                                          b"\xdb\x03\xff\xf0\x00", b"\xc9\x03\xff\xf0\x00\x01")[i % 5]))
            clients.append(client)
        self.c.call("ping")
        grown = self.daemon.memory() - before
        print("200 declared values of up to 64 MiB: %d KiB" % (grown >> 10))
        self.assertLess(grown, self.slack * 64 * MIB)
        for client in clients:
            client.close()

    def test_partial_frames(self):
        whole = request_bytes(5, "put", ["x" * 100, {"tag": "t"}])
        clients = []
        for cut in range(1, len(whole)):
            client = self.client()
            client.send_raw(whole[:cut])
            clients.append(client)
        self.assertEqual(self.c.call("get", self.kept), "kept")
        for client, cut in zip(clients[::2], range(1, len(whole), 2)):
            client.send_raw(whole[cut:])
            self.assertIs(type(client.recv().value()), int)
        for client in clients:
            client.close()

    def test_cut_in_two_anywhere(self):
        requests = [request_bytes(1, "get", [self.kept]), request_bytes(2, "put", [{"a": [1.5, b"bin" * 30]}]),
                    request_bytes(3, "ping", [])]
        data = b"".join(requests)
        for cut in range(1, len(data)):
            client = self.client()
            client.send_raw(data[:cut])
            self.c.call("ping")  # a turn of the loop
            client.send_raw(data[cut:])
            self.assertEqual([client.recv().msgid for _ in range(3)], [1, 2, 3])
            client.close()

    def test_half_open(self):
        for data in (b"", b"\x94\x00", request_bytes(1, "ping", [])[:-1]):
            client = self.client()
            client.send_raw(data)
            client.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(client.drain_until_closed(), [])

    def test_closed_at_once(self):
        for i in range(300):
            client = self.client(tcp=i % 2 == 1)
            if i % 3:
                client.send_raw(request_bytes(1, "get", [self.kept]) * (i % 50))
            if i % 5 == 0:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()


class TooBig(HostileTest):
    def send_slowly(self, client, head, total, piece=b"x" * 65536):
        """head, then `total` bytes; memory of the daemon is watched. Its highest growth."""
        before, most = self.daemon.memory(), 0
        client.send_raw(head)
        sent, looked = 0, 0
        while sent < total:
            part = piece[:total - sent]
            client.send_raw(part)
            sent += len(part)
            if sent - looked >= 8 * MIB:
                looked = sent
                most = max(most, self.daemon.memory() - before)
        return most

    def test_frame_above_the_limit(self):
        client = self.client()
        for msgid in (0, 77, 2 ** 32 - 1):
            size = FRAME_MAX + 1000
            most = self.send_slowly(client, put_frame(msgid, b"\xc6" + struct.pack(">I", size)), size)
            reply = client.recv()
            self.assertEqual((reply.msgid, reply.exception().code), (msgid, "TOOBIG"))
            self.assertIs(type(client.call("ping")), int)
            self.assertLess(most, self.slack * 32 * MIB, "discarded bytes are not kept")

    def test_frame_far_above_the_limit(self):
        client = self.client()
        size = (1 << 30 if LONG else 200 * MIB)
        most = self.send_slowly(client, put_frame(5, b"\xdb" + struct.pack(">I", size)), size)
        client.request("ping", msgid=6)
        first, second = client.recv(), client.recv()
        self.assertEqual((first.msgid, first.exception().code, second.msgid), (5, "TOOBIG", 6))
        self.assertLess(most, self.slack * 32 * MIB)

    def test_sum_of_parts_above_the_limit(self):
        client = self.client()
        part = b"\xc6" + struct.pack(">I", MIB) + bytes(MIB)
        most = self.send_slowly(client, put_frame(9, b"\xdc\x00\x50"), 80 * len(part), part)
        reply = client.recv()
        self.assertEqual((reply.msgid, reply.exception().code), (9, "TOOBIG"))
        self.assertIs(type(client.call("ping")), int)
        self.assertLess(most, self.slack * 160 * MIB)

    def test_more_elements_than_a_frame_can_hold(self):
        for value in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x92\xc0\xdd\x7f\xff\xff\xff"):
            client = self.client()
            client.send_raw(put_frame(3, value))
            reply = client.recv()
            self.assertIn((reply.msgid, reply.exception().code), ((3, "TOOBIG"), (0, "BADFRAME")))
            client.close()

    def test_in_a_notification(self):
        client = self.client()
        size = FRAME_MAX + 1
        self.send_slowly(client, b"\x93\x02\xa3put\x91\xc6" + struct.pack(">I", size), size)
        self.assertIs(type(client.call("ping")), int)

    def test_after_pipelined_requests_in_order(self):
        client = self.client()
        size = FRAME_MAX + 1
        client.send_raw(request_bytes(1, "ping", []))
        self.send_slowly(client, put_frame(2, b"\xc6" + struct.pack(">I", size)), size)
        client.send_raw(request_bytes(3, "ping", []))
        self.assertEqual([client.recv().msgid for _ in range(3)], [1, 2, 3])

    def test_the_connection_breaks_while_discarding(self):
        for _ in range(10):
            client = self.client()
            client.send_raw(put_frame(1, b"\xc6\xff\xff\xff\xff") + bytes(100000))
            client.close()

    def test_big_frames_that_break_off(self):
        before = self.c.call("stats", "objects")["count"]
        for size in (65536, MIB, 20 * MIB, 60 * MIB):
            client = self.client()
            client.send_raw(put_frame(1, b"\xc6" + struct.pack(">I", size)) + bytes(size - 1))
            self.c.call("ping")
            client.close()
        self.assertEqual(self.c.call("stats", "objects")["count"], before)
        self.assertVerified(self.c)


class Mutations(HostileTest):
    """Valid frames with random damage. No kill among them: it could hit the witness."""

    def corpus(self, obj):
        ticket = self.c.call("share", obj, {"uses": 1000000})
        calls = [("hello", {"name": "m", "pid": 1}), ("ping",), ("methods",),
                 ("put", {"a": [1, 2.5, b"x"]}, {"refs": [obj, None], "tag": "t"}),
                 ("put", None, {"size": 100}), ("put_many", [["a", [-2]], ["b", [-1], {"tag": "x"}]]), ("get", [obj, obj]),
                 ("get", obj, {"offset": 1, "len": 2}), ("set", obj, "v" * 40, {"if_version": 3}), ("write", obj, 3, b"abc"),
                 ("seal", obj), ("refs", obj), ("link", obj, 0, obj), ("retain", [obj], 3, {"site": "s"}),
                 ("release", obj, 2), ("share", obj, {"ttl_ms": 100, "uses": 2}), ("claim", ticket), ("unshare", bytes(16)),
                 ("name", "mutant", obj), ("lookup", ["mutant"], {"version": True}), ("unname", "mutant", {"if_version": 5}),
                 ("names", 0, {"prefix": "m", "limit": 10}), ("store", "mutant2", [1], {"tag": "t"}),
                 ("fetch", "mutant2"), ("inspect", obj), ("holders", obj, {"limit": 5}), ("scan", 0, {"tag": "t", "limit": 9}),
                 ("sessions", {"limit": 3}), ("pools",), ("pool_create", "mutant", {"max_bytes": 1000000}),
                 ("pool_drop", "mutant", {"force": True}), ("stats", "memory"), ("verify",), ("bye",)]
        frames = [request_bytes(i, call[0], call[1:]) for i, call in enumerate(calls)]
        return frames + [encode([2, "retain", [obj]]), encode([1, 5, None, [1, 2]])]

    @staticmethod
    def damage(rng, frame):
        data = bytearray(frame)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            kind = rng.randrange(6)
            at = rng.randrange(len(data)) if data else 0
            if kind == 0 and data:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1 and data:
                data[at] = rng.choice((0, 0x7f, 0x80, 0x90, 0xc0, 0xc1, 0xc4, 0xcf, 0xd9, 0xdd, 0xdf, 0xff, rng.randrange(256)))
            elif kind == 2:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            elif kind == 3:
                del data[at:at + rng.randrange(1, 9)]
            elif kind == 4:
                del data[at:]
            else:
                piece = data[at:at + rng.randrange(1, 20)]
                data[at:at] = piece
        return bytes(data)

    def test_random_damage(self):
        seed = int(os.environ.get("HF_SEED") or random.SystemRandom().randrange(2 ** 32))
        rounds = 50000 if LONG else 2000
        print("seed %d (HF_SEED=%d replays it), %d rounds" % (seed, seed, rounds))
        sys.stdout.flush()
        rng = random.Random(seed)
        mine = self.c.call("put", "target", {"refs": [self.kept]})
        frames = self.corpus(mine)
        for i in range(rounds):
            client = self.client(tcp=i % 8 == 0)
            good = i % 4 == 0
            data = b""
            for _ in range(rng.randrange(1, 30)):
                frame = rng.choice(frames)
                data += frame if rng.random() < 0.5 else self.damage(rng, frame)
            try:
                at = 0
                while at < len(data):
                    step = len(data) if good else rng.randrange(1, 400)
                    client.send_raw(data[at:at + step])
                    at += step
                self.read_all(client)
            except Closed:
                pass
            client.close()
            if i % 50 == 49:
                self.assertEqual(self.c.call("get", self.kept), "kept", "seed %d round %d" % (seed, i))
                self.assertVerified(self.c)
            self.assertIsNone(self.daemon.process.poll(), "seed %d round %d" % (seed, i))
        self.c.call("release", mine)

    def read_all(self, client):
        """Each reply well-formed; the end of the connection within the deadline."""
        deadline = time.monotonic() + 30
        try:
            client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed already; what it sent before can still be read
        while True:
            self.assertLess(time.monotonic(), deadline, "neither an answer nor the end")
            client.recv()


if __name__ == "__main__":
    unittest.main()
