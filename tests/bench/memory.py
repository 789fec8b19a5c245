#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bytes an object, everything included: 1 M objects of 16, 64 and 1024 bytes, held by a session or by a name
alone.

    tests/bench/memory.py [--build build] [--objects 1000000] [--sizes 16 64 1024] [--markdown]

For each figure a fresh server. Holdfast: growth of its anonymous memory (RssAnon) and of the blocks behind
its memfds, which are its heap images; redis and memcached: growth of their resident memory, keys of 12
bytes as the names have. Below the table stands the daemon's own account of the same moment, bytes an
object.
"""
import argparse
import os
import sys
import tempfile
import time

from rpc import Rpc
from servers import Failed, Programs, Server, machine, table_text

SIZES = (16, 64, 1024)

COLUMNS = (("holdfast", "value", "holdfast, held"), ("holdfast", "named", "holdfast, named"),
           ("redis", "value", "redis"), ("memcached", "value", "memcached"))


def status_bytes(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise Failed(f"/proc/{pid}/status has no {field}")


def image_bytes(pid):
    """What is behind the memfds of the process; one that is open twice counts once."""
    blocks = {}
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        try:
            if os.readlink(path).startswith("/memfd:"):
                found = os.stat(path)
                blocks[found.st_dev, found.st_ino] = found.st_blocks * 512
        except FileNotFoundError:
            pass
    return sum(blocks.values())


def memory_of(server):
    """{part: bytes} of the process now."""
    if server.kind == "holdfast":
        return {"anon": status_bytes(server.pid, "RssAnon"), "image": image_bytes(server.pid)}
    return {"rss": status_bytes(server.pid, "VmRSS")}


def settled(server):
    """The memory once it stands still for half a second: servers tidy up for a while after the last request."""
    still, last = 0, None
    deadline = time.monotonic() + 15
    while still < 10 and time.monotonic() < deadline:
        now = memory_of(server)
        still = still + 1 if now == last else 0
        last = now
        time.sleep(0.05)
    return last


def measure(programs, kind, item, size, objects):
    """({part: bytes an object}, the daemon's own account or None)"""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        server = Server(programs, kind, "unix", folder)
        try:
            before = settled(server)
            server.fill(objects, size, item)
            after = settled(server)
            grown = {part: (after[part] - before[part]) / objects for part in after}
            return grown, account_of(server) if kind == "holdfast" else None
        finally:
            server.stop()


def account_of(server):
    rpc = Rpc(server.address)
    try:
        return rpc.call("stats", "memory")
    finally:
        rpc.close()


def print_account(size, item, entry, objects):
    parts = ", ".join(f"{part} {value:.1f}" for part, value in entry["bytes"].items())
    print(f"\n{size} B, {'named' if item == 'named' else 'held'}: {parts} (from the kernel)")
    for field, value in entry["account"].items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            print(f"    stats memory.{field:<18} {value:>14}  {value / objects:10.1f} an object")


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--objects", type=int, default=1000000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args(arguments)


def main(arguments):
    options = options_of(arguments)
    programs = Programs(options.build)
    columns = [column for column in COLUMNS if programs.path(column[0])]
    results = {}
    for size in options.sizes:
        for kind, item, _ in columns:
            grown, account = measure(programs, kind, item, size, options.objects)
            results[kind, item, size] = {"bytes": grown, "account": account}
    kinds = dict.fromkeys(kind for kind, _, _ in columns)
    print(f"{machine()}; {', '.join(f'{kind} {programs.version(kind)}' for kind in kinds)}")
    print(f"Bytes an object, {options.objects} objects, values of that size included\n")
    lines = []
    for size in options.sizes:
        sums = [sum(results[kind, item, size]["bytes"].values()) for kind, item, _ in columns]
        lines.append([f"{size} B"] + [f"{total:.1f}" for total in sums])
    print(table_text(["value"] + [title for _, _, title in columns], lines, options.markdown))
    for (kind, item, size), entry in results.items():
        if kind == "holdfast":
            print_account(size, item, entry, options.objects)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failed, RuntimeError) as failed:
        sys.exit(f"memory.py: {failed}")
