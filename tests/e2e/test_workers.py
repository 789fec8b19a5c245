#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several workers: connections that move with what was read of them, questions that go from thread to thread, pools
made, worked in and dropped while others run."""
import fcntl
import os
import random
import re
import struct
import sys
import termios
import threading
import unittest

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lib")
from daemon import Daemon  # noqa: E402
from rpc import Closed, Raw, RpcError, encode, notification_bytes, poll, request_bytes  # noqa: E402
from stuck import Stuck  # noqa: E402

WORKERS = 4
POOLS = ["p%d" % n for n in range(7)]  # with `default` two on each worker


class WorkersTest(unittest.TestCase):
    OPTIONS = ("--max-memory", "2g")
    WRAP = ()

    def setUp(self):
        self.daemon = Daemon("--workers", str(WORKERS), *self.OPTIONS, wrap=self.WRAP).start()
        self.addCleanup(self.daemon.stop)
        self.clients = []
        self.admin = self.client()

    def client(self, hello=None):
        client = self.daemon.client(hello)
        self.addCleanup(client.close)
        self.clients.append(client)
        return client

    def make_pools(self):
        for name in POOLS:
            self.admin.call("pool_create", name)

    def sound(self):
        for row in self.admin.call("pools"):
            client = self.client({"pool": row["name"]})
            self.assertEqual(client.call("verify")["findings"], [], row["name"])
            client.call("bye")


class Spread(WorkersTest):
    def test_pools_are_spread_over_the_workers(self):
        self.make_pools()
        self.daemon.wait_line(re.compile("event=pool_created pool=%s " % POOLS[-1]))
        lines = [line for line in self.daemon.stderr().splitlines() if "event=pool_created" in line]
        workers = [int(line.split("worker=")[1].split()[0]) for line in lines]
        self.assertEqual(sorted(workers), [0, 1, 1, 2, 2, 3, 3])

    def test_threads_are_those_asked_for(self):
        with open("/proc/%d/status" % self.daemon.process.pid, encoding="ascii") as status:
            threads = [line for line in status if line.startswith("Threads:")]
        self.assertGreaterEqual(int(threads[0].split()[1]), WORKERS + 1)
        self.assertEqual(self.admin.call("stats", "server")["workers"], WORKERS)

    def test_each_pool_is_a_world_of_its_own(self):
        self.make_pools()
        clients = {name: self.client({"pool": name}) for name in ["default"] + POOLS}
        for name, client in clients.items():
            client.call("store", "who", name)
        for name, client in clients.items():
            self.assertEqual(client.call("fetch", "who"), name)
        rows = {row["name"]: row for row in self.admin.call("pools")}
        self.assertEqual(set(rows), set(clients))
        self.assertEqual({row["names"] for row in rows.values()}, {1})
        self.sound()

    def test_figures_of_the_daemon_are_of_all_workers(self):
        self.make_pools()
        clients = [self.client({"pool": name}) for name in POOLS]
        before = self.admin.call("stats", "requests")["by_method"].get("ping", 0)
        for client in clients:
            client.bulk([request_bytes(n, "ping", []) for n in range(100)])
        after = self.admin.call("stats", "requests")["by_method"]
        self.assertEqual(after["ping"] - before, 100 * len(clients))
        self.assertEqual(after["hello"], len(clients))  # one that moved counts once
        connections = clients[3].call("stats", "connections")
        self.assertEqual((connections["open"], connections["made"]), (len(clients) + 1,) * 2)


class Moving(WorkersTest):
    def setUp(self):
        super().setUp()
        self.make_pools()

    def test_what_was_read_behind_hello_goes_along(self):
        for name in POOLS:
            client = self.client()
            frames = [request_bytes(0, "hello", [{"pool": name}])]
            frames += [request_bytes(n, "store", ["k%d" % n, n]) for n in range(1, 301)]
            frames.append(request_bytes(301, "stats", ["pool"]))
            client.send_raw(b"".join(frames))
            replies = [client.recv() for _ in frames]
            self.assertEqual([reply.msgid for reply in replies], list(range(302)))
            self.assertEqual(replies[0].value()["pool"], name)
            self.assertEqual(replies[-1].value()["name"], name)
            self.assertEqual(client.call("fetch", "k300"), 300)
        self.sound()

    def test_half_a_frame_behind_hello_goes_along(self):
        large = request_bytes(2, "store", ["large", "x" * 3000000])
        for cut in (1, 5, 30, 100, 70000, 400000, len(large) - 1):
            client = self.client()
            client.send_raw(request_bytes(1, "hello", [{"pool": "p2"}]) + large[:cut])
            self.assertEqual(client.recv().value()["pool"], "p2")
            client.send_raw(large[cut:])
            self.assertEqual(len(client.recv().value()), 2)
            self.assertEqual(client.call("fetch", "large"), "x" * 3000000)

    def test_hello_byte_by_byte(self):
        client = self.client()
        for byte in request_bytes(7, "hello", [{"pool": "p1", "name": "slow"}]):
            client.send_raw(bytes([byte]))
        self.assertEqual(client.recv().value()["pool"], "p1")

    def test_a_long_hello(self):
        client = self.client()
        hello = request_bytes(1, "hello", [{"pool": "p3", "ballast": "b" * 900000}])
        client.send_raw(hello + request_bytes(2, "ping", []))
        self.assertEqual(client.recv().value()["ignored"], ["ballast"])
        self.assertEqual(client.recv().msgid, 2)

    def test_a_client_that_stops_sending_gets_its_replies(self):
        client = self.client()
        client.send_raw(request_bytes(1, "hello", [{"pool": "p4"}]) + request_bytes(2, "put", ["a"]))
        client.sock.shutdown(1)
        self.assertEqual([reply.msgid for reply in client.drain_until_closed()], [1, 2])

    def test_what_a_notification_made_before_hello_dies_in_default(self):
        client = self.client()
        before = self.admin.call("stats", "objects")
        client.send_raw(notification_bytes("put", ["mine"]) + notification_bytes("store", ["kept", "for all"])
                        + request_bytes(1, "hello", [{"pool": "p5"}]))
        client.recv().value()
        poll(lambda: self.admin.call("stats", "objects")["count"] == before["count"] + 1, "its object dies")
        self.assertEqual(self.admin.call("stats", "objects")["made"], before["made"] + 2)
        self.assertEqual(self.admin.call("fetch", "kept"), "for all")

    def test_hellos_that_fail_are_answered_in_order_then_one_moves(self):
        client = self.client()
        frames = [request_bytes(n, "hello", [{"pool": "nowhere"}]) for n in range(20)]
        frames += [request_bytes(20, "hello", [{"pool": "p6"}]), request_bytes(21, "stats", ["pool"])]
        client.send_raw(b"".join(frames))
        replies = [client.recv() for _ in frames]
        self.assertEqual([reply.msgid for reply in replies], list(range(22)))
        self.assertTrue(all(reply.error.startswith("NOTFOUND") for reply in replies[:20]))
        self.assertEqual(replies[21].value()["name"], "p6")

    def test_replies_that_nobody_reads_do_not_get_lost_on_the_way(self):
        client = self.client()
        count = 60000
        sender = threading.Thread(target=client.send_raw, args=(b"".join(
            [request_bytes(n, "hello", [{"pool": "nowhere"}]) for n in range(count)]
            + [request_bytes(count, "hello", [{"pool": "p6"}]), request_bytes(count + 1, "stats", ["pool"])]),))
        sender.start()
        poll(lambda: self.admin.call("stats", "requests")["by_error"].get("NOTFOUND", 0) > 1000, "many are answered")
        for n in range(count):
            self.assertEqual(client.recv().msgid, n)
        self.assertEqual(client.recv().value()["pool"], "p6")
        self.assertEqual(client.recv().value()["name"], "p6")
        sender.join()

    def test_without_descriptors_hello_says_so_and_may_be_tried_again(self):
        daemon = Daemon("--workers", "2", wrap=["prlimit", "--nofile=64:64"]).start()
        self.addCleanup(daemon.stop)
        admin = daemon.client()
        admin.call("pool_create", "other")
        mover = daemon.client()
        crowd, full = [], None
        while full is None:  # descriptors are used up by connections
            client = daemon.client()
            try:
                client.send_raw(request_bytes(1, "ping", []))
                full = client.recv().error
            except Closed:
                full = "closed"
            crowd.append(client)
        self.assertTrue(full == "closed" or full.startswith("LIMIT"))
        fds = "/proc/%d/fd" % daemon.process.pid
        daemon.wait_line(re.compile("event=refused"))  # written when the one refused is closed
        poll(lambda: len(os.listdir(fds)) == 64, "the reserve is taken back")
        self.assertEqual(mover.code("hello", {"pool": "other"}), "LIMIT")
        for client in crowd:
            client.close()
        self.addCleanup(mover.close)
        self.addCleanup(admin.close)
        poll(lambda: admin.call("stats", "connections")["open"] <= 2, "the crowd is gone")
        self.assertEqual(mover.call("hello", {"pool": "other"})["pool"], "other")


class Held(WorkersTest):
    """Connections that move to a worker which is held still, so that it is known what they find there."""

    OPTIONS = ("--max-memory", "2g", "--log-level", "debug")
    DEPARTED = "it moves to the worker of its pool"

    def hold(self, pool):
        """Holds the pool's worker still, which is not the first one."""
        self.daemon.wait_line(re.compile("event=pool_created pool=%s " % pool))
        worker = re.search(r"event=pool_created pool=%s worker=(\d+)" % pool, self.daemon.stderr())[1]
        self.assertNotEqual(worker, "0")
        stuck = Stuck(self.daemon.process.pid, "worker-" + worker)
        self.addCleanup(stuck.release)
        return stuck

    def taken(self, client):
        """The daemon has read all that the client sent, and so has executed what it can before it reads another's."""
        def unread():
            return struct.unpack("i", fcntl.ioctl(client.sock, termios.TIOCOUTQ, bytes(4)))[0]
        poll(lambda: unread() == 0, "what was sent is read")

    def moving(self, *frames):
        """A client of the first worker that has sent the frames and is on its way."""
        client = self.client()
        before = self.daemon.stderr().count(self.DEPARTED)
        client.send_raw(b"".join(frames))
        poll(lambda: self.daemon.stderr().count(self.DEPARTED) == before + 1, "it leaves")
        return client

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.daemon.process.pid))


class OnTheWay(Held):
    def test_to_a_pool_that_is_dropped_meanwhile(self):
        self.admin.call("pool_create", "other")
        self.admin.call("pool_create", "gone")
        stuck = self.hold("gone")
        self.admin.request("pool_drop", "gone")
        self.taken(self.admin)
        hello = request_bytes(1, "hello", [{"pool": "gone"}])
        again = self.moving(hello)
        along = self.moving(hello, request_bytes(2, "store", ["k", 1]), request_bytes(3, "stats", ["pool"]))
        stuck.release()
        self.assertIs(self.admin.recv().value(), True)
        for client in (again, along):
            self.assertTrue(client.recv().error.startswith("NOTFOUND"))
        self.assertEqual(again.call("hello", {"pool": "other"})["pool"], "other")
        along.recv().value()
        self.assertEqual(along.recv().value()["name"], "default")
        self.assertEqual(self.admin.call("fetch", "k"), 1)

    def test_one_that_is_lost_before_it_can_leave_leaves_nothing(self):
        self.make_pools()
        self.client({"pool": "p0"}).call("ping")  # whatever is opened once is open
        before = self.descriptors()
        for _ in range(3):
            client = self.client()
            # Its replies have to be written first, and it does not read them.
            client.send_raw(b"".join([request_bytes(n, "hello", [{"pool": "nowhere"}]) for n in range(30000)]
                                     + [request_bytes(30000, "hello", [{"pool": "p0"}])]))
            poll(lambda: self.descriptors() == before + 2, "there is the descriptor that is to be sent")
            client.close()
            poll(lambda: self.descriptors() == before, "both are closed")
        self.assertEqual(self.daemon.stderr().count(self.DEPARTED), 1)  # that of the first client


class NoWayHome(Held):
    LIMIT = 64
    WRAP = ("prlimit", "--nofile=%d:%d" % (LIMIT, LIMIT))

    def test_without_a_descriptor_for_the_way_home_it_ends(self):
        self.admin.call("pool_create", "p")
        ended = self.client({"pool": "p"})
        ended.call("bye")
        ended.close()
        stuck = self.hold("p")
        mover = self.moving(request_bytes(1, "hello", [{"session": ended.hello_result["session"]}]),
                            request_bytes(2, "store", ["k", 1]))
        before = self.descriptors()
        while self.descriptors() < self.LIMIT:
            self.client().call("ping")
        stuck.release()
        self.assertTrue(mover.recv().error.startswith("EXPIRED"))
        self.assertEqual(mover.drain_until_closed(), [])  # nothing is done for it in a pool it is not in
        for client in self.clients[1:]:
            client.close()
        poll(lambda: self.descriptors() <= before, "closed connections give their descriptors back")
        self.assertEqual(self.client({"pool": "p"}).code("fetch", "k"), "NOTFOUND")
        self.assertEqual(self.admin.code("fetch", "k"), "NOTFOUND")


class Sessions(WorkersTest):
    def setUp(self):
        super().setUp()
        self.make_pools()

    def test_the_key_finds_its_worker(self):
        for name in POOLS:
            first = self.client({"pool": name, "lease_ms": 600000})
            key = first.hello_result["session"]
            obj = first.call("put", "held")
            first.close()
            poll(lambda: any(row["sid"] == first.hello_result["sid"] and row["state"] == "grace"
                             for row in self.admin.call("sessions", {"pool": name})), "it is in grace")
            again = self.client({"session": key, "pool": "default"})
            self.assertEqual((again.hello_result["pool"], again.hello_result["held"]), (name, 1))
            self.assertEqual(again.call("get", obj), "held")
            again.call("bye")

    def test_a_newcomer_wins_from_another_worker(self):
        first = self.client({"pool": "p2", "lease_ms": 600000})
        second = self.client({"session": first.hello_result["session"]})
        first.wait_closed()
        self.assertEqual(second.hello_result["sid"], first.hello_result["sid"])

    def test_after_a_hello_that_failed_away_all_goes_on_in_default(self):
        ended = self.client({"pool": "p1"})
        key = ended.hello_result["session"]
        ended.call("bye")
        client = self.client()
        client.send_raw(request_bytes(1, "hello", [{"session": key}]) + request_bytes(2, "store", ["home", 1])
                        + request_bytes(3, "stats", ["pool"]))
        self.assertTrue(client.recv().error.startswith("EXPIRED"))
        client.recv().value()
        self.assertEqual(client.recv().value()["name"], "default")
        self.assertEqual(self.admin.call("fetch", "home"), 1)
        other = self.client()
        self.assertEqual(other.code("hello", {"session": key}), "EXPIRED")
        self.assertEqual(other.call("hello", {"pool": "p1"})["pool"], "p1")

    def test_sids_are_unique_and_sessions_of_all_pools_are_listed_from_everywhere(self):
        clients = [self.client({"pool": name, "name": "of " + name}) for name in POOLS * 3]
        sids = {client.hello_result["sid"] for client in clients}
        self.assertEqual(len(sids), len(clients))
        for asker in (self.admin, clients[0], clients[5]):
            rows = asker.call("sessions", {"pool": "*"})
            self.assertLessEqual(sids, {row["sid"] for row in rows})
            self.assertEqual({row["pool"] for row in rows if row["sid"] in sids}, set(POOLS))
            self.assertEqual(len(asker.call("sessions", {"pool": "*", "limit": 9})), 9)
        for name in POOLS:
            rows = self.admin.call("sessions", {"pool": name})
            self.assertEqual({(row["pool"], row["name"]) for row in rows}, {(name, "of " + name)})
            self.assertEqual(len(rows), 3)

    def test_kill_reaches_a_session_of_another_worker(self):
        for name in POOLS:
            victim = self.client({"pool": name, "lease_ms": 600000})
            victim.call("put_many", [[1], [2], [3]])
            self.assertEqual(self.admin.call("kill", victim.hello_result["sid"]), 3)
            victim.wait_closed()
            self.assertEqual(self.client().code("hello", {"session": victim.hello_result["session"]}), "EXPIRED")
        own = self.client({"pool": "p3"})
        self.assertEqual(own.call("kill", own.hello_result["sid"]), 0)
        own.wait_closed()

    def test_one_that_is_lost_while_its_question_is_away_leaves_nothing(self):
        for _ in range(200):
            client = self.client({"pool": random.choice(POOLS)})
            client.send_raw(b"".join(request_bytes(n, "sessions", [{"pool": "*"}]) for n in range(20)))
            client.close()
        poll(lambda: self.admin.call("stats", "connections")["open"] == 1, "all are closed")
        self.sound()


class ComingAndGoing(WorkersTest):
    """Pools made, worked in and dropped by many at once: every answer is one that can be explained."""

    EXPECTED = {"NOTFOUND", "EXISTS", "BUSY", "EXPIRED", "GONE", "LIMIT"}
    ROUNDS = 120

    def actor(self, seed, failures):
        chance = random.Random(seed)
        client = self.daemon.client()
        for _ in range(self.ROUNDS):
            name = "t%d" % chance.randrange(6)
            try:
                step = chance.randrange(6)
                if step == 0:
                    client.call("pool_create", name)
                elif step == 1:
                    client.call("pool_drop", name, {"force": chance.random() < 0.5})
                elif step == 2:
                    client.call("sessions", {"pool": "*"})
                elif step == 3:
                    client.call("pools")
                else:
                    client.close()
                    client = self.daemon.client()
                    client.call("hello", {"pool": name, "lease_ms": chance.choice((0, 50))})
                    ids = client.results([("put", n) for n in range(20)])
                    client.call("link", ids[0], 0, ids[1])
                    client.call("release", ids[1])
            except RpcError as error:
                if error.code not in self.EXPECTED:
                    failures.append(error.text)
            except (Closed, OSError):  # its pool was dropped by force
                client.close()
                client = self.daemon.client()
        client.close()

    def test_pools_come_and_go(self):
        failures = []
        actors = [threading.Thread(target=self.actor, args=(seed, failures)) for seed in range(8)]
        for actor in actors:
            actor.start()
        for actor in actors:
            actor.join()
        self.assertEqual(failures, [])
        for row in self.admin.call("pools"):
            if row["name"] != "default":
                self.admin.call("pool_drop", row["name"], {"force": True})
        self.assertEqual([row["name"] for row in self.admin.call("pools")], ["default"])
        poll(lambda: self.admin.call("stats", "connections")["open"] == 1, "all are closed")
        self.sound()

    def test_a_name_is_given_once(self):
        for n in range(20):
            clients = [self.client() for _ in range(6)]
            for client in clients:
                client.request("pool_create", "race%d" % n)
            errors = [client.recv().error for client in clients]
            self.assertEqual(sum(error is None for error in errors), 1)
            self.assertTrue(all(error is None or error.startswith("EXISTS") for error in errors))

    def test_a_pool_is_dropped_with_those_in_it(self):
        self.make_pools()
        guests = [self.client({"pool": "p4"}) for _ in range(10)]
        guests[0].call("store", "large", "x" * 8000000)
        self.assertEqual(self.admin.code("pool_drop", "p4"), "BUSY")
        self.assertIs(self.admin.call("pool_drop", "p4", {"force": True}), True)
        for guest in guests:
            guest.wait_closed()
        self.assertEqual(self.client().code("hello", {"pool": "p4"}), "NOTFOUND")
        self.admin.call("pool_create", "p4")
        self.assertEqual(self.client({"pool": "p4"}).code("fetch", "large"), "NOTFOUND")
        own = self.client({"pool": "p5"})
        self.assertIs(own.call("pool_drop", "p5"), True)
        own.wait_closed()


class Ending(unittest.TestCase):
    def test_what_was_sent_before_the_signal_is_answered(self):
        daemon = Daemon("--workers", str(WORKERS)).start()
        self.addCleanup(daemon.kill)
        admin = daemon.client()
        for name in POOLS:
            admin.call("pool_create", name)
        clients = [daemon.client({"pool": name}) for name in POOLS for _ in range(3)]
        for client in clients:
            client.send_raw(b"".join(request_bytes(n, "store", ["k%d" % n, Raw(encode("v" * 100))])
                                     for n in range(500)))
        movers = [daemon.client() for _ in POOLS]
        for mover, name in zip(movers, POOLS):
            mover.send_raw(request_bytes(0, "hello", [{"pool": name}]) + request_bytes(1, "ping", []))
        daemon.terminate()
        for client in clients:
            replies = client.drain_until_closed()
            self.assertEqual([reply.msgid for reply in replies], list(range(500)))
            self.assertTrue(all(reply.error is None or reply.error.startswith("DRAINING") for reply in replies))
        for mover in movers:
            self.assertEqual([reply.msgid for reply in mover.drain_until_closed()], [0, 1])
        self.assertEqual(daemon.wait_exit(), 0)
        daemon.check_log()
        for client in clients + movers + [admin]:
            client.close()


    def test_nothing_is_asked_of_workers_that_may_have_ended(self):
        daemon = Daemon("--workers", str(WORKERS)).start()
        self.addCleanup(daemon.kill)
        admin = daemon.client()
        for name in POOLS:
            admin.call("pool_create", name)
        slow = daemon.client({"pool": "p0"})  # what it does not read keeps the daemon from its end
        slow.call("store", "large", "x" * 5000000)
        other, fresh = daemon.client({"pool": "p1"}), daemon.client()
        fresh.notify("ping")
        for n in range(2):
            slow.request("fetch", "large")
        poll(lambda: other.call("stats", "requests")["by_method"].get("fetch", 0) == 2, "it is asked for")
        daemon.terminate()
        poll(lambda: (other.reply("put", 1).error or "").startswith("DRAINING"), "the end has begun")
        for asks in (("stats",), ("pools",), ("sessions", {"pool": "*"}), ("sessions", {"pool": "p0"})):
            self.assertEqual(other.code(*asks), "DRAINING", asks)
        self.assertEqual(len(other.call("sessions", {"pool": "p1"})), 1)  # that is here
        poll(lambda: (fresh.reply("hello", {"pool": "p2"}).error or "").startswith("DRAINING"), "it cannot move")
        for _ in range(2):
            self.assertEqual(len(slow.recv().value()), 5000000)
        self.assertEqual(daemon.wait_exit(), 0)
        daemon.check_log()
        self.assertNotIn("drain_over", daemon.stderr())
        for client in (admin, slow, other, fresh):
            client.close()


if __name__ == "__main__":
    unittest.main()
