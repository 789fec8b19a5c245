#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Files of saves that become pools while the daemon serves: what is there then, what is refused, and that whatever ends a load
leaves nothing."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import DEADLINE_S, Daemon  # noqa: E402
from rpc import Closed, RpcError, poll  # noqa: E402
from saves import SavesTest  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(ROOT, "build", "holdfast")
MIB = 1 << 20


class LoadTest(SavesTest):
    def fill(self, client, count=200):
        """Names of objects that refer to an object without a name; their values by name."""
        leaf = client.call("put", "leaf")
        for k in range(count):
            client.call("name", "n%d" % k, client.call("put", b"v%d" % k * (k + 1), {"refs": [leaf]}))
        client.call("store", "large", b"x" * (3 * MIB))
        return {"n%d" % k: b"v%d" % k * (k + 1) for k in range(count)} | {"large": b"x" * (3 * MIB)}

    def check(self, client, values):
        for name, value in values.items():
            self.assertEqual(client.call("fetch", name), value)
        leaf = client.call("refs", client.call("lookup", "n1"))[0]
        self.assertEqual(client.call("get", leaf), "leaf")
        self.assertEqual(client.call("verify")["findings"], [])

    def into(self, *args):
        """Loads under its own name, when that is free, and under another, on each worker; what is there, and what is not."""
        daemon = self.start("--workers", "2", *args)
        with daemon.client({"lease_ms": 0}) as client:
            client.call("pool_create", "was")
            with daemon.client({"pool": "was", "lease_ms": 0}) as owner:
                values = self.fill(owner)
                held, epoch = owner.call("put", "held"), owner.hello_result["epoch"]
                owner.call("save", "old")
                self.assertIn("drop it", self.refused(client, "EXISTS", "load", "old"))
                owner.call("store", "later", 1)
            for name in ("one", "two", "three"):
                result = client.call("load", "old", {"pool": name})
                self.assertEqual((result["pool"], result["names"]), (name, len(values)))
            client.call("pool_drop", "was", {"force": True})
            self.assertEqual(client.call("load", "old")["pool"], "was")
            self.assertEqual(sorted(row["name"] for row in client.call("pools")), ["default", "one", "three", "two", "was"])
            for name in ("one", "two", "three", "was"):
                with daemon.client({"pool": name, "lease_ms": 0}) as loaded:
                    self.assertNotEqual(loaded.hello_result["epoch"], epoch)
                    self.check(loaded, values)
                    for method, what, code in (("get", held, "GONE"), ("fetch", "later", "NOTFOUND")):
                        with self.assertRaises(RpcError) as raised:
                            loaded.call(method, what)
                        self.assertEqual(raised.exception.code, code)
                    poll(lambda: loaded.call("stats", "objects")["count"] == len(values) + 1, "what only a session held is gone")
                    loaded.call("store", "n0", "new")
        return daemon, values

    def test_into_memory(self):
        daemon, _ = self.into()
        daemon.stop()

    def test_into_a_folder(self):
        heap = os.path.join(self.dir, "heap")
        os.mkdir(heap)
        daemon, values = self.into("--heap", heap)
        daemon.stop()
        after = self.start("--heap", heap)
        with after.client({"pool": "two", "lease_ms": 0}) as client:
            self.check(client, values | {"n0": "new"})
        after.stop()

    def test_what_is_refused_leaves_nothing(self):
        heap = os.path.join(self.dir, "heap")
        os.mkdir(heap)
        daemon = self.start("--heap", heap)
        with daemon.client({"lease_ms": 0}) as client:
            self.fill(client, 20)
            client.call("save", "good")
            with open(os.path.join(self.saves, "good"), "rb") as file:
                whole = file.read()
            for name, data in (("cut", whole[:-1]), ("changed", whole[:99999] + bytes([whole[99999] ^ 1]) + whole[100000:]),
                               ("empty", b""), ("other", b"text" * 5000)):
                with open(os.path.join(self.saves, name), "wb") as file:
                    file.write(data)
                self.assertIn(name, self.refused(client, "INTERNAL", "load", name, {"pool": "new"}))
            os.mkdir(os.path.join(self.saves, "folder"))
            self.refused(client, "INTERNAL", "load", "folder", {"pool": "new"})
            self.refused(client, "NOTFOUND", "load", "missing")
            for bad in ("", "../good", "/etc/passwd", "a/b", ".good.new", 7, None, "x" * 129):
                self.refused(client, "BADARG", "load", bad)
            for bad in ("", "no/slash", "x" * 65, 7):
                self.refused(client, "BADARG", "load", "good", {"pool": bad})
            self.refused(client, "EXISTS", "load", "good", {"pool": "default"})
            self.assertEqual([row["name"] for row in client.call("pools")], ["default"])
            self.assertEqual(sorted(f for f in os.listdir(heap) if not f.startswith("default")), self.others(heap))
            self.assertEqual(client.call("load", "good", {"pool": "new"})["pool"], "new")
        daemon.stop()

    @staticmethod
    def others(heap):
        """Files of the folder that belong to no pool."""
        return sorted(f for f in os.listdir(heap) if not f.endswith((".meta", ".values", ".new")))

    def test_without_room(self):
        daemon = self.start("--max-memory", "32M")
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "a", b"x" * (12 * MIB))
            client.call("save", "a")
            self.assertEqual(client.call("load", "a", {"pool": "b"})["pool"], "b")
            self.refused(client, "OOM", "load", "a", {"pool": "c"})
            client.call("pool_drop", "b")
            poll(lambda: client.reply("load", "a", {"pool": "c"}).error is None, "what was dropped has gone back")
            with daemon.client({"pool": "c", "lease_ms": 0}) as loaded:
                self.assertEqual(loaded.call("fetch", "a"), b"x" * (12 * MIB))
        daemon.stop()

    def test_what_is_too_large_is_not_even_read(self):
        """A file that cannot fit is refused before it takes memory: that it is damaged at its end nobody has seen by then."""
        large = self.start()
        with large.client({"lease_ms": 0}) as client:
            client.call("store", "a", b"x" * (40 * MIB))
            client.call("save", "large")
        large.stop()
        path = os.path.join(self.saves, "large")
        os.truncate(path, os.path.getsize(path) - 1)
        daemon = self.start("--max-memory", "32M")
        with daemon.client({"lease_ms": 0}) as client:
            self.assertIn("max-memory", self.refused(client, "OOM", "load", "large", {"pool": "b"}))
            client.call("put", b"x" * MIB)
        daemon.stop()

    def test_pools_never_have_more_than_their_share(self):
        daemon = self.start("--max-memory", "32M")
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "a", b"x" * (13 * MIB + MIB // 2))
            client.call("save", "a")
            self.refused(client, "OOM", "load", "a", {"pool": "b"})
            self.assertEqual([row["name"] for row in client.call("pools")], ["default"])
            client.call("put", b"x" * MIB)
        daemon.stop()

    def test_without_a_folder(self):
        daemon = Daemon(tcp=False).start()
        self.addCleanup(daemon.kill)
        with daemon.client({"lease_ms": 0}) as client:
            self.assertIn("--save-dir", self.refused(client, "NOPERM", "load", "x"))
        daemon.stop()

    def test_who_asks_may_go(self):
        """One at a time; others are served; a client that goes away does not end it."""
        daemon = self.start("--workers", "1")
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "big", b"z" * (48 * MIB))
            client.call("save", "big")
            first = daemon.client({"lease_ms": 0})
            first.request("load", "big", {"pool": "first"})
            first.close()
            poll(lambda: "first" in [row["name"] for row in client.call("pools")], "it is loaded")
            others = {name: daemon.client({"lease_ms": 0}) for name in ("second", "third")}
            for name, other in others.items():
                other.request("load", "big", {"pool": name})
            self.assertEqual(client.call("fetch", "big"), b"z" * (48 * MIB))
            errors = {name: other.recv().error for name, other in others.items()}
            for name, other in others.items():
                if errors[name] is not None:
                    self.assertTrue(errors[name].startswith("BUSY"), errors[name])
                    poll(lambda: other.reply("load", "big", {"pool": name}).error is None, "the one before is over")
                other.close()
            self.assertEqual(sorted(row["name"] for row in client.call("pools")), ["default", "first", "second", "third"])
        daemon.stop()

    def test_the_log_is_told_what_nobody_waits_for(self):
        daemon = self.start("--workers", "1")
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "big", b"z" * (32 * MIB))
            client.call("save", "cut")
            path = os.path.join(self.saves, "cut")
            os.truncate(path, os.path.getsize(path) - 1)

            def told():
                gone = daemon.client({"lease_ms": 0})
                gone.request("load", "cut", {"pool": "gone"})
                client.call("kill", gone.hello_result["sid"])
                gone.close()
                poll(lambda: client.reply("load", "cut", {"pool": "own"}).exception().code == "INTERNAL", "the other is over")
                return [line for line in daemon.lines if "event=load_failed" in line]
            line = poll(told, "a load that fails after its client has gone")[0]
            self.assertIn(path, line)
            self.assertIn("cut off", line)
        daemon.stop()

    def test_a_daemon_that_ends(self):
        """A load that is under way when the daemon goes down comes to nothing, and nothing of it is left: what was answered tells
        which pools are there afterwards."""
        heap = os.path.join(self.dir, "heap")
        os.mkdir(heap)
        daemon = self.start("--heap", heap)
        client = daemon.client({"lease_ms": 0})
        client.call("store", "big", b"z" * (60 * MIB))
        client.call("save", "big")
        for k in range(4):
            client.request("load", "big", {"pool": "p%d" % k})
        daemon.stop()
        answers = {}
        try:
            for k in range(4):
                answers["p%d" % k] = client.recv().error
        except Closed:
            pass
        client.close()
        after = self.start("--heap", heap)
        with after.client({"lease_ms": 0}) as client:
            loaded = sorted(row["name"] for row in client.call("pools"))
            for name in loaded:
                with after.client({"pool": name, "lease_ms": 0}) as one:
                    self.assertEqual(one.call("fetch", "big"), b"z" * (60 * MIB))
            for name, error in answers.items():
                self.assertEqual(name in loaded, error is None, (name, error))
        after.stop()

    @staticmethod
    def cli(daemon, *words):
        return subprocess.run([HOLDFAST, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False,
                              env=dict(os.environ, HOLDFAST_ADDRESS="unix:" + daemon.unix))

    def test_cli(self):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            client.call("store", "a", "b")
        self.assertEqual(self.cli(daemon, "save", "s").returncode, 0)
        result = self.cli(daemon, "load", "s", "copy")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("copy", result.stdout)
        self.assertEqual(self.cli(daemon, "--pool", "copy", "fetch", "a").stdout.strip(), "b")
        refused = self.cli(daemon, "load", "s")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("EXISTS", refused.stderr)
        daemon.stop()


if __name__ == "__main__":
    unittest.main()
