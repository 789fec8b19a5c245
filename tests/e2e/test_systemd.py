#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Under a real systemd, booted for the test from what `make install` puts there: start by the first client, READY,
STATUS, reload, watchdog, crash, stop, restart, the journal, what the sandbox allows. Takes root."""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from rpc import DEADLINE_S, Client, Closed, poll, request_bytes  # noqa: E402
from systemd_boot import BootFailed, Systemd  # noqa: E402

SERVICE, SOCKET = "holdfast.service", "holdfast.socket"
UNITS = (SOCKET, SERVICE)
SOCKET_PATH = "/run/holdfast/holdfast.sock"
CONFIG = "/etc/holdfast/holdfast.conf"
DROP_INS = "/run/systemd/system/%s.d/test.conf"
EXPOSURE_MAX = 1.0
MIB = 1 << 20
ERROR, WARNING, INFO = "3", "4", "6"
# `make` as a person calls it, not as a part of the `make` that runs the tests.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def finish(*command):
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, text=True)
    return done.returncode, done.stdout


class Host:
    """What a boot that reaches this machine would change. Other tests work here meanwhile, so it plants files that a
    clean-up at boot would remove, and otherwise looks at what they leave alone."""

    OLD_S = 400 * 86400  # systemd-tmpfiles removes what is older than 10 and 30 days
    FOLDERS = ("/tmp", "/var/tmp", "/run")
    STEADY = ("/dev", "/etc", "/etc/systemd/system", "/run", "/var/lib", "/var/log")
    FILES = ("/etc/passwd", "/etc/group", "/etc/machine-id", "/etc/hostname", "/proc/sys/kernel/hostname",
             "/proc/sys/kernel/core_pattern", "/proc/sys/fs/file-max", "/proc/sys/fs/nr_open")
    OTHERS = re.compile(r"\Ahf-|\Aholdfast\Z")  # of other tests

    def __init__(self):
        self.planted = []
        for folder in self.FOLDERS:
            path = tempfile.mkdtemp(prefix="hf-planted-", dir=folder)
            file = os.path.join(path, "old")
            with open(file, "w", encoding="ascii"):
                pass
            for old in (file, path):
                os.utime(old, (time.time() - self.OLD_S,) * 2)
            self.planted += [file, path]
        self.before = self.look()

    def look(self):
        facts = {path: self.read(path) for path in self.FILES}
        for path in self.STEADY:
            facts[path] = sorted(name for name in os.listdir(path) if not self.OTHERS.search(name))
        facts["planted"] = [path for path in self.planted if os.path.exists(path)]
        return facts

    @staticmethod
    def read(path):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def clear(self):
        for path in self.planted:
            with contextlib.suppress(FileNotFoundError):
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)

    def check(self, folder):
        """Fails if something is not as it was, or is left of the boot in `folder`."""
        after = self.look()
        for what, value in self.before.items():
            if after[what] != value:
                raise AssertionError("the boot has changed this machine's %s:\n%r\n%r" % (what, value, after[what]))
        mounts = [line.split() for line in self.read("/proc/self/mountinfo").splitlines()]
        left = [fields[4] for fields in mounts if folder in fields[4]]
        for place in (fields[4] for fields in mounts if "cgroup2" in fields):
            left += [where for where, _, _ in os.walk(place) if os.path.basename(folder) in where]
        left += [folder] if os.path.exists(folder) else []
        if left:
            raise AssertionError("the boot has left %s" % left)


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


class Booted(unittest.TestCase):
    """Each test begins with the socket listening and the service stopped."""

    @classmethod
    def setUpClass(cls):
        host = Host()
        cls.addClassCleanup(host.clear)
        tree = tempfile.TemporaryDirectory(prefix="hf-tree-")
        cls.addClassCleanup(tree.cleanup)
        for command in (["make", "-s", "install", "DESTDIR=" + tree.name, "PREFIX=/usr/local"],
                        ["systemctl", "--root=" + tree.name, "enable", SOCKET]):
            code, text = finish(*command)
            if code != 0:
                raise AssertionError("%s: exit code %d\n%s" % (" ".join(command), code, text))
        cls.booted = Systemd(tree.name)
        cls.addClassCleanup(host.check, cls.booted.dir)
        cls.booted.start()
        cls.addClassCleanup(cls.booted.stop)
        cls.at_boot = {unit: cls.booted.show(unit, "ActiveState") for unit in UNITS}
        cls.config = cls.booted.read(CONFIG)

    def setUp(self):
        self.systemctl("start", SOCKET)
        self.addCleanup(self.reset)

    def reset(self):
        self.systemctl("stop", *UNITS)
        self.systemctl("reset-failed")
        self.booted.write(CONFIG, self.config)
        if any([self.remove(DROP_INS % unit) for unit in UNITS]):
            self.systemctl("daemon-reload")

    def run(self, result=None):
        """A test that failed shows what the units have logged."""
        bad = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad:
            print("\n".join(entry.get("MESSAGE", "") for entry in self.log()[-60:]))

    def systemctl(self, *arguments):
        return self.booted.run("systemctl", *arguments)

    def show(self, prop, unit=SERVICE):
        return self.booted.show(unit, prop)

    def log(self):
        return [entry for unit in UNITS for entry in self.booted.journal(unit)]

    def wait_log(self, pattern, priority=INFO):
        def found():
            return [entry for entry in self.booted.journal(SERVICE)
                    if re.search(pattern, entry["MESSAGE"]) and entry["PRIORITY"] == priority]
        return poll(found, "the journal has %r with priority %s" % (pattern, priority))

    def drop_in(self, unit, text):
        self.booted.write(DROP_INS % unit, text)
        self.systemctl("daemon-reload")

    def remove(self, path):
        try:
            os.unlink(self.booted.path(path))
        except FileNotFoundError:
            return False
        return True

    def client(self, hello=None):
        client = Client(self.booted.path(SOCKET_PATH), hello)
        self.addCleanup(client.close)
        return client

    def pid(self):
        return int(self.show("MainPID"))

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
