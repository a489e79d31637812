#!/usr/bin/env python3
"""End-to-end tests of reading traces of several ranks: verify together and alone, diff, info, show,
and what is said when files are missing, damaged, of another run, or not what was computed.

    e2e_ranks_read.py CASE   runs one case (tests/meson.build lists them)
"""
import json
import os
import re
import shutil
import sys
import tempfile

import e2e
from e2e import check, info, mix_digest, record, run, small_config, verified
from e2e_train import NORMS

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def path_of(trace, rank):
    return trace if rank == 0 else f"{trace[:-3]}.rank{rank}.h5"


def record_ranks(config, trace, n, *extra, **kwargs):
    record(config, trace, "--force", "--set", f"engine.ranks_in_process={n}", *extra, **kwargs)


def copy_ranks(trace, to, n):
    for r in range(n):
        shutil.copy(path_of(trace, r), path_of(to, r))


def sets(*assignments):
    return [word for text in assignments for word in ("--set", text)]


@case
def ranks_verify_together_and_alone(folder):
    """All ranks as one, and each alone: with the sums of rank 0's file, and where these are not
    stored with those of what went in."""
    config, trace = small_config(folder, batch=23), f"{folder}/t.h5"
    variants = [(2, sets("engine.lanes=8", "engine.accumulate=2")), (3, sets(NORMS)),
                (4, sets('engine.comm.op="sum"', "engine.comm.bucket_mib=0.001")),
                (2, sets('record.preset="full"', 'record.keyframe=3'))]
    for n, extra in variants:
        for solo in ("true", "false"):
            record_ranks(config, trace, n, *extra, "--set", f"record.solo_replay={solo}")
            for r in range(n):
                out = verified(path_of(trace, r))
                check("12 of 12 steps" in out and f"{n} of {n} ranks, 0 differ" in out, out)
                out = verified(trace, "--rank", r)
                check("12 of 12 steps" in out and f"of rank {r} of {n}, 0 differ" in out, out)
                lacks = solo == "false" and r > 0 and 'record.preset="full"' not in extra
                check(("not verified: eval" in out) == lacks, out)
            out = verified(trace, "--from", 7)
            check("verified 5 of 5 steps" in out and ", 0 differ" in out, out)
    one = f"{folder}/one.h5"
    record(config, one)
    run("replay", one, "--verify", "--rank", 1, code=2)
    check("12 of 12 steps" in verified(one, "--rank", 0), "rank 0 of one")


@case
def light_ranks_verify_together_only(folder):
    config, trace = small_config(folder), f"{folder}/t.h5"
    record_ranks(config, trace, 2, *sets('record.preset="light"'))
    check("2 of 2 ranks, 0 differ" in verified(trace), "together")
    out = run("replay", trace, "--verify", "--rank", 1, code=125).stderr
    check("rank 1 cannot be executed alone at step 0" in out and
          "does not hold the values of reduce_out/" in out and
          "does not hold the values of reduce_in/" in out and "executes all ranks" in out, out)
    # what one rank cannot compute alone is computed with all of them
    mine = run("show", trace, "fwd/fc2", "--step", 7, "--rank", 1, "--values").stdout
    record(config, f"{folder}/one.h5", *sets("engine.lanes=2"))
    check(mine == run("show", f"{folder}/one.h5", "fwd/fc2", "--step", 7, "--lane", 1,
                      "--values").stdout, mine)


@case
def missing_files_are_named(folder):
    """Each file in turn: what is there is verified, and what is not is said."""
    config, good, trace = small_config(folder, batch=23), f"{folder}/good.h5", f"{folder}/a/t.h5"
    record_ranks(config, good, 3, *sets(NORMS, "engine.lanes=6"))
    os.mkdir(f"{folder}/a")
    for gone in range(3):
        copy_ranks(good, trace, 3)
        os.unlink(path_of(trace, gone))
        there = [r for r in range(3) if r != gone]
        for asked in there:
            out = verified(path_of(trace, asked))
            check("12 of 12 steps" in out and "2 of 3 ranks, 0 differ" in out and
                  f"not verified: rank {gone}: the file of rank {gone}" in out and
                  ("not verified: eval" in out) == (gone == 0), out)
            out = verified(path_of(trace, asked), "--from", 6)
            check("6 of 6 steps" in out and ", 0 differ" in out, out)
            ranks = info(path_of(trace, asked))["ranks"]
            check([r["state"] for r in ranks] == ["missing" if r == gone else "there"
                                                  for r in range(3)], ranks)
            check(run("diff", path_of(trace, asked), good, code=0).stdout.startswith("sites only"),
                  "diff of what is there")
        code = 0 if gone else 125
        for r in there:
            out = run("replay", path_of(trace, there[0]), "--verify", "-q", "--rank", r, code=code)
            check(", 0 differ" in out.stdout if gone else "the file of rank 0" in out.stderr,
                  out.stdout + out.stderr)
        out = run("replay", path_of(trace, there[0]), "--verify", "--rank", gone, code=3).stderr
        check(f"the file of rank {gone}" in out and "is not there" in out, out)
        run("show", path_of(trace, there[0]), "loss", "--step", 3, "--rank", gone, code=3)
    # a file that was given another name still leads to the others
    copy_ranks(good, trace, 3)
    shutil.copy(good, f"{folder}/renamed.h5")
    check("3 of 3 ranks" in verified(f"{folder}/renamed.h5"), "by its links")
    copy_ranks(good, trace, 3)
    os.unlink(trace)
    out = run("replay", trace, "--verify", code=3).stderr
    check(f"hint: {path_of(trace, 1)} is there" in out, out)


@case
def files_of_another_run_are_refused(folder):
    config, trace, other = small_config(folder), f"{folder}/t.h5", f"{folder}/o.h5"
    record_ranks(config, trace, 3)
    record_ranks(config, other, 3)
    shutil.copy(path_of(other, 1), path_of(trace, 1))
    text = f"{path_of(trace, 1)} is of another run than {trace}"
    for command in (("replay", trace, "--verify"), ("diff", trace, other),
                    ("show", trace, "loss", "--step", 1, "--rank", 1)):
        out = run(*command, code=3).stderr
        check(text in out, out)
    check([r["state"] for r in info(trace)["ranks"]] == ["there", "foreign", "there"], "info")
    check("damaged: " + text in run("fsck", trace, code=3).stdout, "fsck")
    # the right run, the wrong rank
    shutil.copy(path_of(trace, 2), path_of(trace, 1))
    out = run("replay", trace, "--verify", code=3).stderr
    check("is the file of rank 2, not of rank 1" in out, out)
    # a damaged one is left out, and the exit code says so
    with open(path_of(trace, 1), "r+b") as f:
        f.truncate(3000)
    out = run("replay", trace, "--verify", "-q", code=3)
    check("2 of 3 ranks, 0 differ" in out.stdout and "not verified: rank 1: cannot open" in
          out.stdout, out.stdout)
    check([r["state"] for r in info(trace)["ranks"]] == ["there", "broken", "there"], "info")


def flip(path, name, step, lane, element, rewrite):
    """Flips the lowest bit of an element of a packed value; rewrites its digest, too."""
    import h5py
    import numpy as np
    with h5py.File(path, "r+") as f:
        sites = f["sites"][:]
        number = [i for i, s in enumerate(sites)
                  if s["name"] == name.encode() and s["lane"] == lane][0]
        site = sites[number]
        packed = f[f"packed/{site['stage'].decode()}/{site['dtype'].decode()}"]
        at, n = site["packed_offset"], int(np.prod(site["shape"][:site["ndim"]]))
        row = packed[step]
        row.view(np.uint32)[at + element] ^= 1
        packed[step] = row
        if rewrite:
            f["digest"][step, number] = mix_digest(row[at:at + n].view(np.uint32))


@case
def flipped_bits_fail(folder):
    """In what went into a reduction, in what came out, in samples and in keyframes."""
    import h5py
    import numpy as np
    config, good, trace = small_config(folder, batch=23), f"{folder}/good.h5", f"{folder}/t.h5"
    record_ranks(config, good, 3)

    def fails(text, *args):
        done = run("replay", trace, "--verify", "-q", *args, code=None)
        out = done.stdout + done.stderr
        check(done.returncode in (1, 3) and text in out, f"{text}: {done.returncode}: {out}")
        return out

    for rewrite in (False, True):
        copy_ranks(good, trace, 3)
        flip(path_of(trace, 2), "reduce_in/fc1.weight", 6, 2, 17, rewrite)
        out = fails("reduce_in/fc1.weight lane 2")
        fails("reduce_in/fc1.weight", "--rank", 2)
        if rewrite:
            check("step 6, rank 2, site reduce_in/fc1.weight lane 2" in out and "[1, 5]" in out and
                  "1 of 228 elements differ" in out and "1 differ" in out, out)
        check(", 0 differ" in verified(trace, "--rank", 1), "rank 1 takes the sum")

        copy_ranks(good, trace, 3)
        flip(trace, "reduce_out/fc2.bias", 6, -1, 3, rewrite)
        out = fails("reduce_out/fc2.bias")
        if rewrite:
            check("step 6, rank 0, site reduce_out/fc2.bias" in out and "[3]" in out and
                  "rank 0 differs from the others, which are as re-executed" in out, out)
        for r in range(3): # rank 0's digest agrees with its sum, but the gradient does not
            fails("grad/fc2.bias" if rewrite and r == 0 else "reduce_out/fc2.bias", "--rank", r)
        # the sum is changed in all files, and their digests with it
        if rewrite:
            with h5py.File(trace, "r") as f:
                column = e2e.site_row(f, "reduce_out/fc2.bias")
                digest = f["digest"][6, column]
            for r in (1, 2):
                with h5py.File(path_of(trace, r), "r+") as f:
                    f["digest"][6, e2e.site_row(f, "reduce_out/fc2.bias")] = digest
            check("all 3 ranks" in fails("reduce_out/fc2.bias"), "all ranks")
            for r in (1, 2):
                fails("grad/fc2.bias", "--rank", r)

    # without the sums, what went in is used: a changed value of another rank is found by its sum
    record_ranks(config, good, 3, *sets("record.solo_replay=false"))
    copy_ranks(good, trace, 3)
    flip(path_of(trace, 2), "reduce_in/fc2.bias", 6, 2, 0, True)
    fails("reduce_out/fc2.bias", "--rank", 1)

    for r in range(3):
        copy_ranks(good, trace, 3)
        with h5py.File(path_of(trace, r), "r+") as f:
            x = f["samples/train/x"][40]
            x.ravel()[5] ^= 1
            f["samples/train/x"][40] = x
        fails("sample")
        copy_ranks(good, trace, 3)
        with h5py.File(path_of(trace, r), "r+") as f:
            w = f["keyframe/fc1.weight"][1]
            w.view(np.uint32).ravel()[17] ^= 1
            f["keyframe/fc1.weight"][1] = w
            f["digest"][5, e2e.site_row(f, "state/fc1.weight")] = mix_digest(
                w.view(np.uint32).ravel())
        out = fails("state/fc1.weight")
        check(f"step 5, rank {r}, site state/fc1.weight" in out and f"rank {r} differs" in out, out)


def fault(**keys):
    text = "; ".join(f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in keys.items())
    return sets(f"inject=({{{text};}})")


@case
def a_rank_that_parts_from_the_others(folder):
    """What was planted is named by verify, diff and info: step, rank, site and element."""
    config, good, bad = small_config(folder, batch=23), f"{folder}/good.h5", f"{folder}/bad.h5"
    record_ranks(config, good, 4)
    record_ranks(config, bad, 4, *fault(step=6, rank=2, site="reduce_in/fc1.weight",
                                        kind="bitflip", element=17))
    first = "first difference: step 6, rank 2, site reduce_in/fc1.weight lane 2"
    for out in (verified(bad, code=1), run("diff", good, bad, code=1).stdout):
        check(first in out and "1 of 228 elements differ" in out and "first [1, 5]" in out, out)
        check("within" not in out, out)
    check(info(bad)["ranks_agree"], "all ranks added the same wrong number")
    check(", 0 differ" in verified(bad, "--rank", 1), "rank 1 did as it was told")
    check(first in verified(bad, "--rank", 2, code=1), "rank 2 did not")

    record_ranks(config, bad, 4, *fault(step=6, rank=2, site="reduce_out/fc1.weight",
                                        kind="stale"))
    out = verified(bad, code=1)
    check("first difference: step 6, rank 2, site reduce_out/fc1.weight" in out and
          "rank 2 differs from the others, which are as re-executed" in out, out)
    out = run("diff", good, bad, code=1).stdout
    check("within B: rank 2 differs from the others, from step 6 on: first in "
          "reduce_out/fc1.weight" in out and
          "first difference: step 6, rank 2 of B, site reduce_out/fc1.weight" in out, out)
    said = info(bad)
    check(not said["ranks_agree"] and said["ranks_differ"] ==
          {"step": 6, "site": "reduce_out/fc1.weight", "ranks": "2"}, said["ranks_differ"])
    out = json.loads(run("diff", bad, good, "--json", code=1).stdout)
    check(out["ranks_differ_a"]["ranks"] == "2" and out["first"]["rank_a"] == 2, out)
    out = json.loads(verified(bad, "--json", code=1))
    check((out["first"]["rank"], out["first"]["step"], out["first"]["ranks_differ"],
           out["first"]["ranks_compared"]) == (2, 6, 1, 4), out)
    # nothing of what they share differs from itself
    check("within A" in run("diff", bad, bad).stdout, "a run beside itself")
    record_ranks(config, bad, 4, *fault(step=6, rank=2, site="reduce_in/fc1.weight", kind="drop"))
    out = verified(bad, code=1)
    check("first difference: step 6, all 4 ranks, site reduce_out/fc1.weight" in out and
          "what rank 2 put in is missing" in out, out)


@case
def diff_across_numbers_of_ranks(folder):
    config = small_config(folder, batch=23)
    traces = {}
    for n in (1, 2, 4):
        traces[n] = f"{folder}/{n}.h5"
        record_ranks(config, traces[n], n, *sets(NORMS, "engine.lanes=4"))
    for a in (1, 2, 4):
        for b in (1, 2, 4):
            out = run("diff", traces[a], traces[b]).stdout
            check(re.search(r"^same: 12 steps, \d+ sites$", out, re.M) and "only in" not in out,
                  out)
    same_sites = {n: re.search(r"same: .*", run("diff", traces[1], traces[n]).stdout)[0]
                  for n in traces}
    check(len(set(same_sites.values())) == 1, same_sites)
    # a lane's value that nothing else hangs on: only its own digest and chain know of it
    import h5py
    import numpy as np
    with h5py.File(path_of(traces[4], 3), "r+") as f:
        column = e2e.site_row(f, "fwd/fc1")
        f["digest"][9, column] = f["digest"][9, column] + np.uint64(1)
    for a, b in ((1, 4), (4, 2)):
        out = run("diff", traces[a], traces[b], code=1).stdout
        check(f"first difference: step 9, rank 3 of {'B' if b == 4 else 'A'}, site fwd/fc1 lane 3" in
              out and "; 1 of " in out, out)
    record_ranks(config, traces[4], 4, *sets(NORMS, "engine.lanes=4", "optimizer.lr=0.02"))
    out = run("diff", traces[1], traces[4], code=1).stdout
    check("first difference: step 0, site hyper/lr" in out, out)


@case
def show_and_export_find_the_rank(folder):
    import h5py
    import numpy as np
    config, one, many = small_config(folder, batch=23), f"{folder}/one.h5", f"{folder}/many.h5"
    record(config, one, *sets("engine.lanes=4"))
    record_ranks(config, many, 2, *sets("engine.lanes=4"))
    for site in ("reduce_in/fc1.weight", "fwd/fc1", "samples/x"):
        for lane in range(4):
            args = (site, "--step", 7, "--lane", lane, "--values")
            check(run("show", many, *args).stdout == run("show", one, *args).stdout, args)
    for rank in (0, 1):
        args = ("eval/loss", "--step", 7, "--values")
        check(run("show", many, *args, "--rank", rank).stdout == run("show", one, *args).stdout,
              args)
        out = f"{folder}/{rank}.npy"
        run("export", many, "reduce_in/fc2.bias", "--lane", 2 * rank + 1, "--format", "npy", "-o",
            out)
        with h5py.File(path_of(many, rank), "r") as f:
            check((np.load(out)[5] == e2e.stored(f, "reduce_in/fc2.bias", 5, 2 * rank + 1)).all(),
                  out)
    run("show", many, "fwd/fc1", "--step", 7, "--rank", 0, "--lane", 3, code=2)
    check("lanes 0 to 3" in run("show", many, "fwd/fc1", "--step", 7, "--lane", 4, code=2).stderr,
          "lane 4")
    check("ranks 0 to 1" in run("show", many, "loss", "--step", 7, "--rank", 2, code=2).stderr,
          "rank 2")
    summary = run("replay", many, "--rank", 1).stdout
    check("rank          1 of 2" in summary, summary)


@case
def each_file_works_alone(folder):
    """pack, recover and fsck of the file of one rank; and ranks that have other steps."""
    config, trace = small_config(folder, batch=23), f"{folder}/t.h5"
    record_ranks(config, trace, 3)
    for r in range(3):
        run("pack", path_of(trace, r), "--steps", "4:9", "-q")
        check(os.path.exists(path_of(f"{folder}/t-4-9.h5", r)), f"packed rank {r}")
        run("recover", path_of(trace, r), "-o", f"{folder}/copy.rank{r}.h5", "-q")
        out = run("fsck", path_of(trace, r)).stdout
        check((f"'tdbg fsck {trace}' checks all" in out) == (r > 0), out)
    out = verified(f"{folder}/t-4-9.h5")
    check("6 of 6 steps" in out and "3 of 3 ranks, 0 differ" in out, out)
    check(", 0 differ" in verified(f"{folder}/t-4-9.h5", "--rank", 2), "a packed rank")
    check("same: 6 steps" in run("diff", trace, f"{folder}/t-4-9.h5").stdout, "its part")
    # rank 2 was killed after step 7, rank 1 lost what was before step 4
    run("pack", path_of(trace, 2), "--steps", "0:7", "-q", "-o", f"{folder}/short.h5")
    os.replace(f"{folder}/short.h5", path_of(trace, 2))
    os.replace(path_of(f"{folder}/t-4-9.h5", 1), path_of(trace, 1))
    out = verified(trace)
    check("12 of 12 steps" in out and "3 of 3 ranks, 0 differ" in out and
          "rank 1 has steps 4 to 9 only" in out and "rank 2 has steps 0 to 7 only" in out, out)
    check([(r["first_step"], r["steps"]) for r in info(trace)["ranks"]] ==
          [(0, 12), (4, 6), (0, 8)], "info")
    check("verified 6 of 6" in verified(trace, "--rank", 1), "alone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        CASES[sys.argv[1]](work)
    print(f"{sys.argv[1]}: ok")
