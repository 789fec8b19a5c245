# SPDX-License-Identifier: BSD-3-Clause
"""Servers under measurement: how each is started, on which core, and how it is filled.

Every server gets the setting in which it is fastest for this work, without persistence and with one thread that
serves: memcached's `-R 200` lets it answer a batch of 64 without turning to other connections three times (its
default of 20 halves its rate at depth 64).
"""
import os
import re
import shutil
import socket
import subprocess
import time

SERVER_CORE, LOAD_CORE = 0, 1
START_SECONDS = 20


class Failed(Exception):
    """A server or the generator did not do what it was started for; the text says what."""


class Programs:
    """Where the built programs are; a build folder has holdfastd and tests/bench/{load,echo}, or `load` is another's."""

    def __init__(self, build, load=None):
        self.build = build
        self.holdfast = os.path.join(build, "holdfastd")
        self.load = load or os.path.join(build, "tests/bench/load")
        self.echo = os.path.join(build, "tests/bench/echo")
        self.redis = shutil.which("redis-server")
        self.memcached = shutil.which("memcached")

    def path(self, kind):
        path = getattr(self, kind)
        return path if path and os.access(path, os.X_OK) else None

    def version(self, kind):
        if kind == "echo":
            return "libuv " + (output(["pkg-config", "--modversion", "libuv"]) or "of unknown version")
        text = output([self.path(kind), "--version"])
        found = re.search(r"(?:v=)?\d+\.\d+[.\w-]*", text)
        return found.group(0).removeprefix("v=") if found else text.strip()


def output(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def pinned(core, command):
    """The command on one core, where there are two cores and taskset."""
    if (os.cpu_count() or 1) > 1 and shutil.which("taskset"):
        return ["taskset", "-c", str(core)] + command
    return command


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; `address` is unix:PATH or tcp:HOST:PORT, `pid` its process. `wrapper` stands before
    its command, `extra` behind."""

    def __init__(self, programs, kind, transport, folder, wrapper=(), extra=()):
        self.kind, self.programs = kind, programs
        self.log = os.path.join(folder, f"{kind}-{transport}.log")
        self.ids = os.path.join(folder, f"{kind}-{transport}.ids")
        self.keepers = []
        path = os.path.join(folder, f"{kind}.socket")
        port = free_port() if transport == "tcp" and kind in ("redis", "memcached") else 0
        self.address = f"unix:{path}" if transport == "unix" else f"tcp:127.0.0.1:{port}"
        self.folder = folder
        self.command = list(wrapper) + self._command(path, port, folder, transport) + list(extra)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(pinned(SERVER_CORE, self.command), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        self._wait()

    def _command(self, path, port, folder, transport):
        program, unix = self.programs.path(self.kind), transport == "unix"
        if self.kind == "echo":
            return [program, self.address]
        if self.kind == "holdfast":
            return [program, "--listen", self.address, "--workers", "1", "--max-memory", "8G"]
        if self.kind == "redis":
            listen = ["--unixsocket", path, "--port", "0"] if unix else ["--port", str(port), "--bind", "127.0.0.1"]
            return [program, "--save", "", "--appendonly", "no", "--dir", folder, "--loglevel", "warning"] + listen
        listen = ["-s", path] if unix else ["-l", "127.0.0.1", "-p", str(port)]
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [program, "-t", "1", "-m", "8192", "-R", "200"] + user + listen

    def _wait(self):
        """holdfastd and echo say where they listen; the others are asked until they accept."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self.kind in ("holdfast", "echo"):
                found = re.search(r"listening on ((?:unix|tcp):[^\s\"]+)", self.log_text())
                if found:
                    self.address = found.group(1)
                    return
            elif self._accepts():
                return
            time.sleep(0.01)
        text = self.log_text()
        self.stop()
        raise Failed(f"{self.kind} does not start: {text[-500:]}")

    def _accepts(self):
        transport, rest = self.address.split(":", 1)
        try:
            if transport == "unix":
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(rest)
            else:
                host, port = rest.rsplit(":", 1)
                socket.create_connection((host, int(port))).close()
            return True
        except OSError:
            return False

    def command_text(self):
        """As it was started, without the folders of this run."""
        words = [os.path.basename(self.command[0])] + self.command[1:]
        return " ".join(word.replace(self.folder, "DIR") if word else "''" for word in words)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def fill(self, objects, value, item="value"):
        """Makes the objects; what holds them stays connected until stop()."""
        command = [self.programs.load, "fill", "--server", self.kind, "--address", self.address, "--item", item,
                   "--objects", str(objects), "--value", str(value)]
        if self.kind == "holdfast" and item == "value":
            command += ["--ids", self.ids]
        keeper = subprocess.Popen(pinned(LOAD_CORE, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.keepers.append(keeper)
        if keeper.stdout.readline() != "ready\n":
            raise Failed(f"{self.kind} cannot be filled: {keeper.stderr.read().strip()}")

    def run(self, arguments):
        """One run of the generator with these arguments: its line of JSON as text."""
        command = [self.programs.load, "run", "--server", self.kind, "--address", self.address,
                   "--pid", str(self.pid)] + arguments
        if self.kind == "holdfast":
            command += ["--ids", self.ids]
        done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def stop(self, graceful=False):
        """Ends the server before those that hold its objects: it need not free them. `graceful` lets it
        finish."""
        if self.process.poll() is None:
            (self.process.terminate if graceful else self.process.kill)()
        self.process.wait()
        for keeper in self.keepers:
            keeper.communicate()
        self.keepers = []


def machine():
    """One line about the machine, for the head of a table."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, kernel {os.uname().release}"


def table_text(head, lines, markdown):
    """Lines of text under a head; the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in line] for line in [head] + lines]
    if markdown:
        cells.insert(1, ["---"] + ["--:"] * (len(head) - 1))
        return "\n".join("| " + " | ".join(line) + " |" for line in cells)
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join("  ".join([line[0].ljust(widths[0])] + [cell.rjust(width)
                                                             for cell, width in zip(line[1:], widths[1:])])
                     for line in cells)
