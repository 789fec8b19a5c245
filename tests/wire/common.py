# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the wire share: one daemon a class, connections that are closed after each test."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import LONG, Daemon  # noqa: E402
from rpc import Closed, Client, Raw, RpcError, encode, poll, request_bytes, walk_cursor  # noqa: E402

__all__ = ["LONG", "Daemon", "Closed", "Client", "Raw", "RpcError", "encode", "poll", "request_bytes", "walk_cursor",
           "WireTest", "unittest", "IDS_MAX", "VALUE_MAX", "dead_id"]

VALUE_MAX = 64 * 1024 * 1024
IDS_MAX = 1024


def dead_id(client):
    obj = client.call("put", "soon dead")
    client.call("release", obj)
    return obj


class WireTest(unittest.TestCase):
    """self.daemon for the class, self.c an anonymous session, self.client() for further ones."""

    daemon_args = ()
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(*cls.daemon_args).start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def setUp(self):
        self.c = self.client()

    def client(self, hello=None, **options):
        client = self.daemon.client(hello, **options)
        self.addCleanup(client.close)
        return client

    def pool_client(self, **hello):
        """A session in a new pool of its own, for tests that count everything."""
        name = "t." + self.id().rsplit(".", 1)[1].lower().replace("_", "-")[:50]
        if not any(row["name"] == name for row in self.c.call("pools")):
            self.c.call("pool_create", name)
        return self.client(dict(hello, pool=name))

    def assertCode(self, code, client, method, *params):
        """The call must fail with `code` (one of them, if a tuple); the error."""
        error = client.error(method, *params)
        self.assertIn(error.code, code if isinstance(code, tuple) else (code,),
                      "%s%r: %s" % (method, params, error.text))
        return error

    def assertGone(self, client, obj):
        self.assertCode("GONE", client, "inspect", obj)

    def count(self, client, obj):
        return client.call("inspect", obj)["count"]

    def wait_backlog(self, client):
        poll(lambda: client.call("stats", "gc")["backlog"] == 0, "gc.backlog 0")

    def assertVerified(self, client):
        self.wait_backlog(client)
        result = client.call("verify")
        self.assertEqual(result["findings"], [])
        self.assertIs(result["ok"], True)
        return result
