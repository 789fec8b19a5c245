#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Pools in memory that systemd's fd store keeps, with a test in systemd's place: what is given to it and when, what comes
back, what is refused and kept on, and what is served while pools are being recovered. A real systemd is in
test_restart.py."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import outlives  # noqa: E402
from daemon import RELEASE  # noqa: E402
from folder import data_of, end, hot_entries, kill  # noqa: E402
from rpc import Client, RpcError, poll  # noqa: E402
from store import Store  # noqa: E402

HOLD = os.path.join(os.path.dirname(RELEASE), "tests", "preload", "hold_thread.so")
HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(os.path.dirname(RELEASE), "holdfast")
DEFAULT = {"pool-default": 2}
MIB = 1 << 20


class KeptTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.store = Store(self.dir)
        self.addCleanup(self.store.close)

    def start(self, *args, **options):
        daemon = self.store.daemon(*args, **options)
        self.addCleanup(daemon.kill)
        return daemon.start()

    def refused(self, *words, args=(), name=None):
        """The daemon does not start; its log says all of `words`, and so does its status. Nothing kept (of that name) has
        changed."""
        before = self.state(name)
        daemon = self.store.daemon(*args, unix=False)
        self.addCleanup(daemon.kill)
        daemon.args += ["--listen", "unix:" + os.path.join(self.dir, "s")]
        daemon.start()
        self.assertEqual(daemon.wait_exit(), 1, daemon.stderr())
        daemon.check_log()
        for word in ("level=error", "event=not_started") + words:
            self.assertIn(word, daemon.lines[-1])
        poll(lambda: self.store.said and self.store.said[-1].startswith("STATUS=not started: "), "the status says why")
        self.assertEqual(self.state(name), before)

    def state(self, only=None):
        return sorted((name, data_of("/proc/%d/fd/%d" % (os.getpid(), fd))) for name, fd in self.store.kept
                      if only in (None, name))


class Keeps(KeptTest):
    def test_all_is_there_however_it_ends(self):
        for stop in (kill, end, self.end_at_once):
            daemon = self.start()
            had = outlives.fill(daemon.client)
            self.assertEqual(self.store.names(), DEFAULT)
            stop(daemon)
            again = self.start()
            self.assertRegex(again.stderr(), r"event=kept descriptors=2 ")
            self.assertRegex(again.stderr(), r"event=recovered pool=default worker=0 objects=\d+ names=2 sessions=1 ")
            outlives.check(self, again.client, had)
            for client in had["clients"]:
                client.close()
            again.stop()
            self.assertEqual(self.store.names(), DEFAULT)
            for fd in self.store.fds("pool-default"):
                self.store.remove(fd)

    @staticmethod
    def end_at_once(daemon):
        daemon.terminate()
        daemon.process.send_signal(signal.SIGINT)
        daemon.wait_exit()
        daemon.kill()

    def test_a_pool_is_kept_before_anybody_knows_of_it_until_it_is_dropped(self):
        daemon = self.start("--workers", "3")
        with daemon.client() as client:
            for name in ("a", "b", "c.d_e-f"):
                client.call("pool_create", name)
                self.store.wait_names(dict(self.store.names(), **{"pool-" + name: 2}))
            for name in ("a", "b", "c.d_e-f"):
                with daemon.client({"pool": name}) as other:
                    other.call("store", "k", name)
            client.call("pool_drop", "b", {"force": True})
            self.store.wait_names({"pool-default": 2, "pool-a": 2, "pool-c.d_e-f": 2})
        kill(daemon)
        again = self.start("--workers", "2")
        with again.client() as client:
            self.assertEqual(sorted(row["name"] for row in client.call("pools")), ["a", "c.d_e-f", "default"])
            client.call("pool_create", "b")
        for name in ("a", "c.d_e-f"):
            with again.client({"pool": name}) as other:
                self.assertEqual(other.call("fetch", "k"), name)
        with again.client({"pool": "b"}) as other:
            self.assertEqual(other.code("fetch", "k"), "NOTFOUND")
        again.stop()

    def test_a_pool_from_a_saved_file_is_kept_too(self):
        saves = os.path.join(self.dir, "saves")
        daemon = self.start("--save-dir", saves)
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "k", "saved")
            client.call("save")
            client.call("unname", "k")
        kill(daemon)
        load = ("--load", os.path.join(saves, "default.save"))
        daemon = self.start(*load)  # what is there is empty again, and gives way
        with daemon.client({"lease_ms": 0}) as client:
            self.assertEqual(client.call("fetch", "k"), "saved")
        self.store.wait_names(DEFAULT)
        kill(daemon)
        self.refused("the pool default is there already", args=load, name="none")
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            self.assertEqual(client.call("fetch", "k"), "saved")
        daemon.stop()

    def test_only_one_process_works_in_them(self):
        first = self.start()
        self.refused("pool default", "another process works in it")
        with first.client() as client:
            client.call("ping")
        first.stop()

    def test_leases_stand_still_while_there_is_no_daemon(self):
        lease_ms = 3000
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(os.path.join(self.dir, "listening"))
        listening.listen()
        daemon = self.start(sockets=[listening])
        client = Client(os.path.join(self.dir, "listening"), {"lease_ms": lease_ms})
        held = client.call("put", "held")
        key = client.hello_result["session"]
        client.close()
        kill(daemon)
        ended = time.monotonic()
        poll(lambda: time.monotonic() - ended > lease_ms / 1000 + 0.2, "the lease would be over")
        waiting = socket.socket(socket.AF_UNIX)  # it is in the backlog before there is a daemon
        self.addCleanup(waiting.close)
        waiting.connect(os.path.join(self.dir, "listening"))
        again = self.start(sockets=[listening])
        with Client(os.path.join(self.dir, "listening"), {"session": key}) as client:
            self.assertEqual(client.call("get", held), "held")
        again.stop()


class Odd(KeptTest):
    """What cannot be understood is refused, and kept as it is."""

    def setUp(self):
        super().setUp()
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            client.call("pool_create", "jobs")
            client.call("store", "k", "v" * 100)
            with daemon.client({"pool": "jobs", "lease_ms": 0}) as other:
                other.call("store", "k", "w" * 100)
        self.store.wait_names({"pool-default": 2, "pool-jobs": 2})
        kill(daemon)
        self.aside = os.path.join(self.dir, "aside")

    def damage(self, pool):
        """A form of value that is none, in the first object that there is."""
        meta = self.store.file(pool, ".meta")
        with open(meta, "r+b", buffering=0) as file:
            file.seek(hot_entries(meta) + 32)
            w0 = bytearray(file.read(8))
            w0[3] |= 0x1e
            file.seek(hot_entries(meta) + 32)
            file.write(w0)

    def set_aside(self, *files):
        """It starts without what was refused, which is in files then; the daemon."""
        daemon = self.start("--set-aside", self.aside)
        self.assertEqual(sorted(os.listdir(self.aside)), sorted(files))
        self.assertRegex(daemon.stderr(), r"level=error event=set_aside pool=\w+ folder=%s " % self.aside)
        return daemon

    def half_a_pair(self, missing, left):
        fd = int(self.store.file("pool-jobs", missing).rpartition("/")[2])
        self.store.remove(fd)
        self.refused("pool jobs", "jobs%s is missing" % missing, "--set-aside")
        daemon = self.set_aside("jobs" + left)
        self.store.wait_names(DEFAULT)
        with daemon.client() as client:
            self.assertEqual(client.call("fetch", "k"), "v" * 100)
            self.assertEqual([row["name"] for row in client.call("pools")], ["default"])
        daemon.stop()

    def test_values_without_meta(self):
        self.half_a_pair(".meta", ".values")

    def test_meta_without_values(self):
        self.half_a_pair(".values", ".meta")

    def test_twice_the_same(self):
        fd = int(self.store.file("pool-jobs", ".meta").rpartition("/")[2])
        again = os.memfd_create("jobs.meta")
        os.sendfile(again, os.open("/proc/self/fd/%d" % fd, os.O_RDONLY), 0, 4096)
        self.store.add("pool-jobs", again)
        self.refused("pool jobs", "jobs.meta is there twice")
        daemon = self.set_aside("jobs.meta", "jobs.other-2", "jobs.values")
        self.store.wait_names(DEFAULT)
        daemon.stop()

    def test_somebody_elses_memory(self):
        for fd in self.store.fds("pool-jobs"):
            self.store.add("pool-other", os.dup(fd))
        self.refused("pool other", "no memory of that pool")

    def test_unknown_names_are_left_alone(self):
        for name in ("tickets", "pool-Not.a/Pool", "pool-"):
            self.store.add(name, os.memfd_create("x"))
        daemon = self.start()
        self.assertIn("event=kept_unknown descriptors=1 ", daemon.stderr())
        self.assertEqual(daemon.stderr().count("event=kept_not_served"), 2)
        with daemon.client() as client:
            self.assertEqual(client.call("fetch", "k"), "v" * 100)
        daemon.stop()
        self.assertEqual(self.store.names(), {"pool-default": 2, "pool-jobs": 2, "tickets": 1, "pool-Not.a/Pool": 1,
                                              "pool-": 1})

    def test_a_daemon_with_a_folder_leaves_them_alone(self):
        daemon = self.start("--heap", os.path.join(self.dir, "heap"))
        self.assertEqual(daemon.stderr().count("event=kept_not_served"), 4)
        with daemon.client() as client:
            self.assertEqual(client.code("fetch", "k"), "NOTFOUND")
            client.call("pool_create", "more")
        daemon.stop()
        again = self.start()
        with again.client() as client:
            self.assertEqual(client.call("fetch", "k"), "v" * 100)
        again.stop()

    def test_damage(self):
        self.damage("pool-jobs")
        self.refused("pool jobs, whose memory was kept, is damaged: object 1: ", "kept on", "--set-aside", name="pool-jobs")
        daemon = self.set_aside("jobs.meta", "jobs.values")
        self.store.wait_names(DEFAULT)
        with daemon.client() as client:
            self.assertEqual(client.call("fetch", "k"), "v" * 100)
            client.call("pool_create", "jobs")  # the name is free again
        done = subprocess.run([HOLDFAST, "verify", self.aside, "--json"], stdout=subprocess.PIPE, check=False)
        row, = json.loads(done.stdout)
        self.assertEqual((done.returncode, row["pool"], row["ok"]), (1, "jobs", False))
        self.assertRegex(row["findings"][0], "object 1: ")
        daemon.stop()

    def test_damage_of_default(self):
        self.damage("pool-default")
        self.refused("pool default, whose memory was kept, is damaged", name="pool-default")
        daemon = self.set_aside("default.meta", "default.values")
        self.store.wait_names({"pool-default": 2, "pool-jobs": 2})
        with daemon.client() as client:
            self.assertEqual(client.code("fetch", "k"), "NOTFOUND")
            client.call("store", "k", "new")
        with daemon.client({"pool": "jobs"}) as client:
            self.assertEqual(client.call("fetch", "k"), "w" * 100)
        kill(daemon)
        again = self.start()
        with again.client() as client:
            self.assertEqual(client.call("fetch", "k"), "new")
        again.stop()

    def test_a_folder_that_cannot_be_written_to(self):
        self.damage("pool-jobs")
        self.refused("pool jobs", "/nowhere/at/all", args=("--set-aside", "/nowhere/at/all"), name="pool-jobs")


class Loading(KeptTest):
    """The threads that recover are held; `go` lets them."""

    def setUp(self):
        super().setUp()
        assert os.path.exists(HOLD), "%s is missing: run `make check`, which builds it" % HOLD
        self.fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(self.fifo)
        daemon = self.start("--workers", "2", program=RELEASE)
        self.owner = daemon.client({"lease_ms": outlives.LEASE_MS})
        self.held = self.owner.call("put", "held")
        self.owner.call("pool_create", "jobs")
        with daemon.client({"pool": "jobs", "lease_ms": 0}) as other:
            other.call("store", "k", "w")
        self.owner.close()
        kill(daemon)

    def hold(self, *pools, **options):
        """A daemon that does not come to recover these."""
        env = {"LD_PRELOAD": HOLD, "HF_HOLD_NAMES": " ".join("load-" + pool for pool in pools), "HF_HOLD_FIFO": self.fifo}
        daemon = self.start("--workers", "2", program=RELEASE, env=env, ready=False, **options)
        self.addCleanup(self.go)
        return daemon

    def go(self):
        """Once all that wait have opened their end, they go on."""
        try:
            os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pass  # nobody waits

    def finish(self, daemon):
        def ready():
            self.go()
            return "event=ready" in daemon.stderr()
        poll(ready, "all is recovered")

    def busy(self, request, pool="default"):
        with self.assertRaises(RpcError) as caught:
            request()
        error = caught.exception
        self.assertRegex(error.text, r"\ABUSY loading=\d+%% pool=%s: " % pool)

    def test_clients_are_told_how_far_it_is(self):
        daemon = self.hold("default", "jobs")
        key = self.owner.hello_result["session"]
        self.busy(lambda: daemon.client({"session": key}))
        self.busy(lambda: daemon.client({}))
        self.busy(lambda: daemon.client({"pool": "jobs"}), "jobs")
        with daemon.client() as client:
            client.call("ping")
            self.assertTrue(client.call("methods"))
            for method, params in (("get", [self.held]), ("put", ["x"]), ("put", [b"x" * MIB]), ("stats", []), ("pools", []),
                                   ("put_many", [[["x" * 100000]] * 5]), ("store", ["k", "v"]), ("fetch", ["k"])):
                self.busy(lambda: client.call(method, *params))  # pylint: disable=cell-var-from-loop
            self.assertNotIn("event=ready", daemon.stderr())
            self.assertFalse([said for said in self.store.said if "READY" in said and "recover" in said])
            self.finish(daemon)
            # The same connection goes on, and may still say hello: nothing of it was executed.
            self.assertEqual(client.call("hello", {"session": key})["held"], 1)
            self.assertEqual(client.call("get", self.held), "held")
            self.assertEqual(client.call("get", client.call("put", b"x" * MIB)), b"x" * MIB)
        daemon.stop()

    def test_pools_that_are_there_are_served(self):
        for ready, other in (("default", "jobs"), ("jobs", "default")):
            daemon = self.hold(other)
            poll(lambda: "event=recovered pool=%s " % ready in daemon.stderr(), "one is recovered")  # pylint: disable=W0640
            with daemon.client({"pool": ready, "lease_ms": 0}) as served:
                served.call("store", "n", 1)
                self.assertEqual([row["name"] for row in served.call("pools")], [ready])
                self.busy(lambda: served.call("pool_drop", other), other)  # pylint: disable=W0640
                self.busy(lambda: served.call("sessions", {"pool": other}), other)  # pylint: disable=W0640
                self.assertEqual(served.code("pool_create", other), "EXISTS")
                self.busy(lambda: daemon.client({"pool": other}), other)  # pylint: disable=W0640
                self.assertNotIn("event=ready", daemon.stderr())
                self.finish(daemon)
                self.assertEqual(served.call("fetch", "n"), 1)
            daemon.client({"pool": other}).close()
            daemon.stop()

    def test_the_end_meanwhile(self):
        before = self.store.names()
        daemon = self.hold("default", "jobs")
        daemon.terminate()

        def ended():
            self.go()
            return daemon.process.poll() is not None
        poll(ended, "it has ended")
        self.assertEqual(daemon.wait_exit(), 0, daemon.stderr())
        self.assertEqual(self.store.names(), before)
        again = self.start(program=RELEASE)
        with again.client({"session": self.owner.hello_result["session"]}) as client:
            self.assertEqual(client.call("get", self.held), "held")
        again.stop()

    def test_systemd_is_told(self):
        self.store.said.clear()
        daemon = self.hold("default", "jobs")
        poll(lambda: [said for said in self.store.said
                      if re.search(r"\AEXTEND_TIMEOUT_USEC=\d+\nSTATUS=recovering 2 of 2 pools: 0 % of \d+ objects?\Z", said)],
             "the status tells of it")
        self.assertFalse([said for said in self.store.said if "READY=1" in said])
        self.finish(daemon)
        poll(lambda: [said for said in self.store.said if said.startswith("READY=1\nSTATUS=serving 2 pools, ")], "it is ready")
        daemon.stop()

    def test_clients_that_wait_at_the_socket_notice_nothing_of_a_short_one(self):
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        path = os.path.join(self.dir, "listening")
        listening.bind(path)
        listening.listen()
        waiting = Client(path)
        self.addCleanup(waiting.close)
        waiting.request("hello", {"session": self.owner.hello_result["session"]})
        daemon = self.start(sockets=[listening])
        self.assertEqual(waiting.recv().value()["held"], 1)
        daemon.stop()


if __name__ == "__main__":
    unittest.main()
