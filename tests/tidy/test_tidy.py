#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The checks of this folder find what they are for, and accept what is right."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import check_layers  # noqa: E402
import check_style  # noqa: E402
import check_tree  # noqa: E402
import source  # noqa: E402

SPDX = "/* SPDX-License-Identifier: BSD-3-Clause */\n"


class Layers(unittest.TestCase):
    def findings(self, path, text):
        return list(check_layers.check_text(path, text))

    def test_allowed(self):
        for path, included in (("daemon/pool/a.c", '"daemon/heap/heap.h"'), ("daemon/pool/a.c", '"proto/limits.h"'),
                               ("daemon/server/a.c", "<uv.h>"), ("daemon/heap/a.c", "<string.h>"),
                               ("client/lib/a.c", '"proto/mp.h"'), ("daemon/main.c", '"daemon/server/server.h"'),
                               ("tests/unit/a.c", '"daemon/pool/pool.h"')):
            self.assertEqual(self.findings(path, "#include " + included), [], (path, included))

    def test_refused(self):
        for path, included in (("daemon/heap/a.c", '"daemon/pool/pool.h"'), ("daemon/heap/a.c", "<uv.h>"),
                               ("daemon/pool/a.c", "<time.h>"), ("daemon/pool/a.c", '"daemon/base/log.h"'),
                               ("daemon/pool/a.c", '"proto/rpc.h"'), ("daemon/base/a.c", '"daemon/heap/heap.h"'),
                               ("daemon/server/a.c", '"daemon/heap/heap.h"'), ("client/lib/a.c", '"daemon/base/list.h"'),
                               ("proto/a.c", '"daemon/base/list.h"'), ("daemon/pool/a.c", '"pool.h"')):
            self.assertEqual(len(self.findings(path, "#include " + included)), 1, (path, included))

    def test_comments_do_not_include(self):
        self.assertEqual(self.findings("daemon/heap/a.c", "/*\n#include <uv.h>\n*/\n"), [])
        self.assertEqual(self.findings("daemon/heap/a.c", "\n\n#include <uv.h>\n")[0].split(":")[1], "3")


class Style(unittest.TestCase):
    def findings(self, text, path="daemon/base/a.c"):
        return check_style.check_text(path, text)

    def test_accepts(self):
        self.assertEqual(self.findings(SPDX + "int a(void)\n{\n    return 1; /* since b(), see c; or d. */\n}\n"), [])

    def test_lines(self):
        for bad in ("int a;\t\n", "int a; \n", "int " + "a" * 120 + ";\n", "/* TODO: all of it */\n", "int a;"):
            self.assertTrue(self.findings(SPDX + bad), bad)
        self.assertEqual(len(self.findings("int a;\n")), 1, "no licence line")

    def test_code_in_comments(self):
        for bad in ("/* free(a); */\n", "// a = b;\n", "/*\n * if (a) {\n *     b();\n * }\n */\n", "/* return a; */\n"):
            self.assertTrue(self.findings(SPDX + bad), bad)
        for good in ("/* A is freed here; b is not. */\n", "/* count(object) = holds + names; never less. */\n"):
            self.assertEqual(self.findings(SPDX + good), [], good)

    def test_long_functions(self):
        body = "    a();\n" * 80
        self.assertIn("long_one has 80 lines", self.findings(SPDX + "int long_one(int a)\n{\n" + body + "}\n")[0])
        self.assertIn("case_one has", self.findings(SPDX + "START_TEST(case_one)\n{\n" + body + "}\nEND_TEST\n")[0])

    def test_long_files(self):
        self.assertIn("900 lines", " ".join(self.findings(SPDX + "int a;\n" * 899)))


class Tree(unittest.TestCase):
    def test_paths(self):
        for bad in ("notes.txt", "daemon/a.o", "tests/wire/node/node_modules/x/index.js", "client/__pycache__/a.pyc"):
            self.assertTrue(list(check_tree.check_path(bad)), bad)
        for good in (".gitignore", "Makefile", "daemon/main.c", "deploy/build.md"):
            self.assertEqual(list(check_tree.check_path(good)), [], good)

    def test_places(self):
        for bad in ("see /home/anna/x", '"resolved": "https://registry.example.org/a.tgz"'):
            self.assertTrue(list(check_tree.check_text("a", bad)), bad)
        self.assertEqual(list(check_tree.check_text("a", "unix:/run/holdfast/holdfast.sock")), [])

    def test_the_tree_is_seen(self):
        self.assertIn("Makefile", source.files())
        self.assertIn("proto/errors.h", source.files())
        self.assertIn("Makefile", list(source.walk()))


if __name__ == "__main__":
    unittest.main()
