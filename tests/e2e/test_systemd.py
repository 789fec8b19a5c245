#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Under a real systemd, booted for the test, from what `make install` puts there: start by socket, READY, STATUS, reload,
the watchdog, stop, restart. Needs root."""
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from rpc import Client, poll, request_bytes  # noqa: E402
from systemd_boot import Systemd  # noqa: E402

SERVICE, SOCKET = "holdfast.service", "holdfast.socket"
SOCKET_PATH = "/run/holdfast/holdfast.sock"
CONFIG = "/etc/holdfast/holdfast.conf"
EXPOSURE_MAX = 1.0
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def fingerprint():
    """What a boot that reaches the machine's own folders would change."""
    # What other tests make there meanwhile begins with hf-.
    folders = {path: sorted(name for name in os.listdir(path) if not name.startswith("hf-"))
               for path in ("/run", "/dev", "/etc", "/etc/systemd/system")}
    with open("/etc/passwd", encoding="utf-8") as users:
        return folders, users.read(), glob.glob("/var/lib/holdfast*"), glob.glob("/run/holdfast*")


class Units(unittest.TestCase):
    def analyze(self, *arguments):
        done = subprocess.run(["systemd-analyze", "--no-pager"] + list(arguments), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, text=True)
        return done.returncode, done.stdout

    def test_exposure(self):
        code, text = self.analyze("security", "--offline=true", os.path.join(ROOT, "deploy", SERVICE))
        self.assertEqual(code, 0, text)
        exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", text)[1])
        self.assertLessEqual(exposure, EXPOSURE_MAX)

    def test_every_directive_is_known(self):
        # The program and the manual are not installed here; nothing else may be said.
        _, text = self.analyze("verify", os.path.join(ROOT, "deploy", SERVICE), os.path.join(ROOT, "deploy", SOCKET))
        said = [line for line in text.splitlines()
                if "is not executable" not in line and "Command 'man" not in line and "holdfast" in line]
        self.assertEqual(said, [])


class Booted(unittest.TestCase):
    """Each test begins with the socket listening and the service stopped."""

    @classmethod
    def setUpClass(cls):
        cls.before = fingerprint()
        cls.booted = Systemd().start()
        cls.addClassCleanup(cls.end)
        cls.install()

    @classmethod
    def end(cls):
        cls.booted.stop()
        after = fingerprint()
        if after != cls.before:
            raise AssertionError("the boot has left something on this machine:\n%r\n%r" % (cls.before, after))

    @classmethod
    def install(cls):
        done = subprocess.run(["make", "-s", "install", "DESTDIR=" + cls.booted.path("/"), "PREFIX=/usr"], cwd=ROOT,
                              env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stdout)
        # A machine that is being developed on may have an older one installed, which systemd would prefer.
        cls.booted.run("sh", "-c", "rm -f /usr/local/lib/systemd/system/holdfast.* /etc/systemd/system/holdfast.*")
        cls.booted.run("systemd-sysusers")
        cls.booted.write("/etc/systemd/system/holdfast.service.d/test.conf",
                         "[Service]\nWatchdogSec=1s\nStandardError=append:/run/holdfast.log\n")
        cls.booted.run("systemctl", "daemon-reload")

    def setUp(self):
        self.booted.run("systemctl", "start", SOCKET)
        self.addCleanup(self.booted.run, "systemctl", "stop", SERVICE, SOCKET)

    def client(self, hello=None):
        client = Client(self.booted.path(SOCKET_PATH), hello)
        self.addCleanup(client.close)
        return client

    def pid(self):
        return int(self.booted.show(SERVICE, "MainPID"))

    def host_pid(self):
        """Of the daemon, as those outside of its namespace know it."""
        for path in glob.glob("/proc/[0-9]*/status"):
            try:
                with open(path, encoding="ascii") as status:
                    text = status.read()
            except OSError:
                continue
            pids = re.search(r"^NSpid:\s+(.*)$", text, re.M)[1].split()
            if re.search(r"^Name:\s+holdfastd$", text, re.M) and len(pids) > 1 and int(pids[1]) == self.pid():
                return int(pids[0])
        raise AssertionError("the daemon does not run")

    def test_the_first_client_starts_it_and_none_is_lost(self):
        self.assertEqual(self.booted.show(SERVICE, "ActiveState"), "inactive")
        failures = []

        def work(n):
            try:
                client = Client(self.booted.path(SOCKET_PATH), {"name": "early %d" % n})
                client.call("store", "k%d" % n, n)
                if client.call("fetch", "k%d" % n) != n:
                    failures.append("k%d" % n)
                client.close()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(repr(error))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.booted.wait_for(SERVICE, "ActiveState", "active")
        self.assertEqual(self.client().call("stats", "names")["count"], 24)
        self.assertEqual(self.booted.show(SERVICE, "User"), "holdfast")
        self.assertEqual(oct(os.stat(self.booted.path(SOCKET_PATH)).st_mode & 0o777), "0o660")

    def test_status_tells_a_person(self):
        client = self.client({"name": "shown"})
        for n in range(7):
            client.call("put", n)
        wanted = r"^serving 1 pool, 1 session, 7 objects, [\d.]+ [KM]iB of [\d.]+ [GM]iB$"
        poll(lambda: re.match(wanted, self.booted.show(SERVICE, "StatusText")), "the status tells of 7 objects")

    def test_reload(self):
        client = self.client({"name": "stays"})
        pid = self.pid()
        text = self.booted.read(CONFIG)
        self.booted.write(CONFIG, text + "\n[log]\nlog-level = debug\n[limits]\nmax-memory = 333m\n")
        self.addCleanup(self.booted.write, CONFIG, text)
        self.booted.run("systemctl", "reload", SERVICE)
        poll(lambda: client.call("stats", "memory")["daemon_limit"] == 333 << 20, "the limit is in force")
        self.booted.wait_for(SERVICE, "ActiveState", "active")
        self.assertEqual(self.pid(), pid)
        self.assertIn('option=log-level from="info" to="debug"', self.booted.read("/run/holdfast.log"))

    def test_a_broken_file_changes_nothing(self):
        client = self.client()
        client.call("ping")
        text = self.booted.read(CONFIG)
        self.booted.write(CONFIG, text + "\n[limits]\nmax-memory = little\n")
        self.addCleanup(self.booted.write, CONFIG, text)
        limit = client.call("stats", "memory")["daemon_limit"]
        self.booted.run("systemctl", "reload", SERVICE)
        poll(lambda: "nothing is changed" in self.booted.read("/run/holdfast.log"), "it is said")
        self.assertEqual(client.call("stats", "memory")["daemon_limit"], limit)

    def test_one_that_is_stuck_is_replaced(self):
        client = self.client({"name": "victim"})
        pid = self.pid()
        os.kill(self.host_pid(), signal.SIGSTOP)
        client.wait_closed()  # the watchdog has killed it
        again = self.client({"name": "next"})
        self.assertEqual(again.call("ping") > 0, True)
        self.booted.wait_for(SERVICE, "ActiveState", "active")
        self.assertNotEqual(self.pid(), pid)
        self.assertGreaterEqual(int(self.booted.show(SERVICE, "NRestarts")), 1)

    def test_stop_answers_what_was_asked(self):
        client = self.client()
        client.call("ping")
        client.send_raw(b"".join(request_bytes(n, "ping", []) for n in range(500)))
        self.booted.run("systemctl", "stop", SOCKET, SERVICE)
        self.assertEqual([reply.msgid for reply in client.drain_until_closed()], list(range(500)))
        self.assertEqual(self.booted.show(SERVICE, "Result"), "success")
        self.assertEqual(self.booted.show(SERVICE, "ExecMainStatus"), "0")
        self.booted.run("systemctl", "start", SOCKET)

    def test_clients_wait_at_the_socket_while_it_restarts(self):
        self.client().call("ping")
        pid = self.pid()
        self.booted.run("systemctl", "restart", "--no-block", SERVICE)
        waiting = [self.client() for _ in range(10)]
        for client in waiting:
            client.request("ping")
        answered = 0
        for client in waiting:
            try:
                answered += client.recv().error is None
            except Exception:  # pylint: disable=broad-except
                pass  # it had reached the old one before that closed its doors
        poll(lambda: self.pid() not in (0, pid), "there is a new one")
        self.assertEqual(self.client().call("ping") > 0, True)
        self.assertGreater(answered, 0)

    def test_tcp_is_served_by_the_socket_unit_although_the_service_has_no_network(self):
        self.booted.run("systemctl", "stop", SOCKET, SERVICE)
        self.booted.write("/etc/systemd/system/holdfast.socket.d/tcp.conf", "[Socket]\nListenStream=127.0.0.1:7677\n")
        self.booted.run("systemctl", "daemon-reload")
        self.booted.run("systemctl", "start", SOCKET)
        answer = self.booted.run("holdfast", "-s", "tcp:127.0.0.1:7677", "ping")
        self.assertIn("answered", answer)
        self.booted.run("systemctl", "stop", SOCKET, SERVICE)
        os.remove(self.booted.path("/etc/systemd/system/holdfast.socket.d/tcp.conf"))
        self.booted.run("systemctl", "daemon-reload")
        self.booted.run("systemctl", "start", SOCKET)


if __name__ == "__main__":
    unittest.main()
