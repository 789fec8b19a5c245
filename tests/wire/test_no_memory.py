#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""No memory left: what is refused then, what is served, and that nothing is lost."""
import struct

from common import Daemon, poll, unittest
from hostile import MIB, put_frame


class NoMemory(unittest.TestCase):
    LIMIT = 64 * MIB

    def fill(self, client, size):
        """Puts until not even one more fits; the ids and the last error."""
        ids, items = [], 1024 if size < 10000 else 1
        while True:
            reply = client.reply("put_many", [[bytes(size)]] * items)
            if reply.error is None:
                ids += reply.result
                self.assertLess(len(ids) * size, 4 * self.LIMIT, "no end")
                continue
            error = reply.exception()
            self.assertEqual(error.code, "OOM")
            if items == 1:
                return ids, error
            items //= 2

    def test_oom_and_back(self):
        with Daemon("--max-memory", "64M") as daemon:
            client = daemon.client({"name": "greedy"})
            witness = daemon.client()
            kept, version = witness.call("store", "kept", "old")
            mutable = witness.call("put", "small")
            before = witness.call("stats", "objects")
            for size in (MIB, 100000, 3000, 40):
                ids, error = self.fill(client, size)
                self.assertLessEqual({"need", "free"}, set(error.fields), error.text)
                self.assertLess(int(error.fields["free"]), int(error.fields["need"]), error.text)
                used = witness.call("stats", "memory")
                self.assertLessEqual(used["used"], used["limit"])
                self.assertLessEqual(used["limit"], self.LIMIT)
                self.assertGreater(len(ids) * (size + 68), self.LIMIT // 3, "most of the memory was of use")
                if not daemon.sanitized():
                    self.assertLess(daemon.memory(), 2 * self.LIMIT)
                # Nothing has changed where it failed; reading, releasing and asking work.
                big = bytes(8 * MIB)
                self.assertEqual(client.error("set", ids[0], big).code, "OOM")
                self.assertEqual(witness.error("set", mutable, big).code, "OOM")
                self.assertEqual(witness.error("store", "kept", big).code, "OOM")
                self.assertEqual(witness.error("put_many", [["a"], [big]]).code, "OOM")
                self.assertEqual(witness.call("fetch", "kept", {"version": True}), ["old", version])
                self.assertEqual(witness.call("get", [kept, mutable]), ["old", "small"])
                self.assertEqual(client.call("get", ids[0]), bytes(size))
                self.assertEqual(witness.call("stats", "objects")["count"], len(ids) + before["count"])
                verified = witness.call("verify")
                self.assertEqual((verified["ok"], verified["findings"]), (True, []))
                for start in range(0, len(ids), 1024):
                    client.call("release", ids[start:start + 1024])
                poll(lambda: witness.call("stats", "gc")["backlog"] == 0, "all is freed")
                after = witness.call("stats", "objects")
                self.assertEqual((after["count"], after["bytes"]), (before["count"], before["bytes"]))
                # Memory goes back to the machine, but for the table of objects, which remembers serials.
                bound = self.LIMIT // 4 if size > 1000 else self.LIMIT * 2 // 3
                poll(lambda: daemon.sanitized() or daemon.memory() < bound, "memory is given back")
                # And the same fits again.
                obj = client.call("put", bytes(8 * MIB))
                self.assertEqual(client.call("release", obj), 0)
            client.close()
            witness.close()

    def test_links_and_names_until_oom(self):
        with Daemon("--max-memory", "32M") as daemon:
            client = daemon.client()
            leaf = client.call("put", "leaf")
            count, failed = 0, None
            while failed is None:
                for reply in client.pipeline([("name", "name-%09d-%s" % (count + i, "x" * 200), leaf) for i in range(500)]):
                    if reply.error:
                        failed = failed or reply.exception()
                    else:
                        count += 1
                self.assertLess(count, 1000000)
            self.assertEqual(failed.code, "OOM")
            self.assertEqual(client.call("inspect", leaf)["held_by"]["names"], count)
            verified = client.call("verify")
            self.assertEqual((verified["ok"], verified["findings"]), (True, []))
            names = ["name-%09d-%s" % (i, "x" * 200) for i in range(count)]
            for start in range(0, count, 1000):
                client.call("unname", names[start:start + 1000])
            self.assertEqual(client.call("inspect", leaf)["count"], 1)
            self.assertIs(type(client.call("name", "again", leaf)), int)
            client.close()

    def test_open_objects_until_oom(self):
        with Daemon("--max-memory", "64M") as daemon:
            client = daemon.client()
            # Size alone may be granted or not; bytes that arrive are backed, or OOM.
            reply = client.reply("put", None, {"size": 2 ** 31})
            if reply.error is None:
                obj, offset = reply.result, 0
                while True:
                    reply = client.reply("write", obj, offset, bytes(MIB))
                    if reply.error:
                        break
                    offset += MIB
                    self.assertLess(offset, 256 * MIB)
                self.assertEqual(reply.exception().code, "OOM")
                self.assertEqual(client.call("release", obj), 0)
            else:
                self.assertIn(reply.exception().code, ("OOM", "TOOBIG"))
            obj = client.call("put", None, {"size": 20 * MIB})
            for i in range(20):
                client.call("write", obj, i * MIB, b"v" * MIB)
            client.call("seal", obj)
            self.assertEqual(client.call("get", obj, {"offset": 20 * MIB - 3}), b"vvv")
            client.close()

    def test_unfinished_frames_of_many(self):
        # Each within the limit of a frame, together above the daemon's memory.
        with Daemon("--max-memory", "64M") as daemon:
            witness = daemon.client()
            obj = witness.call("put", "kept")
            size = 5 * MIB
            for head, body in ((b"\xdd" + struct.pack(">I", size), b"\xc0" * (size - 1)),
                               (b"\xc6" + struct.pack(">I", size), bytes(size - 1)),
                               (b"\xdc\x00\x06", (b"\xc6" + struct.pack(">I", MIB) + bytes(MIB)) * 5)):
                clients = []
                for _ in range(40):
                    client = daemon.client()
                    client.send_raw(put_frame(1, head) + body)
                    clients.append(client)
                    self.assertEqual(witness.call("get", obj), "kept")
                if not daemon.sanitized():
                    self.assertLess(daemon.memory(), 2 * self.LIMIT)
                self.assertEqual(witness.call("release", witness.call("put", "small")), 0)
                for client in clients:
                    client.close()
                poll(lambda: self.fits(witness, 8 * MIB), "all of it is free again")
            witness.close()

    @staticmethod
    def fits(client, size):
        reply = client.reply("put", bytes(size))
        return reply.error is None and client.call("release", reply.result) == 0

    def test_default_pool_and_others_share_the_limit(self):
        with Daemon("--max-memory", "64M") as daemon:
            first = daemon.client()
            total = 0
            for i in range(4):
                first.call("pool_create", "p%d" % i)
            for client in [daemon.client({"pool": "p%d" % i}) for i in range(4)]:
                for _ in range(200):
                    reply = client.reply("put", bytes(MIB))
                    if reply.error:
                        self.assertEqual(reply.exception().code, "OOM")
                        break
                    total += MIB
                client.close()
            self.assertLessEqual(total, self.LIMIT)
            first.close()


if __name__ == "__main__":
    unittest.main()
