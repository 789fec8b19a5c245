#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`holdfast stat` and `holdfast top`: what they show is what a client did; keys, sizes, signals, restarts."""
import json
import os
import select
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from daemon import ROOT, Daemon  # noqa: E402
from rpc import DEADLINE_S  # noqa: E402
from terminal import Terminal  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(ROOT, "build", "holdfast")
OK, ANSWER, USAGE, CONNECTION, TIMEOUT, LOCAL = range(6)
MIB = 1 << 20


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(Daemon(tcp=False))
        self.address = "unix:" + self.daemon.unix

    def end_daemon(self):
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait_exit(), 0)
        self.daemon.process.stderr.close()

    def start_daemon(self):
        """Once more, at the same address."""
        self.daemon.lines, self.daemon.ended = [], False
        self.daemon.start()

    def command(self, *words):
        return [HOLDFAST, "-s", self.address, *map(str, words)]

    def run_cli(self, *words, code=OK):
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, code, "%r\n%s\n%s" % (words, done.stdout, done.stderr))
        return done

    def lines(self, *words):
        return [json.loads(line) for line in self.run_cli("--json", *words).stdout.splitlines()]


class Background:
    """A command whose lines of JSON are read one by one."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def line(self):
        if not select.select([self.process.stdout], [], [], DEADLINE_S)[0]:
            raise AssertionError("no line in time")
        return json.loads(self.process.stdout.readline())


class Stat(Case):
    def test_differences_add_up_to_what_a_client_did(self):
        with self.daemon.client(hello={}) as client, \
                Background(self.command("--json", "stat", "--interval", "20ms")) as stat:
            seen = [stat.line()]
            ids = [client.call("put", "x" * 100) for _ in range(1000)]
            for number in ids[:300]:
                client.call("release", number)
            # Its own requests are among them: one for each line.
            while sum(line["counted"]["requests"] for line in seen) < 1300 + len(seen):
                seen.append(stat.line())
            last = seen[-1]["now"]
            self.assertEqual((last["objects"], last["holds"], last["memory_limit"] > last["memory_used"] > 0),
                             (700, 700, True))
            self.assertEqual(sum(line["counted"]["made"] for line in seen), 1000)
            self.assertEqual(sum(line["counted"]["freed"] for line in seen), 300)
            self.assertEqual(sum(line["counted"]["requests"] for line in seen), 1300 + len(seen))
            self.assertEqual(sum(line["counted"]["errors"] for line in seen), 0)

    def test_lines_for_people(self):
        lines = self.run_cli("stat", "--interval", "10ms", "--count", 25).stdout.splitlines()
        self.assertEqual(len(lines), 25 + 2 * 2)
        self.assertEqual(lines[:2], lines[22:24])  # the heading comes again
        self.assertIn("req/s", lines[1])
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})
        self.assertLessEqual(len(lines[0]), 120)
        self.assertEqual({len(line.split()) for line in lines if "-" not in line}, {len(lines[1].split())})

    def test_a_daemon_that_comes_back(self):
        with Background(self.command("--json", "stat", "--interval", "20ms")) as stat:
            stat.line()
            self.end_daemon()
            self.assertIn(b"waiting for it", stat.process.stderr.readline())
            self.start_daemon()
            while not stat.line()["restarted"]:
                pass
            stat.process.send_signal(signal.SIGINT)
            self.assertEqual(stat.process.wait(DEADLINE_S), OK)

    def test_what_is_wrong_is_told(self):
        for words in (["--interval", "0"], ["--interval", "x"], ["--count", "0"], ["surplus"]):
            self.run_cli("stat", *words, code=USAGE)
        done = subprocess.run([HOLDFAST, "-s", "unix:" + self.daemon.dir + "/none", "stat"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, CONNECTION)
        self.assertIn(self.daemon.dir + "/none", done.stderr)
        done = subprocess.run(self.command("shell"), input="stat\ntop\n", capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("not in a shell", done.stderr)


class Once(Case):
    def test_sessions_by_what_they_hold(self):
        with self.daemon.client(hello={"name": "small", "pid": 7}) as small, \
                self.daemon.client(hello={"name": "large"}) as large:
            small.call("put", "x" * 1000)
            large.call("put", b"x" * MIB)
            large.call("put", 1)
            page = self.lines("top", "--once", "--interval", "10ms")
            self.assertEqual(len(page), 1)
            rows = page[0]["sessions"]
            self.assertEqual([row["name"] for row in rows[:2]], ["large", "small"])
            self.assertEqual([row["held"] for row in rows[:2]], [2, 1])
            self.assertEqual(rows[0]["bytes"], MIB + 1)
            self.assertEqual(page[0]["now"]["objects"], 3)
            methods = {row["name"]: row["total"] for row in page[0]["methods"]}
            self.assertEqual((methods["put"], methods["hello"]), (3, 3))
            self.assertEqual(page[0]["pools"][0]["objects"], 3)

            text = self.run_cli("top", "--once", "--interval", "10ms").stdout
            self.assertLess(text.index("large"), text.index("small"))
            text = self.run_cli("top", "--once", "--interval", "10ms", "--sort", "name", "--filter", "SMALL").stdout
            self.assertIn("1 sessions by name, with SMALL", text)
            self.assertNotIn("large", text)

    def test_all_pools(self):
        with self.daemon.client(hello={"name": "one"}) as one:
            one.call("pool_create", "other")
            with self.daemon.client(hello={"name": "two", "pool": "other"}) as two:
                two.call("put", 1)
                names = [row["name"] for row in self.lines("top", "--once", "--interval", "10ms")[0]["sessions"]]
                self.assertNotIn("two", names)
                names = [row["name"] for row in self.lines("top", "--once", "--all", "--interval", "10ms")[0]["sessions"]]
                self.assertIn("two", names)
                text = self.run_cli("top", "--once", "--interval", "10ms").stdout
                self.assertRegex(text, r"All pools +2  objects 1 ")

    def test_more_sessions_than_one_answer_tells(self):
        """The one that holds most is found wherever it is: in one pool, and in all."""
        clients = [self.daemon.client(hello={"name": "c%d" % n}) for n in range(1100)]
        try:
            clients[1090].call("put", b"x" * 100000)
            clients[0].call("pool_create", "another")
            clients.append(self.daemon.client(hello={"name": "there", "pool": "another"}))
            clients[-1].call("put", b"x" * 200000)
            for words, names, count in (([], ["c1090"], 1101), (["--all"], ["there", "c1090"], 1102)):
                text = self.run_cli("top", "--once", "--interval", "10ms", *words).stdout
                self.assertIn("%d sessions by bytes" % count, text)
                rows = self.lines("top", "--once", "--interval", "10ms", *words)[0]["sessions"]
                self.assertEqual([row["name"] for row in rows[:len(names)]], names)
        finally:
            for client in clients:
                client.close()

    def test_names_cannot_reach_the_terminal(self):
        # A name has no control characters; what is no letter for this terminal is a question mark.
        with self.daemon.client(hello={"name": "ж\u0301\u4e2d" + "n" * 60}):
            text = self.run_cli("top", "--once", "--interval", "10ms").stdout
            self.assertRegex(text, r"[n?]{20}")

    def test_what_is_wrong_is_told(self):
        self.assertIn("bytes", self.run_cli("top", "--once", "--sort", "colour", code=USAGE).stderr)
        self.run_cli("top", "--once", "--filter", "x" * 100, code=USAGE)
        self.assertIn("--once", self.run_cli("top", code=USAGE).stderr)  # no terminal


class Slowlog(Case):
    def setUp(self):
        self.daemon = self.enterContext(Daemon("--slowlog-us", "1", tcp=False))
        self.address = "unix:" + self.daemon.unix

    def test_rows(self):
        with self.daemon.client(hello={"name": "\u00e4 slow one"}) as client:
            for number in range(300):
                client.call("put", "x" * number)
        lines = self.run_cli("slowlog", "--limit", 5).stdout.splitlines()
        self.assertRegex(lines[0], r"^\d+ requests took 1 us or longer")
        self.assertEqual(len(lines), 2 + 5)
        self.assertIn("\u00e4 slow one", "\n".join(self.run_cli("slowlog", "--limit", 256).stdout.splitlines()))
        log = json.loads(self.run_cli("--json", "slowlog", "--limit", 3, "--reset").stdout)
        self.assertEqual(len(log["rows"]), 3)
        self.assertLess(len(self.run_cli("slowlog", "--limit", 256).stdout.splitlines()), 20)
        self.run_cli("slowlog", "--limit", "x", code=USAGE)


class Trace(Case):
    def test_lines(self):
        with self.daemon.client(hello={"name": "a client", "pid": 4711}) as client, \
                Background(self.command("trace", "--rate", "10000", "--filter", "A CLIENT", "--count", "3")) as trace:
            self.assertIn(b"waiting for requests", trace.process.stderr.readline())
            while trace.process.poll() is None:
                client.call("names", 0)
            lines = trace.process.stdout.read().decode().splitlines()
            self.assertEqual(trace.process.returncode, OK)
            self.assertEqual(len(lines), 3)
            for line in lines:
                self.assertRegex(line, r"^\d\d:\d\d:\d\d\.\d{3}  a client#\d+\[4711\]  names .* B  \d+ us")

    def test_json_and_methods(self):
        with self.daemon.client(hello={"name": "a client"}) as client, \
                Background(self.command("--json", "-q", "trace", "put", "--rate", "10000")) as trace:
            # Until it has subscribed nothing is told.
            while not select.select([trace.process.stdout], [], [], 0.01)[0]:
                client.call("ping")
                client.call("put", "x")
            event = trace.line()
            self.assertEqual((event["topic"], event["method"], event["name"]), ("ops", "put", "a client"))
            trace.process.send_signal(signal.SIGTERM)
            trace.process.stdout.read()
            self.assertEqual(trace.process.wait(DEADLINE_S), OK)

    def test_what_is_wrong_is_told(self):
        self.run_cli("trace", "--rate", "x", code=USAGE)
        self.run_cli("trace", "--count", "0", code=USAGE)
        self.run_cli("trace", "--rate", "1000000", code=ANSWER)


class Screen(Case):
    INTERVAL = ["--interval", "100ms"]

    def top(self, *words, columns=110, rows=30, env=None):
        return Terminal(self.command("top", *self.INTERVAL, *words), columns=columns, rows=rows, env=env)

    @staticmethod
    def rows(text):
        """The table's rows as lists of words."""
        lines = text.split("\n")
        head = next((n for n, line in enumerate(lines) if line.split()[:1] in (["BYTES"], ["USED"], ["CALLS/S"])), None)
        return [line.split() for line in lines[head:-1] if line] if head is not None else []

    def test_keys(self):
        with self.daemon.client(hello={"name": "small"}) as small, \
                self.daemon.client(hello={"name": "Large"}) as large, self.top() as top:
            small.call("put", "x" * 1000)
            large.call("put", b"x" * MIB)
            def order(column, count=None):
                return lambda text: [row[column] for row in self.rows(text)[1:]][:count]

            # A screen that is being drawn is no answer: it is waited for what it comes to.
            top.wait(lambda text: order(3, 2)(text) == ["Large", "small"] and "1.0M" in text and "1000" in text)
            top.wait(lambda text: "Latency" in text)
            top.type("r")
            top.wait(lambda text: "reversed" in text and order(3)(text)[-1:] == ["Large"])
            top.type("r/LARG\n")
            top.wait(lambda text: "with LARG" in text and order(3)(text) == ["Large"])
            top.type("\033")
            top.wait(lambda text: "with" not in text and "small" in text)
            top.type("\t")
            top.wait(lambda text: "pools by used" in text and order(2)(text) == ["default"])
            top.type("\t>")
            top.wait(lambda text: "methods by name" in text and len(order(1)(text)) > 3
                     and order(1)(text) == sorted(order(1)(text)))

            top.type("h")
            top.wait(lambda text: "quit" in text and "reverse the order" in text)
            top.type("x")
            top.wait(lambda text: "methods by name" in text)

            top.type(" ")
            top.wait(lambda text: "paused" in text)
            top.type("q")
            self.assertEqual(top.exit(), OK)
            self.assertTrue(top.as_found())

    def test_scrolling(self):
        clients = [self.daemon.client(hello={"name": "client-%02d" % n}) for n in range(40)]
        try:
            with self.top("--sort", "name", rows=24) as top:
                top.wait(lambda text: "41 sessions by name" in text and "client-00" in text)
                self.assertNotIn("client-39", top.text())
                top.type("\033OF")  # End
                top.wait(lambda text: "client-39" in text and "client-00" not in text)
                top.type("\033OH")
                top.wait(lambda text: "client-00" in text)
                top.type("\033[6~\033OB")
                top.wait(lambda text: "client-00" not in text)
                top.type("q")
                self.assertEqual(top.exit(), OK)
        finally:
            for client in clients:
                client.close()

    def test_sizes(self):
        with self.daemon.client(hello={"name": "somebody"}), self.top() as top:
            top.wait(lambda text: "somebody" in text)
            top.resize(200, 50)
            top.wait(lambda text: text.split("\n")[-1].startswith("q quit"))
            self.assertEqual(len(top.screen.display), 50)
            top.resize(40, 10)
            top.wait(lambda text: text.split("\n")[-1].startswith("q quit"))
            for columns, rows in ((1, 1), (3, 2), (500, 3), (80, 24)):
                top.resize(columns, rows)
                top.type("h")
                top.type("x")
            top.wait(lambda text: "somebody" in text)
            top.type("q")
            self.assertEqual(top.exit(), OK)

    def test_signals_leave_the_terminal_as_it_was(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signal=number), self.top() as top:
                top.wait(lambda text: "sessions by bytes" in text)
                top.signal(number)
                self.assertEqual(top.exit(), OK)
                self.assertTrue(top.as_found())

    def test_the_terminal_goes_away(self):
        with self.top() as top:
            top.wait(lambda text: "sessions by bytes" in text)
            top.hang_up()
            top.exit()

    def test_a_daemon_that_comes_back(self):
        with self.top() as top:
            top.wait(lambda text: "sessions by bytes" in text)
            self.end_daemon()
            top.wait(lambda text: "trying again" in text)
            self.start_daemon()
            with self.daemon.client(hello={"name": "newcomer"}):
                top.wait(lambda text: "newcomer" in text and "trying again" not in text)
            top.type("q")
            self.assertEqual(top.exit(), OK)

    def test_there_is_no_daemon_yet(self):
        self.end_daemon()
        with self.top() as top:
            top.wait(lambda text: "trying again" in text)
            self.start_daemon()
            top.wait(lambda text: "sessions by bytes" in text)
            top.type("q")
            self.assertEqual(top.exit(), OK)

    def test_a_terminal_nobody_knows(self):
        with self.top(env={"TERM": "no-such-terminal"}) as top:
            self.assertEqual(top.exit(), LOCAL)
            self.assertIn("--once", top.text())


class Latest(Case):
    def test_figures_on_the_screen_are_those_of_the_clients(self):
        """Requests a second, summed over what `top --json` told, are what was sent."""
        with self.daemon.client(hello={}) as client, \
                Background(self.command("--json", "top", "--interval", "50ms")) as top:
            pages = [top.line()]
            for _ in range(500):
                client.call("ping")
            while not any(row["name"] == "ping" and row["total"] == 500 for row in pages[-1]["methods"]):
                pages.append(top.line())
            told = sum(row["calls"] for page in pages for row in page["methods"] if row["name"] == "ping")
            self.assertEqual(told, 500)
            times = [row for page in pages for row in page["methods"] if row["name"] == "ping" and row["calls"]]
            self.assertTrue(all(0 < row["p50_us"] <= row["p99_us"] for row in times), times)
            self.assertTrue(all(0 < page["latency_us"]["p50"] <= page["latency_us"]["p99"] for page in pages), pages)


if __name__ == "__main__":
    unittest.main()
