#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""picture_page.py FILE.png: the daemon's page in a browser, under the load of picture_top.py, after half a minute.

`make pictures` makes the picture of README.md with it. Takes build/holdfastd, build/holdfast, chromium, `make browser`.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests", "browser"), os.path.join(ROOT, "tests", "lib")]

from browser import Browser  # noqa: E402
from daemon import RELEASE, Daemon  # noqa: E402
from picture_top import HOLDFAST, USERS, User  # noqa: E402
from rpc import poll  # noqa: E402

POINTS = 50  # of each chart


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with Daemon("--stats", "127.0.0.1:0", "--max-memory", "512m", "--slowlog-us", "20000", tcp=False, program=RELEASE) as daemon:
        url = daemon.wait_line(re.compile(r"(http://127\.0\.0\.1:\d+)"))[1] + "/"
        users = [User(daemon, number, *user) for number, user in enumerate(USERS)]
        for user in users:
            user.start()
        for user in users:
            user.full.wait()
        load = subprocess.Popen([HOLDFAST, "-s", "unix:" + daemon.unix, "-q", "bench", "--rate", "20k", "--duration", "120",
                                 "--connections", "8"], stdout=subprocess.DEVNULL)
        with Browser() as browser:
            browser.open(url, width=1100, height=1000)
            browser.run("(() => { window.points = 0; new MutationObserver(() => { window.points++; })"
                        ".observe(document.getElementById('tile-requests'), { childList: true });"
                        " const interval = document.getElementById('interval'); interval.value = '500';"
                        " interval.dispatchEvent(new Event('change')); })()")
            poll(lambda: browser.run("window.points") >= POINTS, "there is enough to be drawn", deadline_s=120)
            browser.picture(sys.argv[1])
        load.terminate()
        load.wait()
        for user in users:
            user.end()


if __name__ == "__main__":
    main()
