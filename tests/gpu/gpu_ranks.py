#!/usr/bin/env python3
"""Ranks on a GPU, by MPI and by NCCL, compared with the CPU. Needs nothing but the program, an
example and a GPU; what it cannot try it says, and exits with 77.

    gpu_ranks.py CASE [--tdbg PROGRAM] [--example CONFIG] [--steps N] [--set KEY=VALUE]...

    one_rank_by_nccl          without mpirun, strict and native: the chain of the CPU
    two_ranks_by_mpi          that share a GPU: the chain of the CPU
    two_ranks_by_nccl         that share a GPU: refused, with what does it
    a_gpu_each_by_nccl        as many ranks as there are GPUs, up to 8: the chain of the CPU
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
NCCL = 'engine.comm.backend="nccl"'
SKIPPED = 77


class Skip(Exception):
    pass


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Runs:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.begin = ["record", args.example, "--force", "-q", "--steps", str(args.steps)]
        for key in args.set:
            self.begin += ["--set", key]

    def tdbg(self, *words, ranks=1, env=None):
        """Exit code and all that was said."""
        command = [self.args.tdbg, *words]
        if ranks > 1:
            if not shutil.which("mpirun"):
                raise Skip("no mpirun")
            command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), *command]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False, env={**os.environ, **(env or {})})
        if "no GPU can be used" in done.stdout:
            raise Skip("no GPU")
        if "needs NCCL: " in done.stdout or "built without NCCL" in done.stdout:
            raise Skip("no NCCL")
        if "built without MPI" in done.stdout:
            raise Skip("no MPI")
        return done.returncode, done.stdout

    def must(self, *words, **how):
        code, said = self.tdbg(*words, **how)
        check(code == 0, f"exit code {code} of {' '.join(words)}: {said}")
        return said

    def trace(self, name):
        return os.path.join(self.folder, f"{name}.h5")

    def on_gpu(self, name, keys, **how):
        sets = [word for key in keys for word in ("--set", key)]
        self.must(*self.begin, "-o", self.trace(name), "--device", "cuda", *sets, **how)

    def on_cpu(self, lanes):
        self.must(*self.begin, "-o", self.trace("cpu"), "--device", "cpu", "--set",
                  f"engine.lanes={lanes}")

    def info(self, name):
        return json.loads(self.must("info", self.trace(name), "--json"))

    def check_same(self, name):
        check(self.info(name)["chain"] == self.info("cpu")["chain"],
              f"{name} has another chain than the CPU's run")
        said = self.must("diff", self.trace("cpu"), self.trace(name))
        check(re.search(r"^same: ", said, re.M), said)
        said = self.must("replay", self.trace(name), "--verify", "-q", "--device", "cpu")
        check(", 0 differ" in said, said)

    def gpus(self):
        """How many there are."""
        if not shutil.which("nvidia-smi"):
            return int(os.environ.get("TDBG_EMULATED_GPUS", "1"))
        said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
        return len(re.findall(r"^GPU \d+:", said.stdout, re.M))


def one_rank_by_nccl(runs):
    for algorithm in ("strict", "native"):
        runs.on_gpu(algorithm, [NCCL, f'engine.comm.algorithm="{algorithm}"'])
        said = json.loads(runs.info(algorithm)["environment"])
        check(said["nccl"] > 20000 and said["device"] == "cuda", f"the environment: {said}")
    runs.on_cpu(1)
    for algorithm in ("strict", "native"):
        runs.check_same(algorithm)


def two_ranks_by_mpi(runs):
    runs.on_gpu("two", ['engine.comm.backend="mpi"'], ranks=2, env={"CUDA_VISIBLE_DEVICES": "0"})
    runs.on_cpu(2)
    runs.check_same("two")


def two_ranks_by_nccl(runs):
    code, said = runs.tdbg(*runs.begin, "-o", runs.trace("two"), "--device", "cuda", "--set", NCCL,
                           ranks=2, env={"CUDA_VISIBLE_DEVICES": "0"})
    check(code == 4, f"exit code {code}: {said}")
    for text in ("ranks 0 and 1 share GPU 0, and NCCL takes one rank for each GPU",
                 'hint: engine.comm.backend = "mpi" does it'):
        check(said.count(text) == 1, said)
    check(not os.path.exists(runs.trace("two")), "a trace is left")


def a_gpu_each_by_nccl(runs):
    n = min(runs.gpus(), 8)
    n = 1 << (n.bit_length() - 1) if n > 0 else 0
    if n < 2:
        raise Skip("one GPU")
    runs.on_gpu("each", [NCCL, "engine.comm.bucket_mib=0.25"], ranks=n)
    runs.on_cpu(n)
    runs.check_same("each")


def main():
    cases = {f.__name__: f for f in (one_rank_by_nccl, two_ranks_by_mpi, two_ranks_by_nccl,
                                     a_gpu_each_by_nccl)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=sorted(cases))
    parser.add_argument("--tdbg", default=os.path.join(ROOT, "build", "tdbg"), metavar="PROGRAM")
    parser.add_argument("--example", default=os.path.join(ROOT, "examples", "fashion_cnn.cfg"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", action="append", default=["eval.every=30", "eval.batches=4"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            cases[args.case](Runs(args, folder))
        except Skip as reason:
            print(f"skipped: {reason}")
            sys.exit(SKIPPED)
        except Failure as failure:
            sys.exit(f"failed: {failure}")
    print(f"{args.case}: ok")


main()
