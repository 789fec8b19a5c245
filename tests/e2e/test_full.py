#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A full file system is OOM and nothing worse: whatever is asked for then is refused, what was there stays, also over a
kill, and what is released can be used again.

The program runs in a mount namespace of its own, where it mounts a tmpfs of a few MiB. HF_FULL_MOUNT is another command
to mount there ("mount -o loop image FOLDER" without its last word), for trying file systems on disk.
"""
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import Daemon, run  # noqa: E402
from rpc import poll  # noqa: E402

MIB = 1 << 20
TMPFS = ["mount", "-t", "tmpfs", "-o", "size=7m", "none"]
OTHER = shlex.split(os.environ.get("HF_FULL_MOUNT", ""))
LEASE_MS = 3600000


class FullTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.mount(OTHER or TMPFS)
        self.heap = os.path.join(self.dir, "heap")

    def mount(self, command):
        subprocess.run(command + [self.dir], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.dir], check=True)

    def start(self):
        daemon = Daemon("--heap", self.heap, "--max-memory", "1G", tcp=False).start()
        self.addCleanup(daemon.kill)
        return daemon

    def fill_by_others(self, left=0):
        """Somebody else fills the file system, but for `left` bytes."""
        path = os.path.join(self.dir, "filler")
        with open(path, "ab", buffering=0) as file:
            for size in (MIB, 4096):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    pass
            if left:
                file.truncate(file.tell() - left)
        return path

    def folder(self):
        return sorted(os.listdir(self.heap))


class Wire(FullTest):
    """Over the wire, until nothing more fits."""

    def put_until_full(self, client, sizes):
        """{id: value}, with values of these sizes in turn until none of them fits."""
        values, refused = {}, set()
        k = 0
        while len(refused) < len(sizes):
            size = sizes[k % len(sizes)]
            k += 1
            if size in refused:
                continue
            value = random.Random(k).randbytes(size)
            reply = client.reply("put", value)
            if reply.error is None:
                values[reply.result] = value
                continue
            error = reply.exception()
            self.assertEqual(error.code, "OOM")
            self.assertIn("no room left where the heap is kept", error.text)
            refused.add(size)
        return values

    def check(self, client, values):
        for obj, value in values.items():
            self.assertEqual(client.call("get", obj), value)
        self.assertEqual(client.call("verify")["findings"], [])

    def test_all_that_needs_room_is_refused(self):
        daemon = self.start()
        with daemon.client({"lease_ms": LEASE_MS}) as client, daemon.client() as other:
            empty = client.call("put", "empty")
            values = self.put_until_full(client, [3000, 300000, 100, 20000, 1000000, 10])
            self.assertGreater(sum(map(len, values.values())), 2 * MIB)
            # what does not fit: values of all ways to come in, slots, names, cells, tables, pools
            big = b"b" * (3 * MIB)
            oom = [("put", big), ("set", empty, big), ("store", "n", big), ("put", None, {"size": 64 * MIB}),
                   ("put_many", [[b"x" * 5000]] * 1000), ("put", "r", {"refs": [empty] * 8000}), ("pool_create", "jobs")]
            for method, *params in oom:
                reply = client.reply(method, *params)
                if method == "put" and params[0] is None and reply.error is None:
                    # room for an open object is asked for as it is written
                    self.assertEqual(client.code("write", reply.result, 0, b"w" * (8 * MIB)), "OOM")
                    client.call("release", reply.result)
                    continue
                self.assertEqual(reply.exception().code, "OOM", method)
            self.assertEqual(self.folder(), ["default.meta", "default.values", "lock"])
            names = 0
            while other.reply("name", "n%d" % names + "x" * 200, empty).error is None:
                names += 1
            self.assertEqual(other.code("name", "one more" + "x" * 200, empty), "OOM")
            objects = 0
            while other.reply("put", 1).error is None:
                objects += 1
            self.assertEqual(other.code("put", 1), "OOM")
            more = []
            while True:
                session = daemon.client()
                more.append(session)
                reply = session.reply("hello", {"lease_ms": 0})
                if reply.error is not None:
                    self.assertEqual(reply.exception().code, "OOM")
                    break
                if len(more) > 200:
                    break  # their records are small
            for session in more:
                session.close()
            self.assertEqual(client.call("get", empty), "empty")
            self.check(client, values)
            self.again(client, values)
        daemon.stop()

    def again(self, client, values):
        """Half of it is released: so much fits again, and nothing else is touched."""
        ids = list(values)
        for obj in ids[::2]:
            client.call("release", obj)
            del values[obj]
        poll(lambda: client.call("stats", "gc")["backlog"] == 0, "the dead are freed")
        value = b"again" * 600
        values.update({obj: value for obj in (client.call("put", value) for _ in range(20))})
        self.check(client, values)

    def test_a_kill_when_it_is_full(self):
        daemon = self.start()
        client = daemon.client({"lease_ms": LEASE_MS})
        hello = client.hello_result
        values = self.put_until_full(client, [3000, 300000, 100, 20000, 10])
        root = next(iter(values))
        client.call("name", "root", root)
        self.fill_by_others()
        for _ in range(3):
            daemon.process.kill()
            daemon.process.wait()
            daemon.kill()
            client.close()
            daemon = self.start()
            client = daemon.client({"session": hello["session"]})
            self.assertEqual(client.hello_result["held"], len(values))
            self.assertEqual(client.call("lookup", "root"), root)
            client.call("release", root)
            self.check(client, values)
            self.assertEqual(client.code("put", b"x" * MIB), "OOM")
        os.unlink(os.path.join(self.dir, "filler"))
        self.again(client, values)
        client.close()
        daemon.stop()

    def test_a_file_system_that_others_fill(self):
        daemon = self.start()
        with daemon.client({"lease_ms": 0}) as client:
            values = {client.call("put", b"v" * 3000): b"v" * 3000 for _ in range(50)}
            filler = self.fill_by_others()
            values.update(self.put_until_full(client, [3000, 50000]))
            self.check(client, values)
            os.unlink(filler)
            obj = client.call("put", b"x" * (2 * MIB))
            self.assertEqual(client.call("get", obj), b"x" * (2 * MIB))
            self.check(client, values)
        daemon.stop()

    def test_pieces_wait_for_what_is_being_freed(self):
        # The room for them is asked for as they come, and is there once a collection has found the garbage.
        for what in ("write", "stream"):
            daemon = self.start()
            with self.subTest(what), daemon.client({"lease_ms": 0}) as client:
                client.call("gc_config", {"objects_least": 1 << 30, "bytes_least": 1 << 40, "full_after_ms": 1 << 30})
                opened = client.call("put", None, {"size": 3 * MIB})
                ring = client.call("put_many", [[b"r" * 3000, [-((k + 1) % 1000 + 1)]] for k in range(1000)])
                self.put_until_full(client, [100000, 3000])
                client.call("release", ring)
                value = random.Random(what).randbytes(2 * MIB)
                if what == "write":
                    self.assertEqual(client.call("write", opened, 0, value), len(value))
                else:
                    obj = client.call("put", value)
                    self.assertEqual(client.call("get", obj), value)
                poll(lambda: client.call("stats", "gc")["full"]["memory"] == 1, "the collection ends")
                self.assertEqual(client.call("verify")["findings"], [])
            daemon.stop()
            shutil.rmtree(self.heap)

    def test_many_rounds(self):
        # Growth and release in an order that leaves no part of the image unused.
        daemon = self.start()
        dice = random.Random(7)
        if os.statvfs(self.dir).f_bavail * os.statvfs(self.dir).f_bsize > 8 * MIB:
            self.fill_by_others(8 * MIB)
        with daemon.client({"lease_ms": 0}) as client:
            values, refused = {}, 0
            for k in range(3000):
                if values and dice.random() < 0.45:
                    obj = dice.choice(list(values))
                    client.call("release", obj)
                    del values[obj]
                    continue
                value = dice.randbytes(dice.choice((5, 100, 3000, 17000, 70000, 200000, 500000)))
                reply = client.reply("put", value)
                if reply.error is None:
                    values[reply.result] = value
                else:
                    self.assertEqual(reply.exception().code, "OOM")
                    refused += 1
            self.assertGreater(refused, 20)
            self.check(client, values)
        daemon.stop()


class Start(FullTest):
    def refused(self, *words):
        code, out, err = run("--heap", self.heap, "--listen", "unix:" + os.path.join("/proc/self/fd", "none"))
        self.assertEqual((code, out), (1, ""), err)
        self.assertNotIn("Sanitizer", err)
        for word in words:
            self.assertIn(word, err.splitlines()[-1])

    def test_no_room_for_the_first_pool(self):
        # Whatever is left, the start is refused and leaves nothing, or the daemon works.
        refusals = 0
        for left in list(range(0, 65536, 4096)) + list(range(65536, 3 * MIB, 131072)):
            filler = self.fill_by_others(left)
            with tempfile.TemporaryDirectory(prefix="hf-") as scratch:
                code, _, err = run("--heap", self.heap, "--listen", "unix:" + os.path.join(scratch, "no/s"))
            self.assertEqual(code, 1)
            self.assertNotIn("Sanitizer", err)
            os.unlink(filler)
            if "No space left on device" not in err:
                self.assertIn("no/s", err, "only its address was wrong")
                break
            refusals += 1
            if os.path.exists(self.heap):
                self.assertIn(self.folder(), ([], ["lock"]))
        self.assertGreater(refusals, 1)
        daemon = self.start()
        with daemon.client() as client:
            self.assertEqual(client.call("get", client.call("put", 5)), 5)
        daemon.stop()


class Unfit(FullTest):
    """File systems that cannot carry images."""

    def refused(self, *words):
        with tempfile.TemporaryDirectory(prefix="hf-") as scratch:
            code, _, err = run("--heap", self.heap, "--listen", "unix:" + os.path.join(scratch, "s"))
        self.assertEqual(code, 1)
        for word in words:
            self.assertIn(word, err)

    def test_one_that_cannot_allocate_ahead(self):
        self.mount(["mount", "-t", "ramfs", "none"])
        self.refused(self.heap, "cannot allocate ahead (fallocate)", "choose a folder on tmpfs, ext4 or xfs")
        self.assertEqual(self.folder(), ["lock"])

    def test_one_that_is_read_only(self):
        self.start().stop()
        before = self.folder()
        subprocess.run(["mount", "-o", "remount,ro", self.dir], check=True)
        self.refused(self.heap, "Read-only file system")
        self.assertEqual(self.folder(), before)
        subprocess.run(["mount", "-o", "remount,rw", self.dir], check=True)


if __name__ == "__main__":
    if os.environ.get("HF_NAMESPACE") != "own":
        os.environ["HF_NAMESPACE"] = "own"
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.execvp("unshare", ["unshare", "--mount", *root, sys.executable, *sys.argv])
    unittest.main()
