#!/usr/bin/env python3
"""End-to-end tests of training: against a float64 model, samplers, resuming, blocks, precision.

    e2e_train.py CASE       runs one case (tests/meson.build lists them)
"""
import os
import re
import signal
import subprocess
import time

import e2e
from e2e import check, info, record, run, small_config, stored, verified

CASES, case = e2e.case_table()


def same(a, b):
    """diff of two traces says that all steps which both have are the same."""
    out = run("diff", a, b).stdout
    check(re.search(r"^same: ", out, re.M), out)


BLOCKS = ('model=({op="flatten";}, {op="linear"; name="in"; out=8;}, {op="residual"; name="block"; '
          'repeat=2; body=({op="linear"; name="a"; out=6; init="kaiming_normal";}, {op="relu";}, '
          '{op="linear"; name="b"; out=8;});}, {op="linear"; name="w"; out=8; bias=false;}, '
          '{op="linear"; name="v"; out=8; tie="w";}, {op="linear"; name="out"; out=5;})')


@case
def resume_equals_the_uninterrupted_run(folder):
    """From every keyframe, with lanes and micro-batches, and with the chain of the whole run."""
    config, whole = small_config(folder, steps=23), f"{folder}/whole.h5"
    sets = ["--set", "engine.lanes=3", "--set", "engine.accumulate=2", "--set", BLOCKS]
    record(config, whole, *sets)
    record(config, f"{folder}/part.h5", *sets)
    for k in range(0, 23, 5):
        more = f"{folder}/more{k}.h5"
        run("record", "--resume", f"{folder}/part.h5", "--at-step", k, "-o", more, "-q")
        check(f"{23 - k} of {23 - k} steps" in verified(more), "a resumed run verifies")
        same(whole, more)
        check(info(more)["chain"] == info(whole)["chain"], "the chain goes on")
        check(info(more)["parent_uuid"] == info(f"{folder}/part.h5")["uuid"], "the parent is named")
        check("sound" in run("fsck", more).stdout, "fsck of a resumed run")


@case
def resume_after_kill(folder):
    """A killed recording goes on from its last keyframe, with the bits of one that was not killed."""
    config, trace = small_config(folder), f"{folder}/killed.h5"
    process = subprocess.Popen([e2e.TDBG, "record", config, "-o", trace, "--steps", "1000000", "-q"])
    while process.poll() is None:
        time.sleep(0.05)
        if run("info", trace, code=None).returncode == 0:
            process.send_signal(signal.SIGKILL)
            process.wait()
    check(process.returncode == -signal.SIGKILL, "the recording was killed")
    steps = info(trace)["steps"] + 20
    more, whole = f"{folder}/more.h5", f"{folder}/whole.h5"
    run("record", "--resume", trace, "--steps", steps, "-o", more, "-q")
    record(config, whole, "--steps", steps)
    check("0 differ" in verified(more), "verifies")
    same(whole, more)
    check(info(more)["chain"] == info(whole)["chain"], "the chain goes on")


@case
def resume_refuses(folder):
    config, trace = small_config(folder), f"{folder}/a.h5"
    record(config, trace)
    err = run("record", "--resume", trace, "--at-step", 7, "-o", f"{folder}/b.h5", code=2).stderr
    check("no keyframe before step 7" in err and "before step 5" in err, err)
    err = run("record", "--resume", trace, "--steps", 5, "-o", f"{folder}/b.h5", code=2).stderr
    check("--steps N makes the run longer" in err, err)
    err = run("record", "--resume", trace, "-o", trace, "--force", code=2).stderr
    check("is the trace to go on from" in err, err)
    err = run("record", config, "--at-step", 5, "-o", f"{folder}/b.h5", code=2).stderr
    check("--resume" in err, err)
    err = run("record", "--resume", trace, "--set", "optimizer={kind=\"sgd\"; lr=0.1; momentum=0.9;}",
              "-o", f"{folder}/b.h5", code=None)
    check(err.returncode != 0 and "keyframes of" in err.stderr, err.stderr)
    e2e.write_idx(f"{folder}/train-y.gz", bytes(i % 5 for i in range(95)), (95,))
    err = run("record", "--resume", trace, "-o", f"{folder}/b.h5", code=None)
    check(err.returncode != 0 and "fingerprint" in err.stderr, err.stderr)


@case
def a_fork_names_its_parent_and_its_change(folder):
    config, a, b = small_config(folder), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a)
    run("record", "--resume", a, "--at-step", 5, "--set", "optimizer.lr=0.02", "-o", b, "-q")
    check("0 differ" in verified(b), "a fork verifies")
    out = run("diff", a, b, code=1).stdout
    check("optimizer.lr: 0.01 -> 0.02" in out and "first difference: step 5, site hyper/lr" in out,
          out)


@case
def blocks_and_bf16_verify(folder):
    config = small_config(folder)
    record(config, f"{folder}/f32.h5", "--set", BLOCKS, "--set", "record.preset=full")
    record(config, f"{folder}/bf16.h5", "--set", BLOCKS, "--set", "record.preset=full", "--set",
           "engine.precision=bf16")
    for name in ("f32", "bf16"):
        check("12 of 12 steps" in verified(f"{folder}/{name}.h5"), name)
        for isa in ("portable", "avx2"):
            for threads in (1, 3):
                other = f"{folder}/{name}-{isa}-{threads}.h5"
                record(config, other, "--set", BLOCKS, "--set", f"engine.precision={name}", "--isa",
                       isa, "--threads", threads, "--set", "record.preset=full")
                same(f"{folder}/{name}.h5", other)
    losses = [info(f"{folder}/{name}.h5")["loss"] for name in ("f32", "bf16")]
    check(losses[0] != losses[1] and abs(losses[0] - losses[1]) < 0.1, f"losses {losses}")
    shown = run("show", f"{folder}/bf16.h5", "fwd/block1.a", "--step", 3).stdout
    check("bf16" in shown, shown)


NORMS = ('model=({op="batch_norm"; name="bn0"; affine=false;}, {op="flatten";}, '
         '{op="linear"; name="fc1"; out=300;}, {op="batch_norm"; name="bn1";}, {op="relu";}, '
         '{op="linear"; name="fc2"; out=256;}, {op="layer_norm"; name="ln";}, {op="relu";}, '
         '{op="rms_norm"; name="rms";}, {op="linear"; name="out"; out=5;})')


@case
def norms_record_resume_and_verify(folder):
    """Running statistics are state: of each lane, in keyframes, and used by evaluation. The parts
    have 7 and 8 samples, of which 7 need the larger workspace."""
    config, whole = small_config(folder, steps=13, batch=30), f"{folder}/whole.h5"
    sets = ["--set", "engine.lanes=2", "--set", "engine.accumulate=2", "--set", NORMS]
    record(config, whole, *sets)
    check("13 of 13 steps" in verified(whole), "verifies")
    check("9 of 9 steps" in verified(whole, "--from", 4), "verifies from a keyframe on")
    for isa in "portable", "auto":
        record(config, f"{folder}/{isa}.h5", *sets, "--isa", isa, "--threads", 2)
        same(whole, f"{folder}/{isa}.h5")
    run("record", "--resume", whole, "--at-step", 10, "-o", f"{folder}/more.h5", "-q")
    same(whole, f"{folder}/more.h5")
    mean = run("show", whole, "state/bn1.running_mean", "--step", 12).stdout
    check(re.search(r"^rms +0.[0-9]", mean, re.M) and re.search(r"^nans +0$", mean, re.M), mean)


@case
def transformers_record_and_verify(folder):
    """The examples with attention, a few steps of each, also in two lanes and bf16."""
    for name in ("text_gpt", "fashion_vit"):
        config, trace = os.path.join(e2e.SOURCE, "examples", f"{name}.cfg"), f"{folder}/{name}.h5"
        few = ["--steps", 3, "--set", "eval.every=3", "--set", "eval.batches=1"]
        record(config, trace, *few)
        check("3 of 3 steps" in verified(trace), name)
        check("accuracy" in run("info", trace).stdout, "info tells the accuracy")
        record(config, trace, "--force", *few, "--set", "engine.lanes=2", "--set",
               "engine.precision=bf16", "--set", "data.batch=4")
        check("3 of 3 steps" in verified(trace), f"{name} in bf16")


def reference_step(np, f, step, names, x, y):
    """One training step of the small model in float64 from the recorded parameters before it."""
    def before(name):
        if step == 0:
            return f["keyframe/" + name][0].astype(np.float64)
        return stored(f, "param/" + name, step - 1).astype(np.float64)
    w1, b1, w2, b2 = (before(n) for n in names)
    x = x.reshape(len(x), -1).astype(np.float64) * float(np.float32(0.01))
    h = x @ w1.T + b1
    a = np.maximum(h, 0)
    z = a @ w2.T + b2
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    dz = p.copy()
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    dh = (dz @ w2) * (h > 0)
    return loss, {"fc1.weight": dh.T @ x, "fc1.bias": dh.sum(0),
                  "fc2.weight": dz.T @ a, "fc2.bias": dz.sum(0)}


def reference_update(np, kind, step, param, grad, state):
    """PyTorch's formulas in float64; state holds the averages and changes in place."""
    if kind == "sgd":
        grad = grad + 0.01 * param
        state["buf"] = 0.9 * state["buf"] + grad
        return param - 0.1 * (grad + 0.9 * state["buf"])
    state["m"] = 0.9 * state["m"] + 0.1 * grad
    state["v"] = 0.999 * state["v"] + 0.001 * grad * grad
    m, v = state["m"] / (1 - 0.9 ** (step + 1)), state["v"] / (1 - 0.999 ** (step + 1))
    return param * (1 - 0.01 * 0.01) - 0.01 * m / (np.sqrt(v) + 1e-8)


@case
def training_equals_a_float64_reference(folder):
    """Every loss, gradient and update of a run against an independent model in float64."""
    import h5py
    import numpy as np
    names = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
    sgd = 'optimizer={kind="sgd";lr=0.1;momentum=0.9;nesterov=true;weight_decay=0.01;}'
    for kind, sets in (("adamw", ()), ("sgd", ("--set", sgd)),
                       ("adamw", ("--set", "engine.lanes=3", "--set", "engine.accumulate=2"))):
        record(small_config(folder, steps=10), f"{folder}/a.h5", "--force", "--set",
               "record.preset=full", *sets)
        with h5py.File(f"{folder}/a.h5") as f:
            row_of = {int(i): r for r, i in enumerate(f["samples/train/id"][:])}
            state = {n: {"m": 0.0, "v": 0.0, "buf": 0.0} for n in names}
            for step in range(10):
                rows = [row_of[int(i)] for i in f["samples/train/batch"][step]]
                x = np.stack([f["samples/train/x"][r] for r in rows])
                y = np.array([f["samples/train/y"][r] for r in rows]).ravel()
                loss, grads = reference_step(np, f, step, names, x, y)
                check(abs(loss - f["steps"][step]["loss"]) < 1e-6 * abs(loss), f"loss {step}")
                for n in names:
                    got = stored(f, "grad/" + n, step)
                    worst = np.abs(got - grads[n]).max() / np.abs(grads[n]).max()
                    check(worst < 2e-6, f"{kind} grad/{n} step {step}: {worst}")
                    old = (f["keyframe/" + n][0] if step == 0 else
                           stored(f, "param/" + n, step - 1))
                    new = reference_update(np, kind, step, old.astype(np.float64),
                                           got.astype(np.float64), state[n])
                    worst = np.abs(stored(f, "param/" + n, step) - new).max()
                    check(worst < 1e-6, f"{kind} param/{n} step {step}: {worst}")


@case
def sampler_visits_each_sample_once(folder):
    import h5py
    config = small_config(folder, steps=30, data="drop_last = false;")
    for reshuffle in ("true", "false"):
        record(config, f"{folder}/a.h5", "--force", "--set", f"data.sampler.reshuffle={reshuffle}")
        with h5py.File(f"{folder}/a.h5") as f:
            batches = [[int(i) for i in row if i >= 0] for row in f["samples/train/batch"][:]]
            check(list(f["steps"]["samples"][:10]) == [10] * 9 + [5], "the last batch is shorter")
        epochs = [sum(batches[e * 10:e * 10 + 10], []) for e in range(3)]
        for order in epochs:
            check(sorted(order) == list(range(95)), "each sample once per epoch")
        check((epochs[0] == epochs[1]) == (reshuffle == "false"), "reshuffled per epoch")
        check(epochs[0] != sorted(epochs[0]), "shuffled")


if __name__ == "__main__":
    e2e.main(CASES)
