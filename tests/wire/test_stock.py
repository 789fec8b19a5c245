#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A stock client, unmodified: pynvim's MessagePack-RPC sessions, over unix and TCP.

pynvim opens with a notification of its own (nvim_set_client_info), which the daemon must ignore, and raises
whatever error_wrapper makes of the error of a reply.
"""
from common import WireTest, unittest

from pynvim.msgpack_rpc import socket_session, tcp_session


class Refused(Exception):
    pass


class Pynvim(WireTest):
    def sessions(self):
        yield "unix", socket_session(self.daemon.unix)
        yield "tcp", tcp_session(*self.daemon.tcp)

    def each(self, body):
        for transport, session in self.sessions():
            with self.subTest(transport):
                session.error_wrapper = Refused
                try:
                    body(session)
                finally:
                    session.close()

    def assertRefused(self, code, session, *call):
        with self.assertRaises(Refused) as caught:
            session.request(*call)
        self.assertEqual(str(caught.exception).split(" ")[0].rstrip(":"), code)

    def test_objects(self):
        def body(session):
            value = {"text": "grüße", "numbers": [1, -1, 2 ** 40, 1.5], "raw": b"\xff\x00", "none": None, "yes": True}
            obj = session.request("put", value)
            self.assertGreater(obj, 2 ** 32)
            self.assertEqual(session.request("get", obj), value)
            self.assertEqual(session.request("retain", obj), 2)
            self.assertEqual(session.request("retain", obj, 3), 5)
            self.assertEqual(session.request("release", obj, 4), 1)
            node = session.request("put", None, {"refs": [obj, None], "tag": "node"})
            self.assertEqual(session.request("refs", node), [obj, None])
            self.assertEqual(session.request("release", [obj]), [0])
            self.assertEqual(session.request("get", [obj, obj]), [value, value])
            self.assertEqual(session.request("link", node, 0, None), obj)
            self.assertRefused("GONE", session, "get", obj)
            self.assertEqual(session.request("release", node), 0)
        self.each(body)

    def test_errors(self):
        def body(session):
            self.assertRefused("NOMETHOD", session, "nvim_get_api_info")
            self.assertRefused("BADARG", session, "put")
            self.assertRefused("GONE", session, "get", 12345678901)
            self.assertRefused("NOTFOUND", session, "lookup", "nothing")
            self.assertIsInstance(session.request("ping"), int)
        self.each(body)

    def test_hello_names_and_tickets(self):
        def body(session):
            hello = session.request("hello", {"name": "pynvim", "client": "pynvim"})
            self.assertEqual(hello["ignored"], ["client"])
            obj = session.request("put", "x", {"tag": "t"})
            session.request("name", "shared", obj)
            ticket = session.request("share", obj)
            self.assertEqual(session.request("claim", ticket), obj)
            self.assertEqual(session.request("lookup", "shared"), obj)
            self.assertEqual(session.request("inspect", obj)["count"], 4)
            self.assertEqual(session.request("names", 0), [0, [["shared", obj]]])
            self.assertIs(session.request("unname", "shared"), True)
            self.assertEqual(session.request("bye"), 3)
        self.each(body)

    def test_notifications(self):
        def body(session):
            obj = session.request("put", "x")
            session.request("retain", obj, 5, async_=True)
            self.assertEqual(session.request("inspect", obj)["count"], 6)
            session.request("nonsense", async_=True)
            self.assertEqual(session.request("release", obj, 6), 0)
        self.each(body)

    def test_large_value(self):
        def body(session):
            blob = bytes(range(256)) * 20000
            obj = session.request("put", blob)
            self.assertEqual(session.request("get", obj), blob)
            session.request("release", obj)
        self.each(body)


if __name__ == "__main__":
    unittest.main()
