#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP endpoint: what it answers agrees with stats and with a client that counted, and what it refuses."""
import json
import os
import select
import signal
import socket
import time

from common import Daemon, WireTest, poll, request_bytes, unittest

import prom  # its folder is known from here on

ENDPOINTS = ("/", "/metrics", "/healthz", "/readyz", "/varz", "/connz", "/poolz", "/gcz", "/slowz")
DEADLINE_S = 60


class Answer:
    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:]}

    def json(self):
        return json.loads(self.body)


def read_all(sock):
    data = b""
    try:
        while True:
            part = sock.recv(1 << 16)
            if not part:
                return data
            data += part
    except ConnectionResetError:
        return data


class HttpTest(WireTest):
    daemon_args = ("--stats", "127.0.0.1:0", "--workers", "2")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        match = cls.daemon.wait_line(r"figures at http://([^\s\"]+):(\d+)")
        cls.http = (match.group(1), int(match.group(2)))

    def connect(self):
        sock = socket.create_connection(self.http, DEADLINE_S)
        self.addCleanup(sock.close)
        return sock

    def raw(self, data):
        sock = self.connect()
        sock.sendall(data)
        return read_all(sock)

    def get(self, path, method="GET", host="localhost", more=""):
        return Answer(self.raw(("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n" % (method, path, host, more))
                               .encode()))

    def metrics(self):
        answer = self.get("/metrics")
        self.assertEqual(answer.status, 200)
        return prom.parse(answer.body.decode())


class Figures(HttpTest):
    def test_all_endpoints(self):
        for path in ENDPOINTS:
            answer = self.get(path)
            self.assertEqual(answer.status, 200, path)
            self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertNotIn("access-control-allow-origin", answer.headers)
            head = self.get(path, method="HEAD")
            self.assertEqual((head.status, head.body), (200, b""), path)
        self.assertEqual(self.get("/metrics").headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(self.get("/varz").headers["content-type"], "application/json")

    def test_they_agree(self):
        c = self.pool_client(name="counts")
        pool = c.hello_result["pool"]
        before = self.metrics()
        ids = [c.call("put", b"x" * 100) for _ in range(20)]
        c.pipeline([("get", ids[i % 20]) for i in range(500)])
        self.assertEqual(c.code("get", 5), "GONE")
        after, var = self.metrics(), self.get("/varz").json()
        stats = self.c.call("stats", "requests")

        def grown(name, **labels):
            return prom.value(after, name, **labels) - prom.value(before, name, **labels)
        self.assertEqual(grown("holdfast_requests_total", method="get", code="OK"), 500)
        self.assertEqual(grown("holdfast_requests_total", method="get", code="GONE"), 1)
        self.assertEqual(grown("holdfast_requests_total", method="put", code="OK"), 20)
        self.assertEqual(grown("holdfast_request_duration_seconds_count", method="get"), 501)
        for code in ("OOM", "INTERNAL"):  # there before they happen, or their first one would be no increase
            self.assertEqual(after["holdfast_requests_total", (("code", code), ("method", "put"))], 0)
        self.assertEqual(prom.value(after, "holdfast_objects", pool=pool), 20)
        self.assertEqual(prom.value(after, "holdfast_object_bytes", pool=pool), 2000)
        self.assertEqual(prom.value(after, "holdfast_holds", pool=pool), 20)
        self.assertEqual(prom.value(after, "holdfast_sessions", pool=pool, state="open"), 1)
        for method, row in stats["methods"].items():
            if method in ("get", "put"):
                self.assertEqual(var["requests"]["methods"][method]["count"], row["count"])
                self.assertEqual(prom.value(after, "holdfast_request_duration_seconds_count", method=method), row["count"])
        rows = {row["name"]: row for row in self.get("/poolz").json()["pools"]}
        self.assertEqual((rows[pool]["objects"], rows[pool]["bytes"], rows[pool]["sessions"]), (20, 2000, 1))
        self.assertGreater(prom.value(after, "process_resident_memory_bytes"), 1 << 20)
        self.assertGreaterEqual(prom.value(after, "process_open_fds"), 10)
        self.assertLess(abs(prom.value(after, "process_start_time_seconds") - time.time()), 3600)
        self.assertGreater(prom.value(after, "holdfast_scrape_step_seconds"), 0)
        for page in ("/varz", "/connz", "/poolz", "/gcz"):
            self.assertGreater(self.get(page).json()["survey_step_us"], 0, page)

    def test_memory_by_size(self):
        """Blocks are told in the class of their size, and all classes together are what the pools have."""
        c = self.pool_client()

        def sizes(state):
            found, samples = {}, self.metrics()
            for (name, labels), value in samples.items():
                labels = dict(labels)
                if name.startswith("holdfast_size_class_") and labels["state"] == state:
                    found[name.rsplit("_", 1)[1], labels["kind"], labels["size"]] = value
            return found, samples
        before, _ = sizes("used")
        for size in [90] * 30 + [5000] * 20 + [20000] * 10 + [1 << 20] * 2:
            c.call("put", b"x" * size)
        (after, samples), (free, _) = sizes("used"), sizes("free")
        grown = {key: after[key] - before[key] for key in after if after[key] != before[key]}
        self.assertEqual({key: grown[key] for key in grown if key[1] == "values"}, {
            ("blocks", "values", "96"): 30, ("bytes", "values", "96"): 30 * 96,
            ("blocks", "values", "5120"): 20, ("bytes", "values", "5120"): 20 * 5120,
            ("bytes", "values", "pages"): 10 * 20480, ("bytes", "values", "huge"): 2 << 20})
        self.assertLess(len(after), 250)
        self.assertEqual(set(after) - set(free), set())

        def total(figures, kind):
            return sum(value for key, value in figures.items() if key[:2] == ("bytes", kind))
        pools = {key: value for key, value in samples.items() if key[0] in ("holdfast_pool_memory_bytes",
                                                                            "holdfast_pool_values_used_bytes")}
        self.assertEqual(total(after, "values"),
                         sum(value for key, value in pools.items() if key[0] == "holdfast_pool_values_used_bytes"))
        self.assertEqual(total(after, "values") + total(free, "values"),
                         sum(value for key, value in pools.items() if ("kind", "values") in key[1]))
        rows = self.get("/poolz").json()["sizes"]
        row = next(row for row in rows if (row["kind"], row["size"]) == ("values", "96"))
        self.assertEqual((row["used"], row["used_bytes"]), (after["blocks", "values", "96"], after["bytes", "values", "96"]))
        self.assertEqual(row["bytes"] - row["used_bytes"], free["bytes", "values", "96"])
        c.call("bye")

    def test_no_client_chooses_labels(self):
        c = self.client({"name": 'a"b\\{}'})
        c.call("store", "some name", 1)
        text = self.get("/metrics").body.decode()
        self.assertNotIn("some name", text)
        self.assertNotIn('a"b', text)

    def test_sessions(self):
        """Sorted, paged, whole."""
        c = self.pool_client(name="first", pid=5)
        clients = []
        for n in range(1, 8):
            other = self.client({"name": "n%d" % n, "pool": c.hello_result["pool"]})
            for _ in range(10 * n):
                other.call("put", b"x")
            clients.append(other)
        rows = self.get("/connz?sort=held&limit=3").json()
        self.assertEqual([row["name"] for row in rows["sessions"]], ["n7", "n6", "n5"])
        self.assertEqual(rows["sessions"][0]["held"], 70)
        self.assertGreaterEqual(rows["total"], 8)
        rows = self.get("/connz?sort=held&limit=3&offset=2").json()
        self.assertEqual([row["name"] for row in rows["sessions"]], ["n5", "n4", "n3"])
        everybody = self.get("/connz?sort=sid&limit=1024").json()["sessions"]
        self.assertEqual([row["sid"] for row in everybody], sorted(row["sid"] for row in everybody))
        row = next(row for row in everybody if row["name"] == "first")
        self.assertEqual((row["pid"], row["state"], row["anonymous"]), (5, "open", False))
        self.assertRegex(row["peer"], r"^unix:pid=%d uid=\d+$" % os.getpid())
        self.assertEqual((row["held"], row["bytes"], row["queued"]), (0, 0, 0))
        rows = self.get("/connz?sort=bytes&limit=1").json()["sessions"]
        self.assertEqual([row["bytes"] for row in rows], [70])
        for sort in ("idle", "since"):
            rows = self.get("/connz?sort=%s&limit=1024" % sort).json()["sessions"]
            times = [row[sort + "_ms"] for row in rows]
            self.assertEqual(times, sorted(times, reverse=True))
            self.assertTrue(all(row["idle_ms"] <= row["since_ms"] for row in rows))
        large = clients[0].call("put", bytes(8 << 20))
        clients[0].send_raw(request_bytes(1, "get", [large]) * 4)
        poll(lambda: self.get("/connz?sort=queued&limit=1").json()["sessions"][0]["queued"] > 0, "replies are queued")
        row = self.get("/connz?sort=queued&limit=1").json()["sessions"][0]
        self.assertEqual((row["name"], row["bytes"]), ("n1", (8 << 20) + 10))
        for query in ("limit=0", "limit=1025", "limit=x", "offset=-1", "offset=15361", "sort=name", "limit=", "limit=1e3"):
            self.assertEqual(self.get("/connz?" + query).status, 400, query)

    def test_slow_requests(self):
        rows = self.get("/slowz").json()
        self.assertEqual((rows["threshold_us"], sorted(rows)), (10000, ["count", "rows", "threshold_us"]))

    def test_kept_connection(self):
        """Several requests on one connection, pipelined ones too."""
        sock = self.connect()
        request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        metrics = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        sock.sendall(request + metrics + request + b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = read_all(sock)
        self.assertEqual(data.count(b"HTTP/1.1 200 OK"), 4)
        self.assertEqual(data.count(b"ready\n"), 3)

    def test_many_pools_are_bounded(self):
        for n in range(70):
            self.c.call("pool_create", "many%d" % n)
        samples = self.metrics()
        pools = {dict(labels)["pool"] for name, labels in samples if name == "holdfast_objects"}
        self.assertEqual(len(pools), 65)
        self.assertIn("(others)", pools)
        self.assertEqual(len(self.get("/poolz").json()["pools"]), prom.value(samples, "holdfast_pools"))
        for n in range(70):
            self.c.call("pool_drop", "many%d" % n)


class Hostile(HttpTest):
    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW"):
            answer = self.get("/healthz", method=method)
            self.assertEqual((answer.status, answer.headers.get("allow")), (405, "GET, HEAD"), method)

    def test_bodies(self):
        self.assertEqual(self.get("/varz", more="Content-Length: 5\r\n").status, 400)
        self.assertEqual(self.get("/varz", more="Transfer-Encoding: chunked\r\n").status, 400)

    def test_paths(self):
        for path in ("/nope", "/metrics/", "//metrics", "/../etc/passwd", "/%00", "/varz%00", "/" + "x" * 3000):
            self.assertEqual(self.get(path).status, 404, path)

    def test_foreign_hosts(self):
        for host in ("evil.example", "localhost.evil.example", "evil.example:80", "192.0.2.1", "x" * 300, ""):
            answer = self.get("/metrics", host=host)
            self.assertIn(answer.status, (400, 421), host)
            self.assertNotIn(b"holdfast_", answer.body)
        for host in ("127.0.0.1", "localhost:%d" % self.http[1], "[::1]"):
            self.assertEqual(self.get("/healthz", host=host).status, 200, host)
        self.assertEqual(Answer(self.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")).status, 400)

    def test_what_is_no_http(self):
        for data in (b"\0" * 100, b"GET\r\n\r\n", b"\x94\x00\x01\xa4ping\x90", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50000):
            sock = self.connect()
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has closed already
            self.assertNotIn(b"200 OK", read_all(sock)[:20])
        self.assertEqual(self.get("/healthz").status, 200)

    def test_headers_too_large(self):
        sock = self.connect()
        try:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertNotIn(b"200 OK", read_all(sock)[:20])

    def ended(self, sock):
        """Whether the daemon has closed the connection; sends a byte more."""
        try:
            sock.settimeout(0.1)
            sock.sendall(b"X")
            return sock.recv(100) == b""
        except socket.timeout:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True

    def ended_unread(self, sock):
        """The same, of one whose answers are not to be read."""
        waiting = select.poll()
        waiting.register(sock, select.POLLRDHUP)
        return bool(waiting.poll(100))

    def test_slow_ones(self):
        """A byte now and then keeps no connection: the whole request has its time. Nor does a client that takes nothing of its
        answers: others are answered, and it is cut off."""
        headers, reader = self.connect(), self.connect()
        headers.sendall(b"GET / HTTP/1.1\r\n")
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked = 200
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
        self.assertEqual(self.get("/healthz").status, 200)
        self.c.call("ping")
        poll(lambda: self.ended(headers), "slow headers are cut off")
        poll(lambda: self.ended_unread(reader), "the slow reader is cut off", 4 * DEADLINE_S)
        self.assertLess(read_all(reader).count(b"HTTP/1.1 200"), asked)

    def test_too_many_connections(self):
        """Those beyond wait or are refused; the daemon's clients do not notice, and there is room again afterwards."""
        socks = [self.connect() for _ in range(60)]
        self.c.call("ping")
        for sock in socks:
            sock.close()
        poll(lambda: self.get("/healthz").status == 200, "room")

    def test_half_open_and_gone(self):
        for _ in range(50):
            sock = self.connect()
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sock.close()
        self.assertEqual(self.get("/healthz").status, 200)

    def test_memory_goes_back(self):
        for _ in range(20):
            self.get("/metrics")
        used = prom.value(self.metrics(), "holdfast_memory_used_bytes")
        for _ in range(100):
            self.get("/connz?limit=1024")
        self.assertLess(prom.value(self.metrics(), "holdfast_memory_used_bytes"), used + (1 << 20))


class Unix(WireTest):
    def test_socket_file(self):
        path = os.path.join(self.daemon.dir, "stats")
        with Daemon("--stats", "unix:" + path) as daemon:
            daemon.wait_line("figures at unix:")
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(DEADLINE_S)
            with sock:
                sock.connect(path)
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.assertIn(b"all workers answer", read_all(sock))
        self.assertFalse(os.path.exists(path))

    def test_address_in_use(self):
        """It is told, and the store serves."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            with Daemon("--stats", "127.0.0.1:%d" % other.getsockname()[1]) as daemon:
                daemon.wait_line("event=not_listening")
                with daemon.client() as client:
                    client.call("ping")


class Handed(WireTest):
    def test_socket_of_systemd(self):
        """One with the name stats is for HTTP; it takes no address's place."""
        other = socket.create_server(("127.0.0.1", 0))
        address = other.getsockname()
        with Daemon(handed=[other.fileno()], env={"LISTEN_FDNAMES": "stats"}) as daemon:
            other.close()
            daemon.wait_line("figures at http://127.0.0.1:%d" % address[1])
            with daemon.client() as client:
                client.call("ping")
            with socket.create_connection(address, DEADLINE_S) as sock:
                sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.assertIn(b"ready", read_all(sock))


class Reload(WireTest):
    def test_reload(self):
        conf = os.path.join(self.daemon.dir, "conf")

        def write(*lines):
            with open(conf, "w", encoding="ascii") as file:
                file.write("[daemon]\nlisten = unix:%s\n" % os.path.join(self.daemon.dir, "r") + "\n".join(lines) + "\n")
        write()
        with Daemon("--config", conf, tcp=False) as daemon:
            write("stats = 127.0.0.1:0")
            os.kill(daemon.process.pid, signal.SIGHUP)
            match = daemon.wait_line(r"figures at http://([^\s\"]+):(\d+)")
            address = (match.group(1), int(match.group(2)))
            with socket.create_connection(address, DEADLINE_S) as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertIn(b"200 OK", sock.recv(1000))
                write()
                os.kill(daemon.process.pid, signal.SIGHUP)
                daemon.wait_line("event=unlistened address=127.0.0.1:0")
                read_all(sock)  # it is closed
            with self.assertRaises(OSError):
                socket.create_connection(address, DEADLINE_S)


class Stuck(HttpTest):
    def test_end_with_requests_under_way(self):
        """SIGTERM while scrapes are under way: it ends well (Daemon.stop() looks)."""
        with Daemon("--stats", "127.0.0.1:0", "--workers", "2") as daemon:
            match = daemon.wait_line(r"figures at http://([^\s\"]+):(\d+)")
            for _ in range(20):
                sock = socket.create_connection((match.group(1), int(match.group(2))), DEADLINE_S)
                self.addCleanup(sock.close)
                sock.sendall(b"GET /connz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)


if __name__ == "__main__":
    unittest.main()
