#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the daemon tells of its requests: counts and durations by method, slowlog, sessions that have ended. A client that
counted finds its own figures."""
import os
import signal
import time

from common import WireTest, poll, request_bytes, unittest


class Requests(WireTest):
    daemon_args = ("--workers", "2")

    def section(self):
        return self.c.call("stats", "requests")

    def test_client_that_counted(self):
        """Also requests that are read together, errors, notifications, and frames that are none."""
        c = self.pool_client(name="counts")
        before = self.section()
        ids = [c.call("put", i) for i in range(10)]
        c.pipeline([("get", ids[i % 10]) for i in range(1000)])
        for _ in range(3):
            self.assertCode("GONE", c, "get", 5)
        self.assertCode("NOTHELD", c, "release", 5)
        self.assertCode("NOMETHOD", c, "nonsense")
        c.notify("retain", ids[0])
        c.notify("retain", 5)
        c.notify("nonsense")
        self.assertEqual(c.call("release", ids[0], 2), 0)
        after = self.section()

        def grown(*path):
            a, b = before, after
            for key in path:
                a, b = a.get(key, {}) if isinstance(a, dict) else a, b[key]
            return b - (a or 0)
        self.assertEqual(grown("by_method", "put"), 10)
        self.assertEqual(grown("by_method", "get"), 1003)
        self.assertEqual(grown("by_method", "retain"), 2)
        self.assertEqual(grown("by_method", "release"), 2)
        self.assertEqual(grown("methods", "get", "count"), 1003)
        self.assertEqual(grown("methods", "get", "errors"), 3)
        self.assertEqual(grown("methods", "retain", "errors"), 1)  # of a notification, which has no answer
        self.assertEqual(grown("methods", "release", "errors"), 1)
        self.assertEqual(grown("by_error", "GONE"), 3)
        self.assertEqual(grown("unknown"), 1)
        self.assertEqual(grown("errors"), 5)
        self.assertEqual(grown("total"), 10 + 1003 + 2 + 2 + 1 + 1)  # and this call

    def test_own_call_runs(self):
        row = self.section()["methods"]["stats"]
        self.assertEqual(row["running"], 1)

    def test_durations_are_of_all_that_are_done(self):
        c = self.pool_client()
        c.pipeline([("ping",)] * 500)
        requests, durations = self.section()["methods"], self.c.call("stats", "durations")
        for method in ("ping", "hello"):
            self.assertEqual(requests[method]["count"], durations[method]["count"], method)
            buckets = durations[method]["buckets"]
            self.assertEqual(sum(count for _, count in buckets), durations[method]["count"])
            self.assertEqual(buckets, sorted(buckets))
            row = requests[method]
            self.assertLessEqual(row["p50_us"], row["p99_us"])
            self.assertLessEqual(row["p999_us"], row["max_us"] + 1)
            self.assertLessEqual(row["max_us"], row["sum_us"])

    def test_durations_of_mixtures(self):
        """Requests that are read together are timed together: of one method or of several, executed at once or not.
        Of two pools, one is at another worker than who asks: there nothing is answered that would time what was left."""
        for name in ("mixtures-1", "mixtures-2"):
            self.c.call("pool_create", name)
            self.check_mixtures(self.client({"pool": name}))

    def check_mixtures(self, c):
        ids = [c.call("put", i) for i in range(4)]
        get, count = [("get", ids[0])], [("retain", ids[1]), ("release", ids[1])]
        names = [("store", "n", ids[2]), ("fetch", "n"), ("lookup", "n"), ("release", ids[2])]
        waits = [("sessions", {"pool": "*"})]  # for the other worker: done when it is resumed, before the next batch
        for requests in (get, get * 16, count * 8, get + count, get * 3 + [("ping",)], [("ping",)] + get, get * 16,
                         get + [("get", 5)], names, get + names, [("put", 1)] * 5, get * 2, waits + get * 3, waits + count):
            c.pipeline(requests)
            durations, methods = self.c.call("stats", "durations"), self.section()["methods"]
            for method in set(methods) - {"stats"}:
                timed = durations.get(method, {"count": 0})["count"]
                self.assertEqual(methods[method]["count"], timed, (method, requests))

    def at_once(self, requests):
        """Sends the (client, request)s to a daemon that stands still, so that one turn of its loop reads them all."""
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        for client, request in requests:
            client.request(request[0], *request[1])
        os.kill(self.daemon.process.pid, signal.SIGCONT)
        for client, _ in requests:
            client.recv()

    def durations(self, *methods):
        told = self.c.call("stats", "durations")
        return [told[method]["count"] if method in told else 0 for method in methods]

    def test_connections_that_are_timed_together(self):
        """Few requests of several connections in a turn: none is lost, none is timed twice."""
        clients = [self.pool_client() for _ in range(40)]
        obj = clients[0].call("put", 1)
        for methods in (["get"] * 40, ["retain"] * 40, ["get", "retain", "ping", "release"] * 10, ["get"] * 15, ["get"]):
            before = self.durations("get", "retain", "release", "ping")
            self.at_once([(client, (method, [] if method == "ping" else [obj])) for client, method in zip(clients, methods)])
            grown = [b - a for a, b in zip(before, self.durations("get", "retain", "release", "ping"))]
            self.assertEqual(grown, [methods.count(method) for method in ("get", "retain", "release", "ping")])

    def test_long_requests_are_not_others_time(self):
        """What was answered before another connection's long request in the same turn has not taken as long."""
        long, short = self.pool_client(), self.pool_client()
        obj = short.call("put", "x")
        long.call("put_many", [[0]])
        short.call("get", obj)
        before = self.section()["methods"]
        self.at_once([(short, ("get", [obj])), (long, ("put_many", [[[i] for i in range(1000)]]))])
        after = self.section()["methods"]
        get, put_many = (after[method]["sum_us"] - before[method]["sum_us"] for method in ("get", "put_many"))
        self.assertLess(get, put_many)

    def test_calls_of_several_turns(self):
        """They are done when they are answered, and timed as a whole."""
        c = self.pool_client()
        before = self.section()["methods"].get("verify", {"count": 0})["count"]
        c.call("put_many", [[i] for i in range(1000)])
        begin = time.monotonic()
        c.call("verify")
        poll(lambda: self.c.call("stats", "durations").get("verify", {"count": 0})["count"] > before, "it is timed")
        row = self.section()["methods"]["verify"]
        passed_us = (time.monotonic() - begin) * 1e6  # the clock is read after the answer's write, perhaps later than here
        self.assertEqual((row["count"] - before, row["running"]), (1, 0))
        self.assertGreater(row["max_us"], 0)
        self.assertLess(row["max_us"], passed_us)

    def test_given_up(self):
        """A client whose session is killed before its call is answered."""
        c = self.pool_client()
        c.bulk([request_bytes(0, "put_many", [[[i] for i in range(1000)]])] * 300)
        c.send_raw(request_bytes(7, "verify", []) * 50)  # one after the other: one runs when the session is killed
        poll(lambda: self.section()["methods"].get("verify", {"running": 0})["running"] == 1, "it runs")
        before = self.section()["methods"]["verify"]
        self.c.call("kill", c.hello_result["sid"])
        after = self.section()["methods"]["verify"]
        self.assertEqual((after["running"], after["given_up"] - before["given_up"]), (0, 1))
        self.assertGreater(after["count"], before["count"])
        self.assertEqual(after["errors"], before["errors"])


class Slowlog(WireTest):
    daemon_args = ("--slowlog-us", "1", "--workers", "2")

    def rows(self, **options):
        return self.c.call("slowlog", options)["rows"]

    def test_rows(self):
        c = self.client({"name": "slow one", "pid": 4711})
        sid = c.hello_result["sid"]
        c.call("store", "a name", "private")
        poll(lambda: any(row["method"] == "store" for row in self.rows(limit=256)), "its row")
        row = next(row for row in self.rows(limit=256) if row["method"] == "store")
        self.assertEqual((row["sid"], row["name"], row["pid"], row["pool"]), (sid, "slow one", 4711, "default"))
        self.assertEqual(row["args"], '"a name", <7 bytes>')
        self.assertEqual(row["requests"], 1)
        self.assertGreaterEqual(row["duration_us"], 1)
        self.assertLess(abs(row["at_ms"] - time.time() * 1000), 60000)

    def test_order_limit_reset(self):
        for _ in range(300):
            self.c.call("store", "n", 1)
        answer = self.c.call("slowlog", {"limit": 256})
        numbers = [row["number"] for row in answer["rows"]]
        self.assertEqual(numbers, sorted(numbers, reverse=True))
        self.assertLessEqual(len(numbers), 256)
        self.assertGreater(len(numbers), 100)
        self.assertGreaterEqual(answer["count"], numbers[0])
        self.assertEqual(answer["threshold_us"], 1)
        self.assertEqual(len(self.rows(limit=3)), 3)
        self.assertEqual(self.rows(limit=0, reset=True), [])
        self.assertLess(len(self.rows(limit=256)), 10)
        self.assertGreaterEqual(self.c.call("slowlog")["count"], answer["count"])
        for options in ({"limit": 257}, {"limit": -1}, {"reset": 1}, {"what": 1}):
            self.assertCode("BADARG", self.c, "slowlog", options)

    def test_one_of_the_hot_path(self):
        c = self.client({"name": "quick one"})
        obj = c.call("put", "x")
        c.call("get", obj)
        poll(lambda: any(row["method"] == "get" and row["args"] == str(obj) for row in self.rows(limit=256)), "its row")
        row = next(row for row in self.rows(limit=256) if row["method"] == "get" and row["args"] == str(obj))
        self.assertEqual((row["sid"], row["name"], row["requests"]), (c.hello_result["sid"], "quick one", 1))

    def test_requests_that_are_answered_together(self):
        obj = self.c.call("put", "x")
        self.c.pipeline([("get", obj)] * 100, window=100)
        poll(lambda: any(row["method"] == "get" and row["requests"] > 1 for row in self.rows(limit=256)), "their row")


class SlowlogOff(WireTest):
    daemon_args = ("--slowlog-us", "0")

    def test_off(self):
        self.c.call("store", "n", 1)
        self.assertEqual(self.c.call("slowlog"), {"threshold_us": 0, "count": 0, "rows": []})


class Ended(WireTest):
    def ended(self, client, **options):
        return client.call("sessions", dict(options, ended=True))

    def test_reasons(self):
        c = self.pool_client(name="watcher")
        pool = c.hello_result["pool"]

        def session(name, **more):
            client = self.client(dict(more, name=name, pool=pool))
            client.call("put", "x" * 100)
            return client
        bye = session("bye", pid=5)
        bye.call("bye")
        session("closed", lease_ms=0).close()
        killed = session("killed")
        c.call("kill", killed.hello_result["sid"])
        session("lease", lease_ms=1).close()
        poll(lambda: len(self.ended(c)) == 4, "all have ended")
        rows = {row["name"]: row for row in self.ended(c)}
        self.assertEqual({name: row["reason"] for name, row in rows.items()},
                         {"bye": "bye", "closed": "closed", "killed": "kill", "lease": "lease"})
        row = rows["bye"]
        self.assertEqual((row["state"], row["pool"], row["pid"], row["held"], row["references"], row["anonymous"]),
                         ("ended", pool, 5, 1, 1, False))
        self.assertGreaterEqual(row["bytes"], 100)
        self.assertEqual(row["sid"], bye.hello_result["sid"])
        self.assertNotIn("watcher", rows)
        self.assertEqual(len(self.ended(c, limit=2)), 2)
        self.assertLessEqual(4, len(self.ended(self.c, pool="*")))
        self.assertEqual([row["name"] for row in c.call("sessions")], ["watcher"])

    def test_anonymous_ones(self):
        """Those that held nothing would wash out all others."""
        c = self.c
        before = self.ended(c)
        nobody = self.client()
        nobody.call("ping")
        nobody.close()
        somebody = self.client()
        somebody.call("put", 1)
        somebody.close()
        poll(lambda: len(self.ended(c)) == len(before) + 1, "one has ended")
        row = self.ended(c)[0]
        self.assertEqual((row["anonymous"], row["reason"], row["name"], row["held"]), (True, "closed", None, 1))

    def test_the_last_ones_are_kept(self):
        c = self.pool_client()
        for i in range(70):
            self.client({"name": "n%d" % i, "pool": c.hello_result["pool"]}).call("bye")
        self.assertEqual([row["name"] for row in self.ended(c)], ["n%d" % i for i in range(69, 5, -1)])


if __name__ == "__main__":
    unittest.main()
