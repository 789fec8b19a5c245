#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What it costs to look at a large daemon: 10 million objects and 10,000 named sessions in one pool of one worker, and a
load of gets beside.

    tests/bench/scrape.py [--build build] [--objects 10000000] [--sessions 10000] [--scrapes 100]

Each page of the endpoint for monitoring is asked for in turns, as many times as told. The rule: a scrape (/metrics) takes less
than 50 ms, and no turn of the worker's loop does more for any of the pages than 200 us of processor time (the daemon's own
`survey_step_us`). The other pages are told for information: /connz sorts all sessions and shows 1,024 of them.
"""
import argparse
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from beside import BUDGET_US
from rpc import Rpc
from servers import LOAD_CORE, Failed, Programs, Server, machine, pinned, table_text

SCRAPE_MS = 50
RATE = 20000
PAGES = ("/metrics", "/varz", "/poolz", "/gcz", "/connz?limit=1024&sort=bytes")


def ask(path, page):
    """(milliseconds, body) of a page."""
    begin = time.monotonic()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(f"GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := sock.recv(1 << 20):
            parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise Failed(f"{page}: {head.decode(errors='replace')[:200]}")
    return (time.monotonic() - begin) * 1000, body


def step_us(page, body):
    """What the worker did in one turn for that answer, if it tells."""
    if page == "/metrics":
        return float(re.search(rb"^holdfast_scrape_step_seconds (\S+)$", body, re.M).group(1)) * 1e6
    return float(json.loads(body)["survey_step_us"])


def sessions(address, count):
    """So many connections with a named session, which holds an object."""
    clients = []
    for k in range(count):
        rpc = Rpc(address)
        name = f"session {k}".encode()
        rpc.call("hello", b"\x81\xa4name" + bytes([0xa0 + len(name)]) + name)
        rpc.call("put", "held")
        clients.append(rpc)
    return clients


def measure(server, path, options):
    """{page: ([milliseconds], [microseconds])}"""
    found = {page: ([], []) for page in PAGES}
    for _ in range(options.scrapes):
        for page in PAGES:
            took, body = ask(path, page)
            found[page][0].append(took)
            found[page][1].append(step_us(page, body))
        if server.process.poll() is not None:
            raise Failed(server.log_text()[-500:])
    return found


def under_load(programs, server, path, options):
    """The same beside a load of gets at a fixed rate."""
    load = [os.path.join(programs.build, "holdfast"), "--json", "--address", server.address, "bench", "--mix", "get", "--rate",
            str(RATE), "--duration", "3600"]
    process = subprocess.Popen(pinned(LOAD_CORE, load), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        rpc = Rpc(server.address)
        while rpc.call("stats", "requests")["methods"].get("get", {"count": 0})["count"] < RATE:
            if process.poll() is not None:
                raise Failed(f"holdfast bench: {process.stderr.read().decode()}")
            time.sleep(0.05)
        rpc.close()
        return measure(server, path, options)
    finally:
        process.terminate()
        process.communicate()


def report(title, found):
    lines = [[page, f"{statistics.median(took):.1f}", f"{max(took):.1f}", f"{statistics.median(steps):.0f}", f"{max(steps):.0f}"]
             for page, (took, steps) in found.items()]
    print(table_text([title, "ms, median", "ms, most", "step us, median", "step us, most"], lines, False) + "\n")


def verdict(runs):
    slowest = max(max(found["/metrics"][0]) for found in runs)
    longest = max(max(steps) for found in runs for _, steps in found.values())
    kept = slowest < SCRAPE_MS and longest <= BUDGET_US
    print(f"slowest scrape: {slowest:.1f} ms (less than {SCRAPE_MS}); longest step of the worker: {longest:.0f} us (at most {BUDGET_US})\n"
          f"verdict: {'kept' if kept else 'NOT kept'}")
    return 0 if kept else 1


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--objects", type=int, default=10000000)
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--scrapes", type=int, default=100, help="of each page, without and with load (100)")
    options = parser.parse_args(arguments)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < options.sessions + 100:
        raise Failed(f"{most} descriptors are allowed: too few for {options.sessions} sessions (ulimit -Hn)")
    programs = Programs(options.build)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        path = os.path.join(folder, "stats.socket")
        server = Server(programs, "holdfast", "unix", folder, extra=("--stats", f"unix:{path}"))
        try:
            server.fill(options.objects, 16)
            clients = sessions(server.address, options.sessions)
            varz = json.loads(ask(path, "/varz")[1])
            print(f"{machine()}\nholdfastd {varz['version']}: {varz['objects']:,} objects, {varz['sessions']:,} sessions\n")
            runs = [measure(server, path, options), under_load(programs, server, path, options)]
            for client in clients:
                client.close()
        finally:
            server.stop()
    report("nothing else going on", runs[0])
    report(f"beside {RATE:,} gets a second", runs[1])
    return verdict(runs)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failed:
        sys.exit(f"scrape.py: {failed}")
