#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The load generator beside a server of this test, which answers as it is told to."""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from daemon import HOLDFASTD  # noqa: E402

LOAD = os.path.join(os.path.dirname(HOLDFASTD), "tests/bench/load")
PUT = b"\xa3put\x91\xc4\x40"
RELEASE = b"\xa7release\x91\xcf"
HEAD = 7  # 94 00, message id


def packed(number):
    """As a server writes it: in as few bytes as there are."""
    for most, form in ((0x7f, ">B"), (0xff, ">BB"), (0xffff, ">BH"), (0xffffffff, ">BI")):
        if number <= most:
            head = {">BB": (0xcc,), ">BH": (0xcd,), ">BI": (0xce,)}.get(form, ())
            return struct.pack(form, *head, number)
    return struct.pack(">BQ", 0xcf, number)


class PutServer(threading.Thread):
    """One connection that puts and releases. The ids it gives out come past 0 in their upper half. `given` and
    `released` are in the order of the requests; replies leave in pieces of `piece` bytes."""

    def __init__(self, path, first, step, piece):
        super().__init__(daemon=True)
        self.next, self.step, self.piece = first, step, piece
        self.given, self.released = [], []
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen(1)
        self.start()

    def answer(self, request):
        """(bytes of the request, reply), or None: it is not complete."""
        for word, rest in ((PUT, 64), (RELEASE, 8)):
            size = HEAD + len(word) + rest
            if len(request) < size or request[HEAD:HEAD + len(word)] != word:
                continue
            if word == PUT:
                result = packed(self.next)
                self.given.append(self.next)
                self.next = (self.next + self.step) % 2 ** 53
            else:
                self.released.append(int.from_bytes(request[size - 8:size], "big"))
                result = b"\0"
            return size, b"\x94\x01" + request[2:HEAD] + b"\xc0" + result
        return None

    def run(self):
        with self.listening, self.listening.accept()[0] as connection:
            have = b""
            while part := connection.recv(65536):
                have, replies = have + part, b""
                while (found := self.answer(have)) is not None:
                    have, replies = have[found[0]:], replies + found[1]
                for at in range(0, len(replies), self.piece):
                    connection.sendall(replies[at:at + self.piece])


class Ids(unittest.TestCase):
    def put(self, first, step, piece, depth=4, units=400):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            server = PutServer(path, first, step, piece)
            done = subprocess.run([LOAD, "run", "--server", "holdfast", "--address", "unix:" + path, "--work", "put",
                                   "--connections", "1", "--depth", str(depth), "--units", str(units), "--value", "64",
                                   "--objects", "16"], capture_output=True, text=True, check=False, timeout=60)
            server.join(60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn('"requests": %d' % (2 * units), done.stdout)
        self.assertEqual(len(server.given), units + depth, "one a unit, and those that the first batch releases")
        self.assertEqual(server.released, server.given[:units])

    def test_serials_that_come_past_0(self):
        for piece in (1, 7, 4096):
            with self.subTest(piece=piece):
                self.put(2 ** 53 - 100 * 2 ** 32 + 70000, 2 ** 32, piece)

    def test_ids_of_every_length(self):
        for first in (1, 100, 250, 65400, 2 ** 32 - 200):
            with self.subTest(first=first):
                self.put(first, 1, 5)


if __name__ == "__main__":
    unittest.main()
