#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Large values over a unix socket: get of 16 KiB (50 connections, batches of 16), 1 MiB and 63 MiB (one
connection, one request).

    tests/bench/large.py [--build build] [--rounds 5] [--seconds 1] [--markdown]

The generator receives into one buffer that it uses again, so all bytes are copied out of the kernel once.
Servers take turns within a round; printed are medians in GB/s.
"""
import argparse
import collections
import json
import statistics
import sys
import tempfile

from servers import Failed, Programs, Server, machine, print_table

KINDS = ("holdfast", "redis", "memcached")

Size = collections.namedtuple("Size", "title value objects connections depth")
SIZES = (Size("16 KiB", 16384, 16, 50, 16), Size("1 MiB", 1 << 20, 1, 1, 1), Size("63 MiB", 63 << 20, 1, 1, 1))


def measure(server, size, options):
    result = json.loads(server.run(["--work", "get", "--objects", str(size.objects), "--value", str(size.value),
                                    "--connections", str(size.connections), "--depth", str(size.depth),
                                    "--seconds", str(options.seconds), "--warmup", "0.3"]))
    return result["rate"] * size.value / 1e9


def medians(programs, kinds, size, options):
    """{kind: GB/s}"""
    rates = {kind: [] for kind in kinds}
    servers = []
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        try:
            for kind in kinds:
                extra = ["-I", "128m"] if kind == "memcached" else []
                servers.append(Server(programs, kind, "unix", folder, extra=extra))
                servers[-1].fill(max(size.objects, size.depth), size.value)
            for number in range(options.rounds):
                turn = number % len(servers)
                for server in servers[turn:] + servers[:turn]:
                    rates[server.kind].append(measure(server, size, options))
        finally:
            for server in servers:
                server.stop()
    return {kind: statistics.median(values) for kind, values in rates.items()}


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    programs = Programs(options.build)
    kinds = [kind for kind in KINDS if programs.path(kind)]
    lines = []
    for size in SIZES:
        rates = medians(programs, kinds, size, options)
        ratios = [f"{rates['holdfast'] / rates[kind]:.2f}" if "holdfast" in rates else "-" for kind in kinds[1:]]
        lines.append([size.title] + [f"{rates[kind]:.2f}" for kind in kinds] + ratios)
    print(f"{machine()}; {', '.join(f'{kind} {programs.version(kind)}' for kind in kinds)}\n")
    print_table(["get, GB/s, unix"] + kinds + [f"ratio to {kind}" for kind in kinds[1:]], lines, options.markdown)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failed:
        sys.exit(f"large.py: {failed}")
