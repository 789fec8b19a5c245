# SPDX-License-Identifier: BSD-3-Clause
"""A thread of a running daemon that is held still: its workers are called worker-N, its main thread holdfastd."""
import os
import subprocess
import sys


class Stuck:
    """Holds one thread of a process still, as ptrace does, until release()."""

    PROGRAM = ("import ctypes, os, sys\n"
               "libc = ctypes.CDLL(None, use_errno=True)\n"
               "tid = int(sys.argv[1])\n"
               "seize, interrupt, detach = 0x4206, 0x4207, 17\n"
               "libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]\n"
               "assert libc.ptrace(seize, tid, None, None) == 0, os.strerror(ctypes.get_errno())\n"
               "assert libc.ptrace(interrupt, tid, None, None) == 0, os.strerror(ctypes.get_errno())\n"
               "os.waitpid(tid, 0x40000000)\n"  # __WALL: it may be a thread
               "print('stuck', flush=True)\n"
               "sys.stdin.read()\n"
               "libc.ptrace(detach, tid, None, None)\n")

    def __init__(self, pid, name):
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(self.find(pid, name))],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "stuck\n":
            raise AssertionError("the thread cannot be held")

    @staticmethod
    def find(pid, name):
        for tid in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/comm" % (pid, tid), encoding="ascii") as comm:
                if comm.read().strip() == name:
                    return int(tid)
        raise AssertionError("there is no thread " + name)

    def release(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
        self.process = None
