#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`holdfast inspect-image` and `holdfast rescue`: what is told of files while no daemon has them, and what is read of damaged
ones."""
import json
import os
import random
import struct
import subprocess
import sys
import unittest

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import ROOT, run  # noqa: E402
from folder import FolderTest, hot_entries  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(ROOT, "build", "holdfast")
LEASE_MS = 3600000
MIB = 1 << 20


class RescueTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.saves = os.path.join(self.dir, "saves")
        self.output = os.path.join(self.dir, "out")

    def fill(self, save=False):
        """What a pool had, by id; its files are left behind."""
        daemon = self.start("--save-dir", self.saves)
        with daemon.client({"name": "owner", "lease_ms": LEASE_MS}) as client:
            values = [None, 7, -3, 2.5, "text", "", b"", b"bytes", [1, {"k": [True, "v"]}], "x" * 5000, b"z" * 20000,
                      os.urandom(3 * MIB)]
            ids = [client.call("put", value, {"tag": "t%d" % k, "site": "s"} if k % 2 else {}) for k, value in enumerate(values)]
            wide = client.call("put", "wide", {"refs": (ids * 800)[:8190]})
            for k in range(1000):
                client.call("link", wide, 8190 + k, ids[k % 3])
            client.call("set", ids[4], "changed")
            client.call("seal", ids[5])
            client.call("name", "root", wide)
            client.call("name", "n" * 255, ids[1])
            client.call("put", None, {"size": 100})
            values[4] = "changed"
            if save:
                client.call("save")
        daemon.stop()
        slots = (ids * 800)[:8190] + [ids[k % 3] for k in range(1000)]
        return {"values": dict(zip(ids, values)), "wide": wide, "slots": slots, "ids": ids}

    def rescue(self, path, code):
        done = subprocess.run([HOLDFAST, "rescue", path, "--output", self.output], capture_output=True, text=True, check=False)
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertEqual(done.returncode, code, done.stderr)
        with open(self.output, "rb") as file:
            maps = list(msgpack.Unpacker(file, strict_map_key=False, max_buffer_size=64 * MIB))
        os.remove(self.output)
        self.assertEqual((maps[0]["rescue"], maps[0]["pool"], maps[-1]["end"]), (1, "default", True))
        objects = {m["object"]: m for m in maps[1:-1] if "name" not in m}
        names = {m["name"]: m["object"] for m in maps[1:-1] if "name" in m}
        self.assertEqual((maps[-1]["objects"], maps[-1]["names"]), (len(objects), len(names)))
        self.assertEqual(maps[-1]["lost"] > 0, code == 1)
        return objects, names, maps[-1], done.stderr

    def check_all(self, had, objects, names):
        for obj, value in had["values"].items():
            self.assertEqual(objects[obj]["value"], value)
        self.assertEqual(objects[had["wide"]]["slots"], had["slots"])
        self.assertEqual(names, {"root": had["wide"], "n" * 255: had["ids"][1]})
        self.assertEqual([objects[obj]["tag"] for obj in had["ids"][:4]], [None, "t1", None, "t3"])
        self.assertEqual(objects[had["ids"][5]]["sealed"], True)
        self.assertGreater(objects[had["ids"][4]]["version"], 1)

    def inspect(self, path, code):
        done = subprocess.run([HOLDFAST, "--json", "inspect-image", path], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        text = subprocess.run([HOLDFAST, "inspect-image", path], capture_output=True, text=True, check=False)
        rows = json.loads(done.stdout)
        self.assertEqual(text.returncode, code)
        for row in rows:
            self.assertIn("pool          %s\n" % row["pool"], text.stdout)
        return rows


class Sound(RescueTest):
    def test_files(self):
        had = self.fill()
        before = self.state("default")
        objects, names, last, err = self.rescue(os.path.join(self.heap, "default"), 0)
        self.check_all(had, objects, names)
        self.assertEqual(last["texts"], [])
        self.assertIn("0 things are lost", err)
        self.rescue(self.heap, 0)
        row, = self.inspect(self.heap, 0)
        self.assertEqual((row["kind"], row["objects"], row["names"], row["sessions"], row["ok"]),
                         ("image", len(had["values"]) + 2, 2, 1, True))
        self.assertEqual(self.state("default"), before, "nothing was changed")

    def test_a_save(self):
        had = self.fill(save=True)
        path = os.path.join(self.saves, "default.save")
        objects, names, _, _ = self.rescue(path, 0)
        self.check_all(had, objects, names)
        row, = self.inspect(path, 0)
        self.assertEqual((row["kind"], row["objects"], row["names"], row["sessions"], row["ok"], row["bytes"]),
                         ("save", len(had["values"]) + 2, 2, 1, True, os.path.getsize(path)))

    def test_wrong_paths(self):
        for args in (["--rescue", "/nowhere/x", "--output", self.output], ["--inspect", "/nowhere"]):
            code, _, err = run(*args)
            self.assertEqual(code, 5, err)
            self.assertFalse(os.path.exists(self.output) and os.path.getsize(self.output))
        for args in (["--rescue", "/nowhere/x"], ["--output", "x"], ["--inspect", ""]):
            self.assertEqual(run(*args)[0], 2)


class Damaged(RescueTest):
    def test_an_entry_and_a_value(self):
        had = self.fill()
        meta = os.path.join(self.heap, "default.meta")
        hot = hot_entries(meta)
        index = {obj: obj & 0xffffffff for obj in had["ids"]}
        with open(meta, "r+b") as file:
            file.seek(hot + 32 * index[had["ids"][9]] + 8)
            file.write(struct.pack("<II", 0xfffffff0, 5000))  # the value's place
            file.seek(hot + 32 * index[had["ids"][0]])
            file.write(bytes(8))  # the state: no object any more
        objects, names, last, err = self.rescue(os.path.join(self.heap, "default"), 1)
        self.assertNotIn(had["ids"][0], objects)
        self.assertNotIn(had["ids"][9], objects)
        for obj in had["ids"][1:9] + had["ids"][10:]:
            self.assertEqual(objects[obj]["value"], had["values"][obj])
        self.assertEqual(names["root"], had["wide"])
        self.assertEqual(objects[had["wide"]]["slots"][:2], [None, had["ids"][1]])
        self.assertIn("object %d: its value lies" % index[had["ids"][9]], "".join(last["texts"]))
        self.assertIn("things are lost", err)
        row, = self.inspect(self.heap, 1)
        self.assertEqual(row["ok"], False)

    def test_random_bytes(self):
        self.fill()
        chance = random.Random(9)
        path = os.path.join(self.heap, "default.meta")
        with open(path, "rb") as file:
            hot, whole = hot_entries(path), file.read(16 * MIB)
        spots = [k for k in range(4096, len(whole), 8) if whole[k:k + 8] != bytes(8)]
        for _ in range(25):
            with open(path, "r+b") as file:
                for at in chance.sample(spots, 20) + [hot + 32 * chance.randrange(1, 14)]:
                    file.seek(at)
                    file.write(chance.randbytes(8))
            code, _, err = run("--rescue", os.path.join(self.heap, "default"), "--output", self.output)
            self.assertIn(code, (0, 1, 5), err)
            self.assertNotIn("Sanitizer", err)
            with open(self.output, "rb") as file:
                self.assertEqual(list(msgpack.Unpacker(file, strict_map_key=False, max_buffer_size=64 * MIB,
                                                       raw=True))[-1][b"end"], True)
            os.remove(self.output)
            with open(path, "r+b") as file:
                file.write(whole)

    def test_a_save_with_a_hole_and_without_an_end(self):
        had = self.fill(save=True)
        path = os.path.join(self.saves, "default.save")
        with open(path, "rb") as file:
            whole = file.read()
        at = whole.index(had["values"][had["ids"][11]][MIB:MIB + 64])
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"damage")
        objects, names, last, _ = self.rescue(path, 1)
        self.assertNotIn(had["ids"][11], objects)
        for obj in had["ids"][:11]:
            self.assertEqual(objects[obj]["value"], had["values"][obj])
        self.assertIn("the file is damaged at byte", last["texts"][0])
        self.assertEqual(len(names), 2)
        row, = self.inspect(path, 1)
        self.assertEqual(row["ok"], False)
        self.assertIn("damaged at byte", row["damage"])
        with open(path, "wb") as file:
            file.write(whole[:len(whole) // 2])
        self.rescue(path, 1)


if __name__ == "__main__":
    unittest.main()
