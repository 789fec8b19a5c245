# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of hostile clients share: after each test another client, connected before it, must still be answered."""
from common import WireTest, encode

MIB = 1 << 20
FRAME_MAX = 64 * MIB + 4096
QUEUE_SOFT = 4 * MIB


def nested(count, inner=b"\xc0"):
    return b"\x91" * count + inner


def put_frame(msgid, value):
    return b"\x94\x00" + encode(msgid) + b"\xa3put\x91" + value


class HostileTest(WireTest):
    def setUp(self):
        super().setUp()
        self.kept = self.c.call("put", "kept")
        # A sanitizer's build has memory of its own; bounds are then held loosely.
        self.slack = 4 if self.daemon.sanitized() else 1

    def tearDown(self):
        self.assertEqual(self.c.call("get", self.kept), "kept")
        self.assertEqual(self.c.call("release", self.kept), 0)
        self.assertIsNone(self.daemon.process.poll())
