#!/usr/bin/env python3
"""End-to-end tests of several ranks: the same bits at any number, and a trace of each.

    e2e_ranks.py CASE       runs one case (tests/meson.build lists them)
"""
import os
import subprocess
import sys
import tempfile

import e2e
from e2e import check, info, record, run, small_config
from e2e_train import NORMS

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def digests(trace):
    """Digests of all ranks' files together, by site, lane and micro-batch. What several ranks have
    has to be the same in all of them."""
    import h5py
    with h5py.File(trace, "r") as f:
        n, merged = int(f.attrs["world_size"]), {}
        for rank in range(n):
            part = f[f"ranks/{rank}"] if rank else f
            check(part.attrs["rank"] == rank and part.attrs["world_size"] == n and
                  part.attrs["run_uuid"] == f.attrs["run_uuid"], f"{trace}: head of rank {rank}")
            table = part["digest"][:]
            for i, site in enumerate(part["sites"][:]):
                key = site["name"].decode(), int(site["lane"]), int(site["micro"])
                mine = table[:, i].tolist()
                check(merged.setdefault(key, mine) == mine, f"{trace}: {key} of rank {rank}")
        return merged


def same_digests(a, b):
    check(a.keys() == b.keys(), f"other sites: {a.keys() ^ b.keys()}")
    bad = [key for key in a if a[key] != b[key]]
    check(not bad, f"{len(bad)} of {len(a)} sites differ, the first is {bad[:1]}")


def ranks(n):
    return ["--set", f"engine.ranks_in_process={n}"]


@case
def any_number_of_ranks_gives_the_same_bits(folder):
    """S lanes on N ranks, in threads: the digests of all sites of all steps, values of all that is
    shared, and the chain."""
    config = small_config(folder, batch=23)
    cuts = ((2, (2,)), (3, (3,)), (4, (4,)), (7, (7,)), (8, (2, 4, 8)))
    for lanes, counts in cuts:
        synchronised = NORMS.replace('op="batch_norm";', 'op="batch_norm"; sync=true;')
        for extra in ([], ["--set", NORMS], ["--set", synchronised, "--set", "engine.accumulate=2"],
                      ["--set", "engine.accumulate=2", "--set", "engine.comm.bucket_mib=0.001"]):
            one = f"{folder}/one.h5"
            record(config, one, "--force", "--set", f"engine.lanes={lanes}", *extra)
            expected = digests(one)
            for n in counts:
                many = f"{folder}/many.h5"
                # without lanes there are as many as there are ranks
                cut = [] if n == lanes else ["--set", f"engine.lanes={lanes}"]
                record(config, many, "--force", *ranks(n), *cut, *extra)
                same_digests(expected, digests(many))
                check(info(many)["chain"] == info(one)["chain"], f"chain of {n} ranks")
                check("sound" in run("fsck", many).stdout, f"fsck of {n} ranks")


@case
def reductions_are_stored_once(folder):
    """reduce_out is in rank 0's file, reduce_in of a lane in that of its rank."""
    import h5py
    config = small_config(folder)
    for solo in ("true", "false"):
        trace = f"{folder}/{solo}.h5"
        record(config, trace, *ranks(3), "--set", f"record.solo_replay={solo}")
        with h5py.File(trace, "r") as f:
            for rank in range(3):
                part = f[f"ranks/{rank}"] if rank else f
                for site in part["sites"][:]:
                    where = site["store"].decode(), site["stage"].decode()
                    if where[1] == "reduce_in":
                        check(where[0] == "packed" and site["lane"] == rank, where)
                    if where[1] in ("reduce_out", "eval"):
                        check((where[0] == "packed") == (solo == "true" and rank == 0), where)
    total = None
    for rank in range(3):
        with h5py.File(f"{folder}/true{'' if rank == 0 else f'.rank{rank}'}.h5", "r") as f:
            mine = e2e.stored(f, "reduce_in/fc2.bias", 7, lane=rank)
            total = mine if total is None else total + mine
            if rank == 0:
                reduced = e2e.stored(f, "reduce_out/fc2.bias", 7)
    check((total == reduced).all(), "(lane 0 + lane 1) + lane 2")
    for name in ("true.h5", "true.rank2.h5"):
        subprocess.run([sys.executable, os.path.join(e2e.SOURCE, "tests", "trace", "check_h5py.py"),
                        f"{folder}/{name}"], check=True)


@case
def a_sum_is_the_mean_times_the_ranks(folder):
    """engine.comm.op = "sum": the gradients, and not the loss, are as many times as large."""
    import h5py
    config = small_config(folder, steps=1)
    grads = {}
    for op in ("mean", "sum"):
        trace = f"{folder}/{op}.h5"
        record(config, trace, *ranks(4), "--set", f"engine.comm.op={op}", "--set",
               "record.preset=full")
        with h5py.File(trace, "r") as f:
            grads[op] = e2e.stored(f, "grad/fc2.bias", 0), f["steps"][0]["loss"]
    check((grads["sum"][0] == 4 * grads["mean"][0]).all(), grads)
    check(grads["sum"][1] == grads["mean"][1], grads)


@case
def lanes_that_cannot_be_shared_out(folder):
    config = small_config(folder)
    for lanes, n in ((6, 4), (6, 2), (2, 4)):
        out = run("record", config, "-o", f"{folder}/a.h5", *ranks(n), "--set",
                  f"engine.lanes={lanes}", code=2).stderr
        check(f"{lanes} lanes cannot be shared out among {n} ranks" in out, out)


@case
def ranks_go_on(folder):
    """--resume of a run of several ranks: each from its own trace, with its running statistics."""
    config, whole, part = small_config(folder, steps=13), f"{folder}/whole.h5", f"{folder}/part.h5"
    sets = [*ranks(2), "--set", NORMS]
    record(config, whole, *sets)
    record(config, part, *sets)
    for k in (5, 10):
        more = f"{folder}/more{k}.h5"
        run("record", "--resume", part, "--at-step", k, "-o", more, "-q")
        rest = {key: values[k:] for key, values in digests(whole).items()}
        same_digests(rest, digests(more))
        check(info(more)["chain"] == info(whole)["chain"], "the chain goes on")
    os.remove(f"{folder}/part.rank1.h5")
    out = run("record", "--resume", part, "-o", f"{folder}/b.h5", code=3).stderr
    check("part.rank1.h5" in out, out)


def fault(**keys):
    words = [f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in keys.items()]
    return ["--set", "inject=({" + "; ".join(words) + ";})"]


@case
def planted_faults_are_where_they_were_put(folder):
    """Each kind in each stage: the trace differs from a healthy one first at that step, rank and
    site, and there in what the fault changes; `inject` is told apart from the config."""
    import h5py
    import numpy as np
    config, step = small_config(folder), 6
    sets = [*ranks(3), "--set", "record.preset=full"]
    record(config, f"{folder}/good.h5", *sets)

    def rank_file(name, rank):
        return h5py.File(f"{folder}/{name}{f'.rank{rank}' if rank else ''}.h5", "r")

    def first_difference(rank):
        with rank_file("good", rank) as a, rank_file("bad", rank) as b:
            differs = np.argwhere(a["digest"][:] != b["digest"][:])
            return None if not len(differs) else \
                (int(differs[0][0]), a["sites"][int(differs[0][1])]["name"].decode())

    for kind, site, keys in (
            ("bitflip", "reduce_in/fc1.weight", {"element": 17}), ("zero", "grad/fc2.bias", {}),
            ("scale", "param/fc1.bias", {"by": 3.0}), ("stale", "reduce_in/fc1.weight", {}),
            ("zero", "reduce_out/fc2.weight", {"element": 3}),
            ("drop", "reduce_in/fc1.weight", {}), ("bitflip", "optim/fc2.bias.exp_avg", {"bit": 3}),
            ("stale", "reduce_out/fc2.bias", {"element": 1})):
        for rank in (0, 2):
            record(config, f"{folder}/bad.h5", "--force", *sets,
                   *fault(step=step, rank=rank, site=site, kind=kind, **keys))
            seen = site if kind != "drop" else site.replace("reduce_in", "reduce_out")
            check(first_difference(rank) == (step, seen), f"{kind} in {site} of rank {rank}: "
                  f"{first_difference(rank)}")
            shared = site.startswith("reduce_in")
            other = first_difference(1)
            check(other[0] == step if shared else other[0] > step, f"{kind} in {site}: rank 1 has "
                  f"{other}")
            lane = rank if site.startswith("reduce_in") else -1
            with rank_file("good", rank) as a, rank_file("bad", rank) as b:
                good, bad = (e2e.stored(f, site, step, lane=lane).ravel() for f in (a, b))
                before = e2e.stored(a, site, step - 1, lane=lane).ravel()
                check(kind in b["run/inject"].asstr()[()] and not a["run/inject"].asstr()[()],
                      "/run/inject")
                check(a["run/config"].asstr()[()] == b["run/config"].asstr()[()], "/run/config")
            at = keys.get("element", 0 if kind == "bitflip" else slice(None))
            expected = good.copy()
            if kind == "bitflip":
                expected.view(np.uint32)[at] ^= 1 << keys.get("bit", 22)
            elif kind != "drop":
                expected[at] = {"zero": 0 * good, "scale": 3 * good, "stale": before}[kind][at]
            check((expected == bad).all() and (kind == "drop" or (good != bad).any()),
                  f"{kind} in {site} of rank {rank}")


@case
def faults_that_cannot_be_planted(folder):
    config = small_config(folder)
    for keys, text in (
            ({"site": "reduce_in/fc1.weight", "kind": "bitflap"}, "bitflip"),
            ({"site": "reduce_in/fc9.weight", "kind": "zero"}, "there is no site"),
            ({"site": "fwd/fc1", "kind": "zero"}, "cannot be in 'fwd/fc1'"),
            ({"site": "grad/fc1.bias", "kind": "drop"}, "cannot be in 'grad/fc1.bias'"),
            ({"site": "grad/fc1.bias", "kind": "zero", "element": 19}, "has 19 elements"),
            ({"site": "grad/fc1.bias", "kind": "zero", "rank": 3}, "there is no rank 3"),
            ({"site": "reduce_in/fc1.bias", "kind": "zero", "lane": 2}, "of that lane"),
            ({"site": "grad/fc1.bias"}, "kind")):
        out = run("record", config, "-o", f"{folder}/a.h5", *ranks(2), *fault(step=3, **keys),
                  code=2).stderr
        check(text in out, out)
    out = run("record", config, "-o", f"{folder}/a.h5", *ranks(2),
              *fault(step=0, site="grad/fc1.bias", kind="stale"), code=2).stderr
    check("no step before it" in out, out)
    check(not [n for n in os.listdir(folder) if n.endswith(".h5")], "no trace is left")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        CASES[sys.argv[1]](work)
    print(f"{sys.argv[1]}: ok")
