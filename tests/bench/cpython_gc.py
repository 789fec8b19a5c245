#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""CPython's gc.collect() on the graphs of `gc graph` (gc.c): cpython_gc.py NAME OBJECTS

Prints one line of JSON: `cpu_ns` of the collection, objects `collected`. The objects are of a class with two slots and
are built with the collector switched off; what holds all objects of `held` is a list.
"""
import gc
import json
import random
import sys
import time


class Node:
    __slots__ = ("first", "second")


def make_live(nodes, first, count):
    """A path through all in random order from the first one, which is returned; a random second slot each."""
    order = list(range(first + 1, first + count))
    random.shuffle(order)
    at = root = nodes[first]
    for index in order:
        at.first = nodes[index]
        at.second = nodes[first + int(random.random() * count)]
        at = at.first
    at.first = at.second = None
    return root


def make_rings(nodes, first, count, length):
    for start in range(first, first + count, length):
        end = min(start + length, first + count)
        for index in range(start, end):
            nodes[index].first = nodes[index + 1 if index + 1 < end else start]
            nodes[index].second = None


def make_random(nodes):
    count = len(nodes)
    for node in nodes:
        node.second = nodes[int(random.random() * count)]


def make_graph(name, count):
    """What keeps the graph alive, if anything does."""
    nodes = [Node() for _ in range(count)]
    if name == "live":
        return make_live(nodes, 0, count)
    if name == "held":
        make_random(nodes)
        for node in nodes:
            node.first = nodes[int(random.random() * count)]
        return nodes
    if name == "mix":
        live = count // 10 * 9
        make_rings(nodes, live, count - live, 10)
        return make_live(nodes, 0, live)
    if name == "giantr":
        random.shuffle(nodes)
    if name not in ("rings", "giant", "giantr"):
        sys.exit("cpython_gc.py: no such graph")
    make_rings(nodes, 0, count, 10 if name == "rings" else count)
    if name == "giantr":
        make_random(nodes)
    return None


def main(name, count):
    gc.disable()
    random.seed(1)
    kept = make_graph(name, count)
    begin = time.thread_time_ns()
    collected = gc.collect()
    spent = time.thread_time_ns() - begin
    print(json.dumps({"graph": name, "objects": count, "collected": collected, "cpu_ns": spent}), flush=True)
    gc.freeze()  # nothing is to be searched once more at the end
    return kept


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
