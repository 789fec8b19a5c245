# SPDX-License-Identifier: BSD-3-Clause
"""Exactly once: requests that are sent again after a resume with `replay` are answered from the session's window if
they were done, and done if they were not."""
from common import RpcError, WireTest, request_bytes, unittest
from folder import FolderTest, kill

WINDOW = 64
LARGE = 300 * 1024


class ReplayTest(WireTest):
    """self.s: a session with a window; self.sent: its requests."""

    def setUp(self):
        super().setUp()
        self.s = self.client({"replay": True, "lease_ms": 60000})
        self.key = self.s.hello_result["session"]

    def send(self, client, calls, first=1000):
        """The replies to [(method, params...)], all sent at once."""
        client.asked = True
        client.send_raw(b"".join(request_bytes(first + i, c[0], c[1:]) for i, c in enumerate(calls)))
        replies = [client.recv() for _ in calls]
        self.assertEqual([reply.msgid for reply in replies], [first + i for i in range(len(calls))])
        return replies

    def resumed(self, replay=True):
        return self.client({"session": self.key, "replay": replay})

    def same(self, before, again):
        """Of two lists of replies: errors by their code, results to the byte."""
        for old, new in zip(before, again, strict=True):
            if old.error is None:
                self.assertIsNone(new.error)
                self.assertEqual(old.result_raw, new.result_raw)
            else:
                self.assertEqual(RpcError(old.error).code, RpcError(new.error).code)

    def facts(self):
        """What must not change when nothing is done."""
        stats = self.c.call("stats")
        return [stats[section][key] for section, key in (("objects", "count"), ("objects", "bytes"), ("names", "count"))]


class EveryMethod(ReplayTest):
    def calls(self):
        """Requests of every method that changes something, and errors."""
        a, b, c = (self.s.call("put", b"x" * 10) for _ in range(3))
        opened = self.s.call("put", None, {"size": 10})
        ticket, other = self.s.call("share", a), self.s.call("share", b)
        gone = self.s.call("put", 1)
        self.s.call("release", gone)
        self.s.call("name", "old", b)
        self.s.call("name", "older", a)
        return [("put", b"value"), ("put", [1, {"two": "three"}], {"refs": [a, None], "tag": "t"}),
                ("put_many", [[1], [2, [-1, a]], [3, [-2, -1, -3]]]), ("put_many", [[7]]), ("put_many", []),
                ("set", a, b"other"), ("write", opened, 2, b"abc"), ("seal", opened), ("seal", opened),
                ("link", b, 0, a), ("link", b, 0, c), ("link", b, 0, None), ("link", b, 7, None),
                ("retain", a), ("retain", a, 3), ("retain", [a, b, a]), ("retain", [a]), ("retain", []),
                ("retain", gone), ("retain", [a, gone]), ("release", a), ("release", [a, b, a]), ("release", gone),
                ("share", a), ("claim", ticket), ("claim", ticket), ("unshare", other), ("unshare", other),
                ("name", "new", a), ("name", "new", b, {"if_version": 1}), ("lookup", "new"), ("lookup", "none"),
                ("lookup", ["new", "old", "older"]), ("lookup", "new", {"version": True}),
                ("lookup", ["new", "old"], {"version": True}), ("unname", "new"), ("unname", "new"),
                ("unname", ["old", "older"]), ("store", "kept", b"stored"), ("store", "kept", b"again"),
                ("watch", c), ("watch", [a, b]), ("watch", gone), ("unwatch", [a, b]), ("unwatch", c),
                ("guard", a), ("guard", a), ("unguard", a), ("unguard", a), ("put",), ("retain", "a"), ("set", gone, 1)]

    def test_answered_from_the_window(self):
        calls = self.calls()
        self.assertLess(len(calls), WINDOW)
        before = self.send(self.s, calls)
        facts = self.facts()
        self.s.close()
        self.same(before, self.send(self.resumed(), calls))
        self.assertEqual(facts, self.facts())
        self.same(before, self.send(self.resumed(), calls))  # and again
        self.assertEqual(facts, self.facts())
        self.assertVerified(self.c)

    def test_any_part_may_be_sent_again(self):
        calls = self.calls()
        before = self.send(self.s, calls)
        facts = self.facts()
        for skipped in (0, 1, 5, len(calls) // 2, len(calls) - 1):
            with self.subTest(skipped=skipped):
                self.same(before[skipped:], self.send(self.resumed(), calls[skipped:], 1000 + skipped))
                self.assertEqual(facts, self.facts())

    def test_the_rest_is_done(self):
        calls = self.calls()
        half = len(calls) // 2
        before = self.send(self.s, calls[:half])
        again = self.send(self.resumed(), calls)
        self.same(before, again[:half])
        facts = self.facts()
        self.same(again, self.send(self.resumed(), calls))
        self.assertEqual(facts, self.facts())


class LongReleases(ReplayTest):
    """What is left of many objects at once: runs of equal numbers or numbers that are all different."""

    def held(self, client):
        ids = client.call("put_many", [[0]] * 300)
        for count, i in enumerate(ids[:40]):
            if count:
                client.call("retain", i, count)
        return ids

    def calls(self, ids):
        return [("release", ids[:40]), ("release", ids[100:]), ("release", ids[20:60]), ("release", [ids[30]] * 10)]

    def test_are_answered_from_the_window(self):
        calls = self.calls(self.held(self.s))
        before = self.send(self.s, calls)
        self.assertEqual([reply.result for reply in before[:3]],
                         [list(range(40)), [0] * 200, list(range(19, 39)) + [0] * 20])
        self.assertEqual(before[3].result, list(range(28, 18, -1)))
        self.same(before, self.send(self.resumed(), calls))
        self.assertVerified(self.c)

    def until_oom(self, client, *request):
        with self.assertRaises(RpcError) as error:
            while True:
                client.call(*request)
        self.assertEqual(error.exception.code, "OOM")

    def test_succeed_in_a_full_pool(self):
        self.c.call("pool_create", "full", {"max_bytes": 4 << 20})
        self.s = self.client({"pool": "full", "replay": True, "lease_ms": 60000})
        self.key = self.s.hello_result["session"]
        calls = self.calls(self.held(self.s))
        other = self.client({"pool": "full", "replay": True, "lease_ms": 60000})
        ids = self.held(other)[:40]
        for size in (100000, 1000, 10):
            self.until_oom(other, "put", b"x" * size)
        self.until_oom(other, "retain", ids)  # their answers take the last blocks of that size
        before = self.send(self.s, calls)
        self.assertEqual([reply.error for reply in before], [None] * 4)
        self.same(before, self.send(self.resumed(), calls))


class Matching(ReplayTest):
    def test_limits(self):
        hello = self.s.hello_result
        self.assertEqual(hello["limits"]["replay"], WINDOW)
        self.assertEqual(hello["ignored"], [])

    def test_only_the_last_of_the_window_are_valid(self):
        calls = [("put", n) for n in range(3 * WINDOW)]
        before = self.send(self.s, calls)
        valid = WINDOW - 1
        self.same(before[-valid:], self.send(self.resumed(), calls[-valid:], 1000 + len(calls) - valid))
        again = self.send(self.resumed(), calls[-valid - 1:], 1000 + len(calls) - valid - 1)
        for old, new in zip(before[-valid - 1:], again, strict=True):
            self.assertNotEqual(old.result, new.result)

    def test_another_request_of_the_same_msgid_ends_the_matching(self):
        calls = [("put", n) for n in range(3)]
        for k, change in enumerate((("put", 77), ("store", "other", 0), ("put", 1, {"tag": "t"}))):
            with self.subTest(change=change):
                before = self.send(self.resumed(), calls, 2000 + 10 * k)
                again = self.send(self.resumed(), [calls[0], change, calls[2]], 2000 + 10 * k)
                self.assertEqual(again[0].result, before[0].result)
                self.assertNotEqual(again[1].result, before[1].result)
                self.assertNotEqual(again[2].result, before[2].result)

    def test_another_msgid_is_another_request(self):
        before = self.send(self.s, [("put", 1), ("put", 2)])
        again = self.send(self.resumed(), [("put", 1), ("put", 2)], 1001)
        self.assertFalse({reply.result for reply in before} & {reply.result for reply in again})

    def test_a_gap_ends_the_matching(self):
        calls = [("put", n) for n in range(3)]
        before = self.send(self.s, calls)
        client = self.resumed()
        first = self.send(client, calls[:1])
        self.same(before[:1], first)
        self.assertNotEqual(self.send(client, calls[2:], 1002)[0].result, before[2].result)

    def test_without_the_option_nothing_is_matched(self):
        before = self.send(self.s, [("put", 1)])
        again = self.send(self.resumed(replay=False), [("put", 1)])
        self.assertNotEqual(before[0].result, again[0].result)
        # but what is done is recorded all the same
        self.same(again, self.send(self.resumed(), [("put", 1)]))

    def test_reads_do_not_end_the_matching(self):
        calls = [("put", b"a"), ("ping",), ("put", b"b"), ("stats", "objects"), ("names", 0), ("nothing",), ("put", b"c")]
        before = self.send(self.s, calls)
        again = self.send(self.resumed(), calls)
        for k in (0, 2, 6):
            self.assertEqual(before[k].result, again[k].result)

    def test_errors_are_answers(self):
        """Else the name would be lost: it is not there, then made, then taken away by what was answered NOTFOUND."""
        target = self.s.call("put", 1)
        calls = [("unname", "n"), ("name", "n", target)]
        before = self.send(self.s, calls)
        self.same(before, self.send(self.resumed(), calls))
        self.assertEqual(self.c.call("lookup", "n"), target)

    def test_a_session_without_a_window_is_not_resumed_with_one(self):
        plain = self.client({"lease_ms": 60000})
        client = self.client()
        client.close()
        error = self.client_error({"session": plain.hello_result["session"], "replay": True})
        self.assertEqual(error.code, "BADARG")

    def client_error(self, hello):
        with self.assertRaises(RpcError) as caught:
            self.client(hello)
        return caught.exception

    def test_msgids_go_around(self):
        first = 2 ** 32 - 2
        calls = [("put", n) for n in range(4)]
        frames = [request_bytes((first + i) % 2 ** 32, c[0], c[1:]) for i, c in enumerate(calls)]
        self.s.send_raw(b"".join(frames))
        before = [self.s.recv() for _ in calls]
        client = self.resumed()
        client.send_raw(b"".join(frames))
        self.same(before, [client.recv() for _ in calls])

    def test_a_watch_from_the_window_asks_for_events(self):
        target = self.s.call("put", 1)
        self.c.call("retain", target)
        self.s.call("release", target)
        before = self.send(self.s, [("watch", target)])
        client = self.resumed()
        self.same(before, self.send(client, [("watch", target)]))
        self.c.call("release", target)
        event = client.next_event()
        self.assertEqual((event.topic, event.map["id"]), ("freed", target))

    def test_windows_end_with_their_sessions(self):
        def used():
            return self.c.call("stats", "memory")["used"]
        ids = [["x"]] * 1024
        def fill():
            client = self.client({"replay": True})
            for _ in range(70):
                client.call("release", client.call("put_many", ids))
            client.call("bye")
            client.wait_closed()
            self.wait_backlog(self.c)
        fill()
        before = used()
        for _ in range(5):
            fill()
        self.assertLess(used(), before + 512 * 1024)
        self.assertVerified(self.c)


class Large(ReplayTest):
    def test_values_that_are_streamed_or_staged(self):
        opened = self.s.call("put", None, {"size": 4 * LARGE})
        target = self.s.call("put", 1)
        values = [b"a" * LARGE, b"b" * 4 * LARGE, "text" * LARGE, [b"n" * LARGE, list(range(1000))]]
        calls = [("put", value) for value in values] + [("put", values[0], {"tag": "behind"}),
                 ("set", target, b"s" * LARGE), ("store", "large", b"t" * LARGE, {"tag": "x"}),
                 ("write", opened, 0, b"w" * 3 * LARGE), ("put", b"small"),
                 ("put_many", [[b"x" * LARGE], [b"y"], [list(range(70000)), [-1]]])]
        before = self.send(self.s, calls)
        for reply in before:
            self.assertIsNone(reply.error)
        facts = self.facts()
        self.same(before, self.send(self.resumed(), calls))
        self.assertEqual(facts, self.facts())
        self.assertVerified(self.c)

    def test_every_byte_counts(self):
        whole = bytearray(b"v" * LARGE)
        before = self.send(self.s, [("put", bytes(whole))])
        for at in (0, LARGE // 2, LARGE - 1):
            other = bytearray(whole)
            other[at] = 0
            again = self.send(self.resumed(), [("put", bytes(other))])
            self.assertNotEqual(before[0].result, again[0].result)
            before = self.send(self.resumed(), [("put", bytes(whole))])
        other = self.send(self.resumed(), [("put", bytes(whole), {"tag": "t"})])
        self.assertNotEqual(before[0].result, other[0].result)

    def test_the_bytes_may_come_in_any_pieces(self):
        frame = request_bytes(5, "put", [b"p" * LARGE, {"tag": "pieces"}])
        self.s.send_raw(frame)
        before = self.s.recv()
        for size in (1000, 64 * 1024, LARGE - 10, LARGE + 20):
            client = self.resumed()
            for at in range(0, len(frame), size):
                client.send_raw(frame[at:at + size])
                if at < 3 * size:
                    self.c.call("ping")
            self.assertEqual(client.recv().result, before.result)


class Full(ReplayTest):
    daemon_args = ("--max-memory", "64M")

    def test_what_was_refused_is_refused_again(self):
        calls = [("put", b"a"), ("put", b"x" * (60 << 20)), ("put", b"b"), ("put", [b"x" * (50 << 20)]), ("put", b"c")]
        before = self.send(self.s, calls)
        self.assertEqual([RpcError(r.error).code if r.error else "" for r in before], ["", "OOM", "", "OOM", ""])
        self.same(before, self.send(self.resumed(), calls))


class Killed(FolderTest):
    """The daemon dies between the request and its repetition."""

    def test_after_a_kill(self):
        daemon = self.start()
        client = daemon.client({"replay": True, "lease_ms": 60000})
        key = client.hello_result["session"]
        calls = [("put", n) for n in range(10)] + [("put_many", [[n] for n in range(100)]), ("store", "n", b"v"),
                                                   ("lookup", ["n"] * 100), ("unname", "none")]
        expected = None
        for _ in range(3):
            client.send_raw(b"".join(request_bytes(50 + i, c[0], c[1:]) for i, c in enumerate(calls)))
            replies = [client.recv() for _ in calls]
            results = [(reply.result_raw, reply.error and reply.error.split(":")[0]) for reply in replies]
            expected = expected or results
            self.assertEqual(results, expected)
            self.assertEqual(client.call("stats", "objects")["count"], 10 + 100 + 1)
            client.close()
            kill(daemon)
            daemon = self.start()
            client = daemon.client({"session": key, "replay": True})
        self.assertTrue(client.call("verify")["ok"])
        client.close()


if __name__ == "__main__":
    unittest.main()
