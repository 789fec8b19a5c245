#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Exact bytes: of a script of requests and replies, of every encoding of an integer, of every value."""
import math
import re
import struct

from common import Raw, WireTest, encode, unittest

# Any integer that the daemon may send for an id.
ID_PATTERN = rb"([\x00-\x7f]|\xcc.|\xcd..|\xce....|\xcf........)"

# (request, reply) in hex. <x> in a reply: an id, remembered as x; in a request: that id, as uint64.
# ~CODE~ in a reply: a str that begins with CODE and a space or colon. Blanks mean nothing.
SCRIPT = [
    # ping under msgid 0; its result is the time, a uint64
    ("94 00 00 a4 70696e67 90", "94 01 00 c0 <time>"),
    # put "hello"
    ("94 00 01 a3 707574 91 a5 68656c6c6f", "94 01 01 c0 <a>"),
    # get a; method as bin
    ("94 00 02 a3 676574 91 <a>", "94 01 02 c0 a5 68656c6c6f"),
    ("94 00 02 c4 03 676574 91 <a>", "94 01 02 c0 a5 68656c6c6f"),
    # get a, {offset: 1, len: 3}: a part is bin
    ("94 00 03 a3 676574 92 <a> 82 a6 6f6666736574 01 a3 6c656e 03", "94 01 03 c0 c4 03 656c6c"),
    # get [a, a]
    ("94 00 04 a3 676574 91 92 <a> <a>", "94 01 04 c0 92 a5 68656c6c6f a5 68656c6c6f"),
    # retain a, 2 -> 3; retain a -> 4; retain a, nil -> 5
    ("94 00 05 a6 72657461696e 92 <a> 02", "94 01 05 c0 03"),
    ("94 00 06 a6 72657461696e 91 <a>", "94 01 06 c0 04"),
    ("94 00 07 a6 72657461696e 92 <a> c0", "94 01 07 c0 05"),
    # release a, 4 -> 1
    ("94 00 08 a7 72656c65617365 92 <a> 04", "94 01 08 c0 01"),
    # put nil, {refs: [a, nil]}
    ("94 00 09 a3 707574 92 c0 81 a4 72656673 92 <a> c0", "94 01 09 c0 <b>"),
    ("94 00 0a a4 72656673 91 <b>", "94 01 0a c0 92 <a> c0"),
    # link b, 0, nil -> a
    ("94 00 0b a4 6c696e6b 93 <b> 00 c0", "94 01 0b c0 <a>"),
    ("94 00 0c a4 6c696e6b 93 <b> 00 <a>", "94 01 0c c0 c0"),
    # seal b -> true; link on it then fails
    ("94 00 0d a4 7365616c 91 <b>", "94 01 0d c0 c3"),
    ("94 00 0e a4 6c696e6b 93 <b> 00 c0", "94 01 0e ~SEALED~ c0"),
    # release [a, b] -> [0, 0]; both are gone
    ("94 00 0f a7 72656c65617365 91 92 <a> <b>", "94 01 0f c0 92 00 00"),
    ("94 00 10 a3 676574 91 <a>", "94 01 10 ~GONE~ c0"),
    ("94 00 11 a7 72656c65617365 91 <a>", "94 01 11 ~NOTHELD~ c0"),
    # msgids of every width come back as sent
    ("94 00 7f a4 67657420 90", "94 01 7f ~NOMETHOD~ c0"),
    ("94 00 cc ff a4 67657420 90", "94 01 cc ff ~NOMETHOD~ c0"),
    ("94 00 cd ffff a4 67657420 90", "94 01 cd ffff ~NOMETHOD~ c0"),
    ("94 00 ce ffffffff a4 67657420 90", "94 01 ce ffffffff ~NOMETHOD~ c0"),
    # every header of the frame in a longer encoding than needed
    ("dc 0004 cc 00 ce 00000012 d9 03 707574 dd 00000001 a1 78", "94 01 12 c0 <c>"),
    ("dd 00000004 d0 00 d1 0013 db 00000003 676574 dc 0001 <c>", "94 01 13 c0 a1 78"),
    ("94 00 14 c6 00000007 72656c65617365 91 <c>", "94 01 14 c0 00"),
    # names: versions are the pool's own numbers, so only names that do not exist
    ("94 00 15 a6 6c6f6f6b7570 91 a4 6e6f6e65", "94 01 15 ~NOTFOUND~ c0"),
    ("94 00 16 a5 6e616d6573 91 00", "94 01 16 c0 92 00 90"),
    ("94 00 17 a6 756e6e616d65 91 92 a4 6e6f6e65 a1 78", "94 01 17 ~NOTFOUND~ c0"),
    # bye: one object is still held
    ("94 00 18 a3 707574 91 c3", "94 01 18 c0 <d>"),
    ("94 00 19 a3 627965 90", "94 01 19 c0 01"),
]


class Script(WireTest):
    def play(self, client):
        ids = {}
        for sent, expected in SCRIPT:
            request = b"".join(self.request_part(part, ids) for part in re.findall(r"<\w+>|[0-9a-f]{2}", sent))
            client.send_raw(request)
            raw = client.recv_frame()
            at = 0
            for part in re.findall(r"<\w+>|~\w+~|[0-9a-f]{2}", expected):
                at = self.reply_part(part, raw, at, ids, sent)
            self.assertEqual(raw[at:].hex(), "", "bytes after the reply to " + sent)
        client.wait_closed()

    @staticmethod
    def request_part(part, ids):
        if part.startswith("<"):
            return b"\xcf" + struct.pack(">Q", ids[part])
        return bytes.fromhex(part)

    def reply_part(self, part, raw, at, ids, sent):
        context = "request %s\nreply %s\nat byte %d: expected %s" % (sent, raw.hex(" "), at, part)
        if part.startswith("<"):
            match = re.compile(ID_PATTERN, re.DOTALL).match(raw, at)
            self.assertTrue(match, context)
            digits = match.group(1)
            number = digits[0] if len(digits) == 1 else int.from_bytes(digits[1:], "big")
            self.assertTrue(1 <= number < 2 ** 53, context)
            self.assertEqual(ids.setdefault(part, number), number, context)
            return match.end()
        if part.startswith("~"):
            match = re.compile(rb"(?:[\xa1-\xbf]|\xd9.|\xda..)%s[ :]" % part[1:-1].encode(), re.DOTALL).match(raw, at)
            self.assertTrue(match, context)
            kind = raw[at]
            if kind == 0xda:
                return at + 3 + int.from_bytes(raw[at + 1:at + 3], "big")
            return at + 2 + raw[at + 1] if kind == 0xd9 else at + 1 + (kind & 0x1f)
        self.assertEqual(raw[at:at + 1].hex(), part, context)
        return at + 1

    def test_script_unix(self):
        self.play(self.c)

    def test_script_tcp(self):
        self.play(self.client(tcp=True))

    def test_script_in_one_write_and_byte_by_byte(self):
        # Requests without ids of the run, so that they can be made beforehand.
        plain = [step for step in SCRIPT[:-1] if "<" not in step[0] + step[1]]
        data = b"".join(bytes.fromhex(sent) for sent, _ in plain)
        whole = self.client()
        whole.send_raw(data)
        single = self.client()
        for i in range(len(data)):
            single.send_raw(data[i:i + 1])
        for sent, expected in plain:
            for client in (whole, single):
                raw, at = client.recv_frame(), 0
                for part in re.findall(r"~\w+~|[0-9a-f]{2}", expected):
                    at = self.reply_part(part, raw, at, {}, sent)


def integer_encodings(number):
    """Every MessagePack encoding that holds `number` exactly."""
    found = []
    if 0 <= number < 128:
        found.append(struct.pack(">B", number))
    if -32 <= number < 0:
        found.append(struct.pack(">b", number))
    for head, form, low, high in ((0xcc, "B", 0, 2 ** 8), (0xcd, "H", 0, 2 ** 16), (0xce, "I", 0, 2 ** 32),
                                  (0xcf, "Q", 0, 2 ** 64), (0xd0, "b", -2 ** 7, 2 ** 7),
                                  (0xd1, "h", -2 ** 15, 2 ** 15), (0xd2, "i", -2 ** 31, 2 ** 31),
                                  (0xd3, "q", -2 ** 63, 2 ** 63)):
        if low <= number < high:
            found.append(bytes([head]) + struct.pack(">" + form, number))
    if struct.unpack(">f", struct.pack(">f", number))[0] == number:
        found.append(b"\xca" + struct.pack(">f", number))
    if float(number) == number:
        found.append(b"\xcb" + struct.pack(">d", number))
    return [Raw(data) for data in found]


NOT_INTEGERS = [Raw(data) for data in (
    b"\xca" + struct.pack(">f", 1.5), b"\xcb" + struct.pack(">d", 1.5), b"\xcb" + struct.pack(">d", 1e-300),
    b"\xcb" + struct.pack(">d", math.inf), b"\xcb" + struct.pack(">d", -math.inf),
    b"\xcb" + struct.pack(">d", math.nan), b"\xca" + struct.pack(">f", math.nan),
    b"\xca" + struct.pack(">f", math.inf), b"\xcb" + struct.pack(">d", 2.0 ** 53),
    b"\xcb" + struct.pack(">d", 1e300), b"\xcb" + struct.pack(">d", -1.0), b"\xff", b"\xd0\xff",
    b"\xd3" + struct.pack(">q", -2 ** 63), b"\xcf" + struct.pack(">Q", 2 ** 64 - 1),
    b"\xcf" + struct.pack(">Q", 2 ** 53), b"\xa1\x31", b"\xc3", b"\xc4\x01\x01")]


class Integers(WireTest):
    def test_ids(self):
        obj = self.c.call("put", "x")
        self.assertGreater(obj, 2 ** 32, "serials start above zero")
        encodings = integer_encodings(obj)
        self.assertGreaterEqual(len(encodings), 3)
        for data in encodings:
            self.assertEqual(self.c.call("get", data), "x")
            self.assertEqual(self.c.call("get", [data]), ["x"])
            self.assertEqual(self.c.call("refs", self.c.call("put", None, {"refs": [data]})), [obj])
            self.assertEqual(len(self.c.call("put_many", [["y", [data, None]]])), 1)

    def test_ids_of_every_width_that_never_lived(self):
        for number in (1, 127, 200, 2 ** 15, 2 ** 16 - 1, 2 ** 24, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 40, 2 ** 53 - 2 ** 31):
            encodings = integer_encodings(number)
            self.assertGreaterEqual(len(encodings), 3)
            for data in encodings:
                # An index of 2^31 or more is no id.
                self.assertCode(("GONE", "BADARG") if number & 0x80000000 else "GONE", self.c, "get", data)

    def test_n(self):
        obj = self.c.call("put", "x")
        held = 1
        for number in (1, 127, 128, 255, 256, 65535, 65536, 2 ** 20):
            for data in integer_encodings(number):
                held += number
                self.assertEqual(self.c.call("retain", obj, data), held, data.hex())
                held -= number
                self.assertEqual(self.c.call("release", obj, data), held, data.hex())

    def test_offset_len_slot_version_cursor_limit(self):
        blob = self.c.call("put", bytes(range(256)) * 2)
        for data in integer_encodings(100):
            self.assertEqual(self.c.call("get", blob, {"offset": data, "len": data}), bytes(range(100, 200)))
        buffer = self.c.call("put", None, {"size": 200})
        for data in integer_encodings(100):
            self.assertEqual(self.c.call("write", buffer, data, b"ab"), 2)
        for data in integer_encodings(200):
            self.c.call("put", None, {"size": data})
        node = self.c.call("put", None, {"refs": [blob, None]})
        for data in integer_encodings(1):
            self.c.call("link", node, data, blob)
        for data in integer_encodings(0):
            self.c.call("names", data)
            self.c.call("scan", data, {"limit": 10})
            self.assertCode("CONFLICT", self.c, "set", node, 1, {"if_version": data})
        for data in integer_encodings(5):
            self.assertLessEqual(len(self.c.call("scan", 0, {"limit": data})[1]), 5)
            self.c.call("share", blob, {"uses": data, "ttl_ms": Raw(encode(60000.0))})

    def test_what_is_no_integer(self):
        obj = self.c.call("put", b"x")
        for data in NOT_INTEGERS:
            with self.subTest(data.hex()):
                self.assertCode("BADARG", self.c, "get", data)
                self.assertCode("BADARG", self.c, "get", [obj, data])
                self.assertCode("BADARG", self.c, "retain", obj, data)
                self.assertCode("BADARG", self.c, "release", obj, data)
                self.assertCode("BADARG", self.c, "get", obj, {"offset": data})
                self.assertCode("BADARG", self.c, "put", 1, {"refs": [data]})
                self.assertCode("BADARG", self.c, "share", obj, {"ttl_ms": data})
        self.assertEqual(self.count(self.c, obj), 1)

    def test_id_zero(self):
        self.assertCode("BADARG", self.c, "get", 0)
        self.assertCode("BADARG", self.c, "retain", [self.c.call("put", 1), 0])


class Params(WireTest):
    def test_nil_positional_is_the_default(self):
        obj = self.c.call("put", "x")
        self.assertEqual(self.c.call("retain", obj, None), 2)
        self.assertEqual(self.c.call("retain", obj, None, {"site": "here"}), 3)
        self.assertEqual(self.c.call("release", obj, None), 2)
        self.assertEqual(self.c.call("release", obj, None, {}), 1)
        self.assertEqual(sorted(self.c.call("stats", None)), sorted(self.c.call("stats")))

    def test_empty_option_map(self):
        obj = self.c.call("put", "x", {})
        self.assertEqual(self.c.call("get", obj, {}), "x")
        self.assertIs(type(self.c.call("ping", {})), int)

    def test_unknown_options_are_named(self):
        obj = self.c.call("put", "x")
        for method, params in (("put", ["y"]), ("get", [obj]), ("set", [obj, "y"]), ("seal", [obj]), ("refs", [obj]),
                               ("link", [obj, 0, obj]), ("retain", [obj, 1]), ("release", [obj, 1]),
                               ("share", [obj]), ("claim", [bytes(16)]), ("unshare", [bytes(16)]),
                               ("name", ["n", obj]), ("lookup", ["n"]), ("unname", ["n"]), ("names", [0]),
                               ("store", ["n", 1]), ("fetch", ["n"]), ("inspect", [obj]), ("holders", [obj]),
                               ("scan", [0]), ("sessions", []), ("kill", [2 ** 40]), ("pools", []),
                               ("pool_create", ["p"]), ("pool_drop", ["p"]), ("stats", [None]), ("verify", []),
                               ("ping", []), ("methods", []), ("put_many", [[["y"]]]), ("write", [obj, 0, b""]),
                               ("bye", [])):
            with self.subTest(method):
                error = self.assertCode("BADARG", self.c, method, *params, {"tgaa": 1})
                self.assertIn("tgaa", error.text)
        error = self.assertCode("BADARG", self.c, "put_many", [["y", None, {"tgaa": 1}]])
        self.assertIn("tgaa", error.text)
        # Nothing of all this had an effect.
        self.assertEqual(self.c.call("inspect", obj)["count"], 1)
        self.assertEqual(self.c.call("inspect", obj)["state"], "mutable")
        self.assertEqual(self.c.call("get", obj), "x")
        self.assertEqual(self.c.call("names", 0), [0, []])
        self.assertEqual([row["name"] for row in self.c.call("pools")], ["default"])

    def test_option_keys_are_str(self):
        for key in (1, None, b"\xff", True):
            self.assertCode("BADARG", self.c, "put", "x", {key: 1})

    def test_too_many_and_too_few(self):
        obj = self.c.call("put", "x")
        for method, params in (("put", []), ("get", []), ("set", [obj]), ("link", [obj]), ("retain", []),
                               ("name", ["n"]), ("store", ["n"]), ("claim", []), ("kill", []), ("write", [obj])):
            self.assertCode("BADARG", self.c, method, *params)
        for method, params in (("ping", [1]), ("put", ["x", {}, {}]), ("get", [obj, {}, {}]), ("get", [obj, 1]),
                               ("retain", [obj, 1, 1]), ("retain", [obj, {}, 1]), ("seal", [obj, obj])):
            self.assertCode("BADARG", self.c, method, *params)
        self.assertEqual(self.count(self.c, obj), 1)

    def test_option_twice(self):
        twice = Raw(b"\x82\xa3tag\xa1a\xa3tag\xa1b")
        self.assertCode("BADARG", self.c, "put", "x", twice)

    def test_hello_ignores_and_names_unknown_keys(self):
        hello = self.client({"name": "a", "colour": "red", "zz": [1, {"x": None}]}).hello_result
        self.assertEqual(sorted(hello["ignored"]), ["colour", "zz"])
        self.assertEqual(self.client({}).hello_result["ignored"], [])

    def test_str_and_bin_are_one_name(self):
        obj = self.c.call("put", "x")
        self.c.call("name", "köln", obj)
        self.assertEqual(self.c.call("lookup", "köln".encode()), obj)
        self.c.call("store", b"bin-name", 1)
        self.assertEqual(self.c.call("fetch", "bin-name"), 1)
        self.assertEqual(self.c.call("names", 0, {"prefix": b"bin"})[1][0][0], "bin-name")
        self.c.call("unname", [b"k\xc3\xb6ln", "bin-name"])
        ticket = self.c.call("share", obj)
        as_str = Raw(b"\xd9\x10" + ticket)
        self.assertEqual(self.c.call("claim", as_str), obj)
        ticket = self.c.call("share", obj)
        self.assertIs(self.c.call("unshare", Raw(b"\xd9\x10" + ticket)), True)
        tagged = self.c.call("put", 1, {"tag": b"red"})
        self.assertEqual(self.c.call("inspect", tagged)["tag"], "red")
        self.assertEqual(self.c.call("scan", 0, {"tag": "red"})[1], [tagged])

    def test_session_key_as_str(self):
        first = self.client({"name": "a"})
        key = first.hello_result["session"]
        self.assertIs(type(key), bytes)
        again = self.client({"session": Raw(b"\xd9\x10" + key)})
        self.assertEqual(again.hello_result["session"], key)

    def test_methods_as_bin(self):
        obj = self.c.call(b"put", "x")
        self.assertEqual(self.c.call(b"get", obj), "x")
        self.assertEqual(self.c.call(b"release", obj), 0)


def nested(depth):
    """`depth` arrays and maps in turn around nil."""
    data = b"\xc0"
    for i in range(depth):
        data = b"\x91" + data if i % 2 else b"\x81\xa1k" + data
    return data


def values():
    """(name, MessagePack) of every type, width and oddity."""
    yield from (("nil", b"\xc0"), ("false", b"\xc2"), ("true", b"\xc3"))
    for number in (0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 63 - 1, 2 ** 63,
                   2 ** 64 - 1, -1, -32, -33, -128, -129, -2 ** 15, -2 ** 15 - 1, -2 ** 31, -2 ** 31 - 1, -2 ** 63):
        for data in integer_encodings(number):
            yield "int %d as %02x" % (number, data[0]), bytes(data)
    for number in (0.0, -0.0, 1.5, math.inf, -math.inf, 1e-45, 3.4e38):
        yield "float32 %r" % number, b"\xca" + struct.pack(">f", number)
        yield "float64 %r" % number, b"\xcb" + struct.pack(">d", number)
    yield "float32 nan with a payload", b"\xca\x7f\xc0\x12\x34"
    yield "float64 nan with a payload", b"\xcb\x7f\xf8\x00\x00\xde\xad\xbe\xef"
    yield "float64 signalling nan", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x01"
    for size in (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 255, 256, 4095, 4096, 65535, 65536, 300000):
        body = bytes(i * 7 % 251 for i in range(size))
        text = bytes(0x20 + i % 90 for i in range(size))
        if size < 32:
            yield "fixstr %d" % size, bytes([0xa0 | size]) + text
        if size < 256:
            yield "str8 %d" % size, b"\xd9" + bytes([size]) + text
            yield "bin8 %d" % size, b"\xc4" + bytes([size]) + body
        if size < 65536:
            yield "str16 %d" % size, b"\xda" + struct.pack(">H", size) + text
            yield "bin16 %d" % size, b"\xc5" + struct.pack(">H", size) + body
        yield "str32 %d" % size, b"\xdb" + struct.pack(">I", size) + text
        yield "bin32 %d" % size, b"\xc6" + struct.pack(">I", size) + body
        yield "str32 of invalid UTF-8 %d" % size, b"\xdb" + struct.pack(">I", size) + b"\xff" * size
    yield "fixstr of invalid UTF-8", b"\xa4\xff\xfe\x00\x80"
    yield "a session's key as str", b"\xb0" + bytes(range(240, 256))
    for head, size in ((0xd4, 1), (0xd5, 2), (0xd6, 4), (0xd7, 8), (0xd8, 16)):
        for kind in (0, 1, 127, 0x80, 0xff):
            yield "fixext%d of type %d" % (size, kind), bytes([head, kind]) + bytes(range(size))
    for size in (0, 1, 4, 12, 255):
        yield "ext8 %d" % size, b"\xc7" + bytes([size, 5]) + bytes(size)
        yield "ext16 %d" % size, b"\xc8" + struct.pack(">H", size) + b"\x05" + bytes(size)
        yield "ext32 %d" % size, b"\xc9" + struct.pack(">I", size) + b"\x05" + bytes(size)
    yield "ext16 of 5000", b"\xc8" + struct.pack(">H", 5000) + b"\x99" + bytes(5000)
    yield "timestamp32", b"\xd6\xff\x5f\x00\x00\x00"
    yield "timestamp64", b"\xd7\xff" + struct.pack(">Q", (999999999 << 34) | (2 ** 34 - 1))
    yield "timestamp96", b"\xc7\x0c\xff" + struct.pack(">Iq", 999999999, -2 ** 40)
    for count in (0, 1, 15, 16, 65535, 65536):
        items = b"\xc3" * count
        pairs = b"".join(b"\xcd" + struct.pack(">H", i & 0xffff) + b"\xc0" for i in range(count))
        if count < 16:
            yield "fixarray %d" % count, bytes([0x90 | count]) + items
            yield "fixmap %d" % count, bytes([0x80 | count]) + pairs
        if count < 65536:
            yield "array16 %d" % count, b"\xdc" + struct.pack(">H", count) + items
            yield "map16 %d" % count, b"\xde" + struct.pack(">H", count) + pairs
        yield "array32 %d" % count, b"\xdd" + struct.pack(">I", count) + items
        yield "map32 %d" % count, b"\xdf" + struct.pack(">I", count) + pairs
    yield "map with odd and equal keys", b"\x85\xc0\x01\x91\xc0\x02\x80\x03\xc4\x01k\x04\xc0\x05"
    for depth in (10, 31, 32, 33, 60, 62):
        yield "nested %d deep" % depth, nested(depth)
    yield "wide and deep", b"\x93" + nested(40) + nested(50) + b"\x82\xa1a" + nested(30) + b"\x01" + nested(20)


class Values(WireTest):
    def test_put_get_same_bytes(self):
        for name, data in values():
            with self.subTest(name):
                obj = self.c.call("put", Raw(data))
                self.assertEqual(self.c.reply("get", obj).result_raw.hex(" "), data.hex(" "))
                self.assertEqual(self.c.call("release", obj), 0)

    def test_set_get_same_bytes(self):
        obj = self.c.call("put", None)
        for name, data in values():
            with self.subTest(name):
                self.c.call("set", obj, Raw(data))
                self.assertEqual(self.c.reply("get", obj).result_raw.hex(" "), data.hex(" "))

    def test_store_fetch_same_bytes(self):
        for name, data in values():
            with self.subTest(name):
                self.c.call("store", "value", Raw(data))
                self.assertEqual(self.c.reply("fetch", "value").result_raw.hex(" "), data.hex(" "))
        self.c.call("unname", "value")

    def test_all_kept_at_once(self):
        # Side by side in the heap, made by put_many and read by arrays of ids.
        kept = [(name, data) for name, data in values() if len(data) < 70000 and not name.endswith(("62 deep", "60 deep"))]
        ids = []
        for start in range(0, len(kept), 50):
            ids += self.c.call("put_many", [[Raw(data)] for _, data in kept[start:start + 50]])
        for start in range(0, len(kept), 50):
            part = kept[start:start + 50]
            expected = encode([Raw(data) for _, data in part])
            got = self.c.reply("get", ids[start:start + 50]).result_raw
            self.assertEqual(got.hex(), expected.hex())
        self.assertVerified(self.c)
        self.assertEqual(self.c.call("release", ids), [0] * len(ids))

    def test_version_beside_a_value(self):
        for name, data in values():
            if name.endswith("62 deep"):
                continue
            obj = self.c.call("put", Raw(data))
            raw = self.c.reply("get", obj, {"version": True}).result_raw
            self.assertEqual(raw[:1 + len(data)].hex(), (b"\x92" + data).hex(), name)
            self.c.call("release", obj)

    def test_parts_are_bin(self):
        for head, body in ((b"\xd9\x0c", b"hello, world"), (b"\xc4\x0c", b"hello, world"),
                           (b"\xac", b"hello, world"), (b"\xdb\x00\x00\x00\x0c", b"\xff\xfehell\x80world")):
            obj = self.c.call("put", Raw(head + body))
            for offset in range(13):
                for length in range(13 - offset):
                    reply = self.c.reply("get", obj, {"offset": offset, "len": length})
                    self.assertEqual(reply.result_raw, b"\xc4" + bytes([length]) + body[offset:offset + length])
            self.assertEqual(self.c.reply("get", obj, {"offset": 3}).result_raw, b"\xc4\x09" + body[3:])
            self.assertEqual(self.c.reply("get", obj, {"len": 3}).result_raw, b"\xc4\x03" + body[:3])


if __name__ == "__main__":
    unittest.main()
