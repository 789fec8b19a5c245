# SPDX-License-Identifier: BSD-3-Clause
"""What tests of pools in a folder of files have in common."""
import hashlib
import os
import shutil
import struct
import tempfile
import unittest

from daemon import Daemon, run

MIB = 1 << 20
PAGE = 4096


def read_some(path, size):
    with open(path, "rb") as file:
        return file.read(size)


def read(path):
    return read_some(path, -1)


def data_of(path):
    """Every byte that is not zero, with its place, and the length: images are sparse files of many gigabytes. Page by page,
    so that it does not matter whether zeros are a hole."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        at, end = 0, file.seek(0, os.SEEK_END)
        while True:
            try:
                at = file.seek(at, os.SEEK_DATA)
            except OSError:
                break
            hole = file.seek(at, os.SEEK_HOLE)
            file.seek(at)
            while at < hole:
                piece = file.read(min(hole - at, MIB))
                for offset in range(0, len(piece), PAGE):
                    page = piece[offset:offset + PAGE]
                    if page.strip(b"\0"):
                        digest.update(b"%d:" % (at + offset) + page)
                at += len(piece)
    return end, digest.hexdigest()


class FolderTest(unittest.TestCase):
    """self.heap: a folder that does not exist yet."""

    # Both kinds of file systems: the temporary folder, which is often on disk, and memory.
    base = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-", dir=self.base)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.heap = os.path.join(self.dir, "heap")

    def start(self, *args, **options):
        daemon = Daemon("--heap", self.heap, *args, tcp=False, **options).start()
        self.addCleanup(daemon.kill)
        return daemon

    def refused(self, *words):
        """The daemon does not start on the folder; its log says all of `words`."""
        with tempfile.TemporaryDirectory(prefix="hf-") as scratch:
            code, out, err = run("--heap", self.heap, "--listen", "unix:" + os.path.join(scratch, "s"))
        self.assertEqual((code, out), (1, ""), err)
        self.assertNotIn("Sanitizer", err)
        for word in ("level=error", "event=not_started") + words:
            self.assertIn(word, err.splitlines()[-1])

    def files(self):
        return sorted(os.listdir(self.heap))

    def path(self, name):
        return os.path.join(self.heap, name)

    def state(self, pool):
        return {name: data_of(self.path(name)) for name in self.files() if pool in name and name != "lock"}


def kill(daemon):
    """As the kernel's OOM killer does it."""
    daemon.process.kill()
    daemon.process.wait()
    daemon.kill()


def end(daemon):
    daemon.stop()


def hot_entries(meta):
    """Where the entries of objects begin: hot_at of the superblock (daemon/heap/format.h)."""
    return struct.unpack_from("<Q", read_some(meta, 400), 9 * 8)[0]
