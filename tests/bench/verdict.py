# SPDX-License-Identifier: BSD-3-Clause
"""Are the figures reached, and may that be said? No measuring here: figures in, verdicts out.

A figure is compared in the median of the rounds; a ratio is that of the two rates of the same round.

**When the load core falsifies a claim.** A rate says something about a server only if the server itself was the
limit: if it had no time left. A server that was on a CPU for less than 95 % of the measured time was *held back*: by
the generator, if that had no time left, else by something else on the machine. Then

- a peer that was held back makes the ratio flatter Holdfast: the claim is VOID and the run fails, whatever the ratio;
- where Holdfast was held back the ratio is a lower bound, marked `>=`. If it reaches what is required, all is well. If
  it does not, nothing is known, and the run fails; the ratio of the CPU times a request, which the generator has no
  part in, stands beside it as the other evidence.

A server without time left is its own limit even when the generator has none left either: a faster one would let more
requests wait at the server. (It would then find more of them in a turn and save some system calls: a few percent,
which is why CPU times stand beside all rates.) With a single connection server and generator wait for each other by
nature, and what is compared is how long one request takes: there is no limit to speak of.

Absolute figures (`at most`) are CPU times and bytes; they need no generator.
"""
import collections
import statistics

FULL = 0.95  # busy for so much of the time: nothing left

GENERATOR, MACHINE = "the generator", "something else on the machine"
REACHED, MISSED, VOID, ABSENT = "reached", "MISSED", "VOID", "not measured"

# Ours over the peer's, at least `must`; `row` and `depth` of both unless `peer_row` is given.
Ratio = collections.namedtuple("Ratio", "row depth peer must aim peer_row", defaults=(None,))
# So many times faster than the other, at least `must`.
Times = collections.namedtuple("Times", "row figure other title must aim")
# One figure of Holdfast, at most `must`; aim None: none was named.
AtMost = collections.namedtuple("AtMost", "row figure title unit must aim")

Verdict = collections.namedtuple("Verdict", "target state value low high at_least cpu_ratio note")


def _ratios(row, depths, **peers):
    return [Ratio(row, depth, peer, must, aim)
            for peer, (musts, aims) in peers.items() for depth, must, aim in zip(depths, musts, aims)]


TARGETS = (
    _ratios("get", (1, 16, 64), redis=((1.1, 1.6, 3.2), (1.4, 2.5, 5.0)), memcached=((1.0, 1.3, 2.4), (1.2, 2.0, 3.8)))
    + _ratios("get-random", (1, 16, 64), redis=((1.1, 5, 9), (1.5, 7.7, 14)), memcached=((1.0, 4, 7.5), (1.35, 6.4, 11)))
    + _ratios("count-random", (16, 64), redis=((4.3, 13), (6.7, 20)), memcached=((3.8, 11), (5.9, 17)))
    + _ratios("put", (1, 16, 64), redis=((1.0, 2.5, 3.8), (1.3, 4.0, 5.9)), memcached=((0.95, 1.8, 4), (1.25, 2.7, 6.5)))
    + _ratios("large-1m", (1,), memcached=((0.9,), (1.25,))) + _ratios("large-63m", (1,), memcached=((0.8,), (1.1,)))
    + [Ratio("get", 1, "echo", 0.9, 1.0, peer_row="echo"),
       AtMost("code", "get", "get without sockets, 1 M random", "ns", 27, 17),
       AtMost("code", "count", "retain, release without sockets, 1 M random", "ns", 27, 16),
       AtMost("held", "bytes", "object of 16 B, held", "B", 72, 68.3),
       AtMost("named", "bytes", "object of 16 B, named by 12 B", "B", 99, 97),
       AtMost("code", "session_end", "session of 1 M objects ends, an object", "ns", 40, 22),
       AtMost("code", "turn_us", "the longest turn of that", "us", 200, None)]
)


def held_back(results, key, connections):
    """What kept that server from being its own limit: "" (nothing), GENERATOR or MACHINE."""
    busy, own = results.median(key, "server_busy"), results.median(key, "own_busy")
    if connections == 1 or busy >= FULL:
        return ""
    return GENERATOR if own >= FULL else MACHINE


def _busy_text(results, key):
    return f"server {results.median(key, 'server_busy'):.0%} busy, generator {results.median(key, 'own_busy'):.0%}"


def _judge_ratio(target, results, connections, transport):
    own = (transport, target.row, target.depth, "holdfast")
    other = (transport, target.peer_row or target.row, target.depth, target.peer)
    ratios = results.ratios(own, other)
    if not ratios:
        return Verdict(target, ABSENT, None, None, None, False, None, "")
    value = statistics.median(ratios)
    cpu_ratio = statistics.median(results.ratios(other, own, "cpu_ns"))
    peer_limit, own_limit = held_back(results, other, connections), held_back(results, own, connections)
    state, note = REACHED if value >= target.must else MISSED, ""
    if peer_limit:
        state = VOID
        note = (f"{target.peer} was held back by {peer_limit} ({_busy_text(results, other)}): the ratio flatters "
                f"Holdfast")
    elif own_limit and state == MISSED:
        note = (f"Holdfast was held back by {own_limit} ({_busy_text(results, own)}): the ratio is a lower bound; by "
                f"CPU time it is {cpu_ratio:.2f}")
    return Verdict(target, state, value, min(ratios), max(ratios), bool(own_limit), cpu_ratio, note)


def _judge_most(target, results):
    values = list(results.by_round(("none", target.row, 0, "holdfast"), target.figure).values())
    if not values:
        return Verdict(target, ABSENT, None, None, None, False, None, "")
    value = statistics.median(values)
    state = REACHED if value <= target.must else MISSED
    return Verdict(target, state, value, min(values), max(values), False, None, "")


def judge(results, connections, rows, servers, targets=TARGETS, transport="unix"):
    """The verdicts on what these rows and servers can show. connections: {row: number}."""
    verdicts = []
    for target in targets:
        if isinstance(target, AtMost):
            if target.row in rows and "holdfast" in servers:
                verdicts.append(_judge_most(target, results))
        elif {target.row, target.peer_row or target.row} <= set(rows) and {"holdfast", target.peer} <= set(servers):
            verdicts.append(_judge_ratio(target, results, connections[target.row], transport))
    return verdicts


def complaints(verdicts, failures, titles):
    """Why the run fails, a line each; none: it does not."""
    lines = [f"FAILED: {failure}" for failure in failures]
    for verdict in verdicts:
        if verdict.state != REACHED:
            text = f"{verdict.state}: {title_of(verdict.target, titles)}"
            if verdict.value is not None:
                text += f": {value_text(verdict)}, required {required_text(verdict.target)}"
            lines.append(text + (f"; {verdict.note}" if verdict.note else ""))
    if any(MACHINE in verdict.note for verdict in verdicts):
        lines.append(f"{MACHINE[0].upper()}{MACHINE[1:]} took CPU time meanwhile: measure where nothing else runs.")
    return lines


# ---- as text ----

def title_of(target, titles):
    """titles: {row: title}"""
    if not isinstance(target, Ratio):
        return target.title
    depth = "" if target.row.startswith("large") else f", depth {target.depth}"
    return f"{titles[target.row]}{depth}, to {target.peer}"


def number_text(target, number):
    if number is None:
        return "-"
    if isinstance(target, AtMost):
        return f"{number:.1f} {target.unit}"
    return f"{number:.2f}"


def value_text(verdict):
    return (">= " if verdict.at_least else "") + number_text(verdict.target, verdict.value)


def required_text(target):
    return f"at most {target.must:g} {target.unit}" if isinstance(target, AtMost) else f"{target.must:g}"
