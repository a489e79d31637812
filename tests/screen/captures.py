#!/usr/bin/env python3
"""The screens in the documents are what their keys lead to, and the sessions what the scripts in
examples/sessions show.

    captures.py [screens|sessions]         compares; environment as for tests/example/e2e.py
    captures.py --write SOURCE BUILD       writes the documents anew: meson compile -C build captures

A document says what a block of it shows:

    <!-- capture: mlp.h5 | 100n<F4> -->            the screen after these keys, 80x24 and ASCII
    <!-- capture 160x50: a.h5,b.h5 | C -->         of another size; of two traces: tdbg diff --tui
    <!-- capture utf8: mlp.h5 | 100n -->           with the characters of UTF-8
    <!-- session: find_cause --> ... <!-- end of session -->

How long a step took is another number each time, and left out of the comparison.
"""
import difflib
import os
import re
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
if sys.argv[1:2] == ["--write"]:
    os.environ.update({"TDBG_SOURCE": sys.argv[2], "TDBG_BUILD": sys.argv[3], "TDBG_UPDATE_GOLDEN": "1",
                       "HDF5_PLUGIN_PATH": os.path.join(sys.argv[3], "trace")})
    del sys.argv[1:]
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal import Tmux, case, check, e2e  # noqa: E402
from terminal_screens import record_ranks  # noqa: E402

e2e.CASES.clear()  # ours instead

DOCUMENTS = ("README.md", "docs/tui.md", "docs/tui-screens.md", "docs/tui-wide.md")
SESSIONS = {"find_cause": "docs/tui.md", "bisect_two": "docs/tui-screens.md"}
CAPTURE = re.compile(r"(<!-- capture(?: (\d+)x(\d+))?( utf8)?: (\S+) \| (.*?) -->\n```text\n)(.*?)(```\n)",
                     re.DOTALL)
COPIES = {"a": "mlp", "bad": "diverging"}  # what the README calls them
SESSION = re.compile(r"(<!-- session: (\w+) -->\n).*?(<!-- end of session -->\n)", re.DOTALL)

# What is another number each time: times, rates, sizes of files that hold such numbers.
MASKS = [(re.compile(pattern, re.MULTILINE), text) for pattern, text in (
    (r" step time .*?(?=\s{2,}\S+ +[\d-]+ +[\d-]+ *=?$|[|│]|$)", " step time"),
    (r" *\d+(\.\d+)? (ns|us|ms|s)\b", " TIME"),
    (r"(^[> ][! ] +\d+ +\d\.\d\de[+-]\d\d .*?) +\d+( TIME)?$", r"\1 WAIT"),
)]


def masked(text):
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def record(folder, name):
    """The recordings that the documents name."""
    if name == "ranks":
        record_ranks(folder, "ranks", True)
    elif name == "gpt":
        e2e.record(os.path.join(e2e.SOURCE, "examples", "text_gpt.cfg"), f"{folder}/gpt.h5", "--steps", 4, "--set",
                   "data.batch=8")
    elif name == "warmup":
        e2e.record(e2e.MLP, f"{folder}/warmup.h5", "--set", 'schedule={kind="constant";warmup=20;}')
    elif name in COPIES:
        if not os.path.exists(f"{folder}/{COPIES[name]}.h5"):
            record(folder, COPIES[name])
        os.symlink(f"{folder}/{COPIES[name]}.h5", f"{folder}/{name}.h5")
    else:
        e2e.record({"mlp": e2e.MLP, "diverging": e2e.DIVERGING}[name], f"{folder}/{name}.h5")


def capture(folder, width, height, is_utf8, traces, keys):
    names = traces.split(",")
    for name in names:
        if not os.path.exists(f"{folder}/{name}"):
            record(folder, name.split(".")[0])
    command = ["replay"] if len(names) == 1 else ["diff", "--tui"]
    options = [] if is_utf8 else ["--ascii"]
    with Tmux(folder, width, height) as tmux:
        tmux.wait_prompt()
        tmux.type(shlex.join(["env", "TERM=tmux-256color", e2e.TDBG, *command, *options, *names]) + "\n")
        tmux.wait(lambda s: s[1] and s[0] > 0, f"first screen of {traces}")
        tmux.keys(keys)
        rows = tmux.state()[3][:height]
        tmux.type("Q")
        tmux.wait_prompt()
    return "".join(row.rstrip() + "\n" for row in rows)


def compare_or_write(name, before, after):
    path = os.path.join(e2e.SOURCE, name)
    if masked(before) == masked(after):
        return
    if os.environ.get("TDBG_UPDATE_GOLDEN"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(after)
        return
    lines = [masked(text).split("\n") for text in (before, after)]
    sys.exit(f"failed: {name} is not what is shown (meson compile -C build captures writes it):\n" +
             "\n".join(difflib.unified_diff(*lines, lineterm="")))


def read(name):
    with open(os.path.join(e2e.SOURCE, name), encoding="utf-8") as f:
        return f.read()


@case
def screens(folder):
    n = 0
    for name in DOCUMENTS:
        def now(found):
            head, width, height, utf8, traces, keys, _, tail = found.groups()
            return head + capture(folder, int(width or 80), int(height or 24), utf8, traces, keys) + tail
        text = read(name)
        n += len(CAPTURE.findall(text))
        check(text.count("<!-- capture") == len(CAPTURE.findall(text)), f"a block of {name} is not read")
        compare_or_write(name, text, CAPTURE.sub(now, text))
    check(n >= 30, f"{n} captures")


@case
def sessions(folder):
    for session, name in SESSIONS.items():
        script = os.path.join(e2e.SOURCE, "examples", "sessions", f"{session}.py")
        done = subprocess.run([sys.executable, script, "--tdbg", e2e.TDBG, "--transcript", f"{folder}/s.md"],
                              capture_output=True, text=True)
        check(done.returncode == 0, f"{session}: {done.stdout}{done.stderr}")
        with open(f"{folder}/s.md", encoding="utf-8") as f:
            transcript = f.read()
        text = read(name)
        check(session in [found[1] for found in SESSION.findall(text)], f"{name} has no {session}")
        compare_or_write(name, text, SESSION.sub(
            lambda found: found.group(1) + transcript + found.group(3)
            if found.group(2) == session else found.group(0), text))


if __name__ == "__main__":
    e2e.main()
