#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The configuration of a running daemon: checked, printed, read again."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import HOLDFASTD, Daemon, run  # noqa: E402
from rpc import Client, poll  # noqa: E402

SHIPPED = os.path.join(ROOT, "deploy", "holdfast.conf")
MANUALS = [os.path.join(ROOT, "deploy", "man", name) for name in ("holdfast.conf.5", "holdfastd.8")]


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.conf = os.path.join(self.dir, "holdfast.conf")

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, text):
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, *args, **options):
        daemon = Daemon("--config", self.conf, *args, unix=False, tcp=False, **options)
        daemon.start()
        self.addCleanup(daemon.kill)
        return daemon

    def ready(self, daemon):
        daemon.wait_line(re.compile("event=ready"))
        return daemon


class Check(ConfigTest):
    def test_fine(self):
        self.write("[daemon]\nworkers = 2\n")
        self.assertEqual(run("--config", self.conf, "--check-config"), (0, "%s: fine\n" % self.conf, ""))

    def test_all_that_is_wrong_is_said_and_nothing_is_started(self):
        self.write("[daemon]\nworkers = 0\nlisten = nowhere\nheep = memfd\n[log]\nlog-level = loud\n")
        for arguments in (("--check-config",), ("--print-config",), ()):
            code, out, err = run("--config", self.conf, *arguments)
            self.assertEqual((code, out), (2, ""))
            lines = [re.match(r"holdfastd: %s:(\d+): " % re.escape(self.conf), line) for line in err.splitlines()]
            self.assertEqual([match[1] for match in lines], ["2", "3", "4", "6"])

    def test_what_is_wrong_on_the_command_line_has_no_line(self):
        self.write("")
        code, _, err = run("--config", self.conf, "--workers", "none", "--check-config")
        self.assertEqual(code, 2)
        self.assertTrue(err.startswith("holdfastd: --workers 'none'; "), err)

    def test_a_mistyped_option_comes_with_what_was_meant(self):
        for given, meant in (("--wrokers=3", "Did you mean --workers? "), ("--max_memory", "Did you mean --max-memory? "),
                             ("--chck-config", "Did you mean --check-config? "), ("--colour", "")):
            code, out, err = run(given)
            self.assertEqual((code, out), (2, ""))
            self.assertEqual(err.splitlines()[1:], [meant + "Try 'holdfastd --help'."])

    def test_what_a_file_says_does_not_reach_the_terminal(self):
        self.write("[daemon]\nworkers = \x1b[2J\n\x1b]0;title\x07 = 1\n[log]\nlog-level = \x9b\n")
        code, _, err = run("--config", self.conf, "--check-config")
        self.assertEqual((code, len(err.splitlines())), (2, 3))
        self.assertNotIn("\x1b", err)
        self.assertNotIn("\x07", err)

    def test_a_gigabyte_and_a_program_are_no_configuration(self):
        with open(self.conf, "wb") as file:
            file.truncate(1 << 30)
        for path in (self.conf, HOLDFASTD):
            code, out, err = run("--config", path, "--check-config")
            self.assertEqual((code, out), (2, ""))
            self.assertEqual(err, "holdfastd: %s:1: there is a byte of zero in it: this is no text file\n" % path)

    def test_a_pipe_is_read(self):
        text = subprocess.run([HOLDFASTD, "--print-config"], stdout=subprocess.PIPE, check=True).stdout
        done = subprocess.run([HOLDFASTD, "--config", "/dev/stdin", "--check-config"], input=text,
                              stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout, b"/dev/stdin: fine\n")

    def test_a_second_file_is_refused(self):
        self.write("")
        code, _, err = run("--config", self.conf, "--config", self.conf)
        self.assertEqual(code, 2)
        self.assertIn("one file", err)


class Print(ConfigTest):
    def printed(self, *arguments):
        code, out, err = run("--print-config", *arguments)
        self.assertEqual((code, err), (0, ""))
        return out

    def test_sources(self):
        self.write("[daemon]\n\nworkers = 3\n[limits]\nmax-memory = 77m\n")
        out = self.printed("--config", self.conf, "--max-memory", "88m")
        self.assertIn("# %s:3\nworkers = 3\n" % self.conf, out)
        self.assertIn("# command line; here and now: %d\nmax-memory = 88m\n" % (88 << 20), out)
        self.assertIn("# default\nlog-level = info\n", out)

    def test_what_is_printed_is_a_file_of_the_same_values(self):
        self.write("[daemon]\nlisten = unix:/a b\nlisten = tcp:[::1]:0\nworkers = 3\n[log]\nlog-level = warn\n")
        first = self.printed("--config", self.conf, "--max-memory", "50%")
        self.write(first)
        second = self.printed("--config", self.conf)
        self.assertEqual([line for line in first.splitlines() if not line.startswith("#")],
                         [line for line in second.splitlines() if not line.startswith("#")])


    def test_an_odd_value_is_refused_instead_of_printed(self):
        for odd in ("unix:/a ;b", "unix:/a\nworkers = 3", " unix:/a", "unix:/a #b"):
            code, out, err = run("--listen", odd, "--print-config")
            self.assertEqual((code, out), (2, ""))
            self.assertEqual(len(err.splitlines()), 1)

    def test_the_real_values_are_shown(self):
        cores = min(len(os.sched_getaffinity(0)), 64)
        out = self.printed("--max-memory", "20m")
        self.assertIn("# default; here and now: %d\nworkers = auto\n" % cores, out)

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            for option in ("--print-config", "--check-config"):
                done = subprocess.run([HOLDFASTD, option], stdout=full, stderr=subprocess.PIPE, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"No space left", done.stderr)


class Documents(ConfigTest):
    """The shipped file and the manuals name every option, with its section and its default."""

    def values(self, *arguments):
        _, out, _ = run("--print-config", *arguments, env={"XDG_RUNTIME_DIR": ""})
        section, found = None, {}
        for line in out.splitlines():
            if line.startswith("["):
                section = line
            elif line and not line.startswith("#"):
                key, _, value = line.partition(" = ")
                found[key] = (section, value)
        return found

    def test_the_shipped_file(self):
        with open(SHIPPED, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(run("--config", SHIPPED, "--check-config")[0], 0)
        section, shown = None, {}
        for line in text.splitlines():
            match = re.match(r"#?([a-z-]+) = (.*)$", line)
            if line.startswith("["):
                section = line
            elif match:
                shown[match[1]] = (section, match[2])
        defaults = self.values()
        self.assertEqual(shown, defaults)
        self.assertEqual(self.values("--config", SHIPPED), self.values())

    def test_the_manuals(self):
        for path in MANUALS:
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("\\-", "-")
            for key, (section, _) in self.values().items():
                self.assertIn(key, text, path)
                if path.endswith(".5"):
                    self.assertIn(section, text, path)

    def test_live_options_are_marked_as_such(self):
        with open(SHIPPED, encoding="utf-8") as file:
            blocks = file.read().split("\n\n")
        with open(os.path.join(ROOT, "daemon", "system", "option_table.c"), encoding="utf-8") as file:
            rows = re.findall(r"\[OPTION_\w+\] =\s+\{.*?\},\n", file.read(), re.S)
        self.assertEqual(len(rows), len(self.values()))
        for row in rows:
            key = re.search(r'\.name = "([a-z-]+)"', row)[1]
            block = next(block for block in blocks if re.search("^#%s = " % key, block, re.M))
            self.assertEqual(".live = true" in row, block.startswith("# [live]"), key)


class Reload(ConfigTest):
    def reload(self, daemon, text, said="event=reloaded"):
        """Writes the file, and waits for what the daemon says of it."""
        self.write(text)
        count = daemon.stderr().count(said)
        daemon.process.send_signal(signal.SIGHUP)
        poll(lambda: daemon.stderr().count(said) > count, "the daemon says " + said)

    def config(self, *listen, more=""):
        return "[daemon]\n" + "".join("listen = %s\n" % address for address in listen) + more

    def test_listeners_come_and_go_and_connections_stay(self):
        first, second = "unix:" + self.path("first"), "unix:" + self.path("second")
        self.write(self.config(first))
        daemon = self.ready(self.start())
        old = Client(self.path("first"))
        self.addCleanup(old.close)
        old.call("store", "k", "v")
        self.reload(daemon, self.config(second))
        with Client(self.path("second")) as new:
            self.assertEqual(new.call("fetch", "k"), "v")
        self.assertEqual(old.call("fetch", "k"), "v")
        self.assertFalse(os.path.exists(self.path("first")))
        self.reload(daemon, self.config(first, second))
        with Client(self.path("first")) as again:
            self.assertEqual(again.call("fetch", "k"), "v")
        daemon.stop()

    def test_a_listener_that_cannot_be_opened_is_told_and_the_others_are_kept(self):
        self.write(self.config("unix:" + self.path("a")))
        daemon = self.ready(self.start())
        self.reload(daemon, self.config("unix:" + self.path("a"), "unix:/nowhere/at/all", "unix:" + self.path("b")))
        self.assertIn("event=not_listening", daemon.stderr())
        for name in ("a", "b"):
            with Client(self.path(name)) as client:
                client.call("ping")
        daemon.stop()

    def test_a_listener_that_could_not_be_opened_is_tried_again(self):
        text = self.config("unix:" + self.path("a"), "unix:" + self.path("late/b"))
        self.write(self.config("unix:" + self.path("a")))
        daemon = self.ready(self.start())
        self.reload(daemon, text)
        self.assertEqual(daemon.stderr().count("event=not_listening"), 1)
        os.mkdir(self.path("late"))
        self.reload(daemon, text)
        with Client(self.path("late/b")) as client:
            client.call("ping")
        self.reload(daemon, text)
        self.assertEqual(daemon.stderr().count("event=not_listening"), 1)
        self.assertEqual(daemon.stderr().count("event=listening"), 2)
        daemon.stop()

    def test_a_port_that_was_chosen_stays_until_it_is_taken_away(self):
        self.write(self.config("unix:" + self.path("a")))
        daemon = self.ready(self.start())
        self.reload(daemon, self.config("unix:" + self.path("a"), "tcp:127.0.0.1:0"))
        port = int(daemon.wait_line(r"listening on tcp:127.0.0.1:(\d+)")[1])
        self.reload(daemon, self.config("tcp:127.0.0.1:0", "unix:" + self.path("a")))
        with Client(("127.0.0.1", port)) as client:
            client.call("ping")
            self.reload(daemon, self.config("unix:" + self.path("a")))
            client.call("ping")
        with self.assertRaises(ConnectionRefusedError):
            Client(("127.0.0.1", port))
        daemon.stop()

    def test_without_addresses_it_listens_at_the_default_one(self):
        runtime = self.path("runtime")
        os.mkdir(runtime)
        self.write(self.config("unix:" + self.path("a")))
        daemon = self.ready(self.start(env={"XDG_RUNTIME_DIR": runtime}))
        self.assertEqual(os.listdir(runtime), [])
        self.reload(daemon, "")
        with Client(runtime + "/holdfast/holdfast.sock") as client:
            client.call("ping")
        self.assertFalse(os.path.exists(self.path("a")))
        daemon.stop()

    def test_addresses_of_the_command_line_stay(self):
        self.write(self.config("unix:" + self.path("a")))
        daemon = self.ready(self.start("--listen", "unix:" + self.path("own"), "--log-level", "debug"))
        self.reload(daemon, self.config("unix:" + self.path("b"), more="[log]\nlog-level = error\n"))
        with Client(self.path("own")) as client:
            client.call("ping")
        self.assertEqual([name for name in "ab" if os.path.exists(self.path(name))], [])
        self.assertNotIn("event=changed", daemon.stderr())
        daemon.stop()

    def test_what_cannot_be_read_twice_is_not(self):
        self.write(self.config("unix:" + self.path("a")))
        daemon = self.ready(self.start())
        os.remove(self.conf)
        os.mkfifo(self.conf)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line("event=not_reloaded .*no file that can be read again")
        with Client(self.path("a")) as client:
            client.call("ping")
        daemon.stop()

    def test_limits_and_level(self):
        self.write(self.config("unix:" + self.path("s"), more="[limits]\nmax-memory = 300m\n"))
        daemon = self.ready(self.start())
        client = Client(self.path("s"))
        self.addCleanup(client.close)
        self.assertEqual(client.call("stats", "memory")["daemon_limit"], 300 << 20)
        self.assertNotIn("level=debug", daemon.stderr())
        self.reload(daemon, self.config("unix:" + self.path("s"),
                                        more="[limits]\nmax-memory = 40m\n[log]\nlog-level = debug\n"))
        self.assertEqual(client.call("stats", "memory")["daemon_limit"], 40 << 20)
        self.assertEqual(client.code("put", "x" * (45 << 20)), "OOM")
        Client(self.path("s")).close()
        daemon.wait_line(re.compile("level=debug event=opened"))
        daemon.stop()

    def test_what_cannot_change_is_said_each_time(self):
        self.write(self.config("unix:" + self.path("s"), more="workers = 1\n"))
        daemon = self.ready(self.start())
        for _ in range(2):
            self.reload(daemon, self.config("unix:" + self.path("s"), more="workers = 2\n"))
        self.assertEqual(daemon.stderr().count('event=not_changed option=workers from="1" to="2"'), 2)
        with Client(self.path("s")) as client:
            self.assertEqual(client.call("stats", "server")["workers"], 1)
        daemon.stop()

    def test_the_folder_of_the_heaps_stays(self):
        heap = "heap = %s\n" % self.path("heap")
        self.write(self.config("unix:" + self.path("s"), more=heap))
        daemon = self.ready(self.start())
        for more in (heap, "", "heap = %s\n" % self.path("other"), heap):
            self.reload(daemon, self.config("unix:" + self.path("s"), more=more))
        with Client(self.path("s")) as client:
            client.call("pool_create", "late")
        self.assertTrue(any("late" in name for name in os.listdir(self.path("heap"))), os.listdir(self.path("heap")))
        self.assertFalse(os.path.exists(self.path("other")))
        self.assertEqual(daemon.stderr().count("event=not_changed option=heap from="), 2)
        daemon.stop()

    def test_a_broken_file_changes_nothing(self):
        self.write(self.config("unix:" + self.path("s")))
        daemon = self.ready(self.start())
        self.reload(daemon, self.config("unix:" + self.path("t"), more="workers = many\n"), "nothing is changed")
        self.assertIn("file=%s line=3" % self.conf, daemon.stderr())
        with Client(self.path("s")) as client:
            client.call("ping")
        self.assertFalse(os.path.exists(self.path("t")))
        os.remove(self.conf)
        count = daemon.stderr().count("nothing is changed")
        daemon.process.send_signal(signal.SIGHUP)
        poll(lambda: daemon.stderr().count("nothing is changed") > count, "a missing file is told, too")
        daemon.stop()

    def test_without_a_file_there_is_nothing_to_read_again(self):
        with Daemon(tcp=False) as daemon:
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_line(re.compile("start with --config"))


if __name__ == "__main__":
    unittest.main()
