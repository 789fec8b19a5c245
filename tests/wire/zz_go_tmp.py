#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Go's net/rpc with ugorji's MsgpackSpecRpc codec over unix and TCP. Part of check-all, needs golang-go and
golang-github-ugorji-go-codec-dev (Debian's packages, used by GOPATH)."""
import os
import subprocess

from common import WireTest, unittest

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "go_ugorji")


class Go(WireTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = os.path.join(cls.daemon.dir, "client")
        env = dict(os.environ, GOPATH="/tmp/hf/wiretests/go/root/usr/share/gocode", GO111MODULE="off", GOFLAGS="",
                   GOCACHE=os.path.join(cls.daemon.dir, "cache"))
        subprocess.run(["go", "build", "-o", cls.program, "main.go"], cwd=HERE, env=env, check=True, timeout=300)

    def run_go(self, network, address):
        for old in ("", "1"):
            done = subprocess.run([self.program, network, address], env=dict(os.environ, HF_OLD_RAW=old), timeout=60,
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, "done\n"))
        self.assertVerified(self.c)

    def test_unix(self):
        self.run_go("unix", self.daemon.unix)

    def test_tcp(self):
        self.run_go("tcp", "%s:%d" % self.daemon.tcp)


if __name__ == "__main__":
    unittest.main()
