#!/usr/bin/env python3
"""Following a recording of several ranks, in tmux.

    terminal_follow.py CASE     runs one case (tests/meson.build lists them); --list prints all
"""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal import Tmux, case, check, e2e  # noqa: E402

e2e.CASES.clear()  # ours instead

MESSAGE = 22


def has_mpi():
    return shutil.which("mpirun") and "mpi" in e2e.run("--version").stdout.lower().split()


def start(folder):
    """Two ranks that train until somebody ends them: processes where MPI is there, else threads."""
    config, trace = e2e.small_config(folder, steps=100000000), f"{folder}/a.h5"
    words = ["record", config, "-o", trace, "-q", "--set", "engine.lanes=2"]
    if has_mpi():
        words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", e2e.TDBG, *words]
    else:
        words = [e2e.TDBG, *words, "--set", "engine.ranks_in_process=2"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    for path in (trace, f"{folder}/a.rank1.h5"):
        while e2e.run("info", path, code=None).returncode != 0:
            check(process.poll() is None, "the recording runs")
    return process, trace


def step_of(state):
    found = re.search(r"step (\d+)/", state[3][0]) if state[1] else None
    return int(found.group(1)) if found else -1


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def open_following(tmux, trace):
    tmux.wait_prompt()
    tmux.type(f"env TERM=tmux-256color {e2e.TDBG} replay --ascii --follow {trace}; echo code=$?\n")
    tmux.until(lambda s: s[1] and "rank 0/2" in s[3][0], "rank 0")


@case
def ranks_are_followed(folder):
    """r and R change the file that is looked at, and each goes on growing; the end is that of both."""
    process, trace = start(folder)
    try:
        with Tmux(folder) as tmux:
            open_following(tmux, trace)
            before = step_of(tmux.state())
            tmux.type("r")
            tmux.until(lambda s: "a.rank1.h5" in s[3][0] and "rank 1/2" in s[3][0], "rank 1")
            tmux.until(lambda s: step_of(s) > before + 200, "new steps of rank 1")
            tmux.type("R")
            tmux.until(lambda s: "rank 0/2" in s[3][0], "rank 0 again")
            tmux.until(lambda s: step_of(s) > before + 400, "new steps of rank 0")
            tmux.type("3G")  # elsewhere, both stay
            tmux.until(lambda s: step_of(s) == 3, "step 3")
            total = tmux.last.split("\n")[0]
            tmux.type("r")
            tmux.until(lambda s: "rank 1/2" in s[3][0] and step_of(s) == 3, "step 3 of rank 1")
            tmux.until(lambda s: s[3][0] != total and step_of(s) == 3, "more steps elsewhere")
            tmux.key("F5")
            tmux.until(lambda s: sum(" yes " in row for row in s[3]) == 2, "two sums that agree")
            tmux.type(" t")
            tmux.until(lambda s: "view: HISTOGRAM" in s[3][2], "a tensor")
            tmux.type("/grad/fc2.weight\r")
            tmux.until(lambda s: "max |x|" in s[3][20], "its values, of this rank's file")
            last = step_of(tmux.state())
            tmux.until(lambda s: last == 3 and "grad/fc2.weight" in s[3][2], "it while steps come")
            tmux.type("qr")
            os.killpg(process.pid, signal.SIGINT)
            tmux.until(lambda s: "the recording has ended: " in s[3][MESSAGE], "the end")
            n = int(re.search(r"ended: (\d+) steps", tmux.last).group(1))
            check(n == e2e.info(trace)["steps"], f"{n} steps")
            tmux.type("rG")
            tmux.until(lambda s: step_of(s) == n - 1, "the last step")
            tmux.type("Q")
            tmux.wait_shell("code=0")
    finally:
        end(process)


@case
def a_rank_that_comes_late(folder):
    """A file that is not there is said, and looked for again when it is asked for again; a writer
    that is killed is told from one that ended."""
    process, trace = start(folder)
    other, away = f"{folder}/a.rank1.h5", f"{folder}/away.h5"
    try:
        with Tmux(folder) as tmux:
            os.rename(other, away)
            open_following(tmux, trace)
            tmux.type("r")
            tmux.until(lambda s: "rank 1 is left out: " in s[3][MESSAGE], "why it is left out")
            os.rename(away, other)
            before = step_of(tmux.state())
            tmux.until(lambda s: step_of(s) > before, "another look")
            tmux.type("r")
            tmux.until(lambda s: "rank 1/2" in s[3][0], "rank 1")
            before = step_of(tmux.state())
            tmux.until(lambda s: step_of(s) > before + 100, "new steps of rank 1")
            os.killpg(process.pid, signal.SIGKILL)
            tmux.until(lambda s: re.search("the recording (was cut off; |has ended: )",
                                           s[3][MESSAGE]), "the end")
            tmux.type("Q")
            tmux.wait_shell("code=0")
    finally:
        end(process)


if __name__ == "__main__":
    e2e.main()
