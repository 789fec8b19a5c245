#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The daemon's page in a real browser: its figures are those that clients counted; keys, phones, the dark; it asks nobody
else, and may not. Takes Debian's chromium, and npm's packages of package-lock.json (`make browser`)."""
import filecmp
import os
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "lib")]

from browser import Browser  # noqa: E402
from daemon import Daemon  # noqa: E402
from rpc import RpcError, poll  # noqa: E402

STATS = re.compile(r"(http://127\.0\.0\.1:\d+)")
TEXT = "document.getElementById('%s').textContent"
ROWS = "[...document.querySelectorAll('#%s tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
HEADS = "[...document.querySelectorAll('#%s thead button')].map((head) => head.textContent)"
# How light the page's ground is, 0 ... 255.
LIGHT = "(([r, g, b]) => (r + g + b) / 3)(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
# Points of a chart that are not of its ground: something was drawn.
DRAWN = ("(() => { const canvas = document.querySelector('#chart-%s canvas');"
         " const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
         " let n = 0; for (let k = 3; k < data.length; k += 4) n += data[k] > 0; return n; })()")


class Vendored(unittest.TestCase):
    def test_the_library_is_as_npm_has_it(self):
        for name, where in (("uPlot.iife.min.js", "dist"), ("uPlot.min.css", "dist"), ("LICENSE", "")):
            self.assertTrue(filecmp.cmp(os.path.join(ROOT, "daemon", "observe", "page", "uplot", name),
                                        os.path.join(HERE, "node_modules", "uplot", where, name), shallow=False), name)

    def test_the_lock_names_no_host(self):
        with open(os.path.join(HERE, "package-lock.json"), encoding="utf-8") as file:
            text = file.read()
        self.assertNotIn("://", text)
        self.assertEqual(text.count('"integrity": "sha512-'), 2)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())

    def setUp(self):
        self.daemon = self.enterContext(Daemon("--stats", "127.0.0.1:0", "--slowlog-us", "1", tcp=False))
        self.url = self.daemon.wait_line(STATS)[1] + "/"

    def rows(self, table):
        """Rows as {heading: text}."""
        heads = self.browser.run(HEADS % table)
        return [dict(zip(heads, row)) for row in self.browser.run(ROWS % table)]

    def row(self, table, first):
        return next((row for row in self.rows(table) if next(iter(row.values())) == first), {})

    def wait(self, condition, what):
        try:
            return poll(condition, what)
        except AssertionError:
            print(self.browser.log(), self.browser.run("document.body.innerText")[:3000])
            raise

    def test_figures_are_those_that_the_clients_counted(self):
        with self.daemon.client(hello={"name": "counting", "pid": 4711}) as client:
            self.browser.open(self.url)
            self.wait(lambda: self.row("sessions", "counting"), "the session is shown")
            ids = [client.call("put", "x" * 100) for _ in range(700)]
            for number in ids[:150]:
                client.call("release", number)
            for _ in range(5):
                with self.assertRaises(RpcError):
                    client.call("get", ids[0])
            self.wait(lambda: self.row("methods", "release").get("In all") == "150" and
                      self.row("methods", "get").get("In all") == "5", "all requests are counted")
            self.assertEqual(self.row("methods", "put")["In all"], "700")
            self.assertEqual(self.row("methods", "get")["Errors"], "5")
            total = 1 + 700 + 150 + 5  # hello is one
            self.wait(lambda: self.browser.run(TEXT % "tile-total") == str(total), "requests in all")
            self.wait(lambda: self.browser.run(TEXT % "tile-objects") == "550", "objects")
            session = self.row("sessions", "counting")
            self.assertEqual((session["Pid"], session["Holds"], session["Bytes"]), ("4711", "550", "53.7 KiB"))
            self.assertEqual(self.row("pools", "default")["Objects"], "550")
            self.assertGreater(len(self.rows("slow")), 10)
            self.assertIn("holdfastd", self.browser.run(TEXT % "who"))
            for chart in ("requests", "latency", "memory", "gc"):
                self.assertGreater(self.browser.run(DRAWN % chart), 1000, chart)

    def test_it_follows_a_load_while_it_runs(self):
        self.browser.open(self.url)
        self.wait(lambda: self.browser.run(TEXT % "tile-requests") == "0", "there is a first difference")
        # All figures that are shown on the way.
        self.browser.run("""(() => { window.seen = []; const tile = document.getElementById('tile-total');
            new MutationObserver(() => window.seen.push(Number(tile.textContent.replace(/,/g, ''))))
                .observe(tile, { childList: true }); })()""")
        with self.daemon.client() as client:
            for _ in range(2500):
                client.call("ping")
        self.wait(lambda: (self.browser.run("window.seen.at(-1)") or 0) == 2500, "2,500 are shown")
        seen = self.browser.run("window.seen")
        self.assertEqual(seen, sorted(seen))

    def test_it_asks_nobody_else_and_may_not(self):
        answer = self.browser.open(self.url)
        policy = answer["headers"]["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.wait(lambda: self.row("methods", "ping") == {} and self.browser.run(TEXT % "tile-objects") == "0", "it is filled")
        log = self.browser.log()
        self.assertEqual([url for url in log["requests"] if not url.startswith((self.url, "data:"))], [])
        self.assertEqual(log["problems"], [])
        # What somebody would smuggle in is not run.
        self.browser.run("""(() => { const script = document.createElement('script'); script.textContent = 'window.bad = 1';
            document.body.append(script); const image = new Image(); image.src = 'http://127.0.0.1:1/x'; })()""")
        self.assertIsNone(self.browser.run("window.bad ?? null"))
        self.wait(lambda: len(self.browser.log()["problems"]) >= 2, "both were refused")
        self.assertTrue(all("Content Security Policy" in text or "failed" in text for text in self.browser.log()["problems"]))

    def test_names_are_text(self):
        with self.daemon.client(hello={"name": "<img src=x onerror=alert(1)>"}):
            self.browser.open(self.url)
            self.wait(lambda: self.row("sessions", "<img src=x onerror=alert(1)>"), "the name is shown as it is")
            self.assertEqual(self.browser.run("document.querySelectorAll('main img').length"), 0)

    def test_keyboard(self):
        with self.daemon.client(hello={"name": "b"}) as one, self.daemon.client(hello={"name": "a"}):
            one.call("put", "x")
            self.browser.open(self.url)
            self.wait(lambda: [row["Name"] for row in self.rows("sessions")] == ["b", "a"], "by bytes")
            # Tab leads to the head of the names; Enter sorts by it, once more turns it round.
            for _ in range(60):
                self.browser.press("Tab")
                if self.browser.run("document.activeElement.textContent + document.activeElement.closest('table')?.id") == "Namesessions":
                    break
            self.browser.press("Enter")
            self.wait(lambda: [row["Name"] for row in self.rows("sessions")] == ["a", "b"], "by name")
            self.browser.press("Enter")
            self.wait(lambda: [row["Name"] for row in self.rows("sessions")] == ["b", "a"], "by name, turned round")
            self.assertEqual(self.browser.run("document.querySelector('#sessions th[aria-sort]').textContent"), "Name")
            self.browser.press("p")
            self.assertEqual(self.browser.run("document.getElementById('pause').getAttribute('aria-pressed')"), "true")
            asked = len(self.browser.log()["requests"])
            self.browser.press("p")
            self.wait(lambda: len(self.browser.log()["requests"]) > asked, "it goes on")

    def test_phone(self):
        with self.daemon.client(hello={"name": "a client with a long name, so that its table is wide"}):
            for width in (360, 320):
                self.browser.open(self.url, width=width, height=640)
                self.wait(lambda: self.rows("sessions"), "it is filled")
                self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width)
                self.assertGreater(self.browser.run("document.querySelector('#sessions').closest('.wide').scrollWidth"), width)
                self.assertLessEqual(self.browser.run("document.querySelector('.chart canvas').getBoundingClientRect().right"), width)

    def test_dark(self):
        self.browser.open(self.url, dark=False)
        self.assertGreater(self.browser.run(LIGHT), 200)
        self.browser.open(self.url, dark=True)
        self.assertLess(self.browser.run(LIGHT), 60)
        self.wait(lambda: self.browser.run(TEXT % "tile-objects") == "0", "it is filled in the dark, too")

    def test_the_daemon_goes_away(self):
        self.browser.open(self.url)
        self.wait(lambda: self.browser.run(TEXT % "tile-objects") == "0", "it is filled")
        self.daemon.terminate()
        self.daemon.wait_exit()
        self.wait(lambda: "No figures since" in self.browser.run(TEXT % "problem"), "it says so")
        self.assertFalse(self.browser.run("document.getElementById('problem').hidden"))
        self.daemon.process.stderr.close()
        self.daemon.lines, self.daemon.ended = [], False
        self.daemon.args = ["--stats", self.url[len("http://"):-1]]
        self.daemon.start()
        self.wait(lambda: self.browser.run("document.getElementById('problem').hidden"), "it is back")

    def test_pictures_can_be_made(self):
        with tempfile.TemporaryDirectory(prefix="hf-page-") as folder:
            self.browser.open(self.url)
            self.browser.picture(os.path.join(folder, "page.png"), whole=True)
            self.assertGreater(os.path.getsize(os.path.join(folder, "page.png")), 10000)


if __name__ == "__main__":
    unittest.main()
