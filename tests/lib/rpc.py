# SPDX-License-Identifier: BSD-3-Clause
"""A raw MessagePack-RPC client for tests: it sees every byte, and checks the shape of every reply.

It is not a client library: it can send what no client should (raw bytes, half frames, odd encodings),
and it refuses what the contract forbids the daemon to send: a reply whose first byte is not 0x94, an
error that is not a non-empty str of the form `CODE key=value ...: text`, a result beside an error,
an integer of 2^53 or more outside a stored value, an event on a connection that never asked for one.
"""
import re
import socket
import struct
import time

import msgpack

DEADLINE_S = 30.0

CODES = frozenset("""NOTFOUND GONE NOTHELD EXISTS CONFLICT SEALED UNSEALED OOM QUOTA LIMIT TOOBIG NOAUTH NOPERM
    EXPIRED TIMEOUT BUSY DRAINING BADARG BADFRAME NOMETHOD INTERNAL""".split())

ERROR_SHAPE = re.compile(r"([A-Z]+)((?: [a-z_]+=\S*?)*) ?: (.*\S.*)", re.DOTALL)

# Methods after which events may come.
ASKING_METHODS = frozenset(["watch", "guard", "subscribe"])

# Methods whose results carry values of clients, which may hold any integer.
VALUE_METHODS = frozenset(["get", "fetch"])


class Closed(Exception):
    """The daemon closed the connection."""


class Raw(bytes):
    """Bytes that are MessagePack already; `encode` copies them."""


class RpcError(Exception):
    """An error reply. code: its first word; fields: its key=value pairs; text: all of it."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text
        match = ERROR_SHAPE.fullmatch(text)
        if not match:
            raise AssertionError("an error must be `CODE key=value ...: text`, got %r" % text)
        self.code = match.group(1)
        if self.code not in CODES:
            raise AssertionError("no such code in the contract: %r" % text)
        self.fields = dict(pair.split("=", 1) for pair in match.group(2).split())


class Refused(RpcError):
    """An error under msgid 0, which was not asked: the connection itself is refused, or its bytes are."""


def _array_header(count):
    if count < 16:
        return bytes([0x90 | count])
    if count < 65536:
        return b"\xdc" + struct.pack(">H", count)
    return b"\xdd" + struct.pack(">I", count)


def _map_header(count):
    if count < 16:
        return bytes([0x80 | count])
    return b"\xde" + struct.pack(">H", count)


def encode(value):
    """MessagePack of `value`; Raw parts are copied as they are. str: surrogates stand for odd bytes."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return _array_header(len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, dict):
        return _map_header(len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")


def request_bytes(msgid, method, params):
    return encode([0, msgid, method, list(params)])


def notification_bytes(method, params):
    return encode([2, method, list(params)])


def _unpacker():
    return msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", strict_map_key=False,
                            max_buffer_size=2 ** 31 - 1)


def decode(data):
    unpacker = _unpacker()
    unpacker.feed(data)
    return unpacker.unpack()


def _check_integers(value):
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, int) and not isinstance(item, bool) and abs(item) >= 2 ** 53:
            raise AssertionError("an integer of 2^53 or more was sent to a client: %d" % item)
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())


class Reply:
    """One response: raw bytes, msgid, error (str or None), result, and the result's own bytes."""

    def __init__(self, raw):
        self.raw = raw
        if raw[0] != 0x94 or raw[1] != 0x01:
            raise AssertionError("a response begins 94 01, got %s" % raw[:16].hex(" "))
        unpacker = _unpacker()
        unpacker.feed(raw)
        unpacker.read_array_header()
        unpacker.skip()
        self.msgid = unpacker.unpack()
        if type(self.msgid) is not int or not 0 <= self.msgid < 2 ** 32:
            raise AssertionError("msgid is a uint32, got %r" % (self.msgid,))
        self.error = unpacker.unpack()
        self.result_raw = raw[unpacker.tell():]
        if self.error is not None:
            if type(self.error) is not str or not self.error:
                raise AssertionError("an error is a non-empty str, got %r" % (self.error,))
            if self.result_raw != b"\xc0":
                raise AssertionError("a result beside an error: %s" % self.result_raw[:32].hex(" "))

    @property
    def result(self):
        """The result, decoded; a value of a client may be one that Python cannot decode (result_raw then)."""
        return decode(self.result_raw)

    def exception(self):
        return None if self.error is None else RpcError(self.error)

    def value(self):
        if self.error is not None:
            raise RpcError(self.error)
        return self.result


class Event:
    """One event: seq, topic, map, and its raw bytes."""

    def __init__(self, raw):
        self.raw = raw
        # Strict clients read the heads literally: fixarray 3, kind 2, fixstr "event", fixarray 3.
        if not raw.startswith(b"\x93\x02\xa5event\x93"):
            raise AssertionError("an event begins 93 02 a5 65 76 65 6e 74 93, got %s" % raw[:16].hex(" "))
        self.seq, self.topic, self.map = decode(raw)[2]
        if type(self.seq) is not int or type(self.topic) is not str or type(self.map) is not dict:
            raise AssertionError("an event is [seq, topic, map], got %r" % (decode(raw)[2],))
        _check_integers(decode(raw))

    def __repr__(self):
        return "Event(%d, %r, %r)" % (self.seq, self.topic, self.map)


class Client:
    """One connection. address: path of a unix socket, or (host, port)."""

    def __init__(self, address, hello=None, deadline_s=DEADLINE_S):
        self.deadline_s = deadline_s
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        # A blocking connect with a send time-out: a full backlog waits, and not for ever.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(deadline_s), 0))
        try:
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise
        self.sock.settimeout(deadline_s)
        self.next_msgid = 1
        self.buffer = bytearray()
        self.unpacker = _unpacker()
        self.consumed = 0
        self.hello_result = None
        self.asked = False  # for events
        self.events = []    # those that came before a reply
        if hello is not None:
            try:
                self.hello_result = self.call("hello", hello)
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    # Sending -------------------------------------------------------------------------------------

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error

    def send_some(self, data):
        """Sends what the socket takes now; the number of bytes, 0 if it takes none."""
        try:
            return self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error

    def request(self, method, *params, msgid=None):
        """Sends a request without waiting; its msgid."""
        if msgid is None:
            msgid = self.next_msgid
            self.next_msgid = (self.next_msgid + 1) & 0xffffffff
        self.asked |= method in ASKING_METHODS
        self.send_raw(request_bytes(msgid, method, params))
        return msgid

    def notify(self, method, *params):
        self.asked |= method in ASKING_METHODS
        self.send_raw(notification_bytes(method, params))

    # Receiving -----------------------------------------------------------------------------------

    def _feed(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer within %.0f s" % self.deadline_s)
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError as error:
            raise Closed("reset") from error
        finally:
            self.sock.settimeout(self.deadline_s)
        if not data:
            raise Closed("end of stream, %d bytes of a frame unread" % len(self.buffer))
        self.buffer += data
        self.unpacker.feed(data)

    def recv_frame(self, deadline_s=None):
        """The bytes of the next frame."""
        deadline = time.monotonic() + (self.deadline_s if deadline_s is None else deadline_s)
        while True:
            try:
                self.unpacker.skip()
            except msgpack.OutOfData:
                self._feed(deadline)
                continue
            end = self.unpacker.tell()
            raw = bytes(self.buffer[:end - self.consumed])
            del self.buffer[:end - self.consumed]
            self.consumed = end
            return raw

    def _event(self, raw):
        if not self.asked:
            raise AssertionError("an event on a connection that asked for none: %s" % raw[:64].hex(" "))
        return Event(raw)

    def recv(self, deadline_s=None):
        """The next reply; events before it are kept."""
        while True:
            raw = self.recv_frame(deadline_s)
            if raw[0] != 0x93:
                return Reply(raw)
            self.events.append(self._event(raw))

    def next_event(self, deadline_s=None):
        if self.events:
            return self.events.pop(0)
        raw = self.recv_frame(deadline_s)
        if raw[0] != 0x93:
            raise AssertionError("expected an event, got %s" % raw[:64].hex(" "))
        return self._event(raw)

    def no_event(self):
        """Fails if an event has come: whatever was to be told is behind the reply to the request before this one, and
        before the reply to this one."""
        self.call("ping")
        self.call("ping")
        if self.events:
            raise AssertionError("unexpected: %r" % self.events)

    def wait_closed(self):
        """Waits until the daemon has closed the connection; fails if anything else comes first."""
        try:
            raw = self.recv_frame()
        except Closed:
            return
        raise AssertionError("expected the end of the connection, got %s" % raw[:64].hex(" "))

    def drain_until_closed(self):
        """All replies up to the end of the connection."""
        replies = []
        while True:
            try:
                replies.append(self.recv())
            except Closed:
                return replies

    # Calling -------------------------------------------------------------------------------------

    def reply(self, method, *params):
        """The reply to one request, error or not."""
        msgid = self.request(method, *params)
        reply = self.recv()
        if reply.msgid != msgid:
            if reply.msgid == 0 and reply.error:
                raise Refused(reply.error)  # of the connection, not of this request
            raise AssertionError("answer to msgid %d, asked %d" % (reply.msgid, msgid))
        if method not in VALUE_METHODS:
            _check_integers(reply.result)
        return reply

    def call(self, method, *params):
        """The result, or RpcError."""
        return self.reply(method, *params).value()

    def error(self, method, *params):
        """The RpcError that this call must end with."""
        reply = self.reply(method, *params)
        if reply.error is None:
            raise AssertionError("%s%r must fail, got %r" % (method, params, reply.result))
        return reply.exception()

    def code(self, method, *params):
        return self.error(method, *params).code

    def pipeline(self, calls, window=512):
        """Sends [(method, params...), ...]; the replies, which must come in that order."""
        replies = []
        for start in range(0, len(calls), window):
            first = self.next_msgid
            part = calls[start:start + window]
            self.asked |= any(call[0] in ASKING_METHODS for call in part)
            self.send_raw(b"".join(request_bytes(first + i, c[0], c[1:]) for i, c in enumerate(part)))
            self.next_msgid += len(part)
            for i in range(len(part)):
                reply = self.recv()
                if reply.msgid != first + i:
                    raise AssertionError("answer to msgid %d, expected %d" % (reply.msgid, first + i))
                replies.append(reply)
        return replies

    def bulk(self, frames, window=64):
        """Sends ready requests (bytes), `window` of them at a time; the replies as [1, msgid, error, result],
        decoded and not looked at: for numbers where `pipeline` would take too long."""
        assert not self.buffer, "replies are waited for elsewhere"
        replies, unpacker = [], _unpacker()
        for start in range(0, len(frames), window):
            part = frames[start:start + window]
            self.send_raw(b"".join(part))
            while len(replies) < start + len(part):
                data = self.sock.recv(1 << 20)
                if not data:
                    raise Closed("end of stream after %d of %d replies" % (len(replies), len(frames)))
                unpacker.feed(data)
                replies.extend(unpacker)
        return replies

    def results(self, calls, window=512):
        return [reply.value() for reply in self.pipeline(calls, window)]


def poll(condition, what, deadline_s=DEADLINE_S):
    """Calls `condition` until it is true; the time it may take is bounded, not measured."""
    deadline = time.monotonic() + deadline_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError("not within %.0f s: %s" % (deadline_s, what))
        time.sleep(0.005)


def walk_cursor(client, method, options, between=None):
    """All rows of a cursor method (names, scan). between: called after each page."""
    rows, cursor = [], 0
    while True:
        cursor, page = client.call(method, cursor, options)
        rows.extend(page)
        if cursor == 0:
            return rows
        if between:
            between()
