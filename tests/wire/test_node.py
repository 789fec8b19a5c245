#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A stock client for Node (msgpack-rpc-lite of npm) over unix and TCP; installs it by `npm ci` if it is missing."""
import json
import os
import subprocess

from common import WireTest, unittest

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")


class Node(WireTest):
    @classmethod
    def setUpClass(cls):
        if not os.path.isdir(os.path.join(HERE, "node_modules", "msgpack-rpc-lite")):
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=240)
        super().setUpClass()

    def run_node(self, address):
        done = subprocess.run(["node", "test.js", json.dumps(address)], cwd=HERE, timeout=90, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(done.stdout.split("\n"), ["ok objects", "ok errors", "ok names", "ok pipelined", "done", ""])
        self.assertVerified(self.c)

    def test_unix(self):
        self.run_node({"path": self.daemon.unix})

    def test_tcp(self):
        self.run_node({"host": self.daemon.tcp[0], "port": self.daemon.tcp[1]})


if __name__ == "__main__":
    unittest.main()
