#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sessions: anonymous and named, leases, grace, resume, newcomer wins, end, kill."""
from common import Closed, Raw, WireTest, poll, request_bytes, unittest

ENDED = ("EXPIRED", "NOTFOUND")


class SessionTest(WireTest):
    """Each test leaves no session of the default pool behind, so that sessions in grace can be counted."""

    def setUp(self):
        self.sids = set()
        super().setUp()

    def tearDown(self):
        for sid in self.sids:
            self.c.reply("kill", sid)

    def client(self, hello=None, **options):
        client = super().client(hello, **options)
        if client.hello_result and client.hello_result["pool"] == "default":
            self.sids.add(client.hello_result["sid"])
        return client

    def wait_gone(self, obj):
        poll(lambda: (self.c.reply("inspect", obj).error or "").startswith("GONE"), "the object dies with its session")

    def sessions(self, client=None):
        return (client or self.c).call("stats", "sessions")

    def wait_grace(self):
        """Waits until the daemon has seen that the connection of the only named session broke."""
        poll(lambda: self.sessions()["grace"] == 1, "the session is in grace")


class Anonymous(SessionTest):
    def test_ends_with_its_connection(self):
        guest = self.client()
        ids = guest.call("put_many", [["a"], ["b"], ["c"]])
        self.c.call("retain", ids[1])
        guest.call("name", "kept", ids[2])
        guest.close()
        self.wait_gone(ids[0])
        self.assertEqual((self.count(self.c, ids[1]), self.count(self.c, ids[2])), (1, 1))
        self.assertEqual(self.sessions()["grace"], 0)
        self.c.call("unname", "kept")
        self.assertGone(self.c, ids[2])

    def test_ends_when_the_client_only_stops_sending(self):
        guest = self.client()
        obj = guest.call("put", "a")
        guest.sock.shutdown(1)
        self.wait_gone(obj)
        guest.wait_closed()

    def test_replies_are_still_sent_to_one_that_stopped_sending(self):
        guest = self.client()
        first = guest.call("put", "a" * 1000)
        for _ in range(100):
            guest.request("get", first)
        guest.sock.shutdown(1)
        replies = guest.drain_until_closed()
        self.assertEqual([reply.value() for reply in replies], ["a" * 1000] * 100)

    def test_replies_that_wait_in_its_queue_outlast_it(self):
        for size, count in ((1000, 3000), (1000000, 3)):  # copied; pinned
            guest = self.client()
            first = guest.call("put", "a" * size)
            guest.send_raw(b"".join(request_bytes(n, "get", [first]) for n in range(count)))
            guest.sock.shutdown(1)
            self.wait_gone(first)  # its session has ended, and what the socket did not take is in its queue
            replies = guest.drain_until_closed()
            self.assertEqual([reply.msgid for reply in replies], list(range(count)))
            self.assertEqual({reply.value() for reply in replies}, {"a" * size})

    def test_has_no_key(self):
        guest = self.client()
        guest.call("ping")
        for key in (bytes(16), b"\xff" * 16):
            self.assertCode(ENDED, self.client(), "hello", {"session": key})

    def test_end_of_a_session_with_many_holds(self):
        guest = self.client()
        before = self.c.call("stats", "objects")["count"]
        for _ in range(100):
            guest.call("put_many", [["x"]] * 1000)
        self.assertEqual(self.c.call("stats", "objects")["count"], before + 100000)
        guest.close()
        poll(lambda: self.c.call("stats", "objects")["count"] == before, "all objects of the session die")
        self.assertVerified(self.c)


class Resume(SessionTest):
    def test_grace_and_resume(self):
        first = self.client({"name": "worker", "pid": 7})
        hello = first.hello_result
        ids = first.call("put_many", [["a"], ["b"], ["c"]])
        first.call("retain", ids[0], 4)
        first.close()
        self.wait_grace()
        self.assertIn(hello["sid"], [row["sid"] for row in self.c.call("sessions")])
        self.assertEqual([self.count(self.c, obj) for obj in ids], [5, 1, 1])
        (row,) = self.c.call("holders", ids[0])
        self.assertEqual((row["name"], row["sid"], row["count"]), ("worker", hello["sid"], 5))
        again = self.client({"session": hello["session"]})
        self.assertEqual(again.hello_result["sid"], hello["sid"])
        self.assertEqual(again.hello_result["session"], hello["session"])
        self.assertEqual(again.hello_result["epoch"], hello["epoch"])
        self.assertEqual(again.hello_result["held"], 3)
        self.assertEqual(self.sessions()["grace"], 0)
        self.assertEqual(again.call("release", ids[0], 5), 0)
        self.assertEqual(again.call("release", ids[1:]), [0, 0])
        self.assertGone(self.c, ids[0])
        again.call("bye")

    def test_resume_many_times(self):
        hello = self.client({"name": "x"}).hello_result
        for i in range(20):
            again = self.client({"session": hello["session"]})
            self.assertEqual(again.hello_result["held"], i)
            again.call("put", i)
            again.close()

    def test_key_finds_its_pool(self):
        self.c.call("pool_create", "elsewhere")
        first = self.client({"pool": "elsewhere", "name": "n"})
        obj = first.call("put", "x")
        first.close()
        again = self.client({"session": first.hello_result["session"]})
        self.assertEqual(again.hello_result["pool"], "elsewhere")
        self.assertEqual(again.call("get", obj), "x")
        self.c.call("pool_drop", "elsewhere", {"force": True})

    def test_newcomer_wins(self):
        first = self.client({"name": "twin"})
        obj = first.call("put", "x")
        second = self.client({"session": first.hello_result["session"]})
        first.wait_closed()
        self.assertEqual(second.hello_result["held"], 1)
        self.assertEqual(second.call("get", obj), "x")
        self.assertEqual(second.call("release", obj), 0)
        self.assertEqual(self.sessions()["grace"], 0)
        second.call("bye")

    def test_newcomer_wins_over_a_client_that_does_not_read(self):
        first = self.client({"name": "twin"})
        obj = first.call("put", bytes(8 << 20))
        for _ in range(8):
            first.request("get", obj)
        second = self.client({"session": first.hello_result["session"]})
        self.assertEqual(second.call("release", obj), 0)
        self.assertGone(self.c, obj)
        try:
            while first.sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass
        second.call("bye")

    def test_newcomers_in_a_row(self):
        key = self.client({"name": "x"}).hello_result["session"]
        clients = [self.client({"session": key}) for _ in range(10)]
        for client in clients[:-1]:
            client.wait_closed()
        obj = clients[-1].call("put", 1)
        self.assertEqual(self.count(clients[-1], obj), 1)
        clients[-1].call("bye")

    def test_wrong_keys(self):
        key = self.client({"name": "x"}).hello_result["session"]
        wrong = bytes([key[0] ^ 1]) + key[1:]
        for bad in (wrong, bytes(16), b"\xff" * 16):
            client = self.client()
            self.assertCode(ENDED, client, "hello", {"session": bad})
            # The same connection may begin anew.
            self.assertEqual(client.call("hello", {})["held"], 0)
        for bad in (b"", key[:15], key + b"x"):
            self.assertCode(ENDED + ("BADARG",), self.client(), "hello", {"session": bad})
        self.assertCode("BADARG", self.client(), "hello", {"session": 5})

    def test_resume_with_another_name(self):
        first = self.client({"name": "x"})
        first.close()
        again = self.client({"session": first.hello_result["session"], "name": "x", "colour": 1})
        self.assertEqual(again.hello_result["ignored"], ["colour"])
        again.call("bye")

    def test_requests_of_the_broken_connection_were_done_in_order(self):
        first = self.client({"name": "x"})
        obj = first.call("put", 0)
        first.send_raw(b"".join(
            [b"\x94\x00\x01\xa6retain\x91" + b"\xcf" + obj.to_bytes(8, "big")] * 100))
        first.close()
        again = self.client({"session": first.hello_result["session"]})
        held = again.call("inspect", obj)["count"]
        self.assertTrue(1 <= held <= 101, held)
        self.assertEqual(again.call("release", obj, held), 0)
        again.call("bye")


class Hello(SessionTest):
    def test_options_beyond_measure(self):
        # Unknown keys are no error, but nobody needs ten thousand values in them.
        client = self.client()
        for options in ({"x": [0] * 60000}, {"x": [[]] * 60000}, {"x%d" % i: [0] * 1000 for i in range(1000)}):
            error = client.reply("hello", options).error
            self.assertIsNotNone(error, "%d options" % len(options))
            self.assertTrue(error.startswith("BADARG "), error)
        self.assertEqual(client.call("hello", {"x": [0] * 10000, "y": "z"})["ignored"], ["x", "y"])

    def test_ignored_keys_that_are_no_text(self):
        # They come back in a str, which must be valid UTF-8.
        reply = self.client().reply("hello", {"\udcff\udcfe": 1, "a\nb": 2, "x" * 300: 3, "\u00fc": 4})
        self.assertEqual(reply.value()["ignored"], ["?", "?", "?", "\u00fc"])


class Leases(SessionTest):
    def test_lease_ends_and_releases(self):
        first = self.client({"name": "short", "lease_ms": 100})
        a, b = first.call("put_many", [["a"], ["b"]])
        self.c.call("retain", b)
        ticket = first.call("share", a)
        key = first.hello_result["session"]
        first.close()
        poll(lambda: self.count(self.c, b) == 1, "the lease ends")
        self.assertEqual(self.c.call("inspect", a)["held_by"], {"sessions": 0, "slots": 0, "names": 0, "tickets": 1})
        self.assertCode(ENDED, self.client(), "hello", {"session": key})
        self.assertEqual(self.c.call("claim", ticket), a, "tickets live on")

    def test_lease_runs_only_without_a_connection(self):
        attached = self.client({"name": "attached", "lease_ms": 50})
        kept = attached.call("put", "kept")
        # Ten leases, twice as long each, end one after the other meanwhile.
        for _ in range(10):
            other = self.client({"name": "other", "lease_ms": 100})
            obj = other.call("put", "lost")
            other.close()
            self.wait_gone(obj)
        self.assertEqual(self.c.call("get", kept), "kept")
        self.assertEqual(attached.call("release", kept), 0)
        attached.call("bye")

    def test_resume_stops_the_lease(self):
        first = self.client({"name": "saved", "lease_ms": 2000})
        kept = first.call("put", "kept")
        first.close()
        saved = self.client({"session": first.hello_result["session"]})
        other = self.client({"name": "other", "lease_ms": 4000})
        obj = other.call("put", "lost")
        other.close()
        self.wait_gone(obj)
        self.assertEqual(saved.call("get", kept), "kept")
        saved.call("bye")

    def test_lease_of_no_time(self):
        first = self.client({"name": "none", "lease_ms": 0})
        obj = first.call("put", "x")
        key = first.hello_result["session"]
        first.close()
        self.wait_gone(obj)
        self.assertCode(ENDED, self.client(), "hello", {"session": key})

    def test_newcomer_wins_with_a_lease_of_no_time(self):
        first = self.client({"name": "none", "lease_ms": 0})
        obj = first.call("put", "x")
        second = self.client({"session": first.hello_result["session"]})
        first.wait_closed()
        self.assertEqual(second.call("get", obj), "x")
        second.call("bye")

    def test_default_lease_is_not_short(self):
        first = self.client({"name": "long"})
        obj = first.call("put", "x")
        other = self.client({"name": "other", "lease_ms": 1000})
        lost = other.call("put", "lost")
        first.close()
        other.close()
        self.wait_gone(lost)
        self.assertEqual(self.c.call("get", obj), "x")
        self.assertEqual(self.client({"session": first.hello_result["session"]}).call("bye"), 1)

    def test_lease_of_a_session_with_many_holds(self):
        before = self.c.call("stats", "objects")["count"]
        first = self.client({"name": "many", "lease_ms": 50})
        for _ in range(50):
            first.call("put_many", [["x"]] * 1000)
        first.close()
        poll(lambda: self.c.call("stats", "objects")["count"] == before, "all objects of the session die")
        self.assertVerified(self.c)

    def test_many_sessions_in_grace(self):
        firsts = [self.client({"name": "g%d" % i, "lease_ms": 60000}) for i in range(50)]
        ids = [client.call("put", i) for i, client in enumerate(firsts)]
        for client in firsts:
            client.close()
        poll(lambda: self.sessions()["grace"] == 50, "all are in grace")
        self.assertEqual(self.c.call("get", ids), list(range(50)))
        for client in firsts:
            self.assertEqual(self.client({"session": client.hello_result["session"]}).call("bye"), 1)
        self.assertEqual(self.sessions()["grace"], 0)
        for obj in ids:
            self.assertGone(self.c, obj)


class Open(SessionTest):
    def test_open_objects_are_dropped_at_the_end(self):
        c = self.pool_client()
        pool = c.hello_result["pool"]
        for hello in (None, {"lease_ms": 0}):
            maker = self.client(dict(hello or {}, pool=pool))
            obj = maker.call("put", None, {"size": 3000000})
            maker.call("write", obj, 0, b"x" * 1000000)
            maker.call("bye")
            self.assertGone(c, obj)
        self.wait_backlog(c)
        self.assertEqual(c.call("stats", "objects")["count"], 0)
        self.assertVerified(c)

    def test_open_objects_survive_grace(self):
        first = self.client({"name": "writer"})
        obj = first.call("put", None, {"size": 6})
        first.call("write", obj, 0, b"abc")
        first.close()
        again = self.client({"session": first.hello_result["session"]})
        again.call("write", obj, 3, b"def")
        again.call("seal", obj)
        self.assertEqual(self.c.call("get", obj), b"abcdef")
        again.call("bye")
        self.assertGone(self.c, obj)

    def test_open_objects_are_dropped_when_the_lease_ends(self):
        first = self.client({"name": "writer", "lease_ms": 50})
        obj = first.call("put", None, {"size": 6})
        first.close()
        self.wait_gone(obj)

    def test_kill_drops_them(self):
        first = self.client({"name": "writer"})
        obj = first.call("put", None, {"size": 6})
        self.c.call("kill", first.hello_result["sid"])
        self.assertGone(self.c, obj)
        first.wait_closed()


class Ends(SessionTest):
    def test_kill_oneself(self):
        first = self.client({"name": "suicidal"})
        obj = first.call("put", "x")
        reply = first.reply("kill", first.hello_result["sid"])
        self.assertEqual(reply.value(), 1)
        first.wait_closed()
        self.assertGone(self.c, obj)

    def test_exactly_what_it_held_is_released(self):
        c = self.pool_client()
        pool = c.hello_result["pool"]
        first = self.client({"pool": pool})
        ids = [first.call("put", i) for i in range(100)]
        for i, obj in enumerate(ids):
            first.call("retain", obj, i + 1)
            if i % 2:
                c.call("retain", obj, i)
        first.call("bye")
        for i, obj in enumerate(ids):
            if i % 2:
                self.assertEqual(self.count(c, obj), i)
            else:
                self.assertGone(c, obj)
        self.assertEqual(c.call("release", [obj for obj in ids[1::2]]), [i - 1 for i in range(1, 100, 2)])
        self.assertVerified(c)

    def test_pipelined_bye_does_what_came_before(self):
        first = self.client({"name": "x"})
        obj = first.call("put", "x")
        first.request("name", "last-will", obj)
        first.request("bye")
        replies = first.drain_until_closed()
        self.assertEqual(len(replies), 2)
        self.assertEqual(replies[1].value(), 1)
        self.assertEqual(self.c.call("fetch", "last-will"), "x")
        self.c.call("unname", "last-will")

    def test_the_old_connection_cannot_speak_for_the_session(self):
        first = self.client({"name": "x"})
        obj = first.call("put", "x")
        second = self.client({"session": Raw(b"\xc4\x10" + first.hello_result["session"])})
        with self.assertRaises(Closed):
            for _ in range(1000):
                first.call("release", obj)
        self.assertEqual(second.call("inspect", obj)["count"], 1)
        second.call("bye")


if __name__ == "__main__":
    unittest.main()
