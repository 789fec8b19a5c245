#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The daemon as a program: options, sockets, log, signals, and how it ends."""
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import HOLDFASTD, LISTENING_TCP, Daemon, run  # noqa: E402
from rpc import Client, Closed, poll  # noqa: E402

MIB = 1 << 20


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name="s"):
        return os.path.join(self.dir, name)

    def start(self, *args, **options):
        """A daemon that listens only where `args` say; it is waited for by its first listening line."""
        daemon = Daemon(*args, unix=False, tcp=False, **options)
        daemon.start()
        self.addCleanup(daemon.kill)
        return daemon


class Options(Folder):
    def test_help(self):
        code, out, err = run("--help")
        self.assertEqual((code, err), (0, ""))
        for option in ("--listen", "--heap", "--workers", "--max-memory", "--stats", "--log-level", "--config", "--check-config",
                       "--print-config", "--version", "--help", "unix:", "tcp:", "memfd"):
            self.assertIn(option, out)
        for line in out.splitlines():
            self.assertLessEqual(len(line), 100)

    def test_version(self):
        code, out, err = run("--version")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"\Aholdfastd \d+\.\d+\S*\n")

    def assertRefused(self, args, *words):
        code, out, err = run(*args)
        self.assertEqual(code, 2, (args, out, err))
        self.assertEqual(out, "")
        for word in words:
            self.assertIn(word, err)
        self.assertNotIn("Sanitizer", err)
        self.assertLess(len(err.splitlines()), 20)

    def test_bad_options(self):
        ok = ["--listen", "unix:" + self.path()]
        self.assertRefused(["--bogus"], "bogus", "--help")
        self.assertRefused(["word"], "word")
        self.assertRefused(["--listen"], "listen")
        self.assertRefused(["--listen", "nonsense"], "nonsense")
        self.assertRefused(["--listen", "udp:127.0.0.1:1"], "udp:127.0.0.1:1")
        self.assertRefused(["--listen", "unix:"], "unix:")
        self.assertRefused(["--listen", "unix:/" + "x" * 200], "x" * 50)
        self.assertRefused(["--listen", "tcp:"], "tcp:")
        self.assertRefused(["--listen", "tcp:127.0.0.1"], "tcp:127.0.0.1")
        self.assertRefused(["--listen", "tcp:127.0.0.1:99999"], "99999")
        self.assertRefused(["--listen", "tcp:127.0.0.1:-1"], "-1")
        self.assertRefused(["--listen", "tcp:127.0.0.1:8o80"], "8o80")
        self.assertRefused(ok + ["--heap", "magic"], "magic")
        self.assertRefused(ok + ["--max-memory", "lots"], "lots")
        self.assertRefused(ok + ["--max-memory", "-1"], "-1")
        self.assertRefused(ok + ["--max-memory", "0"], "0")
        self.assertRefused(ok + ["--max-memory", "99999999999999999999G"], "99999999999999999999G")
        self.assertRefused(ok + ["--max-memory", "64X"], "64X")
        self.assertRefused(ok + ["--max-memory"], "max-memory")
        self.assertRefused(ok + ["--log-level", "loud"], "loud")
        self.assertFalse(os.path.exists(self.path()), "refused before it listened")

    def test_max_memory_sizes(self):
        for text, size in (("67108864", 64 * MIB), ("65536K", 64 * MIB), ("64M", 64 * MIB), ("1G", 1024 * MIB)):
            with Daemon("--max-memory", text, tcp=False) as daemon:
                with daemon.client() as client:
                    self.assertEqual(client.call("stats", "memory")["limit"], size, text)

    def test_default_memory_is_limited(self):
        with Daemon(tcp=False) as daemon:
            with daemon.client() as client:
                limit = client.call("stats", "memory")["limit"]
        ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.assertTrue(16 * MIB < limit <= ram * 61 // 100, limit)

    def test_heap_memfd(self):
        with Daemon("--heap", "memfd", tcp=False) as daemon:
            with daemon.client() as client:
                self.assertEqual(client.call("get", client.call("put", 5)), 5)

    def test_options_with_equals_sign(self):
        with Daemon("--heap=memfd", "--max-memory=64M", "--log-level=debug", tcp=False) as daemon:
            with daemon.client() as client:
                self.assertEqual(client.call("stats", "memory")["limit"], 64 * MIB)


class Sockets(Folder):
    def test_mode_0660(self):
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        for mask in (0, 0o077, 0o777):
            os.umask(mask)
            with Daemon(tcp=False) as daemon:
                mode = os.stat(daemon.unix).st_mode
                self.assertTrue(stat.S_ISSOCK(mode))
                self.assertEqual(stat.S_IMODE(mode), 0o660)
            os.umask(0o022)

    def test_socket_is_removed_at_the_end(self):
        daemon = Daemon(tcp=False).start()
        path = daemon.unix
        folder = daemon.dir
        try:
            self.assertTrue(os.path.exists(path))
            daemon.terminate()
            self.assertEqual(daemon.wait_exit(), 0)
            self.assertFalse(os.path.exists(path))
            self.assertTrue(os.path.exists(folder))
        finally:
            daemon.kill()

    def test_stale_socket_is_replaced(self):
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(self.path())
        stale.close()
        daemon = self.start("--listen", "unix:" + self.path())
        daemon.wait_line(r"listening on unix:" + re.escape(self.path()))
        with Client(self.path()) as client:
            self.assertIsInstance(client.call("ping"), int)
        daemon.stop()

    def test_socket_left_by_a_killed_daemon_is_replaced(self):
        first = self.start("--listen", "unix:" + self.path())
        first.wait_line("listening on unix:")
        first.process.kill()
        first.process.wait()
        self.assertTrue(os.path.exists(self.path()))
        second = self.start("--listen", "unix:" + self.path())
        second.wait_line("listening on unix:")
        with Client(self.path()) as client:
            self.assertIsInstance(client.call("ping"), int)
        second.stop()

    def test_live_socket_is_refused(self):
        with Daemon(tcp=False) as first:
            with first.client() as client:
                obj = client.call("put", "x")
                code, _, err = run("--listen", "unix:" + first.unix)
                self.assertNotEqual(code, 0)
                self.assertIn(first.unix, err)
                self.assertNotIn("Sanitizer", err)
                self.assertEqual(client.call("get", obj), "x")
                with first.client() as other:
                    self.assertEqual(other.call("get", obj), "x")

    def test_a_file_in_the_way_is_not_removed(self):
        with open(self.path(), "w", encoding="ascii") as file:
            file.write("precious")
        code, _, err = run("--listen", "unix:" + self.path())
        self.assertNotEqual(code, 0)
        self.assertIn(self.path(), err)
        with open(self.path(), encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_port_in_use_is_refused(self):
        with socket.socket(socket.AF_INET) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, _, err = run("--listen", "tcp:127.0.0.1:%d" % port)
        self.assertNotEqual(code, 0)
        self.assertIn(str(port), err)

    def test_missing_folder_is_told(self):
        path = self.path("no/such/folder/s")
        code, _, err = run("--listen", "unix:" + path)
        self.assertNotEqual(code, 0)
        self.assertIn(path, err)

    def test_default_path(self):
        runtime = self.path("run")
        os.mkdir(runtime, 0o700)
        daemon = self.start(env={"XDG_RUNTIME_DIR": runtime})
        path = daemon.wait_line(r"listening on unix:([^\s\"]+)").group(1)
        self.assertEqual(os.path.dirname(path), os.path.join(runtime, "holdfast"))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
        with Client(path) as client:
            self.assertIsInstance(client.call("ping"), int)
        self.assertFalse(self.inet_sockets(daemon.process.pid), "no TCP unless asked for")
        daemon.stop()

    @staticmethod
    def inet_sockets(pid):
        """Inodes of the daemon's sockets that are TCP or UDP."""
        mine = set()
        for name in os.listdir("/proc/%d/fd" % pid):
            try:
                match = re.match(r"socket:\[(\d+)\]", os.readlink("/proc/%d/fd/%s" % (pid, name)))
            except FileNotFoundError:
                continue  # closed meanwhile
            if match:
                mine.add(match.group(1))
        inet = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            with open("/proc/%d/net/%s" % (pid, table), encoding="ascii") as lines:
                inet.update(line.split()[9] for line in list(lines)[1:])
        return mine & inet

    def test_repeated_listen(self):
        daemon = self.start("--listen", "unix:" + self.path("a"), "--listen", "unix:" + self.path("b"),
                            "--listen", "tcp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0")
        for name in "ab":
            daemon.wait_line("listening on unix:" + re.escape(self.path(name)))
        poll(lambda: len({m.group(2) for m in map(LISTENING_TCP.search, daemon.lines) if m}) == 2, "two ports")
        ports = {int(m.group(2)) for m in map(LISTENING_TCP.search, daemon.lines) if m}
        self.assertNotIn(0, ports)
        clients = [Client(self.path("a")), Client(self.path("b"))] + [Client(("127.0.0.1", port)) for port in ports]
        obj = clients[0].call("put", "x")
        self.assertEqual([client.call("get", obj) for client in clients], ["x"] * 4)
        for client in clients:
            client.close()
        daemon.stop()

    def test_ipv6(self):
        daemon = self.start("--listen", "tcp:[::1]:0")
        port = int(daemon.wait_line(r"listening on tcp:\[::1\]:(\d+)").group(1))
        with socket.create_connection(("::1", port), timeout=30) as raw:
            raw.sendall(b"\x94\x00\x05\xa4ping\x90")
            self.assertEqual(raw.recv(100)[:3], b"\x94\x01\x05")
        daemon.stop()

    def test_tcp_connections_are_kept_alive(self):
        # A peer that is gone without a word is found by the kernel's keepalive: its timer runs on the daemon's side.
        with Daemon(unix=False) as daemon:
            with daemon.client(tcp=True) as client:
                client.call("ping")
                mine = "%04X" % client.sock.getsockname()[1]
                server = "%04X" % daemon.tcp[1]

                def timer():
                    with open("/proc/net/tcp", encoding="ascii") as table:
                        for line in list(table)[1:]:
                            fields = line.split()
                            if fields[1].endswith(":" + server) and fields[2].endswith(":" + mine):
                                return fields[5].split(":")[0] == "02"
                    return False

                poll(timer, "the keepalive timer runs")

    def test_one_bad_listen_of_two(self):
        code, _, _ = run("--listen", "unix:" + self.path("a"), "--listen", "unix:" + self.path("no/b"))
        self.assertNotEqual(code, 0)
        self.assertFalse(os.path.exists(self.path("a")), "the socket of the first is removed again")


class Log(Folder):
    def test_lines_are_structured(self):
        daemon = Daemon().start()
        with daemon.client({"name": "x"}) as client:
            client.call("put", 1)
            client.send_raw(b"\xc1")
            client.drain_until_closed()
        daemon.stop()
        self.assertGreater(len(daemon.lines), 1)
        for line in daemon.lines:
            self.assertRegex(line, r"(error|warn|warning|info|notice|debug)", line)
            self.assertTrue(line.isprintable(), repr(line))

    def test_levels(self):
        counts = {}
        for level in ("error", "warn", "info", "debug"):
            daemon = self.start("--log-level", level, "--listen", "unix:" + self.path())
            poll(lambda: os.path.exists(self.path()), "the socket appears")

            def ping():
                try:
                    with Client(self.path()) as client:
                        return client.call("ping")
                except (ConnectionRefusedError, Closed):
                    return None

            poll(ping, "it answers")
            daemon.stop()
            counts[level] = len(daemon.lines)
        self.assertEqual(counts["error"], 0)
        self.assertLessEqual(counts["warn"], counts["info"])
        self.assertLessEqual(counts["info"], counts["debug"])
        self.assertGreater(counts["info"], 0)

    def test_no_secrets(self):
        daemon = Daemon("--log-level", "debug").start()
        with daemon.client({"name": "x"}) as client:
            obj = client.call("put", 1)
            ticket = client.call("share", obj)
            key = client.hello_result["session"]
            client.reply("claim", ticket)
        daemon.stop()
        self.assertNotIn(key.hex(), daemon.stderr())
        self.assertNotIn(ticket.hex(), daemon.stderr())

    def test_stderr_closed_by_its_reader(self):
        # A daemon whose log reader went away goes on and ends well.
        process = subprocess.Popen([HOLDFASTD, "--listen", "unix:" + self.path()], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.stderr.readline()
            poll(lambda: os.path.exists(self.path()), "the socket appears")
            process.stderr.close()
            for _ in range(20):
                with Client(self.path()) as client:
                    client.send_raw(b"\xc1")
                    client.drain_until_closed()
            with Client(self.path()) as client:
                self.assertIsInstance(client.call("ping"), int)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(30), 0)
        finally:
            process.kill()
            process.wait()


class End(Folder):
    def test_sigterm_and_sigint(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = Daemon().start()
            try:
                with daemon.client() as client:
                    client.call("put", "x")
                    daemon.process.send_signal(number)
                    self.assertEqual(daemon.wait_exit(), 0, number)
                    daemon.check_log()
            finally:
                daemon.kill()

    def draining(self, daemon):
        """A daemon that drains and cannot end yet: a reader holds up its replies. (reader, other client)."""
        reader, other = daemon.client(), daemon.client()
        blob = reader.call("put", b"r" * (32 * MIB))
        kept = other.call("put", "kept")
        reader.request("get", blob)
        self.assertGreater(len(reader.sock.recv(10, socket.MSG_PEEK)), 0)
        daemon.terminate()
        return reader, other, blob, kept

    def test_drain(self):
        daemon = Daemon().start()
        try:
            reader, other, _, kept = self.draining(daemon)
            # The signal is handled in some later turn; from then on changes are refused.
            poll(lambda: (other.reply("retain", kept).error or "").startswith("DRAINING"), "it drains")
            for call in (("put", 1), ("set", kept, 2), ("release", kept), ("name", "n", kept), ("store", "n", 1),
                         ("put_many", [[1]]), ("share", kept), ("link", kept, 0, None), ("seal", kept),
                         ("pool_create", "p")):
                self.assertEqual(other.error(*call).code, "DRAINING", call)
            # Reading goes on; no new connections.
            self.assertEqual(other.call("get", kept), "kept")
            self.assertIsInstance(other.call("ping"), int)
            with self.assertRaises((ConnectionRefusedError, FileNotFoundError, Closed)):
                with Client(daemon.unix) as late:
                    late.call("ping")
            # The reply on its way is sent whole.
            self.assertEqual(len(reader.recv().value()), 32 * MIB)
            self.assertEqual(daemon.wait_exit(), 0)
            daemon.check_log()
            reader.close()
            other.close()
        finally:
            daemon.kill()

    def test_drain_ends_though_a_client_never_reads(self):
        daemon = Daemon().start()
        try:
            reader, other, _, _ = self.draining(daemon)
            self.assertEqual(daemon.wait_exit(), 0)
            daemon.check_log()
            reader.close()
            other.close()
        finally:
            daemon.kill()

    def test_second_signal_ends_at_once(self):
        daemon = Daemon().start()
        try:
            reader, other, _, kept = self.draining(daemon)
            poll(lambda: (other.reply("retain", kept).error or "").startswith("DRAINING"), "it drains")
            daemon.terminate()
            # It ends although the reader still waits, and before the 5 s are over that replies are flushed for.
            daemon.wait_exit(4)
            with self.assertRaises(Closed):
                reader.recv()
            daemon.check_log()
            reader.close()
            other.close()
        finally:
            daemon.kill()

    def test_pipelined_replies_are_flushed(self):
        daemon = Daemon().start()
        try:
            client = daemon.client()
            obj = client.call("put", "v" * 1000)
            for _ in range(2000):
                client.request("get", obj)
            client.recv()
            daemon.terminate()
            got = 1 + len(client.drain_until_closed())
            # What it had read is answered; replies come whole and in order (recv checks their shape).
            self.assertGreater(got, 1)
            self.assertEqual(daemon.wait_exit(), 0)
            client.close()
        finally:
            daemon.kill()

    def test_end_with_much_in_the_heap(self):
        daemon = Daemon().start()
        with daemon.client({"name": "x", "lease_ms": 60000}) as client:
            for _ in range(100):
                client.call("put_many", [[bytes(100), [-1]]] * 1000)
            client.call("put", bytes(30 * MIB))
        daemon.stop()

    def test_end_with_open_frames_and_sessions_in_grace(self):
        daemon = Daemon().start()
        clients = [daemon.client({"name": "n%d" % i, "lease_ms": 60000}) for i in range(20)]
        for i, client in enumerate(clients):
            client.call("put", None, {"size": 100000})
            client.send_raw(b"\x94\x00\x01\xa3put\x91\xc6\x00\x40\x00\x00" + bytes(1000 * i))
            if i % 2:
                client.close()
        daemon.stop()
        for client in clients:
            client.close()

    def test_end_amid_long_calls(self):
        daemon = Daemon().start()
        walker, writer, talker = daemon.client(), daemon.client(), daemon.client()
        for _ in range(50):
            walker.call("put_many", [[i, [-1]] for i in range(1000)])
        obj = writer.call("put", None, {"size": 30 * MIB})
        walker.request("verify")
        writer.request("write", obj, 0, bytes(30 * MIB))
        writer.request("seal", obj)
        talker.send_raw(b"\x94\x00\x01\xa3put\x91\xc6\x00\x40\x00\x00" + bytes(100000))
        daemon.stop()
        for client in (walker, writer, talker):
            client.close()

    def test_sigpipe_does_no_harm(self):
        daemon = Daemon().start()
        with daemon.client() as client:
            daemon.process.send_signal(signal.SIGPIPE)
            self.assertIsInstance(client.call("ping"), int)
        daemon.stop()


if __name__ == "__main__":
    unittest.main()
