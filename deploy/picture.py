#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""picture.py COMMAND... > FILE.svg: runs a command on a terminal and draws it and what it printed.

`make pictures` makes those of README.md.
"""
import os
import pty
import re
import subprocess
import sys
from xml.sax.saxutils import escape

CHARACTER, LINE, MARGIN, SIZE = 8.4, 19, 18, 14
PAPER = "#22272e"
INK = {"0": ("#d8dee9", False), "1": ("#ffffff", True), "36": ("#88c0d0", False), "1;33": ("#ebcb8b", True),
       "31": ("#ef6b73", True), "7": (PAPER, False)}
REVERSE = "7"


def record(command):
    """What the command printed; the environment says that the terminal has colours."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    text = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # what Linux says when the last one who had the terminal is gone
            break
        if not chunk:
            break
        text += chunk
    text = text.decode("utf-8", "replace").replace("\r", "")
    if process.wait() != 0:
        sys.exit(text)
    return text


def spans(line, ink):
    """(column, ink, text) of the runs of one colour, then the ink that goes on in the next line."""
    found, column = [], 0
    for part in re.split(r"(\033\[[0-9;]*m)", line):
        if part.startswith("\033"):
            ink = part[2:-1] or "0"
        elif part:
            found.append((column, ink, part))
            column += len(part)
    return found, ink


def draw(text):
    lines = [line for line in text.strip("\n").split("\n") if not line.startswith("make[")]
    width = max(len(re.sub(r"\033\[[0-9;]*m", "", line)) for line in lines)
    yield ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="DejaVu Sans Mono, Menlo, '
           'Consolas, monospace" font-size="%d">' % (width * CHARACTER + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN, SIZE))
    yield '<rect width="100%%" height="100%%" rx="8" fill="%s"/>' % PAPER
    ink = "0"
    for row, line in enumerate(lines):
        runs, ink = spans(line, ink)
        for column, colour, part in runs:
            if colour == REVERSE:
                yield ('<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
                       % (MARGIN + column * CHARACTER, MARGIN + row * LINE, len(part) * CHARACTER, LINE, INK["0"][0]))
            if part.strip():
                fill, bold = INK.get(colour, INK["0"])
                yield ('<text x="%.1f" y="%d" fill="%s"%s textLength="%.1f" xml:space="preserve">%s</text>'
                       % (MARGIN + column * CHARACTER, MARGIN + (row + 0.75) * LINE, fill,
                          ' font-weight="bold"' if bold else "", len(part) * CHARACTER, escape(part)))
    yield "</svg>"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    prompt = "\033[36m$\033[0m \033[1m%s\033[0m\n" % " ".join(sys.argv[1:])
    print("\n".join(draw(prompt + record(sys.argv[1:]))))


if __name__ == "__main__":
    main()
