#!/usr/bin/env python3
"""Commands, breakpoints and keys in the real terminal, and commands without one (--batch).

    terminal_commands.py CASE     runs one case (tests/meson.build lists them); --list prints all

Nothing sleeps; see terminal.py.
"""
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import terminal  # noqa: E402
from terminal import Tmux, record_small  # noqa: E402
import e2e  # noqa: E402
from e2e import case, check  # noqa: E402

e2e.CASES.clear()  # ours instead

MESSAGE, KEYS = 22, 23  # rows of 80x24


def open_replay(tmux, trace, *options, **env):
    tmux.wait_prompt()
    changes = [f"{name}={value}" for name, value in env.items()]
    words = ["env", "TERM=tmux-256color", *changes, e2e.TDBG, "replay", trace, *options]
    tmux.type(shlex.join(words) + "; echo code=$?\n")
    # all of it is painted where it waits for a key
    return tmux.wait(lambda s: s[1] and s[0] > 0 and "a.h5   step" in s[3][0], "the first screen")


def command(tmux, line, y, text):
    """Types a command, and waits for what it shows in row y."""
    tmux.type(f":{line}")
    tmux.wait_row(MESSAGE, f":{line}")
    tmux.type("\r")
    return tmux.wait_row(y, text)


@case
def goes_and_comes_back(folder):
    with Tmux(folder) as tmux:
        first = open_replay(tmux, record_small(folder))
        command(tmux, "goto 120/bwd", 0, "step 120/400")
        tmux.type("ma")
        tmux.wait_row(MESSAGE, "mark a is 120/bwd/0")
        command(tmux, "77", 0, "step 77/400")
        tmux.type("'a")
        tmux.wait_row(0, "step 120/400")
        tmux.type("''")
        tmux.wait_row(0, "step 77/400")
        tmux.type("4z")
        check(tmux.wait_row(0, "step 0/400")[:MESSAGE] == first[:MESSAGE], "all moves are undone")
        tmux.key("C-r")
        tmux.wait_row(0, "step 120/400")
        command(tmux, "when", 3, "place      120/bwd/0")
        tmux.type("q")
        command(tmux, "b los > 10", MESSAGE, "! col 3: unknown metric 'los'; did you mean 'loss'?")
        command(tmux, "x fc2.bias", 3, "[0]")
        tmux.wait_row(MESSAGE, "param/fc2.bias  step 120")
        command(tmux, f"export screen {folder}/screen.txt", MESSAGE, "the screen is in")
        with open(f"{folder}/screen.txt", encoding="utf-8") as f:
            check("step 120/400" in f.readline(), "the first row of the screen")
        tmux.type(":q\r")
        tmux.wait_shell("code=0")


@case
def runs_to_events(folder):
    with Tmux(folder) as tmux:
        open_replay(tmux, record_small(folder))
        tmux.type("c")
        tmux.wait_row(MESSAGE, "no NaN, Inf or divergence begins after step 0  (no breakpoint is set)")
        command(tmux, "b loss < 0.8", MESSAGE, "B1: loss < 0.8")
        tmux.type("c")
        before = tmux.wait_row(MESSAGE, "B1 hit: loss < 0.8 was false at")
        tmux.type("c")
        tmux.wait(lambda s: s[3] != before and "B1 hit" in s[3][MESSAGE], "the next event")
        tmux.type("C")
        check(tmux.wait(lambda s: s[3][0] == before[0], "the event before") == before,
              "c and C give another screen")
        tmux.type("B")
        tmux.wait_row(3, "hits 3     loss < 0.8")
        tmux.type("Dq")
        # this has to execute steps again
        command(tmux, "first max(fwd/fc1[0:3,1]) > 0.2", MESSAGE, "true at step")
        tmux.type("q")
        tmux.wait_shell("code=0")


@case
def completes_and_remembers(folder):
    trace = record_small(folder)
    with Tmux(folder) as tmux:
        open_replay(tmux, trace, XDG_STATE_HOME=f"{folder}/state")
        tmux.type(":fi")
        tmux.key("Tab")
        tmux.wait_row(KEYS, "first  find")
        tmux.type("rs\tlos\t > 1.6\r")
        tmux.wait_row(MESSAGE, "loss > 1.6: true at step")
        tmux.type("q")
        tmux.wait_shell("code=0")
        mode = stat.S_IMODE(os.stat(f"{folder}/state/tdbg/history").st_mode)
        check(mode == 0o600, f"the history's mode is {mode:o}")
        tmux.type("clear\n")
        open_replay(tmux, trace, XDG_STATE_HOME=f"{folder}/state")
        tmux.type(":")
        tmux.key("Up")
        tmux.wait_row(MESSAGE, ":first loss > 1.6")
        for key in ("Home", "Right", "C-k"):
            tmux.key(key)
        tmux.key("Escape")
        tmux.type("q")
        tmux.wait_shell("code=0")


@case
def rebinds_keys(folder):
    trace = record_small(folder)
    os.makedirs(f"{folder}/config/tdbg")
    with open(f"{folder}/config/tdbg/keys", "w") as f:
        f.write("# mine\nbind F10 step-next\nbind ^G last\n")
    with Tmux(folder) as tmux:
        open_replay(tmux, trace, XDG_CONFIG_HOME=f"{folder}/config")
        tmux.key("F10")
        tmux.wait_row(0, "step 1/400")
        tmux.key("C-g")
        tmux.wait_row(0, "step 399/400")
        tmux.type("q")
        tmux.wait_shell("code=0")
        with open(f"{folder}/config/tdbg/keys", "a") as f:
            f.write("bind F11 step-nxt\n")
        tmux.type("clear\n")
        open_replay(tmux, trace, XDG_CONFIG_HOME=f"{folder}/config")
        tmux.wait_row(MESSAGE, "tdbg/keys:4: no request 'step-nxt'; did you")
        tmux.type("q")
        tmux.wait_shell("code=0")


@case
def runs_other_commands(folder):
    trace = record_small(folder)
    e2e.record(f"{folder}/small.cfg", f"{folder}/b.h5", "--set", "optimizer.lr=0.02")
    with Tmux(folder) as tmux:
        open_replay(tmux, trace)
        command(tmux, f"diff {folder}/b.h5", 2, "aligned by step and site")
        rows = tmux.wait_row(4, "first divergence: step 0 hyper/lr")
        check(any("optimizer.lr" in row for row in rows), rows)
        tmux.type("q")
        command(tmux, "bisect loss < 0.8", MESSAGE, "bisect found step")
        step = int(re.search(r"bisect found step (\d+)", tmux.last).group(1))
        tmux.wait_row(0, f"step {step}/400")
        truth = e2e.run("bisect", trace, "--when", "loss < 0.8", "--json")
        check(json.loads(truth.stdout)["step"] == step, truth.stdout)
        first = e2e.run("bisect", trace, "--when", "loss < 0.8").stdout.split("\n")[0]
        tmux.wait_row(3, ">" + first)  # the text, and not JSON, which is written where it is wanted
        command(tmux, f"export json {folder}/found.json", MESSAGE, "what bisect found is in")
        with open(f"{folder}/found.json") as f:
            check(f.read() == truth.stdout, "the JSON of bisect")
        tmux.type("qz")
        tmux.wait_row(0, "step 0/400")
        command(tmux, "goto 5/grad/fc2.bias", 0, "step 5/400")
        command(tmux, f"export json {folder}/bias.json", MESSAGE, "export has ended")
        with open(f"{folder}/bias.json") as f:
            check(json.load(f), "the tensor as JSON")
        command(tmux, "goto 396", 0, "step 396/400")
        command(tmux, "whatif optimizer.lr=0.5 to 398", MESSAGE, "whatif has ended")
        check(e2e.info(f"{folder}/a-whatif-1.h5")["steps"] > 0, "the fork")
        for said in "forking", "optimizer.lr: 0.01 -> 0.5", ":diff ":
            check(said in tmux.last, tmux.last)
        tmux.type("q")
        command(tmux, "whatif optimizer.l=0.5 to 398", MESSAGE, "hint: did you mean 'lr'?")
        command(tmux, "diff no-such.h5", MESSAGE, "no-such.h5")
        tmux.type("Q")
        tmux.wait_shell("code=0")


@case
def begins_with_commands(folder):
    trace = record_small(folder)
    with open(f"{folder}/cmds", "w") as f:
        f.write("b loss < 0.8\nb loss < 0.7\n")
    with Tmux(folder) as tmux:
        open_replay(tmux, trace, "--goto", "120/bwd", "-x", f"{folder}/cmds", "-e", "goto +5",
                    "-e", "mark a")
        tmux.wait_row(MESSAGE, "mark a is 125/bwd/0")
        tmux.type("B")
        tmux.wait_row(4, "loss < 0.7")
        tmux.type("Q")
        tmux.wait_shell("code=0")
    done = e2e.run("replay", trace, "-e", "when", code=2)
    check("hint: without one, add --batch" in done.stderr, done.stderr)


def step_of(state):
    return int(re.search(r"step (\d+)/", state[3][0]).group(1))


@case
def follows_a_recording(folder):
    """New steps come into sight while it runs; a focus elsewhere stays; the end is said."""
    config = e2e.small_config(folder, steps=100000000)
    for ends_by, message in ((signal.SIGINT, "the recording has ended: "),
                             (signal.SIGKILL, "! the recording was cut off; ")):
        recorder = subprocess.Popen([e2e.TDBG, "record", config, "-o", f"{folder}/a.h5", "--force",
                                     "-q"], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            while e2e.run("info", f"{folder}/a.h5", code=None).returncode != 0:
                check(recorder.poll() is None, "the recording runs")
            with Tmux(folder) as tmux:
                open_replay(tmux, f"{folder}/a.h5", "--follow")
                before = step_of(tmux.state())
                tmux.until(lambda s: s[1] and step_of(s) > before + 1000, "new steps")
                tmux.type("g")
                tmux.until(lambda s: s[1] and step_of(s) == 0, "the first step")
                total = tmux.last.split("\n")[0]
                tmux.until(lambda s: s[3][0] != total and step_of(s) == 0, "more steps elsewhere")
                tmux.type("G")
                tmux.until(lambda s: step_of(s) > before + 1000, "the last step")
                # one that came just now, to be executed again by who had the file open before
                tmux.type(":x fc2.bias\r")
                tmux.until(lambda s: "[0]" in s[3][3], "elements of a new step")
                tmux.type("q")
                if ends_by == signal.SIGKILL:
                    os.killpg(recorder.pid, ends_by)
                else:
                    recorder.send_signal(ends_by)
                tmux.wait_row(MESSAGE, message)
                tmux.type("G")
                last = step_of((0, 0, 0, tmux.wait_row(MESSAGE, "")))
                answer = json.loads(batch_of(f"{folder}/a.h5", "goto +999999999", code=None,
                                             options=("--json",)).stdout)
                check(answer["commands"][0]["step"] == last, f"{last}: {answer}")
                tmux.type("q")
                tmux.wait_shell("code=0")
        finally:
            if recorder.poll() is None:
                os.killpg(recorder.pid, signal.SIGKILL)
            recorder.wait()
    done = e2e.run("replay", f"{folder}/a.h5", "--follow", code=2)
    check("--follow wants a terminal" in done.stderr, done.stderr)


@case
def records_in_the_terminal(folder):
    """The run is shown while it trains, and ends with the terminal."""
    config = e2e.small_config(folder, steps=100000000)
    with Tmux(folder) as tmux:
        for leaves in ("q", "Q"):
            tmux.wait_prompt()
            tmux.type(f"clear; env TERM=tmux-256color {e2e.TDBG} record {config} -o {folder}/a.h5 "
                      "--tui --force; echo code=$?\n")
            tmux.until(lambda s: s[1] and "a.h5   step" in s[3][0] and step_of(s) > 1000, "new steps")
            tmux.type(":pause\r")
            tmux.until(lambda s: "the training is paused" in s[3][MESSAGE], "the pause")
            last = tmux.wait(lambda s: True, "a screen that stands still")[0]
            tmux.type(":resume\r")
            tmux.until(lambda s: "the training goes on" in s[3][MESSAGE] and s[3][0] != last, "new steps")
            tmux.type(leaves)
            tmux.wait_shell("code=130")
            done = e2e.run("replay", f"{folder}/a.h5", "--batch", "-e", "when")
            check("was not closed" not in done.stderr, "the trace is whole")
        tmux.type(f"clear; {e2e.TDBG} record {folder}/none.cfg --tui; echo code=$?\n")
        tmux.wait_shell("code=2")
    check("--tui wants a terminal" in e2e.record(config, f"{folder}/b.h5", "--tui", code=2).stderr, "")


def batch_of(trace, *commands, code=0, options=()):
    words = [word for line in commands for word in ("-e", line)]
    return e2e.run("replay", trace, "--batch", *options, *words, code=code)


@case
def batch(folder):
    trace = record_small(folder)
    done = batch_of(trace, "last loss > 1.6", "when")
    step = int(re.search(r"loss > 1.6: true at step (\d+)", done.stdout).group(1))
    check(f"place      {step}/samples/0" in done.stdout, done.stdout)
    check(done.stderr == "", done.stderr)
    answer = json.loads(batch_of(trace, "last loss > 1.6", "p loss", "info b",
                                 options=("--json", "--goto", "7/bwd")).stdout)
    check(answer["schema"] == 1 and answer["trace"] == trace, answer)
    place, last, value, info = answer["commands"]
    check(place["place"] == "7/bwd/0" and place["result"] == "done", place)
    check(last["step"] == step and last["result"] == "done", last)
    check(value["value"] > 1.6 and value["message"].startswith("loss = "), value)
    check(info["lines"] == ["none"], info)
    # nothing found: 1, and what comes after it is done all the same
    done = batch_of(trace, "first loss > 1e9", "goto 3", "when", code=1)
    check("not at any of steps 0 to 399" in done.stdout and "place      3/" in done.stdout,
          done.stdout)
    batch_of(trace, "b loss < 0", "c", code=1)
    batch_of(trace, f"diff {trace}")
    # from a file, and from one that it reads
    with open(f"{folder}/inner", "w") as f:
        f.write("goto +10\n")
    with open(f"{folder}/outer", "w") as f:
        f.write(f"# both\ngoto 5\nsource {folder}/inner\n\n")
    answer = json.loads(e2e.run("replay", trace, "--batch", "--json", "-x", f"{folder}/outer").stdout)
    check([c["step"] for c in answer["commands"]] == [5, 15], answer)
    check(not os.path.exists(f"{folder}/.local"), "no history of what nobody typed")


@case
def batch_faults(folder):
    trace = record_small(folder)
    for lines, message in ((["b los > 10"], "'b los > 10': col 3: unknown metric 'los'; did you mean"),
                           (["goto 5", "goto 400"], "'goto 400': col 6: no step 400; this trace has"),
                           (["frob"], "'frob': col 1: unknown command 'frob'")):
        done = batch_of(trace, *lines, "when", code=2)
        check(message in done.stderr and "place" not in done.stdout, done.stderr)
        answer = json.loads(batch_of(trace, *lines, code=2, options=("--json",)).stdout)
        check(answer["commands"][-1]["result"] == "error", answer)
        check(answer["commands"][-1]["column"] in (1, 3, 6), answer)
    with open(f"{folder}/cmds", "w") as f:
        f.write("goto 5\n\nx nope\n")
    done = e2e.run("replay", trace, "--batch", "-x", f"{folder}/cmds", code=2)
    check("cmds:3: 'x nope': col 3: no site matches 'nope'" in done.stderr, done.stderr)
    e2e.run("replay", trace, "--batch", "-x", f"{folder}/nowhere", code=4)
    e2e.run("replay", f"{folder}/nowhere.h5", "--batch", "-e", "when", code=3)
    batch_of(trace, f"diff {folder}/nowhere.h5", code=3)
    for words in (["--batch"], ["--batch", "--verify", "-e", "when"], ["--verify", "-e", "when"],
                  ["--json", "-e", "when"]):
        check(e2e.run("replay", trace, *words, code=2).stdout == "", words)
    done = subprocess.run([e2e.TDBG, "replay", trace, "--batch", "-e", "when"], stdin=subprocess.DEVNULL,
                          env=terminal.environment("dumb"), capture_output=True, text=True)
    check(done.returncode == 0 and done.stdout.isascii(), done.stderr)


@case
def documents_commands(folder):
    """docs/tui-commands.md has what :help prints; TDBG_UPDATE_GOLDEN=1 writes it there."""
    path = os.path.join(e2e.SOURCE, "docs", "tui-commands.md")
    with open(path, encoding="utf-8") as f:
        before = text = f.read()
    trace = record_small(folder)
    for line in ("help", "help keys"):
        block = re.compile(rf"(<!-- {line} -->\n```\n).*?(```\n)", re.DOTALL)
        table = batch_of(trace, line).stdout
        check(block.search(text), f"a block for :{line}")
        text = block.sub(lambda m, table=table: m.group(1) + table + m.group(2), text)
    if os.environ.get("TDBG_UPDATE_GOLDEN"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    check(before == text or os.environ.get("TDBG_UPDATE_GOLDEN"), f"{path} is not what :help prints")


if __name__ == "__main__":
    e2e.main()
