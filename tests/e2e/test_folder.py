#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Pools in a folder of files: what outlives the daemon, who may work there, what is refused and kept, and what deaths in
the middle of making or dropping a pool leave."""
import os
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import RELEASE, Daemon  # noqa: E402
from folder import FolderTest, end, hot_entries, kill, read  # noqa: E402
from rpc import Closed, poll  # noqa: E402
import outlives  # noqa: E402

KILL_AT = os.path.join(os.path.dirname(RELEASE), "tests", "preload", "kill_at.so")
LEASE_MS = outlives.LEASE_MS
MIB = 1 << 20


class Outlives(FolderTest):
    def run_through(self, stop):
        daemon = self.start()
        had = outlives.fill(daemon.client)
        stop(daemon)
        again = self.start()
        self.assertRegex("\n".join(again.lines), r"event=recovered pool=default worker=0 objects=\d+ names=2 sessions=1 ")
        outlives.check(self, again.client, had)
        for client in had["clients"]:
            client.close()
        again.stop()

    def test_a_clean_end(self):
        self.run_through(end)

    def test_a_kill(self):
        self.run_through(kill)

    def test_an_end_at_once(self):
        def twice(daemon):
            daemon.terminate()
            daemon.process.send_signal(signal.SIGINT)
            daemon.wait_exit()
            daemon.kill()
        self.run_through(twice)

    def test_many_starts(self):
        names = {}
        for k in range(6):
            daemon = self.start()
            with daemon.client({"lease_ms": 0}) as client:
                for name, value in names.items():
                    self.assertEqual(client.call("fetch", name), value)
                names["n%d" % k] = "v" * (1000 * k)
                client.call("store", "n%d" % k, names["n%d" % k])
                for _ in range(200):
                    client.call("put", "garbage" * 50)
            (kill if k % 2 else end)(daemon)

    def test_leases_run_from_the_start(self):
        daemon = self.start()
        short = daemon.client({"lease_ms": 200})
        held = short.call("put", "held")
        long = daemon.client({"lease_ms": LEASE_MS})
        kept = long.call("put", "kept")
        kill(daemon)
        again = self.start()
        with again.client() as client:
            poll(lambda: (client.reply("inspect", held).error or "").startswith("GONE"), "its lease ends")
            self.assertEqual(client.call("get", kept), "kept")
            error = again.client
            self.assertRaises(Exception, error, {"session": short.hello_result["session"]})
        again.stop()
        short.close()
        long.close()

    def test_tickets_expire_over_a_restart(self):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            obj = client.call("put", "x")
            client.call("share", obj, {"ttl_ms": 1})
            other = client.call("share", client.call("put", "y"), {"ttl_ms": LEASE_MS})
        kill(daemon)
        again = self.start()
        with again.client() as client:
            poll(lambda: (client.reply("inspect", obj).error or "").startswith("GONE"), "the ticket ends, and its object")
            self.assertEqual(client.call("get", client.call("claim", other)), "y")
        again.stop()


class OutlivesInMemory(Outlives):
    base = "/dev/shm"


class Pools(FolderTest):
    def test_files_and_modes(self):
        daemon = self.start()
        self.assertIn("event=heap_made", daemon.stderr())
        self.assertEqual(stat.S_IMODE(os.stat(self.heap).st_mode), 0o700)
        with daemon.client() as client:
            client.call("pool_create", "jobs")
            self.assertEqual(self.files(), ["default.meta", "default.values", "jobs.meta", "jobs.values", "lock"])
            for name in self.files():
                self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), 0o600, name)
            client.call("pool_drop", "jobs")
            self.assertEqual(self.files(), ["default.meta", "default.values", "lock"])
        daemon.stop()

    def test_a_dropped_name_is_free_at_once(self):
        daemon = self.start()
        with daemon.client() as client:
            for k in range(5):
                client.call("pool_create", "jobs")
                with daemon.client({"pool": "jobs", "lease_ms": 0}) as user:
                    user.call("store", "big", os.urandom(8 * MIB))
                    self.assertEqual(user.call("names", 0)[1][0][0], "big")
                client.call("pool_drop", "jobs", {"force": True})
            client.call("pool_create", "jobs")
        kill(daemon)
        again = self.start()
        with again.client({"pool": "jobs"}) as client:
            self.assertEqual(client.call("names", 0), [0, []])
        again.stop()

    def test_pools_come_back_with_limits_numbers_and_sessions(self):
        daemon = self.start()
        sessions = {}
        with daemon.client() as client:
            client.call("pool_create", "small", {"max_bytes": 20 * MIB})
            client.call("pool_create", "gone")
            client.call("pool_create", "last")
            for pool in ("small", "gone", "last", "default"):
                with daemon.client({"pool": pool, "lease_ms": LEASE_MS}) as user:
                    user.call("store", "n", pool)
                    sessions[pool] = user.hello_result
            client.call("pool_drop", "gone", {"force": True})
            epochs = {row["name"]: row["epoch"] for row in client.call("pools")}
        kill(daemon)
        again = self.start("--workers", "3")
        with again.client({"lease_ms": 0}) as client:
            self.assertEqual({row["name"]: row["epoch"] for row in client.call("pools")}, epochs)
            self.assertEqual({row["name"]: row["limit"] for row in client.call("pools")}["small"], 20 * MIB)
            for pool in ("small", "last", "default"):
                with again.client({"session": sessions[pool]["session"]}) as user:
                    self.assertEqual(user.hello_result["pool"], pool)
                    self.assertEqual(user.call("fetch", "n"), pool)
            client.call("pool_create", "new")
            with again.client({"pool": "new", "lease_ms": LEASE_MS}) as user:
                numbers = [hello["sid"] >> 32 for hello in list(sessions.values()) + [user.hello_result]]
                self.assertEqual(len(set(numbers)), 5, numbers)
        again.stop()

    def test_a_limit_of_the_daemon_is_followed(self):
        for limit in (64, 128, 32):
            daemon = self.start("--max-memory", "%dM" % limit)
            with daemon.client({"lease_ms": 0}) as client:
                self.assertEqual(client.call("pools")[0]["limit"], limit * MIB)
            kill(daemon)

    def test_default_is_made_if_it_is_missing(self):
        daemon = self.start("--workers", "2")
        with daemon.client() as client:
            client.call("pool_create", "jobs")
        daemon.stop()
        os.unlink(self.path("default.meta"))
        os.unlink(self.path("default.values"))
        again = self.start("--workers", "2")
        with again.client() as client:
            self.assertEqual({row["name"] for row in client.call("pools")}, {"default", "jobs"})
            client.call("put", 1)
        again.stop()

    def test_a_pool_of_another_folder(self):
        # Both have a pool `jobs` of number 1; the one that is copied in comes second.
        daemon = self.start()
        with daemon.client() as client:
            client.call("pool_create", "jobs")
            with daemon.client({"pool": "jobs", "lease_ms": LEASE_MS}) as user:
                user.call("store", "mine", "kept")
                session = user.hello_result["session"]
        daemon.stop()
        home, self.heap = self.heap, os.path.join(self.dir, "other")
        daemon = self.start()
        with daemon.client() as client:
            client.call("pool_create", "more")
            with daemon.client({"pool": "more", "lease_ms": LEASE_MS}) as user:
                stored = user.call("store", "theirs", [1, 2])
        daemon.stop()
        for end_ in (".meta", ".values"):
            subprocess.run(["cp", self.path("more" + end_), home], check=True)
        self.heap = home
        again = self.start()
        self.assertRegex(again.stderr(), r"event=renumbered pool=more from=1 to=2 sessions_ended=1 ")
        with again.client({"session": session}) as user:
            self.assertEqual((user.hello_result["pool"], user.call("fetch", "mine")), ("jobs", "kept"))
        with again.client({"pool": "more", "lease_ms": LEASE_MS}) as user:
            self.assertEqual(user.call("fetch", "theirs"), [1, 2])
            self.assertEqual(user.call("lookup", "theirs"), stored[0])
            self.assertEqual(user.hello_result["sid"] >> 32, 2)
        kill(again)
        third = self.start()
        self.assertNotIn("event=renumbered", third.stderr())
        third.stop()


class Crowd(FolderTest):
    """Many clients make, use and drop pools on several workers when the daemon is killed; what was answered is true."""

    answered = 0  # calls, about

    def work(self, daemon, number, known):
        """known: pools of this client, each with what it must and what it may hold under the name `n`."""
        dice = random.Random(number)
        k = 0
        try:
            with daemon.client({"lease_ms": 0}) as client:
                while True:
                    k += 1
                    self.answered += 1
                    pool = "p%d.%d" % (number, dice.randrange(3))
                    if pool not in known:
                        known[pool] = None, None
                        client.call("pool_create", pool)
                        known[pool] = (None,)
                    elif dice.random() < 0.3:
                        known[pool] += ("dropped",)
                        client.call("pool_drop", pool, {"force": True})
                        del known[pool]
                    else:
                        value = "%d %d " % (number, k) + "x" * dice.choice((1, 100, 20000, 400000))
                        known[pool] += (value,)
                        with daemon.client({"pool": pool, "lease_ms": 0}) as user:
                            user.call("store", "n", value)
                        known[pool] = (value,)
        except (Closed, ConnectionError):
            pass

    def check(self, daemon, known):
        with daemon.client() as client:
            pools = {row["name"] for row in client.call("pools")}
            for pool, values in known.items():
                if pool not in pools:
                    self.assertIn(values[-1], ("dropped", None), "a pool is gone that nobody dropped")
                    continue
                with daemon.client({"pool": pool, "lease_ms": 0}) as user:
                    reply = user.reply("fetch", "n")
                    self.assertIn(reply.result, values)
                    self.assertEqual(user.call("verify")["findings"], [])
            self.assertEqual(pools - set(known), {"default"})
            names = [name + end_ for name in pools for end_ in (".meta", ".values")]
            self.assertEqual(self.files(), sorted(names + ["lock"]))

    def test_kills(self):
        dice = random.Random(3)
        known = [{} for _ in range(4)]
        for _ in range(6):
            daemon = self.start("--workers", "3", "--max-memory", "1G")
            self.check(daemon, {pool: values for one in known for pool, values in one.items()})
            for one in known:
                with daemon.client() as client:
                    there = {row["name"] for row in client.call("pools")}
                for pool in list(one):
                    if pool not in there:
                        del one[pool]
                        continue
                    with daemon.client({"pool": pool, "lease_ms": 0}) as user:
                        one[pool] = (user.reply("fetch", "n").result,)
            threads = [threading.Thread(target=self.work, args=(daemon, k, known[k])) for k in range(4)]
            for thread in threads:
                thread.start()
            enough = self.answered + dice.randrange(5, 200)
            poll(lambda: self.answered >= enough, "pools come and go")
            kill(daemon)
            for thread in threads:
                thread.join()
        self.start("--workers", "3", "--max-memory", "1G").stop()


class Copies(FolderTest):
    """Images are sparse files; programs copy such in several ways."""

    def copied(self, *command):
        daemon = self.start("--max-memory", "16M")
        values = [bytes(k) for k in (1, 1000, 5000, 20000, 300000)]
        with daemon.client({"lease_ms": 0}) as client:
            ids = [client.call("store", "n%d" % k, value)[0] for k, value in enumerate(values)]
            client.call("store", "list", client.call("put", "list", {"refs": ids + [None] * 5000}))
        daemon.stop()
        copy = os.path.join(self.dir, "copy")
        os.mkdir(copy)
        for name in ("default.meta", "default.values"):
            subprocess.run([*command, self.path(name), os.path.join(copy, name)], check=True)
        self.heap = copy
        again = self.start("--max-memory", "16M")
        with again.client({"lease_ms": 0}) as client:
            for k, value in enumerate(values):
                self.assertEqual(client.call("fetch", "n%d" % k), value)
            self.assertEqual(client.call("verify")["findings"], [])
            # nothing that should be room is taken for something else
            kept = []
            while True:
                reply = client.reply("put", b"x" * 3000)
                if reply.error is not None:
                    break
                kept.append(reply.result)
            self.assertEqual(reply.exception().code, "OOM")
            self.assertGreater(len(kept), 2000)
            self.assertEqual(client.call("verify")["findings"], [])
        again.stop()

    def test_with_holes(self):
        self.copied("cp", "--sparse=auto")

    def test_with_holes_wherever_there_are_zeros(self):
        self.copied("cp", "--sparse=always")

    def test_without_holes(self):
        self.copied("cp", "--sparse=never")
        blocks = sum(os.stat(self.path(name)).st_blocks * 512 for name in self.files())
        self.assertLess(blocks, 24 * MIB, "what was no hole in the copy has been given back")


class CopiesInMemory(Copies):
    base = "/dev/shm"


class Lock(FolderTest):
    def test_a_second_daemon_is_refused_by_name_and_pid(self):
        first = self.start()
        text = "holdfastd %d\n" % first.process.pid
        with first.client() as client:
            obj = client.call("put", "x")
            for _ in range(2):
                self.assertEqual(read(self.path("lock")).decode(), text)
                self.refused("%s is in use by holdfastd (pid %d)" % (self.heap, first.process.pid), "--heap")
            self.assertEqual(client.call("get", obj), "x")
        first.stop()
        again = self.start()
        self.assertEqual(read(self.path("lock")).decode(), "holdfastd %d\n" % again.process.pid)
        again.stop()

    def test_the_lock_of_a_dead_daemon_is_no_obstacle(self):
        kill(self.start())
        self.assertTrue(os.path.exists(self.path("lock")))
        self.start().stop()

    def test_a_lock_file_that_was_removed(self):
        first = self.start()
        os.unlink(self.path("lock"))
        self.refused("default.meta is in use by another process")
        first.stop()

    def test_folders_that_cannot_be(self):
        missing = self.heap
        self.heap = os.path.join(missing, "deeper")
        self.refused(self.heap, "No such file or directory")
        with open(missing, "w", encoding="ascii"):
            pass
        self.heap = missing
        self.refused(self.heap, "Not a directory")


class Refused(FolderTest):
    """Whatever cannot be understood is kept, byte for byte, and the daemon does not start."""

    def filled(self, *pools):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            for pool in pools:
                client.call("pool_create", pool)
                with daemon.client({"pool": pool, "lease_ms": LEASE_MS}) as user:
                    user.call("store", "a", "value of a")
                    user.call("store", "b", [1, 2, 3])
                    user.call("put", "held", {"refs": [user.call("lookup", "a")], "tag": "t"})
        daemon.stop()

    def damage(self, name, at, data):
        with open(self.path(name), "r+b") as file:
            file.seek(at)
            file.write(data)

    def refused_and_kept(self, pool, *words):
        before = self.state(pool)
        self.refused(*words)
        self.assertEqual(self.state(pool), before)

    def test_a_damaged_pool(self):
        self.filled("jobs", "other")
        hot_at = hot_entries(self.path("jobs.meta"))
        with open(self.path("jobs.meta"), "rb") as file:
            file.seek(hot_at + 32)
            old = file.read(8)
        self.damage("jobs.meta", hot_at + 32, b"\xff" * 8)
        for _ in range(2):
            self.refused_and_kept("jobs", "pool jobs", "is damaged: object 1: ", "holdfast verify " + self.heap,
                                  "move jobs.meta and jobs.values to another folder")
        for name in ("jobs.meta", "jobs.values"):
            os.rename(self.path(name), os.path.join(self.dir, name))
        daemon = self.start()
        with daemon.client() as client:
            self.assertEqual({row["name"] for row in client.call("pools")}, {"default", "other"})
        daemon.stop()
        for name in ("jobs.meta", "jobs.values"):
            os.rename(os.path.join(self.dir, name), self.path(name))
        self.damage("jobs.meta", hot_at + 32, old)
        daemon = self.start()
        with daemon.client({"pool": "jobs"}) as client:
            self.assertEqual(client.call("fetch", "a"), "value of a")
            self.assertEqual(client.call("verify")["findings"], [])
        daemon.stop()

    def test_no_image(self):
        self.filled("jobs")
        self.damage("jobs.meta", 0, b"nonsense")
        self.refused_and_kept("jobs", "pool jobs", "the magic number is missing")
        os.truncate(self.path("jobs.meta"), 100)
        self.refused_and_kept("jobs", "pool jobs", "the file is too short")
        os.truncate(self.path("jobs.meta"), 0)
        self.refused_and_kept("jobs", "pool jobs", "the file is too short")

    def test_values_that_are_missing(self):
        self.filled("jobs")
        os.truncate(self.path("jobs.values"), 0)
        self.refused_and_kept("jobs", "pool jobs", "its value's block is not its own")
        os.unlink(self.path("jobs.values"))
        self.refused_and_kept("jobs", "pool jobs: ", "jobs.values is missing", "move jobs.meta away")

    def test_meta_that_is_missing(self):
        self.filled("jobs")
        os.unlink(self.path("jobs.meta"))
        self.refused_and_kept("jobs", "pool jobs: ", "jobs.meta is missing", "move jobs.values away")

    def test_an_image_under_another_name(self):
        self.filled("jobs")
        for end_ in (".meta", ".values"):
            os.rename(self.path("jobs" + end_), self.path("tasks" + end_))
        self.refused_and_kept("tasks", "tasks.meta is the image of pool jobs")

    def test_a_refused_start_removes_no_leftovers(self):
        self.filled("jobs")
        os.unlink(self.path("jobs.meta"))
        for name in (".x.meta.new", ".x.values.new"):
            with open(self.path(name), "wb"):
                pass
        self.refused_and_kept("", "jobs.meta is missing")

    def test_files_of_others_are_left_alone(self):
        self.filled("jobs")
        for name in ("README", "default.meta.bak", "JOBS.meta"):
            with open(self.path(name), "w", encoding="ascii") as file:
                file.write("precious")
        os.mkdir(self.path("lost+found"))
        daemon = self.start()
        self.assertRegex(daemon.stderr(), r"event=odd_file file=\S+/JOBS\.meta ")
        daemon.stop()
        for name in ("README", "default.meta.bak", "JOBS.meta"):
            self.assertEqual(read(self.path(name)), b"precious")


class Interrupted(FolderTest):
    """SIGKILL before each change of the folder while a pool is made or dropped, and while a start cleans up."""

    def killed_at(self, n):
        return self.start(program=RELEASE, env={"LD_PRELOAD": KILL_AT, "HF_KILL_FILE": "jobs", "HF_KILL_AT": str(n)})

    def survives(self, daemon, method, *params):
        """Whether the daemon lives through the call."""
        try:
            with daemon.client() as client:
                client.call(method, *params)
        except Closed:
            self.assertEqual(daemon.process.wait(30), -signal.SIGKILL)
            daemon.kill()
            return False
        return True

    def clean_start(self, expected):
        """A start after a death; how many files it removed."""
        daemon = self.start()
        with daemon.client() as client:
            pools = {row["name"] for row in client.call("pools")}
            self.assertIn("jobs" in pools, expected)
            names = ["default.meta", "default.values", "lock"]
            if "jobs" in pools:
                names += ["jobs.meta", "jobs.values"]
                with daemon.client({"pool": "jobs", "lease_ms": 0}) as user:
                    self.assertEqual(user.call("verify")["findings"], [])
            self.assertEqual(self.files(), sorted(names))
        removed = len(re.findall(r"event=leftover_removed", daemon.stderr()))
        daemon.stop()
        return "jobs" in pools, removed

    def test_making(self):
        assert os.path.exists(KILL_AT), "%s is missing: run `make check`, which builds it" % KILL_AT
        removed = 0
        # two unlinks of what may be left, two files made, two names given
        for n in range(1, 100):
            daemon = self.killed_at(n)
            if self.survives(daemon, "pool_create", "jobs"):
                break
            exists, count = self.clean_start((False,))
            removed += count
        self.assertEqual(n, 7)
        kill(daemon)
        self.assertEqual(self.clean_start((True,)), (True, 0))
        self.assertEqual(removed, 0 + 0 + 0 + 1 + 2 + 2)

    def test_dropping(self):
        outcomes = []
        for n in range(1, 100):
            daemon = self.start()
            with daemon.client() as client:
                if "jobs" not in {row["name"] for row in client.call("pools")}:
                    client.call("pool_create", "jobs")
                with daemon.client({"pool": "jobs", "lease_ms": 0}) as user:
                    user.call("store", "n", "v" * 100000)
            daemon.stop()
            daemon = self.killed_at(n)
            if self.survives(daemon, "pool_drop", "jobs", {"force": True}):
                break
            outcomes.append(self.clean_start((True, False)))
        kill(daemon)
        self.assertEqual(outcomes, [(True, 0), (False, 2), (False, 1)])
        self.assertEqual(self.clean_start((False,)), (False, 0))

    def test_cleaning_up(self):
        # What each death in the middle of making or dropping leaves, cleaned up by starts that are killed too.
        for left in ((".jobs.values.new",), (".jobs.values.new", ".jobs.meta.new"), ("jobs.values", ".jobs.meta.new"),
                     ("jobs.values", ".jobs.meta.old"), (".jobs.meta.old",)):
            for n in range(1, 10):
                os.makedirs(self.heap, exist_ok=True)
                for name in left:
                    with open(self.path(name), "wb"):
                        pass
                daemon = Daemon("--heap", self.heap, tcp=False, program=RELEASE,
                                env={"LD_PRELOAD": KILL_AT, "HF_KILL_FILE": "jobs", "HF_KILL_AT": str(n)})
                try:
                    daemon.start()
                except AssertionError:
                    self.assertEqual(daemon.process.returncode, -signal.SIGKILL)
                    self.clean_start((False,))
                    continue
                daemon.stop()
                break
            self.assertEqual(n, len(left) + 1, left)


if __name__ == "__main__":
    unittest.main()
