#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""run.py [--jobs N] [--wrap COMMAND] PROGRAM...: runs test programs and tells how they ended.

A .py is run by Debian's Python, whose modules the tests need, a .js or .mjs by Node, anything else by itself. One
line for each program; all it printed when it failed. The last line is "N passed, N failed", counting single
tests where a program tells how many it ran (libcheck, unittest), else the program as one.

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


def finish(command):
    """(output, exit code, what is wrong) of a command."""
    # A session of its own, so that what a hanging program has started can be ended with it.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    note = ""
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        note = "no end after %d s" % TIMEOUT_S
    return output.decode("utf-8", "replace"), process.returncode, note


class Runner:
    """Hands the programs out to threads; prints under a lock, so that outputs do not mix."""

    def __init__(self, programs, wrap):
        self.waiting = list(programs)
        self.wrap = wrap
        self.lock = threading.Lock()
        self.passed = self.failed = 0
        self.bad = []

    def work(self):
        while True:
            with self.lock:
                if not self.waiting:
                    return
                program = self.waiting.pop(0)
            self.run(program)

    def run(self, program):
        path = os.path.abspath(program)
        command = self.wrap + BY_SUFFIX.get(os.path.splitext(path)[1], []) + [path]
        begin = time.monotonic()
        try:
            output, code, note = finish(command)
        except OSError as error:
            output, code, note = str(error), 127, "could not be started"
        passed, failed, wrong = counts(output, code)
        self.tell(program, passed, failed, note or wrong, code, output, time.monotonic() - begin)

    def tell(self, program, passed, failed, note, code, output, seconds):
        with self.lock:
            self.passed += passed
            self.failed += failed
            print("%-6s %-50s %5d  %6.1f s" % ("FAILED" if failed else "ok", program, passed + failed, seconds))
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
    parser.add_argument("programs", nargs="*")
    arguments = parser.parse_args()
    runner = Runner(arguments.programs, shlex.split(arguments.wrap))
    threads = [threading.Thread(target=runner.work) for _ in range(max(arguments.jobs, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if runner.bad:
        print("failed: " + " ".join(runner.bad))
    print("%d passed, %d failed" % (runner.passed, runner.failed))
    return 1 if runner.failed or not runner.passed else 0


if __name__ == "__main__":
    sys.exit(main())
