#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""run.py [--jobs N] [--wrap COMMAND] [--seconds N] [NAME=VALUE | PROGRAM]...: runs test programs and tells how they ended.

A .py is run by Debian's Python, whose modules the tests need, a .js or .mjs by Node, anything else by itself. One
line for each program, with the seconds it took and those it kept processors busy; all it printed when it failed.
The last line is "N passed, N failed", counting single tests where a program tells how many it ran (libcheck,
unittest), else the program as one.

They start in the order given. NAME=VALUE is in the environment of the programs behind it.

A program that ran no test, or skipped one, has failed, and so has a run without programs.
"""
import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

LIBCHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_BAD = re.compile(r"^FAILED \((.*)\)", re.M)
SKIPPED = re.compile(r"skipped=(\d+)")
# A test that hangs must not take the whole run with it; with HF_TEST_LONG=1 the long ones take their time.
TIMEOUT_S = 7200 if os.environ.get("HF_TEST_LONG", "") not in ("", "0") else 280

BY_SUFFIX = {".py": ["/usr/bin/python3"], ".js": ["node"], ".mjs": ["node"]}


def counts(output, code):
    """(passed, failed, what is wrong beside the exit code) of one program."""
    ran = failed = 0
    for match in LIBCHECK.finditer(output):
        ran += int(match[1])
        failed += int(match[2]) + int(match[3])
    for match in UNITTEST.finditer(output):
        ran += int(match[1])
    for match in UNITTEST_BAD.finditer(output):
        failed += sum(int(n) for key, n in re.findall(r"(failures|errors|unexpected successes)=(\d+)", match[1]))
    tells = LIBCHECK.search(output) or UNITTEST.search(output)
    if not tells:
        return (1, 0, "") if code == 0 else (0, 1, "")
    if SKIPPED.search(output):
        return ran, max(failed, 1), "skipped tests"
    if ran == 0:
        return 0, 1, "ran no test"
    if code != 0 and failed == 0:
        failed = 1
    return max(ran - failed, 0), failed, ""


def finish(command, environment, most_s):
    """(output, exit code, seconds of processor time with those of its children, what is wrong) of a command."""
    # A session of its own, so that what a hanging program has started can be ended with it.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True, env=environment)
    late = threading.Event()

    def end():
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(most_s, end)
    timer.start()
    with process.stdout:
        output = process.stdout.read()
    # Not before the timer is gone: until it is waited for, nobody else can have its number.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    timer.cancel()
    timer.join()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    note = "no end after %d s" % most_s if late.is_set() else ""
    return output.decode("utf-8", "replace"), process.returncode, usage.ru_utime + usage.ru_stime, note


class Runner:
    """Hands the programs out to threads; prints under a lock, so that outputs do not mix."""

    def __init__(self, words, wrap, most_s):
        self.waiting = []
        environment = dict(os.environ)
        for word in words:
            name, equals, value = word.partition("=")
            if equals:
                environment = {**environment, name: value}
            else:
                self.waiting.append((word, environment))
        self.wrap, self.most_s = wrap, most_s
        self.lock = threading.Lock()
        self.passed = self.failed = self.busy = 0
        self.bad = []

    def work(self):
        while True:
            with self.lock:
                if not self.waiting:
                    return
                program, environment = self.waiting.pop(0)
            self.run(program, environment)

    def run(self, program, environment):
        path = os.path.abspath(program)
        command = self.wrap + BY_SUFFIX.get(os.path.splitext(path)[1], []) + [path]
        begin = time.monotonic()
        try:
            output, code, busy, note = finish(command, environment, self.most_s)
        except OSError as error:
            output, code, busy, note = str(error), 127, 0, "could not be started"
        passed, failed, wrong = counts(output, code)
        self.tell(program, passed, failed, note or wrong, code, output, (time.monotonic() - begin, busy))

    def tell(self, program, passed, failed, note, code, output, seconds):
        with self.lock:
            self.passed += passed
            self.failed += failed
            self.busy += seconds[1]
            print("%-6s %-50s %5d  %6.1f s %6.1f s" % (("FAILED" if failed else "ok", program, passed + failed) + seconds))
            if failed:
                self.bad.append(program)
                print("---- %s: exit code %d%s" % (program, code, ", " + note if note else ""))
                print(output.rstrip("\n"))
                print("----")
            sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--wrap", default="", help="a command to run each program under")
    parser.add_argument("--seconds", type=int, default=TIMEOUT_S, help="after which a program is ended, and has failed")
    parser.add_argument("words", nargs="*", metavar="NAME=VALUE | PROGRAM")
    arguments = parser.parse_args()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a shell has it that starts us in the background; tests send that signal to what they have started.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    runner = Runner(arguments.words, shlex.split(arguments.wrap), arguments.seconds)
    begin = time.monotonic()
    threads = [threading.Thread(target=runner.work) for _ in range(max(arguments.jobs, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if runner.bad:
        print("failed: " + " ".join(runner.bad))
    print("%.0f s, processors %.0f s" % (time.monotonic() - begin, runner.busy))
    print("%d passed, %d failed" % (runner.passed, runner.failed))
    return 1 if runner.failed or not runner.passed else 0


if __name__ == "__main__":
    sys.exit(main())
