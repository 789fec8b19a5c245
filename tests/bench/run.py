#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What `make bench` runs, one after the other:

    tests/bench/run.py [BUILD] [options of peers.py]

the programs bench_* (single parts, without sockets), peers.py (small requests beside other servers),
large.py (large values beside them), memory.py (bytes an object). Fails when one of them does.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    print(f"\n== {os.path.basename(command[0])}\n", flush=True)
    return subprocess.run(command, check=False).returncode == 0


def main(arguments):
    build = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "build"
    programs = os.path.join(build, "tests/bench")
    good = True
    for name in sorted(name[:-2] for name in os.listdir(HERE) if name.startswith("bench_") and name.endswith(".c")):
        good &= run([os.path.join(programs, name)])
    good &= run([os.path.join(HERE, "peers.py"), "--build", build] + arguments)
    good &= run([os.path.join(HERE, "large.py"), "--build", build])
    good &= run([os.path.join(HERE, "memory.py"), "--build", build])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
