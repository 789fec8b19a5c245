#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Small requests beside redis, memcached and a bare libuv echo, under one load generator.

    tests/bench/peers.py [--build build] [--rounds 5] [--seconds 1] [--transport both] [--only ROW ...] [--quick]

Server on core 0, generator on core 1. In each round every cell is measured once and the servers take turns
within a cell, so that what the machine does meanwhile hits all of them. Printed are medians over the
rounds; every figure of every round goes to a JSON file. An operation is a request: a unit of
retain+release, put+release or set+delete is two. Absolute figures differ from machine to machine: claims
are the ratios. `cpu` is the time that the server's threads spent on a CPU, ns an operation; it does not
depend on the generator.
"""
import argparse
import collections
import json
import statistics
import sys
import tempfile
import time

from servers import Failed, Programs, Server, machine, print_table

DEPTHS = (1, 16, 64)
SERVERS = ("holdfast", "redis", "memcached", "echo")
VALUE = 64

Row = collections.namedtuple("Row", "key title work random connections depths servers")
Cell = collections.namedtuple("Cell", "row depth server")

PEERS = ("holdfast", "redis", "memcached")
ROWS = (
    Row("get", "get, one object", "get", False, 50, DEPTHS, PEERS),
    Row("get-random", "get, random objects", "get", True, 50, DEPTHS, PEERS),
    Row("count", "retain+release / counter, one object", "count", False, 50, DEPTHS, PEERS),
    Row("count-random", "retain+release / counter, random", "count", True, 50, DEPTHS, PEERS),
    Row("put", "put+release / set+delete", "put", False, 50, DEPTHS, PEERS),
    Row("echo", "echo of 64 B (floor)", "get", False, 50, DEPTHS, ("echo",)),
    Row("single", "get, one object, 1 connection", "get", False, 1, (1,), SERVERS),
)

# What the first version has to reach over unix sockets: (row, depth, ratio to redis).
FLOORS = (("get", 64, 2.0), ("get-random", 64, 4.0), ("get", 1, 1.0), ("get-random", 1, 1.0))


def cells_of(rows, servers):
    """Cell by cell, the servers of one cell next to each other. A unit of count is two requests for Holdfast
    and one for the others: it is measured with half the units too, which is as many requests in flight."""
    for row in rows:
        for depth in row.depths:
            cells = [Cell(row, depth, server) for server in row.servers if server in servers]
            if row.work == "count" and depth > 1 and "holdfast" in servers:
                cells.append(Cell(row, depth // 2, "holdfast"))
            yield cells


def measure(server, cell, options):
    arguments = ["--work", cell.row.work, "--depth", str(cell.depth), "--connections", str(cell.row.connections),
                 "--value", str(VALUE), "--objects", str(options.objects), "--seconds", str(options.seconds),
                 "--warmup", str(options.warmup)]
    return json.loads(server.run(arguments + (["--random"] if cell.row.random else [])))


def start_all(programs, kinds, transport, folder, options, rows):
    servers = {}
    counters = any(row.work == "count" for row in rows)
    try:
        for kind in kinds:
            servers[kind] = server = Server(programs, kind, transport, folder)
            if kind != "echo":
                server.fill(options.objects, VALUE)
            if kind in ("redis", "memcached") and counters:
                server.fill(options.objects, VALUE, "counter")
    except Failed:
        stop_all(servers)
        raise
    return servers


def stop_all(servers):
    for server in servers.values():
        server.stop()


def one_round(servers, number, rows, options, record):
    """Measures each cell once; the server that begins a cell changes from round to round."""
    for group in cells_of(rows, servers):
        turn = number % len(group) if group else 0
        for cell in group[turn:] + group[:turn]:
            try:
                result = measure(servers[cell.server], cell, options)
            except Failed as failure:
                result = {"failed": str(failure)}
                print(f"FAILED {cell.server} {cell.row.key} depth {cell.depth}: {failure}", file=sys.stderr)
            record(cell, number, result)


class Results:
    """Every figure of every round, by transport, row, depth and server."""

    def __init__(self):
        self.rounds = []
        self.cells = collections.defaultdict(list)
        self.failures = 0

    def add(self, transport, cell, number, result):
        self.rounds.append({"transport": transport, "row": cell.row.key, "depth": cell.depth,
                            "server": cell.server, "round": number, **result})
        if "failed" in result:
            self.failures += 1
        else:
            self.cells[transport, cell.row.key, cell.depth, cell.server].append(result)

    def median(self, transport, row, depth, server, figure):
        """None where nothing was measured."""
        results = self.cells.get((transport, row, depth, server))
        return statistics.median(result[figure] for result in results) if results else None

    def ratio(self, transport, row, depth, peer, own_depth=None):
        own = self.median(transport, row, own_depth or depth, "holdfast", "rate")
        other = self.median(transport, row, depth, peer, "rate")
        return own / other if own and other else None

    def generator_limits(self, transport, row, depth, server):
        """Was the generator busier than the server, and nearly all the time?"""
        own = self.median(transport, row, depth, server, "own_busy")
        return own is not None and own >= 0.85 and own > self.median(transport, row, depth, server, "server_busy")


def joined(values, pattern):
    return " / ".join("-" if value is None else format(value, pattern) for value in values)


def rate_text(results, transport, row, depth, server):
    rate = results.median(transport, row, depth, server, "rate")
    if rate is None:
        return "-"
    return f"{rate / 1000:.{1 if rate < 100000 else 0}f}" + (
        "*" if results.generator_limits(transport, row, depth, server) else "")


def table_of(results, transport, rows, servers, markdown):
    others = [peer for peer in ("redis", "memcached") if peer in servers]
    shown = [server for server in SERVERS if server in servers]
    lines = []
    for row in rows:
        main_server = "holdfast" if "holdfast" in row.servers else "echo"
        line = [row.title]
        line += [" / ".join(rate_text(results, transport, row.key, depth, server) for depth in row.depths)
                 if server in row.servers else "" for server in shown]
        line += [joined([results.ratio(transport, row.key, depth, peer) for depth in row.depths], ".2f")
                 if peer in row.servers else "" for peer in others]
        deepest = [results.median(transport, row.key, row.depths[-1], server, "cpu_ns") for server in shown]
        busy = [results.median(transport, row.key, depth, main_server, "own_busy") for depth in row.depths]
        line += [joined(deepest, ".0f"), joined(busy, ".0%")]
        lines.append(line)
        if row.work == "count" and "holdfast" in servers:
            lines.append(equal_line(results, transport, row, shown, others))
    head = [f"{transport}, depth 1 / 16 / 64"] + shown + [f"ratio to {peer}" for peer in others]
    head += ["cpu ns: " + " / ".join(shown) + ", deepest", "generator busy"]
    print_table(head, lines, markdown)


def equal_line(results, transport, row, shown, others):
    """The same requests in flight: half as many pairs as the peers have counters."""
    depths = [depth for depth in row.depths if depth > 1]
    line = ["  equal requests in flight: " + " / ".join(str(depth) for depth in depths)]
    line += [" / ".join(rate_text(results, transport, row.key, depth // 2 if server == "holdfast" else depth, server)
                        for depth in depths) if server in row.servers else "" for server in shown]
    line += [joined([results.ratio(transport, row.key, depth, peer, depth // 2) for depth in depths], ".2f")
             for peer in others]
    return line + ["", joined([results.median(transport, row.key, depth // 2, "holdfast", "own_busy")
                               for depth in depths], ".0%")]


def latency_table(results, transport, rows, servers, markdown):
    lines = []
    for row in rows:
        line = [row.title]
        for server in servers:
            line.append(joined([results.median(transport, row.key, 1, server, figure)
                                for figure in ("p50_us", "p99_us", "p999_us")], ".0f")
                        if server in row.servers else "")
        lines.append(line)
    print_table([f"{transport}, depth 1: latency us, p50 / p99 / p99.9"] + list(servers), lines, markdown)


def print_floors(results):
    """Says which of the required ratios are reached."""
    for row, depth, floor in FLOORS:
        ratio = results.ratio("unix", row, depth, "redis")
        if ratio is not None:
            print(f"{row}, unix, depth {depth}: {ratio:.2f} x redis, required {floor:.1f}: "
                  f"{'reached' if ratio >= floor else 'MISSED'}")


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of the built programs (build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="measured seconds of a cell (1)")
    parser.add_argument("--warmup", type=float, default=0.2, help="seconds before them (0.2)")
    parser.add_argument("--objects", type=int, default=1000000)
    parser.add_argument("--transport", choices=("unix", "tcp", "both"), default="both")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=[row.key for row in ROWS],
                        help="rows: " + " ".join(row.key for row in ROWS))
    parser.add_argument("--servers", nargs="+", metavar="SERVER", choices=SERVERS, default=SERVERS)
    parser.add_argument("--quick", action="store_true", help="one round of 0.25 s a cell: is it plausible?")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", default="", metavar="FILE", help="every figure (BUILD/bench-peers.json)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.warmup = 1, 0.25, 0.05
    options.json = options.json or f"{options.build}/bench-peers.json"
    return options


def measure_transport(transport, programs, kinds, rows, options, results):
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        servers = start_all(programs, kinds, transport, folder, options, rows)
        try:
            for number in range(options.rounds):
                started = time.monotonic()
                one_round(servers, number, rows, options,
                          lambda cell, n, result: results.add(transport, cell, n, result))
                print(f"{transport}: round {number + 1} of {options.rounds} took {time.monotonic() - started:.0f} s",
                      file=sys.stderr)
        finally:
            stop_all(servers)


def save(path, versions, options, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "versions": versions, "objects": options.objects, "value": VALUE,
                   "seconds": options.seconds, "rounds": results.rounds}, file, indent=1)


def main(arguments):
    options = options_of(arguments)
    programs = Programs(options.build)
    kinds = [kind for kind in options.servers if programs.path(kind)]
    for kind in options.servers:
        if kind not in kinds:
            print(f"{kind}: no program, left out", file=sys.stderr)
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    rows = [row for row in rows if any(kind in row.servers for kind in kinds)]
    transports = ("unix", "tcp") if options.transport == "both" else (options.transport,)
    versions = {kind: programs.version(kind) for kind in kinds}
    results = Results()
    for transport in transports:
        measure_transport(transport, programs, kinds, rows, options, results)
    save(options.json, versions, options, results)
    print(f"{machine()}; {', '.join(f'{kind} {version}' for kind, version in versions.items())}")
    print(f"Thousand operations a second, values of {VALUE} B, {options.objects} objects, 50 connections, medians of "
          f"{options.rounds} rounds of {options.seconds} s; * = the generator is the limit\n")
    for transport in transports:
        table_of(results, transport, rows, kinds, options.markdown)
        print()
        latency_table(results, transport, rows, kinds, options.markdown)
        print()
    print_floors(results)
    print(f"every round: {options.json}")
    return 1 if results.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failed:
        sys.exit(f"peers.py: {failed}")
