#!/usr/bin/env python3
"""End-to-end tests of every kind of loss, optimizer and schedule, of groups and of clipping.

    e2e_kinds.py CASE       runs one case (tests/meson.build lists them)
"""
import json
import random

import e2e
from e2e import check, info, record, run, small_config, stored, verified, write_idx

CASES, case = e2e.case_table()


def sets(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


CUT = sets("engine.lanes=3", "engine.accumulate=2")


def every_way(folder, config, variants):
    """Each variant records and verifies, with one thread and with many, cut and whole; no two of
    them train alike."""
    chains = set()
    for variant in variants:
        a, b = f"{folder}/a.h5", f"{folder}/b.h5"
        record(config, a, "--force", *sets(*variant))
        check("6 of 6 steps" in verified(a), variant)
        chains.add(info(a)["chain"])
        record(config, a, "--force", *sets(*variant), *CUT, "--threads", 1)
        record(config, b, "--force", *sets(*variant), *CUT, "--threads", 7)
        check("same: 6 steps" in run("diff", a, b).stdout, variant)
        check("6 of 6 steps" in verified(a), variant)
    check(len(chains) == len(variants), f"{len(chains)} of {len(variants)} chains differ")


@case
def losses_verify(folder):
    config = small_config(folder, steps=6)
    one = ('model=({op="flatten";}, {op="linear"; name="fc1"; out=7;}, {op="relu";}, '
           '{op="linear"; name="fc2"; out=1;})', "optimizer.lr=0.001")
    # class indices serve as values, one per sample
    every_way(folder, config, [
        ("loss.reduction=sum",),
        ("loss.label_smoothing=0.1",),
        ("loss.class_weights=[1.0, 0.5, 2.0, 0.0, 1.5]",),
        ("loss.ignore_index=3",),
        ("loss.ignore_index=3", "loss.label_smoothing=0.1",
         "loss.class_weights=[1.0, 0.5, 2.0, 0.0, 1.5]"),
        (*one, 'loss={kind="mse";}'),
        (*one, 'loss={kind="l1"; reduction="sum";}'),
        (*one, 'loss={kind="smooth_l1"; beta=0.5;}'),
    ])
    sites = {s["name"]: s for s in info(f"{folder}/a.h5")["sites"]}
    check(sites["loss/sample"]["op"] == "smooth_l1" and "eval/loss" in sites, sites.keys())
    check("eval/accuracy" not in sites, "a regression has no accuracy")
    for text in (run("info", f"{folder}/a.h5").stdout, run("replay", f"{folder}/a.h5").stdout):
        check("accuracy" not in text and "evaluation" in text, text)
    done = run("record", config, "-o", f"{folder}/c.h5", *sets(*one, 'loss={kind="bce";}'), code=2)
    check("which loss bce cannot take" in done.stderr, done.stderr)
    rng = random.Random(3)
    for name, n in (("train", 95), ("test", 23)):
        write_idx(f"{folder}/{name}-y.gz", bytes(rng.randrange(2) for _ in range(n)), (n,))
    every_way(folder, config, [(*one, 'loss={kind="bce";}')])
    check(0 < shown(f"{folder}/a.h5", "eval/accuracy", 3) <= 1, "bce has an accuracy")


def shown(trace, site, step):
    return json.loads(run("show", trace, site, "--step", step, "--values", "--json").stdout
                      )["values"][0]


@case
def the_divisor_counts_targets(folder):
    """The loss of a step is the mean over the targets that count, however the batch is cut."""
    import numpy as np
    import h5py
    config, trace = small_config(folder, steps=6), f"{folder}/a.h5"
    weights = np.array([1.0, 0.5, 2.0, 0.0, 1.5])
    for extra in ([], CUT):
        for keys, per_class in (("loss.ignore_index=3", np.array([1, 1, 1, 0, 1])),
                                ("loss.class_weights=[1.0, 0.5, 2.0, 0.0, 1.5]", weights)):
            record(config, trace, "--force", *sets(keys, "record.preset=full"), *extra)
            with h5py.File(trace) as f:
                row_of = {int(i): r for r, i in enumerate(f["samples/train/id"][:])}
                for step in range(6):
                    ids = [int(i) for i in f["samples/train/batch"][step]]
                    y = np.array([f["samples/train/y"][row_of[i]] for i in ids]).ravel()
                    want = per_class[y].sum()
                    check(stored(f, "reduce_out/divisor", step) == want, f"divisor {want}")
                    total = stored(f, "reduce_out/loss", step)
                    loss = f["steps"][step]["loss"]
                    check(abs(loss - total / want) < 1e-6 * abs(loss), f"{loss} {total} {want}")


@case
def optimizers_verify(folder):
    config = small_config(folder, steps=6)
    every_way(folder, config, [(f"optimizer={{{keys}}}",) for keys in (
        'kind="sgd"; lr=0.1;',
        'kind="sgd"; lr=0.1; momentum=0.9; weight_decay=0.01;',
        'kind="adam"; lr=0.01;',
        'kind="adam"; lr=0.01; weight_decay=0.1; betas=[0.8, 0.99];',
        'kind="adamw"; lr=0.01;',
        'kind="adadelta"; lr=1.0;',
        'kind="adagrad"; lr=0.01; initial_accumulator_value=0.1; lr_decay=0.1;',
        'kind="rmsprop"; lr=0.01;',
        'kind="rmsprop"; lr=0.01; momentum=0.9; centered=true; weight_decay=0.01;',
        'kind="lion"; lr=0.001; weight_decay=0.1;',
    )])
    # whatever state there is, a run goes on from a keyframe as if nothing had happened
    for kind in ("adagrad", "rmsprop"):
        keys = {"adagrad": "initial_accumulator_value=0.5;",
                "rmsprop": "momentum=0.9; centered=true;"}[kind]
        part, whole, more = f"{folder}/p.h5", f"{folder}/w.h5", f"{folder}/m.h5"
        optimizer = sets(f'optimizer={{kind="{kind}"; lr=0.01; {keys}}}', "record.keyframe=2")
        record(config, part, "--force", *optimizer)
        record(config, whole, "--force", *optimizer)
        run("record", "--resume", part, "--at-step", 2, "-o", more, "-q", "--force")
        check(info(more)["chain"] == info(whole)["chain"], f"{kind} goes on from a keyframe")


@case
def optimization_does_not_change_kinds(folder):
    """The program without optimisation and another instruction set: the same bits of every kernel."""
    config = small_config(folder, steps=6)
    variants = [
        ("loss.label_smoothing=0.1", "loss.class_weights=[1.0, 0.5, 2.0, 0.0, 1.5]",
         "clip={value=0.001; norm=0.01;}"),
        ('optimizer={kind="adam"; lr=0.01; weight_decay=0.1;}', "clip.norm=0.1"),
        ('optimizer={kind="adadelta"; lr=1.0; weight_decay=0.1;}',),
        ('optimizer={kind="adagrad"; lr=0.01; weight_decay=0.1;}',),
        ('optimizer={kind="rmsprop"; lr=0.01; momentum=0.9; centered=true; weight_decay=0.01;}',),
        ('optimizer={kind="lion"; lr=0.001; weight_decay=0.1;}',
         'schedule={kind="expression"; expression="cos(step)^2 * exp(-step / 3) + 0.9^(step / 2)";}'),
    ]
    o0 = f"{e2e.BUILD}/tests/tdbg-O0"
    for variant in variants:
        chains = []
        for program, isa in ((e2e.TDBG, "auto"), (e2e.TDBG, "portable"), (o0, "auto"),
                             (o0, "portable")):
            record(config, f"{folder}/a.h5", "--force", *sets(*variant), "--isa", isa,
                   program=program)
            chains.append(info(f"{folder}/a.h5")["chains"])
        check(all(c == chains[0] for c in chains), variant)


@case
def schedules_verify(folder):
    config = small_config(folder, steps=6)
    schedules = [
        ('kind="constant"; warmup=3;', [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ('kind="step"; size=2; gamma=0.5;', [1, 1, .5, .5, .25, .25]),
        ('kind="multistep"; milestones=[1, 4];', [1, .1, .1, .1, .01, .01]),
        ('kind="exponential"; gamma=0.5;', [1, .5, .25, .125, .0625, .03125]),
        ('kind="polynomial"; power=2.0;', [(1 - t / 6) ** 2 for t in range(6)]),
        ('kind="cosine"; length=4;', [1, .8535533905932737, .5, .14644660940672627, 0, 0]),
        ('kind="one_cycle"; pct_start=0.5; div_factor=10.0; anneal="linear";',
         [.1, .55, 1, 2 / 3 + 1e-5 / 3, 1 / 3 + 2e-5 / 3, 1e-5]),
        ('kind="expression"; expression="max(0.2, 1 - step / 4)";', [1, .75, .5, .25, .2, .2]),
        ('kind="exponential"; gamma=0.5; every="epoch";', [1] * 6),
    ]
    for keys, factors in schedules:
        trace = f"{folder}/a.h5"
        record(config, trace, "--force", *sets(f"schedule={{{keys}}}"))
        check("6 of 6 steps" in verified(trace), keys)
        for step, factor in enumerate(factors):
            lr = shown(trace, "hyper/lr", step)
            check(abs(lr - 0.01 * factor) < 1e-8 * (0.01 + factor), f"{keys} step {step}: {lr}")
    # nine batches are an epoch here
    record(config, f"{folder}/b.h5", "--steps", 12,
           *sets('schedule={kind="exponential"; gamma=0.5; every="epoch";}'))
    check([round(shown(f"{folder}/b.h5", "hyper/lr", s), 6) for s in (8, 9)] == [.01, .005],
          "the second epoch")


@case
def groups_and_frozen_parameters(folder):
    import h5py
    import numpy as np
    config, trace = small_config(folder, steps=6), f"{folder}/a.h5"
    record(config, trace, *sets(
        'freeze=["fc1.weight"]', "record.preset=full", "clip.norm=0.01",
        'optimizer={kind="sgd"; lr=0.1; weight_decay=0.5; '
        'groups=({match=["*.bias"]; weight_decay=0.0; lr_scale=0.5;});}'))
    check("6 of 6 steps" in verified(trace), "groups")
    names = ("fc1.bias", "fc2.weight", "fc2.bias")
    with h5py.File(trace) as f:
        first = f["keyframe/fc1.weight"][0]
        sites = {s.decode() for s in f["sites"]["name"]}
        check("clip/fc1.weight" not in sites and "clip/fc2.weight" in sites, sites)
        for step in range(6):
            check(stored(f, "param/fc1.weight", step).tobytes() == first.tobytes(), "frozen")
            grads = {n: stored(f, "grad/" + n, step).astype(np.float64) for n in names}
            norm = np.sqrt(sum((g * g).sum() for g in grads.values()))
            check(abs(stored(f, "clip/norm", step) - norm) < 1e-6 * norm, f"norm {norm}")
            for n in names:
                clipped = stored(f, "clip/" + n, step).astype(np.float64)
                want = grads[n] * min(1, 0.01 / (norm + 1e-6))
                check(np.abs(clipped - want).max() < 1e-6 * np.abs(want).max(), f"clip/{n}")
                before = (f["keyframe/" + n][0] if step == 0 else
                          stored(f, "param/" + n, step - 1)).astype(np.float64)
                bias = n.endswith("bias")
                new = before - (0.05 if bias else 0.1) * (clipped + (0 if bias else 0.5) * before)
                check(np.abs(stored(f, "param/" + n, step) - new).max() < 1e-7, f"param/{n}")
    done = run("record", config, "-o", f"{folder}/b.h5", *sets('freeze=["fc3.*"]'), code=2)
    check("'freeze' has \"fc3.*\", which matches no parameter" in done.stderr, done.stderr)


@case
def clipping_by_value(folder):
    import h5py
    import numpy as np
    config, trace = small_config(folder, steps=6), f"{folder}/a.h5"
    every_way(folder, config, [("clip.value=0.001",), ("clip.norm=0.1",),
                               ("clip={value=0.001; norm=0.01;}",)])
    record(config, trace, "--force", *sets("record.preset=full", "clip.value=0.001"))
    with h5py.File(trace) as f:
        check("clip/norm" not in {s.decode() for s in f["sites"]["name"]}, "no norm")
        grad, clipped = stored(f, "grad/fc2.weight", 5), stored(f, "clip/fc2.weight", 5)
        limit = np.float32(0.001)
        check(np.array_equal(clipped, np.clip(grad, -limit, limit)), "clipped")
        check((np.abs(grad) > limit).any(), "there was something to clip")


if __name__ == "__main__":
    e2e.main(CASES)
