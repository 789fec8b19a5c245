#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who may include whom: the rules of daemon/README.md, over every #include of the product.

Includes are written from the root, so the folder of the included file names its layer.
"""
import re
import sys

import source

ERRORS = "proto/errors.h"
LIMITS = "proto/limits.h"
VERSION = "proto/version.h"
TOPICS = "proto/topics.h"

# Layer: its folder, then the folders and single files it may include beside itself.
RULES = {
    "daemon/base/": (),
    "daemon/heap/": ("daemon/base/", ERRORS),
    "daemon/gc/": ("daemon/heap/", "daemon/base/", ERRORS),
    "daemon/pool/": ("daemon/gc/", "daemon/heap/", "daemon/base/", ERRORS, LIMITS, TOPICS),
    "daemon/transport/": ("daemon/base/", "<uv.h>"),
    "daemon/server/": ("daemon/pool/", "daemon/transport/", "proto/", "daemon/base/", "<uv.h>"),
    "daemon/observe/": ("daemon/server/", "daemon/transport/", "daemon/base/", VERSION, "<uv.h>", "<microhttpd.h>",
                        "<jansson.h>"),
    "daemon/offline/": ("daemon/pool/", "daemon/base/", ERRORS, LIMITS),
    "daemon/system/": ("daemon/base/", VERSION, "<uv.h>", "<ini.h>", "<systemd/sd-daemon.h>"),
    "daemon/main.c": ("daemon/", "proto/", "<uv.h>"),
    "proto/": (),
    "client/": ("proto/",),
}

# Time, randomness and I/O come into these from outside; nothing there draws a clock, a log or a loop in.
PURE = ("daemon/heap/", "daemon/gc/", "daemon/pool/", "proto/")
IMPURE = ("<time.h>", "<sys/time.h>", "<sys/random.h>", "<syslog.h>", "<sys/socket.h>", "<sys/epoll.h>",
          "<pthread.h>", "daemon/base/log.h")

# Libraries are named like our own files: only who is told above may use them.
LIBRARIES = ("<uv.h>", "<ini.h>", "<systemd/sd-daemon.h>", "<microhttpd.h>")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|(<[^>]+>))', re.M)


def layer_of(path):
    found = [layer for layer in RULES if path.startswith(layer)]
    return max(found, key=len) if found else None


def verdict(path, included):
    """What is wrong with this include, or None."""
    layer = layer_of(path)
    if layer is None:
        return None
    if path.startswith(PURE) and included in IMPURE:
        return "%s is kept free of clocks, logs and I/O: no %s" % (layer, included)
    if included.startswith("<") and included not in LIBRARIES:
        return None
    if not included.startswith("<") and "/" not in included:
        return "includes are written from the root of the tree: %s" % included
    if included.startswith(layer) or any(included.startswith(allowed) for allowed in RULES[layer]):
        return None
    return "%s may not use %s" % (layer, included)


def check_text(path, text):
    # Strings are blanked by source.blank, and the name of an include is one: so only comments go here.
    code = re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.S)
    for match in INCLUDE.finditer(code):
        wrong = verdict(path, match[1] or match[2])
        if wrong:
            yield "%s:%d: %s" % (path, code.count("\n", 0, match.start()) + 1, wrong)


def check():
    findings = []
    for path in source.files():
        if path.endswith((".c", ".h")):
            if path.startswith("daemon/") and layer_of(path) is None:
                findings.append("%s: a folder without a rule in check_layers.py" % path)
            findings += check_text(path, source.read(path))
    return findings


if __name__ == "__main__":
    sys.exit(source.report(check(), "layers"))
