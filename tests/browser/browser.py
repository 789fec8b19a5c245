# SPDX-License-Identifier: BSD-3-Clause
"""Debian's chromium, driven by playwright-core (drive.mjs): with Browser() as browser: browser.open(url); browser.run("1 + 1")."""
import json
import os
import select
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
CHROMIUM = "/usr/bin/chromium"
DEADLINE_S = 120


class Browser:
    def __enter__(self):
        self.process = subprocess.Popen(["node", os.path.join(HERE, "drive.mjs"), CHROMIUM], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        return self

    def __exit__(self, *error):
        self.process.stdin.close()  # it closes the browser then
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        if not select.select([self.process.stdout], [], [], DEADLINE_S)[0]:
            raise AssertionError("the browser does not answer to %r" % command)
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise AssertionError("%r: %s" % (command, answer["error"]))
        return answer["value"]

    def open(self, url, **options):
        """The page's status and headers. width, height, dark: how it is looked at."""
        return self.tell(open=url, **options)

    def run(self, expression):
        return self.tell(run=expression)

    def press(self, key):
        self.tell(press=key)

    def click(self, selector):
        self.tell(click=selector)

    def picture(self, path, whole=False):
        self.tell(picture=path, whole=whole)

    def log(self):
        """{requests: [url, ...], problems: [text, ...]} since the page was opened."""
        return self.tell(log=True)
