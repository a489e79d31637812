#!/usr/bin/env python3
"""End-to-end tests of ranks that are processes of mpirun: the same bits as threads, ranks that do
not fit together, that are killed or stopped.

    e2e_mpi.py CASE [N]     runs one case (tests/meson.build lists them), N times where it is random

Exit code 77 (skipped) where mpirun or MPI is missing.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import e2e
from e2e import check, info, record, run, small_config
from e2e_ranks import digests, ranks, same_digests

CASES = {}
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe"]
LONG = 100000000  # steps that no test waits for


def case(function):
    CASES[function.__name__] = function
    return function


def mpirun(n, *args, code=0):
    return run(*MPIRUN[1:], "-n", n, e2e.TDBG, "record", *args, program=MPIRUN[0], code=code)


def mpirun_each(*commands):
    """A command for each rank; returns what they print. All of them have to fail."""
    words = []
    for command in commands:
        words += [":"] * bool(words) + ["-n", 1, *command]
    done = run(*MPIRUN[1:], *words, program=MPIRUN[0], code=None)
    check(done.returncode != 0, f"{words} succeeded")
    return done.stderr


@case
def processes_equal_one_process(folder):
    config = small_config(folder, batch=23)
    for lanes, counts in ((2, (2,)), (4, (4,)), (8, (2, 4))):
        one = f"{folder}/one.h5"
        record(config, one, "--force", "--set", f"engine.lanes={lanes}")
        for n in counts:
            many = f"{folder}/many.h5"
            mpirun(n, config, "-o", many, "--force", "-q", "--set", f"engine.lanes={lanes}")
            same_digests(digests(one), digests(many))
            check(info(many)["chain"] == info(one)["chain"], f"chain of {n} ranks")


@case
def native_sums_are_near(folder):
    """MPI_Allreduce instead of ours: nearly the same loss."""
    import h5py
    config, loss = small_config(folder), {}
    for algorithm in ("strict", "native"):
        trace = f"{folder}/{algorithm}.h5"
        mpirun(2, config, "-o", trace, "-q", "--set", f"engine.comm.algorithm={algorithm}")
        with h5py.File(trace, "r") as f:
            loss[algorithm] = f["steps"]["loss"]
            check(algorithm in f["run/graph"].asstr()[()], "the graph says which")
    check(abs(loss["strict"] - loss["native"]).max() < 1e-4, loss)
    out = run("record", config, "-o", f"{folder}/a.h5", *ranks(2), "--set",
              "engine.comm.algorithm=native", code=2).stderr
    check("ranks_in_process makes threads" in out, out)


@case
def ranks_that_do_not_fit_together(folder):
    """One message, which names the rank."""
    os.mkdir(f"{folder}/b")
    config, other = small_config(folder), small_config(f"{folder}/b")
    e2e.write_idx(f"{folder}/b/train-y.gz", bytes(95), (95,))
    changed = f"{folder}/tdbg"
    shutil.copy(e2e.TDBG, changed)
    with open(changed, "ab") as f:
        f.write(b"\0")
    os.environ["TDBG_WRITER"] = os.path.join(e2e.BUILD, "trace", "tdbg-writer")

    def command(*more, config=config, program=e2e.TDBG):
        return [program, "record", config, "-o", f"{folder}/a.h5", "-q", *more]

    same = command()
    for ranks_of, text in (
            ([same, same, command("--set", "optimizer.lr=0.5")], "rank 2 was started with another "
             "config than rank 0"),
            ([same, command(config=other)], "rank 1 was started with another data set than rank 0"),
            ([same, command(program=changed)], "rank 1 was started with another program file"),
            ([same, command("--set", "nonsense=1")], "rank 1: --set nonsense: error: unknown key"),
            ([command("--set", "nonsense=1")] * 2, "--set nonsense: error: unknown key"),
            ([command("--set", "engine.lanes=6")] * 2, "6 lanes cannot be shared out among 2 ranks"),
            ([command("--set", "engine.ranks_in_process=2")] * 2, "one of 2 processes already")):
        out = mpirun_each(*ranks_of)
        check(out.count(text) == 1, f"'{text}' once in: {out}")
        check(out.count("error: ") == 1, out)
        check(not [n for n in os.listdir(folder) if n.startswith("a.")], "no trace is left")
    with open(f"{folder}/a.rank1.h5", "w"):
        out = mpirun_each(same, same)
    check("a.rank1.h5 exists already" in out, out)


def children(pid):
    """Processes of mpirun that are ranks."""
    out = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pid)], capture_output=True,
                         text=True).stdout
    return [int(line.split()[0]) for line in out.splitlines() if line.split()[1] == "tdbg"]


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(condition, text, seconds=120):
    for _ in range(seconds * 20):
        if condition():
            return
        time.sleep(0.05)
    sys.exit(f"failed: {text}")


def announcer(folder):
    """A program to start in place of tdbg: every rank writes what its writer announces into
    announced.RANK."""
    path = f"{folder}/announcer"
    with open(path, "w") as f:
        f.write(f'#!/bin/sh\nexec 9>"{folder}/announced.$OMPI_COMM_WORLD_RANK"\n'
                f'exec {e2e.TDBG} "$@" --announce-fd 9\n')
    os.chmod(path, 0o755)
    return path


def announced(folder, rank):
    """The last step that was said to be in the file; -1: none."""
    with open(f"{folder}/announced.{rank}") as f:
        lines = f.read().split("\n")[:-1]
    return int(lines[-1]) if lines else -1


def start(config, trace, n, *more, program=e2e.TDBG):
    """mpirun and its ranks, as soon as all of them have recorded a step."""
    words = [*MPIRUN, "-n", str(n), program, "record", config, "-o", trace, "-q", "--steps",
             str(LONG), "--set", "record.segment_gib=0.0", *more]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    names = [trace] + [trace.replace(".h5", f".rank{r}.h5") for r in range(1, n)]
    wait_until(lambda: process.poll() is not None or all(os.path.exists(f) for f in names),
               "all ranks record")
    check(process.poll() is None, "mpirun ended early")
    return process, children(process.pid), names


def rank_of(pid):
    with open(f"/proc/{pid}/environ") as f:
        return int(re.search(r"OMPI_COMM_WORLD_RANK=(\d+)", f.read()).group(1))


def are_sound(names):
    for name in names:
        wait_until(lambda: "cut off" in (out := run("fsck", name, code=None).stdout) or
                   "sound" in out, f"{name} is sound", 60)
        check("sound" in run("fsck", name).stdout, name)


def all_open(names):
    are_sound(names)
    for name in names:
        os.remove(name)


@case
def killed_at_any_moment(folder, times=4):
    """kill -9 of a rank or of mpirun: the others end, every trace opens, what each rank's writer
    announced is there, and all ranks' steps execute again to the same bits."""
    config, program = small_config(folder), announcer(folder)
    rng = random.Random(int(times))
    said = 0
    for i in range(int(times)):
        process, pids, names = start(config, f"{folder}/{i}.h5", 3, program=program)
        check(len(pids) == 3, pids)
        time.sleep(rng.random())
        os.kill(process.pid if i % 4 == 3 else rng.choice(pids), signal.SIGKILL)
        process.stderr.read()
        process.wait()
        wait_until(lambda pids=pids: not any(map(is_running, pids)), "all ranks end")
        are_sound(names)
        for rank, name in enumerate(names):
            last, steps = announced(folder, rank), info(name)["steps"]
            check(steps > last, f"rank {rank}: step {last} was announced, {steps} steps are there")
            said += last + 1
        run("replay", names[0], "--verify")
        for name in names:
            os.remove(name)
    check(said > 0, "nothing was announced before any of the kills")


@case
def a_stopped_rank_is_named(folder):
    """It does not answer: the others wait for as long as was said, then one of them names it."""
    config = small_config(folder)
    for rank in (0, 1):
        trace = f"{folder}/{rank}.h5"
        process, pids, names = start(config, trace, 3, "--set", "engine.comm.timeout_s=10.0")
        os.kill(next(p for p in pids if rank_of(p) == rank), signal.SIGSTOP)
        out = process.stderr.read()
        check(process.wait() == 4, f"exit code {process.returncode}")
        check(out.count(f"rank {rank} has not answered for 10 s") == 1, out)
        wait_until(lambda pids=pids: not any(map(is_running, pids)), "all ranks end")
        all_open(names)


@case
def a_rank_that_cannot_record_is_named(folder):
    """Where recording has to stop on one rank: with on_error = "stop" all stop, else it goes on."""
    config = small_config(folder)
    writer = f"{folder}/writer"
    with open(writer, "w") as f:
        f.write(f"#!/bin/sh\nulimit -f 6000\nexec {e2e.BUILD}/trace/tdbg-writer\n")
    os.chmod(writer, 0o755)
    for on_error, n in (("stop", 20000), ("continue", 1000)):
        words = ["record", config, "-o", f"{folder}/{on_error}.h5", "-q", "--steps", n, "--set",
                 f"record.on_error={on_error}", "--set", "record.preset=full"]
        limited = ["env", f"TDBG_WRITER={writer}", e2e.TDBG, *words]
        done = run(*MPIRUN[1:], "-n", 1, e2e.TDBG, *words, ":", "-n", 1, *limited,
                   program=MPIRUN[0], code=None)
        check(done.returncode == 4, f"exit code {done.returncode}: {done.stderr}")
        check(done.stderr.count("error: rank 1: ") == 1, done.stderr)
        steps = info(f"{folder}/{on_error}.h5")["steps"]
        check(steps == n if on_error == "continue" else 0 < steps < n, f"{on_error}: {steps}")
        check("sound" in run("fsck", f"{folder}/{on_error}.rank1.h5").stdout, "rank 1's trace")


@case
def ctrl_c_stops_all_after_the_same_step(folder):
    """SIGTERM to one rank closes all traces, with the same steps."""
    config = small_config(folder)
    process, pids, names = start(config, f"{folder}/a.h5", 3)
    os.kill(pids[1], signal.SIGTERM)
    process.stderr.read()
    check(process.wait() != 0, "exit code 0")
    steps = [info(name)["steps"] for name in names]
    check(len(set(steps)) == 1 and all(info(name)["closed"] for name in names), steps)


def two_hosts(folder):
    """Two network namespaces that see each other over one line, each with a host name of its own.
    Returns their names, or ends with 77 where that is not allowed here."""
    a, b = f"tdbg{os.getpid()}a", f"tdbg{os.getpid()}b"
    steps = (f"ip netns add {a}", f"ip netns add {b}",
             f"ip link add veth0 netns {a} type veth peer name veth0 netns {b}",
             f"ip -n {a} addr add 10.77.7.1/24 dev veth0",
             f"ip -n {b} addr add 10.77.7.2/24 dev veth0",
             *(f"ip -n {host} link set {link} up" for host in (a, b) for link in ("lo", "veth0")))
    for step in steps:
        try:
            done = subprocess.run(step.split(), capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit(77)
        if done.returncode != 0:
            remove_hosts(a, b)
            print(f"{step}: {done.stderr}")
            sys.exit(77)
    agent = f"{folder}/agent"
    with open(agent, "w") as f:
        f.write(f'#!/bin/sh\nshift\nexec ip netns exec {b} unshare -u sh -c "hostname {b}; $*"\n')
    os.chmod(agent, 0o755)
    return a, b, agent


def remove_hosts(*names):
    for name in names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


@case
def two_hosts_equal_one(folder):
    """2 + 2 ranks that only the network joins: the bits of 4 on one machine."""
    config = small_config(folder)
    a, b, agent = two_hosts(folder)
    net = "10.77.7.0/24"
    try:
        words = [*MPIRUN, "--mca", "plm_rsh_agent", agent, "--mca", "oob_tcp_if_include", net,
                 "--mca", "btl_tcp_if_include", net, "--host", "10.77.7.1:2,10.77.7.2:2", "-n", "4",
                 e2e.TDBG, "record", config, "-o", f"{folder}/two.h5", "-q"]
        run("netns", "exec", a, "unshare", "-u", "sh", "-c", f'hostname {a}; exec "$@"', "sh",
            *words, program="ip")
    finally:
        remove_hosts(a, b)
    mpirun(4, config, "-o", f"{folder}/one.h5", "-q")
    same_digests(digests(f"{folder}/one.h5"), digests(f"{folder}/two.h5"))
    names = [f"{folder}/two.h5"] + [f"{folder}/two.rank{r}.h5" for r in (1, 2, 3)]
    hosts = []
    for name in names:
        where = info(name)["environment"]
        hosts.append((json.loads(where) if isinstance(where, str) else where)["host"])
    check(hosts == [a, a, b, b], hosts)


if __name__ == "__main__":
    if not shutil.which("mpirun") or "mpi: yes" not in run("--version").stdout:
        sys.exit(77)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        CASES[sys.argv[1]](work, *sys.argv[2:])
    print(f"{sys.argv[1]}: ok")
