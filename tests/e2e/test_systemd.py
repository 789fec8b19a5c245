#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Under a real systemd, booted for the test from what `make install` puts there: start by the first client, READY,
STATUS, reload, watchdog, crash, stop, restart, the journal, what the sandbox allows. Takes root."""
import os
import re
import subprocess
import sys
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from booted import (CONFIG, ERROR, MIB, SERVICE, SOCKET, SOCKET_PATH, UNITS, WARNING, BootedTest, Host,  # noqa: E402
                    finish)
from rpc import DEADLINE_S, Client, Closed, poll, request_bytes  # noqa: E402
from systemd_boot import BootFailed, Systemd  # noqa: E402

EXPOSURE_MAX = 1.0


class Units(unittest.TestCase):
    def test_each_line_has_its_reason_beside_it(self):
        for unit in UNITS:
            with open(os.path.join(ROOT, "deploy", unit), encoding="utf-8") as file:
                lines = file.read().splitlines()
            for n, line in enumerate(lines):
                if re.match(r"\w+=", line) and not line.startswith(("Description=", "Documentation=")):
                    # A comment above it, or above its twin (User= and Group=, a folder and its mode).
                    reasons = [above for above in lines[n - 2:n] if re.match("# [^-]", above)]
                    self.assertTrue(reasons and lines[n - 1] != "", "%s:%d: %s" % (unit, n + 1, line))

    def test_what_the_service_is_allowed(self):
        code, text = finish("systemd-analyze", "--no-pager", "security", "--offline=true",
                            os.path.join(ROOT, "deploy", SERVICE))
        self.assertEqual(code, 0, text)
        self.assertLessEqual(float(re.search(r"Overall exposure level for \S+: ([\d.]+)", text)[1]), EXPOSURE_MAX, text)


class Boot(unittest.TestCase):
    """The library by itself."""

    def test_what_makes_it_impossible_is_said(self):
        host, booted = Host(), Systemd("/nonexistent/tree")
        self.addCleanup(host.clear)
        with self.assertRaisesRegex(BootFailed, "/nonexistent/tree"):
            booted.start()
        host.check(booted.dir)

    def test_a_test_that_is_killed_leaves_nothing(self):
        host = Host()
        self.addCleanup(host.clear)
        program = "import sys, time\nsys.path.insert(0, sys.argv[1])\nfrom systemd_boot import Systemd\n" \
                  "booted = Systemd().start()\nprint(booted.dir, booted.pid, flush=True)\ntime.sleep(1000)\n"
        with subprocess.Popen([sys.executable, "-c", program, os.path.join(ROOT, "tests", "lib")],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            said = process.stdout.readline().split()
            process.kill()
            self.assertEqual(len(said), 2, "it has booted")
        poll(lambda: not os.path.exists(said[0]) and not os.path.exists("/proc/" + said[1]), "it cleans up")
        host.check(said[0])


class Booted(BootedTest):
    # Start ---------------------------------------------------------------------------------------

    def test_at_boot_there_are_the_socket_the_user_and_the_folders(self):
        self.assertEqual(self.at_boot, {SOCKET: "active", SERVICE: "inactive"})
        inside = "stat -c '%U:%G %a' /run/holdfast /run/holdfast/holdfast.sock; id -nG holdfast"
        self.assertEqual(self.booted.run("sh", "-c", inside).splitlines(),
                         ["root:root 755", "root:holdfast 660", "holdfast"])
        self.assertEqual(self.booted.run("systemd-analyze", "verify", "--man=no", *UNITS), "")

    def test_clients_that_come_at_once_start_it_and_all_are_answered(self):
        barrier, failures = threading.Barrier(24), []

        def work(n):
            try:
                barrier.wait()
                with Client(self.booted.path(SOCKET_PATH), {"name": "early %d" % n}) as client:
                    client.call("store", "k%d" % n, n)
                    if client.call("fetch", "k%d" % n) != n:
                        failures.append("k%d" % n)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(repr(error))

        self.assertEqual(self.show("ActiveState"), "inactive")
        threads = [threading.Thread(target=work, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        poll(lambda: self.show("ActiveState") == "active", "READY was heard")
        self.assertEqual(self.client().call("stats", "names")["count"], 24)
        self.assertEqual(self.show("NRestarts"), "0")
        status = self.booted.read("/proc/%d/status" % self.pid())
        uid = self.booted.run("id", "-u", "holdfast").strip()
        self.assertEqual(re.search(r"^Uid:\s+(.*)$", status, re.M)[1].split(), [uid] * 4)

    def test_start_returns_when_it_serves(self):
        self.systemctl("start", SERVICE)
        self.assertEqual(self.show("ActiveState"), "active")
        self.assertRegex(self.show("StatusText"),
                         r"\Aserving 1 pool, 0 sessions, 0 objects, [\d.]+ [KM]iB of [\d.]+ [MG]iB\Z")

    def test_why_it_does_not_start_is_told_and_once_that_is_mended_those_that_waited_are_served(self):
        for text, code, status, logged in (
                ("[limits]\nmax-memory = little\n", "2", "", r"^holdfastd: %s:2: .*little" % CONFIG),
                ("[daemon]\nlisten = tcp:127.0.0.1:0\n", "1", "not started: tcp:127.0.0.1:0: ",
                 r"^event=not_started msg=\"tcp:127\.0\.0\.1:0: .*ListenStream= of the socket unit")):
            self.booted.write(CONFIG, text)
            self.assertNotEqual(self.booted.try_run("systemctl", "start", SERVICE), 0)
            self.assertEqual(self.show("ExecMainStatus"), code)
            self.assertTrue(self.show("StatusText").startswith(status))
            self.wait_log(logged, ERROR)
            waiting = self.client()
            waiting.request("ping")
            tries = int(self.show("NRestarts"))
            poll(lambda: int(self.show("NRestarts")) > tries + 2, "it is tried again and again")  # pylint: disable=W0640
            self.booted.write(CONFIG, self.config)
            waiting.recv().value()
            self.systemctl("stop", SERVICE)

    # While it runs -------------------------------------------------------------------------------

    def test_lines_in_the_journal_have_their_level_and_no_second_time(self):
        self.client().call("ping")
        entry = self.wait_log("^event=listening ")[-1]
        self.assertEqual(entry["MESSAGE"],
                         "event=listening address=unix:%s msg=\"listening on unix:%s\"" % (SOCKET_PATH, SOCKET_PATH))
        self.assertEqual(entry["_SYSTEMD_UNIT"], SERVICE)

    def test_reload(self):
        client = self.client({"name": "stays"})
        obj, pid = client.call("put", "kept"), self.pid()
        self.booted.write(CONFIG, "[log]\nlog-level = debug\n[limits]\nmax-memory = 333m\n")
        self.systemctl("reload", SERVICE)
        self.wait_log("^event=changed option=log-level ")
        self.assertEqual(client.call("stats", "memory")["daemon_limit"], 333 * MIB)
        self.client().call("ping")
        self.wait_log("^event=opened ", "7")  # which is said at that level only
        poll(lambda: self.show("ActiveState") == "active", "it has told that it is done")
        self.assertEqual(self.pid(), pid)
        self.assertEqual(client.call("get", obj), "kept")

    def test_a_reload_of_a_broken_file_fails_and_changes_nothing(self):
        client = self.client({"name": "stays"})
        limit = client.call("stats", "memory")["daemon_limit"]
        pid = self.pid()
        self.booted.write(CONFIG, "[log]\nlog-level = loud\n[limits]\nmax-memory = 333m\n")
        self.assertNotEqual(self.booted.try_run("systemctl", "reload", SERVICE), 0)
        self.wait_log(r"^holdfastd: %s:2: .*loud" % CONFIG, ERROR)
        self.assertEqual(self.booted.journal(SERVICE)[-1]["MESSAGE"].count("event=not_reloaded"), 0)
        # Nor does the daemon take it when it is asked to.
        self.systemctl("kill", "--signal=HUP", SERVICE)
        self.wait_log("^event=not_reloaded ", ERROR)
        poll(lambda: self.show("StatusText").endswith("; the last reload changed nothing, see the log"), "it is shown")
        self.assertEqual(client.call("stats", "memory")["daemon_limit"], limit)
        self.assertEqual((self.pid(), self.show("ActiveState")), (pid, "active"))

    def test_one_that_is_stuck_is_replaced(self):
        self.drop_in(SERVICE, "[Service]\nWatchdogSec=3s\n")
        client = self.client({"name": "victim"})
        for n in range(7):
            client.call("put", n)
        pattern = r"\Aserving 1 pool, 1 session, 7 objects, "
        poll(lambda: re.match(pattern, self.show("StatusText")), "the status tells of 7 objects")
        pid = self.pid()
        self.systemctl("kill", "--signal=STOP", SERVICE)
        late = self.client({})  # it waits at the socket, or in the one that is stuck
        client.wait_closed()
        poll(lambda: self.pid() not in (0, pid) and self.show("ActiveState") == "active", "there is a new one")
        self.assertGreaterEqual(int(self.show("NRestarts")), 1)
        self.assertTrue([entry for entry in self.log() if "Watchdog timeout" in entry["MESSAGE"]])
        late.call("ping")

    def test_the_sandbox_leaves_it_what_it_needs(self):
        with self.client({"name": "busy"}) as client:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            self.assertAlmostEqual(client.call("stats", "memory")["daemon_limit"] / memory, 0.6, delta=0.01)
            large = [client.call("put", b"x" * (16 * MIB)) for _ in range(4)]
            self.assertEqual(len(client.call("get", large[3])), 16 * MIB)
            for obj in large:  # arenas come and go: files grow, holes are punched
                client.call("release", obj)
            client.results([("put", n) for n in range(20000)])
            client.call("pool_create", "second", {"max_bytes": 64 * MIB})
            with self.client({"pool": "second"}) as other:
                other.call("store", "k", [1, 2])
            client.call("pool_drop", "second", {"force": True})
            self.assertTrue(client.call("verify")["ok"])
        self.assertEqual([entry["MESSAGE"] for entry in self.booted.journal(SERVICE)
                          if entry["PRIORITY"] in (ERROR, WARNING) and entry.get("_PID") == str(self.pid())], [])
        # And nothing else.
        user = self.booted.run("id", "-u", "holdfast").strip()
        for who in (user, "0"):
            for place, allowed in (("/var/lib/holdfast", True), ("/run/holdfast/heap", True), ("/run/holdfast", False),
                                   ("/run", False), ("/etc", False), ("/usr/local/bin", False)):
                if who == "0" and place.startswith("/run"):
                    continue  # systemd 252 leaves it writable in a container; it is root's
                code = self.booted.try_run("nsenter", "--target", str(self.pid()), "--mount", "--setuid", who, "--",
                                           "touch", place + "/try")
                self.assertEqual(code == 0, allowed, (who, place))

    def test_pools_in_files_outlive_it(self):
        for heap in ("/var/lib/holdfast/heap", "/run/holdfast/heap"):
            self.booted.write(CONFIG, "[daemon]\nheap = %s\n" % heap)
            self.client().call("store", "k", heap)
            self.systemctl("kill", "--signal=KILL", SERVICE)
            self.assertEqual(self.client().call("fetch", "k"), heap)
            self.systemctl("restart", SERVICE)
            self.assertEqual(self.client().call("fetch", "k"), heap)
            self.systemctl("stop", SERVICE)

    def test_figures_come_by_http_on_this_machine(self):
        ask = ("import urllib.request as u; "
               "print(u.urlopen('http://127.0.0.1:7678/metrics', timeout=60).read().decode())")
        said = self.booted.run("python3", "-c", ask)
        self.assertIn("\nholdfast_pools 1\n", said)
        self.assertRegex(said, r"\nprocess_resident_memory_bytes \d{6,}\n")
        self.assertRegex(said, r"\nprocess_open_fds \d+\n")

    def test_tcp_comes_from_the_socket_unit(self):
        self.systemctl("stop", *UNITS)
        self.drop_in(SOCKET, "[Socket]\nListenStream=127.0.0.1:7677\n")
        self.systemctl("start", SOCKET)
        self.assertIn("answered", self.booted.run("holdfast", "-s", "tcp:127.0.0.1:7677", "ping"))
        self.wait_log("^event=listening address=tcp:127.0.0.1:7677 ")
        self.client().call("ping")

    # The end -------------------------------------------------------------------------------------

    def test_stop_answers_what_was_asked(self):
        client = self.client({"name": "asks"})
        obj = client.call("put", b"x" * (8 * MIB))
        client.send_raw(b"".join(request_bytes(n, "ping", []) for n in range(500)))
        client.send_raw(request_bytes(500, "get", [obj]))
        self.systemctl("stop", "--no-block", SERVICE)
        poll(lambda: self.show("StatusText").startswith("stopping: 1 client has to get its last replies, "),
             "it tells what it waits for")
        self.assertEqual(self.show("ActiveState"), "deactivating")
        replies = client.drain_until_closed()
        self.assertEqual([reply.msgid for reply in replies], list(range(501)))
        self.assertEqual(len(replies[500].value()), 8 * MIB)
        poll(lambda: self.show("ActiveState") == "inactive", "it has ended")
        self.assertEqual([self.show(prop) for prop in ("Result", "ExecMainStatus")], ["success", "0"])
        self.assertTrue(os.path.exists(self.booted.path(SOCKET_PATH)), "systemd still listens")

    def test_the_end_of_the_socket_is_the_end(self):
        self.client().call("ping")
        self.systemctl("stop", SOCKET)
        self.assertEqual(self.show("ActiveState"), "inactive")
        self.assertFalse(os.path.exists(self.booted.path(SOCKET_PATH)))

    def test_clients_at_the_socket_do_not_notice_a_crash(self):
        self.client().call("ping")
        pid = self.pid()
        self.systemctl("kill", "--signal=STOP", SERVICE)
        waiting = [self.client() for _ in range(10)]
        for client in waiting:
            client.request("ping")
        self.systemctl("kill", "--signal=KILL", SERVICE)
        for client in waiting:
            client.recv().value()
        self.assertNotEqual(self.pid(), pid)

    def test_no_client_is_turned_away_while_it_restarts(self):
        self.client().call("ping")
        going, refused, answered = threading.Event(), [], [0] * 4
        going.set()

        def work(n):
            while going.is_set():
                try:
                    with Client(self.booted.path(SOCKET_PATH)) as client:
                        client.call("ping")
                        answered[n] += 1
                except Closed:
                    pass  # it had reached the old one, which was about to end
                except Exception as error:  # pylint: disable=broad-except
                    refused.append(repr(error))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(answered))]
        for thread in threads:
            thread.start()
        pids = [self.pid()]
        for _ in range(3):
            self.systemctl("restart", SERVICE)
            pids.append(self.pid())
            before = list(answered)
            poll(lambda was=before: all(now > then for now, then in zip(answered, was)), "all are served again")
        going.clear()
        for thread in threads:
            thread.join(DEADLINE_S)
        self.assertEqual(refused, [])
        self.assertEqual(len(set(pids)), 4)


if __name__ == "__main__":
    unittest.main()
