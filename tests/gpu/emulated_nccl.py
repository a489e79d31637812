#!/usr/bin/env python3
"""End-to-end tests of ranks that NCCL joins, on emulated GPUs and an emulated NCCL: the bits of one
process, what is refused, and what goes wrong on the way.

    emulated_nccl.py CASE      runs one case (tests/gpu/meson.build lists them); --list prints all

Environment: TDBG_BUILD is the build folder, TDBG_SOURCE the source folder. Exit code 77 (skipped)
where mpirun or MPI is missing.
"""
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "example"))
import e2e  # noqa: E402
from e2e import check, info, record, run, small_config  # noqa: E402
import e2e_mpi  # noqa: E402
from e2e_mpi import MPIRUN  # noqa: E402
from e2e_ranks import digests, same_digests  # noqa: E402
from emulated_runs import EMULATED, device, on_gpu, sets  # noqa: E402

CASES, case = e2e.case_table()
NCCL = 'engine.comm.backend="nccl"'
SMALL_BUCKETS = "engine.comm.bucket_mib=0.001"
VERSION = 22809


def on_gpus(n, gpus, config, trace, *keys, code=0, each=None, library=None):
    """Records with n ranks that have so many emulated GPUs. each: variables by rank; library: what
    TDBG_EMULATED_NCCL says. Returns what was said."""
    words = []
    for rank in range(n):
        variables = [f"TDBG_EMULATED_GPUS={gpus}", *(each or {}).get(rank, [])]
        if library:
            variables.append(f"TDBG_EMULATED_NCCL={library}")
        words += [":"] * bool(words) + ["-n", 1, "env", *variables, EMULATED, "record", config, "-o",
                                        trace, "--force", "-q", *sets(keys)]
    return run(*MPIRUN[1:], *words, program=MPIRUN[0], code=code).stderr


def rank_files(trace, n):
    return [trace] + [trace.replace(".h5", f".rank{r}.h5") for r in range(1, n)]


def on_cuda(*keys):
    return ['engine.device="cuda"', *keys]


@case
def processes_equal_one_process(folder):
    """2 and 4 ranks, in buckets that leave while backward goes on: the chains of the CPU."""
    config = small_config(folder, steps=4, batch=23)
    for n, lanes, keys in ((2, 2, [SMALL_BUCKETS]), (2, 4, []), (4, 4, [SMALL_BUCKETS])):
        one, many = f"{folder}/one.h5", f"{folder}/many.h5"
        keys = [f"engine.lanes={lanes}", *keys]
        record(config, one, "--force", *sets(keys), "--device", "cpu")
        on_gpus(n, n, config, many, *on_cuda(NCCL, *keys))
        same_digests(digests(one), digests(many))
        check(info(many)["chain"] == info(one)["chain"], f"chain of {n} ranks")
        for rank, name in enumerate(rank_files(many, n)):
            said = device(name)
            check(said["nccl"] == VERSION and said["gpu"]["number"] == rank, said)
            check("sound" in run("fsck", name).stdout, name)
        out = run("replay", many, "--verify", "-q").stdout
        check(out.endswith(", 0 differ\n"), out)
        out = on_gpu("replay", many, "--verify", "-q", "--device", "cuda").stdout
        check(out.endswith(", 0 differ\n"), out)


@case
def ways_of_the_engine(folder):
    """Micro-batches, several lanes of a rank, a divisor that travels, norms that fold in the middle
    of the graph, all values kept, and a rank alone with what the others have sent."""
    config = small_config(folder, steps=3)
    model = ('model=({op="flatten";},{op="linear";name="fc1";out=8;},{op="reshape";dims=[8,1,1];},'
             '{op="batch_norm";name="bn";sync=true;},{op="flatten";},{op="linear";name="fc2";out=5;})')
    for keys in ([model], ["engine.accumulate=2", 'record.preset="full"', "clip.norm=0.5"],
                 ["engine.lanes=4", "loss={ignore_index=2;}", "drop_samples=[3,14]"]):
        one, many = f"{folder}/one.h5", f"{folder}/many.h5"
        lanes = [] if "engine.lanes=4" in keys else ["engine.lanes=2"]
        record(config, one, "--force", *sets([*lanes, *keys]), "--device", "cpu")
        on_gpus(2, 2, config, many, *on_cuda(NCCL, SMALL_BUCKETS, *keys))
        check(info(many)["chain"] == info(one)["chain"], f"chain with {keys}")
        same_digests(digests(one), digests(many))
        for rank, name in enumerate(rank_files(many, 2)):
            out = run("replay", name, "--rank", rank, "--verify", "-q").stdout
            check(out.endswith(", 0 differ\n"), out)


@case
def native_sums_are_near(folder):
    """ncclAllReduce instead of ours: another order, nearly the same loss, and taken as recorded."""
    import h5py
    config, loss = small_config(folder, steps=4), {}
    for algorithm in ("strict", "native"):
        trace = f"{folder}/{algorithm}.h5"
        on_gpus(4, 4, config, trace, *on_cuda(NCCL, f'engine.comm.algorithm="{algorithm}"'))
        with h5py.File(trace, "r") as f:
            loss[algorithm] = f["steps"]["loss"]
            graph = json.loads(f["run/graph"].asstr()[()])["all_reduce"]
        check(graph["algorithm"] == algorithm and graph["strict"] == (algorithm == "strict"), graph)
        out = run("replay", trace, "--verify", "-q").stdout
        check(", 0 differ\n" in out, out)
        check(("not verified: the sums over ranks" in out) == (algorithm == "native"), out)
    check(abs(loss["strict"] - loss["native"]).max() < 1e-4, loss)
    chains = [info(f"{folder}/{algorithm}.h5")["chain"] for algorithm in loss]
    check(chains[0] != chains[1], "native adds in the order of strict")


@case
def one_rank_alone(folder):
    """Without mpirun: the library is loaded and used, and the bits are those of any other run."""
    config, trace, cpu = small_config(folder, steps=4), f"{folder}/a.h5", f"{folder}/cpu.h5"
    record(config, cpu, "--device", "cpu")
    for algorithm in ("strict", "native"):
        on_gpu("record", config, "-o", trace, "--force", "-q",
               *sets(on_cuda(NCCL, SMALL_BUCKETS, f'engine.comm.algorithm="{algorithm}"')))
        check(info(trace)["chain"] == info(cpu)["chain"], f"the chain, {algorithm}")
        check(device(trace)["nccl"] == VERSION, device(trace))
        check(run("replay", trace, "--verify", "-q").stdout.endswith(", 0 differ\n"), "verified")
    fork = ("replay", trace, "--from", 2, "--set", "optimizer.lr=0.02", "-q", "-o")
    run(*fork, f"{folder}/fork.h5", "--device", "cpu")
    check("nccl" not in device(f"{folder}/fork.h5"), "a fork on the CPU goes without")


@case
def auto_takes_what_there_is(folder):
    """NCCL where each rank has a GPU of its own, else MPI, through memory of the host; the bits are
    the same."""
    config, one = small_config(folder, steps=3), f"{folder}/one.h5"
    record(config, one, "--device", "cpu", *sets(["engine.lanes=2"]))
    for gpus, keys, library, takes in ((2, [], None, True), (1, [], None, False),
                                       (2, [], "none", False), (2, [], "21703", False),
                                       (2, ['engine.comm.backend="mpi"'], None, False),
                                       (0, ['engine.device="cpu"'], None, False)):
        trace = f"{folder}/many.h5"
        said = on_gpus(2, gpus, config, trace, *keys, library=library)
        for name in rank_files(trace, 2):
            check(("nccl" in device(name)) == takes, (gpus, keys, library, device(name), said))
        check(info(trace)["chain"] == info(one)["chain"], f"the chain on {gpus} GPUs with {keys}")


@case
def what_cannot_be_is_refused(folder):
    """Before the first step, with one message that says what does it, and no trace."""
    config, trace = small_config(folder, steps=2), f"{folder}/a.h5"
    no_gpu = {1: ["TDBG_EMULATED_GPUS=0"]}
    for gpus, keys, more, text in (
            (1, on_cuda(NCCL), {}, "ranks 0 and 1 share GPU 0, and NCCL takes one rank for each GPU\n"
             "hint: engine.comm.backend = \"mpi\" does it"),
            (2, on_cuda(NCCL), {"library": "none"}, "engine.comm.backend = \"nccl\" needs NCCL: "
             "libnccl.so: no such emulated library\nhint: install CUDA's libraries, or take "
             "engine.comm.backend = \"mpi\""),
            (2, on_cuda(NCCL), {"library": "21703"}, "NCCL is too old: version code 21703, and 21800 "
             "(2.18) or a newer one is needed\nhint: engine.comm.backend = \"mpi\" does without it"),
            (2, on_cuda(NCCL), {"each": {1: ["TDBG_EMULATED_NCCL=22001"]}},
             "rank 1 has another version of NCCL than rank 0: 22001 and 22809"),
            (2, on_cuda(NCCL), {"each": {1: ["TDBG_EMULATED_NCCL=none"]}},
             "rank 1: engine.comm.backend = \"nccl\" needs NCCL"),
            (2, [NCCL], {"each": no_gpu}, "rank 1: engine.comm.backend = \"nccl\" goes from GPU to "
             "GPU, and this rank computes on the CPU")):
        said = on_gpus(2, gpus, config, trace, *keys, code=4, **more)
        check(said.count(text) == 1 and said.count("error: ") == 1, f"'{text}' once in: {said}")
        check(not [n for n in os.listdir(folder) if n.startswith("a.")], "no trace is left")
    said = run("record", config, "-o", trace, *sets([NCCL]), "--device", "cpu", code=4).stderr
    check("goes from GPU to GPU, and this rank computes on the CPU" in said, said)
    said = on_gpu("record", config, "-o", trace, *sets([NCCL, "engine.ranks_in_process=2"]),
                  code=2).stderr
    check("joins processes, but engine.ranks_in_process makes threads" in said, said)


@case
def failures_of_the_library(folder):
    """Of one rank, in the middle of a step: all stop, one says why, and the traces open."""
    config, trace = small_config(folder, steps=50), f"{folder}/a.h5"
    for fails, texts in (("9:1", ["rank 1: NCCL failed: unhandled cuda error"]),
                         ("9:6", ["NCCL failed: remote process exited or there was a network error"]),
                         ("0:6", ["NCCL failed: remote process exited or there was a network error"]),
                         ("0:1", ["rank 1: NCCL failed: unhandled cuda error"]),
                         ("9:0", ["has not answered for 2 s (engine.comm.timeout_s)"])):
        said = on_gpus(3, 3, config, trace, *on_cuda(NCCL, "engine.comm.timeout_s=2.0"), code=4,
                       each={1: [f"TDBG_EMULATED_NCCL_FAILS={fails}"]})
        check(all(said.count(text) == 1 for text in texts), f"'{texts}' once in: {said}")
        check(said.count("error: ") == 1, said)
        there = [name for name in rank_files(trace, 3) if os.path.exists(name)]
        check(len(there) == (0 if fails.startswith("0") else 3), f"{fails}: {there}")
        e2e_mpi.all_open(there)


def start(config, trace, *keys):
    """mpirun with 3 ranks that record for ever, as soon as all of them have recorded a step; their
    processes and traces."""
    words = [*MPIRUN, "-n", "3", EMULATED, "record", config, "-o", trace, "-q", "--steps",
             str(e2e_mpi.LONG), *sets(on_cuda(NCCL, *keys))]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "TDBG_EMULATED_GPUS": "3"})
    names = rank_files(trace, 3)
    e2e_mpi.wait_until(lambda: process.poll() is not None or all(
        run("info", name, code=None).returncode == 0 for name in names), "all ranks record")
    check(process.poll() is None, "mpirun ended early")
    out = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)],
                         capture_output=True, text=True).stdout
    pids = [int(line.split()[0]) for line in out.splitlines() if "tdbg-emulated" in line]
    check(len(pids) == 3, out)
    return process, pids, names


def end(process, pids, names):
    said = process.stderr.read()
    process.wait()
    e2e_mpi.wait_until(lambda: not any(map(e2e_mpi.is_running, pids)), "all ranks end")
    e2e_mpi.all_open(names)
    return said


@case
def a_killed_rank_is_reported(folder):
    process, pids, names = start(small_config(folder), f"{folder}/a.h5")
    os.kill(pids[1], signal.SIGKILL)
    said = end(process, pids, names)
    check("signal 9" in said, said)


@case
def a_stopped_rank_is_named(folder):
    """It does not answer: the others wait for as long as was said, then one of them names it."""
    for rank in (0, 2):
        process, pids, names = start(small_config(folder), f"{folder}/{rank}.h5",
                                     "engine.comm.timeout_s=5.0")
        os.kill(next(p for p in pids if e2e_mpi.rank_of(p) == rank), signal.SIGSTOP)
        said = end(process, pids, names)
        check(process.returncode == 4, f"exit code {process.returncode}")
        check(said.count(f"rank {rank} has not answered for 5 s") == 1, said)


if __name__ == "__main__":
    if not shutil.which(MPIRUN[0]) or "mpi: yes" not in run("--version").stdout:
        print("skipped: no MPI")
        sys.exit(77)
    e2e.main(CASES)
