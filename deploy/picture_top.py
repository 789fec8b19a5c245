#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""picture_top.py > FILE.svg: what `holdfast top` shows of a daemon under load, drawn from a terminal of its own.

`make pictures` makes the picture of README.md with it. Takes build/holdfast and build/holdfastd.
"""
import os
import random
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import picture  # noqa: E402
from daemon import RELEASE, Daemon  # noqa: E402
from terminal import Terminal  # noqa: E402

HOLDFAST = os.path.join(ROOT, "build", "holdfast")
COLUMNS, ROWS, LOOKS = 112, 24, 36
# Who uses the store: name, objects, bytes of a value.
USERS = (("indexer", 40000, 900), ("web-1", 3000, 4000), ("web-2", 2600, 4200), ("thumbnails", 800, 60000),
         ("mailer", 1200, 500), ("reports", 90, 250000))


class User(threading.Thread):
    """A session that puts objects, lets some of them go, and makes cycles that only the collector finds."""

    def __init__(self, daemon, number, name, count, size):
        super().__init__(daemon=True)
        self.client = daemon.client(hello={"name": name, "pid": 2200 + 37 * number})
        self.random = random.Random(number)
        self.count, self.size = count, size
        self.full, self.ended = threading.Event(), threading.Event()

    def batch(self, count):
        items = [[b"x" * self.random.randint(self.size // 2, self.size)] for _ in range(count)]
        return self.client.call("put_many", items)

    def run(self):
        held = []
        while not self.ended.is_set():
            held += self.batch(min(200, self.count))
            if len(held) > self.count:
                self.full.set()
            while len(held) > self.count:
                self.client.call("release", [held.pop(self.random.randrange(len(held))) for _ in range(min(50, len(held)))])
            ring = self.client.call("put_many", [["a", [-2]], ["b", [-1]]])
            self.client.call("release", ring)
            for number in self.random.choices(held, k=20):
                self.client.call("get", number)

    def end(self):
        self.ended.set()
        self.join()
        self.client.close()


def lines(screen):
    """The screen's lines with the escapes that picture.draw knows."""
    for row in range(screen.lines):
        text, ink = "", None
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            new = "7" if cell.reverse else "31" if cell.fg == "red" else "1" if cell.bold else "0"
            text += ("\033[%sm" % new if new != ink else "") + cell.data
            ink = new
        yield text.rstrip() + "\033[0m"


def main():
    with Daemon("--max-memory", "512m", tcp=False, program=RELEASE) as daemon:
        address = "unix:" + daemon.unix
        users = [User(daemon, number, *user) for number, user in enumerate(USERS)]
        for user in users:
            user.start()
        for user in users:
            user.full.wait()
        load = subprocess.Popen([HOLDFAST, "-s", address, "-q", "bench", "--rate", "20k", "--duration", "60", "--connections", "8"],
                                stdout=subprocess.DEVNULL)
        with Terminal([HOLDFAST, "-s", address, "top", "--interval", "250ms"], COLUMNS, ROWS) as top:
            top.wait(lambda text: text.count("\u2581") + sum(map(text.count, "\u2582\u2583\u2584\u2585\u2586\u2587\u2588")) >= LOOKS)
            text = "\n".join(lines(top.screen)).replace(address, "unix:/run/holdfast/holdfast.sock")
            top.type("q")
            top.exit()
        load.terminate()
        load.wait()
        for user in users:
            user.end()
    print("\n".join(picture.draw("\033[36m$\033[0m \033[1mholdfast top\033[0m\n" + text)))


if __name__ == "__main__":
    main()
