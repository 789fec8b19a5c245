#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that are slow, silent or many: readers that do not read, floods, crowds, and no descriptors left."""
import resource
import select
import socket

from common import LONG, Closed, Daemon, poll, request_bytes, unittest
from hostile import MIB, QUEUE_SOFT, HostileTest


class Readers(HostileTest):
    def test_never_reading_client(self):
        maker = self.client()
        blob = maker.call("put", bytes(range(256)) * (MIB // 256))
        client = self.client()
        before = self.daemon.memory()
        request = request_bytes(1, "get", [blob])
        client.send_raw(request * 1000)
        # Others are served meanwhile.
        most = 0
        for _ in range(200):
            self.assertEqual(self.c.call("get", self.kept), "kept")
            most = max(most, self.daemon.memory() - before)
        print("a client that reads nothing of 1000 MiB: %d KiB" % (most >> 10))
        self.assertLess(most, self.slack * (4 * QUEUE_SOFT))
        # All come, whole, once it reads.
        for _ in range(1000 if LONG else 100):
            self.assertEqual(len(client.recv().value()), MIB)
        client.close()
        maker.call("release", blob)

    def test_never_reading_client_of_small_replies(self):
        client = self.client()
        before = self.daemon.memory()
        data = b"".join(request_bytes(i, "get", [self.kept]) for i in range(100000))
        sent, idle = 0, 0
        while sent < len(data) and idle < 200:
            taken = client.send_some(data[sent:sent + 65536])
            sent += taken
            idle = 0 if taken else idle + 1
            self.c.call("ping")
        self.assertLess(self.daemon.memory() - before, self.slack * 4 * QUEUE_SOFT)
        expected = 0
        client.sock.setblocking(False)
        while expected < 100000:
            ready = select.select([client.sock], [client.sock] if sent < len(data) else [], [], 30)
            self.assertTrue(ready[0] or ready[1])
            if ready[1]:
                sent += client.send_some(data[sent:sent + 65536])
            if ready[0]:
                chunk = client.sock.recv(1 << 20)
                self.assertTrue(chunk)
                client.buffer += chunk
                client.unpacker.feed(chunk)
                for message in client.unpacker:
                    self.assertEqual(message, [1, expected, None, "kept"])
                    expected += 1

    def test_a_value_that_changes_while_it_is_sent(self):
        body = bytes(range(256)) * (32 * MIB // 256)
        for change in ("set", "release", "unname"):
            with self.subTest(change):
                client = self.client()
                obj = self.c.call("put", body)
                if change == "unname":
                    self.c.call("name", "big", obj)
                    self.c.call("release", obj)
                client.request("get", obj)
                first = client.sock.recv(100)
                self.assertGreater(len(first), 0)
                if change == "set":
                    self.c.call("set", obj, b"other" * 1000000)
                elif change == "release":
                    self.assertEqual(self.c.call("release", obj), 0)
                else:
                    self.c.call("unname", "big")
                # Whatever is put now must not land where the old value is sent from.
                junk = [self.c.call("put", b"j" * (8 * MIB)) for _ in range(5)]
                client.buffer += first
                client.unpacker.feed(first)
                self.assertTrue(client.recv().value() == body, "the old bytes, all of them")
                client.close()
                self.c.call("release", junk)
                if change == "set":
                    self.c.call("release", obj)
        poll(lambda: self.c.call("stats", "objects")["count"] == 1, "all is freed")
        self.assertVerified(self.c)

    def test_many_slow_readers(self):
        blob = self.c.call("put", bytes(4 * MIB))
        before = self.daemon.memory()
        clients = [self.client() for _ in range(50)]
        for client in clients:
            client.send_raw(request_bytes(1, "get", [blob]) * 20)
        for _ in range(50):
            self.assertEqual(self.c.call("get", self.kept), "kept")
        grown = self.daemon.memory() - before
        print("50 readers that read nothing of 80 MiB each: %d KiB" % (grown >> 10))
        self.assertLess(grown, self.slack * 50 * 2 * QUEUE_SOFT)
        for client in clients:
            self.assertEqual(len(client.recv().value()), 4 * MIB)
            client.close()
        self.c.call("release", blob)

    def test_reader_of_single_bytes(self):
        client = self.client()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        obj = self.c.call("put", bytes(range(256)) * 64)
        for _ in range(8):
            client.request("get", obj)
        data = bytearray()
        while len(data) < 8 * 16384:
            data += client.sock.recv(1 if len(data) < 5000 else 997)
        client.buffer += data
        client.unpacker.feed(bytes(data))
        for _ in range(8):
            self.assertEqual(client.recv().value(), bytes(range(256)) * 64)
        self.c.call("release", obj)

    if LONG:  # it takes the 30 s without progress

        def test_cut_off_after_30_seconds_without_progress(self):
            client = self.client()
            blob = client.call("put", bytes(16 * MIB))
            client.send_raw(request_bytes(1, "get", [blob]) * 20)
            poll(lambda: (self.c.reply("inspect", blob).error or "").startswith("GONE"), "it is cut off", 120)


class Floods(HostileTest):
    def test_notifications(self):
        client = self.client()
        lines = len(self.daemon.lines)
        frame = b"\x93\x02\xa7unknown\x90"
        for _ in range(100):
            client.send_raw(frame * 1000)
        for bad in (b"\x93\x02\xa3get\x91\x05", b"\x93\x02\xa3put\x90", b"\x94\x01\x05\xc0\xc0", b"\x93\x02\xa0\x90"):
            client.send_raw(bad * 10000)
        self.assertIs(type(client.call("ping")), int)
        self.assertLess(len(self.daemon.lines) - lines, 1000, "lines that clients cause are limited")

    def test_errors(self):
        lines = len(self.daemon.lines)
        replies = self.c.pipeline([("nonsense",)] * 20000)
        self.assertEqual({reply.exception().code for reply in replies}, {"NOMETHOD"})
        self.assertLess(len(self.daemon.lines) - lines, 1000)

    def test_bad_connections(self):
        lines = len(self.daemon.lines)
        for _ in range(2000):
            client = self.daemon.client()
            client.send_raw(b"\xc1")
            client.drain_until_closed()
            client.close()
        self.assertLess(len(self.daemon.lines) - lines, 1000)

    def test_a_busy_client_does_not_starve_others(self):
        busy = self.client()
        data = request_bytes(1, "get", [self.kept]) * 20000
        sent = received = 0
        answers = 0
        while answers < 100:
            sent += busy.send_some(data[sent % len(data):][:262144])
            try:
                received += len(busy.sock.recv(1 << 20, socket.MSG_DONTWAIT))
            except BlockingIOError:
                pass
            self.assertEqual(self.c.call("get", self.kept), "kept")
            answers += 1
        busy.close()

    def test_log_holds_no_raw_bytes_of_clients(self):
        client = self.client()
        client.reply("no\nsuch\x1b[31mmethod")
        client.reply("hello", {"name": "a\nb"})
        client.send_raw(b"\xc1\x1b[2J")
        client.drain_until_closed()
        self.assertNotIn("\x1b", self.daemon.stderr())


class Crowd(unittest.TestCase):
    def test_idle_connections(self):
        count = 10000 if LONG else 2000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count + 500
        if hard != resource.RLIM_INFINITY:
            self.assertGreaterEqual(hard, wanted, "the machine's limit of descriptors is too low for this test")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        try:
            # The daemon starts with a low soft limit and raises it by itself.
            with Daemon(tcp=False, wrap=["prlimit", "--nofile=1024:%d" % wanted, "--"]) as daemon:
                witness = daemon.client()
                obj = witness.call("put", "kept")
                before = daemon.memory()
                clients = []
                try:
                    for i in range(count):
                        clients.append(daemon.client({"name": "idle"} if i % 2 else None))
                        if i % 500 == 0:
                            self.assertEqual(witness.call("get", obj), "kept")
                    clients[-1].call("ping")
                    each = (daemon.memory() - before) / count
                    print("%d idle connections: %.0f bytes each" % (count, each))
                    if not daemon.sanitized():
                        self.assertLess(each, 32768)
                    self.assertEqual(witness.call("get", obj), "kept")
                    self.assertGreaterEqual(witness.call("stats", "sessions")["open"], count // 2)
                    for client in (clients[0], clients[count // 2], clients[-1]):
                        self.assertEqual(client.call("get", obj), "kept")
                finally:
                    for client in clients:
                        client.close()
                self.assertEqual(witness.call("get", obj), "kept")
                witness.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class NoDescriptors(unittest.TestCase):
    def test_limit(self):
        with Daemon(wrap=["prlimit", "--nofile=64:64", "--"]) as daemon:
            witness = daemon.client()
            obj = witness.call("put", "kept")
            clients, refused = [], 0
            for i in range(200):
                client = daemon.client(tcp=i % 2 == 1)
                try:
                    client.request("ping", msgid=1)
                except Closed:
                    pass
                try:
                    reply = client.recv()
                except Closed:
                    self.fail("closed without an answer")
                if reply.error is None:
                    clients.append(client)
                    continue
                self.assertEqual(reply.exception().code, "LIMIT")
                client.wait_closed()
                client.close()
                refused += 1
                self.assertEqual(witness.call("get", obj), "kept")
            self.assertGreater(len(clients), 5)
            self.assertGreater(refused, 100)
            for client in clients:
                self.assertEqual(client.call("get", obj), "kept")
            for client in clients[::2]:
                client.close()

            def again():
                client = daemon.client()
                try:
                    client.request("ping")
                except Closed:
                    pass  # it was refused, and says why
                reply = client.recv()
                client.close()
                return reply.error is None

            poll(again, "new connections are taken again")
            self.assertEqual(witness.call("get", obj), "kept")
            for client in clients[1::2] + [witness]:
                client.close()


if __name__ == "__main__":
    unittest.main()
