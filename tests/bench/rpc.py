# SPDX-License-Identifier: BSD-3-Clause
"""The little of MessagePack-RPC that the measurements need to ask a daemon for its statistics (Python's
library has none)."""
import socket
import struct

SIZED = {0xc4: ("bin", 1), 0xc5: ("bin", 2), 0xc6: ("bin", 4), 0xd9: ("str", 1), 0xda: ("str", 2), 0xdb: ("str", 4),
         0xdc: ("array", 2), 0xdd: ("array", 4), 0xde: ("map", 2), 0xdf: ("map", 4)}
NUMBERS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q",
           0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
CONSTANTS = {0xc0: None, 0xc2: False, 0xc3: True}


def _packed(parameter):
    if isinstance(parameter, bytes):
        return parameter
    if isinstance(parameter, int):
        return struct.pack(">BQ", 0xcf, parameter)
    data = parameter.encode()
    return struct.pack(">BB", 0xd9, len(data)) + data


class Rpc:
    """A connection to holdfastd; call(method, parameter, ...) with parameters that are str, int, or bytes that are
    MessagePack already."""

    def __init__(self, address):
        transport, rest = address.split(":", 1)
        if transport == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(rest)
        else:
            host, port = rest.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.file = self.socket.makefile("rb")

    def call(self, method, *parameters):
        body = b"\x94\x00\x01" + _packed(method) + struct.pack(">BH", 0xdc, len(parameters))
        self.socket.sendall(body + b"".join(_packed(parameter) for parameter in parameters))
        _, _, error, result = self._read()
        if error is not None:
            raise RuntimeError(f"{method}: {error}")
        return result

    def close(self):
        self.file.close()
        self.socket.close()

    def _number(self, pattern):
        return struct.unpack(pattern, self.file.read(struct.calcsize(pattern)))[0]

    def _body(self, kind, size):
        if kind == "array":
            return [self._read() for _ in range(size)]
        if kind == "map":
            return {self._read(): self._read() for _ in range(size)}
        data = self.file.read(size)
        return data.decode(errors="replace") if kind == "str" else data

    def _read(self):
        head = self._number(">B")
        if head < 0x80:
            return head
        if head >= 0xe0:
            return head - 256
        if head < 0xc0:
            kind, size = (("map", head & 15) if head < 0x90 else ("array", head & 15) if head < 0xa0
                          else ("str", head & 31))
            return self._body(kind, size)
        if head in CONSTANTS:
            return CONSTANTS[head]
        if head in NUMBERS:
            return self._number(NUMBERS[head])
        kind, width = SIZED[head]
        return self._body(kind, self._number({1: ">B", 2: ">H", 4: ">I"}[width]))
