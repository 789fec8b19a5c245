# SPDX-License-Identifier: BSD-3-Clause
"""A program on a terminal of its own, and what that terminal shows (pyte keeps the screen).

    with Terminal([...], columns=100, rows=30) as terminal:
        terminal.wait(lambda text: "ready" in text)
        terminal.type("q")
        terminal.exit()
"""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte

from rpc import DEADLINE_S


class Terminal:
    def __init__(self, command, columns=100, rows=30, env=None):
        self.command = command
        self.env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.process = None

    def __enter__(self):
        self.master, self.slave = pty.openpty()
        self._resize()
        self.before = termios.tcgetattr(self.slave)
        # The terminal is the controlling one of a session of its own, so that resizing it is told to the program.
        self.process = subprocess.Popen(self.command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=self.env,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            if fd is not None:
                os.close(fd)

    def _resize(self):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self._resize()

    def type(self, text):
        os.write(self.master, text.encode())

    def signal(self, number):
        self.process.send_signal(number)

    def hang_up(self):
        """The terminal goes away, as when its window is closed."""
        os.close(self.slave)
        os.close(self.master)
        self.slave = self.master = None

    def read(self, seconds):
        """Takes what comes within a time, or nothing."""
        if select.select([self.master], [], [], seconds)[0]:
            chunk = os.read(self.master, 65536)
            self.raw += chunk
            self.stream.feed(chunk)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, condition, deadline_s=DEADLINE_S):
        """Reads until the screen's text fulfils a condition; returns what that said."""
        deadline = time.monotonic() + deadline_s
        while not (found := condition(self.text())):
            if time.monotonic() > deadline:
                raise AssertionError("the screen stayed:\n" + self.text())
            if self.process.poll() is not None:
                raise AssertionError("it ended (%s):\n%s" % (self.process.returncode, self.text()))
            self.read(0.2)
        return found

    def exit(self):
        """Its exit code; the last it wrote has been read then."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError("it does not end; the screen:\n" + self.text())
            if self.master is not None:
                self.read(0.05)
        while self.master is not None and select.select([self.master], [], [], 0)[0]:
            self.read(0)
        return self.process.returncode

    def as_found(self):
        """Whether the terminal is as it was before the program: modes of the line, the cursor, the first screen."""
        shown = self.raw.rfind(b"\033[?25h") > self.raw.rfind(b"\033[?25l")
        left = self.raw.rfind(b"\033[?1049l") > self.raw.rfind(b"\033[?1049h")
        return termios.tcgetattr(self.slave) == self.before and shown and left
