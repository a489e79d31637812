#!/usr/bin/env python3
"""Every screen on every kind of terminal: what is written to it, what it shows, and how it is left.

    terminal_matrix.py pairs      every pair of TERM, size, locale, colours and way to end
    terminal_matrix.py all_of_it  all of TERM x size x locale x colours (suite long)
    terminal_matrix.py mono       nothing is said by colour alone
    terminal_matrix.py unfit      terminals that cannot show anything

Each run sees every screen. Where python has pyte, it is the terminal, and says what is shown.
"""
import itertools
import os
import re
import shlex
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal import COLOUR, LEAVES, SIZES, Terminal, Tmux, case, check, e2e  # noqa: E402

try:
    import pyte
except ImportError:
    pyte = None

e2e.CASES.clear()  # ours instead

TERMS = tuple(LEAVES)
LOCALES = ("C.UTF-8", "C")
COLOURS = ("", "1")  # NO_COLOR
ENDS = ("q", "Q", signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT)
FITS = (40, 10)  # below it one line says so

# The keys that lead to a screen, and a word that is on it from 80x24 on.
SCREENS = (
    ("main", " m", "metric"), ("main, sites", "\t", "shape"), ("ops", " o", "phase"),
    ("ops, origin", "o", "phase"), ("tensor", " t", "HISTOGRAM"), ("tensor, heat", "v", "HEAT"),
    ("tensor, elements", "v", "ELEMENTS"), ("tensor, history", "v", "HISTORY"),
    ("tensor, change", "v=", "differ"), ("optimizer", "= p", "|param|"), ("ranks", " r", "all-reduce"),
    ("input", " i", "label"), ("input, one", "\r", "label"), ("input, transformed", "v", "input/x"),
    ("findings", " f", "non-finite"), ("diff", " d", "aligned"), ("diff, elements", "\r", "aligned"),
    ("diff, config", "v", "optimizer.lr"), ("answer", "v:bisect\r", "bisect"),
    ("output", "q:when\r", "place"), ("breakpoints", "q:b nan\rB", "nan"), ("help", "q?", "keys"),
    ("prompt", "q:b lo\t", "b"),
)


def record(folder):
    """A run of two ranks whose loss becomes NaN, and one whose does not."""
    config = e2e.small_config(folder, steps=30)
    for name, rate in (("a", "1e25"), ("b", "0.05")):
        e2e.record(config, f"{folder}/{name}.h5", "--set", f"optimizer.lr={rate}", "--set",
                   "engine.ranks_in_process=2")
    return f"{folder}/a.h5", f"{folder}/b.h5"


def picture(data, size):
    """The rows that a terminal shows, and the cells that have a colour; None without pyte."""
    if not pyte:
        return None
    screen = pyte.Screen(*size)
    pyte.ByteStream(screen).feed(data)
    return screen


def walk(traces, term, size, locale, no_color, end):
    """One run through all screens, each drawn as a whole at this size."""
    t = Terminal("diff", "--tui", *traces, term=term, size=(80, 24), LC_ALL=locale, NO_COLOR=no_color)
    t.wait_idle()
    fits = size[0] >= FITS[0] and size[1] >= FITS[1]
    has_room = size[0] >= 80 and size[1] >= 24
    t.press(":")
    t.press("29\r")
    for name, keys, word in SCREENS:
        for key in keys:
            t.press(key)
        if size != (80, 24):  # nothing is told of the same size
            t.resize(*size)
        drawn = t.redraw()
        shown = picture(drawn, size)
        text = "\n".join(shown.display) if shown else drawn.decode("utf-8")
        t.check(not fits or "step" in text, f"{name}: no position in {text!r}")
        t.check(not has_room or word in text, f"{name}: no '{word}' in {text!r}")
        t.check(fits or size[0] < 20 or "q quits" in text, f"{name}: {text!r}")
        if size != (80, 24):
            t.resize(80, 24)
    t.press("\033")
    if isinstance(end, str):
        t.check(t.end(end if end == "Q" else "q" * 9) == 0, "exit code")
    else:
        os.kill(t.pid, end)
        t.check(t.end() == -end, f"ends by {end.name}")
    t.check_left(term)
    colour = COLOUR.search(t.output) is not None
    t.check(colour == (not no_color and term != "vt100"), f"colours: {colour}")
    utf8 = not t.output.isascii()
    t.check(utf8 == (locale != "C"), f"bytes >= 0x80: {utf8}")


def all_pairs(*factors):
    """Rows in which each pair of values of two factors is there: the one that adds most, again and
    again."""
    index = range(len(factors))
    left = {(i, a, j, b) for i, j in itertools.combinations(index, 2)
            for a in factors[i] for b in factors[j]}
    while left:
        def n_new(row):
            return sum((i, row[i], j, row[j]) in left for i, j in itertools.combinations(index, 2))
        best = max(itertools.product(*factors), key=n_new)
        left -= {(i, best[i], j, best[j]) for i, j in itertools.combinations(index, 2)}
        yield best


@case
def pairs(folder):
    traces = record(folder)
    n = 0
    for row in all_pairs(TERMS, SIZES, LOCALES, COLOURS, ENDS):
        walk(traces, *row)
        n += 1
    print(f"{n} runs of {len(SCREENS)} screens each{'' if pyte else '; no pyte'}")


@case
def all_of_it(folder):
    traces = record(folder)
    ends = itertools.cycle(ENDS)
    for row in itertools.product(TERMS, SIZES, LOCALES, COLOURS):
        walk(traces, *row, next(ends))


PICTURES = ("input", "input, one", "input, transformed")  # characters instead of colours
BAD = ("!", "nan", "NaN", "inf")
SIGNS = {"red": BAD, "yellow": (*BAD, "~")}
DURATION = re.compile(r"\d+(\.\d+)? (ns|us|ms|s)\b.*")


COLOUR_NAMES = {31: "red", 33: "yellow"}
SGR = re.compile(r"\033\[([\d;:]*)m|(\033.)|([^\033]+)")


def cells_of(row):
    """(character, colour) of a row that tmux captured with its escape sequences."""
    colour, cells = None, []
    for sgr, _, text in SGR.findall(row):
        for number in [int(n or 0) for n in sgr.split(";")] if sgr or not text else []:
            colour = COLOUR_NAMES.get(number, None if number in (0, 39) or 30 <= number < 39 else colour)
        cells += [(c, colour) for c in text]
    return cells


def signs_are_there(name, rows):
    """Wherever there is a colour that warns there is a sign as well: in the row, or each cell is one
    (I and N in a heat map). Returns how many rows have such a colour."""
    n = 0
    for row in rows:
        cells = cells_of(row)
        text = "".join(c for c, _ in cells)
        for colour in {colour for _, colour in cells if colour}:
            cells_in_it = {c for c, of in cells if of == colour} - {" "}
            check(cells_in_it <= {"I", "N"} or any(sign in text for sign in SIGNS[colour]),
                  f"{name}: {colour} without a sign: {text}")
            n += 1
    return n


def see_all(folder, traces, size, *options):
    """Every screen with its escape sequences, by name, in tmux."""
    seen = {}
    with Tmux(folder, *size) as tmux:
        tmux.wait_prompt()
        words = ["env", "TERM=tmux-256color", e2e.TDBG, "diff", "--tui", *options, *traces]
        tmux.type(shlex.join(words) + "\n")
        tmux.wait(lambda s: s[1] and s[0] > 0, "the first screen")
        tmux.keys(":29<Enter>")
        for name, keys, _ in SCREENS:
            for key in keys:
                before = tmux.state()[0]
                tmux.key({"\r": "Enter", "\t": "Tab", " ": "Space"}.get(key, key))
                tmux.wait(lambda s, n=before: s[0] > n, f"end of {key!r} on the way to {name}")
            seen[name] = tmux.run("capture-pane", "-p", "-e").split("\n")
    return seen


@case
def mono(folder):
    """The same text with and without colours, and a sign wherever there is a colour that warns."""
    traces = record(folder)
    n = 0
    for size in ((80, 24), (160, 50), (40, 10)):
        coloured, plain = see_all(folder, traces, size), see_all(folder, traces, size, "--mono")
        for name in coloured:
            n += signs_are_there(name, coloured[name])
            texts = [[DURATION.sub("TIME", "".join(c for c, _ in cells_of(row))) for row in rows]
                     for rows in (coloured[name], plain[name])]
            differ = [f"{a}\n{b}" for a, b in zip(*texts) if a != b]
            check(name in PICTURES or not differ,
                  f"{name} at {size}: other text without colours:\n" + "\n".join(differ))
            check(not any(colour for row in plain[name] for _, colour in cells_of(row)), f"{name}: colours")
    print(f"{n} rows with a colour that warns")
    check(n > 60, f"{n} rows with a colour that warns: not much is tested")


@case
def unfit(folder):
    traces = record(folder)
    for term in ("dumb", "no-such-terminal", "", None):
        terminal = Terminal("diff", "--tui", *traces, TERM=term)
        terminal.check(terminal.end() == 2, "exit code")
        terminal.check(b"\033" not in terminal.output and b"tdbg: error: " in terminal.output,
                       "one line and no escape sequence")


if __name__ == "__main__":
    e2e.main()
