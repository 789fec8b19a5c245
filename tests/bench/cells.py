# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: rows of cells, the servers they need, and the figures of every round.

A *cell* is a row at one depth with one server. Its result is a dictionary of figures; those of the load generator are
`rate` (requests a second), `cpu_ns` (time that the server's threads spent on a CPU, a request), `own_cpu_ns` (the same
of the generator), `server_busy` and `own_busy` (shares of the measured time), `p50_us`, `p99_us`, `p999_us`. A unit
of retain+release, put+release or set+delete is two requests. `gb_s`: of large values, the bytes of them.
"""
import collections
import json
import os
import statistics
import subprocess

import memory
from servers import SERVER_CORE, Failed, Server, pinned

PEERS = ("holdfast", "redis", "memcached")
SERVERS = PEERS + ("echo",)
VALUE = 64
MEMORY_VALUE = 16
LONG_S = 1.0  # for some of the largest values to be read

# Servers that hold so many objects of so many bytes; one set of servers for each group of a transport.
Group = collections.namedtuple("Group", "key value objects")

# depths: units on their way on each connection; of `count` they are requests, see units_of().
Row = collections.namedtuple("Row", "key title group work random connections depths servers")
Cell = collections.namedtuple("Cell", "transport row depth server")

MEMORY_ITEMS = (("holdfast", "value"), ("holdfast", "named"), ("redis", "value"), ("memcached", "value"))


def groups_of(objects):
    return {group.key: group for group in (Group("small", VALUE, objects), Group("16k", 16 << 10, 16),
                                           Group("1m", 1 << 20, 1), Group("63m", 63 << 20, 1))}


ROWS = (
    Row("get", "get, one object", "small", "get", False, 50, (1, 16, 64), PEERS),
    Row("get-random", "get, random objects", "small", "get", True, 50, (1, 16, 64), PEERS),
    Row("count-random", "retain+release / counter, random", "small", "count", True, 50, (2, 16, 64), PEERS),
    Row("put", "put+release / set+delete", "small", "put", False, 50, (1, 16, 64), PEERS),
    Row("echo", "echo of 64 B (floor)", "small", "get", False, 50, (1, 16, 64), ("echo",)),
    Row("single", "get, one object, 1 connection", "small", "get", False, 1, (1,), SERVERS),
    Row("large-16k", "get, 16 KiB", "16k", "get", False, 50, (16,), PEERS),
    Row("large-1m", "get, 1 MiB, 1 connection", "1m", "get", False, 1, (1,), PEERS),
    Row("large-63m", "get, 63 MiB, 1 connection", "63m", "get", False, 1, (1,), PEERS),
)

# Not by the load generator: bench_requests, and the memory of servers of their own.
CODE, HELD, NAMED = "code", "held", "named"
OTHER_ROWS = (CODE, HELD, NAMED)


def units_of(cell):
    """A unit of `count` is two requests for Holdfast and one for the others: half as many units are as many requests
    in flight."""
    return cell.depth // 2 if cell.row.work == "count" and cell.server == "holdfast" else cell.depth


class Results:
    """Every figure of every round, by transport, row, depth and server."""

    def __init__(self):
        self.rounds = []
        self.cells = collections.defaultdict(dict)
        self.failures = []

    def add(self, key, number, result):
        """key: (transport, row, depth, server)"""
        transport, row, depth, server = key
        self.rounds.append({"round": number + 1, "transport": transport, "row": row, "depth": depth,
                            "server": server, **result})
        if "failed" in result:
            self.failures.append(f"round {number + 1}: {server} {row} depth {depth}: {result['failed']}")
        else:
            self.cells[key][number] = result

    def by_round(self, key, figure):
        """{round: figure}"""
        return {number: result[figure] for number, result in self.cells.get(key, {}).items()}

    def median(self, key, figure):
        """None where nothing was measured."""
        values = self.by_round(key, figure).values()
        return statistics.median(values) if values else None

    def ratios(self, key, other, figure="rate"):
        """Of each round in which both were measured."""
        own, others = self.by_round(key, figure), self.by_round(other, figure)
        return [own[number] / others[number] for number in own if others.get(number)]


class Bench:
    """The running servers of all groups, and how a cell is measured on them."""

    def __init__(self, programs, options, folder, report):
        self.programs, self.options, self.folder, self.report = programs, options, folder, report
        self.rows = [row for row in ROWS if row.key in options.rows]
        self.groups = groups_of(options.objects)
        self.servers = {}

    def start(self):
        for transport in self.options.transports:
            for row in self.rows:
                for kind in row.servers:
                    if kind in self.options.servers and (transport, row.group, kind) not in self.servers:
                        self._start(transport, row.group, kind)

    def _start(self, transport, group, kind):
        folder = os.path.join(self.folder, group)
        os.makedirs(folder, exist_ok=True)
        value, objects = self.groups[group].value, self.groups[group].objects
        extra = ["-I", "128m"] if kind == "memcached" and group != "small" else []
        server = self.servers[transport, group, kind] = Server(self.programs, kind, transport, folder, extra=extra)
        if kind == "echo":
            return
        server.fill(max(objects, 16), value)
        if kind != "holdfast" and any(row.work == "count" for row in self.rows if row.group == group):
            server.fill(objects, value, "counter")

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def commands(self):
        """{server: how it was started}, of the first group that has it."""
        found = {}
        for (_, _, kind), server in self.servers.items():
            found.setdefault(kind, server.command_text())
        return found

    def one_round(self, number, results):
        """Each cell once, the servers of a cell next to each other; which of them begins changes from round to
        round."""
        for transport in self.options.transports:
            for row in self.rows:
                for depth in row.depths:
                    cells = [Cell(transport, row, depth, kind) for kind in row.servers
                             if kind in self.options.servers]
                    turn = number % len(cells) if cells else 0
                    for cell in cells[turn:] + cells[:turn]:
                        key = (transport, row.key, depth, cell.server)
                        self._record(key, number, results, lambda cell=cell: self._load(cell))
        if "holdfast" in self.options.servers and CODE in self.options.rows:
            self._record(("none", CODE, 0, "holdfast"), number, results, self._code)
        for kind, item in MEMORY_ITEMS:
            row = NAMED if item == "named" else HELD
            if kind in self.options.servers and row in self.options.rows:
                self._record(("none", row, 0, kind), number, results,
                             lambda kind=kind, item=item: self._memory(kind, item))

    def _record(self, key, number, results, measure):
        try:
            result = measure()
        except Failed as failure:
            result = {"failed": str(failure)}
        results.add(key, number, result)
        self.report(key, number, result)

    def _load(self, cell):
        group = self.groups[cell.row.group]
        seconds = max(self.options.seconds, LONG_S) if group.key == "63m" else self.options.seconds
        arguments = ["--work", cell.row.work, "--depth", str(units_of(cell)), "--value", str(group.value),
                     "--connections", str(cell.row.connections), "--objects", str(max(group.objects, 16)),
                     "--seconds", str(seconds), "--warmup", str(self.options.warmup)]
        server = self.servers[cell.transport, cell.row.group, cell.server]
        result = json.loads(server.run(arguments + (["--random"] if cell.row.random else [])))
        if result["requests"] == 0:
            raise Failed(f"no request was answered within {seconds:g} s")
        if cell.row.group != "small":
            result["gb_s"] = result["rate"] * group.value / 1e9
        return result

    def _code(self):
        command = [os.path.join(self.programs.build, "tests/bench/bench_requests"), str(self.options.objects)]
        done = subprocess.run(pinned(SERVER_CORE, command), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"bench_requests: {done.stderr.strip() or done.returncode}")
        return json.loads(done.stdout)

    def _memory(self, kind, item):
        grown, _ = memory.measure(self.programs, kind, item, MEMORY_VALUE, self.options.objects)
        return {"bytes": sum(grown.values()), **grown}
