#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The judge of `make bench-gc` on invented figures, and CPython's side of the graphs."""
import gc
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cpython_gc  # noqa: E402
import gc_figures  # noqa: E402
import gc_latency  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import verdict  # noqa: E402
from gc_figures import CPYTHON, MILLION, OURS  # noqa: E402

LIVE, THEIRS = ("live", MILLION, OURS), ("live", MILLION, CPYTHON)


def graph(cpu_ns, p999=200.0):
    """What `gc graph` tells."""
    return {"cpu_ns": cpu_ns, "slices": 5, "slice_p999_us": p999, "slice_max_us": p999, "slices_over_300us": 0}


def results_of(key, *rounds):
    results = gc_figures.Results()
    for number, result in enumerate(rounds):
        results.add(key, number, result)
    return results


def judge(results, title):
    found = [one for one in gc_figures.judge(results, list(gc_figures.GRAPHS) + ["ordered", "barrier", "get", "churn"],
                                             [MILLION, 10 * MILLION]) if one.target.title.startswith(title)]
    assert len(found) == 1, title
    return found[0]


class Judge(unittest.TestCase):
    def test_the_best_of_each_side_is_compared(self):
        results = results_of(LIVE, graph(50e6), graph(20e6), graph(90e6))
        for number, cpu_ns in enumerate((420e6, 400e6, 900e6)):
            results.add(THEIRS, number, {"cpu_ns": cpu_ns})
        found = judge(results, "live, 1 M objects: so many times")
        self.assertEqual((found.value, found.state), (20.0, verdict.REACHED))

    def test_less_is_missed_and_fails_the_run(self):
        results = results_of(LIVE, graph(20.1e6))
        results.add(THEIRS, 0, {"cpu_ns": 400e6})
        found = judge(results, "live, 1 M objects: so many times")
        self.assertEqual(found.state, verdict.MISSED)
        self.assertIn("MISSED: live, 1 M objects", verdict.complaints([found], [], {})[0])

    def test_without_the_other_side_nothing_is_reached(self):
        found = judge(results_of(LIVE, graph(1)), "live, 1 M objects: so many times")
        self.assertEqual(found.state, verdict.ABSENT)

    def test_a_failed_round_fails_the_run(self):
        results = results_of(LIVE, {"failed": "it ended"})
        self.assertEqual(len(verdict.complaints([], results.failures, {})), 1)

    def test_steps_count_by_the_median(self):
        results = results_of(("live", 10 * MILLION, OURS), graph(1, 100), graph(1, 301), graph(1, 400))
        self.assertEqual(judge(results, "live, 10 M objects: p99.9").state, verdict.MISSED)

    def test_what_the_cpu_does_alone_counts_by_the_best(self):
        results = results_of(("ordered", MILLION, OURS), {"call_us": 9, "ns_per_object": 12}, {"call_us": 5, "ns_per_object": 10})
        self.assertEqual(judge(results, "chain of 1 M, ordered: the call").state, verdict.REACHED)
        self.assertEqual(judge(results, "chain of 1 M, ordered: an object").state, verdict.REACHED)

    def test_barriers_are_the_difference_of_the_best(self):
        def all_of(ns):
            return {f"{state}_{name}": ns for state in ("idle", "marking") for name in gc_figures.OPERATIONS}
        results = results_of(("barrier", MILLION, OURS), all_of(19.0), all_of(15.5))
        results.add(("barrier", MILLION, "without"), 0, all_of(13.0))
        results.add(("barrier", MILLION, "without"), 1, all_of(17.0))
        gc_figures.add_differences(results, MILLION)
        self.assertEqual((judge(results, "hot link, idle").value, judge(results, "hot link, idle").state), (2.5, verdict.MISSED))
        self.assertEqual(judge(results, "hot link, marking").state, verdict.REACHED)

    def test_rows_and_objects_that_were_not_asked_for_are_not_judged(self):
        self.assertEqual(gc_figures.judge(gc_figures.Results(), ["live"], [100000]), [])

    def test_every_required_figure_has_a_name_of_its_own(self):
        titles = [target.title for target in gc_figures.TARGETS]
        self.assertEqual(len(titles), len(set(titles)))


class Output(unittest.TestCase):
    def test_tables_and_picture(self):
        results = results_of(LIVE, graph(20e6))
        results.add(THEIRS, 0, {"cpu_ns": 500e6})
        judged = gc_figures.judge(results, ["live"], [MILLION])
        texts = [report.render(table, True) for table in gc_figures.tables(results, [MILLION]) + [report.verdicts(judged, {})]]
        self.assertIn("25.0", texts[0])
        self.assertIn("reached", texts[1])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "gc.svg")
            plot.save_collections(path, results, [MILLION], judged)
            self.assertIn("live, 1 M objects", "".join(xml.etree.ElementTree.parse(path).getroot().itertext()))


class Graphs(unittest.TestCase):
    """What CPython collects of each is what the pool must collect."""

    def collected(self, name):
        gc.collect()
        gc.disable()
        try:
            kept = cpython_gc.make_graph(name, 1000)
            return gc.collect(), kept
        finally:
            gc.enable()

    def test_garbage_is_garbage(self):
        for name, count in (("live", 0), ("held", 0), ("mix", 100), ("rings", 1000), ("giant", 1000), ("giantr", 1000)):
            self.assertEqual(self.collected(name)[0], count, name)


class Fill(unittest.TestCase):
    def test_a_chunk_is_one_array_of_its_items(self):
        try:
            import msgpack
        except ImportError:
            self.fail("python3-msgpack is missing: run `make packages-check`")
        items = msgpack.unpackb(gc_latency._chunk(b"\xc0"))
        self.assertEqual(len(items), gc_latency.CHUNK)
        self.assertEqual(items[0], ["v", [-2, -11]])
        self.assertEqual(items[9], ["v", [-1]])
        self.assertEqual(items[990], ["v", [-992, None]])


if __name__ == "__main__":
    unittest.main()
