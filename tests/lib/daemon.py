# SPDX-License-Identifier: BSD-3-Clause
"""Starts a holdfastd for a test, tells where it listens, and checks that it ends well.

The program is $HOLDFASTD, else build/holdfastd of this tree (RELEASE, for tests that no sanitizer may disturb).
`with Daemon(...) as d:` gives d.unix (path) and d.tcp ((host, port), a free port that the daemon chose). On leaving,
the daemon gets SIGTERM and must exit with 0 and without a sanitizer's report.

HF_WORKERS=N gives each daemon N workers, but for those of tests that ask for a number of their own.
"""
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from rpc import DEADLINE_S, Client

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RELEASE = os.path.join(ROOT, "build", "holdfastd")
HOLDFASTD = os.environ.get("HOLDFASTD") or RELEASE
TSAN_KNOWN = os.path.join(ROOT, "tests", "tsan.supp")
LONG = os.environ.get("HF_TEST_LONG", "") not in ("", "0")
WORKERS = os.environ.get("HF_WORKERS")

REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|ThreadSanitizer|MemorySanitizer"
                    r"|runtime error:|Assertion .* failed")
LISTENING_UNIX = re.compile(r"listening on unix:([^\s\"]+)")
LISTENING_TCP = re.compile(r"listening on tcp:([^\s\"]+):(\d+)")


@functools.lru_cache(maxsize=2)
def _sanitized(path):
    with open(path, "rb") as program:
        return re.search(b"__[at]san_init", program.read()) is not None


class Daemon:
    """unix, tcp: whether to listen there. args: further options. wrap: a command before the daemon's own
    (prlimit). env: variables to add. program: another one than HOLDFASTD. handed: sockets, or descriptors, that are
    handed over to it, as systemd does. ready: whether start() waits until all pools are served."""

    # Descriptors from 3 on are the sockets; the number of this process is only known once it is that process.
    HAND_OVER = ("import fcntl, os, sys\n"
                 "given = [int(fd) for fd in sys.argv[1].split(',')]\n"
                 "high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in given]\n"
                 "for fd in given: os.close(fd)\n"
                 "for n, fd in enumerate(high): os.dup2(fd, 3 + n)\n"
                 "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)))\n"
                 "os.execvp(sys.argv[2], sys.argv[2:])\n")

    def __init__(self, *args, unix=True, tcp=True, wrap=(), env=None, program=HOLDFASTD, handed=(),
                 ready=True):
        self.dir = tempfile.mkdtemp(prefix="hf-")
        self.want_unix, self.want_tcp, self.want_ready = unix, tcp, ready
        self.args = list(args)
        self.wrap = list(wrap)
        self.handed = [given if isinstance(given, int) else given.fileno() for given in handed]
        self.program = program
        self.env = dict({"TSAN_OPTIONS": "suppressions=" + TSAN_KNOWN}, **os.environ, **(env or {}))
        self.unix = None
        self.tcp = None
        self.process = None
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()

    # Life cycle ----------------------------------------------------------------------------------

    def command(self):
        listen = []
        if self.want_unix:
            listen += ["--listen", "unix:" + os.path.join(self.dir, "s")]
        if self.want_tcp:
            listen += ["--listen", "tcp:127.0.0.1:0"]
        workers = ["--workers", WORKERS] if WORKERS and "--workers" not in self.args else []
        hand_over = [sys.executable, "-c", self.HAND_OVER, ",".join(map(str, self.handed))] if self.handed else []
        return hand_over + self.wrap + [self.program] + listen + workers + self.args

    def start(self):
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=self.env, cwd=self.dir, pass_fds=self.handed)
        self.reader = threading.Thread(target=self._read_stderr, daemon=True)
        self.reader.start()
        try:
            if self.want_unix:
                self.unix = self.wait_line(LISTENING_UNIX).group(1)
            if self.want_tcp:
                match = self.wait_line(LISTENING_TCP)
                self.tcp = (match.group(1), int(match.group(2)))
            if self.want_ready and (self.want_unix or self.want_tcp):
                self.wait_line("event=ready")
        except BaseException:
            self.kill()
            raise
        return self

    def _read_stderr(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_line(self, pattern, deadline_s=DEADLINE_S):
        """The match of `pattern` in a line of the log, past or to come."""
        pattern = re.compile(pattern)
        deadline = time.monotonic() + deadline_s
        seen = 0
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    match = pattern.search(line)
                    if match:
                        return match
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise AssertionError("no line %r in the log of %s:\n%s"
                                         % (pattern.pattern, " ".join(self.command()), self.stderr()))
                self.changed.wait(left)

    def stderr(self):
        return "\n".join(self.lines)

    def wait_exit(self, deadline_s=DEADLINE_S):
        """The exit code; all of stderr has been read then."""
        code = self.process.wait(deadline_s)
        self.reader.join(deadline_s)
        return code

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process:
            self.reader.join()
            self.process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def check_log(self):
        report = REPORT.search(self.stderr())
        if report:
            raise AssertionError("a report of the daemon (%s):\n%s" % (report.group(0), self.stderr()))

    def stop(self):
        """SIGTERM, exit code 0, no report."""
        try:
            alive = self.process.poll() is None
            if alive:
                self.terminate()
            try:
                code = self.wait_exit()
            except subprocess.TimeoutExpired:
                raise AssertionError("SIGTERM did not end the daemon:\n" + self.stderr()) from None
            self.check_log()
            if not alive or code != 0:
                raise AssertionError("the daemon ended %s with exit code %d:\n%s"
                                     % ("after SIGTERM" if alive else "by itself", code, self.stderr()))
        finally:
            self.kill()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
            return
        # A failed test: still end the daemon, and add what it said.
        died = self.process.poll()
        self.kill()
        print("the daemon's last lines%s:\n%s" % ("" if died is None else " (it had ended with exit code %d)" % died,
                                                 "\n".join(self.lines[-40:])))

    # Use -----------------------------------------------------------------------------------------

    def client(self, hello=None, tcp=False, **options):
        """A new connection; hello: the option map of a first hello, None for an anonymous session."""
        return Client(self.tcp if tcp else self.unix, hello=hello, **options)

    def memory(self):
        """Bytes of anonymous memory plus blocks allocated to the heap's images."""
        anonymous = 0
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith(("RssAnon:", "VmSwap:")):
                    anonymous += int(line.split()[1]) * 1024
        image = 0
        folder = "/proc/%d/fd" % self.process.pid
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            try:
                if os.readlink(path).startswith("/memfd:"):
                    image += os.stat(path).st_blocks * 512
            except FileNotFoundError:
                pass
        return anonymous + image

    def sanitized(self):
        """Whether the program is a sanitizer's build, whose memory tells nothing about the daemon's."""
        return _sanitized(self.program)


def run(*args, deadline_s=DEADLINE_S, env=None):
    """Runs the daemon's program to its end: (exit code, stdout, stderr)."""
    done = subprocess.run([HOLDFASTD, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline_s,
                          env=dict(os.environ, **(env or {})), check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
