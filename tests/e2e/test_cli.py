#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The command line against a real daemon. $HOLDFAST is the program, else build/holdfast of this tree."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from daemon import ROOT, Daemon  # noqa: E402
from rpc import DEADLINE_S  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(ROOT, "build", "holdfast")
OK, ANSWER, USAGE, CONNECTION, TIMEOUT, LOCAL = range(6)


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if k not in ("HOLDFAST_ADDRESS", "XDG_RUNTIME_DIR")}
    env.update(changes)
    return env


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon().start()
        cls.env = environment(HOLDFAST_ADDRESS="unix:" + cls.daemon.unix)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def setUp(self):
        # Whatever a test did, it leaves a heap without faults and without objects.
        self.addCleanup(self.leave_nothing)

    def leave_nothing(self):
        names = self.json("names")
        if names:
            self.run_cli("unname", *[name for name, _ in names])
        self.assertTrue(self.json("verify")["ok"])
        self.assertEqual(self.json("scan"), [])

    def run_cli(self, *words, code=OK, stdin="", env=None, text=True):
        done = subprocess.run([HOLDFAST, *map(str, words)], input=stdin, capture_output=True, timeout=DEADLINE_S,
                              env=env or self.env, check=False, text=text)
        self.assertEqual(done.returncode, code, "%r\n%s\n%s" % (words, done.stdout, done.stderr))
        return done

    def out(self, *words, **options):
        return self.run_cli(*words, **options).stdout

    def json(self, *words, **options):
        return json.loads(self.out("--json", *words, **options))

    def shell(self, *lines, code=OK):
        return self.run_cli("shell", "-q", stdin="\n".join(lines) + "\n", code=code).stdout.splitlines()


class Values(Cli):
    def test_text_comes_back_as_it_is(self):
        number = self.out("put", "häll\to", "--name", "n").strip()
        self.assertEqual(self.out("get", number), "häll\to\n")
        self.assertEqual(self.json("get", number), "häll\to")
        self.assertEqual(self.out("get", "--raw", number), "häll\to")

    def test_every_type(self):
        for words, expected in [(["7", "--int"], 7), (["-7", "--int"], -7), (["true", "--json"], True),
                                (['{"a":[1,2.5,null]}', "--json"], {"a": [1, 2.5, None]}),
                                (["x", "--bin"], {"$bin": "eA=="}), (["x", "--str"], "x"),
                                (['{"$bin":"AP8="}', "--json"], {"$bin": "AP8="})]:
            with self.subTest(words=words):
                self.out("store", "n", *words)
                self.assertEqual(self.json("fetch", "n"), expected)

    def test_json_before_the_command_is_about_the_output_only(self):
        self.out("--json", "store", "n", "[1]")
        self.assertEqual(self.json("fetch", "n"), "[1]")

    def test_bytes_from_files_and_stdin(self):
        data = bytes(range(256)) * 1000
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            for words, stdin in [(["@" + file.name], b""), (["--file", file.name], b""), (["-"], data)]:
                with self.subTest(words=words):
                    self.run_cli("store", "n", "--bin", *words, stdin=stdin, text=False)
                    self.assertEqual(self.run_cli("fetch", "n", "--raw", text=False, stdin=b"").stdout, data)

    def test_messagepack_in_and_out(self):
        self.run_cli("store", "n", "-", "--msgpack", stdin=b"\x92\x01\xd4\x05\x01", text=False)
        self.assertEqual(self.run_cli("fetch", "n", "--raw", stdin=b"", text=False).stdout, b"\x92\x01\xd4\x05\x01")
        self.assertEqual(self.json("fetch", "n"), [1, {"$ext": [5, "AQ=="]}])

    def test_part_of_a_value(self):
        number = self.out("put", "0123456789", "--name", "n").strip()
        self.assertEqual(self.out("get", number, "--offset", 3, "--len", 4), "3456\n")

    def test_set_and_versions(self):
        number = self.out("put", "a", "--name", "n").strip()
        value, version = self.json("get", number, "--with-version")
        self.assertEqual(value, "a")
        newer = self.json("set", number, "b", "--if-version", version)
        self.assertGreater(newer, version)
        done = self.run_cli("set", number, "c", "--if-version", version, code=ANSWER)
        self.assertTrue(done.stderr.startswith("holdfast: CONFLICT: "), done.stderr)
        self.assertEqual(self.out("get", number), "b\n")

    def test_many_at_once(self):
        ids = self.json("put_many", '[["a"], ["b", [-1, null], {"tag": "t"}]]')
        self.assertEqual(len(ids), 2)
        lines = self.shell('put_many \'[["a"], ["b", [-1, null]]]\'', "scan --raw")
        self.assertEqual(sorted(lines[:2]), sorted(lines[2:]))
        refs = self.shell('put_many \'[["a"], ["b", [-1, null]]]\'', "names")
        self.assertEqual(len(refs), 3)

    def test_slots(self):
        a = self.out("put", "a", "--name", "a").strip()
        b = self.out("put", "b", "--name", "b", "--refs", a + ",nil").strip()
        self.assertEqual(self.out("refs", b), a + "\nnil\n")
        self.assertEqual(self.out("link", b, 1, b), "nil\n")
        self.assertEqual(self.out("link", b, 0, "nil"), a + "\n")
        self.assertEqual(self.json("refs", b), [None, int(b)])
        self.out("link", b, 1, "nil")


class Lifetime(Cli):
    def test_an_object_dies_with_its_command_and_it_says_so(self):
        done = self.run_cli("put", "x")
        self.assertIn("dies with this command", done.stderr)
        self.assertIn("--name", done.stderr)
        self.assertIn("GONE", self.run_cli("get", done.stdout.strip(), code=ANSWER).stderr)
        self.assertEqual(self.run_cli("put", "x", "--quiet").stderr, "")

    def test_a_name_keeps(self):
        done = self.run_cli("put", "x", "--name", "kept")
        self.assertEqual(done.stderr, "")
        number = done.stdout.strip()
        self.assertEqual(self.out("lookup", "kept"), number + "\n")
        self.assertEqual(self.json("holders", number), [{"kind": "name", "name": "kept"}])
        self.out("unname", "kept")
        self.run_cli("get", number, code=ANSWER)

    def test_why_and_referrers(self):
        leaf = self.out("put", "leaf", "--name", "leaf").strip()
        top = self.out("put", "top", "--name", "top", "--tag", "root", "--refs", leaf).strip()
        self.out("unname", "leaf")
        self.assertEqual(self.out("--raw", "referrers", leaf), top + "\n")
        self.assertEqual(self.json("referrers", leaf), [int(top)])
        self.assertEqual(self.json("referrers", top), [])
        self.assertIn("root", self.out("referrers", leaf))
        self.assertEqual(self.json("why", leaf),
                         {"holder": {"kind": "name", "name": "top"}, "path": [int(top), int(leaf)], "length": 2})
        self.assertEqual(self.out("--raw", "why", leaf), "%s\n%s\n" % (top, leaf))
        lines = self.out("why", leaf).splitlines()
        self.assertEqual(lines[0], "held by the name top")
        self.assertEqual([line.split()[0] for line in lines[2:]], [top, leaf])
        self.out("unname", "top")
        self.assertIn("GONE", self.run_cli("why", leaf, code=ANSWER).stderr)

    def test_a_ticket_keeps_and_hands_over(self):
        done = self.run_cli("put", "x", "--share", "--ttl-ms", 600000)
        self.assertEqual(done.stderr, "")
        number, ticket = done.stdout.split()
        self.assertEqual(self.out("claim", ticket, "--name", "mine"), number + "\n")
        self.assertIn("NOTFOUND", self.run_cli("claim", ticket, code=ANSWER).stderr)
        again = self.out("share", number).strip()
        self.out("unshare", again)
        self.run_cli("claim", again, code=ANSWER)

    def test_hold_until_stdin_ends(self):
        number = self.out("put", "x", "--name", "n").strip()
        holder = subprocess.Popen([HOLDFAST, "-q", "hold", number], env=self.env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(holder.stdout.readline(), "held\n")
        self.out("unname", "n")
        rows = self.json("holders", number)
        self.assertEqual([(row["kind"], row["pid"]) for row in rows], [("session", holder.pid)])
        holder.communicate(timeout=DEADLINE_S)
        self.assertEqual(holder.returncode, OK)
        self.run_cli("get", number, code=ANSWER)

    def test_hold_without_stdin_waits_for_a_signal(self):
        number = self.out("put", "x", "--name", "n").strip()
        holder = subprocess.Popen([HOLDFAST, "-q", "hold", number], env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True)
        with holder:
            self.assertEqual(holder.stdout.readline(), "held\n")
            self.assertEqual([row.get("pid") for row in self.json("holders", number) if row["kind"] == "session"],
                             [holder.pid])
            holder.send_signal(signal.SIGTERM)
            self.assertEqual(holder.wait(DEADLINE_S), OK)

    def test_hold_until_a_signal(self):
        number = self.out("put", "x", "--name", "n").strip()
        holder = subprocess.Popen([HOLDFAST, "-q", "hold", number], env=self.env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(holder.stdout.readline(), "held\n")
        holder.send_signal(signal.SIGINT)
        self.assertEqual(holder.wait(DEADLINE_S), OK)
        holder.communicate()
        self.assertEqual(self.json("inspect", number)["count"], 1)

    def test_retain_and_release(self):
        number = self.out("put", "x", "--name", "n").strip()
        self.assertEqual(self.shell("retain -n 3 " + number, "release " + number, "release -n 9 " + number,
                                    "release --n=2 " + number, code=ANSWER), ["3", "2", "0"])


class Events(Cli):
    def waiting(self, *words):
        """A command that waits for events, once it has asked for them."""
        waiter = subprocess.Popen([HOLDFAST, *map(str, words)], env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiter.wait, DEADLINE_S)
        self.addCleanup(waiter.stdout.close)
        self.addCleanup(waiter.stderr.close)
        self.addCleanup(waiter.kill)
        self.assertEqual(waiter.stderr.readline(), "holdfast: note: waiting for events; Ctrl-C ends it\n")
        return waiter

    def put_named(self, name):
        return self.out("put", "x", "--name", name).strip()

    def test_watch_until_all_are_freed(self):
        a, b = (self.put_named(name) for name in "ab")
        waiter = self.waiting("watch", a, b)
        self.out("unname", "a")
        self.assertEqual(waiter.stdout.readline(), "1 freed id=%s reason=unname\n" % a)
        self.out("unname", "b")
        self.assertEqual(waiter.stdout.readline(), "2 freed id=%s reason=unname\n" % b)
        self.assertEqual(waiter.wait(DEADLINE_S), OK)
        self.assertEqual(waiter.stdout.read(), "")

    def test_watch_until_so_many(self):
        a, b = (self.put_named(name) for name in "ab")
        waiter = self.waiting("watch", "--count", 1, a, b)
        self.out("unname", "b")
        self.assertEqual(waiter.stdout.read(), "1 freed id=%s reason=unname\n" % b)
        self.assertEqual(waiter.wait(DEADLINE_S), OK)

    def test_json(self):
        number = self.put_named("n")
        waiter = self.waiting("--json", "watch", number)
        self.out("store", "n", "other")
        self.assertEqual(json.loads(waiter.stdout.readline()),
                         {"seq": 1, "topic": "freed", "id": int(number), "reason": "replaced"})
        self.assertEqual(waiter.wait(DEADLINE_S), OK)

    def test_guard_holds_until_a_signal(self):
        a, b = (self.put_named(name) for name in "ab")
        waiter = self.waiting("guard", a, b)
        self.out("unname", "a", "b")
        self.assertEqual(waiter.stdout.readline(), "1 unreachable id=%s\n" % a)
        self.assertEqual(waiter.stdout.readline(), "2 unreachable id=%s\n" % b)
        for number in (a, b):
            self.assertEqual([row["pid"] for row in self.json("holders", number)], [waiter.pid])
        waiter.send_signal(signal.SIGINT)
        self.assertEqual(waiter.wait(DEADLINE_S), OK)
        self.run_cli("get", a, code=ANSWER)
        self.run_cli("get", b, code=ANSWER)

    def test_subscribe(self):
        waiter = self.waiting("--json", "subscribe", "gc", "--count", 3)
        ends = self.waiting("subscribe", "gc", "--prefix", "end", "--count", 1)
        for _ in range(2):
            self.out("gc_collect")
        events = [json.loads(waiter.stdout.readline()) for _ in range(3)]
        self.assertEqual([event["phase"] for event in events], ["start", "end", "start"])
        self.assertEqual([event["seq"] - events[0]["seq"] for event in events], [0, 1, 2])
        self.assertEqual(waiter.wait(DEADLINE_S), OK)
        self.assertIn(" gc phase=end kind=full trigger=call dry_run=false ", ends.stdout.readline())
        self.assertEqual(ends.wait(DEADLINE_S), OK)

    def test_subscribe_from_a_number(self):
        waiter = self.waiting("--json", "subscribe", "gc")  # keeps the ring
        self.out("gc_collect")
        first = json.loads(waiter.stdout.readline())["seq"]
        later = self.waiting("--json", "subscribe", "gc", "--from-seq", first, "--count", 2)
        self.assertEqual([json.loads(later.stdout.readline())["seq"] for _ in range(2)], [first, first + 1])
        self.assertEqual(later.wait(DEADLINE_S), OK)

    def test_in_a_shell_they_are_printed_by_a_command(self):
        lines = self.shell("put a --name a", "put b --name b", "put c --name c", "quit")
        a, b, c = lines[:3]
        lines = self.shell("watch %s %s" % (a, c), "guard " + b, "unwatch " + c, "unname a", "events --count 1", "unname b c",
                           "events --count 1", "events", "release " + b, "subscribe gc", "gc", "events --count 2",
                           "unsubscribe gc", "gc", "events")
        self.assertEqual(lines[:3], ["1 freed id=%s reason=unname" % a, "2 unreachable id=%s" % b, "0"])
        self.assertRegex(lines[3], "^freed 0 objects of [0-9]+ looked at, ")
        self.assertRegex(lines[4], "^[0-9]+ gc phase=start ")
        self.assertRegex(lines[5], "^[0-9]+ gc phase=end ")
        self.assertRegex(lines[6], "^freed 0 objects ")
        self.assertEqual(len(lines), 7)

    def test_in_a_shell_unguard_lets_it_die(self):
        number = self.put_named("n")
        self.shell("guard " + number, "unguard " + number, "unname n", "events", "get " + number, code=ANSWER)

    def test_in_a_shell_events_may_not_come(self):
        number = self.put_named("n")
        self.assertEqual(self.shell("watch " + number, "events --count 1 --timeout 1", code=TIMEOUT), [])

    def test_what_goes_wrong(self):
        number = self.put_named("n")
        for words in (["watch"], ["watch", "x"], ["subscribe"], ["watch", number, "--count", "x"],
                      ["watch", number, "--count", "0"], ["subscribe", "gc", "--from-seq", "x"], ["unwatch"]):
            self.run_cli(*words, code=USAGE)
        self.assertIn("only in a shell", self.run_cli("events", code=USAGE).stderr)
        self.assertIn("no such topic", self.run_cli("subscribe", "nonsense", code=ANSWER).stderr)
        self.assertIn("CONFLICT", self.run_cli("unguard", number, code=ANSWER).stderr)
        dead = self.out("put", "x").strip()
        self.assertIn("GONE", self.run_cli("watch", dead, code=ANSWER).stderr)
        self.assertIn("GONE", self.run_cli("guard", number, dead, code=ANSWER).stderr)
        self.assertIn("events --count", self.run_cli("shell", "-q", stdin="watch %s --count 1\n" % number, code=USAGE).stderr)

    def test_the_connection_ends(self):
        number = self.put_named("n")
        waiter = self.waiting("watch", number)
        sid = [row["sid"] for row in self.json("sessions") if row["pid"] == waiter.pid][0]
        self.out("kill", sid)
        self.assertEqual(waiter.wait(DEADLINE_S), CONNECTION)


class Collecting(Cli):
    def setUp(self):
        super().setUp()
        self.out("gc_config", '{"enabled": false}')  # only when asked

    def ring(self, count, tag):
        """A ring of objects that refer to each other, held by nobody when this returns; their ids."""
        items = [["x" * 10, [-((k + 1) % count + 1)], {"tag": tag}] for k in range(count)]
        return [int(word) for word in self.out("put_many", json.dumps(items)).split()]

    def test_nothing(self):
        self.assertRegex(self.out("gc"), "^freed 0 objects of 0 looked at, values of 0 B, in [0-9.]+ ms\n$")

    def test_dry_run_explains_then_it_is_freed(self):
        wheel, self_made = self.ring(3, "wheel"), self.ring(1, "own")
        done = self.out("gc", "--dry-run", "--explain").splitlines()
        self.assertEqual(done[0].split(), ["CYCLE", "OF", "ID", "SIZE", "TAG"])
        rows = [line.split() for line in done[1:-1]]
        self.assertEqual(sorted((int(row[2]), row[1], row[3:]) for row in rows),
                         sorted([(number, "3", ["10", "B", "wheel"]) for number in wheel] +
                                [(number, "1", ["10", "B", "own"]) for number in self_made]))
        self.assertEqual({row[0] for row in rows}, {"1", "2"})
        self.assertRegex(done[-1], "^would free 4 objects of 4 looked at, values of 40 B, in ")
        self.assertEqual(self.out("get", wheel[0]), "xxxxxxxxxx\n")
        self.assertRegex(self.out("gc"), "^freed 4 objects of 4 looked at, values of 40 B, in ")
        self.run_cli("get", wheel[0], code=ANSWER)

    def test_what_is_left_out_is_said(self):
        for _ in range(65):
            self.ring(1, "own")
        done = self.run_cli("gc", "--explain")
        self.assertEqual(len(done.stdout.splitlines()), 1 + 64 + 1)
        self.assertIn("note: 64 of 65 cycles are listed", done.stderr)

    def test_what_a_guard_keeps(self):
        number = self.out("put", "x", "--name", "n").strip()
        lines = self.shell("link %s 0 %s" % (number, number), "guard " + number, "unname n", "gc", "events --count 1")
        self.assertRegex(lines[-3], "^freed 0 objects of 1 looked at")
        self.assertEqual(lines[-2:], ["kept for guards: 1 object, which their sessions hold now",
                                      "1 unreachable id=%s" % number])
        self.assertRegex(self.out("gc"), "^freed 1 object of 1 looked at")

    def test_json(self):
        ring = self.ring(2, "pair")
        result = self.json("gc", "--explain")
        self.assertEqual((result["collected"], result["bytes"], result["cycles_found"]), (2, 20, 1))
        self.assertEqual(sorted(member["id"] for member in result["cycles"][0]["members"]), sorted(ring))
        self.assertEqual(self.json("gc", "--dry-run")["unreachable"], 0)


class Shell(Cli):
    def test_one_session(self):
        lines = self.shell("# a comment", "", "put 'a b' --tag t", "scan --raw", "put c", "scan --raw", "quit", "put d")
        self.assertEqual(len(lines), 5)
        self.assertEqual(lines[0], lines[1])
        self.assertEqual(sorted([lines[0], lines[2]]), sorted(lines[3:]))

    def test_errors_do_not_end_it(self):
        lines = self.shell("get 1", "nonsense", "put 'open", "--version", "ping extra", "put x", code=ANSWER)
        self.assertEqual(len(lines), 1)

    def test_write_and_seal(self):
        process = subprocess.Popen([HOLDFAST, "shell", "-q"], env=self.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        with process:
            def ask(line):
                process.stdin.write(line + "\n")
                process.stdin.flush()
                return process.stdout.readline().rstrip("\n")
            number = ask("put --size 8")
            self.assertEqual(ask("write %s 4 wxyz" % number), "4")
            self.assertEqual(ask("seal %s\nget %s --json" % (number, number)), '{"$bin":"AAAAAHd4eXo="}')
            process.stdin.close()
            self.assertEqual(process.wait(DEADLINE_S), OK)


    def test_an_open_object_takes_no_name(self):
        self.assertIn("seal", self.run_cli("put", "--size", 8, "--name", "n", code=USAGE).stderr)
        self.assertIn("seal", self.run_cli("put", "--size", 8).stderr)


class Json(Cli):
    def test_every_command_prints_one_document(self):
        number = self.json("put", "x", "--name", "n")
        ticket = self.json("share", number)
        for words in (("unshare", ticket), ("seal", number), ("pool_create", "p"), ("pool_drop", "p"), ("unname", "n")):
            with self.subTest(words=words):
                self.assertIs(self.json(*words), True)
        self.out("store", "a", "1")
        self.out("store", "b", "2")
        self.assertEqual(self.json("unname", "a", "b"), [True, True])

    def test_kill_of_several(self):
        holders = [subprocess.Popen([HOLDFAST, "hold", "-q", self.out("store", "n%d" % i, "x").strip()], env=self.env,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for i in range(2)]
        self.assertEqual([holder.stdout.readline() for holder in holders], ["held\n"] * 2)
        pids = [holder.pid for holder in holders]
        sids = [row["sid"] for row in self.json("sessions") if row["pid"] in pids]
        self.assertEqual(self.json("kill", *sids), [1, 1])
        for holder in holders:
            holder.communicate(timeout=DEADLINE_S)


class Names(Cli):
    def test_names_with_prefix_and_limit(self):
        for i in range(5):
            self.out("store", "a%d" % i, str(i))
        self.out("store", "b", "b")
        self.assertEqual(sorted(name for name, _ in self.json("names", "a")), ["a%d" % i for i in range(5)])
        self.assertEqual(len(self.json("names", "--limit", 2)), 2)
        table = self.out("names").splitlines()
        self.assertEqual(table[0].split(), ["ID", "NAME"])
        self.assertEqual(len(table), 7)
        self.assertEqual(self.out("fetch", "a3", "a1"), "3\n1\n")
        ids = self.out("lookup", "a0", "b").split()
        self.assertEqual(len(ids), 2)

    def test_store_only_if_new(self):
        self.out("store", "n", "1", "--if-version", 0)
        self.assertIn("CONFLICT", self.run_cli("store", "n", "2", "--if-version", 0, code=ANSWER).stderr)
        self.assertIn("CONFLICT", self.run_cli("unname", "n", "--if-version", 1 << 40, code=ANSWER).stderr)
        number = self.out("lookup", "n").strip()
        self.assertGreater(self.json("name", "m", number), 0)


class Inside(Cli):
    def test_inspect(self):
        number = int(self.out("put", "--int", 5, "--name", "n", "--tag", "t", "--site", "here", "--seal"))
        seen = self.json("inspect", number)
        self.assertEqual([seen[k] for k in ("id", "tag", "site", "state", "count")], [number, "t", "here", "sealed", 1])
        lines = dict(line.split(None, 1) for line in self.out("inspect", number).splitlines())
        self.assertEqual(lines["tag"], "t")
        self.assertEqual(lines["held_by.names"], "1")

    def test_scan_filters_and_table(self):
        small = int(self.out("store", "s", "x", "--tag", "small"))
        large = int(self.out("store", "l", "-", "--tag", "large", stdin="x" * 5000))
        self.assertEqual(sorted(self.json("scan")), sorted([small, large]))
        self.assertEqual(self.json("scan", "--tag", "small"), [small])
        self.assertEqual(self.json("scan", "--min-size", "4K"), [large])
        self.assertEqual(len(self.json("scan", "--limit", 1)), 1)
        table = self.out("scan", "--tag", "large").splitlines()
        self.assertEqual(table[0].split()[:2], ["ID", "TYPE"])
        self.assertEqual(table[1].split()[:5], [str(large), "str", "4.9", "KiB", "large"])

    def test_scan_of_several_pages(self):
        self.shell(*["store n%d x" % i for i in range(2500)])
        self.assertEqual(len(set(self.json("scan"))), 2500)
        self.assertEqual(len(self.json("names")), 2500)
        rows = [line for line in self.out("scan").splitlines() if not line.lstrip().startswith("ID")]
        self.assertEqual(len(rows), 2500)
        for start in range(0, 2500, 1000):
            self.out("unname", *["n%d" % i for i in range(start, min(2500, start + 1000))])

    def test_sessions_and_kill(self):
        number = self.out("put", "x", "--name", "n").strip()
        holder = subprocess.Popen([HOLDFAST, "hold", "-q", number], env=self.env, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(holder.stdout.readline(), "held\n")
        sid = [row["sid"] for row in self.json("sessions") if row["pid"] == holder.pid][0]
        self.assertEqual(self.json("scan", "--sid", sid), [int(number)])
        self.assertEqual(self.out("kill", sid), "1\n")
        self.assertEqual(holder.wait(DEADLINE_S), CONNECTION)
        holder.communicate()
        self.run_cli("kill", sid, code=ANSWER)

    def test_pools(self):
        self.out("pool-create", "other", "--max-bytes", "16M")
        self.assertIn("EXISTS", self.run_cli("pool_create", "other", code=ANSWER).stderr)
        self.assertEqual({row["name"] for row in self.json("pools")}, {"default", "other"})
        number = self.out("--pool", "other", "put", "x", "--name", "n").strip()
        self.run_cli("get", number, code=ANSWER)
        self.assertEqual(self.out("--pool=other", "get", number), "x\n")
        self.out("pool_drop", "other")
        self.assertIn("NOTFOUND", self.run_cli("--pool", "other", "ping", code=ANSWER).stderr)

    def test_stats_verify_methods_hello_ping(self):
        self.assertEqual(self.json("stats")["objects"]["count"], 0)
        self.assertEqual(self.json("stats", "objects")["count"], 0)
        self.assertIn("memory.used", self.out("stats"))
        self.assertIn("NOTFOUND", self.run_cli("stats", "nonsense", code=ANSWER).stderr)
        self.assertTrue(self.json("verify")["ok"])
        methods = {row["name"] for row in self.json("methods")}
        commands = {line.split()[0] for line in self.out("help").splitlines() if line.startswith("  ")}
        # those that are asked for by `call`
        self.assertLessEqual(methods, commands)
        self.assertEqual(self.json("hello")["pool"], "default")
        self.assertIn("answered in", self.out("ping"))
        self.assertGreater(self.json("ping"), 1.5e12)

    def test_call_any_method(self):
        self.assertGreater(self.json("call", "ping"), 1.5e12)
        number = self.json("call", "put", '["x", {"tag": "t"}]')
        self.assertGreater(number, 0)
        self.assertIn("NOMETHOD", self.run_cli("call", "nonsense", code=ANSWER).stderr)
        self.assertIn("BADARG", self.run_cli("call", "get", '[1, {"nonsense": 1}]', code=ANSWER).stderr)
        self.run_cli("call", "ping", "5", code=USAGE)
        self.run_cli("call", "ping", "[", code=USAGE)


class ExitCodes(Cli):
    def test_usage(self):
        for words in [[], ["nonsense"], ["get"], ["get", "x"], ["put", "a", "b"], ["--nonsense", "ping"],
                      ["ping", "--tag", "x"], ["put", "--int", "x"], ["put", "--json", "{"], ["-s", "nonsense", "ping"],
                      ["--timeout", "x", "ping"], ["put"], ["put", "a", "--refs", "x"], ["claim", "x"],
                      ["put", "a", "--int", "--bin"], ["put", "a", "--file", "b"]]:
            with self.subTest(words=words):
                self.assertTrue(self.run_cli(*words, code=USAGE).stderr)

    def test_local(self):
        self.run_cli("put", "@/nonexistent/file", code=LOCAL)
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([HOLDFAST, "ping"], env=self.env, stdout=full, stderr=subprocess.PIPE, check=False,
                                  timeout=DEADLINE_S)
        self.assertEqual(done.returncode, LOCAL)

    def test_connection(self):
        self.run_cli("-s", "unix:/nonexistent/s", "ping", code=CONNECTION)
        self.run_cli("ping", code=CONNECTION, env=environment(HOLDFAST_ADDRESS="unix:/nonexistent/s"))

    def test_no_answer_in_time(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(folder + "/s")
            silent.listen()
            self.run_cli("-s", "unix:%s/s" % folder, "--timeout", 50, "ping", code=TIMEOUT)

    def test_tcp(self):
        self.assertIn("answered in", self.out("-s", "tcp:%s:%d" % self.daemon.tcp, "ping"))

    def test_help_and_version(self):
        nowhere = environment(HOLDFAST_ADDRESS="unix:/nonexistent/s")
        self.assertIn("Exit codes", self.out("--help", env=nowhere))
        self.assertIn("--refs", self.out("help", "put", env=nowhere))
        self.assertEqual(self.out("put", "--help", env=nowhere), self.out("help", "put", env=nowhere))
        self.assertRegex(self.out("--version", env=nowhere), r"^holdfast \d+\.\d+\.\d+\n$")
        self.run_cli("help", "nonsense", code=USAGE)

    def test_no_colour_without_a_terminal(self):
        self.assertNotIn("\033", self.out("pools") + self.run_cli("get", 1, code=ANSWER).stderr)


if __name__ == "__main__":
    unittest.main()
