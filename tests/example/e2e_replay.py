#!/usr/bin/env python3
"""End-to-end tests of what-if and of time travel: forks, dropped samples, going backward.

    e2e_replay.py CASE       runs one case (tests/meson.build lists them)
"""
import os
import re
import shutil

import e2e
from e2e import check, info, record, run, small_config, stored, verified
from e2e_train import BLOCKS, NORMS, same

CASES, case = e2e.case_table()
TIME_TRAVEL = os.path.join(e2e.BUILD, "tests", "time-travel")
NAMES = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")


def fork(trace, out, *args, **kwargs):
    return run("replay", trace, "-o", out, *args, **kwargs)


def sets(*keys):
    return [word for key in keys for word in ("--set", key)]


def batches(trace):
    import h5py
    with h5py.File(trace) as f:
        return {int(row["step"]): [int(i) for i in ids[:row["samples"]]]
                for row, ids in zip(f["steps"][:], f["samples/train/batch"][:])}


@case
def a_fork_without_a_change_is_its_parent(folder):
    """From any step, between keyframes too, with the chains of the whole, and without the data."""
    config = small_config(folder, steps=23)
    for name, keys in (("lanes", ("engine.lanes=3", "engine.accumulate=2", BLOCKS)),
                       ("norms", ("engine.lanes=2", NORMS)),
                       ("bf16", ("engine.precision=bf16", "record.preset=light")),
                       ("full", ("record.preset=full", "clip={ norm=0.5; }"))):
        whole = f"{folder}/{name}.h5"
        record(config, whole, *sets(*keys))
        for k in (0, 3, 10, 14, 22):
            out = f"{folder}/{name}{k}.h5"
            said = fork(whole, out, "--from", k, cwd="/").stderr
            check("nothing is changed" in said, said)
            check(f"{23 - k} of {23 - k} steps" in verified(out), f"{name} from {k} verifies")
            same(whole, out)
            check(info(out)["chain"] == info(whole)["chain"], "the chain goes on")
            check(info(out)["chains"] == info(whole)["chains"], "all chains go on")
            check(info(out)["parent_uuid"] == info(whole)["uuid"], "the parent is named")
            check(info(out)["first_step"] == k, "the first step")
            check("sound" in run("fsck", out).stdout, "fsck")
    run("pack", f"{folder}/full14.h5", "--steps", "16:20", "-o", f"{folder}/packed.h5")
    check("5 of 5 steps" in verified(f"{folder}/packed.h5"), "a part of a fork")


@case
def a_fork_differs_from_where_it_changes(folder):
    config, whole, out = small_config(folder, steps=23), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, whole)
    said = fork(whole, out, "--from", 7, "--to", 17, *sets("optimizer.lr=0.02")).stderr
    check("optimizer.lr: 0.01 -> 0.02" in said and "steps 7 to 17" in said, said)
    check("11 of 11 steps" in verified(out), "verifies by itself")
    text = run("diff", whole, out, code=1).stdout
    check("first difference: step 7, site hyper/lr" in text, text)
    check(re.search(r"steps +7\.\.17 of 23", run("replay", out).stdout), "the summary")
    # a fork of a fork; the default is the last keyframe
    run("replay", out, "--set", "optimizer.lr=0.01", "-o", f"{folder}/c.h5", "-q")
    third = info(f"{folder}/c.h5")
    check(third["first_step"] == 15 and third["parent_uuid"] == info(out)["uuid"], "a second fork")
    check("3 of 3 steps" in verified(f"{folder}/c.h5"), "the second fork verifies")
    # from a keyframe on it is what a resumed recording with the change is
    run("record", "--resume", whole, "--at-step", 5, "-o", f"{folder}/e.h5", "-q",
        *sets("optimizer.lr=0.02"))
    fork(whole, f"{folder}/g.h5", "--from", 5, *sets("optimizer.lr=0.02"))
    same(f"{folder}/e.h5", f"{folder}/g.h5")


@case
def forks_that_make_no_sense_are_refused(folder):
    config, a, b = small_config(folder, steps=23), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a)
    for keys, words in ((("seed=4",), "cannot change seed:"),
                        (("data.batch=5",), "cannot change data.batch:"),
                        (("engine.lanes=2", "engine.accumulate=2"), "engine.lanes, engine.accumul"),
                        (('model=({op="flatten";},{op="linear";name="fc1";out=5;})',), "model["),
                        (("data.shuffle=false",), "cannot change data.shuffle:")):
        err = fork(a, b, *sets(*keys), code=2).stderr
        check(words in err and "keys that may change" in err and "optimizer" in err, err)
    err = fork(a, b, *sets('optimizer={kind="sgd"; lr=0.1;}'), code=2).stderr
    check("does not fit the changed config" in err and "other state" in err, err)
    err = fork(a, b, *sets("optimizer.lerning_rate=1"), code=2).stderr
    check("unknown key" in err, err)
    for args, words in ((("--from", 23), "has steps 0 to 22"), (("--from", 9, "--to", 8), "before"),
                        (("--to", 30), "--set steps=N makes it longer"),
                        (("--drop-sample", "x"), "is not the number of a sample"),
                        (("--drop-sample", 95), "no step of"),
                        (sets("drop_samples=[95]"), "samples 0 to 94"),
                        (("--verify",), "two commands")):
        err = fork(a, b, *args, code=2).stderr
        check(words in err, err)
    step, ids = sorted(batches(a).items())[2]
    err = fork(a, b, "--from", step + 1, "--to", step + 1, "--drop-sample", ids[0], code=2).stderr
    check("do not have this sample, but step" in err, err)
    err = run("replay", a, "--drop-sample", ids[0], code=2).stderr
    check("-o FORK" in err, err)
    err = fork(a, a, "--force", code=2).stderr
    check("is the trace to go on from" in err, err)
    check(not os.path.exists(b), "nothing is left")
    record(config, f"{folder}/ranks.h5", *sets("engine.ranks_in_process=2"))
    err = fork(f"{folder}/ranks.h5", b, code=None)
    check(err.returncode != 0 and "--resume" in err.stderr, err.stderr)


@case
def a_fork_goes_beyond_its_parent_with_the_same_data(folder):
    config, a, b = small_config(folder, steps=13), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a)
    record(config, f"{folder}/whole.h5", "--steps", 20)
    fork(a, b, "--from", 11, "--to", 19, *sets("steps=20"))
    check("9 of 9 steps" in verified(b), "verifies")
    same(f"{folder}/whole.h5", b)
    record(config, f"{folder}/blind.h5", *sets("eval.every=0"))
    shutil.move(f"{folder}/train-y.gz", f"{folder}/y.gz")
    for trace, args, words in (
            (a, ("--to", 19, *sets("steps=20")), "samples of steps 13 to 19 are not in"),
            (f"{folder}/blind.h5", sets("eval.every=2"), "samples to evaluate on are not in")):
        err = fork(trace, f"{folder}/c.h5", *args, code=None)
        check(err.returncode != 0 and words in err.stderr and "cannot read" in err.stderr,
              err.stderr)
    fork(a, f"{folder}/c.h5", *sets("eval.every=2"))
    check("0 differ" in verified(f"{folder}/c.h5"), "evaluation samples of the trace are enough")
    e2e.write_idx(f"{folder}/train-y.gz", bytes(i % 5 for i in range(95)), (95,))
    err = fork(a, f"{folder}/d.h5", "--to", 19, *sets("steps=20"), code=None)
    check(err.returncode != 0 and "fingerprint" in err.stderr, err.stderr)


def reference(np, f, step, y, x, weight, divisor):
    """Loss and gradients in float64 of the small model, each sample with its weight."""
    w1, b1, w2, b2 = (stored(f, "param/" + n, step - 1).astype(np.float64) for n in NAMES)
    x = x.reshape(len(x), -1).astype(np.float64) * float(np.float32(0.01))
    h = x @ w1.T + b1
    a = np.maximum(h, 0)
    z = a @ w2.T + b2
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -(np.log(p[rows, y]) * weight).sum() / divisor
    dz = p.copy()
    dz[rows, y] -= 1
    dz *= weight[:, None] / divisor
    dh = (dz @ w2) * (h > 0)
    return loss, {"fc1.weight": dh.T @ x, "fc1.bias": dh.sum(0),
                  "fc2.weight": dz.T @ a, "fc2.bias": dz.sum(0)}


@case
def dropped_samples_are_as_a_float64_reference_says(folder):
    """Weight 0, in place: the others' part of every sum stays, and the divisor counts the others."""
    import h5py
    import numpy as np
    config, a, b = small_config(folder, steps=12), f"{folder}/a.h5", f"{folder}/b.h5"
    per_class = np.array([1.0, 0.5, 2.0, 1.0, 1.5])
    for keys, classes in ((("engine.lanes=1",), np.ones(5)),
                          (("engine.lanes=3", "engine.accumulate=2"), np.ones(5)),
                          (("engine.lanes=2", "loss.class_weights=[1.0, 0.5, 2.0, 1.0, 1.5]"),
                           per_class),
                          (('loss.reduction="sum"', "optimizer.lr=0.001"), None)):
        record(config, a, "--force", *sets("record.preset=full", *keys))
        drops = [ids[k] for step, ids in batches(a).items() if step in (4, 7) for k in (2, 9)]
        fork(a, b, "--force", "--from", 2, *(w for d in drops for w in ("--drop-sample", d)))
        check("10 of 10 steps" in verified(b), "the fork verifies")
        check(not set(drops) & set(batches(a)[2] + batches(a)[3]), "steps 2 and 3 have none of them")
        out = run("diff", a, b, code=1).stdout
        check("sites only in B" in out and "input/weight" in out, out)
        check("first difference: step 4, site loss/sample" in out, out)
        with h5py.File(b) as f:
            row_of = {int(i): r for r, i in enumerate(f["samples/train/id"][:])}
            for step in range(3, 12):
                ids = batches(b)[step]
                rows = [row_of[i] for i in ids]
                x = np.stack([f["samples/train/x"][r] for r in rows])
                y = np.array([f["samples/train/y"][r] for r in rows]).ravel()
                keeps = np.array([i not in drops for i in ids], dtype=np.float64)
                check(keeps.sum() < len(ids) or step not in (4, 7), "these steps drop some")
                weight = keeps * (classes[y] if classes is not None else 1)
                divisor = weight.sum() if classes is not None else 1.0
                loss, grads = reference(np, f, step, y, x, weight, divisor)
                row = f["steps"][step - 2]
                check(abs(loss - row["loss"]) < 2e-6 * abs(loss), f"loss {step} {keys}")
                for n in NAMES:
                    got = stored(f, "grad/" + n, step)
                    worst = np.abs(got - grads[n]).max() / np.abs(grads[n]).max()
                    check(worst < 4e-6, f"{keys} grad/{n} step {step}: {worst}")


@case
def dropping_moves_no_other_bit(folder):
    """No sample, or none of the step's: every bit is as before. The weights are shown."""
    config, a, b = small_config(folder, steps=12), f"{folder}/a.h5", f"{folder}/b.h5"
    keys = sets("engine.lanes=3", "engine.accumulate=2", "record.preset=full")
    record(config, a, *keys)
    record(config, b, *keys, *sets("drop_samples=[]"))
    same(a, b)
    check(info(a)["chains"] == info(b)["chains"], "an empty list is none")
    last = batches(a)[11]
    late = next(i for i in last if all(i not in ids for s, ids in batches(a).items() if 9 <= s < 11))
    fork(a, f"{folder}/c.h5", "--from", 9, "--drop-sample", late)
    out = run("diff", a, f"{folder}/c.h5", code=1).stdout
    check("first difference: step 11, site loss/sample" in out and "1 of " in out, out)
    # the gradient of every other sample's output keeps its bits, that of the dropped one is 0
    import h5py
    n_dropped, ids = 0, batches(a)[11]
    with h5py.File(a) as f, h5py.File(f"{folder}/c.h5") as g:
        chains = f["steps"].attrs["chains"]
        for k, name in enumerate((chains if isinstance(chains, str) else chains.decode()).split(",")):
            goes_on = f["steps"][9]["chain"][k] == g["steps"][0]["chain"][k]
            check(goes_on == (name != "input"), f"chain {name} goes on: {goes_on}")
        for lane, micro in ((lane, micro) for lane in range(3) for micro in range(2)):
            lo, hi = lane * 10 // 3, (lane + 1) * 10 // 3
            lo, hi = lo + micro * (hi - lo) // 2, lo + (micro + 1) * (hi - lo) // 2
            before, after, weight = (stored(h, name, 11, lane, micro) for h, name in (
                (f, "bwd/fc2"), (g, "bwd/fc2"), (g, "input/weight")))
            for row, i in enumerate(ids[lo:hi]):
                check(weight[row] == (i != late), f"weight of sample {i}")
                want = before[row].tobytes() if i != late else bytes(before[row].nbytes)
                check(after[row].tobytes() == want, f"gradient of sample {i}")
                n_dropped += i == late
    check(n_dropped == 1, "one sample is dropped")
    # a step whose samples are all dropped has the gradient 0, and the run goes on
    drops = [w for i in batches(a)[5] for w in ("--drop-sample", i)]
    fork(a, f"{folder}/d.h5", "--from", 5, "--to", 6, *drops)
    with h5py.File(f"{folder}/d.h5") as f:
        check(f["steps"][0]["loss"] == 0 and not stored(f, "grad/fc1.weight", 5).any(), "nothing left")
        check(stored(f, "grad/fc1.weight", 6).any(), "the next step has samples")
    check("2 of 2 steps" in verified(f"{folder}/d.h5"), "verifies")


def go_back(trace, site, states):
    out = run("back", trace, site, states, program=TIME_TRAVEL).stdout
    return {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", out)}


@case
def going_back_executes_few_steps(folder):
    """1,000 times one step back, over 20 keyframes 50 steps apart, with at most 4 states kept."""
    config = small_config(folder, steps=1001)
    few = sets("record.keyframe=50", "eval.every=0", "engine.lanes=1")
    for name, keys, most in (("light", ("record.preset=light",), 3.5), ("standard", (), 2),
                             ("lanes", ("engine.lanes=3", "loss.ignore_index=2"), 2),
                             ("norms", (NORMS, "data.batch=16"), 3.5)):
        trace = f"{folder}/{name}.h5"
        record(config, trace, *few, *sets(*keys))
        got = go_back(trace, "bwd/fc1", 4)
        check(got["backs"] == 1000, str(got))
        check(got["executed"] <= most * 1000, f"{name}: {got}")
        check((got["updated"] > 0) == (most == 2), f"{name}: {got}")
        print(name, got)
    without = go_back(f"{folder}/light.h5", "grad/fc1.weight", -1)
    check(without["executed"] > 20000 and without["checked"] == 1001, str(without))
    kept = go_back(f"{folder}/light.h5", "grad/fc1.weight", 4)
    check(kept["executed"] <= 3500 and kept["checked"] == 1001, str(kept))


@case
def false_gradients_are_not_gone_by(folder):
    """Stored gradients that do not lead to the recorded state are found, and the steps executed."""
    import h5py
    config, trace = small_config(folder, steps=40), f"{folder}/a.h5"
    record(config, trace, *sets("record.keyframe=20"))
    with h5py.File(trace, "r+") as f:
        data = f["packed/grad/f32"]
        row = data[8]
        row[3] += 1
        data[8] = row
    got = go_back(trace, "grad/fc2.bias", 4)
    check(got["checked"] == 40 and got["executed"] > 39, str(got))


TRAVEL = {"fashion_mlp": (), "fashion_mlp_diverging": (), "fashion_cnn": ("epochs",),
          "fashion_ddp": ("engine.lanes=2",), "fashion_vit": ("data.batch=4",),
          "text_gpt": ("data.batch=2",)}


def compare_pairs(folder, pairs):
    """Random (step, site) pairs of the examples: what a light trace gives is what was seen live."""
    for name, keys in TRAVEL.items():
        config = os.path.join(e2e.SOURCE, "examples", f"{name}.cfg")
        keys = [k for k in keys if "=" in k]
        steps, small = 8, sets("record.keyframe=5", "eval.every=4", "eval.batches=1", *keys)
        if not any(k.startswith("data.batch") for k in keys):
            small += sets("data.batch=8")
        for preset in ("full", "light"):
            record(config, f"{folder}/{preset}.h5", "--force", "--steps", steps, *small,
                   *sets(f"record.preset={preset}"))
        out = run("compare", f"{folder}/full.h5", f"{folder}/light.h5", pairs, 17,
                  program=TIME_TRAVEL).stdout
        got = {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", out)}
        check(got["same"] == pairs and got["computed"] > pairs / 2, f"{name}: {out}")
        print(name, out, end="")


@case
def time_travel_is_exact(folder):
    compare_pairs(folder, 200)


@case
def time_travel_is_exact_often(folder):
    compare_pairs(folder, 1000)


if __name__ == "__main__":
    e2e.main(CASES)
