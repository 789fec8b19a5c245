#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Under a real systemd, which keeps the memory of the pools: what is there after a kill, the watchdog, a restart, another
version and back; that clients at the socket see a pause and no refusal; and what becomes of a pool that is damaged."""
import os
import re
import shutil
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import outlives  # noqa: E402
from booted import CONFIG, ERROR, SERVICE, SOCKET_PATH, BootedTest  # noqa: E402
from daemon import RELEASE  # noqa: E402
from folder import hot_entries  # noqa: E402
from rpc import DEADLINE_S, Client, Closed, RpcError, poll  # noqa: E402

PROGRAM = "/usr/local/bin/holdfastd"
VERSIONS = (b"0.1.0\0", b"0.1.9\0")  # of the program, and of another one
CLIENTS = 6
KILLS = 10
# Beside the daemon under test, which is not the one that is installed.
KILL9 = os.path.join(os.path.dirname(os.environ.get("HOLDFASTD", RELEASE)), "tests/e2e/test_kill9")


class Worker(threading.Thread):
    """Stores numbers that rise, one after the other, over whatever happens to the daemon. What has no answer is asked again
    when the session is resumed, and its version tells whether it was done."""

    def __init__(self, path, number):
        super().__init__(daemon=True)
        self.path, self.number = path, number
        self.going = True
        self.key = None
        self.sid = None
        self.stored = self.resumed = self.busy = 0
        self.failure = None
        self.held = None

    def connect(self):
        """None while it is being recovered."""
        try:
            client = Client(self.path, {"session": self.key} if self.key else {"lease_ms": outlives.LEASE_MS})
        except RpcError as error:
            if error.code != "BUSY":
                raise
            self.busy += 1
            return None
        hello = client.hello_result
        if self.key:
            self.resumed += 1
            if (hello["sid"], hello["held"]) != (self.sid, 1):
                raise AssertionError("the session is another one: %r" % hello)
        else:
            self.held = client.call("put", "held by %d" % self.number)
        self.key, self.sid = hello["session"], hello["sid"]
        return client

    def work(self, client):
        while self.going:
            client.call("store", "count-%d" % self.number, self.stored + 1)
            self.stored += 1
            if client.call("get", self.held) != "held by %d" % self.number:
                raise AssertionError("what it held is another object")

    def run(self):
        try:
            while self.going:
                try:
                    client = self.connect()
                    if client:
                        with client:
                            self.work(client)
                except Closed:
                    pass  # the daemon has ended, and the next one is on its way
                except RpcError as error:
                    if error.code != "DRAINING":
                        raise
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error


class Restarts(BootedTest):
    def fill(self):
        return outlives.fill(self.client)

    def check(self, had):
        outlives.check(self, self.client, had)
        for client in had["clients"]:
            client.close()

    def kept(self):
        return int(self.show("NFileDescriptorStore"))

    def active(self):
        poll(lambda: self.show("ActiveState") == "active", "it is active")

    def kill(self):
        """The next one is on its way."""
        pid = self.pid()
        self.systemctl("kill", "--signal=KILL", SERVICE)
        poll(lambda: self.pid() not in (0, pid), "there is a new one")

    def test_all_is_there_after_a_kill_a_restart_and_the_watchdog_but_not_after_a_stop(self):
        self.drop_in(SERVICE, "[Service]\nWatchdogSec=3s\n")

        def watchdog():
            pid = self.pid()
            self.systemctl("kill", "--signal=STOP", SERVICE)
            poll(lambda: self.pid() not in (0, pid), "there is a new one")

        epochs = set()
        def another_systemd():
            self.systemctl("daemon-reexec")
            self.kill()

        for how in (self.kill, watchdog, lambda: self.systemctl("restart", SERVICE), another_systemd):
            had = self.fill()
            self.assertEqual(self.kept(), 2)
            epochs.add(had["hello"]["epoch"])
            how()
            self.check(had)
            self.active()
            self.assertRegex(self.show("StatusText"), r"\Aserving 1 pool, ")
            self.assertEqual(self.kept(), 2)
            self.systemctl("stop", SERVICE)
            self.assertEqual(self.kept(), 0)
        self.assertEqual(len(epochs), 4, "a stop loses it")
        self.wait_log("^event=recovered pool=default ")

    def test_it_is_tried_however_often(self):
        with self.client({"lease_ms": 0}) as client:
            client.call("pool_create", "second")
            client.call("store", "k", "v")
        for _ in range(12):
            self.kill()
        self.assertGreaterEqual(int(self.show("NRestarts")), 12)
        self.assertEqual(self.client().call("fetch", "k"), "v")
        with self.client() as client:
            self.assertEqual(len(client.call("pools")), 2)
            self.assertEqual(self.kept(), 4)
            client.call("pool_drop", "second")
            poll(lambda: self.kept() == 2, "the memory of the pool that was dropped is given back")

    def test_a_start_limit_loses_it(self):
        self.drop_in(SERVICE, "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n")
        with self.client({"lease_ms": 0}) as client:
            client.call("store", "k", "v")
        self.kill()
        self.assertEqual(self.kept(), 2)
        self.systemctl("kill", "--signal=KILL", SERVICE)
        poll(lambda: self.show("ActiveState") == "failed", "the limit is reached")
        self.assertEqual(self.kept(), 0)

    def install(self, version):
        """Another version of the program, under the same name, as a package does it."""
        with open(self.booted.path(PROGRAM), "rb") as file:
            program = file.read()
        for other in VERSIONS:
            program = program.replace(other, version)
        self.assertIn(version, program)
        with open(self.booted.path(PROGRAM + ".new"), "wb") as file:
            file.write(program)
        shutil.copymode(self.booted.path(PROGRAM), self.booted.path(PROGRAM + ".new"))
        os.rename(self.booted.path(PROGRAM + ".new"), self.booted.path(PROGRAM))

    def test_upgrade_and_downgrade_under_load(self):
        workers = [Worker(self.booted.path(SOCKET_PATH), n) for n in range(CLIENTS)]
        self.addCleanup(self.install, VERSIONS[0])
        had = self.fill()
        for worker in workers:
            worker.start()

        def all_go_on():
            before = [worker.stored for worker in workers]
            poll(lambda: all(worker.stored > was or worker.failure for worker, was in zip(workers, before)), "all go on")

        for version in VERSIONS[::-1] + VERSIONS:
            all_go_on()
            self.install(version)
            self.systemctl("restart", SERVICE)
            all_go_on()
            with self.client({"session": had["hello"]["session"]}) as client:
                self.assertEqual(client.hello_result["version"], version[:-1].decode())
                self.assertEqual(client.hello_result["epoch"], had["hello"]["epoch"])
        for worker in workers:
            worker.going = False
        for worker in workers:
            worker.join(DEADLINE_S)
            self.assertIsNone(worker.failure)
            self.assertGreaterEqual(worker.resumed, 4)
        with self.client() as client:
            self.assertEqual([client.call("fetch", "count-%d" % worker.number) for worker in workers],
                             [worker.stored for worker in workers])
            for worker in workers:
                client.call("unname", "count-%d" % worker.number)
            self.assertEqual(client.call("verify")["findings"], [])
        self.check(had)

    def test_clients_of_the_library_notice_nothing_of_kills(self):
        """test_kill9.c, whose clients count all they do, while systemd starts one daemon after the other."""
        self.drop_in(SERVICE, "[Service]\nRestartSec=0\n")
        clients = subprocess.Popen([KILL9], env=dict(os.environ, HF_ADDRESS="unix:" + self.booted.path(SOCKET_PATH)),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(clients.wait)
        self.addCleanup(clients.kill)
        said = ""
        for _ in range(KILLS):
            clients.stdin.write("\n")
            clients.stdin.flush()
            while not said.endswith("worked\n"):
                line = clients.stdout.readline()
                self.assertNotEqual(line, "", said)
                said += line
            said += "killed\n"
            self.kill()
            self.assertEqual(self.kept(), 2)
        rest, _ = clients.communicate(timeout=DEADLINE_S)
        self.assertEqual(clients.returncode, 0, said + rest)
        with self.client() as client:
            self.assertEqual(client.call("verify")["findings"], [])
        self.active()

    # Damage --------------------------------------------------------------------------------------

    def memory(self, name):
        """The number of systemd's descriptor."""
        listed = self.booted.run("ls", "-l", "/proc/1/fd")
        return int(re.search(r" (\d+) -> /memfd:%s " % re.escape(name), listed)[1])

    def damage(self):
        """While the daemon does nothing, which then dies of it."""
        self.systemctl("kill", "--signal=STOP", SERVICE)
        meta = self.booted.path("/proc/1/fd/%d" % self.memory("default.meta"))
        at = hot_entries(meta) + 32 + 3
        with open(meta, "r+b", buffering=0) as file:
            file.seek(at)
            form = file.read(1)[0]
            file.seek(at)
            file.write(bytes([form | 0x1e]))
        self.systemctl("kill", "--signal=KILL", SERVICE)

    def test_a_pool_that_is_damaged(self):
        with self.client({"lease_ms": 0}) as client:
            client.call("store", "k", "v" * 100)
            client.call("pool_create", "second")
            with self.client({"pool": "second", "lease_ms": 0}) as other:
                other.call("store", "k", "w")
        self.damage()
        tries = int(self.show("NRestarts"))
        poll(lambda: int(self.show("NRestarts")) > tries + 2, "it is tried again and again")
        self.wait_log("^event=not_started msg=\"pool default, whose memory was kept, is damaged: object 1: ", ERROR)
        self.assertEqual(self.kept(), 4)
        # What the manual says for a look at it.
        self.booted.run("mkdir", "/run/copy")
        for name in ("default.meta", "default.values"):
            self.booted.run("cp", "--sparse=always", "/proc/1/fd/%d" % self.memory(name), "/run/copy/" + name)
        code, said = self.booted.finish("holdfast", "verify", "/run/copy")
        self.assertEqual(code, 1)
        self.assertRegex(said, r"(?m)^default: object 1: ")
        # And the way out.
        self.booted.write(CONFIG, "[daemon]\nset-aside = /var/lib/holdfast/damaged\n")
        self.wait_log("^event=set_aside pool=default folder=/var/lib/holdfast/damaged ", ERROR)
        with self.client() as client:
            self.assertEqual(client.code("fetch", "k"), "NOTFOUND")
        with self.client({"pool": "second"}) as client:
            self.assertEqual(client.call("fetch", "k"), "w")
        self.active()
        self.assertEqual(self.kept(), 4)
        self.assertEqual(self.booted.finish("holdfast", "verify", "/var/lib/holdfast/damaged")[0], 1)


if __name__ == "__main__":
    unittest.main()
