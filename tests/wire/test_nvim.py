#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Neovim's own RPC client (sockconnect, rpcrequest) over unix and TCP. Part of check-all, needs neovim."""
import os
import subprocess

from common import WireTest, unittest

SCRIPT = r"""
local channel = vim.fn.sockconnect(vim.env.HF_MODE, vim.env.HF_ADDRESS, {rpc = true})
assert(channel > 0, 'no connection')
local function call(...) return vim.rpcrequest(channel, ...) end
local function equal(got, want)
  if not vim.deep_equal(got, want) then
    error(string.format('got %s, want %s', vim.inspect(got), vim.inspect(want)), 2)
  end
end
local function refused(code, ...)
  local ok, message = pcall(vim.rpcrequest, channel, ...)
  if ok or not string.find(message, code, 1, true) then
    error(string.format('wanted %s, got %s', code, vim.inspect(message)), 2)
  end
end
local id = call('put', {text = 'grüße', list = {1, -1, 1.5, true}})
assert(id > 4294967296, 'ids exceed 2^32')
equal(call('get', id), {text = 'grüße', list = {1, -1, 1.5, true}})
equal(call('retain', id), 2)
equal(call('retain', id, 3), 5)
equal(call('release', id, 4), 1)
local node = call('put', vim.NIL, {refs = {id, vim.NIL}, tag = 'node'})
equal(call('refs', node), {id, vim.NIL})
equal(call('inspect', id).count, 2)
equal(call('release', {id}), {0})
equal(call('link', node, 0, vim.NIL), id)
refused('GONE', 'get', id)
refused('NOMETHOD', 'nonsense')
refused('BADARG', 'put')
equal(call('release', node), 0)
vim.rpcnotify(channel, 'store', 'from-nvim', 'noted')
equal(call('fetch', 'from-nvim'), 'noted')
equal(call('unname', 'from-nvim'), true)
vim.fn.chanclose(channel)
io.stdout:write('done\n')
vim.cmd('qall!')
"""


class Nvim(WireTest):
    def run_nvim(self, mode, address):
        path = os.path.join(self.daemon.dir, "test.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write("local ok, message = pcall(function()\n" + SCRIPT
                       + "\nend)\nif not ok then io.stdout:write(tostring(message) .. '\\n') vim.cmd('cquit!') end\n")
        home = dict(os.environ, HF_MODE=mode, HF_ADDRESS=address, HOME=self.daemon.dir, XDG_CONFIG_HOME=self.daemon.dir,
                    XDG_DATA_HOME=self.daemon.dir, XDG_STATE_HOME=self.daemon.dir)
        done = subprocess.run(["nvim", "--headless", "--clean", "-n", "-c", "luafile " + path], env=home, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "done"), done.stdout)
        self.assertVerified(self.c)

    def test_unix(self):
        self.run_nvim("pipe", self.daemon.unix)

    def test_tcp(self):
        self.run_nvim("tcp", "%s:%d" % self.daemon.tcp)


if __name__ == "__main__":
    unittest.main()
