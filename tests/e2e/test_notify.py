#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the daemon and systemd tell each other, with this test in systemd's place: notifications, the watchdog, sockets
that are handed over, lines for the journal. (test_systemd.py has a real one.)"""
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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import HOLDFASTD, Daemon  # noqa: E402
from rpc import DEADLINE_S, Client, poll  # noqa: E402
from stuck import Stuck  # noqa: E402

MIB = 1 << 20
# The daemon looks twice in that time; long enough for a busy machine.
WATCHDOG_US = 400000
READY = r"\AREADY=1\nSTATUS=serving 1 pool, 0 sessions, 0 objects, [\d.]+ [KM]iB of [\d.]+ [MG]iB\Z"


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, *args, **options):
        daemon = Daemon(*args, unix=False, tcp=False, **options)
        daemon.start()
        self.addCleanup(daemon.kill)
        return daemon

    def unix(self, name, kind=socket.SOCK_STREAM, listens=True):
        sock = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(sock.close)
        sock.bind(self.path(name))
        if listens:
            sock.listen()
        return sock

    def inet(self, kind=socket.SOCK_STREAM, listens=True):
        sock = socket.socket(socket.AF_INET, kind)
        self.addCleanup(sock.close)
        sock.bind(("127.0.0.1", 0))
        if listens:
            sock.listen()
        return sock


class Notified(Folder):
    """The test reads the messages."""

    def setUp(self):
        super().setUp()
        self.socket = self.unix("notify", socket.SOCK_DGRAM, listens=False)
        self.socket.settimeout(DEADLINE_S)
        self.conf = self.path("conf")
        self.write("")

    def write(self, text):
        with open(self.conf, "w", encoding="ascii") as file:
            file.write("[daemon]\nlisten = unix:%s\n%s" % (self.path("s"), text))

    def notified(self, *args, **env):
        return self.start("--config", self.conf, *args, env=dict(NOTIFY_SOCKET=self.path("notify"), **env))

    def watched(self, *args):
        return self.notified(*args, WATCHDOG_USEC=str(WATCHDOG_US))

    def hear(self):
        """What it says, but for what it has kept, which is for test_kept.py."""
        while True:
            said = self.socket.recv(4096).decode()
            if not said.startswith(("FDSTORE=1", "BARRIER=1")):
                return said

    def hear_until(self, pattern):
        """The first message with it."""
        while True:
            said = self.hear()
            if re.search(pattern, said):
                return said

    def hear_all(self):
        """What has come."""
        said = []
        self.socket.setblocking(False)
        try:
            while True:
                said.append(self.hear())
        except BlockingIOError:
            return said
        finally:
            self.socket.settimeout(DEADLINE_S)

    # States --------------------------------------------------------------------------------------

    def test_ready_when_it_serves(self):
        daemon = self.notified()
        self.assertRegex(self.hear(), READY)
        with Client(self.path("s")) as client:
            client.call("ping")
        daemon.stop()

    def test_the_status_follows(self):
        daemon = self.watched()
        self.hear_until("READY=1")
        with Client(self.path("s"), {"name": "one"}) as client:
            for n in range(1234):
                client.call("put", n)
            self.hear_until(r"STATUS=serving 1 pool, 1 session, 1\.23 k objects, ")
            client.call("pool_create", "second", {})
            self.hear_until(r"STATUS=serving 2 pools, 1 session, ")
        daemon.stop()

    def test_reload(self):
        daemon = self.notified()
        self.assertRegex(self.hear(), READY)
        before_us = time.monotonic_ns() // 1000
        daemon.process.send_signal(signal.SIGHUP)
        reloading = re.match(r"RELOADING=1\nMONOTONIC_USEC=(\d+)\nSTATUS=reading", self.hear())
        self.assertTrue(before_us <= int(reloading[1]) <= time.monotonic_ns() // 1000)
        self.assertRegex(self.hear(), READY)
        daemon.stop()

    def test_a_reload_that_was_refused_stays_in_the_status(self):
        daemon = self.notified()
        self.hear_until("READY=1")
        self.write("[limits]\nmax-memory = little\n")
        daemon.process.send_signal(signal.SIGHUP)
        self.hear_until("RELOADING=1")
        self.assertRegex(self.hear(), r"\AREADY=1\nSTATUS=serving .*; the last reload changed nothing, see the log\Z")
        self.write("")
        daemon.process.send_signal(signal.SIGHUP)
        self.hear_until("RELOADING=1")
        self.assertRegex(self.hear(), READY)
        daemon.stop()

    def test_stopping_tells_what_it_waits_for(self):
        daemon = self.notified()
        self.hear_until("READY=1")
        with Client(self.path("s")) as client:
            obj = client.call("put", b"x" * (8 * MIB))
            asked = client.request("get", obj)
            client.sock.recv(1, socket.MSG_PEEK)  # it is being answered: the rest waits for this client
            daemon.terminate()
            waits = "STATUS=stopping: 1 client has to get its last replies, for at most 5 s in all"
            if not self.hear_until(r"\ASTOPPING=1\nSTATUS=stopping: ").endswith(waits):  # the worker may have said so already
                self.hear_until(r"\A" + waits + r"\Z")
            reply = client.recv()
            self.assertEqual((reply.msgid, len(reply.value())), (asked, 8 * MIB))
        self.hear_until(r"\ASTATUS=stopping: the pools are being closed\Z")
        self.assertEqual(daemon.wait_exit(), 0)
        daemon.check_log()
        self.assertEqual(self.hear_all(), [])

    def test_why_it_does_not_start(self):
        with open(self.path("s"), "w", encoding="ascii"):
            pass
        daemon = self.notified()
        self.assertEqual(daemon.wait_exit(), 1)
        said = self.hear_all()
        self.assertEqual(len(said), 1)
        self.assertRegex(said[0], r"\ASTATUS=not started: unix:%s: a file that is not a socket" % self.path("s"))

    def test_pools_in_files_are_opened_before_it_is_ready(self):
        heap = self.path("heap")
        for objects in (0, 1):  # the second time they are recovered
            daemon = self.notified("--heap", heap)
            self.assertEqual(self.hear(), "STATUS=opening the pools: " + heap)
            self.assertRegex(self.hear_until("READY=1"), r"\AREADY=1\nSTATUS=serving 1 pool, 0 sessions, %d object" % objects)
            with Client(self.path("s")) as client:
                client.call("store", "k", 1)
            daemon.stop()
            self.hear_all()

    # The watchdog --------------------------------------------------------------------------------

    def test_the_watchdog_is_fed(self):
        daemon = self.watched("--workers", "3")
        for _ in range(4):
            self.hear_until(r"\AWATCHDOG=1")
        daemon.stop()
        said = self.hear_all()
        stopping = next(n for n, text in enumerate(said) if text.startswith("STOPPING=1"))
        self.assertFalse([text for text in said[stopping:] if "WATCHDOG" in text])

    def test_a_worker_that_is_stuck_is_a_missed_watchdog(self):
        daemon = self.watched("--workers", "3")
        self.hear_until(r"\AWATCHDOG=1")
        stuck = Stuck(daemon.process.pid, "worker-1")
        self.addCleanup(stuck.release)
        self.hear_until(r"\ASTATUS=worker 1 has not answered for [\d.]+ s; the watchdog will end the daemon\Z")
        for _ in range(4):  # systemd would have ended it by now; the main loop goes on telling
            self.assertRegex(self.hear(), r"\ASTATUS=worker 1 has not answered for [\d.]+ s; ")
        with Client(self.path("s")) as client:
            client.call("ping")  # the others serve
        stuck.release()
        self.assertRegex(self.hear_until("WATCHDOG=1"), r"\AWATCHDOG=1\nSTATUS=serving ")
        poll(lambda: re.findall(r"event=(\w*stuck) worker=(\d+)", daemon.stderr()) == [("stuck", "1"), ("unstuck", "1")],
             "the log says that it was stuck and is no more")
        daemon.stop()

    def test_a_main_loop_that_is_stuck_is_a_missed_watchdog(self):
        daemon = self.watched()
        self.hear_until(r"\AWATCHDOG=1")
        stuck = Stuck(daemon.process.pid, "holdfastd")
        self.addCleanup(stuck.release)
        self.hear_all()
        self.socket.settimeout(4 * WATCHDOG_US / 1e6)
        with self.assertRaises(socket.timeout):
            self.hear()
        self.socket.settimeout(DEADLINE_S)
        with Client(self.path("s")) as client:  # the connection waits at the socket
            stuck.release()
            client.call("ping")
        self.hear_until(r"\AWATCHDOG=1")
        daemon.stop()

    def test_without_systemd_nothing_is_said_and_nothing_ticks(self):
        daemon = self.start("--config", self.conf, env=dict(WATCHDOG_USEC="4000"))
        daemon.wait_line("event=ready")

        def turns():
            with open("/proc/%d/status" % daemon.process.pid, encoding="ascii") as status:
                return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)[1])

        def sleeps():  # nothing in the time in which a timer would have fired 25 times
            before = turns()
            time.sleep(0.05)
            return turns() == before

        poll(sleeps, "the main loop sleeps")
        self.assertEqual(len(daemon.stderr().splitlines()), 2, daemon.stderr())
        daemon.stop()


class HandedOver(Folder):
    """Sockets that listen already."""

    def test_unix_and_tcp_and_own(self):
        unix, tcp = self.unix("u"), self.inet()
        daemon = self.start("--listen", "unix:" + self.path("own"), handed=[unix, tcp])
        daemon.wait_line("address=unix:%s " % re.escape(self.path("u")))
        daemon.wait_line("address=tcp:127.0.0.1:%d " % tcp.getsockname()[1])
        daemon.wait_line("address=unix:%s " % re.escape(self.path("own")))
        with Client(self.path("u")) as client:
            client.call("store", "k", 1)
        with Client(tcp.getsockname()) as client:
            self.assertEqual(client.call("fetch", "k"), 1)
        with Client(self.path("own")) as client:
            self.assertEqual(client.call("fetch", "k"), 1)
        daemon.stop()
        self.assertTrue(os.path.exists(self.path("u")), "the file is systemd's")
        self.assertFalse(os.path.exists(self.path("own")))

    def test_clients_wait_from_before_the_start_to_the_next_start(self):
        unix = self.unix("u")
        early = Client(self.path("u"))
        self.addCleanup(early.close)
        early.request("ping")
        first = self.start(handed=[unix])
        early.recv().value()
        first.stop()
        early.wait_closed()
        between = Client(self.path("u"))
        self.addCleanup(between.close)
        between.request("ping")
        second = self.start(handed=[unix])
        between.recv().value()
        second.stop()

    def test_the_default_address_is_not_opened_beside_them(self):
        os.mkdir(self.path("runtime"))
        daemon = self.start(handed=[self.unix("u")], env=dict(XDG_RUNTIME_DIR=self.path("runtime")))
        daemon.wait_line("event=ready")
        with Client(self.path("u")) as client:
            client.call("ping")
        self.assertEqual(os.listdir(self.path("runtime")), [])
        daemon.stop()

    def test_an_address_that_is_handed_over_may_be_in_the_file_too(self):
        with open(self.path("conf"), "w", encoding="ascii") as file:
            file.write("[daemon]\nlisten = unix:%s\n" % self.path("u"))
        daemon = self.start("--config", self.path("conf"), handed=[self.unix("u")])
        daemon.wait_line("event=ready")
        with Client(self.path("u")) as client:
            client.call("ping")
        self.assertEqual(daemon.stderr().count("event=listening"), 1)
        daemon.stop()

    def test_what_is_no_listening_stream_is_refused(self):
        ours, _ = pair = socket.socketpair()
        for sock in pair:
            self.addCleanup(sock.close)
        for sock, why in ((self.unix("a", listens=False), "does not listen"),
                          (self.unix("b", socket.SOCK_DGRAM, listens=False), "is not a stream socket"),
                          (self.inet(socket.SOCK_DGRAM, listens=False), "is not a stream socket"),
                          (ours, "Accept=no")):
            daemon = self.start(handed=[self.unix("good"), sock], env=dict(LISTEN_FDNAMES="good:odd"))
            self.assertEqual(daemon.wait_exit(), 1, daemon.stderr())
            self.assertRegex(daemon.stderr(), r"event=not_started msg=\"descriptor 4 \('odd'\).*" + why)
            daemon.check_log()
            os.unlink(self.path("good"))

    def test_those_of_another_process_are_left_alone(self):
        # As it is when a parent that was started by systemd has not cleaned its environment.
        daemon = self.start("--listen", "unix:" + self.path("own"), env=dict(LISTEN_FDS="3", LISTEN_PID="1"))
        daemon.wait_line("event=ready")
        self.assertEqual(daemon.stderr().count("event=listening"), 1)
        daemon.stop()


class Journal(Folder):
    """stderr is the journal's stream, or is not."""

    def lines(self, *args, journal=True):
        """All lines of a daemon that is ended once it is ready, if it ever is; its exit code."""
        reader, writer = os.pipe()
        stat = os.fstat(writer)
        stream = "%d:%d" % (stat.st_dev, stat.st_ino + (not journal))
        process = subprocess.Popen([HOLDFASTD, *args], stdin=subprocess.DEVNULL, stderr=writer,
                                   stdout=subprocess.DEVNULL, env=dict(os.environ, JOURNAL_STREAM=stream))
        self.addCleanup(process.kill)
        os.close(writer)
        lines = []
        with open(reader, encoding="utf-8") as file:
            for line in file:
                lines.append(line.rstrip("\n"))
                if "event=ready" in line:
                    process.terminate()
        return lines, process.wait(DEADLINE_S)

    def test_lines_have_a_level_and_no_time(self):
        lines, code = self.lines("--listen", "unix:" + self.path("s"))
        self.assertEqual(code, 0, lines)
        self.assertGreaterEqual(len(lines), 4)
        for line in lines:
            self.assertRegex(line, r"\A<6>event=\w+ ")
            self.assertNotIn("level=", line)

    def test_errors_have_theirs(self):
        with open(self.path("s"), "w", encoding="ascii"):
            pass
        lines, code = self.lines("--listen", "unix:" + self.path("s"))
        self.assertEqual(code, 1)
        self.assertRegex("\n".join(lines), r"\A<3>event=not_started msg=\"[^\n]*\"\Z")

    def test_what_is_wrong_with_the_options_is_an_error(self):
        with open(self.path("conf"), "w", encoding="ascii") as file:
            file.write("[limits]\nmax-memory = little\nmax-momery = 1g\n")
        lines, code = self.lines("--config", self.path("conf"))
        self.assertEqual(code, 2)
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertTrue(line.startswith("<3>holdfastd: %s:" % self.path("conf")), line)

    def test_a_stderr_that_was_redirected_is_for_people(self):
        lines, code = self.lines("--listen", "unix:" + self.path("s"), journal=False)
        self.assertEqual(code, 0, lines)
        for line in lines:
            self.assertRegex(line, r"\A\d{4}-\d\d-\d\dT[\d:.]+Z level=info event=\w+ ")


if __name__ == "__main__":
    unittest.main()
