#!/usr/bin/env python3
"""Samples of text and padded tokens on the input screen, over recorded traces: in tmux, and in
pseudo-terminals of other locales and kinds.

    terminal_tokens.py CASE     runs one case (tests/meson.build lists them); --list prints all
"""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal import COLOUR  # noqa: E402
from terminal_tensor import Terminal, Tmux, case, check, e2e, open_trace, quit_trace  # noqa: E402

e2e.CASES.clear()  # ours instead

TEXT = 'The cafe\u0301 is "\u4e2d\u6587".\nna\u00efve \U0001f600 end\t\x1b[7m zero\u200bwidth\n'
BYTES = "caf\u00e9 \u4e2d\n".encode() + b"cut \xe4\xb8 \xff off\0\n"
CONFIG = """
seed = 1; steps = 2;
data = {{ {data} batch = 2; shuffle = false; }};
model = ( {{ op = "embedding"; name = "e"; dim = 8; }}, {model}
          {{ op = "linear"; name = "head"; out = {out}; }} );
loss = {{ kind = "cross_entropy"; {loss} }};
optimizer = {{ kind = "sgd"; lr = 0.1; }};
"""
ATTENTION = '{ op = "attention"; name = "a"; heads = 2; causal = %s; },'


def record(folder, name, **parts):
    with open(f"{folder}/{name}.cfg", "w", encoding="utf-8") as f:
        f.write(CONFIG.format(**{"model": "", "loss": "", **parts}))
    e2e.record(f"{folder}/{name}.cfg", f"{folder}/{name}.h5")
    return f"{folder}/{name}.h5"


def text_trace(folder, kind, text):
    """Of samples of 40 tokens: the text over and over."""
    with open(f"{folder}/{kind}.txt", "wb") as f:
        f.write(text * 8)
    n = 256 if kind == "byte" else len(set(text.decode()))
    return record(folder, kind, out=n, model=ATTENTION % "true",
                  data=f'kind = "text"; train = {{ text = "{kind}.txt"; }}; '
                       f'tokens = {{ kind = "{kind}"; context = 40; }};')


def padded_trace(folder):
    import numpy as np
    x = np.arange(1, 49).reshape(4, 12) % 9 + 1
    x[np.arange(12) >= np.array([12, 5, 1, 0])[:, None]] = 0
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/y.npy", np.roll(x, -1, 1) * (np.arange(12) < 11))
    return record(folder, "padded", out=10, model=ATTENTION % "false", loss="ignore_index = 0;",
                  data='kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; tokens = { pad = 0; };')


def rows_of(rows, first, n):
    return [row.rstrip() for row in rows[first:first + n]]


@case
def characters_of_any_alphabet(folder):
    """What is in the file is on the screen: wide, combining, and as signs what cannot be shown."""
    trace = text_trace(folder, "char", TEXT.encode())
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.key("F6")
        tmux.wait_row(3, "length 40 of 40  targets that count 40")
        tmux.key("Enter")
        rows = tmux.wait_row(2, "shown 0..0  text  causal attention")
        check(rows_of(rows, 4, 3) == ['  The cafe\u0301 is "\u4e2d\u6587".\u21b5',
                                      "  na\u00efve \U0001f600 end\\t\\x1b[7m zero", ""], rows[4:7])
        tmux.type("14l")
        rows = tmux.wait_row(20, "token 14 of 40")
        check("'\u4e2d'" in rows[20] and "'\u6587'" in rows[20] and "attends to 0..14" in
              " ".join(rows[20:22]), rows[20:22])
        tmux.type("6h")
        rows = tmux.wait_row(20, "token 8 of 40")
        check("'\\u0301'  2 of 2 of a character" in rows[20], rows[20])
        tmux.type("]")
        rows = tmux.wait_row(3, ">1  id 1")
        check(rows[4].startswith("  \\u200bwidth\u21b5"), rows[4])
        tmux.type("v")
        tmux.wait_row(2, "tokens and targets")
        tmux.type("v")
        tmux.wait_row(2, "numbers and targets")
        tmux.type("v")
        check(tmux.wait_row(2, "  text  ")[4] == rows[4], "the first view again")
        quit_trace(tmux)
    check("vocabulary" in e2e.run("info", trace).stdout, "info")


@case
def text_on_any_terminal(folder):
    """In the C locale no byte above 0x7f, without colours none, and what is seen is the same."""
    trace = text_trace(folder, "char", TEXT.encode())
    raw = text_trace(folder, "byte", BYTES)
    for env, size in (({"LC_ALL": "C"}, (80, 24)), ({"LC_ALL": "C", "NO_COLOR": "1"}, (160, 50)),
                      ({"LC_ALL": "C", "term": "vt100"}, (80, 24)), ({"NO_COLOR": "1"}, (80, 24)),
                      ({"LC_ALL": "C"}, (40, 10))):
        for path, signs in ((trace, (b"\\u4e2d\\u6587", b"e\\u0301")),
                            (raw, (b"\\xe4\\xb8", b"\\xff"))):
            terminal = Terminal("replay", path, size=size, **env)
            terminal.wait_idle()
            for key in (" ", "i", "\r", "7l", "j", "v", "v", "v", "q"):
                terminal.press(key)
            seen = terminal.press(" i") + terminal.redraw()
            seen = re.sub(rb"\033\[[0-9;?]*[A-Za-z]|\033\([AB0]|\016|\017", b"", seen)
            if "LC_ALL" in env and size[0] >= 80:
                for sign in signs:
                    terminal.check(sign in seen, f"{sign}: {seen[-2500:]}")
            terminal.check(terminal.output.isascii() == ("LC_ALL" in env), "bytes above 0x7f")
            if "NO_COLOR" in env or env.get("term") == "vt100":
                terminal.check(not COLOUR.search(terminal.output), "colours")
            terminal.check(terminal.end("Q") == 0, "exit code")


@case
def padding_and_masks(folder):
    """Where a sample ends, which targets do not count, and what attention sees."""
    trace = padded_trace(folder)
    with Tmux(folder) as tmux:
        open_trace(tmux, trace, "--ascii", "--mono")
        tmux.key("F6")
        rows = tmux.wait_row(3, "length 12 of 12")
        check("numbers  attention without padding" in rows[2], rows[2])
        check(rows[6].startswith(" 1  id 1  length 5 of 12  targets that count 4"), rows[6])
        numbers, marks = rows[7], rows[8]
        check(re.fullmatch(r"  \d \d \d \d \d\|\.{7} *", numbers), numbers)
        check(marks.rstrip() == "          - -------", marks)
        tmux.type("j6l")
        rows = tmux.wait_row(20, "token 6 of 12  id 0  padding  target 0  does not count in the loss")
        check("attends to 0..4" in rows[21], rows[21])
        quit_trace(tmux)


if __name__ == "__main__":
    e2e.main()
