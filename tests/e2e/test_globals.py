#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The daemon has no global data that can be written: everything hangs from a server, so that any number of them
can run in one process. Read by objdump from the symbols of build/holdfastd: a
sanitizer's run time would bring hundreds of its own.

Constants that hold addresses stand in .data.rel.ro, which is read-only once the program is loaded.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

from daemon import RELEASE  # noqa: E402

WRITABLE = re.compile(r"\.(data|bss|tdata|tbss)(?!\.rel\.ro)")
SYMBOL = re.compile(r"[0-9a-f]+ (.{7}) (\S+)\t([0-9a-f]+) +(?:\.hidden )?(\S+)$")

# Not the daemon's own, and why it is there.
ALLOWED = (
    (r"completed\.\d+", "the compiler's start-up code: destructors have run"),
    (r"(stdin|stdout|stderr|environ|__environ|optarg|optind|opterr|optopt)(@.*)?",
     "the C library's, used by main() before a server is made"),
)


def writable_objects(program):
    """Names of all variables of a program or object file that stand in writable memory."""
    table = subprocess.run(["objdump", "-t", program], capture_output=True, check=True).stdout.decode()
    found = []
    for line in table.splitlines():
        match = SYMBOL.match(line)
        if match and WRITABLE.match(match[2]) and int(match[3], 16) > 0:
            found.append(match[4])
    return found


def is_allowed(name):
    return any(re.fullmatch(pattern, name) for pattern, _ in ALLOWED)


class Globals(unittest.TestCase):
    def test_the_daemon_has_none(self):
        self.assertEqual([name for name in writable_objects(RELEASE) if not is_allowed(name)], [])

    def test_one_would_be_found(self):
        source = """
            static int counter;
            static int seeded = 5;
            int shared;
            static _Thread_local int each;
            static const int constant = 7;
            static const char *const words[] = {"a", "b"};
            static int hidden(void) { static int calls; return ++calls; }
            const char *use(int i) { each++; seeded++;
                return words[(counter++ + shared++ + each + seeded + constant + hidden() + i) & 1]; }
        """
        with tempfile.TemporaryDirectory(prefix="hf-") as folder:
            path = os.path.join(folder, "globals.o")
            subprocess.run(["cc", "-x", "c", "-fPIE", "-O0", "-c", "-", "-o", path], input=source.encode(), check=True)
            names = sorted(re.sub(r"\.\d+$", "", name) for name in writable_objects(path) if not is_allowed(name))
        self.assertEqual(names, ["calls", "counter", "each", "seeded", "shared"])


if __name__ == "__main__":
    unittest.main()
