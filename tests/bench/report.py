# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a run, for a terminal and in Markdown."""
import collections

from cells import CODE, HELD, NAMED, SERVERS
from servers import table_text
from verdict import REACHED, AtMost, held_back, required_text, title_of, value_text

Table = collections.namedtuple("Table", "title head lines")

CODE_TITLES = (("get", "get, random objects"), ("count", "retain, release by a second session, random"),
               ("put", "put, release, random"), ("session_end", "a session ends, an object of it"),
               ("give_back", "its memory goes back to the system"), ("memory", "the memory accesses of a get alone"))


def render(table, markdown):
    """The table with its title, as text."""
    return f"{'## ' * markdown}{table.title}\n\n{table_text(table.head, table.lines, markdown)}\n"


def cell_text(key, number, result):
    """The line of one cell in one round."""
    transport, row, depth, server = key
    head = f"round {number + 1}  {transport:4} {row:12} {depth or '':>3} {server:9}"
    if "failed" in result:
        return f"{head} FAILED: {result['failed']}"
    if "rate" in result:
        rate = f"{result['gb_s']:9.2f} GB/s" if "gb_s" in result else f"{result['rate'] / 1e3:9.1f} k/s "
        return (f"{head} {rate}  server {result['cpu_ns']:9.1f} ns a request, "
                f"{result['server_busy']:4.0%} busy; generator {result['own_cpu_ns']:7.1f} ns, {result['own_busy']:4.0%}")
    return f"{head} " + ", ".join(f"{name} {value:.1f}" for name, value in result.items() if name != "checksum")


def _median(results, key, row, figure, scale):
    """As text; `*`: the server was not the limit itself."""
    value = results.median(key, figure)
    if value is None:
        return ""
    mark = " *" if figure != "cpu_ns" and held_back(results, key, row.connections) else ""
    return f"{value * scale:.{0 if value * scale >= 100 else 2}f}{mark}"


def _cells(results, rows, servers, transport, unit, figures):
    """The medians of two figures, and how busy the generator was with each server."""
    lines = []
    for row in rows:
        for depth in row.depths:
            keys = [(transport, row.key, depth, server) for server in servers]
            line = [f"{row.title}, depth {depth}"]
            for figure, scale in figures:
                line += [_median(results, key, row, figure, scale) for key in keys]
            busy = [results.median(key, "own_busy") for key in keys]
            lines.append(line + [" / ".join(f"{value:.0%}" for value in busy if value is not None)])
    head = [f"{transport}: {unit[0]}"] + list(servers) + [f"{server}, CPU {unit[1]}" for server in servers]
    return head + ["generator busy"], lines


def rates(results, rows, servers, transport):
    small = [row for row in rows if row.group == "small"]
    head, lines = _cells(results, small, servers, transport, ("thousand requests a second", "ns"),
                         (("rate", 1e-3), ("cpu_ns", 1)))
    return Table("Rates, and the server's CPU time a request", head, lines)


def large(results, rows, servers, transport):
    rows = [row for row in rows if row.group != "small"]
    head, lines = _cells(results, rows, servers, transport, ("GB/s", "us"), (("gb_s", 1), ("cpu_ns", 1e-3)))
    return Table("Large values, and the server's CPU time for one", head, lines)


def latencies(results, rows, servers, transport):
    lines = []
    for row in rows:
        line = [f"{row.title}, depth {row.depths[0]}"]
        for server in servers:
            values = [results.median((transport, row.key, row.depths[0], server), figure)
                      for figure in ("p50_us", "p99_us", "p999_us")]
            line.append("" if None in values else " / ".join(f"{value:.0f}" for value in values))
        lines.append(line)
    return Table("Latency", [f"{transport}: us, p50 / p99 / p99.9"] + list(servers), lines)


def code(results):
    lines = []
    for figure, title in CODE_TITLES:
        values = list(results.by_round(("none", CODE, 0, "holdfast"), figure).values())
        lines.append([title, f"{results.median(('none', CODE, 0, 'holdfast'), figure):.1f}",
                      f"{min(values):.1f} - {max(values):.1f}"])
    return Table("Holdfast's own code, without sockets, batches of 64", ["CPU ns", "median", "range"], lines)


def memory(results, servers):
    lines = []
    for row, title in ((HELD, "held once by a session; of redis and memcached: a key of 12 bytes"),
                       (NAMED, "held by a name of 12 bytes")):
        values = [results.median(("none", row, 0, server), "bytes") for server in servers]
        lines.append([title] + ["" if value is None else f"{value:.1f}" for value in values])
    return Table("Memory: bytes an object with a value of 16 bytes, everything included",
                 ["bytes"] + list(servers), lines)


def verdicts(judged, titles):
    lines = []
    for verdict in judged:
        target = verdict.target
        aim = "-" if target.aim is None else f"{target.aim:g}"
        span = "-" if verdict.low is None else f"{verdict.low:.2f} - {verdict.high:.2f}"
        cpu = f"{verdict.cpu_ratio:.2f}" if verdict.cpu_ratio is not None else ""
        lines.append([title_of(target, titles), required_text(target), aim, value_text(verdict), span, cpu,
                      verdict.state])
    head = ["figure", "required", "aim", "measured (median)", "range", "by CPU time", "verdict"]
    return Table("What is required and what was reached", head, lines)


def summary(judged):
    """One line: how many figures are reached, how many of them to the aim."""
    reached = [verdict for verdict in judged if verdict.state == REACHED]
    at_aim = [verdict for verdict in reached if verdict.target.aim is not None and (
        verdict.value <= verdict.target.aim if isinstance(verdict.target, AtMost) else verdict.value >= verdict.target.aim)]
    return f"{len(reached)} of {len(judged)} required figures are reached, {len(at_aim)} of them to the aim."


def tables(results, rows, options, judged, titles):
    """All of a run that there is something in."""
    found = []
    if judged:
        found.append(verdicts(judged, titles))
    for transport in options.transports if rows else ():
        servers = [server for server in SERVERS if server in options.servers]
        found += [rates(results, rows, servers, transport), latencies(results, rows, servers, transport)]
        found.append(large(results, rows, [server for server in servers if server != "echo"], transport))
    if results.by_round(("none", CODE, 0, "holdfast"), "get"):
        found.append(code(results))
    peers = [server for server in SERVERS[:3] if results.by_round(("none", HELD, 0, server), "bytes")]
    if peers:
        found.append(memory(results, peers))
    return [table for table in found if table.lines]
