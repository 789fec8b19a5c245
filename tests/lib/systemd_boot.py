# SPDX-License-Identifier: BSD-3-Clause
"""Boots a real systemd for a test, as root, and ends it without a trace (systemd_boot.sh says how it is kept apart).

It is the first process of namespaces of its own (processes, mounts, control groups, host name, IPC, network). Of this
machine's files it sees /usr, read-only; all else is a tmpfs that ends with it. Its network is a loopback of its own, so
ports there may be fixed. `tree` is a folder whose files are laid over its root before it starts, as DESTDIR has them.
With `scratch_usr` it may also write to /usr, which changes nothing here.

    with Systemd(tree) as booted:
        booted.run("systemctl", "start", "x")       # inside; must succeed
        booted.path("/run/x.sock")                  # for a client outside
        booted.journal("x.service")                 # what it logged

Whatever makes a boot impossible is an error of start(), which says what systemd and those before it said.
"""
import json
import os
import pty
import subprocess
import tempfile
import threading
import time

DEADLINE_S = 60
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "systemd_boot.sh")


class BootFailed(Exception):
    """systemd did not come up here; the text says what was said."""


class Systemd:
    def __init__(self, tree=None, scratch_usr=False):
        self.dir = tempfile.mkdtemp(prefix="hf-boot-")
        self.tree = tree
        self.usr = "scratch" if scratch_usr else "read-only"
        self.process = None  # the script
        self.pid = None      # systemd, as this machine numbers it
        self.terminal = None # kept open, so that reading its other end does not end before there is a systemd
        self.said = bytearray()
        self.readers = []

    # Life cycle ----------------------------------------------------------------------------------

    def start(self):
        if os.geteuid() != 0:
            raise BootFailed("booting a systemd takes root")
        console, self.terminal = pty.openpty()
        # A session of its own: it outlives a runner that kills this one, and cleans up.
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", SCRIPT, self.dir,
                                         self.tree or "", os.ttyname(self.terminal), self.usr], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self._read(console)
        self._read(os.dup(self.process.stdout.fileno()))
        try:
            self._wait(self._booted, "systemd has reached basic.target")
        except BaseException:
            self._end()
            raise
        return self

    def stop(self):
        """Kills all that was started there. What stays all the same is an error."""
        if self._end() != 0:
            raise BootFailed("the end of the boot failed:\n" + self.console())

    def _end(self):
        code = 0
        if self.process:
            self.process.stdin.close()
            code = self.process.wait(DEADLINE_S)
            self.process.stdout.close()
            os.close(self.terminal)
            for reader in self.readers:
                reader.join(DEADLINE_S)
        self.process = self.pid = None
        if os.path.exists(self.dir):
            os.rmdir(self.dir)  # the script has made it empty, or has not begun
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("the console of systemd:\n" + self.console()[-3000:])
        self.stop()

    def console(self):
        """What was said before there was a journal, and by the script."""
        return self.said.decode("utf-8", "replace").replace("\r\n", "\n")

    def _read(self, fd):
        def read():
            with open(fd, "rb", buffering=0) as file:
                try:
                    while chunk := file.read(4096):
                        self.said += chunk
                except OSError:
                    pass  # the terminal's other end is closed
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        self.readers.append(reader)

    def _wait(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if self.process.poll() is not None:
                raise BootFailed("it ended before %s:\n%s" % (what, self.console()))
            if time.monotonic() > deadline:
                raise BootFailed("waited %d s until %s:\n%s" % (DEADLINE_S, what, self.console()))
            time.sleep(0.02)

    def _booted(self):
        self.pid = self.pid or self._find()
        return self.pid is not None and self.try_run("systemctl", "is-active", "basic.target") == 0

    def _find(self):
        """The script's children are cat and unshare, whose only child becomes systemd."""
        pid = self.process.pid
        for _ in range(2):
            children = []
            try:
                with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
                    children = file.read().split()
            except OSError:
                pass
            pids = [int(child) for child in children if self._name(child) != "cat"]
            if len(pids) != 1:
                return None
            pid = pids[0]
        return pid if self._name(pid) == "systemd" else None

    @staticmethod
    def _name(pid):
        try:
            with open("/proc/%s/comm" % pid, encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return None

    # Use -----------------------------------------------------------------------------------------

    def path(self, path):
        """Where a file of the booted system is for those outside."""
        return "/proc/%d/root%s" % (self.pid, path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as file:
            return file.read()

    def command(self, *command):
        """The command that does the same inside, found where programs are there, whatever PATH is here."""
        return ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", "--", "env",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] + list(command)

    def finish(self, *command):
        """(exit code, output) of a command inside."""
        done = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=DEADLINE_S, check=False, text=True)
        return done.returncode, done.stdout

    def try_run(self, *command):
        return self.finish(*command)[0]

    def run(self, *command):
        """Its output; it must succeed."""
        code, output = self.finish(*command)
        if code != 0:
            raise AssertionError("%s: exit code %d\n%s" % (" ".join(command), code, output))
        return output

    def show(self, unit, prop):
        """A property of a unit, as `systemctl show` prints it."""
        return self.run("systemctl", "show", "--value", "--property", prop, unit).strip()

    def journal(self, unit):
        """The journal's entries for a unit, oldest first: maps of the journal's fields."""
        self.run("journalctl", "--sync")
        output = self.run("journalctl", "--quiet", "--output=json", "--unit", unit)
        return [json.loads(line) for line in output.splitlines()]
