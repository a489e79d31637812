#!/usr/bin/env python3
"""The real program in a terminal: in tmux, whose screens are read, and in pseudo-terminals of our
own, whose bytes are.

    terminal.py CASE     runs one case (tests/meson.build lists them); terminal.py --list prints all

Nothing sleeps: with TDBG_TEST_SYNC=1 the program sets the title "idle N" whenever it waits for a
key. Environment: as for tests/example/e2e.py.
"""
import fcntl
import json
import os
import pty
import re
import resource
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True
for folder_of in (("tests", "example"), ("examples", "sessions")):
    sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), *folder_of))
import e2e  # noqa: E402
from e2e import case, check  # noqa: E402
from session import DEADLINE_S, Tmux, environment  # noqa: E402

e2e.CASES.clear()  # ours instead

SIZES = ((80, 24), (160, 50), (40, 10), (20, 5), (1, 1))
# What leaves the alternate screen, where a terminal has one.
LEAVES = {"xterm": b"\033[?1049l", "xterm-256color": b"\033[?1049l", "screen-256color": b"\033[?1049l",
          "tmux-256color": b"\033[?1049l", "linux": None, "vt100": None}
IDLE = re.compile(rb"\033\]2;idle (\d+)\007")
COLOUR = re.compile(rb"\033\[(?:[0-9;:]*[;:])?(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])(?:[;:][0-9;:]*)?m")


def record_small(folder):
    """A run of 400 steps."""
    trace = f"{folder}/a.h5"
    e2e.record(e2e.small_config(folder, steps=400), trace)
    return trace


class Terminal:
    """A command in a pseudo-terminal. A process of ours is the session leader, so that the modes of
    the terminal can be read after the command ended."""

    def __init__(self, *args, term="xterm-256color", size=(80, 24), stdin=None, **env):
        self.what = f"TERM={term} {size[0]}x{size[1]} {env} {args}"
        self.output = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.reports, report = os.pipe()
        self.leader = os.fork()
        if self.leader == 0:
            try:
                os.close(self.master)
                self._lead(slave, report, [e2e.TDBG, *args], environment(term, **env), stdin)
            finally:
                os._exit(1)
        os.close(slave)
        os.close(report)
        self.reports = os.fdopen(self.reports)
        self.pid = int(self.reports.readline())

    @staticmethod
    def _lead(slave, report, command, env, stdin):
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        before = termios.tcgetattr(slave)
        process = subprocess.Popen(command, env=env, stdin=slave if stdin is None else stdin,
                                   stdout=slave, stderr=slave)
        os.write(report, b"%d\n" % process.pid)
        code = process.wait()
        end = {"code": code, "restored": termios.tcgetattr(slave) == before}
        os.write(report, json.dumps(end).encode())
        os._exit(0)

    def _read(self, deadline, what):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.master], [], [], left)[0]:
            self.fail(f"no {what} within {DEADLINE_S} s")
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side open
            data = b""
        self.output += data
        return data

    def fail(self, text):
        sys.exit(f"failed: {text}\n{self.what}\n{self.output[-4000:]!r}")

    def check(self, condition, text):
        if not condition:
            self.fail(text)

    def n_idle(self):
        marks = IDLE.findall(self.output)
        return int(marks[-1]) if marks else 0

    def wait_idle(self, after=0):
        deadline = time.monotonic() + DEADLINE_S
        while self.n_idle() <= after:
            self.check(self._read(deadline, "idle title"), "the program ended")

    def press(self, keys):
        """Returns what the program wrote for it, without the titles."""
        start, n = len(self.output), self.n_idle()
        os.write(self.master, keys.encode())
        self.wait_idle(n)
        return IDLE.sub(b"", self.output[start:])

    def feed(self, event):
        """Bytes, or a size, without a wait for what it leads to, but until the program has read it:
        an idle title comes for ^L behind it. false: the program has ended."""
        if isinstance(event, tuple):
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", event[1], event[0], 0, 0))
            event = b""
        n, deadline = self.n_idle(), time.monotonic() + DEADLINE_S
        os.write(self.master, event + b"\x0c")
        while self.n_idle() <= n:
            if not self._read(deadline, "idle title"):
                return False
        return True

    def redraw(self):
        """All of the screen: rows as they are written by a program that places every one."""
        return self.press("\x0c")

    def resize(self, width, height):
        n = self.n_idle()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.wait_idle(n)

    def end(self, keys=""):
        """Exit code, with what was written until the end; a signal's number is negative."""
        os.write(self.master, keys.encode())
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline, "end of the program"):
            pass
        os.waitpid(self.leader, 0)
        end = json.loads(self.reports.read())
        os.close(self.master)
        self.reports.close()
        self.check(end["restored"], "the terminal's modes are not what they were")
        return end["code"]

    def check_left(self, term):
        """The alternate screen is left and the cursor is seen."""
        leave = LEAVES[term]
        if leave:
            enter = leave[:-1] + b"h"
            self.check(self.output.rfind(enter) >= 0, "the alternate screen is not used")
            self.check(self.output.rfind(leave) > self.output.rfind(enter),
                       "the alternate screen is not left")
        self.check(self.output.rfind(b"\033[?25l") <= self.output.rfind(b"\033[?25h"),
                   "the cursor is hidden")
        self.check(self.output.rfind(b"\033[?2004h") <= self.output.rfind(b"\033[?2004l"),
                   "pastes are still marked")
        self.check((b"\033[?2004h" in self.output) == (leave is not None), "marks of pastes")
        if b"\033[?1000h" in self.output or b"1000h" in self.output:
            self.check(self.output.rfind(b"1000l") > self.output.rfind(b"1000h"),
                       "the mouse is still reported")


def open_replay(tmux, trace, *options):
    """Types the command behind a line of text, and waits for the program."""
    tmux.wait_prompt()
    tmux.type("echo before\n")
    tmux.wait_shell("before")
    tmux.wait_prompt()
    words = ["env", "TERM=tmux-256color", e2e.TDBG, "replay", trace, *options]
    tmux.type(shlex.join(words) + "; echo code=$?\n")
    tmux.wait_row(0, "step 0/400")


@case
def moves(folder):
    with Tmux(folder) as tmux:
        open_replay(tmux, record_small(folder))
        rows = tmux.wait_row(0, "step 0/400")
        check(rows[0].startswith(" a.h5   step 0/400  epoch 0  op 0/55  rank 0/1   loss "), rows[0])
        check("█" in "".join(rows), "blocks in the chart")
        check(rows[23].endswith("? help  q quit"), rows[23])
        for keys, text in (("100n", "step 100/400"), ("N", "step 99/400"), ("G", "step 399/400"),
                           ("g", "step 0/400"), ("42G", "step 42/400"), ("5s", "op 5/55"),
                           ("S", "op 4/55"), ("55s", "step 43/400"), ("/fc2.bias\r", "op 7/55")):
            tmux.type(keys)
            tmux.wait_row(0, text)
        tmux.type("g500n")
        tmux.wait_row(22, "stopped at the last step, 399")
        tmux.type("?")
        tmux.wait_row(2, "keys of the main screen")
        tmux.type("q")
        tmux.wait_row(2, "loss  log")
        for name, text in (("Home", "step 0/400"), ("End", "step 399/400"), ("Left", "step 394/400")):
            tmux.key(name)
            tmux.wait_row(0, text)
        tmux.type("q")
        tmux.wait_shell("code=0")


@case
def there_and_back(folder):
    with Tmux(folder, 160, 50) as tmux:
        open_replay(tmux, record_small(folder))
        # all panes are filled when it waits for a key
        before = tmux.wait(lambda s: s[0] > 0 and "step 0/400" in s[3][0], "step 0")
        for there, back in (("100n", "100N"), ("n" * 100, "N" * 100)):
            tmux.type(there)
            tmux.wait_row(0, "step 100/400")
            n = tmux.state()[0]
            tmux.type(back)
            after = tmux.wait(lambda s, n=n: s[0] > n and "step 0/400" in s[3][0], "step 0 again")
            check(after == before, f"{there} and {back} give another screen")


@case
def shell_screen_comes_back(folder):
    """q, and also ^Z and fg, give the terminal to the shell as it was."""
    with Tmux(folder) as tmux:
        open_replay(tmux, record_small(folder))
        tmux.type("7n")
        tmux.wait_row(0, "step 7/400")
        tmux.key("C-z")
        rows = tmux.wait_prompt()
        check("before" in rows and any("Stopped" in row for row in rows), rows)
        tmux.type("echo stopped\n")
        tmux.wait_shell("stopped")
        tmux.wait_prompt()
        tmux.type("fg\n")
        tmux.wait_row(0, "step 7/400")
        tmux.type("n")
        tmux.wait_row(0, "step 8/400")
        tmux.type("q")
        rows = tmux.wait_prompt()
        check(rows[0].endswith(" echo before") and rows[1] == "before", rows)
        tmux.type("echo code=$?\n")
        tmux.wait_shell("code=0")
        tmux.wait_prompt()
        tmux.type("stty -a | grep -o ' echo '\n")  # and the shell's modes
        tmux.wait(lambda s: any("echo" == row.strip() for row in s[3]), "echo")


@case
def resizes(folder):
    with Tmux(folder) as tmux:
        open_replay(tmux, record_small(folder))
        first = tmux.wait_row(0, "step 0/400")
        for width, height, y, text in ((160, 50, 2, "metric          now      prev   change"),
                                       (60, 20, 19, "n/N step"), (40, 10, 9, "n/N step"),
                                       (41, 9, 0, "tdbg needs 40x10, this is 41x9; q quits"),
                                       (20, 5, 0, "needs 40x10, q quits"), (200, 60, 59, "n/N step"),
                                       (80, 24, 23, "n/N step")):
            tmux.run("resize-window", "-x", str(width), "-y", str(height))
            tmux.wait_row(y, text)
        check(tmux.wait_row(0, "step 0/400") == first, "the same screen at the same size")
    terminal = Terminal("replay", f"{folder}/a.h5")
    terminal.wait_idle()
    for size in (*SIZES[1:], (300, 100), (2, 200), (200, 1), (80, 24)):
        terminal.resize(*size)
    check(b"step 0/400" in terminal.redraw(), "a whole screen after all sizes")
    check(terminal.end("q") == 0, "exit code")


@case
def unfit_terminals(folder):
    trace = record_small(folder)
    for term in ("dumb", "no-such-terminal", "", None):
        terminal = Terminal("replay", trace, TERM=term)
        terminal.check(terminal.end() == 2, "exit code")
        lines = terminal.output.decode().split("\r\n")
        terminal.check(lines[0].startswith("tdbg: error: ") and lines[1].startswith("hint: ") and
                       lines[2:] == [""], "one line and a hint")
        terminal.check(b"\033" not in terminal.output, "no escape sequence")


@case
def options(folder):
    trace = record_small(folder)
    for args, colour, utf8, mouse in ((("--mono",), False, True, True),
                                      (("--ascii",), True, False, True),
                                      (("--no-mouse",), True, True, False),
                                      (("--mono", "--ascii", "--no-mouse"), False, False, False)):
        terminal = Terminal("replay", trace, *args, NO_COLOR="")  # empty: not set
        terminal.wait_idle()
        for key in ("G", "\t", "\t", "?", "?", "/", "é", "\033"):
            terminal.press(key)
        terminal.check(terminal.end("q") == 0, "exit code")
        out = terminal.output
        terminal.check((COLOUR.search(out) is not None) == colour, f"colours: {not colour}")
        terminal.check(out.isascii() != utf8, f"bytes >= 0x80: {not utf8}")
        terminal.check((b"1000h" in out) == mouse, f"mouse: {not mouse}")


@case
def mouse(folder):
    terminal = Terminal("replay", record_small(folder))
    terminal.wait_idle()
    terminal.press("\033[<0;45;6M")  # a press on the chart, columns and rows from 1
    step = re.search(rb"step (\d+)/400", terminal.redraw())
    terminal.check(step and 190 <= int(step.group(1)) <= 215, f"step {step}")
    terminal.press("\033[<65;5;20M")  # wheel down: three sites on
    terminal.check(b"op 3/55" in terminal.redraw(), "three sites on")
    terminal.check(terminal.end("q") == 0, "exit code")


@case
def pastes(folder):
    """What is pasted is text for the line that is typed, and does nothing before Enter."""
    terminal = Terminal("replay", record_small(folder))
    terminal.wait_idle()
    for key in ("\033[200~:goto 5\nq\033[201~", "\x17", "\r"):
        terminal.press(key)  # ^W takes back the q that was pasted behind it
        terminal.check((b"step 5/400" in terminal.redraw()) == (key == "\r"), f"after {key!r}")
    for key in ("/", "\033[200~fc2\033[201~", ".bias\r"):
        terminal.press(key)
    terminal.check(b"op 7/55" in terminal.redraw(), "the tensor that was looked for")
    for key in ("\033[200~Q", "\033", "n"):  # its end was lost: Esc ends it
        terminal.press(key)
    terminal.check(b"step 6/400" in terminal.redraw(), "keys are keys again")
    terminal.check(terminal.end("Q") == 0, "exit code")


@case
def fatal_signals(folder):
    """The terminal is left in order, what was said is shown, and the signal's status stays."""
    trace = record_small(folder)
    for term in ("xterm-256color", "vt100"):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGSEGV,
                       signal.SIGABRT):
            terminal = Terminal("replay", trace, term=term)
            terminal.wait_idle()
            terminal.press("5")
            with open(f"/proc/{terminal.pid}/fd/2", "wb") as f:
                f.write(b"a last word\n")
            shown = len(terminal.output)
            os.kill(terminal.pid, number)
            terminal.check(terminal.end() == -number, f"ends by {number.name}")
            terminal.check_left(term)
            terminal.check(terminal.output.endswith(b"a last word\r\n"), "standard error")
            if term == "vt100":
                terminal.check(b"\033[J" in terminal.output[shown:], "the screen is cleared")


@case
def standard_error_is_kept(folder):
    terminal = Terminal("replay", record_small(folder))
    terminal.wait_idle()
    with open(f"/proc/{terminal.pid}/fd/2", "wb") as f:
        f.write(b"said while the screen was shown\n" * 100)
    terminal.check(b"said while" not in terminal.press("n"), "not over the screen")
    terminal.check(b"said while" not in terminal.redraw(), "not over the screen")
    terminal.check(terminal.end("q") == 0, "exit code")
    left = terminal.output.split(LEAVES["xterm-256color"])[-1]
    terminal.check(left.count(b"said while the screen was shown\r\n") == 100, "all of it, after")


@case
def hangup(folder):
    """Nothing is left running behind."""
    terminal = Terminal("replay", record_small(folder))
    terminal.wait_idle()
    process = os.pidfd_open(terminal.pid)
    os.close(terminal.master)
    check(select.select([process], [], [], DEADLINE_S)[0], "the program ends with its terminal")
    os.waitpid(terminal.leader, 0)


@case
def without_terminal(folder):
    """The summary, where input or output is no terminal."""
    trace = record_small(folder)
    summary = e2e.run("replay", trace)
    check("0..399 of 400" in summary.stdout and "loss  log" in summary.stdout, summary.stdout)
    check(summary.stderr == "" and summary.stdout.isascii(), summary.stderr)
    check("\033" not in summary.stdout, "no escape sequence")
    terminal = Terminal("replay", trace, stdin=subprocess.DEVNULL)
    check(terminal.end() == 0, "exit code")
    check(terminal.output.decode().replace("\r\n", "\n") == summary.stdout, "the same summary")
    for term in ("dumb", None):
        done = subprocess.run([e2e.TDBG, "replay", trace], env=environment("xterm", TERM=term),
                              capture_output=True, text=True)
        check(done.returncode == 0 and done.stdout == summary.stdout, f"TERM={term}")


@case
def bytes_per_key(folder):
    trace = record_small(folder)
    for size, limit in (((80, 24), 1024), ((40, 10), 1024), ((160, 50), 4096)):
        terminal = Terminal("replay", trace, size=size)
        terminal.wait_idle()
        most = {}
        for key in "n" * 40 + "N" * 20 + "s" * 20 + "S" * 10 + "gG" + "j" * 20:
            most[key] = max(most.get(key, 0), len(terminal.press(key)))
        print(f"{size[0]}x{size[1]}: most bytes per key: {most}")
        terminal.check(max(most[key] for key in "nN") <= limit, f"bytes per key: {most}")
        terminal.check(terminal.end("q") == 0, "exit code")


if __name__ == "__main__":
    e2e.main()
