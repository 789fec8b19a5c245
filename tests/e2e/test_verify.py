#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Images checked offline, by `holdfast verify PATH` and `holdfastd --verify PATH`: sound, damaged, in use; only read."""
import fcntl
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import HOLDFASTD, REPORT  # noqa: E402
from folder import FolderTest, hot_entries  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(os.path.dirname(HOLDFASTD), "holdfast")
LEASE_MS = 3600000


def output(*command, **options):
    """(exit code, stdout, stderr)"""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
                          **options)
    assert not REPORT.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


class VerifyTest(FolderTest):
    def fill(self):
        """Pools default (2 objects, 1 name, 1 session), a and b (1 object, 1 name each); their epochs."""
        daemon = self.start()
        with daemon.client({"lease_ms": LEASE_MS}) as client:
            client.call("put", "held")
            client.call("store", "n", b"v" * 100000)
            epochs = {"default": client.hello_result["epoch"]}
            for pool in "ab":
                client.call("pool_create", pool)
                with daemon.client({"pool": pool, "lease_ms": 0}) as user:
                    user.call("store", "n", [1, "not inline"])
                    user.call("put", "not held for long")
                    epochs[pool] = user.hello_result["epoch"]
            daemon.process.kill()  # with sessions and garbage in it
            daemon.process.wait()
        daemon.kill()
        return epochs

    def damage(self, pool, data=b"\xff" * 8):
        with open(self.path(pool + ".meta"), "r+b") as file:
            file.seek(hot_entries(self.path(pool + ".meta")) + 32)
            file.write(data)

    def both(self, path, *options):
        """What both programs answer, which must be the same."""
        answers = [output(HOLDFASTD, "--verify", path, *options), output(HOLDFAST, "verify", path, *options)]
        self.assertEqual(answers[0], answers[1])
        return answers[0]


class Sound(VerifyTest):
    def test_a_folder(self):
        epochs = self.fill()
        code, out, err = self.both(self.heap)
        self.assertEqual((code, err), (0, ""))
        rows = [line.split() for line in out.splitlines()]
        self.assertEqual(rows[0], ["POOL", "EPOCH", "OBJECTS", "NAMES", "SESSIONS", "OK", "FINDINGS"])
        self.assertEqual(rows[1:], [["default", str(epochs["default"]), "2", "1", "1", "yes", "0"],
                                    ["a", str(epochs["a"]), "1", "1", "0", "yes", "0"],
                                    ["b", str(epochs["b"]), "1", "1", "0", "yes", "0"]])
        self.assertEqual(len({len(line) for line in out.splitlines()}), 1, "columns are aligned")

    def test_json(self):
        epochs = self.fill()
        code, out, err = self.both(self.heap, "--json")
        self.assertEqual((code, err, out.count("\n")), (0, "", 1))
        self.assertEqual(json.loads(out)[0], {"pool": "default", "epoch": epochs["default"], "objects": 2, "names": 1,
                                              "sessions": 1, "ok": True, "findings": []})
        self.assertEqual([row["pool"] for row in json.loads(out)], ["default", "a", "b"])

    def test_one_pool(self):
        self.fill()
        for path in ("a", "a.meta", "a.values"):
            code, out, err = self.both(self.path(path))
            self.assertEqual((code, err, len(out.splitlines())), (0, "", 2), path)
            self.assertEqual(out.splitlines()[1].split()[0], "a")
        code, out, _ = output(HOLDFAST, "--pool", "b", "verify", self.heap)
        self.assertEqual((code, out.splitlines()[1].split()[0]), (0, "b"))

    def test_nothing_is_written(self):
        self.fill()
        before = self.state(""), self.files(), [os.stat(self.path(name)) for name in self.files()]
        for _ in range(2):
            self.assertEqual(self.both(self.heap)[0], 0)
        self.assertEqual((self.state(""), self.files()), before[:2])
        for old, name in zip(before[2], self.files()):
            new = os.stat(self.path(name))
            self.assertEqual((new.st_mtime_ns, new.st_ctime_ns, new.st_blocks),
                             (old.st_mtime_ns, old.st_ctime_ns, old.st_blocks), name)
        self.start().stop()

    def test_a_copy_without_a_lock(self):
        self.fill()
        os.unlink(self.path("lock"))
        self.assertEqual(self.both(self.heap)[0], 0)
        self.assertNotIn("lock", self.files())

    def test_an_empty_folder(self):
        os.mkdir(self.heap)
        self.assertEqual(self.both(self.heap, "--json"), (0, "[]\n", ""))

    def test_what_interruptions_leave_is_no_damage(self):
        self.fill()
        for name in (".c.meta.new", ".c.values.new", ".d.meta.old", "d.values"):
            with open(self.path(name), "wb"):
                pass
        before = self.files()
        code, out, err = self.both(self.heap)
        self.assertEqual((code, len(out.splitlines())), (0, 4))
        self.assertIn("note: pool c: files that an interrupted making or dropping has left", err)
        self.assertIn("note: pool d: ", err)
        self.assertEqual(self.files(), before)

    def test_in_a_shell(self):
        daemon = self.start()
        other = tempfile.mkdtemp(prefix="hf-", dir=self.dir)
        done = subprocess.run([HOLDFAST, "-s", "unix:" + daemon.unix, "shell"], input="verify %s\nverify\n" % other,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[0].split()[0], "POOL")
        self.assertRegex(done.stdout, r"ok +true")
        daemon.stop()

    def test_progress_only_on_a_terminal(self):
        self.fill()
        primary, secondary = pty.openpty()
        done = subprocess.run([HOLDFAST, "verify", self.heap], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=secondary, timeout=120, check=False)
        os.close(secondary)
        shown = os.read(primary, 100000).decode()
        os.close(primary)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(shown, r"verifying default: \d+ %")
        self.assertTrue(shown.endswith("\r\x1b[K"), "it is wiped away")
        self.assertNotIn(b"\x1b", done.stdout)


class SoundInMemory(Sound):
    base = "/dev/shm"


class Damaged(VerifyTest):
    def test_a_damaged_pool(self):
        self.fill()
        self.damage("a")
        before = self.state("")
        code, out, err = self.both(self.heap)
        self.assertEqual((code, err), (1, ""))
        rows = [line.split() for line in out.splitlines()]
        self.assertEqual(rows[2], ["a", "-", "-", "-", "-", "no", "1"])
        self.assertEqual([rows[1][5], rows[3][5]], ["yes", "yes"])
        self.assertEqual(out.splitlines()[4], "a: object 1: its state is none")
        code, out, err = self.both(self.heap, "--json")
        self.assertEqual((code, err), (1, ""))
        self.assertEqual(json.loads(out)[1], {"pool": "a", "epoch": None, "objects": None, "names": None, "sessions": None,
                                              "ok": False, "findings": ["object 1: its state is none"]})
        self.assertEqual(self.both(self.path("b"))[0], 0)
        self.assertEqual(self.both(self.path("a"))[0], 1)
        self.assertEqual(self.state(""), before)

    def test_files_that_do_not_fit_together(self):
        self.fill()
        os.unlink(self.path("a.meta"))
        os.rename(self.path("b.meta"), self.path("c.meta"))
        os.rename(self.path("b.values"), self.path("c.values"))
        os.rename(self.path("default.values"), self.path("default.gone"))
        code, out, _ = self.both(self.heap, "--json")
        self.assertEqual(code, 1)
        rows = {row["pool"]: row["findings"] for row in json.loads(out)}
        self.assertEqual(set(rows), {"default", "a", "c"})
        self.assertIn("default.values is missing", rows["default"][0])
        self.assertIn("a.meta is missing", rows["a"][0])
        self.assertIn("c.meta is the image of pool b", rows["c"][0])

    def test_files_that_are_cut(self):
        self.fill()
        for name, text in (("a.meta", "the file is too short"), ("b.values", "block is not its own")):
            os.truncate(self.path(name), 0)
            code, out, _ = self.both(self.path(name[0]))
            self.assertEqual(code, 1)
            self.assertIn(text, out)


class NotChecked(VerifyTest):
    def test_a_daemon_that_runs(self):
        daemon = self.start()
        for path in (self.heap, self.path("default")):
            code, out, err = self.both(path)
            self.assertEqual((code, out), (5, ""))
            self.assertIn("%s is in use by holdfastd (pid %d)" % (self.heap, daemon.process.pid), err)
            self.assertIn("holdfast --pool NAME verify", err)
        code, out, _ = output(HOLDFAST, "-s", "unix:" + daemon.unix, "verify", "--json")
        self.assertEqual((code, json.loads(out)["ok"]), (0, True))
        daemon.stop()
        self.assertEqual(self.both(self.heap)[0], 0)

    def test_a_daemon_that_would_start_meanwhile(self):
        self.fill()
        with open(self.path("lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # as a verify has it
            self.refused("%s is being verified" % self.heap)
            self.assertEqual(self.both(self.heap)[0], 0)
        self.start().stop()

    def test_paths_that_lead_nowhere(self):
        self.fill()
        for path in (os.path.join(self.dir, "none"), os.path.join(self.dir, "none", "x"), self.path("c"),
                     self.path("lock")):
            code, out, err = self.both(path)
            self.assertEqual((code, out), (5, ""), path)
            self.assertRegex(err, "no such folder|No such file")
            self.assertIn(os.path.dirname(path), err)

    def test_usage(self):
        self.assertEqual(output(HOLDFAST, "verify", "default")[0], 2)
        self.assertIn("holdfast --pool default verify", output(HOLDFAST, "verify", "default")[2])
        self.assertEqual(output(HOLDFAST, "verify", "/a", "/b")[0], 2)
        self.assertEqual(output(HOLDFASTD, "--verify")[0], 2)
        self.assertEqual(output(HOLDFASTD, "--verify", "")[0], 2)
        self.assertEqual(output(HOLDFASTD, "--verify", "/a", "--verify", "/b")[0], 2)
        self.assertEqual(output(HOLDFASTD, "--json")[0], 2)

    def test_a_command_line_without_its_daemon(self):
        lonely = os.path.join(self.dir, "holdfast")
        shutil.copy(HOLDFAST, lonely)
        code, out, err = output(lonely, "verify", "/none", env=dict(os.environ, PATH="/usr/bin"))
        self.assertEqual((code, out), (5, ""))
        self.assertIn("holdfastd: No such file or directory", err)
        path = os.path.dirname(HOLDFASTD) + ":/usr/bin"
        code, out, err = output(lonely, "verify", "/none", env=dict(os.environ, PATH=path))
        self.assertEqual((code, out), (5, ""))
        self.assertIn("/none: there is no such folder", err)


if __name__ == "__main__":
    unittest.main()
