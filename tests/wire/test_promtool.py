#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prometheus' own linter finds nothing in /metrics, of an idle daemon and of one that was used."""
import subprocess

from common import unittest

import test_http


class Promtool(test_http.HttpTest):
    def lint(self):
        text = self.get("/metrics").body
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_nothing_is_found(self):
        self.lint()
        c = self.pool_client(name="used")
        for i in range(10):
            c.call("store", "n%d" % i, i)
        c.call("gc_collect")
        c.code("get", 5)
        c.code("nonsense")
        self.lint()


if __name__ == "__main__":
    unittest.main()
