#!/usr/bin/env python3
"""A corpus of planted divergences. Two runs of one tiny config, of which one has something changed:
`tdbg bisect` has to name the step and the tensor where they part, and the cause. Step and tensor are
found here a second time, from the digests of full traces; the cause is what was planted.

    e2e_causes.py CASE      runs one case (tests/meson.build lists them)
    e2e_causes.py --row R   runs one row of the table
"""
import json
import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass, field, replace

import e2e
from e2e import check, record, run

CASES, case = e2e.case_table()

BASE = """
seed = 3;
steps = 24;
data = { kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; batch = 10;
         transforms = ( { op = "scale"; by = 0.5; } ); };
model = ( { op = "linear"; name = "fc1"; out = 19; }, { op = "relu"; },
          { op = "dropout"; name = "drop"; p = 0.25; },
          { op = "linear"; name = "fc2"; out = 5; } );
loss = { kind = "cross_entropy"; };
optimizer = { kind = "adamw"; lr = 0.01; };
clip = { norm = 1.0; };
record = { preset = "light"; keyframe = 5; };
"""
SAMPLE, ELEMENT = 17, 3  # that x2.npy has otherwise, as y2.npy the target of this sample
SGD = '{kind="sgd";lr=0.05;momentum=0.9;}'
DIVERGES = "diverges(loss)"


def write_data(folder):
    import numpy as np
    rng = np.random.default_rng(7)
    x = rng.standard_normal((95, 12)).astype(np.float32)
    y = (np.abs(x[:, :3]).argmax(axis=1) + 2 * (x[:, 4] > 0)).astype(np.int64)
    x2, y2 = x.copy(), y.copy()
    x2[SAMPLE, ELEMENT] += 1
    y2[SAMPLE] = (y[SAMPLE] + 1) % 5
    for name, array in (("x", x), ("y", y), ("x2", x2), ("y2", y2)):
        np.save(f"{folder}/{name}.npy", array)
    with open(f"{folder}/base.cfg", "w") as f:
        f.write(BASE)


@dataclass
class Row:
    """bad: keys that the bad run has otherwise. both: keys that both runs have so. The first
    difference is expected in a site that this pattern matches, at this step (None: as the full traces
    say). cause: the names of the one set that is the cause, or all sets that are enough alone, sorted;
    None: the recorded values are faulty; "same": nothing differs."""
    name: str
    bad: dict
    cause: object
    site: str = ""
    step: object = 0
    both: dict = field(default_factory=dict)
    when: object = None     # an expression; None: the first difference
    configs: bool = True    # the same is asked of configs
    fault: tuple = ()       # step, site
    rank: object = None     # of the fault
    missing: object = None  # the rank whose share a sum lacks
    how: object = None      # the contribution of the cause is other
    preset: str = "standard"  # of a fault
    batches: object = None  # of the order, of traces: the steps that are enough, and whether no other is


def inject(step, site, kind="bitflip", more=""):
    return f'({{step={step};site="{site}";kind="{kind}";{more}}})'


def planted(name, at, where, kind="bitflip", more="", cause=None, **kwargs):
    return Row(name, {"inject": inject(at, where, kind, more)}, cause, configs=False,
               fault=(at, where), **kwargs)


def all_of(step, sites, kind="bitflip", more=""):
    """One fault in several tensors."""
    return "(" + ",".join(inject(step, site, kind, more)[1:-1] for site in sites) + ")"


def contribution(rank, tensor, step):
    return f"contribution of rank {rank} to {tensor} in step {step}"


RANKS = {"engine.ranks_in_process": 2}
ONE_FILE = {"data.train.x": '"x2.npy"'}
DEFAULT_INIT = {"model[0].init": '"normal"'}
# One key of the config, whatever it acts on.
KEYS = (
    Row("seed", {"seed": 4}, ["data order"], r"samples/id", 0),
    Row("lr", {"optimizer.lr": 0.011}, ["optimizer.lr"], r"hyper/lr", 0),
    Row("eps", {"optimizer.eps": 1e-5}, ["optimizer.eps"], r"param/", 0),
    Row("weight decay", {"optimizer.weight_decay": 0.1}, ["optimizer.weight_decay"], r"param/", 0),
    Row("first beta", {"optimizer.betas": "[0.8, 0.999]"}, ["optimizer.betas[0]"], r"optim/.*exp_avg$", 0),
    Row("second beta", {"optimizer.betas": "[0.9, 0.99]"}, ["optimizer.betas[1]"], r"optim/.*exp_avg_sq$", 0),
    Row("clip norm", {"clip.norm": 0.1}, ["clip.norm"], r"(hyper|clip)/", 0),
    Row("clip norm, later", {"clip.norm": 0.74}, ["clip.norm"], r"(hyper|clip)/", None),
    Row("clip value", {"clip.value": 0.01}, ["clip.value"], r"clip/", 0),
    Row("dropout", {"model[2].p": 0.5}, ["model[2].p"], r"fwd/drop", 0),
    Row("precision", {"engine.precision": '"bf16"'}, ["engine.precision"], r"input/|fwd/|loss/", 0),
    Row("micro-batches", {"engine.accumulate": 2}, ["engine.accumulate"], r"loss|grad/|reduce", 0),
    Row("lanes", {"engine.lanes": 2}, ["engine.lanes"], r"grad/|reduce|loss", 0),
    Row("label smoothing", {"loss.label_smoothing": 0.1}, ["loss.label_smoothing"], r"loss", 0),
    Row("class weights", {"loss.class_weights": "[1.0, 2.0, 1.0, 1.0, 1.0]"},
        ["loss.class_weights"], r"loss", 0),
    Row("loss reduction", {"loss.reduction": '"sum"'}, ["loss.reduction"], r"loss|bwd", 0),
    Row("ignored class", {"loss.ignore_index": 4}, ["loss.ignore_index"], r"loss|bwd", 0),
    Row("frozen bias", {"freeze": '["fc1.bias"]'}, ["freeze"], r"clip|optim|param|grad", 0),
    Row("dropped sample", {"drop_samples": f"[{SAMPLE}]"}, ["drop_samples"], r"loss", None),
    Row("scaled input", {"data.transforms[0].by": 0.25}, ["data.transforms[0].by"], r"input/", 0),
    Row("one transform more", {"data.transforms":
        '({op="scale";by=0.5;},{op="normalize";mean=[0.1];std=[0.5];})'}, ["data.transforms"],
        r"input/", 0, configs=False),
    Row("activation", {"model[1]": '{op="gelu";}'}, ["model[1]"], r"fwd/|bwd/", 0),
    Row("no bias", {"model[3].bias": "false"}, ["model[3].bias"], r"fwd/fc2", 0),
    # (the bias of fc2 is drawn by the number of its inputs)
    Row("width", {"model[0].out": 21}, ["initial fc2.bias"], r"state/fc2.bias", 0),
    Row("warmup", {"schedule.warmup": 8}, ["schedule.warmup"], r"hyper/lr", 0,
        both={"schedule": '{kind="constant";}'}),
    Row("schedule", {"schedule": '{kind="cosine";}'}, ["schedule.kind"], r"hyper/lr", 1),
    Row("schedule of steps", {"schedule.gamma": 0.5}, ["schedule.gamma"], r"hyper/lr", 7,
        both={"schedule": '{kind="step";size=7;gamma=0.1;}'}),
    Row("length of a cosine", {"steps": 30}, ["steps"], r"hyper/lr", 1,
        both={"schedule": '{kind="cosine";}'}),
    Row("momentum", {"optimizer.momentum": 0.8}, ["optimizer.momentum"], r"optim/|param/", 1,
        both={"optimizer": SGD}),
    Row("nesterov", {"optimizer.nesterov": "true"}, ["optimizer.nesterov"], r"param/", 0,
        both={"optimizer": SGD}),
    Row("optimizer", {"optimizer.kind": '"adam"'}, ["optimizer.kind"], r"optim/|param/", 0,
        both={"optimizer": '{kind="adamw";lr=0.01;weight_decay=0.1;}'}),
    Row("optimizer with other state", {"optimizer": '{kind="adam";lr=0.05;}'}, ["optimizer.kind"],
        r"optim/|param/", 0, both={"optimizer": SGD}),
    Row("one layer more", {"model": """(
          { op = "linear"; name = "fc1"; out = 19; }, { op = "relu"; },
          { op = "dropout"; name = "drop"; p = 0.25; },
          { op = "linear"; name = "mid"; out = 19; },
          { op = "linear"; name = "fc2"; out = 5; } )"""}, ["model"], r"fwd/fc2", 0),
    Row("weight decay of a group", {"optimizer.groups[0].weight_decay": 0.2},
        ["optimizer.groups[0].weight_decay"], r"param/fc1.weight", 0,
        both={"optimizer": '{kind="adamw";lr=0.01;groups=({match=["fc1.weight"];weight_decay=0.1;});}'}),

    Row("wrong divisor", {"engine.comm.op": '"sum"'}, ["engine.comm.op"], r"grad/", 0, both=RANKS),
    Row("ranks are a factor", {"engine.ranks_in_process": 4}, ["engine.ranks_in_process"], r"grad/",
        0, both={"engine.ranks_in_process": 2, "engine.lanes": 4, "engine.comm.op": '"sum"'}),
    Row("buckets", {"engine.comm.bucket_mib": 0.01}, "same", both=RANKS),
)
# What a run begins with, and its samples.
BEGINNINGS = (
    Row("initial values", DEFAULT_INIT, ["initial fc1.weight"], r"state/fc1.weight", 0),
    Row("zeros", {"model[3].init": '"zeros"'}, ["initial fc2.weight"], r"state/fc2.weight", 0),
    Row("not shuffled", {"data.shuffle": "false"}, ["data order"], r"samples/id", 0),
    Row("not reshuffled", {"data.sampler.reshuffle": "false"}, ["data order"], r"samples/id", 9),
    Row("short batch", {"data.drop_last": "false"}, ["data.drop_last"], r"samples/id", 9),
    Row("padded batch", {"data.sampler.pad": '"repeat"'}, ["data order"], r"samples/id", 9),
    Row("one sample", ONE_FILE, [f"sample {SAMPLE}"], r"samples/x", None),
    Row("one target", {"data.train.y": '"y2.npy"'}, [f"target of sample {SAMPLE}"], r"samples/y",
        None),
    Row("sample and target", {**ONE_FILE, "data.train.y": '"y2.npy"'}, [f"sample {SAMPLE}"],
        r"samples/x", None),
    Row("batch", {"data.batch": 12}, ["data.batch"], r"hyper/lr|state/|grad/|loss|param/", None),
    Row("random numbers", {"seed": 4}, ["seed"], r"fwd/drop", 0,
        both={"data.shuffle": "false", "init_from": '{path="start.h5";}'}),
)
# Which batches of another order it takes. Sample 0 is in the batches of steps 4, 13 and 22 where the
# epochs are not shuffled again, of 4 and 22 where they are; sample 18 of 5, 14 and 23, and of 5.
ORDERS = (
    Row("the first batch that differs", {"data.sampler.reshuffle": "false"}, ["data order"],
        r"samples/id", 9, batches=([9], True)),
    Row("one batch among others", {"data.sampler.reshuffle": "false"}, ["data order"],
        when="min(samples/id) == 0 and step > 4 and step < 20", batches=([13], True)),
    Row("one batch, and other keys", {"data.sampler.reshuffle": "false", "optimizer.nesterov": "true",
                                      "optimizer.lr": 0.06}, ["data order"], both={"optimizer": SGD},
        when="min(samples/id) == 0 and step > 4 and step < 20", batches=([13], True)),
    Row("a batch and a key", {"data.sampler.reshuffle": "false", "optimizer.lr": 0.02,
                              "model[2].p": 0.3}, ["optimizer.lr", "data order"],
        when="min(samples/id) == 0 and step > 4 and step < 20 and lr > 0.015", batches=([13], True)),
    Row("not shuffled, one batch", {"data.shuffle": "false"}, ["data order"],
        when="max(samples/id) == 29 and min(samples/id) == 20 and step < 9", batches=([2], True)),
    Row("any of two batches", {"data.shuffle": "false"}, ["data order"],
        when="max(samples/id) - min(samples/id) == 9", batches=([0], False)),
)
# Several keys differ: one of them is the cause of the first difference, ...
SEVERAL = (
    Row("of lr and eps, lr", {"optimizer.lr": 0.011, "optimizer.eps": 1e-5}, ["optimizer.lr"],
        r"hyper/lr", 0),
    Row("of seed and lr, the order", {"seed": 4, "optimizer.lr": 0.02}, ["data order"],
        r"samples/id", 0),
    Row("of five, dropout", {"model[2].p": 0.3, "clip.norm": 0.5, "optimizer.eps": 1e-6,
                             "optimizer.weight_decay": 0.2, "loss.label_smoothing": 0.1},
        ["model[2].p"], r"fwd/drop", 0),
    Row("of init and clip, init", {**DEFAULT_INIT, "clip.norm": 0.1}, ["initial fc1.weight"],
        r"state/fc1.weight", 0),
    Row("of decay and a frozen bias, decay", {"optimizer.weight_decay": 0.3, "steps": 23},
        ["optimizer.weight_decay"], r"param/", 0),
    Row("of a sample and eps, eps", {**ONE_FILE, "optimizer.eps": 1e-5}, ["optimizer.eps"],
        r"param/", 0),
    Row("of a target and a late rate, the target", {"data.train.y": '"y2.npy"',
                                                    "schedule.gamma": 0.5},
        [f"target of sample {SAMPLE}"], r"samples/y", None,
        both={"schedule": '{kind="step";size=20;gamma=0.1;}'}),
    Row("of smoothing and decay, smoothing", {"optimizer.weight_decay": 0.3,
                                              "loss.label_smoothing": 0.1},
        ["loss.label_smoothing"], r"loss", 0),
    # ... or of what an expression says, ...
    Row("of six, lr diverges", {"optimizer.lr": 10.0, "seed": 5, "optimizer.momentum": 0.8,
                                "model[2].p": 0.1, "optimizer.weight_decay": 1e-4,
                                "loss.label_smoothing": 0.05},
        ["optimizer.lr"], both={"optimizer": SGD, "clip.norm": 0.0, "steps": 60}, when=DIVERGES),
    Row("of three, the scale diverges", {"data.transforms[0].by": 60.0, "seed": 5,
                                         "optimizer.nesterov": "true"},
        ["data.transforms[0].by"], both={"optimizer": SGD, "clip.norm": 0.0, "steps": 60},
        when=DIVERGES),
    Row("decay blows up", {"optimizer.weight_decay": 350.0, "optimizer.eps": 1e-6},
        ["optimizer.weight_decay"], both={"steps": 40}, when="rms(param/*) > 1"),
    Row("any of two", {"data.transforms[0].by": 8.0, "loss.reduction": '"sum"', "seed": 9},
        [["data.transforms[0].by"], ["loss.reduction"]], when="grad_norm > 4"),
    Row("of two, what one rank has", {"model[2].p": 0.6, "optimizer.eps": 1e-6}, ["model[2].p"],
        both=RANKS, when="zeros(fwd/drop) > 145"),
    Row("of all initial values, a bias", {"seed": 4}, ["initial fc2.bias"],
        when="param/fc2.bias[2] < -0.1 and step < 3"),
    Row("of two, the norm is high", {"loss.reduction": '"sum"', "optimizer.eps": 1e-6},
        ["loss.reduction"], when="grad_norm > 6"),
    # ... or two of them together only.
    Row("lr and clipping", {"optimizer.lr": 3.0, "clip.norm": 0.0, "seed": 5, "model[2].p": 0.2},
        ["optimizer.lr", "clip.norm"], both={"optimizer": SGD, "clip.norm": 0.01, "steps": 60},
        when=DIVERGES),
    Row("lr and warmup", {"optimizer.lr": 0.2, "schedule.warmup": 2, "optimizer.eps": 1e-6},
        ["optimizer.lr", "schedule.warmup"], both={"schedule": '{kind="constant";warmup=1000;}'},
        when="lr > 0.05"),
    Row("bits of lr and warmup", {"optimizer.lr": 0.2, "schedule.warmup": 2},
        ["optimizer.lr", "schedule.warmup"], r"hyper/lr", 0,
        both={"schedule": '{kind="constant";warmup=1000;}'}),
    Row("scale and loss", {"data.transforms[0].by": 5.0, "loss.reduction": '"sum"', "seed": 9},
        ["data.transforms[0].by", "loss.reduction"], when="grad_norm > 30"),
    Row("dropout and lr", {"model[2].p": 0.9, "optimizer.lr": 0.1, "optimizer.eps": 1e-6},
        ["model[2].p", "optimizer.lr"], when="lr > 0.05 and zeros(fwd/drop) > 165"),
)
# Values that are not what their inputs give.
FAULTS = (
    planted("bit of a gradient", 6, "grad/fc1.weight"),
    planted("bit of a parameter", 7, "param/fc2.bias"),
    planted("bit of a moment", 8, "optim/fc1.weight.exp_avg"),
    planted("zero in a clipped gradient", 6, "clip/fc2.weight", "zero", "element=3;"),
    planted("gradient twice as large", 9, "grad/fc2.weight", "scale"),
    planted("gradient of the step before", 11, "grad/fc1.bias", "stale"),
    planted("bit of a sum on one rank", 6, "reduce_out/fc1.weight", more="rank=1;", both=RANKS,
            rank=1),
    Row("fault beside other keys", {"inject": inject(9, "grad/fc1.weight", "scale", "by=1e8;"),
                                    "optimizer.nesterov": "true", "seed": 5}, None, configs=False,
        both={"optimizer": SGD, "clip.norm": 0.0, "steps": 60}, when=DIVERGES,
        fault=(9, "grad/fc1.weight")),
    planted("stale bucket", 11, "reduce_out/fc1.weight", "stale", both=RANKS),
)
# What a rank puts into a sum.
TENSORS = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
SHARES = [f"reduce_in/{t}" for t in TENSORS]
PLAIN = {**RANKS, "optimizer": SGD, "clip.norm": 0.0, "steps": 60}
CONTRIBUTIONS = (
    planted("bit of a rank's share", 6, "reduce_in/fc1.weight", more="rank=1;element=17;", both=RANKS,
            rank=1, cause=[contribution(1, "fc1.weight", 6)], site="reduce_in/fc1.weight", step=6,
            how={"bit"}),
    planted("share of a rank is lost", 6, "reduce_in/fc1.weight", "drop", "rank=1;", both=RANKS,
            missing=1, cause=[contribution(1, "fc1.weight", 6)], site="reduce_out/fc1.weight", step=6,
            how={"missing"}),
    planted("a rank's share is zero", 7, "reduce_in/fc2.weight", "zero", "rank=1;", both=RANKS, rank=1,
            cause=[contribution(1, "fc2.weight", 7)], site="reduce_in/fc2.weight", step=7, how={"zero"}),
    planted("a rank's share is twice as large", 8, "reduce_in/fc1.weight", "scale", "rank=1;", both=RANKS,
            rank=1, cause=[contribution(1, "fc1.weight", 8)], site="reduce_in/fc1.weight", step=8,
            how={"scaled"}),
    planted("one of four ranks, two lanes each", 8, "reduce_in/fc2.weight", "drop", "rank=2;",
            both={"engine.ranks_in_process": 4, "engine.lanes": 8}, missing=2,
            cause=[contribution(2, "fc2.weight", 8)], site="reduce_out/fc2.weight", step=8,
            how={"missing"}),
    Row("a rank is left out", {"inject": all_of(6, SHARES, "drop", "rank=1;")},
        ["contributions of rank 1"], r"reduce_out/", 6, both=RANKS, when="grad_norm < 0.53 and step == 6",
        configs=False, how={"missing"}),
    Row("a stale bucket of one rank", {"inject": all_of(11, SHARES[:2], "stale", "rank=1;")},
        [contribution(1, "fc1.weight", 11)], r"reduce_in/fc1.weight", 11, both=RANKS, configs=False,
        how={"stale"}),
    Row("a stale sum of all ranks", {"inject": "(" + ",".join(
        inject(11, "reduce_out/fc1.weight", "stale", f"rank={r};")[1:-1] for r in (0, 1)) + ")"},
        ["sum of fc1.weight over the ranks in step 11"], r"reduce_out/fc1.weight", 11, both=RANKS,
        configs=False, how={"stale"}),
    Row("the good run has the fault", {"inject": "()"}, [contribution(1, "fc1.weight", 6)],
        r"reduce_in/fc1.weight", 6, configs=False, how={"bit"},
        both={**RANKS, "inject": inject(6, "reduce_in/fc1.weight", more="rank=1;")}),
    Row("of ten keys and a contribution, it diverges",
        {"inject": inject(9, "reduce_in/fc1.weight", "scale", "rank=1;by=1e8;"), "seed": 5,
         "optimizer.nesterov": "true", "optimizer.weight_decay": 1e-4, "model[2].p": 0.2,
         "loss.label_smoothing": 0.01, "optimizer.momentum": 0.85, "data.transforms[0].by": 0.45,
         "record.keyframe": 7, "engine.threads": 1, "optimizer.lr": 0.04},
        [contribution(1, "fc1.weight", 9)], both=PLAIN, when=DIVERGES, configs=False, how={"scaled"}),
    Row("a contribution and no clipping",
        {"inject": inject(9, "reduce_in/fc1.weight", "scale", "rank=1;by=1e8;"), "clip.norm": 0.0,
         "optimizer.nesterov": "true"},
        ["clip.norm", contribution(1, "fc1.weight", 9)], both={**PLAIN, "clip.norm": 1.0}, when=DIVERGES,
        configs=False, how={"scaled"}),
    planted("a sum that one rank has otherwise", 6, "reduce_out/fc1.weight", "scale", "rank=1;by=1e6;",
            both=PLAIN, rank=1, cause=["contributions of rank 1"], when=DIVERGES,
            how={"other", "zero", "bit", "stale"}),
    Row("keys are the cause beside a contribution",
        {"inject": inject(9, "reduce_in/fc1.weight", more="rank=1;"), "optimizer.lr": 10.0,
         "optimizer.nesterov": "true"}, ["optimizer.lr"], both=PLAIN, when=DIVERGES, configs=False),
)
# The same where digests alone were recorded: a bit, zeros, the step before and a factor are told from them.
BY_DIGEST = tuple(replace(row, name=row.name + ", light", preset="light")
                  for row in CONTRIBUTIONS if row.when != DIVERGES)
NOTHING = (
    Row("the same again", {}, "same"),
    Row("threads", {"engine.threads": 1}, "same"),
    Row("preset", {"record.preset": '"full"'}, "same"),
    Row("keyframes", {"record.keyframe": 7}, "same"),
    Row("ranks", {"engine.ranks_in_process": 2}, "same", both={"engine.lanes": 2}),
)

ROWS = KEYS + BEGINNINGS + ORDERS + SEVERAL + FAULTS + CONTRIBUTIONS + BY_DIGEST + NOTHING


def sets_of(keys):
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


def preset_of(row):
    """Of a fault most values have to be there."""
    return ["--set", f'record.preset="{row.preset}"'] if "inject" in {**row.both, **row.bad} else []


def record_pair(folder, row, name, *more):
    """Two traces; and their configs, where these are to be asked, too."""
    paths = [f"{folder}/{name}-{side}.h5" for side in ("good", "bad")]
    for path, keys in zip(paths, (row.both, {**row.both, **row.bad})):
        record(f"{folder}/base.cfg", path, *sets_of(keys), *more, "--force")
    return paths


def print_configs(folder, row):
    paths = [f"{folder}/{side}.cfg" for side in ("good", "bad")]
    for path, keys in zip(paths, (row.both, {**row.both, **row.bad})):
        text = run("record", f"{folder}/base.cfg", "--print-config", *sets_of(keys)).stdout
        with open(path, "w") as f:
            f.write(text)
    return paths


def digests_of(path):
    """Of all ranks: (name, lane, micro, type, shape) -> place in dataflow order, digests (steps)."""
    import h5py
    found, rank, ranks = {}, 0, 1
    while rank < ranks:
        with h5py.File(path.replace(".h5", f".rank{rank}.h5") if rank else path, "r") as f:
            ranks, digest = int(f.attrs["world_size"]), f["digest"][:]
            for i, s in enumerate(f["sites"][:]):
                key = (s["name"].decode(), int(s["lane"]), int(s["micro"]), s["dtype"],
                       tuple(s["shape"][:s["ndim"]]))
                found.setdefault(key, ((i, int(s["lane"])), digest[:, i]))
        rank += 1
    return found


def first_difference(a, b):
    """Step, site and lane of the first recorded digest that differs, by name, lane and shape."""
    x, y = digests_of(a), digests_of(b)
    keys = sorted(set(x) & set(y), key=lambda key: x[key][0])
    for step in range(min(len(x[keys[0]][1]), len(y[keys[0]][1]))):
        for key in keys:
            if x[key][1][step] != y[key][1][step]:
                return step, key[0], key[1]
    return None


def bisect(a, b, *args, code=0):
    return json.loads(run("bisect", a, b, "-q", "--json", *args, code=code).stdout)


def names(report):
    return [[d["name"] for d in s["differences"]] for s in report["cause"]["sets"]]


def check_part(row, report, folder, paths):
    """Where they part: by full traces of the same two runs."""
    part = report["first_difference"]
    expected = first_difference(*record_pair(folder, row, "full", "--set", 'record.preset="full"'))
    found = (part["step"], part["site"], part["lane"])
    check(found == expected, f"{row.name}: {found}, not {expected}")
    check(re.match(row.site, part["site"]), f"{row.name}: parts in {part['site']}")
    check(row.step is None or part["step"] == row.step, f"{row.name}: parts at {part['step']}")
    check(part["good_repeats"] and part["bad_repeats"], f"{row.name}: {part}")
    check(all(i["same"] or not i["in_both"] for i in part["inputs"]), f"{row.name}: {part}")


def check_fault(row, report):
    fault = report["fault"]
    check((fault["run"], fault["step"]) == ("bad", row.fault[0]), f"{row.name}: {fault}")
    lost = row.missing is not None
    site = row.fault[1].replace("reduce_in", "reduce_out") if lost else row.fault[1]
    check(fault["site"] == site, f"{row.name}: {fault}")
    check(row.rank is None or fault["rank"] == row.rank, f"{row.name}: {fault}")
    check(fault.get("missing_rank") == row.missing, f"{row.name}: {fault}")
    check(fault["executed_as_in_the_other"] == (set(row.bad) == {"inject"}), f"{row.name}: {fault}")
    check(row.cause is not None or "first_difference" not in report or
          report["cause"]["verdict"] == "not_reproduced", f"{row.name}: {report}")


def check_cause(row, report):
    expected = row.cause if isinstance(row.cause[0], list) else [row.cause]
    check(sorted(names(report)) == expected, f"{row.name}: {names(report)}, not {expected}")
    cause = report["cause"]
    check(cause["verdict"] == "proved", f"{row.name}: {cause}")
    check(report["question"] == (row.when or "first difference"), f"{row.name}: {report['question']}")
    recorded = [one for d in cause["sets"][0]["differences"] for one in d.get("recorded", ())]
    contributed = any(d["kind"] in ("rank", "contribution") for d in cause["sets"][0]["differences"])
    check(contributed == bool(recorded) == bool(row.how), f"{row.name}: {recorded}")
    check(not row.how or row.how >= {one["how"] for one in recorded}, f"{row.name}: {recorded}")
    check(cause["sets"][0]["true_at"] >= 0 and cause["without_false_to"] >= 0, f"{row.name}: {cause}")


def check_batches(row, report):
    found = report["cause"]["sets"][0].get("batches")
    check((found is not None) == ("data order" in row.cause), f"{row.name}: {found}")
    if row.batches is None:
        return
    steps, alone = row.batches
    check(found["enough"] == [[k, k] for k in steps] and found["least"], f"{row.name}: {found}")
    check(found["changed_back"] == ("false" if alone else "true"), f"{row.name}: {found}")
    check(found["differ_from"] <= steps[0], f"{row.name}: {found}")


def ask(row, paths, *how):
    question = [] if row.when == DIVERGES else \
        ["--when", row.when] if row.when else ["--first-difference"]
    return bisect(*paths, *question, *how, code=1 if row.cause == "same" else 0)


def run_row(folder, row, *how):
    write_data(folder)
    if "init_from" in row.both:
        record(f"{folder}/base.cfg", f"{folder}/start.h5", "--steps", 1, "--force")
    paths = record_pair(folder, row, "light", *preset_of(row))
    report = ask(row, paths, *how)
    check(report["same"] == (row.cause == "same"), f"{row.name}: {report}")
    if row.fault:
        check_fault(row, report)
    if row.cause not in (None, "same"):
        check_cause(row, report)
        check_batches(row, report)
        if row.site:
            check_part(row, report, folder, paths)
    if not row.configs:
        return
    again = ask(row, print_configs(folder, row), *how)
    check(again["same"] == report["same"], f"{row.name}, configs: {again}")
    if row.cause != "same":
        check_cause(row, again)
        check([again["first_difference"][k] for k in ("step", "site", "lane")] ==
              [report["first_difference"][k] for k in ("step", "site", "lane")],
              f"{row.name}: {again['first_difference']}, of traces {report['first_difference']}")


def run_rows(folder, rows, *how):
    for row in rows:
        run_row(folder, row, *how)


@case
def causes_among_keys(folder):
    run_rows(folder, KEYS)


@case
def causes_among_beginnings(folder):
    run_rows(folder, BEGINNINGS)


@case
def causes_among_orders(folder):
    run_rows(folder, ORDERS)


@case
def causes_among_several(folder):
    run_rows(folder, SEVERAL)


@case
def causes_among_faults(folder):
    run_rows(folder, FAULTS + NOTHING)


@case
def causes_among_contributions(folder):
    run_rows(folder, CONTRIBUTIONS + BY_DIGEST)


def matches(expected, lines):
    """"..." stands for any lines."""
    if not expected or not lines:
        return expected in ([], ["..."]) and not lines
    if expected[0] == "...":
        return matches(expected[1:], lines) or matches(expected, lines[1:])
    return expected[0] == lines[0] and matches(expected[1:], lines[1:])


@case
def the_readme_shows_what_is_said(folder):
    """Every block of its section on causes is what the command prints for the row that it names."""
    with open(os.path.join(e2e.SOURCE, "README.md"), encoding="utf-8") as f:
        section = re.search(r"\n## Five causes\n(.*?)\n## ", f.read(), re.S)[1]
    blocks = re.findall(r"\(row `([^`]+)`\):\n\n    \$ tdbg (bisect good.h5 bad.h5.*)\n((?:    .*\n)+)", section)
    check(len(blocks) == 5 and section.count("$ tdbg") == 5, f"{len(blocks)} blocks")
    for name, command, text in blocks:
        row = next(r for r in ROWS if r.name == name)
        write_data(folder)
        for side, keys in (("good", row.both), ("bad", {**row.both, **row.bad})):
            record(f"{folder}/base.cfg", f"{folder}/{side}.h5", *sets_of(keys), "--force",
                   *preset_of(row))
        lines = run(*shlex.split(command), "-q", cwd=folder).stdout.splitlines()
        expected = [line[4:] for line in text.splitlines()]
        check(len(expected) <= 15, f"{name}: {len(expected)} lines")
        check(matches(expected, lines), f"README.md, {name}:\n{text}\nis not what is said:\n" +
              "\n".join(lines))


@case
def causes_another_way(folder):
    """The same answers on another instruction set, with one thread."""
    run_rows(folder, ROWS, "--isa", "portable", "--threads", 1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        if sys.argv[1] == "--row":
            for r in ROWS:
                if r.name == sys.argv[2]:
                    run_row(where, r)
        elif sys.argv[1] == "--rows":
            for r in ROWS:
                print(r.name)
        else:
            CASES[sys.argv[1]](where)
