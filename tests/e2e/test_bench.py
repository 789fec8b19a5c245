#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`holdfast bench` against a real daemon: what it says it did is what the daemon has counted, and what goes wrong is
told. $HOLDFAST is the program, else build/holdfast of this tree."""
import collections
import itertools
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from daemon import ROOT, Daemon  # noqa: E402
from rpc import DEADLINE_S, poll  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(ROOT, "build", "holdfast")
OK, ANSWER, USAGE, CONNECTION, TIMEOUT, LOCAL = range(6)
FOR_EVER = "1h"  # ended by a signal, in the order of events and not by the clock

# Operation: its steps, by the method of each.
STEPS = {"get": ["get"], "put": ["put", "release"], "retain-own": ["retain", "release"],
         "retain-foreign": ["retain", "release"], "store": ["store"], "fetch": ["fetch"],
         "lookup": ["lookup", "release"], "link": ["link"], "ping": ["ping"]}

NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
LATENCY = {"mean": NUMBER, "p50": NUMBER, "p90": NUMBER, "p99": NUMBER, "p999": NUMBER, "p9999": NUMBER, "max": NUMBER}
CELLS = [[NUMBER]]
RESULT = {
    "bench": int, "version": str, "date": str, "sequence": int, "interrupted": bool, "failure": (str, type(None)),
    "seconds": NUMBER, "requests": int, "rate": NUMBER, "errors": int, "unsent": int, "unanswered": int,
    "latency_us": LATENCY, "histogram_us": CELLS,
    "machine": {"system": str, "architecture": str, "cpu": str, "cores": int, "memory_bytes": int},
    "server": {"name": str, "version": str, "address": str, "pool": str, "cpu_ns_per_request": OPTIONAL,
               "busiest_thread": OPTIONAL, "cores": OPTIONAL},
    "options": {"mix": {None: int}, "connections": int, "depth": int, "rate": OPTIONAL, "duration_s": OPTIONAL,
                "warmup_s": OPTIONAL, "count": OPTIONAL, "objects": int, "value": str, "skew": str,
                "own_pools": OPTIONAL, "threads": int, "seed": int},
    "steps": [{"operation": str, "method": str, "requests": int, "rate": NUMBER, "errors": {None: int},
               "latency_us": LATENCY, "histogram_us": CELLS}],
    "generator": {"busiest_thread": NUMBER, "waited_for_core": NUMBER, "cpu_ns_per_request": NUMBER,
                  "lag_us": (type(None), LATENCY), "limit": bool},
    "series": [{"second": int, "requests": int, "errors": int, "p50_us": NUMBER, "p99_us": NUMBER, "max_us": NUMBER}],
}


def misfits(shape, value, path="result"):
    """Where a document does not have a shape: exactly these members, of these types. The key None: any key."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield "%s is no map" % path
            return
        if None in shape:
            for key in value:
                yield from misfits(shape[None], value[key], path + "." + key)
            return
        for key in shape.keys() ^ value.keys():
            yield "%s.%s is %s" % (path, key, "missing" if key in shape else "not in the schema")
        for key in shape.keys() & value.keys():
            yield from misfits(shape[key], value[key], path + "." + key)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield "%s is no list" % path
            return
        for i, element in enumerate(value):
            yield from misfits(shape[0], element, "%s[%d]" % (path, i))
    elif isinstance(shape, tuple) and any(isinstance(option, dict) for option in shape):
        if value is not None:
            yield from misfits(next(option for option in shape if isinstance(option, dict)), value, path)
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        yield "%s is %r" % (path, value)


def keys_of(shape):
    if isinstance(shape, dict):
        for key, inner in shape.items():
            if key is not None:
                yield key
            yield from keys_of(inner)
    elif isinstance(shape, (list, tuple)):
        for inner in shape:
            yield from keys_of(inner)


def at_least(histogram, us):
    """How many durations of a histogram are certainly `us` or longer: those of cells that begin there."""
    return sum(count for highest, count in histogram if highest * 127 / 128 >= us)


class Bench(unittest.TestCase):
    workers = 2

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--workers", str(cls.workers)).start()
        cls.env = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
        cls.env["HOLDFAST_ADDRESS"] = "unix:" + cls.daemon.unix

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def setUp(self):
        # Whatever a run did, it leaves nothing behind: no pool, no object, no name, no fault.
        self.addCleanup(self.leave_nothing)

    def leave_nothing(self):
        with self.daemon.client() as client:
            self.assertEqual([row["name"] for row in client.call("pools")], ["default"])
            poll(lambda: client.call("stats", "objects")["count"] == 0, "the objects to be gone")
            self.assertEqual(client.call("stats", "names")["count"], 0)
            self.assertTrue(client.call("verify")["ok"])

    def start(self, *words, stderr=subprocess.PIPE):
        return subprocess.Popen([HOLDFAST, *map(str, words)], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=stderr, text=True)

    def finish(self, process, code=OK):
        out, err = process.communicate(timeout=2 * DEADLINE_S)
        self.assertEqual(process.returncode, code, "%s\n%s\n%s" % (process.args, out, err))
        return out, err

    def run_cli(self, *words, code=OK):
        return self.finish(self.start(*words), code)

    def bench(self, *words, code=OK):
        """The result of a run, checked for what holds for all of them."""
        return self.checked(self.run_cli("--json", "bench", *words, code=code)[0])

    def checked(self, text):
        result = json.loads(text)
        self.assertEqual(list(misfits(RESULT, result)), [])
        self.assertEqual(sum(step["requests"] for step in result["steps"]), result["requests"])
        self.assertEqual(sum(second["requests"] for second in result["series"]), result["requests"])
        self.assertEqual(sum(second["errors"] for second in result["series"]), result["errors"])
        self.assertEqual([second["second"] for second in result["series"]], list(range(1, len(result["series"]) + 1)))
        for part in [result] + result["steps"]:
            errors = part["errors"] if part is result else sum(part["errors"].values())
            self.assertEqual(sum(count for _, count in part["histogram_us"]) + errors, part["requests"])
            shares = [part["latency_us"][key] for key in ("p50", "p90", "p99", "p999", "p9999", "max")]
            self.assertEqual(shares, sorted(shares))
        return result

    def by_method(self):
        with self.daemon.client() as client:
            return collections.Counter(client.call("stats", "requests")["by_method"])

    def steps(self, result):
        return {(step["operation"], step["method"]): step["requests"] for step in result["steps"]}


class Operations(Bench):
    COUNT, CONNECTIONS, OBJECTS, POOLS = 3000, 7, 100, 2

    def setting(self, mix, *more):
        return ("--mix", mix, "--count", self.COUNT, "--connections", self.CONNECTIONS, "--objects", self.OBJECTS,
                "--pools", self.POOLS, "--depth", 5, "--threads", 2, *more)

    def filled(self, operation):
        """What the daemon was asked for before the load began."""
        objects = self.OBJECTS * self.POOLS
        own = self.CONNECTIONS * (self.OBJECTS // (self.CONNECTIONS // self.POOLS))
        return {"get": {"put": objects}, "retain-foreign": {"put": objects}, "link": {"put": objects},
                "retain-own": {"put": own}, "store": {"store": objects}, "fetch": {"store": objects},
                "lookup": {"store": objects}}.get(operation, {})

    def test_each_operation_does_what_it_says(self):
        for operation, methods in STEPS.items():
            with self.subTest(operation=operation):
                before = self.by_method()
                result = self.bench(*self.setting(operation, "--value", "0-300=9,20K-30K=1"))
                done = self.by_method() - before
                expected = collections.Counter(self.filled(operation))
                for method in methods:
                    expected[method] += self.COUNT
                for method in ("put", "get", "retain", "release", "store", "fetch", "lookup", "link", "ping"):
                    self.assertEqual(done[method], expected[method], method)
                self.assertEqual(done["hello"], self.CONNECTIONS + self.POOLS + 1)
                self.assertEqual(self.steps(result), {(operation, method): self.COUNT for method in methods})
                self.assertEqual(result["errors"], 0)
                self.assertEqual(result["unanswered"], 0)

    def test_a_mix_is_drawn_by_its_weights_and_its_seed(self):
        mix = "get=3,put=1,retain-own=1,retain-foreign=1,store=1,fetch=1,lookup=1,link=1"
        first = self.bench(*self.setting(mix, "--skew", "zipf"))
        firsts = {operation: self.steps(first)[operation, STEPS[operation][0]] for operation in first["options"]["mix"]}
        self.assertEqual(sum(firsts.values()), self.COUNT)
        self.assertGreater(firsts["get"], 2 * firsts["put"])
        self.assertEqual(self.steps(first)["put", "release"], firsts["put"])
        self.assertEqual(self.steps(self.bench(*self.setting(mix, "--skew", "zipf"))), self.steps(first))
        self.assertNotEqual(self.steps(self.bench(*self.setting(mix, "--seed", 2))), self.steps(first))

    def test_links_leave_no_cycle(self):
        # In a pool that lives on, all objects die with the session that held them: leave_nothing counts them.
        self.bench("--mix", "link", "--count", 5000, "--objects", 20, "--pool", "default")

    def test_a_pool_that_exists_is_left_as_it_was(self):
        with self.daemon.client() as client:
            client.call("pool_create", "mine")
        with self.daemon.client(hello={"pool": "mine"}) as client:
            client.call("store", "theirs", "kept")
            result = self.bench("--pool", "mine", "--mix", "cache", "--count", 500, "--objects", 1500)
            self.assertEqual(result["server"]["pool"], "mine")
            self.assertIsNone(result["options"]["own_pools"])
            self.assertEqual([name for name, _ in client.call("names", 0)[1]], ["theirs"])
            self.assertEqual(client.call("stats", "objects")["count"], 1)
        with self.daemon.client() as client:
            client.call("pool_drop", "mine", {"force": True})

    def test_large_values_pass_in_pieces(self):
        for mix in ("get", "fetch", "put", "store"):
            with self.subTest(mix=mix):
                result = self.bench("--mix", mix, "--count", 40, "--objects", 4, "--value", "700K-3M", "--depth", 4,
                                    "--connections", 3)
                self.assertEqual(result["errors"], 0)

    def test_over_tcp(self):
        address = "tcp:%s:%d" % self.daemon.tcp
        result = self.bench("-s", address, "--count", 2000, "--depth", 8, "--objects", 50)
        self.assertEqual(result["server"]["address"], address)
        self.assertIsNone(result["server"]["cores"])  # nobody knows whose process that is

    def test_the_daemons_own_time_is_known_on_a_unix_socket(self):
        result = self.bench("--mix", "ping", "--count", 200000, "--depth", 64)
        self.assertGreater(result["server"]["cpu_ns_per_request"], 0)
        self.assertGreater(result["generator"]["cpu_ns_per_request"], 0)

    def test_a_time_is_measured_in_seconds(self):
        result = self.bench("--duration", "2.2", "--warmup", "100ms", "--objects", 100, "--connections", 3)
        self.assertEqual(result["seconds"], 2.2)
        self.assertEqual(len(result["series"]), 3)
        self.assertEqual(result["options"]["duration_s"], 2.2)

    def test_a_table_for_people(self):
        out, err = self.run_cli("bench", "--mix", "get,put", "--count", 1000, "--objects", 10, "-q")
        self.assertEqual(err, "")
        rows = [line.split()[0] for line in out.splitlines() if line]
        for row in ("REQUEST", "get", "put", "then", "all", "generator:", "daemon:"):
            self.assertIn(row, rows)


class OpenLoop(Bench):
    def test_requests_are_sent_at_the_rate(self):
        result = self.bench("--mix", "get,put", "--rate", 500, "--duration", 2, "--warmup", 0, "--objects", 10,
                            "--connections", 3, "--threads", 2)
        self.assertEqual(result["requests"] + result["unsent"], 1000)
        self.assertGreater(result["requests"], 0)
        self.assertEqual(result["options"]["rate"], 500)
        lag = result["generator"]["lag_us"]
        self.assertLessEqual(lag["p50"], lag["max"])

    def test_a_count_of_operations(self):
        result = self.bench("--mix", "put", "--rate", "100k", "--count", 700, "--connections", 3)
        self.assertEqual(self.steps(result), {("put", "put"): 700, ("put", "release"): 700})

    def test_what_cannot_be_sent_is_counted(self):
        # More than any daemon can do here, with one request in flight.
        out, err = self.run_cli("--json", "bench", "--mix", "ping", "--rate", "100M", "--depth", 1, "--connections", 1,
                                "--duration", "300ms", "--warmup", 0)
        result = self.checked(out)
        self.assertEqual(result["requests"] + result["unsent"], 30_000_000)
        self.assertGreater(result["unsent"], 0)
        self.assertIn("did not keep up with --rate 100000000", err)


class Stall(Bench):
    """The daemon is stopped for a moment while the load is on. The run ends by a signal when it has gone on after that,
    so the machine's speed decides nothing."""
    STALL_S, RATE, CONNECTIONS = 1.0, 500, 4

    def pings(self):
        return self.by_method()["ping"]

    def stall(self, *more):
        process = self.start("--json", "bench", "--mix", "ping", "--connections", self.CONNECTIONS, "--duration",
                             FOR_EVER, "--warmup", 0, *more)
        before = self.pings()
        poll(lambda: self.pings() > before + 100, "the load to be on")
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        poll(self.is_stopped, "the daemon to be stopped")
        time.sleep(self.STALL_S)  # this is what is measured
        os.kill(self.daemon.process.pid, signal.SIGCONT)
        after = self.pings()
        owed = 1.2 * self.RATE * self.STALL_S  # what has become due meanwhile, one after the other at depth 1
        poll(lambda: self.pings() > after + owed, "the load to go on")
        process.send_signal(signal.SIGINT)
        result = self.checked(self.finish(process)[0])
        self.assertTrue(result["interrupted"])
        return result, at_least(result["histogram_us"], self.STALL_S / 2 * 1e6)

    def is_stopped(self):
        with open("/proc/%d/stat" % self.daemon.process.pid, encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"

    def test_an_open_loop_shows_it(self):
        # Where all of them can be in flight, and where they cannot: they count from when they were due.
        for depth in (256, 1):
            with self.subTest(depth=depth):
                result, late = self.stall("--rate", self.RATE, "--depth", depth)
                # Whatever was due in the first half of it could not be answered before half of it was over. (The
                # histogram has steps of some percent, so what came just behind that half may count as before it.)
                self.assertGreaterEqual(late, 0.9 * self.RATE * self.STALL_S / 2)
                if late > result["requests"] / 100:
                    self.assertGreaterEqual(result["latency_us"]["p99"], self.STALL_S / 2 * 1e6)

    def test_a_closed_loop_hides_it(self):
        result, late = self.stall()
        # Only what was in flight when it began. (Ten times that, should the machine have stalls of its own.)
        self.assertGreaterEqual(late, 1)
        self.assertLessEqual(late, 10 * self.CONNECTIONS)
        if late < result["requests"] / 100:
            self.assertLess(result["latency_us"]["p99"], self.STALL_S / 2 * 1e6)


class Ends(Bench):
    def loaded(self, *words):
        """A run that goes on for ever, when its load is on."""
        process = self.start(*words)
        before = self.by_method()["ping"]
        poll(lambda: self.by_method()["ping"] > before + 10, "the load to be on")
        return process

    def test_a_signal_ends_it_early_with_what_was_measured(self):
        for number, mode in itertools.product((signal.SIGINT, signal.SIGTERM), ([], ["--rate", 2000])):
            with self.subTest(signal=number, mode=mode):
                process = self.loaded("--json", "bench", "--mix", "ping", "--duration", FOR_EVER, "--warmup", 0, *mode)
                process.send_signal(number)
                out, err = self.finish(process)
                result = self.checked(out)
                self.assertTrue(result["interrupted"])
                self.assertGreater(result["requests"], 0)
                self.assertIn("ended early by a signal", err)

    def test_a_signal_during_warm_up_has_nothing_to_tell(self):
        process = self.loaded("bench", "--mix", "ping", "--warmup", FOR_EVER)
        process.send_signal(signal.SIGINT)
        out, err = self.finish(process, -signal.SIGINT)
        self.assertEqual(out, "")
        self.assertIn("before anything was measured", err)

    def test_a_signal_while_filling_tidies_up(self):
        process = self.start("bench", "--mix", "get", "--objects", "90M")
        with self.daemon.client() as client:
            poll(lambda: any(row["objects"] > 0 for row in client.call("pools")), "objects to be made")
        process.send_signal(signal.SIGINT)
        self.assertIn("before anything was measured", self.finish(process, -signal.SIGINT)[1])

    def test_a_second_signal_ends_it_at_once(self):
        process = self.loaded("bench", "--mix", "ping", "--duration", FOR_EVER, "--warmup", 0, "--timeout", 0)
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGINT)
            # The first one is taken when it no longer waits to be.
            poll(lambda: not self.is_pending(process.pid, signal.SIGINT), "the signal to be taken")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(DEADLINE_S), -signal.SIGINT)
            process.communicate()
        finally:
            os.kill(self.daemon.process.pid, signal.SIGCONT)
        with self.daemon.client() as client:  # which nobody could do for it
            for row in client.call("pools"):
                if row["name"].startswith("bench-"):
                    client.call("pool_drop", row["name"], {"force": True})

    @staticmethod
    def is_pending(pid, number):
        """Whether a signal is blocked and waits, or is blocked at all: then the next one would be swallowed too."""
        with open("/proc/%d/status" % pid, encoding="ascii") as status:
            masks = {line.split(":")[0]: int(line.split()[1], 16) for line in status
                     if line.startswith(("SigPnd", "ShdPnd", "SigBlk"))}
        return any(mask >> (number - 1) & 1 for mask in masks.values())

    def test_a_daemon_that_does_not_answer(self):
        process = self.loaded("--json", "bench", "--mix", "ping", "--duration", FOR_EVER, "--warmup", 0, "--timeout", 2000)
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        try:
            out, err = self.finish(process, TIMEOUT)
        finally:
            os.kill(self.daemon.process.pid, signal.SIGCONT)
        result = self.checked(out)
        self.assertIn("no answer for 2000 ms", result["failure"])
        self.assertIn("no answer for 2000 ms", err)
        self.assertGreater(result["unanswered"], 0)
        with self.daemon.client() as client:  # it may have dropped it itself, when it went on
            for row in client.call("pools"):
                if row["name"].startswith("bench-"):
                    self.assertIn("the pool %s stays behind" % row["name"], err)
                    client.call("pool_drop", row["name"], {"force": True})

    def test_errors_are_counted_and_told(self):
        with self.daemon.client() as client:
            client.call("pool_create", "small", {"max_bytes": 4 << 20})
        out, err = self.run_cli("--json", "bench", "--pool", "small", "--mix", "put=1,ping=9", "--count", 500, "--value", "8M",
                                code=ANSWER)
        result = self.checked(out)
        puts = next(step for step in result["steps"] if step["method"] == "put")
        self.assertGreater(puts["requests"], 0)
        self.assertEqual(puts["errors"], {"OOM": puts["requests"]})
        self.assertEqual(result["errors"], puts["requests"])
        self.assertNotIn(("put", "release"), self.steps(result))
        out, err = self.run_cli("bench", "--pool", "small", "--mix", "put", "--count", 50, "--value", "8M", code=ANSWER)
        self.assertIn("errors of put: 50 OOM", out)
        self.assertIn("the first one: OOM", out)
        with self.daemon.client() as client:
            client.call("pool_drop", "small", {"force": True})

    def test_a_pool_that_is_full_when_it_is_filled(self):
        with self.daemon.client() as client:
            client.call("pool_create", "small", {"max_bytes": 4 << 20})
        _, err = self.run_cli("bench", "--pool", "small", "--mix", "get", "--value", "1M", "--objects", 100, code=ANSWER)
        self.assertIn("putting objects: OOM", err)
        with self.daemon.client() as client:
            client.call("pool_drop", "small", {"force": True})

    def test_wrong_command_lines(self):
        for words, text in ((["--mix", "gett"], "no operation gett"), (["--depth", "0"], "--depth must be"),
                            (["nonsense"], "not nonsense"), (["compare", "one"], "two files"),
                            (["--pool", "default", "--pools", 2], "goes without --pool"), (["--tag", "x"], "unknown option")):
            with self.subTest(words=words):
                self.assertIn(text, self.run_cli("bench", *words, code=USAGE)[1])

    def test_nobody_there_and_no_such_pool(self):
        self.assertIn("unix:/nonexistent", self.run_cli("-s", "unix:/nonexistent", "bench", code=CONNECTION)[1])
        self.assertIn("NOTFOUND", self.run_cli("bench", "--pool", "nothing", code=ANSWER)[1])

    def test_not_in_a_shell(self):
        done = subprocess.run([HOLDFAST, "shell", "-q"], env=self.env, input="bench\n", capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("not in a shell", done.stderr)

    def test_too_many_connections_for_the_limit(self):
        done = subprocess.run(["prlimit", "--nofile=256:256", HOLDFAST, "bench", "--connections", "1000"], env=self.env,
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, LOCAL)
        self.assertIn("ulimit -n", done.stderr)

    def test_a_low_limit_is_raised_where_that_is_allowed(self):
        done = subprocess.run(["prlimit", "--nofile=64:4096", HOLDFAST, "-q", "bench", "--connections", "200", "--mix", "ping",
                               "--count", "1000"], env=self.env, capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        self.assertEqual(done.returncode, OK, done.stderr)

    def test_progress_is_for_terminals(self):
        words = ("bench", "--mix", "get", "--count", 20000, "--objects", 20000)
        self.assertNotIn("\r", self.run_cli(*words)[1])
        for quiet, shown in ((["-q"], False), ([], True)):
            main, terminal = pty.openpty()
            process = self.start(*words, *quiet, stderr=terminal)
            os.close(terminal)
            seen = b""
            try:
                while True:
                    seen += os.read(main, 4096)
            except OSError:  # the other end is closed
                pass
            os.close(main)
            self.finish(process)
            self.assertEqual(b"putting objects: " in seen, shown, seen)


class DeadDaemon(unittest.TestCase):
    def test_it_is_told_with_what_was_measured(self):
        daemon = Daemon(tcp=False).start()
        self.addCleanup(daemon.kill)
        process = subprocess.Popen([HOLDFAST, "-s", "unix:" + daemon.unix, "--json", "bench", "--mix", "ping", "--duration",
                                    FOR_EVER, "--warmup", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with daemon.client() as client:
            poll(lambda: client.call("stats", "requests")["by_method"].get("ping", 0) > 100, "the load to be on")
        daemon.process.kill()
        out, err = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, CONNECTION, err)
        result = json.loads(out)
        self.assertEqual(list(misfits(RESULT, result)), [])
        self.assertGreater(result["requests"], 0)
        self.assertIn("broke", result["failure"])
        self.assertIn("connection", err)
        self.assertNotIn("stays behind", err)


class Liar(threading.Thread):
    """A server that greets like a daemon, and answers `ping` with whatever bytes `answer(msgid)` gives, `piece` of them
    at a time."""

    def __init__(self, answer, piece):
        super().__init__(daemon=True)
        self.answer, self.piece = answer, piece
        self.folder = tempfile.TemporaryDirectory(prefix="hf-")
        self.path = os.path.join(self.folder.name, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        unpacker = msgpack.Unpacker()
        hello = {"proto": 1, "session": b"x" * 16, "sid": 1, "pool": "p", "epoch": 1, "held": 0, "server": "liar",
                 "version": "0", "limits": {"frame": 1 << 20, "value": 1 << 20, "ids": 1024}, "ignored": []}
        with peer:
            while data := peer.recv(65536):
                unpacker.feed(data)
                for _, msgid, method, _ in unpacker:
                    answer = {"hello": hello, "bye": 0}.get(method)
                    data = self.answer(msgid) if answer is None else msgpack.packb([1, msgid, None, answer])
                    for at in range(0, len(data), self.piece):
                        peer.sendall(data[at:at + self.piece])

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.folder.cleanup()


class WrongAnswers(unittest.TestCase):
    def run_against(self, answer, piece=1 << 16):
        liar = Liar(answer, piece)
        try:
            done = subprocess.run([HOLDFAST, "-s", "unix:" + liar.path, "bench", "--pool", "p", "--mix", "ping", "--count", "10",
                                   "--connections", "1"], capture_output=True, text=True,
                                  timeout=DEADLINE_S, check=False)
        finally:
            liar.close()
        return done

    def test_a_right_one_is_taken(self):
        done = self.run_against(lambda msgid: msgpack.packb([1, msgid, None, 5]))
        self.assertEqual(done.returncode, OK, done.stderr)

    def test_byte_by_byte_as_well(self):
        done = self.run_against(lambda msgid: msgpack.packb([1, msgid, None, 1 << 40]), piece=1)
        self.assertEqual(done.returncode, OK, done.stderr)

    def test_wrong_ones_are_seen(self):
        for name, answer in (("another message id", lambda msgid: msgpack.packb([1, msgid + 1, None, 5])),
                             ("another type", lambda msgid: msgpack.packb([1, msgid, None, "five"])),
                             ("a request", lambda msgid: msgpack.packb([0, msgid, "ping", []])),
                             ("no MessagePack-RPC", lambda msgid: b"HTTP/1.1 400 Bad Request\r\n\r\n")):
            with self.subTest(answer=name):
                done = self.run_against(answer)
                self.assertEqual(done.returncode, LOCAL, done.stderr)
                self.assertIn("a wrong answer to ping", done.stderr)

    def test_more_than_was_asked_for(self):
        done = self.run_against(lambda msgid: msgpack.packb([1, msgid, None, 5]) * 2)
        self.assertEqual(done.returncode, LOCAL, done.stderr)
        self.assertRegex(done.stderr, "nobody had asked for|a wrong answer")

    def test_a_refusal_is_quoted(self):
        done = self.run_against(lambda msgid: msgpack.packb([1, 0, "BADFRAME : not with us", None]))
        self.assertEqual(done.returncode, LOCAL, done.stderr)
        self.assertIn("BADFRAME : not with us", done.stderr)


class Compare(Bench):
    def file(self, document):
        file = tempfile.NamedTemporaryFile("w", suffix=".json")
        self.addCleanup(file.close)
        json.dump(document, file)
        file.flush()
        return file.name

    def two(self, *changed):
        words = ("--count", 1000, "--objects", 100, "--mix", "get,put")
        return self.file(self.bench(*words)), self.file(self.bench(*words, *changed))

    def test_figures_and_their_change(self):
        before, after = self.two()
        out, _ = self.run_cli("bench", "compare", before, after)
        self.assertNotIn("NOT THE SAME", out)
        comparison = json.loads(self.run_cli("--json", "bench", "compare", before, after)[0])
        self.assertEqual(comparison["differences"], [])
        self.assertEqual([row["request"] for row in comparison["rows"]], ["get", "put", "put: release", "all"])
        with open(before, encoding="utf-8") as a, open(after, encoding="utf-8") as b:
            old, new = json.load(a)["rate"], json.load(b)["rate"]
        rate = comparison["rows"][-1]["rate"]
        self.assertEqual((rate["before"], rate["after"]), (old, new))
        self.assertAlmostEqual(rate["change_percent"], (new - old) / old * 100, delta=0.051)
        for figure in ("p50", "p90", "p99", "p999", "p9999", "max"):
            self.assertIn("change_percent", comparison["rows"][0][figure])
        self.assertIn("%+.1f %%" % rate["change_percent"], out)

    def test_it_says_when_the_options_differ(self):
        before, after = self.two("--depth", 8, "--skew", "zipf", "--mix", "get")
        out, _ = self.run_cli("bench", "compare", before, after)
        for text in ("NOT THE SAME", "depth: 1 before, 8 after", 'skew: "uniform" before, "zipf:0.99" after', "mix: "):
            self.assertIn(text, out)
        comparison = json.loads(self.run_cli("--json", "bench", "compare", before, after)[0])
        self.assertEqual({row["what"] for row in comparison["differences"]}, {"depth", "skew", "mix"})
        self.assertEqual([row["request"] for row in comparison["rows"]], ["get", "all"])

    def test_it_says_when_the_machine_or_the_version_differs(self):
        before, _ = self.two()
        with open(before, encoding="utf-8") as file:
            other = json.load(file)
        other["machine"]["cores"] += 1
        other["server"]["version"] = "9.9"
        out, _ = self.run_cli("bench", "compare", before, self.file(other))
        self.assertIn("cores: ", out)
        self.assertIn('server version: ', out)

    def test_what_is_no_result_is_refused(self):
        good, _ = self.two()
        for document in ({}, [], {"bench": 99}, 5):
            bad = self.file(document)
            self.assertIn("the second file is no result", self.run_cli("bench", "compare", good, bad, code=LOCAL)[1])
            self.assertIn("the first file is no result", self.run_cli("bench", "compare", bad, good, code=LOCAL)[1])
        self.assertIn("/nonexistent", self.run_cli("bench", "compare", good, "/nonexistent", code=LOCAL)[1])
        with tempfile.NamedTemporaryFile("w") as file:
            self.assertIn(file.name, self.run_cli("bench", "compare", file.name, good, code=LOCAL)[1])


class Documents(unittest.TestCase):
    PAGE = os.path.join(ROOT, "deploy", "man", "holdfast-bench.1")

    def test_the_manual_has_every_member_of_the_json_and_every_operation(self):
        with open(self.PAGE, encoding="utf-8") as file:
            page = file.read().replace("\\-", "-").replace("\\_", "_")
        for word in itertools.chain(set(keys_of(RESULT)), STEPS):
            self.assertIn(word, page)

    def test_help_has_every_operation_and_the_loops(self):
        out = subprocess.run([HOLDFAST, "help", "bench"], capture_output=True, text=True, check=True).stdout
        for word in itertools.chain(STEPS, ("--rate", "coordinated omission", "get=80,put=15,link=5", "fetch=90,store=10")):
            self.assertIn(word, out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
