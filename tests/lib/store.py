# SPDX-License-Identifier: BSD-3-Clause
"""systemd's part of the fd store, played by a test: keeps what a daemon gives it, and hands it to the next one.

    store = Store(folder)
    daemon = store.start("--workers", "2")      # with all that is kept
    store.names()                               # {"pool-default": 2}

Messages are taken in by a thread, in their order; `said` has those that are not about the store. A BARRIER is let go only
after all before it was done, as systemd does it.
"""
import array
import os
import socket
import threading

from daemon import Daemon
from rpc import poll


class Store:
    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.kept = []  # (name, descriptor)
        self.said = []
        self.lock = threading.Lock()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.socket.close()
        for _, fd in self.kept:
            os.close(fd)

    def _read(self):
        room = socket.CMSG_SPACE(16 * array.array("i").itemsize) + socket.CMSG_SPACE(64)
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(4096, room)
            except OSError:
                return
            if not data:
                return
            fds = array.array("i")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
            with self.lock:
                self._take(dict(line.split("=", 1) for line in data.decode().splitlines()), list(fds), data.decode())

    def _take(self, said, fds, text):
        name = said.get("FDNAME", "stored")
        if "FDSTORE" in said:
            for fd in fds:
                if not any(os.path.sameopenfile(fd, kept) for _, kept in self.kept):
                    self.kept.append((name, os.dup(fd)))
        elif "FDSTOREREMOVE" in said:
            for kept in [kept for kept in self.kept if kept[0] == name]:
                os.close(kept[1])
                self.kept.remove(kept)
        elif "BARRIER" not in said:
            self.said.append(text)
        for fd in fds:
            os.close(fd)

    # Use -----------------------------------------------------------------------------------------

    def names(self):
        """How many descriptors of each name there are."""
        with self.lock:
            names = [name for name, _ in self.kept]
        return {name: names.count(name) for name in names}

    def fds(self, name):
        with self.lock:
            return [fd for its, fd in self.kept if its == name]

    def file(self, name, end):
        """A path to the memory of one, as pool-default, .meta."""
        for fd in self.fds(name):
            path = "/proc/%d/fd/%d" % (os.getpid(), fd)
            if os.readlink(path).endswith(end + " (deleted)"):
                return path
        raise AssertionError("%s has no %s" % (name, end))

    def add(self, name, fd):
        """As a daemon of another kind might have it."""
        with self.lock:
            self.kept.append((name, fd))

    def remove(self, fd):
        with self.lock:
            self.kept = [kept for kept in self.kept if kept[1] != fd]
        os.close(fd)

    def daemon(self, *args, sockets=(), env=None, **options):
        """Not started yet."""
        with self.lock:
            kept = list(self.kept)
        names = ["s%d" % n for n in range(len(sockets))] + [name for name, _ in kept]
        variables = dict({"NOTIFY_SOCKET": self.path, "LISTEN_FDNAMES": ":".join(names)}, **(env or {}))
        return Daemon(*args, tcp=False, handed=list(sockets) + [fd for _, fd in kept], env=variables, **options)

    def start(self, *args, **options):
        return self.daemon(*args, **options).start()

    def wait_names(self, names):
        poll(lambda: self.names() == names, "what is kept is %r" % names)
