# SPDX-License-Identifier: BSD-3-Clause
"""The picture of a run (SVG): above, the rates of all servers, or the times of collections; below, each required figure
as so many times what is required. Dots are what counts, lines the range of the rounds."""
import math
from xml.sax.saxutils import escape

from cells import SERVERS
from gc_figures import CPYTHON, GRAPHS, OURS, count_text
from verdict import REACHED, AtMost, number_text, required_text, title_of, value_text

WIDTH, LINE, TOP = 1060, 20, 58
LEFT, RIGHT = 390, 820  # of the plotted area; labels to the left, figures to the right
COLOURS = {"holdfast": "#1d4f91", "redis": "#c2410c", "memcached": "#4d7c0f", "echo": "#6b7280", "cpython": "#c2410c"}
GOOD, BAD, GREY = "#1d4f91", "#b91c1c", "#6b7280"


class Axis:
    """A logarithmic axis from low to high."""

    def __init__(self, low, high):
        self.low, self.high = math.log10(low), math.log10(high)

    def at(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))


class Svg:
    def __init__(self):
        self.parts = []

    def text(self, x, y, text, anchor="start", colour="#111827", size=12, weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
                          f'font-weight="{weight}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, colour, width=1.0):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"/>')

    def mark(self, shape, x, y, colour):
        """One shape for each server: who cannot tell the colours apart can tell these."""
        if shape == "holdfast":
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        elif shape in ("redis", "cpython"):
            self.parts.append(f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>')
        elif shape == "memcached":
            self.parts.append(f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z" fill="{colour}"/>')
        else:
            self.parts.append(f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="none" stroke="{colour}" '
                              f'stroke-width="1.5"/>')

    def document(self, height):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
                f'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
                f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def frame(svg, axis, ticks, top, lines, text_of):
    """Grid and labels of an axis above `lines` lines."""
    for tick in ticks:
        x = axis.at(tick)
        svg.line(x, top - 6, x, top + lines * LINE - 6, "#e5e7eb")
        svg.text(x, top - 12, text_of(tick), "middle", GREY, 11)


def legend(svg, x, y, servers):
    for server in servers:
        svg.mark(server, x, y - 4, COLOURS[server])
        svg.text(x + 10, y, server)
        x += 28 + 7.5 * len(server)


def _rates(svg, top, results, rows, servers, transport):
    """Returns the place below."""
    cells = [(row, depth) for row in rows if not row.key.startswith("large") for depth in row.depths]
    svg.text(20, top + 20, f"Thousand requests a second, {transport} sockets", size=14, weight="bold")
    legend(svg, LEFT + 130, top + 20, servers)
    top += TOP
    axis = Axis(8, 40000)
    frame(svg, axis, (10, 100, 1000, 10000), top, len(cells), lambda tick: f"{tick:,}")
    for number, (row, depth) in enumerate(cells):
        y = top + number * LINE + 4
        if number > 0 and depth == row.depths[0]:
            svg.line(20, y - LINE / 2, WIDTH - 20, y - LINE / 2, "#d1d5db")
        svg.text(LEFT - 16, y + 4, f"{row.title}, depth {depth}", "end")
        texts = []
        for server in servers:
            values = list(results.by_round((transport, row.key, depth, server), "rate").values())
            if not values:
                continue
            median = results.median((transport, row.key, depth, server), "rate") / 1e3
            svg.line(axis.at(min(values) / 1e3), y, axis.at(max(values) / 1e3), y, COLOURS[server], 2)
            svg.mark(server, axis.at(median), y, COLOURS[server])
            texts.append(f"{median:,.0f}")
        svg.text(RIGHT + 16, y + 4, " / ".join(texts), colour=GREY, size=11)
    return top + len(cells) * LINE + 10


def _factor(target, value):
    """How many times what is required; more is better for both kinds."""
    return target.must / max(value, 0.01) if isinstance(target, AtMost) else value / target.must


def verdicts(svg, top, judged, titles):
    svg.text(20, top + 20, "Measured, as so many times what is required", size=14, weight="bold")
    svg.mark("holdfast", LEFT + 130, top + 16, GOOD)
    svg.text(LEFT + 140, top + 20, "reached")
    svg.mark("holdfast", LEFT + 210, top + 16, BAD)
    svg.text(LEFT + 220, top + 20, "not, or void")
    svg.mark("aim", LEFT + 318, top + 16, GREY)
    svg.text(LEFT + 328, top + 20, "aim")
    top += TOP
    axis = Axis(0.5, 4)
    frame(svg, axis, (0.5, 0.7, 1, 1.5, 2, 3, 4), top, len(judged), lambda tick: f"{tick:g}")
    svg.line(axis.at(1), top - 6, axis.at(1), top + len(judged) * LINE - 6, "#111827", 1.5)
    for number, verdict in enumerate(judged):
        y = top + number * LINE + 4
        colour = GOOD if verdict.state == REACHED else BAD
        svg.text(LEFT - 16, y + 4, title_of(verdict.target, titles), "end")
        if verdict.target.aim is not None:
            svg.mark("aim", axis.at(_factor(verdict.target, verdict.target.aim)), y, GREY)
        if verdict.value is not None:
            ends = [axis.at(_factor(verdict.target, end)) for end in (verdict.low, verdict.high)]
            svg.line(ends[0], y, ends[1], y, colour, 2)
            svg.mark("holdfast", axis.at(_factor(verdict.target, verdict.value)), y, colour)
        text = value_text(verdict) if verdict.value is not None else number_text(verdict.target, None)
        svg.text(RIGHT + 16, y + 4, f"{text}, required {required_text(verdict.target)}", colour=GREY, size=11)
    return top + len(judged) * LINE + 10


def save(path, results, rows, options, judged, titles):
    svg, y = Svg(), 0.0
    servers = [server for server in SERVERS if server in options.servers]
    for transport in options.transports if rows else ():
        y = _rates(svg, y, results, rows, servers, transport)
    if judged:
        y = verdicts(svg, y, judged, titles)
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg.document(y + 10))


def _collections(svg, top, results, objects):
    """Returns the place below."""
    cells = [(graph, count) for graph in GRAPHS for count in objects if results.cells.get((graph, count, OURS))]
    svg.text(20, top + 20, "A whole collection, ns of CPU time an object", size=14, weight="bold")
    legend(svg, LEFT + 130, top + 20, (OURS, CPYTHON))
    top += TOP
    axis = Axis(1, 3000)
    frame(svg, axis, (1, 10, 100, 1000), top, len(cells), lambda tick: f"{tick:,}")
    for number, (graph, count) in enumerate(cells):
        y = top + number * LINE + 4
        svg.text(LEFT - 16, y + 4, f"{graph}, {count_text(count)} objects", "end")
        texts = []
        for who in (OURS, CPYTHON):
            values = [value / count for value in results.values((graph, count, who), "cpu_ns")]
            if values:
                svg.line(axis.at(min(values)), y, axis.at(max(values)), y, COLOURS[who], 2)
                svg.mark(who, axis.at(min(values)), y, COLOURS[who])
                texts.append(f"{min(values):,.1f}")
        svg.text(RIGHT + 16, y + 4, " / ".join(texts), colour=GREY, size=11)
    return top + len(cells) * LINE + 10


def save_collections(path, results, objects, judged):
    svg, y = Svg(), 0.0
    if any(results.cells.get((graph, count, OURS)) for graph in GRAPHS for count in objects):
        y = _collections(svg, y, results, objects)
    if judged:
        y = verdicts(svg, y, judged, {})
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg.document(y + 10))
