#!/usr/bin/env python3
"""The tensor and the ops screen over recorded traces, in tmux, and the process that computes for
them.

    terminal_tensor.py CASE     runs one case (tests/meson.build lists them); --list prints all
"""
import base64
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal import COLOUR, Terminal, Tmux, case, check, e2e  # noqa: E402

e2e.CASES.clear()  # ours instead

CHECK_JOBS = os.path.join(e2e.BUILD, "tests", "check-jobs")
COPIED = re.compile(rb"\033\]52;c;([A-Za-z0-9+/=]*)\007")


def record(folder, name, *sets, steps=30):
    trace = f"{folder}/{name}.h5"
    args = [word for s in sets for word in ("--set", s)]
    e2e.record(e2e.small_config(folder, steps=steps), trace, *args)
    return trace


def check_jobs(what, trace):
    done = subprocess.run([CHECK_JOBS, what, trace], capture_output=True, text=True, timeout=250)
    check(done.returncode == 0, f"check-jobs {what} {trace}: {done.stdout}{done.stderr}")


def open_trace(tmux, trace, *options):
    tmux.wait_prompt()
    words = ["env", "TERM=tmux-256color", e2e.TDBG, "replay", trace, *options]
    tmux.type(shlex.join(words) + "; echo code=$?\n")
    tmux.wait_row(0, "step 0/")


def quit_trace(tmux):
    tmux.type("Q")
    tmux.wait_shell("code=0")


def show(trace, site, step, *args):
    return json.loads(e2e.run("show", trace, site, "--step", step, "--json", *args).stdout)


def replay_pid(tmux):
    """The program's process: the child of the shell that tmux runs."""
    shell = tmux.run("display-message", "-p", "#{pane_pid}").strip()
    return int(children(shell)[0])


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


def f32(text):
    """The bits of the float that a text is nearest to."""
    return struct.pack("<f", float(text))


@case
def jobs_answer_the_same(folder):
    """Values, statistics, expressions: by another process, by this one, and as recorded."""
    check_jobs("same", record(folder, "standard"))
    check_jobs("same", record(folder, "light", 'record.preset="light"'))
    for solo in ("true", "false"):  # alone, and only all ranks together
        trace = record(folder, "ranks" + solo, 'record.preset="light"', "engine.ranks_in_process=2",
                       f"record.solo_replay={solo}", steps=12)
        check_jobs("same", trace)
        check_jobs("same", trace.replace(".h5", ".rank1.h5"))


@case
def searches_find_what_every_step_says(folder):
    check_jobs("search", record(folder, "standard"))
    check_jobs("search", record(folder, "light", 'record.preset="light"'))


@case
def workers_die_and_are_cancelled(folder):
    trace = record(folder, "light", 'record.preset="light"', steps=400)
    check_jobs("robust", trace)
    check_jobs("orphan", trace)


@case
def a_tensor_that_is_not_stored(folder):
    trace = record(folder, "light", 'record.preset="light"', steps=400)
    value = show(trace, "fwd/fc1", 203, "--values")["values"]
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("203G/fwd/fc1\r")
        tmux.wait_row(22, "'fwd/fc1': 1 of 1")
        tmux.key("F4")
        rows = tmux.wait_row(22, "computed again by executing the step")
        check("fwd/fc1  f32 10x19  linear" in rows[2], rows[2])
        check("nan 0  inf 0" in rows[3], rows[3])
        tmux.type("vv@7,1\r")
        rows = tmux.wait_row(21, "[7, 1] = ")
        check(f32(rows[21].split("= ")[1]) == f32(value[7 * 19 + 1]), rows[21])
        cells = [f32(word) for row in rows[5:15] for word in row.split("]")[1].split()]
        check(cells == [f32(value[r * 19 + c]) for r in range(10) for c in range(4)], rows)
        worker = int(children(replay_pid(tmux))[0])  # it dies while nobody needs it
        os.kill(worker, signal.SIGKILL)
        tmux.type("n")
        rows = tmux.wait(lambda s: "step 204/400" in s[3][0] and "[7, 1] = " in s[3][21], "step 204")
        value = show(trace, "fwd/fc1", 204, "--values")["values"]
        check(f32(rows[21].split("= ")[1]) == f32(value[7 * 19 + 1]), rows[21])
        tmux.type("=")
        tmux.wait_row(3, "differ ")
        tmux.type("N=")
        tmux.wait(lambda s: "step 203/400" in s[3][0] and "[7, 1] = " in s[3][21], "step 203")
        quit_trace(tmux)


@case
def the_way_back_shows_the_same(folder):
    """Through steps and tensors, with values that are computed again."""
    trace = record(folder, "light", 'record.preset="light"')

    def go(tmux, keys, place):
        tmux.type(keys)
        rows = tmux.wait(lambda s: all(p in s[3][0] for p in place) and
                         any("] = " in row for row in s[3]), f"{place}")
        return rows[:22]
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("13G18s")
        tmux.wait_row(0, "op 18/55")
        tmux.key("F4")
        first = go(tmux, "", ("step 13/30", "op 18/55"))
        second = go(tmux, "7n", ("step 20/30", "op 18/55"))
        third = go(tmux, "6s", ("step 20/30", "op 24/55"))
        check(first[2:] != second[2:] != third[2:], "three places look the same")
        go(tmux, "60s", ("step 21/30", "op 29/55"))
        check(go(tmux, "60S", ("step 20/30", "op 24/55")) == third, "60s and 60S")
        check(go(tmux, "6S", ("step 20/30", "op 18/55")) == second, "6s and 6S")
        check(go(tmux, "7N", ("step 13/30", "op 18/55")) == first, "7n and 7N")
        quit_trace(tmux)


@case
def a_value_that_differs_is_not_shown(folder):
    trace = record(folder, "a")

    def change(f):
        column = e2e.site_row(f, "fwd/fc1")
        f["digest"][7, column] = int(f["digest"][7, column]) ^ 1
    e2e.edit(trace, change)
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("7G/fwd/fc1\r")
        tmux.wait_row(22, "'fwd/fc1': 1 of 1")
        tmux.key("F4")
        rows = tmux.wait_row(5, "fwd/fc1 of step 7 was recorded with digest ")
        check("executing the step again" in rows[5] + rows[6], rows)
        check(not any("[0, 0]" in row for row in rows), rows)
        tmux.type("n")
        tmux.wait(lambda s: "[0, 0] = " in s[3][21], "the values of step 8")
        quit_trace(tmux)


@case
def what_takes_long_is_said_and_cancelled(folder):
    """A worker that is stopped takes as long as the test likes, and is given up in the end."""
    trace = record(folder, "light", 'record.preset="light"')
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("/fwd/fc1\r")
        tmux.wait_row(22, "'fwd/fc1': 1 of 1")
        tmux.key("F4")
        tmux.wait(lambda s: "[0, 0] = " in s[3][21], "values")
        pid = replay_pid(tmux)
        worker = int(children(pid)[0])
        os.kill(worker, signal.SIGSTOP)
        tmux.type("7n")
        rows = tmux.wait_row(22, "computing fwd/fc1 at step 7 (^C cancels)")
        check("min " in rows[3] or "no statistics" in rows[3], rows[3])
        tmux.type("v")  # it answers keys
        tmux.wait_row(2, "view: HEAT MAP")
        tmux.type("n")  # what is asked for now waits for the end of the other
        tmux.wait_row(22, "computing fwd/fc1 at step 8 (^C cancels)")
        tmux.type("N")
        tmux.wait_row(0, "step 7/30")
        tmux.key("C-c")
        tmux.wait_row(22, "cancelled")
        tmux.key("Enter")
        tmux.wait(lambda s: "[0, 0] = " in s[3][21] and "step 7/30" in s[3][0], "values of step 7")
        check(children(pid) != [str(worker)], "another worker")
        quit_trace(tmux)


@case
def tensors_on_any_terminal(folder):
    """Bytes per key; without colours and above 0x7f where that is wanted."""
    trace = record(folder, "a")
    keys = ("/fwd/fc1\r", "\033OS", "n", "v", "+", "v", "=", "v", "v", "L", "N", " o", "n", "i", "o", "q")
    for size, limit in (((80, 24), 8 << 10), ((160, 50), 40 << 10), ((40, 10), 2 << 10)):
        terminal = Terminal("replay", trace, size=size)
        terminal.wait_idle()
        most = max((len(terminal.press(key)), key) for key in keys)
        print(f"{size[0]}x{size[1]}: most bytes for a key: {most}")
        terminal.check(most[0] <= limit, f"bytes per key: {most}")
        terminal.check(terminal.end("Q") == 0, "exit code")
    for term in ("vt100", "xterm-256color", "linux", "screen-256color"):
        terminal = Terminal("replay", trace, term=term, LC_ALL="C", NO_COLOR="1")
        terminal.wait_idle()
        for key in keys:
            terminal.press(key)
        terminal.check(terminal.output.isascii(), "bytes >= 0x80")
        terminal.check(not COLOUR.search(terminal.output), "colours")
        terminal.check(terminal.end("Q") == 0, "exit code")
        terminal.check_left(term)


@case
def heat_maps_in_colours(folder):
    """Bytes of a whole frame of noise, and of one with NaN and Inf in it; at most 24 shades, and the
    characters with and without them."""
    noise, broken = f"{folder}/noise.h5", f"{folder}/broken.h5"
    e2e.record(e2e.MLP, noise, "--steps", 3, "--set", "eval.every=0")
    e2e.record(e2e.DIVERGING, broken, "--steps", 16, "--set", "eval.every=0")
    shades = re.compile(rb"48;5;(\d+)")
    cells = {}
    for trace, keys in ((noise, "/grad/fc1.weight\r"), (broken, "14G/bwd/fc2\r")):
        for size, limit in (((160, 50), 40000), ((80, 24), 8 << 10)):
            terminal = Terminal("replay", trace, size=size)
            terminal.wait_idle()
            terminal.press(keys)
            terminal.press("\033")
            terminal.press(" t")
            sent = terminal.redraw()
            print(f"{keys[:-1]} {size[0]}x{size[1]}: {len(sent)} bytes")
            terminal.check(len(sent) <= limit, f"{len(sent)} bytes")
            levels = set(shades.findall(sent))
            terminal.check(len(levels) <= 24, f"{len(levels)} shades")
            terminal.check(trace == broken or len(levels) > 12, f"{len(levels)} shades")
            terminal.check(terminal.end("Q") == 0, "exit code")
    with Tmux(folder) as tmux:
        for options in ((), ("--mono",)):
            open_trace(tmux, noise, "--ascii", *options)
            tmux.type("/grad/fc1.weight\r")
            tmux.key("F4")
            cells[options] = tmux.wait(lambda s: "max |x|" in s[3][20], "heat map")[5:20]
            quit_trace(tmux)
            tmux.wait_prompt()
            tmux.type("clear\n")
    check(cells[()] == cells[("--mono",)], "other characters with colours than without")
    terminal = Terminal("replay", noise, term="xterm")  # of 8 colours
    terminal.wait_idle()
    terminal.press("/grad/fc1.weight\r")
    terminal.press(" t")
    terminal.check(not shades.search(terminal.output), "shades on 8 colours")
    terminal.check(terminal.end("Q") == 0, "exit code")


def first_broken(trace):
    """The first step with NaN or Inf and its first site in dataflow order, by what is recorded. The
    loss of the step stands before the reductions that it is made by."""
    import h5py
    with h5py.File(trace) as f:
        sites, stats = f["sites"][:], f["stats"]
        for step in range(len(f["steps"])):
            broken = (stats["nans"][step] + stats["infs"][step]) > 0
            names = [s["name"].decode() for s, b in zip(sites, broken) if b]
            names = [n for n in names if n != "loss"] or names
            if names:
                return step, names[0]
    return None


@case
def the_origin_of_nan(folder):
    trace = record(folder, "overflow", "optimizer.lr=1e25")
    step, name = first_broken(trace)
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("29G o")
        tmux.wait(lambda s: "step 29/30" in s[3][0] and "inputs of op" in s[3][14], "the ops screen")
        tmux.type("o")
        rows = tmux.wait_row(22, "inputs are finite, |max| ")
        check(re.match(rf" op \d+ \w+: inputs are finite, \|max\| \d\.\de[+-]\d\d, output has "
                       rf"-?(inf|nan)(, sample \d+)?$", rows[22]), rows[22])
        check(f"step {step}/30" in rows[0], f"{rows[0]} {step} {name}")
        focus = [row for row in rows if row.startswith(">!")]
        check(len(focus) == 1 and name in focus[0], f"{focus} {step} {name}")
        tmux.type("\r")  # and its values
        rows = tmux.wait(lambda s: s[3][3].startswith("!min "), "the tensor")
        check(name in rows[2], rows[2])
        tmux.type("q")
        tmux.wait(lambda s: "inputs of op" in s[3][14], "the ops screen again")
        quit_trace(tmux)


@case
def files_are_those_of_export(folder):
    trace = record(folder, "a")
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("7G/fwd/fc2\r")
        tmux.wait_row(22, "'fwd/fc2': 1 of 1")
        tmux.key("F4")
        tmux.wait_row(3, "min ")
        tmux.wait(lambda s: "[0, 0] = " in s[3][21], "values")
        for kind in ("npy", "csv", "json", "ppm"):
            tmux.type(f"e{folder}/tui.{kind}\r")
            tmux.wait_row(22, "wrote ")
        quit_trace(tmux)
    for kind in ("npy", "csv", "json"):
        e2e.run("export", trace, "fwd/fc2", "--step", 7, "--format", kind, "-o", f"{folder}/cli.{kind}")
        with open(f"{folder}/tui.{kind}", "rb") as ours, open(f"{folder}/cli.{kind}", "rb") as theirs:
            a, b = ours.read(), theirs.read()
        if kind == "json":
            a, b = json.loads(a), json.loads(b)
            check(a.pop("stats") == show(trace, "fwd/fc2", 7, "--stats")["stats"], "statistics")
        check(a == b, f"{kind} differs")
    with open(f"{folder}/tui.ppm", "rb") as f:
        check(f.read().startswith(b"P6\n125 250\n255\n"), "ppm")


@case
def a_place_is_copied(folder):
    trace = record(folder, "a run")
    for term, asks in (("xterm-256color", True), ("vt100", False)):
        terminal = Terminal("replay", trace, term=term)
        terminal.wait_idle()
        terminal.press("7G")
        out = terminal.press("y")
        found = COPIED.search(out)
        terminal.check((found is not None) == asks, "OSC 52")
        if asks:
            text = base64.b64decode(found.group(1)).decode()
            terminal.check(shlex.split(text) == ["tdbg", "show", trace, "samples/id", "--step", "7"],
                           text)
            e2e.run(*shlex.split(text)[1:])
        terminal.check(terminal.end("Q") == 0, "exit code")


BIG = """
seed = 3; steps = 2;
data = { kind = "idx";
  train = { images = "train-x.gz"; labels = "train-y.gz"; };
  test = { images = "test-x.gz"; labels = "test-y.gz"; };
  batch = 4; };
model = ( { op = "flatten"; }, { op = "linear"; name = "fc1"; out = 1000; },
          { op = "linear"; name = "fc2"; out = 10000; }, { op = "linear"; name = "fc3"; out = 5; } );
optimizer = { kind = "sgd"; lr = 0.01; };
record = { preset = "light"; keyframe = 2; };
"""


def status(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(rf"^{key}:\s+(\d+)", f.read(), re.MULTILINE).group(1))


def count(row):
    """Elements of a bin by the text at the end of its bar, and its unit: 4608, 340k, 2M."""
    found = re.search(r"│[^│]* (\d+)([kM]?)│", row)
    unit = {"": 1, "k": 1000, "M": 1000000}[found.group(2)] if found else 0
    return (int(found.group(1)) * unit if found else 0, unit)


@case
def the_terminal_stays_small(folder):
    """Ten million elements are looked at through a mapping, some at a time; and nothing wakes up
    while nothing happens."""
    e2e.small_config(folder)
    with open(f"{folder}/big.cfg", "w") as f:
        f.write(BIG)
    trace = f"{folder}/big.h5"
    e2e.record(f"{folder}/big.cfg", trace)
    with Tmux(folder) as tmux:
        open_trace(tmux, trace)
        tmux.type("n/param/fc2.weight\r")
        tmux.wait_row(22, "'param/fc2.weight': 1 of 1")
        tmux.key("F4")
        rows = tmux.wait(lambda s: "[0, 0] = " in s[3][21], "values")
        check("f32 10000x1000" in rows[2], rows[2])
        counts = [count(row) for row in rows[5:22]]  # cut off to whole k and M
        check(sum(n for n, _ in counts) <= 10000000 <= sum(n + unit for n, unit in counts), counts)
        tmux.type("=")
        tmux.wait(lambda s: "differ " in s[3][3] and " -> " in s[3][21], "the difference")
        pid = replay_pid(tmux)
        kib = status(pid, "VmHWM")
        if e2e.sanitizers() == "none":  # which have memory of their own
            check(kib <= 64 << 10, f"{kib} KiB")
        sleeps = False
        for _ in range(5):  # it may have been about to fall asleep
            switches = status(pid, "voluntary_ctxt_switches")
            show(trace, "param/fc2.weight", 1, "--stats")  # meanwhile
            sleeps = sleeps or status(pid, "voluntary_ctxt_switches") == switches
        check(sleeps, "it wakes up while nothing happens")
        quit_trace(tmux)


if __name__ == "__main__":
    e2e.main()
