# SPDX-License-Identifier: BSD-3-Clause
"""What tests of saves have in common: a daemon with a folder for them."""
import os
import shutil
import tempfile
import unittest

from daemon import Daemon
from rpc import RpcError


class SavesTest(unittest.TestCase):
    """self.saves: a folder that does not exist yet."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.saves = os.path.join(self.dir, "saves")

    def start(self, *args, **options):
        daemon = Daemon("--save-dir", self.saves, *args, tcp=False, **options).start()
        self.addCleanup(daemon.kill)
        return daemon

    def path(self, name):
        return os.path.join(self.saves, name)

    def files(self):
        return sorted(os.listdir(self.saves))

    def refused(self, client, code, method, *args):
        """Returns the text of the error."""
        with self.assertRaises(RpcError) as raised:
            client.call(method, *args)
        self.assertEqual(raised.exception.code, code, raised.exception.text)
        return raised.exception.text
