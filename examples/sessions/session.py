"""A program in a terminal, driven by a script: keys go in, screens come out (tmux has the terminal).

Nothing sleeps and nothing is guessed: with TDBG_TEST_SYNC=1 tdbg sets the title "idle N" whenever it
waits for a key, and a screen counts once it shows what is waited for, is the same twice in a row, and
belongs to an N after the key.

    with Session(tdbg, folder) as session:
        session.open("replay run.h5", "step 0/")
        rows = session.press("c", "finding: nan or inf")

The programs beside this file are such scripts; tests/screen uses class Tmux as well.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time

DEADLINE_S = 20
WIDTH, HEIGHT = 80, 24
TEXT_WIDTH = 118
NAMED = re.compile(r"<([\w-]+)>|([^<]+|<)")  # <Enter>, <F3>; anything else is typed


def environment(term, **changes):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("LC_", "TMUX", "TDBG_TEST")) and
           k not in ("LANG", "NO_COLOR", "LINES", "COLUMNS", "TERM")}
    env.update({"TERM": term, "LC_ALL": "C.UTF-8", "TDBG_TEST_SYNC": "1",
                "XDG_STATE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null"}, **changes)
    return {k: v for k, v in env.items() if v is not None}


class Tmux:
    """A shell in a tmux server of its own."""

    def __init__(self, folder, width=WIDTH, height=HEIGHT, deadline_s=DEADLINE_S):
        self.env = environment("tmux-256color", TMUX_TMPDIR=folder, ENV=None)
        self.socket = f"tdbg-{os.getpid()}"
        self.deadline_s = deadline_s
        self.last = ""
        self.start("new-session", "-d", "-x", str(width), "-y", str(height), "-c", folder, "sh")
        self.run("set-option", "-g", "window-size", "manual")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(self._command("kill-server"), env=self.env, capture_output=True)

    def _command(self, *args):
        return ["tmux", "-f", "/dev/null", "-L", self.socket, *args]

    def start(self, *args):
        """tmux's server sometimes ends while it starts, before any shell: it is started again."""
        for _ in range(5):
            done = subprocess.run(self._command(*args), env=self.env, capture_output=True, text=True)
            if "server exited unexpectedly" not in done.stderr:
                break
        if done.returncode != 0:
            sys.exit(f"failed: tmux {args}: {done.stderr}")

    def run(self, *args):
        done = subprocess.run(self._command(*args), env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"failed: tmux {args}: {done.stderr}")
        return done.stdout

    def state(self):
        """(idle number, is the alternate screen shown?, is the cursor?, rows)"""
        text = self.run("display-message", "-p", "#{pane_title}\t#{alternate_on}\t#{cursor_flag}",
                        ";", "capture-pane", "-p")
        head, self.last = text.split("\n", 1)
        title, alternate, cursor = head.split("\t")
        idle = re.fullmatch(r"idle (\d+)", title)
        return (int(idle.group(1)) if idle else 0, alternate == "1", cursor == "1",
                self.last.split("\n"))

    def type(self, text):
        self.run("send-keys", "-l", text)

    def key(self, name):
        self.run("send-keys", name)

    def keys(self, text):
        """Types a text in which <Enter>, <Esc>, <F3> ... are keys; each is dealt with before the next."""
        for name, typed in NAMED.findall(text):
            before = self.state()[0]
            if name:
                self.key({"Esc": "Escape"}.get(name, name))
            else:
                self.type(typed)
            self.wait(lambda s, n=before: s[0] > n, f"end of {name or typed}")

    def wait(self, condition, what):
        """Until condition(rows) and two equal screens, with the program waiting for a key."""
        deadline, before = time.monotonic() + self.deadline_s, None
        while True:
            state = self.state()
            if condition(state) and state == before:
                return state[3]
            before = state
            if time.monotonic() > deadline:
                sys.exit(f"failed: no {what} within {self.deadline_s} s:\n{self.last}")

    def until(self, condition, what):
        """Until condition(state); for screens that go on changing."""
        deadline = time.monotonic() + self.deadline_s
        while not condition(self.state()):
            if time.monotonic() > deadline:
                sys.exit(f"failed: no {what} within {self.deadline_s} s:\n{self.last}")

    def wait_row(self, y, text):
        return self.wait(lambda s: s[1] and len(s[3]) > y and text in s[3][y], f"'{text}' in row {y}")

    def wait_prompt(self):
        """Until the shell waits for a command, on its own screen and with a cursor."""
        return self.wait(lambda s: not s[1] and s[2] and "".join(s[3]).rstrip() and
                         [row for row in s[3] if row][-1] in ("$", "#"), "prompt of the shell")

    def wait_shell(self, text):
        return self.wait(lambda s: not s[1] and any(text == row for row in s[3]),
                         f"row '{text}' of the shell")


class Session:
    """One program in a terminal, and the transcript of what was shown: Markdown."""

    def __init__(self, tdbg, folder, width=WIDTH, height=HEIGHT):
        self.tdbg, self.folder, self.height = os.path.abspath(tdbg), folder, height
        self.tmux = Tmux(folder, width, height, deadline_s=120)
        self.rows, self.transcript = [], ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.tmux.__exit__(*error)

    def command(self, *words):
        """A command of tdbg, outside of the terminal, that has to succeed."""
        done = subprocess.run([self.tdbg, *words], capture_output=True, text=True, cwd=self.folder)
        if done.returncode != 0:
            sys.exit(f"failed: tdbg {' '.join(words)}: {done.stdout}{done.stderr}")

    def show(self, text):
        """What there is to see, in Markdown, and the screen as it is."""
        screen = "".join(row.rstrip() + "\n" for row in self.rows[:self.height])
        wrapped = textwrap.fill(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)
        self.transcript += f"\n{wrapped}\n\n```text\n{screen}```\n"

    def open(self, words, *texts):
        """Starts the program with these words, and waits until each of the texts is on the screen."""
        self.tmux.wait_prompt()
        self.tmux.type(f"env TERM=tmux-256color {self.tdbg} {words}\n")
        self._wait(texts)

    def press(self, keys, *texts):
        """Types keys, and waits until each of the texts is on the screen."""
        self.tmux.keys(keys)
        self._wait(texts, f" after {keys!r}")
        return self.rows

    def _wait(self, texts, after=""):
        self.rows = self.tmux.wait(
            lambda s: s[1] and s[0] > 0 and all(any(t in row for row in s[3]) for t in texts),
            " and ".join(repr(t) for t in texts) + after)

    def row_with(self, text):
        """The one row that has the text."""
        found = [row for row in self.rows if text in row]
        if len(found) != 1:
            sys.exit(f"failed: {len(found)} rows with {text!r}:\n" + "\n".join(self.rows))
        return found[0]

    def close(self):
        """Leaves the program, which has to give the terminal back."""
        self.tmux.type("Q")
        self.tmux.wait_prompt()


def expect(condition, text):
    if not condition:
        sys.exit(f"failed: {text}")


def main(run, description):
    """run(session) writes the transcript: to --transcript FILE, or on the standard output."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--tdbg", default="build/tdbg", help="the program (default: build/tdbg)")
    options.add_argument("--transcript", metavar="FILE", help="write the transcript there")
    options.add_argument("--keep", metavar="FOLDER", help="record into it, and leave the traces there")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or temporary
        os.makedirs(folder, exist_ok=True)
        with Session(chosen.tdbg, folder) as session:
            run(session)
            text = session.transcript.lstrip("\n")
    if not chosen.transcript:
        sys.stdout.write(text)
        return
    with open(chosen.transcript, "w", encoding="utf-8") as f:
        f.write(text)
