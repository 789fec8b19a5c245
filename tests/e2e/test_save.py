#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Saves of a pool while it serves, and daemons that load them: what comes back, what does not, what is refused, and what is
left when a save fails or the daemon dies in the middle."""
import itertools
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import RELEASE, Daemon, run  # noqa: E402
from rpc import RpcError, poll  # noqa: E402
from saves import SavesTest  # noqa: E402

LEASE_MS = 3600000
MIB = 1 << 20
HOLD = os.path.join(os.path.dirname(RELEASE), "tests", "preload", "hold_thread.so")


class SaveTest(SavesTest):
    def refused_start(self, *args, status=1):
        with tempfile.TemporaryDirectory(prefix="hf-") as scratch:
            code, out, err = run(*args, "--listen", "unix:" + os.path.join(scratch, "s"))
        self.assertEqual((code, out), (status, ""), err)
        self.assertNotIn("Sanitizer", err)
        return err.splitlines()[-1]


class Saved(SaveTest):
    def fill(self, client):
        values = {"n%d" % k: value for k, value in enumerate(
            [None, 7, "text", b"bytes", [1, {"k": "v"}], "x" * 5000, b"z" * 300000, os.urandom(3 * MIB)])}
        for name, value in values.items():
            client.call("store", name, value, {"tag": "t"})
        graph = client.call("put_many", [["leaf"], ["a", [-1, None]], ["root", [-1, -2]]])
        client.call("name", "graph", graph[2])
        client.call("release", graph)
        return values

    def check(self, client, values):
        for name, value in values.items():
            self.assertEqual(client.call("fetch", name), value, name)
        root = client.call("lookup", "graph")
        leaf, a = client.call("refs", root)
        self.assertEqual((client.call("get", leaf), client.call("get", a), client.call("refs", a)),
                         ("leaf", "a", [leaf, None]))
        client.call("release", root)
        self.assertTrue(client.call("verify")["ok"])

    def test_a_save_is_loaded(self):
        daemon = self.start()
        owner = daemon.client({"name": "owner", "lease_ms": LEASE_MS})
        values = self.fill(owner)
        held = owner.call("put", "held")
        ticket = owner.call("share", held, {"ttl_ms": LEASE_MS})
        result = owner.call("save")
        self.assertEqual((result["file"], result["epoch"]), ("default.save", owner.hello_result["epoch"]))
        self.assertEqual(result["bytes"], os.path.getsize(self.path("default.save")))
        self.assertEqual(self.files(), ["default.save"])
        owner.call("store", "later", 1)
        late = owner.call("put", "late")
        after = self.start("--load", self.path("default.save"))
        self.assertIn("event=loaded", after.stderr())
        with after.client({"lease_ms": 0}) as client:
            self.check(client, values)
            self.assertNotEqual(client.hello_result["epoch"], owner.hello_result["epoch"])
            for obj in (held, late):
                with self.assertRaises(RpcError) as raised:
                    client.call("get", obj)
                self.assertEqual(raised.exception.code, "GONE")
            for method, args, code in (("claim", [ticket], "NOTFOUND"), ("fetch", ["later"], "NOTFOUND")):
                with self.assertRaises(RpcError) as raised:
                    client.call(method, *args)
                self.assertEqual(raised.exception.code, code)
            poll(lambda: client.call("stats", "gc")["backlog"] == 0, "what the sessions held is freed")
            self.assertEqual(client.call("stats", "objects")["count"], len(values) + 3, "what only a session held is gone")
            self.assertEqual(client.call("sessions")[0]["name"], None)
        with self.assertRaises(RpcError) as raised:
            after.client({"session": owner.hello_result["session"]})
        self.assertIn(raised.exception.code, ("EXPIRED", "NOTFOUND"))
        self.check(owner, values)
        for one in (daemon, after):
            one.stop()

    def test_into_a_folder(self):
        daemon = self.start()
        with daemon.client() as client:
            client.call("pool_create", "other")
        with daemon.client({"pool": "other", "lease_ms": 0}) as client:
            values = self.fill(client)
            client.call("save", "mine")
        daemon.stop()
        heap = os.path.join(self.dir, "heap")
        load = ("--heap", heap, "--load", self.path("mine"))
        self.start(*load).stop()
        self.assertIn("the pool other is there already", self.refused_start(*load))
        again = self.start("--heap", heap)
        with again.client({"pool": "other", "lease_ms": 0}) as client:
            self.check(client, values)
        again.stop()

    def test_an_empty_pool_gives_way(self):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            values = self.fill(client)
            client.call("save")
        daemon.stop()
        heap = os.path.join(self.dir, "heap")
        self.start("--heap", heap).stop()
        after = self.start("--heap", heap, "--load", self.path("default.save"))
        with after.client({"lease_ms": 0}) as client:
            self.check(client, values)
        after.stop()

    def test_under_load_it_is_of_one_instant(self):
        """Writers move an amount between two names, both in one call; in any instant the sum is the same."""
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            for k in range(2000):
                client.call("store", "fill%d" % k, os.urandom(3000))
            client.call("name", "pair", client.call("put", [500, 500]))
        ended = threading.Event()

        def write(seed):
            chance = random.Random(seed)
            with daemon.client({"lease_ms": 0}) as writer:
                while not ended.is_set():
                    a = chance.randrange(1000)
                    writer.call("set", writer.call("lookup", "pair"), [a, 1000 - a])
                    writer.call("store", "fill%d" % chance.randrange(2000), os.urandom(chance.randrange(6000)))

        threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        with daemon.client({"lease_ms": 0}) as client:
            results = [client.call("save", "s%d" % k) for k in range(4)]
        ended.set()
        for thread in threads:
            thread.join()
        daemon.stop()
        self.assertTrue(any(result["urgent"] for result in results), results)
        for k in range(4):
            after = self.start("--load", self.path("s%d" % k))
            with after.client({"lease_ms": 0}) as client:
                self.assertEqual(sum(client.call("fetch", "pair")), 1000)
                self.assertEqual(client.call("stats", "names")["count"], 2001)
                self.assertTrue(client.call("verify")["ok"])
            after.stop()


class Refused(SaveTest):
    def test_where_and_what(self):
        with Daemon(tcp=False) as daemon, daemon.client() as client:
            self.assertIn("--save-dir", self.refused(client, "NOPERM", "save"))
        daemon = self.start()
        with daemon.client() as client:
            for name in ("../x", "a/b", ".hidden", "", "x" * 129, "ü", 7):
                self.refused(client, "BADARG", "save", name)
            self.assertEqual(client.call("save", "x" * 128)["file"], "x" * 128)
            shutil.rmtree(self.saves)
            self.assertIn("No such file", self.refused(client, "INTERNAL", "save"))
            stats = client.call("stats", "save")
            self.assertEqual((stats["done"], stats["failed"], stats["running"]), (1, 1, False))
            self.assertIn("No such file", stats["error"])
            os.mkdir(self.saves)
            client.call("save")
        daemon.stop()

    def test_damaged_files(self):
        daemon = self.start()
        with daemon.client() as client:
            client.call("store", "a", b"x" * 200000)
            client.call("save")
        daemon.stop()
        with open(self.path("default.save"), "rb") as file:
            whole = file.read()
        heap = os.path.join(self.dir, "heap")
        chance = random.Random(4)
        places = [0, 8, 20, 100, 4096, 4100, len(whole) - 1] + [chance.randrange(4096, len(whole)) for _ in range(5)]
        for at in places:
            with open(self.path("bad"), "wb") as file:
                file.write(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
            line = self.refused_start("--heap", heap, "--load", self.path("bad"))
            self.assertIn("cannot be loaded", line)
            self.assertEqual([name for name in os.listdir(heap) if name != "lock"], [], at)
        for size in (0, 100, 4096, 30000, len(whole) - 1):
            with open(self.path("bad"), "wb") as file:
                file.write(whole[:size])
            self.assertIn("cannot be loaded", self.refused_start("--load", self.path("bad")))
        with open(self.path("bad"), "wb") as file:
            file.write(whole[:8] + bytes([9, 0, 0, 0]) + whole[12:])
        self.assertIn("format 9", self.refused_start("--load", self.path("bad")))
        self.assertIn("No such file", self.refused_start("--load", self.path("none")))

    def test_a_file_that_the_budget_has_no_room_for(self):
        """Is refused before it is read, so that it is cut off nobody has seen; with what the message says it is loaded."""
        heap = os.path.join(self.dir, "heap")
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "a", b"x" * (40 * MIB))
            client.call("save", "large")
        daemon.stop()
        self.start("--heap", heap, "--max-memory", "32m").stop()
        before = sorted(os.listdir(heap))
        shutil.copy(self.path("large"), self.path("cut"))
        os.truncate(self.path("cut"), os.path.getsize(self.path("cut")) - 1)
        for name in ("large", "cut"):
            line = self.refused_start("--heap", heap, "--load", self.path(name), "--max-memory", "32m")
            match = re.search(r"takes 40\.\d MiB, and all pools may have 28\.0 MiB; start with --max-memory (\d+m) or more", line)
            self.assertTrue(match, line)
            self.assertEqual(sorted(os.listdir(heap)), before)
        self.assertIn("cut off", self.refused_start("--load", self.path("cut"), "--max-memory", match[1]))
        after = self.start("--heap", heap, "--load", self.path("large"), "--max-memory", match[1])
        with after.client({"lease_ms": 0}) as client:
            self.assertEqual(client.call("fetch", "a"), b"x" * (40 * MIB))
            client.call("put", b"x" * MIB)
        after.stop()

    def test_what_was_nearly_full_is_loaded_within_the_same_budget(self):
        daemon = self.start("--max-memory", "32m")
        with daemon.client({"lease_ms": 0}) as client:
            for k in range(24):
                client.call("store", "n%d" % k, os.urandom(MIB))
            client.call("save")
        daemon.stop()
        after = self.start("--max-memory", "32m", "--load", self.path("default.save"))
        with after.client({"lease_ms": 0}) as client:
            self.assertEqual(client.call("stats", "names")["count"], 24)
        after.stop()

    def test_a_pool_that_takes_more_than_its_file(self):
        """Is refused once it is there, instead of being served without room for a single session."""
        heap = os.path.join(self.dir, "heap")
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "a", b"x" * (27 * MIB + MIB // 5))
            client.call("save", "full")
        daemon.stop()
        self.assertLess(os.path.getsize(self.path("full")) // 33 * 32, 28 * MIB)  # without the zeros between pieces
        load = ("--heap", heap, "--load", self.path("full"), "--max-memory")
        match = re.search(r"all pools may have 28\.0 MiB; start with --max-memory (\d+m) or more", self.refused_start(*load, "32m"))
        self.assertEqual([name for name in os.listdir(heap) if name != "lock"], [])
        after = self.start(*load, match[1])
        with after.client({"lease_ms": 0}) as client:
            client.call("put", b"x" * MIB)
        after.stop()

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small file system")
    def test_no_room(self):
        """In a mount namespace of its own: the folder is a tmpfs of 1 MiB."""
        os.mkdir(self.saves)
        wrap = ("unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=1m none %s && exec \"$@\"" % self.saves, "-")
        daemon = self.start(wrap=wrap)
        with daemon.client() as client:
            client.call("save", "small")
            client.call("store", "a", os.urandom(3 * MIB))
            self.assertIn("No space left", self.refused(client, "INTERNAL", "save", "large"))
            self.assertEqual(len(client.call("fetch", "a")), 3 * MIB)
            self.assertTrue(client.call("verify")["ok"])
            listed = os.listdir("/proc/%d/root%s" % (daemon.process.pid, self.saves))
            self.assertEqual(listed, ["small"], "what failed is removed, what was there stays")
            client.call("unname", "a")
            poll(lambda: client.reply("save", "small").error is None, "what was freed has gone back")
        daemon.stop()


class Held(SaveTest):
    """Making the file takes until the test lets it."""

    def setUp(self):
        super().setUp()
        assert os.path.exists(HOLD), "%s is missing: run `make check`, which builds it" % HOLD
        self.fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(self.fifo)
        env = {"LD_PRELOAD": HOLD, "HF_HOLD_NAMES": ".default.save.new", "HF_HOLD_FIFO": self.fifo}
        self.daemon = self.start("--workers", "1", program=RELEASE, env=env)
        self.saver, self.other = self.daemon.client(), self.daemon.client({"lease_ms": 0})
        self.addCleanup(self.saver.close)
        self.addCleanup(self.other.close)
        self.other.call("store", "a", "before")
        self.saver.request("save")
        poll(lambda: self.other.call("stats", "save")["running"], "the save begins")

    def go(self):
        os.close(os.open(self.fifo, os.O_WRONLY))

    def test_others_are_served_while_the_file_is_made(self):
        """All of them, and the instant is when it is there."""
        self.other.call("store", "a", "meanwhile")
        self.assertEqual(self.other.call("stats", "save")["percent"], 0)
        self.assertIn("running", self.refused(self.other, "BUSY", "save"))
        self.go()
        self.assertEqual(self.saver.recv().value()["file"], "default.save")
        after = self.start("--load", self.path("default.save"))
        with after.client({"lease_ms": 0}) as client:
            self.assertEqual(client.call("fetch", "a"), "meanwhile")
        after.stop()
        self.daemon.stop()

    def test_drained_while_the_file_is_made(self):
        self.daemon.terminate()
        self.other.wait_closed()  # the worker knows
        self.go()
        self.assertEqual(self.daemon.wait_exit(), 0)
        self.daemon.check_log()
        self.assertEqual(self.files(), [])


class Deaths(SaveTest):
    def test_killed_in_the_middle(self):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "old", b"o" * 1000)
            client.call("save")
            for k in range(40):
                client.call("store", "n%d" % k, os.urandom(MIB))
        client = daemon.client()
        client.request("save")
        poll(lambda: any(name.startswith(".default.save") for name in self.files()) or self.grown(), "the save begins")
        daemon.process.kill()
        daemon.process.wait()
        after = self.start("--load", self.path("default.save"))
        self.assertEqual(self.files(), ["default.save"], "leftovers are removed")
        with after.client() as client:
            self.assertEqual(client.call("fetch", "old"), b"o" * 1000)
        after.stop()

    def grown(self):
        return os.path.getsize(self.path("default.save")) > 10 * MIB

    def test_stopped_in_the_middle(self):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            for k in range(40):
                client.call("store", "n%d" % k, os.urandom(MIB))
            client.request("save")
            daemon.terminate()
            self.assertEqual(daemon.wait_exit(), 0)
        daemon.check_log()
        self.assertIn(self.files(), ([], ["default.save"]))

    def test_dropped_in_the_middle(self):
        daemon = self.start()
        with daemon.client() as admin:
            admin.call("pool_create", "other")
            with daemon.client({"pool": "other", "lease_ms": 0}) as client:
                for k in range(20):
                    client.call("store", "n%d" % k, os.urandom(MIB))
                client.request("save")
                poll(lambda: self.files() != [], "the save begins")
                admin.call("pool_drop", "other", {"force": True})
            admin.call("pool_create", "other")
            poll(lambda: not any(name.startswith(".") for name in self.files()), "it is gone")
        daemon.stop()


class Periodic(SaveTest):
    def test_by_themselves(self):
        daemon = self.start("--save-every", "1s", "--save-keep", "2", "--workers", "2")
        with daemon.client() as client:
            client.call("pool_create", "other")
            client.call("store", "a", 1)

            def of(pool):
                return [name for name in self.files() if name.startswith(pool + ".")]

            first = set()

            def enough():
                first.update(self.files())
                return all(len([n for n in first if n.startswith(p + ".2")]) >= 4 for p in ("default", "other"))

            poll(enough, "four saves of each pool")
            poll(lambda: len(of("default")) == 2 and len(of("other")) == 2, "two are kept")
            self.assertGreaterEqual(client.call("stats", "save")["done"], 3)
        daemon.stop()
        newest = [name for name in self.files() if name.startswith("default.")][-1]
        self.assertRegex(newest, r"^default\.\d{8}T\d{6}Z\.save$")
        after = self.start("--load", self.path(newest))
        with after.client() as client:
            self.assertEqual(client.call("fetch", "a"), 1)
        after.stop()

    def test_not_of_what_stands_in_for_a_pool(self):
        """While `default` is being recovered and others are served already (those that were read before it), there is nothing of
        it to be saved."""
        heap = ("--heap", os.path.join(self.dir, "heap"), "--workers", "2")
        daemon = self.start(*heap)
        with daemon.client({"lease_ms": LEASE_MS}) as client:
            for k in range(8):
                client.call("pool_create", "p%d" % k)
            for _ in range(300):
                client.call("put_many", [["x"]] * 1000)
        daemon.stop()
        after = self.start(*heap, "--save-every", "366d")
        self.assertEqual(self.files(), [])
        self.assertNotIn("event=save", after.stderr())
        after.stop()

    def test_failures_are_told(self):
        daemon = self.start("--save-every", "1s")
        shutil.rmtree(self.saves)
        daemon.wait_line("event=save_failed")
        with daemon.client() as client:
            self.assertGreaterEqual(client.call("stats", "save")["failed"], 1)
        os.mkdir(self.saves)
        daemon.wait_line("event=saved")
        daemon.stop()


class Reloaded(SaveTest):
    """What the section `save` says may change while the daemon runs."""

    def setUp(self):
        super().setUp()
        self.conf = os.path.join(self.dir, "holdfast.conf")
        self.other = os.path.join(self.dir, "other")

    def write(self, **values):
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write("[save]\n" + "".join("save-%s = %s\n" % pair for pair in values.items()))

    def begin(self, *args, **values):
        self.write(**values)
        daemon = Daemon("--config", self.conf, *args, tcp=False).start()
        self.addCleanup(daemon.kill)
        return daemon

    def reload(self, daemon, says="event=reloaded", **values):
        self.write(**values)
        said = daemon.stderr().count(says)
        daemon.process.send_signal(signal.SIGHUP)
        poll(lambda: daemon.stderr().count(says) > said, "the daemon says that it has read the file")

    @staticmethod
    def of(folder, pool):
        return sorted(name for name in os.listdir(folder) if re.fullmatch(pool + r"\.\d{8}T\d{6}Z\.save", name))

    def test_a_folder_comes_changes_and_goes(self):
        daemon = self.begin()
        with daemon.client({"lease_ms": 0}) as client:
            self.refused(client, "NOPERM", "save")
            client.call("store", "a", 1)
            self.reload(daemon, dir=self.saves)
            client.call("save", "first")
            self.reload(daemon, dir=self.other)
            client.call("save", "second")
            self.assertEqual((self.files(), os.listdir(self.other)), (["first"], ["second"]))
            self.assertEqual(client.code("load", "first", {"pool": "b"}), "NOTFOUND")
            client.call("load", "second", {"pool": "b"})
            self.reload(daemon)
            self.refused(client, "NOPERM", "save")
            self.assertEqual(client.code("load", "second", {"pool": "c"}), "NOPERM")
        daemon.stop()

    def test_what_was_interrupted_there_is_removed(self):
        os.mkdir(self.other)
        with open(os.path.join(self.other, ".x.save.new"), "wb"):
            pass
        daemon = self.begin(dir=self.saves)
        self.reload(daemon, dir=self.other)
        self.assertEqual(os.listdir(self.other), [])
        self.assertIn("event=leftover_removed file=%s/.x.save.new" % self.other, daemon.stderr())
        daemon.stop()

    def test_a_folder_that_cannot_be_used(self):
        """Is said each time, and the one there is goes on; once it can be, a reload takes it."""
        with open(self.other, "wb"):
            pass
        daemon = self.begin(dir=self.saves)
        with daemon.client() as client:
            for count in (1, 2):
                self.reload(daemon, dir=self.other)
                self.assertEqual(daemon.stderr().count("event=not_changed option=save-dir"), count)
                self.assertIn("Not a directory", daemon.stderr())
                client.call("save", "s%d" % count)
            self.assertEqual(self.files(), ["s1", "s2"])
            os.remove(self.other)
            self.reload(daemon, dir=self.other)
            client.call("save", "s3")
            self.assertEqual(os.listdir(self.other), ["s3"])
        daemon.stop()

    def test_a_save_ends_in_the_folder_it_began_in(self):
        daemon = self.begin(dir=self.saves)
        with daemon.client({"lease_ms": 0}) as client:
            for k in range(20):
                client.call("store", "n%d" % k, os.urandom(MIB))
            client.request("save", "x")
            poll(lambda: self.files() != [], "the save begins")
            self.reload(daemon, dir=self.other)
            self.assertEqual(client.recv().error, None)
            self.assertEqual((self.files(), os.listdir(self.other)), (["x"], []))
        daemon.stop()

    def test_how_often_and_how_many(self):
        daemon = self.begin("--workers", "2", dir=self.saves, every="366d", keep=5)
        with daemon.client() as client:
            client.call("pool_create", "other")
            self.assertEqual(self.files(), [])
            self.reload(daemon, dir=self.saves, every="1s", keep=5)
            for pool in ("default", "other"):
                poll(lambda: len(self.of(self.saves, pool)) >= 3, "three saves of %s are kept" % pool)
            self.reload(daemon, dir=self.saves, every="1s", keep=1)
            for pool in ("default", "other"):
                poll(lambda: len(self.of(self.saves, pool)) == 1, "one of %s is kept" % pool)
            self.reload(daemon, dir=self.other, every="1s", keep=1)
            poll(lambda: self.of(self.other, "default") and self.of(self.other, "other"), "they come elsewhere")
            for line in ('save-every from="366d" to="1s"', 'save-keep from="5" to="1"'):
                self.assertIn("event=changed option=" + line, daemon.stderr())
        daemon.stop()

    def test_a_reload_postpones_nothing(self):
        """Each time another folder and the same period: what is due stays due. (The pool that is always there is due first in a
        period, at its very beginning.)"""
        daemon = self.begin(dir=self.saves, every="1s")
        folders = itertools.cycle((self.other, self.saves))
        with daemon.client() as client:
            client.call("pool_create", "later")

            def is_saved():
                folder = next(folders)
                self.reload(daemon, dir=folder, every="1s")
                return self.of(folder, "later")
            poll(is_saved, "saves, though there are many reloads within a period")
        daemon.stop()

    def test_never_again(self):
        """With a folder and without; what is waited for would be three more of them."""
        for off in ({"dir": self.saves, "every": "never"}, {}):
            daemon = self.begin(dir=self.saves, every="1s")
            daemon.wait_line("event=saved")
            self.reload(daemon, **off)
            with daemon.client() as client:
                poll(lambda: not client.call("stats", "save")["running"], "what was under way is over")
                before, end = client.call("stats", "save"), time.monotonic() + 3
                while time.monotonic() < end:
                    after = client.call("stats", "save")
                self.assertEqual((after["done"], after["failed"]), (before["done"], 0))
                self.reload(daemon, dir=self.saves, every="1s")
                poll(lambda: client.call("stats", "save")["done"] > after["done"], "again")
            daemon.stop()
            shutil.rmtree(self.saves)

    def test_periodic_ones_want_a_folder(self):
        """At the start, when it is only asked, and in a reload, which changes nothing then."""
        fault = "save-every '1s' saves nothing without a folder; give save-dir, too, or never here"
        self.write(every="1s")
        for args in (("--config", self.conf), ("--config", self.conf, "--check-config"), ("--save-every", "1s")):
            self.assertIn(fault, self.refused_start(*args, status=2))
        daemon = self.begin(dir=self.saves, every="1s")
        self.reload(daemon, says="event=not_reloaded", every="1s")
        self.assertIn("event=config file=%s line=2 msg=\"%s\"" % (self.conf, fault), daemon.stderr())
        with daemon.client() as client:
            before = client.call("stats", "save")["done"]
            poll(lambda: client.call("stats", "save")["done"] > before, "they go on")
        daemon.stop()

    def test_while_everyone_saves(self):
        """Two folders in turns, under saves, loads and periodic saves of two workers: each save is whole, in one of them."""
        daemon = self.begin("--workers", "2", dir=self.saves, every="1s", keep=1)
        ended = threading.Event()
        done = []

        def code_of(reply):
            return None if reply.error is None else reply.exception().code

        def work(pool):
            with daemon.client({"pool": pool, "lease_ms": 0}) as client:
                client.call("store", "a", os.urandom(MIB))
                while not ended.is_set():
                    code = code_of(client.reply("save", "mine." + pool))
                    done.append(code)
                    self.assertIn(code, (None, "BUSY", "NOPERM"))
                    code = code_of(client.reply("load", "mine." + pool, {"pool": "copy." + pool}))
                    self.assertIn(code, (None, "NOTFOUND", "NOPERM"))
                    if code is None:
                        client.call("pool_drop", "copy." + pool, {"force": True})

        with daemon.client() as client:
            client.call("pool_create", "other")
        threads = [threading.Thread(target=work, args=(pool,)) for pool in ("default", "other")]
        for thread in threads:
            thread.start()
        turns = 0
        while turns < 30 or done.count(None) < 10:
            turns += 1
            folder = {"dir": (self.saves, self.other)[turns % 2], "every": "%ds" % (1 + turns % 2)}
            self.reload(daemon, keep=1 + turns % 3, **(folder if turns % 5 else {}))
            if not all(thread.is_alive() for thread in threads):
                break
        ended.set()
        for thread in threads:
            thread.join()
        self.assertGreaterEqual(done.count(None), 10)
        failed = [line for line in daemon.lines if re.search("save_failed pool=(default|other) ", line)]
        daemon.stop()  # which may end one that is under way
        self.assertEqual(failed, [])
        for folder in (self.saves, self.other):
            self.assertEqual([name for name in os.listdir(folder) if name.startswith(".")], [])


if __name__ == "__main__":
    unittest.main()
