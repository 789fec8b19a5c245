# SPDX-License-Identifier: BSD-3-Clause
"""What outlives a daemon: one of each is put into a pool, and looked for after a start."""
import os

LEASE_MS = 3600000
MIB = 1 << 20


def fill(client):
    """What there is in a pool (client: makes a connection, with a hello), and how to find it again."""
    owner = client({"name": "owner", "lease_ms": LEASE_MS})
    guest = client({"name": "guest", "lease_ms": 0})
    values = [None, 7, -5, 2.5, "text", b"bytes", [1, [2, {"k": "v"}]], "x" * 100, b"y" * 5000, b"z" * 300000,
              os.urandom(5 * MIB)]
    ids = [owner.call("put", value, {"tag": "t%d" % (k % 3)}) for k, value in enumerate(values)]
    graph = owner.call("put_many", [["leaf"], ["a", [-1, None]], ["b", [-1, -2] + [ids[0]] * 20]])
    owner.call("name", "root", graph[2])
    owner.call("release", graph)
    owner.call("set", ids[4], "changed")
    owner.call("seal", ids[6])
    guest.call("retain", ids[3], 4)
    ticket = owner.call("share", ids[5], {"ttl_ms": LEASE_MS, "uses": 3})
    stored = guest.call("store", "stored", {"a": 1})
    gone = [guest.call("put", "gone"), owner.call("put", "released")]
    owner.call("release", gone[1])
    opened = owner.call("put", None, {"size": MIB})
    owner.call("write", opened, 1000, b"begun")
    values[4] = "changed"
    return {"values": dict(zip(ids, values)), "ids": ids, "graph": graph, "ticket": ticket, "stored": stored,
            "gone": gone, "open": opened, "hello": owner.hello_result, "clients": (owner, guest)}


def check(test, client, had):
    """All of that is there, in a later daemon."""
    hello = had["hello"]
    with client({"session": hello["session"]}) as owner, client({"lease_ms": 0}) as other:
        again = owner.hello_result
        test.assertEqual((again["sid"], again["epoch"], again["pool"]), (hello["sid"], hello["epoch"], "default"))
        test.assertEqual(again["held"], len(had["ids"]) + 1)
        for obj, value in had["values"].items():
            test.assertEqual(owner.call("get", obj), value)
            test.assertEqual(owner.call("inspect", obj)["held_by"]["sessions"], 1, "the guest's holds are void")
        test.assertEqual([owner.call("inspect", obj)["tag"] for obj in had["ids"][:4]], ["t0", "t1", "t2", "t0"])
        test.assertEqual(owner.call("get", had["ids"][4], {"version": True})[1] > 1, True)
        test.assertEqual(owner.code("set", had["ids"][6], 1), "SEALED")
        leaf, a, b = had["graph"]
        test.assertEqual(other.call("lookup", "root"), b)
        test.assertEqual(other.call("refs", b), [leaf, a] + [had["ids"][0]] * 20)
        test.assertEqual(other.call("refs", a), [leaf, None])
        test.assertEqual(other.call("claim", had["ticket"]), had["ids"][5])
        test.assertEqual(other.call("fetch", "stored", {"version": True}), [{"a": 1}, had["stored"][1]])
        test.assertEqual(sorted(name for name, _ in other.call("names", 0)[1]), ["root", "stored"])
        for obj in had["gone"]:
            test.assertEqual(other.code("get", obj), "GONE")
        owner.call("write", had["open"], 1005, b" and ended")
        owner.call("seal", had["open"])
        part = other.call("get", had["open"], {"offset": 990, "len": 40})
        test.assertEqual(part, bytes(10) + b"begun and ended" + bytes(15))
        fresh = owner.call("put", "fresh")
        test.assertNotIn(fresh, had["gone"] + had["ids"] + had["graph"])
        test.assertEqual(other.call("verify")["findings"], [])
