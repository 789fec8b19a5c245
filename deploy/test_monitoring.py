#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What deploy/ has for Prometheus and Grafana fits the daemon: promtool accepts and fires every rule, and each metric that a
rule or a panel names is one that /metrics has; a real Prometheus scrapes a loaded daemon and counts as its clients did,
and each alert fires when its condition is caused. Takes Debian's prometheus."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import RELEASE, Daemon  # noqa: E402
from rpc import DEADLINE_S, RpcError, poll, request_bytes  # noqa: E402

FOLDER = os.path.join(ROOT, "deploy", "prometheus")
RULES = os.path.join(FOLDER, "holdfast.rules.yml")
STATS = re.compile(r"http://(127\.0\.0\.1:\d+)")
# What a metric's name is followed by in an expression; functions are followed by (.
METRIC = re.compile(r"\b((?:holdfast|process)_[a-z0-9_]+)\b")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def promtool(*words, **options):
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, **options)


def expressions():
    """{where: expression} of all rules and panels."""
    found = {"rule " + name: expr for name, expr in re.findall(r"alert: (\w+)\n +expr: '(.*)'", read(RULES))}
    for panel in json.loads(read(os.path.join(ROOT, "deploy", "grafana", "holdfast.json")))["panels"]:
        for target in panel["targets"]:
            found["panel %s %s" % (panel["title"], target["refId"])] = target["expr"]
    return found


def get(address, path):
    with urllib.request.urlopen("http://%s%s" % (address, path), timeout=30) as answer:
        return answer.read().decode()


def fill(client, size):
    """Puts objects until there is no more memory. True."""
    while True:
        try:
            client.call("put_many", [[b"x" * size] for _ in range(max(1, 10000 // size))])
        except RpcError as error:
            if error.code == "OOM":
                return True
            raise


class Files(unittest.TestCase):
    def test_promtool_accepts_them(self):
        for words in (["check", "rules", "holdfast.rules.yml"], ["test", "rules", "holdfast.test.yml"],
                      ["check", "config", "--syntax-only", "prometheus.yml"]):
            done = promtool(*words, cwd=FOLDER)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_is_tested_and_explained(self):
        alerts = re.findall(r"alert: (\w+)", read(RULES))
        self.assertGreater(len(alerts), 10)
        tested = re.findall(r"exp_alerts:\n +- exp_labels", read(os.path.join(FOLDER, "holdfast.test.yml")))
        self.assertEqual(len(tested), len(alerts))
        manual = read(os.path.join(ROOT, "deploy", "OPERATIONS.md"))
        for alert in alerts:
            self.assertIn("alertname: %s\n" % alert, read(os.path.join(FOLDER, "holdfast.test.yml")))
            self.assertIn("`%s`" % alert, manual)

    def test_every_panel_asks_what_prometheus_understands(self):
        rules = {"groups": [{"name": "panels", "rules": [
            {"record": "panel_%d" % number, "expr": expr.replace("$__rate_interval", "1m").replace("$instance", ".*")}
            for number, expr in enumerate(expressions().values())]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump(rules, file)  # which is YAML, too
            file.flush()
            done = promtool("check", "rules", file.name)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Metrics(unittest.TestCase):
    def test_every_metric_that_is_asked_for_is_there(self):
        with Daemon("--stats", "127.0.0.1:0", tcp=False) as daemon:
            address = daemon.wait_line(STATS)[1]
            with daemon.client(hello={}) as client:
                client.call("put", 1)
            text = get(address, "/metrics")
        done = promtool("check", "metrics", input=text)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        there = set(re.findall(r"^(\w+)[{ ]", text, re.M))
        for where, expr in expressions().items():
            for name in METRIC.findall(expr):
                self.assertIn(name, there, where)


class Prometheus(unittest.TestCase):
    """A real one, that scrapes and judges each second."""

    INTERVAL = "1s"

    def start(self, daemon):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="hf-prometheus-"))
        config = read(os.path.join(FOLDER, "prometheus.yml")).replace("15s", self.INTERVAL).replace("127.0.0.1:7678", daemon)
        # What takes minutes there takes seconds here.
        rules = re.sub(r"for: \w+", "for: 0s", read(RULES))
        for name, text in (("prometheus.yml", config), ("holdfast.rules.yml", rules)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=" + os.path.join(folder, "prometheus.yml"), "--web.listen-address=127.0.0.1:0",
             "--storage.tsdb.path=" + os.path.join(folder, "data")], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(self.stop)
        for line in self.process.stderr:
            found = re.search(r'msg="Listening on" address=127\.0\.0\.1:([1-9]\d*)', line)
            if found:
                self.address = "127.0.0.1:" + found[1]
                poll(self.ready, "prometheus is ready")
                return
        raise AssertionError("prometheus ended before it listened")

    def ready(self):
        try:
            return get(self.address, "/-/ready")
        except urllib.error.HTTPError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()

    def ask(self, expression):
        """The value of an expression now; None: there is none."""
        answer = json.loads(get(self.address, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def firing(self):
        alerts = json.loads(get(self.address, "/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def test_it_counts_what_clients_count_and_an_alert_fires(self):
        with Daemon("--stats", "127.0.0.1:0", "--max-memory", "16m", tcp=False) as daemon:
            self.start(daemon.wait_line(STATS)[1])
            with daemon.client(hello={"name": "counting"}) as client:
                for number in range(1000):
                    client.call("put", number)
                poll(lambda: self.ask('holdfast_requests_total{method="put",code="OK"}') == 1000, "prometheus has seen it")
                self.assertEqual(self.ask("sum(holdfast_objects)"), 1000)
                self.assertEqual(self.ask('sum(holdfast_sessions{state="open"})'), 1)
                self.assertEqual(self.ask('up{job="holdfast"}'), 1)
                self.assertEqual(self.firing(), set())
                fill(client, 100000)
                fill(client, 1000)
                poll(lambda: fill(client, 100) and "HoldfastOutOfMemory" in self.firing(), "OOM is told")
                poll(lambda: "HoldfastPoolNearlyFull" in self.firing(), "the pool is told to be nearly full")
                poll(lambda: "HoldfastMemoryNearlyFull" in self.firing(), "so is all memory")
            daemon.terminate()
            daemon.wait_exit()
            poll(lambda: "HoldfastDown" in self.firing(), "the daemon is told to be down")
            daemon.process.stderr.close()
            daemon.lines, daemon.ended = [], False
            daemon.start()

    def watched(self, *args, **options):
        """A daemon, scraped."""
        daemon = self.enterContext(Daemon("--stats", "127.0.0.1:0", *args, tcp=False, **options))
        self.start(daemon.wait_line(STATS)[1])
        poll(lambda: self.ask('up{job="holdfast"}') == 1, "prometheus has seen it")
        self.assertEqual(self.firing(), set())
        return daemon

    def fires(self, alert):
        return poll(lambda: alert in self.firing(), "%s fires" % alert, 4 * DEADLINE_S)

    def test_slow_requests(self):
        """They take long because the daemon is stopped meanwhile: no machine is too fast for that."""
        daemon = self.watched()
        with daemon.client(hello={}) as client:
            for _ in range(100):
                client.call("put_many", [[None]] * 1024)

            def slow():
                client.request("verify")
                daemon.process.send_signal(signal.SIGSTOP)
                time.sleep(0.2)
                daemon.process.send_signal(signal.SIGCONT)
                client.recv()
                return "HoldfastSlow" in self.firing()
            poll(slow, "HoldfastSlow fires")

    def test_clients_that_are_gone(self):
        daemon = self.watched()
        for _ in range(2):
            daemon.client(hello={"lease_ms": 600000}).close()
        self.fires("HoldfastClientsGone")

    def test_descriptors(self):
        daemon, clients = self.watched(wrap=["prlimit", "--nofile=64:64", "--"]), []
        self.addCleanup(lambda: [client.close() for client in clients])
        while "HoldfastDescriptorsNearlyUsed" not in self.firing() or "HoldfastConnectionsRefused" not in self.firing():
            if len(clients) < 60:
                clients.append(socket.socket(socket.AF_UNIX))
                clients[-1].connect(daemon.unix)

    def test_a_client_that_reads_nothing(self):
        with self.watched().client(hello={}) as client:
            large = client.call("put", bytes(8 << 20))
            client.send_raw(request_bytes(1, "get", [large]) * 4)
            self.fires("HoldfastConnectionsCut")

    def test_restarts(self):
        listener = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        self.start("127.0.0.1:%d" % listener.getsockname()[1])
        starts = 0
        for _ in range(4):
            poll(lambda: int(time.time()) > starts + 1, "another second, which is what the figure can tell")  # noqa: B023
            with Daemon(tcp=False, handed=[listener.fileno()], env={"LISTEN_FDNAMES": "stats"}):
                before = starts
                poll(lambda: (self.ask('process_start_time_seconds{job="holdfast"}') or 0) > before, "it is seen")  # noqa: B023
                starts = self.ask('process_start_time_seconds{job="holdfast"}')
        self.fires("HoldfastRestarts")

    def test_more_dies_than_is_freed_and_a_collection_that_does_not_end(self):
        """With millions of objects; the shipped program makes them soonest."""
        daemon = self.watched(program=RELEASE)
        with daemon.client(hello={}) as client:
            for _ in range(40):
                client.pipeline([("put_many", [[None]] * 1024)] * 100)

            def collect():
                client.call("gc_collect")
                return "HoldfastCollectorBehind" in self.firing()
            poll(collect, "HoldfastCollectorBehind fires")
            daemon.process.send_signal(signal.SIGSTOP)
            self.addCleanup(daemon.process.send_signal, signal.SIGCONT)
            client.request("bye")

            def behind():
                """All is freed within a fifth of a second, between two scrapes: one that waits sees what is there when the daemon
                goes on, which it does for just so long that it can answer."""
                time.sleep(0.9)
                daemon.process.send_signal(signal.SIGCONT)
                time.sleep(0.005)
                daemon.process.send_signal(signal.SIGSTOP)
                return "HoldfastBacklog" in self.firing()
            poll(behind, "HoldfastBacklog fires")
            daemon.process.send_signal(signal.SIGCONT)

    def test_a_save_that_fails(self):
        with tempfile.TemporaryDirectory(prefix="hf-saves-") as folder:
            daemon = self.watched("--save-dir", folder)
            with daemon.client(hello={}) as client:
                client.call("save")
                os.rename(folder, folder + "-gone")
                self.addCleanup(shutil.rmtree, folder + "-gone")
                self.assertRaises(RpcError, client.call, "save")
                os.mkdir(folder)
                self.fires("HoldfastSaveFailed")
                self.fires("HoldfastInternalErrors")  # its client was told so


if __name__ == "__main__":
    unittest.main()
