#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The judge of `make bench-peers` on invented figures: what is reached, what is void, what the exit code is."""
import json
import os
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cells  # noqa: E402
import peers  # noqa: E402
import verdict  # noqa: E402
from servers import Failed  # noqa: E402

RATIO = verdict.Ratio("get", 16, "redis", 2.0, 3.0)
MOST = verdict.AtMost("held", "bytes", "object, held", "B", 72, 68)
OURS, REDIS = ("unix", "get", 16, "holdfast"), ("unix", "get", 16, "redis")


def load(rate, server_busy=1.0, own_busy=0.5, cpu_ns=100.0):
    """What the load generator tells of a run."""
    return {"requests": rate, "rate": rate, "cpu_ns": cpu_ns, "own_cpu_ns": 50.0, "server_busy": server_busy,
            "own_busy": own_busy, "p50_us": 1.0, "p99_us": 2.0, "p999_us": 3.0}


def results_of(ours, redis):
    """A list of results of each, one a round."""
    results = cells.Results()
    for key, rounds in ((OURS, ours), (REDIS, redis)):
        for number, result in enumerate(rounds):
            results.add(key, number, result)
    return results


def judge(results, target=RATIO, connections=50):
    found = verdict.judge(results, {"get": connections}, ["get", "held"], ["holdfast", "redis"], targets=[target])
    return found[0]


class Ratios(unittest.TestCase):
    def test_more_than_required_is_reached(self):
        found = judge(results_of([load(210)] * 3, [load(100)] * 3))
        self.assertEqual((found.state, found.at_least, found.note), (verdict.REACHED, False, ""))
        self.assertAlmostEqual(found.value, 2.1)

    def test_just_what_is_required_is_reached(self):
        self.assertEqual(judge(results_of([load(200)], [load(100)])).state, verdict.REACHED)

    def test_less_is_missed(self):
        found = judge(results_of([load(199)] * 3, [load(100)] * 3))
        self.assertEqual((found.state, found.note), (verdict.MISSED, ""))

    def test_ratios_are_of_one_round_and_their_median_counts(self):
        """A slow moment of the machine slows both servers of a round; the medians of the rates would say 2.2."""
        found = judge(results_of([load(300), load(50), load(220)], [load(100), load(40), load(110)]))
        self.assertAlmostEqual(found.value, 2.0)
        self.assertAlmostEqual(found.low, 1.25)
        self.assertAlmostEqual(found.high, 3.0)

    def test_rounds_without_one_of_the_two_do_not_count(self):
        results = results_of([load(300), {"failed": "gone"}, load(210)], [{"failed": "gone"}, load(1), load(100)])
        self.assertAlmostEqual(judge(results).value, 2.1)
        self.assertEqual(len(results.failures), 2)

    def test_nothing_measured_is_not_reached(self):
        self.assertEqual(judge(cells.Results()).state, verdict.ABSENT)

    def test_another_row_of_the_peer(self):
        results = results_of([load(190)], [])
        results.add(("unix", "echo", 16, "echo"), 0, load(200))
        target = verdict.Ratio("get", 16, "echo", 0.9, 1.0, "echo")
        found = verdict.judge(results, {"get": 50}, ["get", "echo"], ["holdfast", "echo"], targets=[target])[0]
        self.assertEqual(found.state, verdict.REACHED)
        self.assertAlmostEqual(found.value, 0.95)


class Limits(unittest.TestCase):
    """Whose limit was it?"""

    def test_a_peer_held_back_by_the_generator_voids_the_claim(self):
        found = judge(results_of([load(900)] * 3, [load(100, server_busy=0.7, own_busy=0.99)] * 3))
        self.assertEqual(found.state, verdict.VOID)
        self.assertIn("redis was held back by the generator (server 70% busy, generator 99%)", found.note)

    def test_so_does_one_held_back_by_the_machine(self):
        found = judge(results_of([load(900)] * 3, [load(100, server_busy=0.3, own_busy=0.3)] * 3))
        self.assertEqual(found.state, verdict.VOID)
        self.assertIn(verdict.MACHINE, found.note)
        self.assertIn("measure where nothing else runs", verdict.complaints([found], [], {"get": "get"})[-1])

    def test_without_time_left_a_server_is_its_own_limit(self):
        found = judge(results_of([load(210, 0.99, 0.99)] * 3, [load(100, 0.95, 1.0)] * 3))
        self.assertEqual((found.state, found.at_least), (verdict.REACHED, False))

    def test_with_more_than_a_twentieth_of_the_time_left_it_is_not(self):
        self.assertEqual(judge(results_of([load(900)], [load(100, 0.949, 1.0)])).state, verdict.VOID)

    def test_one_odd_round_does_not_void(self):
        odd = load(100, server_busy=0.4, own_busy=0.99)
        self.assertEqual(judge(results_of([load(210)] * 3, [load(100), odd, load(100)])).state, verdict.REACHED)

    def test_holdfast_held_back_is_a_lower_bound(self):
        found = judge(results_of([load(210, server_busy=0.8, own_busy=0.99)] * 3, [load(100)] * 3))
        self.assertEqual((found.state, found.at_least), (verdict.REACHED, True))
        self.assertEqual(verdict.value_text(found), ">= 2.10")
        self.assertEqual(verdict.complaints([found], [], {"get": "get"}), [])

    def test_missed_while_held_back_tells_the_other_evidence(self):
        held = load(180, server_busy=0.8, own_busy=0.99, cpu_ns=40.0)
        found = judge(results_of([held] * 3, [load(100, cpu_ns=100.0)] * 3))
        self.assertEqual((found.state, found.at_least), (verdict.MISSED, True))
        line = verdict.complaints([found], [], {"get": "get"})[0]
        self.assertIn("MISSED: get, depth 16, to redis: >= 1.80, required 2", line)
        self.assertIn("Holdfast was held back by the generator", line)
        self.assertIn("by CPU time it is 2.50", line)

    def test_with_one_connection_there_is_no_limit(self):
        results = results_of([load(210, 0.4, 0.5)] * 3, [load(100, 0.4, 0.5)] * 3)
        self.assertEqual(judge(results, connections=1).state, verdict.REACHED)


class Absolute(unittest.TestCase):
    def judge(self, *values):
        results = cells.Results()
        for number, value in enumerate(values):
            results.add(("none", "held", 0, "holdfast"), number, {"bytes": value})
        return judge(results, MOST)

    def test_the_median_counts(self):
        self.assertEqual(self.judge(90.0, 72.0, 71.0).state, verdict.REACHED)
        self.assertEqual(self.judge(60.0, 72.1, 73.0).state, verdict.MISSED)

    def test_nothing_measured_is_not_reached(self):
        self.assertEqual(self.judge().state, verdict.ABSENT)


class Lists(unittest.TestCase):
    def test_each_target_is_of_a_cell_that_is_measured(self):
        rows = {row.key: row for row in cells.ROWS}
        for target in verdict.TARGETS:
            if isinstance(target, verdict.AtMost):
                self.assertIn(target.row, cells.OTHER_ROWS)
                continue
            peer_row = rows[target.peer_row or target.row]
            self.assertIn(target.depth, rows[target.row].depths)
            self.assertIn("holdfast", rows[target.row].servers)
            self.assertIn(target.depth, peer_row.depths)
            self.assertIn(target.peer, peer_row.servers)

    def test_aims_are_beyond_what_is_required(self):
        for target in verdict.TARGETS:
            if target.aim is not None:
                self.assertGreater(target.aim if isinstance(target, verdict.Ratio) else target.must,
                                   target.must if isinstance(target, verdict.Ratio) else target.aim, target)

    def test_only_what_was_asked_for_is_judged(self):
        found = verdict.judge(cells.Results(), peers.CONNECTIONS, ["get", "held"], ["holdfast", "redis"])
        self.assertEqual({(one.target.row, getattr(one.target, "peer", None)) for one in found},
                         {("get", "redis"), ("held", None)})

    def test_equal_requests_in_flight(self):
        row = next(row for row in cells.ROWS if row.work == "count")
        units = [cells.units_of(cells.Cell("unix", row, 16, server)) for server in ("holdfast", "redis")]
        self.assertEqual(units, [8, 16])


def whole_run(**changes):
    """Results of a run in which everything is twice as good as required; changes: {server: result of its cells}."""
    results = cells.Results()
    for row in cells.ROWS:
        for depth in row.depths:
            for server in row.servers:
                result = changes.get(server, load(1e6 if server == "holdfast" else 3e4))
                results.add(("unix", row.key, depth, server), 0, {**result, "gb_s": 1.0})
    code = {"get": 13.0, "count": 13.0, "put": 1.0, "session_end": 20.0, "give_back": 1.0, "turn_us": 100.0,
            "memory": 1.0}
    results.add(("none", "code", 0, "holdfast"), 0, changes.get("code", code))
    for row in ("held", "named"):
        results.add(("none", row, 0, "holdfast"), 0, {"bytes": 36.0})
    return results


class Runs(unittest.TestCase):
    """All of peers.py but the measuring."""

    def run_main(self, results, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        commands = {"holdfast": "holdfastd --listen DIR/x"}
        with unittest.mock.patch.object(peers, "measure", lambda *_: (results, commands)), \
                unittest.mock.patch.object(peers, "versions_of", lambda *_: {"holdfast": "1.2.3"}), \
                unittest.mock.patch("builtins.print") as printed:
            code = peers.main(["--build", self.folder.name, *arguments])
        return code, "\n".join(str(call.args[0]) for call in printed.call_args_list if call.args)

    def read(self, suffix):
        with open(os.path.join(self.folder.name, "bench-peers" + suffix), encoding="utf-8") as file:
            return file.read()

    def test_all_reached(self):
        code, printed = self.run_main(whole_run())
        self.assertEqual(code, 0, printed)
        count = len(verdict.TARGETS)
        self.assertIn(f"{count} of {count} required figures are reached", printed)
        self.assertEqual({one["state"] for one in json.loads(self.read(".json"))["verdicts"]}, {"reached"})
        self.assertIn("| get, one object, depth 64, to redis | 3.2 |", self.read(".md"))
        self.assertIn("holdfastd --listen DIR/x", self.read(".md"))
        self.assertEqual(xml.etree.ElementTree.fromstring(self.read(".svg")).tag.split("}")[1], "svg")

    def test_a_void_claim_fails_the_run(self):
        code, printed = self.run_main(whole_run(memcached=load(3e4, server_busy=0.6, own_busy=0.97)))
        self.assertEqual(code, 1)
        self.assertIn("VOID: get, one object, depth 16, to memcached", printed)
        self.assertNotIn("VOID: get, one object, depth 16, to redis", printed)
        self.assertIn("VOID", self.read(".md"))
        self.assertIn(" * |", self.read(".md"))

    def test_a_missed_figure_fails_the_run(self):
        code, printed = self.run_main(whole_run(code={"get": 28.0, "count": 1.0, "put": 1.0, "session_end": 1.0,
                                                      "give_back": 1.0, "turn_us": 1.0, "memory": 1.0}))
        self.assertEqual(code, 1)
        self.assertIn("MISSED: get without sockets, 1 M random: 28.0 ns, required at most 27 ns", printed)
        self.assertEqual(printed.count("MISSED:"), 1)

    def test_a_failed_cell_fails_the_run(self):
        results = whole_run()
        results.add(("unix", "get", 16, "holdfast"), 1, {"failed": "wrong reply"})
        code, printed = self.run_main(results)
        self.assertEqual(code, 1)
        self.assertIn("FAILED: round 2: holdfast get depth 16: wrong reply", printed)

    def test_quick_is_not_judged_but_may_fail(self):
        results = whole_run(holdfast=load(1))
        self.assertEqual(self.run_main(results, "--quick")[0], 0)
        results.add(("unix", "get", 16, "holdfast"), 1, {"failed": "wrong reply"})
        self.assertEqual(self.run_main(results, "--quick")[0], 1)

    def test_another_number_of_objects_is_not_judged(self):
        self.assertEqual(self.run_main(whole_run(holdfast=load(1)), "--objects", "1000")[0], 0)

    def test_a_server_without_a_program_is_no_reason_to_leave_it_out(self):
        programs = unittest.mock.Mock()
        programs.path = lambda server: None if server == "memcached" else "/bin/true"
        with self.assertRaisesRegex(Failed, "memcached has no program"):
            peers.versions_of(programs, ("holdfast", "memcached"))


if __name__ == "__main__":
    unittest.main()
