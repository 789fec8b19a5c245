#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""check_lists.py finds each way in which the protocol's document and the lists can part."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import check_lists  # noqa: E402

METHODS = """
#define HF_METHODS(X)                    \\
    X(get, "id*",                          \\
      "offset, "                           \\
      "len",                               \\
      A, "0.1")                            \\
    X(put, "value", "", A | B, "0.1")

#define HF_OPTIONS_LATER(X) \\
    X(put, "ttl_ms")        \\
    X(put, "evict")

#define HF_METHODS_LATER(X) \\
    X(why)
"""
ERRORS = """
#define HF_ERRORS(X) \\
    X(GONE, "it is gone; see `methods`") \\
    X(OOM, "no memory")
"""
LIMITS = """
#ifndef HF_X
#define HF_X
#define HF_FRAME_MAX (64u * 1024 + 1) /* limits.frame: a message */
#define HF_ID_MAX ((1ull << 53) - 1)
"""
TOPICS = """
#define HF_TOPICS(X)                               \\
    X(freed, "id, reason", HF_NONE, HF_OWN, "0.1") \\
    X(names,                                       \\
      "what, name", 1,                             \\
      HF_RING, "0.1")

#define HF_REASONS(X)     \\
    X(RELEASE, "release") \\
    X(KILL, "kill")
"""
DOCUMENT = """
## 5. Methods

| method | params | options | result |
|---|---|---|---|
| `get` | id\\* | offset, len | value |
| `put` | value | - | id |

## 7. Errors

| code | text |
|---|---|
| GONE | it is gone; see `methods` |
| OOM | no memory |

## 8. Limits

| name | value | word | what |
|---|---|---|---|
| HF_FRAME_MAX | 65537 | `frame` | a message |
| HF_ID_MAX | 9007199254740991 | - | largest id |

## 9. Events

| topic | keys | prefix | when |
|---|---|---|---|
| `freed` | id, reason | - | freed |
| `names` | what, name | name | bound |

Reasons: release, kill. More text.

## 10. What later versions bring

Methods: why. They are NOMETHOD today.

Options: `put` ttl_ms, evict. They are BADARG today.
"""


class Lists(unittest.TestCase):
    def findings(self, old, new, document=DOCUMENT):
        self.assertIn(old, document)
        return list(check_lists.check_texts(METHODS, ERRORS, LIMITS, TOPICS, document.replace(old, new, 1)))

    def test_equal(self):
        self.assertEqual(self.findings("", ""), [])

    def test_parted(self):
        for old, new in (("| `put` | value | - | id |\n", ""),
                         ("offset, len |", "offset |"),
                         ("id\\* |", "id |"),
                         ("| `put` | value | - |", "| `put` | value | tag |"),
                         ("no memory", "no more memory"),
                         ("| OOM | no memory |\n", ""),
                         ("| 65537 |", "| 65536 |"),
                         ("`frame`", "-"),
                         ("HF_ID_MAX | 9007199254740991 | - ", "HF_ID_MAX | 9007199254740991 | `id` "),
                         ("| `freed` | id, reason |", "| `freed` | id |"),
                         ("| what, name | name |", "| what, name | what |"),
                         ("Reasons: release, kill.", "Reasons: release."),
                         ("Methods: why.", "Methods: why, how."),
                         ("ttl_ms, evict", "ttl_ms"),
                         ("| OOM | no memory |", "| OOM | no memory |\n| MORE | text |")):
            self.assertEqual(len(self.findings(old, new)), 1, (old, new))

    def test_order(self):
        put = "| `put` | value | - | id |\n"
        moved = DOCUMENT.replace(put, "").replace("| `get`", put + "| `get`")
        self.assertEqual(len(self.findings("", "", moved)), 1)

    def test_values(self):
        self.assertEqual(check_lists.value_of("(64u * 1024 * 1024 + 4096)"), 67112960)
        self.assertEqual(check_lists.value_of("0xffffffffu"), 4294967295)
        self.assertRaises(ValueError, check_lists.value_of, "sizeof(int)")


if __name__ == "__main__":
    unittest.main()
