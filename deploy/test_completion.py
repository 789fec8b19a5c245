#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What bash offers for a line with holdfast or holdfastd, as typed on a terminal: bash itself completes it."""
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from daemon import HOLDFASTD, Daemon  # noqa: E402
from rpc import DEADLINE_S  # noqa: E402
from terminal import Terminal  # noqa: E402

HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(ROOT, "build", "holdfast")
SCRIPT = os.path.join(ROOT, "deploy", "holdfast.bash-completion")

# bash's own parting of a line into words, its variables, and the function that it would call for the first word.
DRIVER = r"""
source "$1"
line=$2
COMP_LINE=$line COMP_POINT=${#line} COMP_CWORD=-1 COMP_WORDS=()
while IFS= read -r word; do COMP_WORDS+=("$word"); COMP_CWORD=$((COMP_CWORD + 1)); done
compopt() { options+=" $2"; }
case ${COMP_WORDS[0]} in *holdfastd) _holdfastd "$3" ;; *) _holdfast "$3" ;; esac
printf '%s\n' "${COMPREPLY[@]}" "options:$options"
"""


def part(line):
    """The words of a line as readline parts them: at blanks, and : and = stand for themselves, unless quoted."""
    words, word, quote, k = [], "", "", 0
    while k < len(line):
        c = line[k]
        if quote:
            word, quote = word + c, "" if c == quote else quote
        elif c == "\\":
            word, k = word + line[k:k + 2], k + 1
        elif c in "\"'":
            word, quote = word + c, c
        elif c == " ":
            words, word = words + [word] * bool(word), ""
        elif c in ":=":
            words, word = words + [word] * bool(word) + [c], ""
        else:
            word += c
        k += 1
    return words + [word] * (bool(word) or line[-1] == " ")


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(tcp=False).start()
        cls.env = dict(os.environ, HOLDFAST_ADDRESS="unix:" + cls.daemon.unix)
        cls.client = cls.daemon.client(hello={})
        for name in ("apple", "apricot", "two words", "a:b", "a:c", "-dash"):
            cls.client.call("store", name, 1)
        cls.client.call("pool_create", "second")

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.daemon.stop()

    def offer(self, line, env=None):
        """(words offered, options of this completion) at the end of a line."""
        program = HOLDFASTD if line.startswith("holdfastd") else HOLDFAST
        done = subprocess.run(["bash", "--norc", "-c", DRIVER, "bash", SCRIPT, line, program], env=env or self.env, text=True,
                              input="\n".join(part(line)) + "\n", capture_output=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.stderr, "", line)
        lines = done.stdout.splitlines()
        return [word for word in lines[:-1] if word], lines[-1][len("options:"):].split()

    def words(self, line):
        return self.offer(line)[0]

    def help_commands(self):
        text = subprocess.run([HOLDFAST, "help"], capture_output=True, text=True, check=True).stdout
        return [line.split()[0] for line in text.split("Commands:\n")[1].split("\n\n")[0].splitlines()]

    def test_commands(self):
        self.assertEqual(self.words("holdfast "), self.help_commands())
        self.assertEqual(self.words("holdfast fet"), ["fetch"])
        self.assertEqual(self.words("holdfast --pool second -q fet"), ["fetch"])
        self.assertEqual(self.words("holdfast help pu"), ["put", "put_many"])

    def test_options(self):
        self.assertEqual(self.words("holdfast put --s"), ["--str", "--site", "--size", "--seal", "--share"])
        self.assertIn("--pool", self.words("holdfast put --"))
        self.assertEqual(self.words("holdfast --po"), ["--pool"])
        self.assertEqual(self.words("holdfast top --o"), ["--once"])
        self.assertEqual(self.words("holdfast stats --once"), [])

    def test_every_option_of_every_command(self):
        for command in self.help_commands():
            text = subprocess.run([HOLDFAST, "help", command], capture_output=True, text=True, check=True).stdout
            listed = {line.split()[0] for line in text.splitlines() if line.startswith("  --")}
            self.assertLessEqual(listed, set(self.words("holdfast %s --" % command)), command)

    def test_names_of_the_daemon(self):
        self.assertEqual(sorted(self.words("holdfast fetch ap")), ["apple", "apricot"])
        self.assertEqual(sorted(self.words("holdfast fetch apple apr")), ["apricot"])
        self.assertEqual(self.words("holdfast fetch two"), ["two\\ words"])
        self.assertEqual(self.words("holdfast fetch two\\ w"), ["two\\ words"])
        self.assertEqual(self.words("holdfast fetch 'two w"), ["two words"])
        # bash replaces what is behind the colon only.
        self.assertEqual(sorted(self.words("holdfast fetch a:")), ["b", "c"])
        self.assertEqual(self.words("holdfast store app"), ["apple"])
        self.assertEqual(self.words("holdfast store apple app"), [])

    def test_pools_and_sessions(self):
        self.assertEqual(sorted(self.words("holdfast --pool ")), ["default", "second"])
        self.assertEqual(self.words("holdfast pool_drop s"), ["second"])
        self.assertEqual(self.words("holdfast --pool=s"), ["second"])
        sids = self.words("holdfast kill ")
        self.assertIn(str(self.client.hello_result["sid"]), sids)
        # In the pool of the line: it has no names.
        self.assertEqual(self.words("holdfast --pool second fetch a"), [])

    def test_values_of_options(self):
        self.assertIn("held", self.words("holdfast top --sort "))
        self.assertIn("unix:", self.words("holdfast -s "))
        address = "holdfast -s unix:%s" % self.daemon.unix[:-1]
        self.assertIn(self.daemon.unix, self.words(address))
        self.assertEqual(self.offer("holdfast put --file /e")[1], ["default"])
        self.assertIn("get", self.words("holdfast bench --mix "))
        self.assertEqual(self.words("holdfast bench c"), ["compare"])

    def test_nobody_there(self):
        env = dict(self.env, HOLDFAST_ADDRESS="unix:" + self.daemon.dir + "/none")
        self.assertEqual(self.offer("holdfast fetch a", env)[0], [])
        self.assertEqual(self.offer("holdfast fet", env)[0], ["fetch"])

    def test_the_daemon(self):
        self.assertEqual(self.words("holdfastd --max"), ["--max-memory"])
        self.assertEqual(self.words("holdfastd --log-level w"), ["warn"])
        self.assertIn("unix:", self.words("holdfastd --listen "))
        self.assertIn("default", self.offer("holdfastd --heap ")[1])

    def test_on_a_terminal(self):
        env = dict(self.env, PATH=os.path.dirname(HOLDFAST) + ":" + os.environ["PATH"], PS1="ready> ")
        with Terminal(["bash", "--norc", "-i"], env=env) as bash:
            bash.type("source %s\n" % SCRIPT)
            bash.wait(lambda text: text.count("ready>") == 2)
            bash.type("holdfast fet\t")
            bash.wait(lambda text: "holdfast fetch" in text)
            bash.type("appl\t\n")
            bash.wait(lambda text: "holdfast fetch apple" in text and "\n1\n" in text)
            bash.type("holdfast -s unix:%s\t fetch a:\t\t" % self.daemon.unix[:-1])
            bash.wait(lambda text: "%s fetch a:" % self.daemon.unix in text and "b  c" in text)

    def test_it_is_short_of_nothing_when_sourced_twice(self):
        done = subprocess.run(["bash", "--norc", "-euc", "source $0; source $0; complete -p holdfast holdfastd", SCRIPT],
                              capture_output=True, text=True, check=True)
        self.assertEqual(len(done.stdout.splitlines()), 2)


if __name__ == "__main__":
    unittest.main()
