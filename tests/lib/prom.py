# SPDX-License-Identifier: BSD-3-Clause
"""Reads Prometheus' text format 0.0.4, strictly, and looks for what its linter would find."""
import math
import re

NAME = r"[a-z_:][a-z0-9_:]*"
SAMPLE = re.compile(r"(%s)(?:\{(.*)\})? ([-+0-9.eE]+|\+Inf|NaN)$" % NAME)
LABEL = re.compile(r'(%s)="((?:[^"\\]|\\.)*)"(?:,|$)' % NAME)


class Wrong(AssertionError):
    pass


def _labels(text):
    labels, at = {}, 0
    while text and at < len(text):
        match = LABEL.match(text, at)
        if not match or match[1] in labels:
            raise Wrong("labels: %r" % text)
        labels[match[1]] = match[2]
        at = match.end()
    return labels


def family_of(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name[:-len(suffix)]
        if name.endswith(suffix) and types.get(base) == "histogram":
            return base
    return name


def _check_histogram(name, samples):
    rows = {}
    for (sample, labels), value in samples.items():
        others = tuple(pair for pair in labels if pair[0] != "le")
        rows.setdefault(others, {})[(sample, dict(labels).get("le"))] = value
    for others, row in rows.items():
        buckets = sorted((math.inf if le == "+Inf" else float(le), value)
                         for (sample, le), value in row.items() if sample == name + "_bucket")
        values = [value for _, value in buckets]
        if values != sorted(values) or buckets[-1][0] != math.inf or values[-1] != row[(name + "_count", None)]:
            raise Wrong("histogram %s%r: %r" % (name, others, buckets))
        if (name + "_sum", None) not in row:
            raise Wrong("histogram %s%r has no sum" % (name, others))


def parse(text):
    """{(name, ((label, value), ...)): number} of a whole answer; Wrong for what is not right."""
    types, helps, samples, closed, current = {}, set(), {}, set(), None
    if not text.endswith("\n"):
        raise Wrong("no newline at the end")
    for line in text[:-1].split("\n"):
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            if words[2] in helps or len(words) < 4:
                raise Wrong(line)
            helps.add(words[2])
            continue
        if words[:2] == ["#", "TYPE"]:
            if words[2] in types or words[2] not in helps or words[3] not in ("counter", "gauge", "histogram"):
                raise Wrong(line)
            types[words[2]] = words[3]
            if current:
                closed.add(current)
            current = words[2]
            continue
        match = SAMPLE.match(line)
        if not match:
            raise Wrong(line)
        family = family_of(match[1], types)
        key = (match[1], tuple(sorted(_labels(match[2]).items())))
        if family != current or family in closed or key in samples:
            raise Wrong("%s: not with its family, or twice" % line)
        samples[key] = float(match[3])
    for name, kind in types.items():
        if (kind == "counter") != name.endswith("_total"):
            raise Wrong("%s is a %s" % (name, kind))
        if re.search(r"_(ms|us|ns|kb|mb|milliseconds|kilobytes)(_|$)", name):
            raise Wrong("%s is not in base units" % name)
        if kind == "histogram":
            _check_histogram(name, {key: value for key, value in samples.items() if family_of(key[0], types) == name})
    return samples


def value(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))), 0)
