# SPDX-License-Identifier: BSD-3-Clause
"""What `make bench-gc` measures and what is required of it: figures in, verdicts and tables out; no measuring here.

A result is a dictionary of figures under a key (row, objects, who); rows are the graphs, `ordered` and `shuffled` (chains),
`churn`, `barrier` and `get`. What a CPU does alone counts as the best of the rounds, for CPython as for Holdfast and for both
programs whose difference is what barriers cost; the slices and the latencies count as the median.
"""
import collections
import statistics

from report import Table
from verdict import ABSENT, MISSED, REACHED, AtMost, Times, Verdict

MILLION = 1000000
GRAPHS = ("live", "rings", "giant", "giantr", "mix", "held")
CHAINS = ("ordered", "shuffled")
OURS, CPYTHON = "holdfast", "cpython"
OVER_US = 300


class Results:
    """Every figure of every round."""

    def __init__(self):
        self.rounds, self.failures = [], []
        self.cells = collections.defaultdict(list)

    def add(self, key, number, result):
        row, objects, who = key
        self.rounds.append({"round": number + 1, "row": row, "of": objects, "who": who, **result})
        if "failed" in result:
            self.failures.append(f"round {number + 1}: {who} {row} {objects}: {result['failed']}")
        else:
            self.cells[key].append(result)

    def values(self, key, figure):
        return [result[figure] for result in self.cells.get(key, ())]

    def best(self, key, figure):
        """None where nothing was measured."""
        return min(self.values(key, figure), default=None)

    def median(self, key, figure):
        values = self.values(key, figure)
        return statistics.median(values) if values else None


def add_differences(results, objects):
    """What each hot operation takes more than in the build without the collector."""
    ours, without = ("barrier", objects, OURS), ("barrier", objects, "without")
    if results.cells.get(ours) and results.cells.get(without):
        results.add(("barrier", objects, "difference"), 0,
                    {f"{state}_{name}": results.best(ours, f"{state}_{name}") - results.best(without, f"idle_{name}")
                     for state in ("idle", "marking") for name in OPERATIONS})


def count_text(objects):
    return f"{objects // MILLION} M" if objects % MILLION == 0 else f"{objects // 1000} k"


MEDIANS = ("slice_p999_us", "above_us")
OPERATIONS = ("retain", "release", "link")

FASTER = {("live", 1): (20, 46), ("live", 10): (25, 59), ("rings", 1): (6, 16), ("rings", 10): (6, 15.6), ("giant", 1): (6, 14),
          ("giant", 10): (6, 12.3), ("mix", 1): (20, 45), ("held", 1): (5, 10)}


def _faster():
    return [Times((graph, millions * MILLION, OURS), "cpu_ns", (graph, millions * MILLION, CPYTHON),
                  f"{graph}, {millions} M objects: so many times faster than CPython", must, aim)
            for (graph, millions), (must, aim) in FASTER.items()]


def _slices():
    return [AtMost((graph, 10 * MILLION, OURS), "slice_p999_us", f"{graph}, 10 M objects: p99.9 of the steps' CPU time", "us",
                   OVER_US, 243) for graph in GRAPHS]


def _chains():
    found = []
    for millions in (1, 10):
        for chain, must, aim in (("ordered", 10, 4), ("shuffled", 250, 179)):
            key = (chain, millions * MILLION, OURS)
            title = f"chain of {millions} M, {chain}"
            if chain == "ordered":
                found.append(AtMost(key, "call_us", f"{title}: the call that releases its head", "us", 5, 0.7))
            found.append(AtMost(key, "ns_per_object", f"{title}: an object", "ns", must, aim))
    return found


def _churn():
    key = ("churn", 10 * MILLION, OURS)
    return [AtMost(key, "ns_per_collected", "churn of rings beside 10 M: a collected object", "ns", 25, 11),
            AtMost(key, "peak_extra", "churn of rings beside 10 M: most objects beyond those", "", 10000, 2000)]


def _barriers():
    return [AtMost(("barrier", MILLION, "difference"), f"{state}_{operation}", f"hot {operation}, {state}: over no collector",
                   "ns", must, aim)
            for state, must, aim in (("idle", 2, 1), ("marking", 3, 1.5)) for operation in OPERATIONS]


TARGETS = (_faster() + _slices() + _chains() + _churn() + _barriers() +
           [AtMost(("get", 10 * MILLION, OURS), "above_us",
                   "p99.9 of get while 10 M objects are collected, above 1.1 of the quiet one", "us", 200, None)])


def _judge_times(target, results):
    own, other = results.values(target.row, target.figure), results.values(target.other, target.figure)
    if not own or not other:
        return Verdict(target, ABSENT, None, None, None, False, None, "")
    value = min(other) / min(own)
    return Verdict(target, REACHED if value >= target.must else MISSED, value, min(other) / max(own), max(other) / min(own), False,
                   None, "")


def _judge_most(target, results):
    values = results.values(target.row, target.figure)
    if not values:
        return Verdict(target, ABSENT, None, None, None, False, None, "")
    value = statistics.median(values) if target.figure in MEDIANS else min(values)
    return Verdict(target, REACHED if value <= target.must else MISSED, value, min(values), max(values), False, None, "")


def judge(results, rows, objects, targets=TARGETS):
    """The verdicts on what these rows and numbers of objects can show."""
    return [_judge_times(target, results) if isinstance(target, Times) else _judge_most(target, results)
            for target in targets if target.row[0] in rows and target.row[1] in objects]


# ---- tables ----

def _number(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def _graphs(results, objects):
    lines = []
    for graph in GRAPHS:
        for count in objects:
            key, other = (graph, count, OURS), (graph, count, CPYTHON)
            own_ns, other_ns = results.best(key, "cpu_ns"), results.best(other, "cpu_ns")
            if own_ns is None:
                continue
            over = results.values(key, "slices_over_300us")
            lines.append([f"{graph}, {count_text(count)}", _number(other_ns and other_ns / 1e6), _number(own_ns / 1e6),
                          _number(other_ns and other_ns / own_ns), _number(own_ns / count),
                          _number(results.median(key, "slices"), 0), _number(results.median(key, "slice_p999_us"), 0),
                          " / ".join(map(str, over)), _number(max(results.values(key, "slice_max_us")), 0)])
    return Table("Whole collections", ["graph", "CPython ms", "Holdfast ms", "times faster", "ns an object", "steps",
                                       "p99.9 us", f"steps above {OVER_US} us, each round", "longest us"], lines)


def _chain_table(results, objects):
    lines = []
    for chain in CHAINS:
        for count in objects:
            key = (chain, count, OURS)
            if results.best(key, "call_us") is not None:
                lines.append([f"{chain}, {count_text(count)}", _number(results.best(key, "call_us"), 2),
                              _number(results.best(key, "ns_per_object")), _number(results.best(key, "memory_ns")),
                              _number(results.median(key, "slice_p999_us"), 0),
                              _number(max(results.values(key, "slice_max_us")), 0)])
    return Table("A chain released at its head", ["order", "the call us", "ns an object", "following it in memory alone, ns",
                                                  "steps p99.9 us", "longest us"], lines)


CHURNED = {"clients_ns_per_object": 1, "steps_ns_per_collected": 1, "noted_ns": 1, "ns_per_collected": 1, "collected": 0,
           "peak_extra": 0, "slice_p999_us": 0}


def _churn_table(results, objects):
    lines = []
    for count in objects:
        key = ("churn", count, OURS)
        if results.best(key, "peak_extra") is not None:
            lines.append([f"beside {count_text(count)}"] +
                         [_number(results.best(key, figure), digits) for figure, digits in CHURNED.items()])
    return Table("Rings of ten that come and go", ["", "making and releasing, ns an object", "steps, ns a collected object",
                                                    "noting it, ns", "both, ns a collected object", "collected",
                                                    "most objects beyond the living", "steps p99.9 us"], lines)


def _barrier_table(results, objects):
    lines = []
    for count in objects:
        for operation in OPERATIONS:
            if results.cells.get(("barrier", count, OURS)):
                lines.append([f"{operation}, window of {count_text(count)}"] + [
                    _number(results.best(("barrier", count, who), f"{state}_{operation}"))
                    for who, state in (("without", "idle"), (OURS, "idle"), (OURS, "marking"))])
    return Table("Hot operations, ns", ["", "built without the collector", "idle", "while marking"], lines)


def _latency_table(results, objects):
    lines = []
    for count in objects:
        for number, result in enumerate(results.cells.get(("get", count, OURS), ())):
            lines.append([f"{count_text(count)}, round {number + 1}", f"{result['rate']:,}"] + [
                f"{result[figure]:.0f}" for figure in ("quiet_p50_us", "p50_us", "quiet_p999_us", "p999_us", "collections",
                                                       "step_us_max")])
    return Table("Another client's get, open loop at half of saturation",
                 ["heap", "requests a second", "quiet p50 us", "p50 us", "quiet p99.9 us", "p99.9 us", "collections",
                  "longest step us"], lines)


def tables(results, objects):
    """All that there is something in."""
    found = [make(results, objects) for make in (_graphs, _chain_table, _churn_table, _barrier_table, _latency_table)]
    return [table for table in found if table.lines]
