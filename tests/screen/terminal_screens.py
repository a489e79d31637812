#!/usr/bin/env python3
"""The screens ranks, input, optimizer, findings and diff, and all of main, over recorded traces, in
tmux.

    terminal_screens.py CASE     runs one case (tests/meson.build lists them); --list prints all
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal_tensor import Terminal, Tmux, case, check, e2e, open_trace, quit_trace  # noqa: E402

e2e.CASES.clear()  # ours instead

DDP = os.path.join(e2e.SOURCE, "examples", "fashion_ddp.cfg")
SPLIT = 21  # the step at which rank 2 gets another sum
FAULT = (f'\ninject = ( {{ step = {SPLIT}; rank = 2; site = "reduce_out/fc1.weight"; '
         'kind = "bitflip"; element = 17; bit = 3; } );\n')


def has_mpi():
    return shutil.which("mpirun") and "mpi" in e2e.run("--version").stdout.lower().split()


def record_ranks(folder, name, fault, steps=40):
    """A run of 4 ranks: processes of mpirun where that is there, else threads, with the same bits.
    """
    config = f"{folder}/{name}.cfg"
    with open(DDP) as f:
        text = f.read()
    with open(config, "w") as f:
        f.write(text + (FAULT if fault else ""))
    trace = f"{folder}/{name}.h5"
    words = ["record", config, "-o", trace, "-q", "--steps", str(steps), "--set", "data.batch=64"]
    if has_mpi():
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "4", e2e.TDBG, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        check(done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}")
    else:
        e2e.run(*words, "--set", "engine.ranks_in_process=4")
    return trace


def rows_with(rows, text):
    return [row for row in rows if text in row]


@case
def ranks_that_part(folder):
    """C finds the step and the rank that were broken on purpose; who is odd is said in words."""
    trace = record_ranks(folder, "parted", True)
    with Tmux(folder) as tmux:
        open_trace(tmux, trace, "--ascii", "--mono")
        tmux.key("F5")
        tmux.wait_row(2, "all-reduce of")
        tmux.wait(lambda s: len(rows_with(s[3], " yes ")) == 4, "four sums that are right")
        tmux.type("C")
        tmux.wait_row(0, f"step {SPLIT}/40")
        tmux.wait_row(22, f"rank 2 differs from step {SPLIT} on, first in reduce_out/fc1.weight")
        rows = tmux.wait(lambda s: len(rows_with(s[3], " NO ")) == 1, "the sum that is wrong")
        odd = rows_with(rows, " NO ")[0]
        check(odd.startswith(" !   2 ") and odd.count("!=") == 2, odd)
        check(len(rows_with(rows, " yes ")) == 3, rows)
        # the file that it says it looks at, and what is in it
        tmux.type("2r")
        rows = tmux.wait_row(0, "parted.rank2.h5")
        check(rows_with(rows, ">!   2 "), rows)
        tmux.type("\r")
        tmux.wait(lambda s: rows_with(s[3], "was recorded with digest"), "why there are no elements")
        tmux.type("N")
        tmux.wait(lambda s: rows_with(s[3], "the 4 ranks with a file agree here"), "ranks that agree")
        tmux.type("n/param/fc1.weight\r")
        tmux.wait(lambda s: rows_with(s[3], "1 of 4 ranks differ"), "the parameter differs as well")
        quit_trace(tmux)


@case
def ranks_that_agree(folder):
    trace = record_ranks(folder, "sound", False)
    with Tmux(folder, 160, 50) as tmux:
        open_trace(tmux, trace, "--ascii")
        tmux.wait(lambda s: rows_with(s[3], ">0 ok  1 ok  2 ok  3 ok"), "the strip of ranks")
        tmux.wait(lambda s: rows_with(s[3], "allreduce  same"), "the row of metrics")
        tmux.key("F5")
        tmux.type("C")
        tmux.wait_row(48, "the ranks agree in all that every one recorded")
        quit_trace(tmux)
    os.unlink(f"{folder}/sound.rank1.h5")
    with Tmux(folder) as tmux:
        open_trace(tmux, trace, "--ascii")
        tmux.type("r")
        tmux.wait_row(22, "rank 1 is left out")
        tmux.wait_row(0, "rank 2/4")
        tmux.key("F5")
        tmux.wait(lambda s: rows_with(s[3], "sum not checked"), "a sum that cannot be checked")
        quit_trace(tmux)


@case
def images_are_those_of_the_data_set(folder):
    """The ramp of an image that is shown 1:1, character by character, and the labels."""
    import gzip
    trace = f"{folder}/a.h5"
    e2e.record(e2e.MLP, trace, "--steps", 4, "--set", "eval.every=0")
    with gzip.open("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz") as f:
        images = f.read()[16:]
    with gzip.open("/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz") as f:
        labels = f.read()[8:]
    ramp = " .:-=+*#%@"
    with Tmux(folder) as tmux:
        open_trace(tmux, trace, "--ascii", "--mono")
        tmux.key("F6")
        rows = tmux.wait(lambda s: rows_with(s[3], " label "), "labels")
        ids = [int(n) for n in re.findall(r"id (\d+)", rows_with(rows, " id ")[0])]
        check(len(ids) == 2, rows)
        said = [int(n) for n in re.findall(r"label (\d+)", rows_with(rows, " label ")[0])]
        check(said == [labels[i] for i in ids], (said, ids))
        for place, i in enumerate(ids):
            pixels = images[784 * i:784 * (i + 1)]
            for y in range(14):
                pair = [(pixels[56 * y + x] + pixels[56 * y + 28 + x]) / 510 for x in range(28)]
                want = "".join(ramp[int(v * 9 + 0.5)] for v in pair)
                left = 1 + 29 * place
                got = rows[3 + y].ljust(80)[left:left + 28]
                check(got == want, f"image {i}, row {y}: '{got}' is not '{want}'")
        tmux.type("v")
        tmux.wait_row(2, "input/x, after the transforms")
        tmux.wait(lambda s: not rows_with(s[3], "not there"), "transformed images")
        quit_trace(tmux)
    terminal = Terminal("replay", trace)
    terminal.wait_idle()
    sent = terminal.press("\033[17~")
    terminal.check("▀".encode() in sent and b"38;5;2" in sent, "grey half blocks")
    levels = set(re.findall(rb"38;5;(\d+)", sent))
    terminal.check(len(levels) <= 24, f"{len(levels)} levels")
    terminal.check(len(sent) <= 40000, f"{len(sent)} bytes")
    terminal.check(terminal.end("Q") == 0, "exit code")


@case
def tokens_are_those_of_the_text(folder):
    words = "the quick brown fox jumps over the lazy dog\n" * 40
    with open(f"{folder}/text.txt", "w") as f:
        f.write(words)
    with open(f"{folder}/text.cfg", "w") as f:
        f.write('seed = 1; steps = 3;\ndata = { kind = "text"; train = { text = "text.txt"; };\n'
                '  tokens = { kind = "byte"; context = 20; }; batch = 4; };\n'
                'model = ( { op = "embedding"; name = "tok"; dim = 8; },\n'
                '  { op = "linear"; name = "head"; out = 256; bias = false; } );\n'
                'loss = { kind = "cross_entropy"; };\noptimizer = { kind = "sgd"; lr = 0.1; };\n')
    trace = f"{folder}/a.h5"
    e2e.record(f"{folder}/text.cfg", trace)
    with Tmux(folder) as tmux:
        open_trace(tmux, trace, "--ascii")
        tmux.key("F6")
        tmux.type("v")
        rows = tmux.wait(lambda s: rows_with(s[3], "length 20 of 20") and
                         "tokens and targets" in s[3][2], "samples")
        n_seen = 0
        for y, row in enumerate(rows):
            found = re.match(r"[> ]\d+  id (\d+)  length", row)
            if not found:
                continue
            at = 20 * int(found.group(1))
            for k, name in ((0, "  x      "), (1, "  target ")):
                shown = rows[y + 1 + k].ljust(80)[9:]
                want = words[at + k:at + k + 20].replace("\n", "\\n")
                check(rows[y + 1 + k].startswith(name) and
                      shown.replace(" ", "") == want.replace(" ", ""), f"'{shown}' is not '{want}'")
                n_seen += 1
        check(n_seen == 8, f"{n_seen} rows of tokens and targets")
        quit_trace(tmux)


@case
def findings_of_a_diverging_run(folder):
    """What the screen says is what the rows say."""
    trace = f"{folder}/a.h5"
    e2e.record(e2e.DIVERGING, trace)
    step = json.loads(e2e.run("bisect", trace, "--when", "nan(loss) or inf(loss)", "--json").stdout)
    first = step["step"] if "step" in step else step["first"]["step"]
    with Tmux(folder) as tmux:
        open_trace(tmux, trace, "--ascii", "--mono")
        tmux.key("F8")
        rows = tmux.wait(lambda s: rows_with(s[3], "non-finite loss") and
                         rows_with(s[3], "non-finite tensor"), "findings")
        loss = rows_with(rows, "non-finite loss")[0].split()
        check(int(loss[loss.index("error") + 1]) == first, (loss, first))
        tmux.type("/non-finite loss\r\r")
        tmux.wait_row(0, f"step {first}/")
        tmux.key("F8")
        tmux.type("/bwd\r" if rows_with(rows, " bwd/") else "/fwd\r")
        tmux.type("o")
        tmux.wait(lambda s: "it began at step" in s[3][22], "the origin")
        quit_trace(tmux)


@case
def two_runs_side_by_side(folder):
    """The screen's answer is that of tdbg diff."""
    a, b = f"{folder}/a.h5", f"{folder}/b.h5"
    for trace, sets in ((a, ()), (b, ("--set", 'schedule={kind="cosine";lr_min=1e-5;}'))):
        e2e.record(e2e.small_config(folder, steps=30), trace, *sets)
    report = json.loads(e2e.run("diff", a, b, "--json", code=1).stdout)
    first = report["first"]
    with Tmux(folder) as tmux:
        tmux.wait_prompt()
        words = ["env", "TERM=tmux-256color", e2e.TDBG, "diff", "--tui", "--ascii", a, b]
        tmux.type(shlex.join(words) + "; echo code=$?\n")
        tmux.wait_row(2, "aligned by step and site")
        rows = tmux.wait_row(4, f"first divergence: step {first['step']} {first['site']}")
        check("differ, v: all" in rows[3] and "schedule" in rows[3], rows[3])
        tmux.type("C")
        tmux.wait_row(0, f"step {first['step']}/30")
        rows = tmux.wait(lambda s: rows_with(s[3], ">~" + first["site"]), "the tensor that differs")
        tmux.type("\r")
        tmux.wait(lambda s: rows_with(s[3], "elements differ") and rows_with(s[3], " A "), "elements")
        tmux.type("x3n")
        tmux.wait_row(2, "not linked")
        quit_trace(tmux)
    # without a terminal it is the report
    check("first difference" in e2e.run("diff", "--tui", a, b, code=1).stdout, "report")
    done = e2e.run("diff", "--tui", "--rtol", "1e-3", a, b, code=2)
    check("--tui compares bit for bit" in done.stderr, done.stderr)


@case
def a_chart_is_zoomed_by_dragging(folder):
    trace = f"{folder}/a.h5"
    e2e.record(e2e.small_config(folder, steps=400), trace)
    terminal = Terminal("replay", trace, "--ascii")
    terminal.wait_idle()
    terminal.check(b"steps 0..399" in terminal.redraw(), "all steps")
    terminal.press("\033[<0;20;6M")  # column 19: the button goes down, and up at column 29
    terminal.press("\033[<0;30;6m")
    screen = terminal.redraw()
    found = re.search(rb"zoom: steps (\d+)\.\.(\d+)", screen)
    terminal.check(found and 0 < int(found.group(1)) < int(found.group(2)) < 399, "zoomed steps")
    terminal.press("0")
    terminal.check(b"zoom" not in re.sub(rb"\+/- zoom", b"", terminal.redraw()), "all of it again")
    terminal.check(terminal.end("q") == 0, "exit code")


if __name__ == "__main__":
    e2e.main()
