#!/usr/bin/env python3
"""End-to-end tests of expressions and of bisect in one run: each answer against one that is computed
here from the trace with h5py.

    e2e_bisect.py CASE      runs one case (tests/meson.build lists them)
"""
import json
import os
import subprocess
import sys
import tempfile

import e2e
from e2e import BUILD, DIVERGING, MLP, check, record, run, small_config, stored

CASES, case = e2e.case_table()


def bisect(trace, *args, code=0):
    return json.loads(run("bisect", trace, "-q", "--json", *args, code=code).stdout)


def rows(trace):
    import h5py
    with h5py.File(trace, "r") as f:
        return f["steps"][:]


def first_divergence(losses):
    """The definition of docs/expressions.md, in plain words; None: it never diverges."""
    import math
    means = []
    for k, loss in enumerate(losses):
        if not math.isfinite(loss):
            return k
        if k + 1 >= 20:
            means.append(sum(float(x) for x in losses[k - 19:k + 1]) / 20)
            if min(means) > 0 and means[-1] > 1.5 * min(means):
                return k
    return None


def first_nonfinite(trace):
    """Step, site, lane and micro-batch of the first site with NaN or Inf, by the recorded statistics.
    The loss of the step is made by the reductions that stand behind it."""
    import h5py
    with h5py.File(trace, "r") as f:
        sites, stats = f["sites"][:], f["stats"]
        bad = stats["nans"][:] + stats["infs"][:]
        for step in range(len(bad)):
            ids = [i for i in bad[step].nonzero()[0] if sites[i]["name"] != b"loss"]
            if ids:
                s = sites[ids[0]]
                return step, s["name"].decode(), int(s["lane"]), int(s["micro"])
    return None


def origin_of(report):
    o = report["origin"]
    return o["step"], o["output"]["site"], o["output"]["lane"], o["output"]["micro"]


def overflowing(folder, name, decay, *args):
    """A tiny run whose weights grow until something overflows."""
    trace = f"{folder}/{name}.h5"
    record(small_config(folder, steps=30), trace,
           "--set", f'optimizer={{kind="sgd";lr=1.0;weight_decay={decay};}}', *args)
    return trace


@case
def bisect_finds_divergence(folder):
    bad = f"{folder}/bad.h5"
    record(DIVERGING, bad, "--steps", 120)
    losses = rows(bad)["loss"]
    expected = first_divergence(losses)
    check(expected is not None and expected > 0, "the example does not diverge")
    r = bisect(bad)
    check(r["found"] and r["step"] == expected and r["when"] == "diverges(loss)", r)
    check(r["judged_by_execution"] == 0 and r["judged_from_records"] == expected + 1, r)
    r = bisect(bad, "--when", "loss > 10")
    check(r["step"] == next(k for k, v in enumerate(losses) if v > 10), r)
    text = run("bisect", bad, "--when", "loss > 10", "-q").stdout
    check(f"false at step {r['step'] - 1}, true at step {r['step']}" in text, text)
    check(f"judged {r['step'] + 1} steps: {r['step'] + 1} from what is recorded, 0 by" in text, text)
    both = run("bisect", bad, "--when", "loss > 10", "-q", "--json-file", f"{folder}/found.json").stdout
    with open(f"{folder}/found.json") as f:
        check(both == text and json.load(f) == r, "the text, and JSON in a file")
    run("bisect", bad, "--json-file", f"{folder}/none/found.json", code=4)
    # only in a part of the run, and not at all
    r = bisect(bad, "--when", "loss > 10", "--steps", f"{r['step'] + 1}:")
    check(r["found"] and r["step"] >= r["from"] and losses[r["step"]] > 10, r)
    r = bisect(bad, "--when", "loss > 10 if step > 1e6", code=1)
    check(not r["found"] and r["judged_from_records"] == 120, r)
    good = f"{folder}/good.h5"
    record(MLP, good, "--steps", 120)
    check(first_divergence(rows(good)["loss"]) is None, "the healthy example diverges")
    check("not true at any step from 0 to 119" in run("bisect", good, "-q", code=1).stdout, "good")


@case
def bisect_names_the_largest_losses(folder):
    """Samples by their loss, against the recorded losses of a full trace."""
    import h5py
    trace = f"{folder}/a.h5"
    record(small_config(folder, steps=8), trace, "--set", 'record.preset="full"')
    r = bisect(trace, "--when", "step == 5")
    with h5py.File(trace, "r") as f:
        loss = stored(f, "loss/sample", 5, 0, 0)
        ids = f["samples/train/batch"][5]
    order = sorted(range(len(loss)), key=lambda i: -loss[i])[:5]
    check([s["id"] for s in r["samples"]] == [int(ids[i]) for i in order], r)
    total = sum(float(x) for x in loss)
    for s, i in zip(r["samples"], order):
        check(abs(s["share"] - float(loss[i]) / total) < 1e-9, s)
    check(not r["nonfinite"] and "origin" not in r, r)


@case
def bisect_names_what_carries_the_gradient(folder):
    """Parameters and layers by the recorded gradients, samples by forks in which all others have the
    weight 0."""
    import h5py

    def squares(path, step):
        with h5py.File(path, "r") as f:
            names = [s["name"].decode() for s in f["sites"][:]]
            found = {n[5:]: stored(f, n, step, -1, -1) for n in names if n.startswith("grad/")}
        return {n: float((g.astype("f8") ** 2).sum()) for n, g in found.items()}

    def same(a, b):
        return abs(a - b) <= 1e-5 * abs(b)

    trace, fork = f"{folder}/a.h5", f"{folder}/fork.h5"
    for lanes in ([], ["--set", "engine.lanes=2", "--set", "engine.accumulate=2"]):
        record(small_config(folder, steps=8), trace, "--set", 'record.preset="full"', "--force", *lanes)
        r = bisect(trace, "--when", "step == 5")
        square = squares(trace, 5)
        total = sum(square.values())
        order = sorted(square, key=lambda n: -square[n])[:3]
        check([p["name"] for p in r["parameters"]] == order, (r["parameters"], square))
        check(all(same(p["norm"], square[p["name"]] ** 0.5) and
                  same(p["share"], square[p["name"]] / total) for p in r["parameters"]), r)
        layers = {}
        for name, value in square.items():
            layer = name.rsplit(".", 1)[0]
            layers[layer] = layers.get(layer, 0) + value
        check([p["name"] for p in r["layers"]] == sorted(layers, key=lambda n: -layers[n])[:3], r)
        check(all(same(p["norm"], layers[p["name"]] ** 0.5) for p in r["layers"]), (r, layers))
        with h5py.File(trace, "r") as f:
            ids = [int(i) for i in f["samples/train/batch"][5]]
        for s in r["samples"]:
            drops = [w for i in ids if i != s["id"] for w in ("--drop-sample", str(i))]
            run("replay", trace, "--from", "5", "--to", "5", *drops, "-o", fork, "--force", "-q")
            alone = sum(squares(fork, 5).values()) ** 0.5
            check(same(s["grad_norm"], alone), (s, alone))


@case
def bisect_finds_the_origin(folder):
    """The same op from statistics and, in light, without them; with lanes and micro-batches too."""
    lanes = ["--set", "engine.lanes=2", "--set", "engine.accumulate=2"]
    for i, (decay, *cut) in enumerate(((1000.0,), (30.0,), (1000.0, *lanes))):
        a = overflowing(folder, f"a{i}", decay, *cut)
        expected = first_nonfinite(a)
        check(expected and expected[0] > 0, f"{a} is finite: {expected}")
        full = bisect(a, "--when", "nan or inf")
        check(full["step"] == expected[0] and full["judged_by_execution"] == 0, full)
        check(origin_of(full) == expected and full["nonfinite"], (expected, full))
        check(full["origin"]["inputs"] and
              all(t["nans"] + t["infs"] == 0 for t in full["origin"]["inputs"]), full)
        text = run("bisect", a, "--when", "nan", "-q").stdout
        check("its inputs are all finite:" in text and expected[1] in text, text)
        # light has no statistics of most sites
        b = overflowing(folder, f"b{i}", decay, "--set", 'record.preset="light"', *cut)
        light = bisect(b, "--when", "nan or inf")
        check(light["step"] == full["step"] and light["origin"] == full["origin"], (light, full))
        check(light["judged_by_execution"] > 0, light)
        # the loss alone shows it later or at once; the way back leads to the same op
        late = bisect(b, "--when", "diverges(loss) if loss != loss")
        check(late["judged_by_execution"] == 0 and late["step"] >= expected[0], late)
        check(late["origin"] == full["origin"], (late, full))


@case
def the_way_back_crosses_keyframes(folder):
    """The second moment overflows and nothing else shows it: light has to go back by keyframes."""
    cfg = small_config(folder, steps=24)
    huge = ["--set", 'data.transforms=({op="scale";by=1.0e20;})', "--set", "seed=5"]
    record(cfg, f"{folder}/a.h5", *huge)
    record(cfg, f"{folder}/b.h5", *huge, "--set", 'record.preset="light"')
    expected = first_nonfinite(f"{folder}/a.h5")
    check(expected and expected[1].startswith("optim/"), expected)
    a = bisect(f"{folder}/a.h5", "--when", "inf(optim/*)", "--steps", "17:")
    b = bisect(f"{folder}/b.h5", "--when", "inf(optim/*)", "--steps", "17:")
    check(a["step"] == b["step"] == 17 and a["judged_by_execution"] == 0, a)
    check(origin_of(a) == origin_of(b) == expected, (expected, a, b))


@case
def bad_samples_are_the_origin(folder):
    """NaN in the data: the origin is the input, and the sample is named."""
    import h5py
    import numpy as np
    x = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    y = np.arange(60, dtype=np.int64) % 3
    x[17, 2] = np.nan
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/y.npy", y)
    with open(f"{folder}/nan.cfg", "w") as f:
        f.write('steps = 8; data = { kind = "npy"; train = { x = "x.npy"; y = "y.npy"; };'
                ' batch = 12; };\nmodel = ( { op = "linear"; name = "fc1"; out = 3; } );\n'
                'optimizer = { kind = "sgd"; lr = 0.1; };\n')
    record(f"{folder}/nan.cfg", f"{folder}/a.h5")
    with h5py.File(f"{folder}/a.h5", "r") as f:
        step = next(k for k in range(8) if 17 in f["samples/train/batch"][k])
    r = bisect(f"{folder}/a.h5")
    check(r["step"] == step and r["origin"]["step"] == step, r)
    check(r["origin"]["output"]["site"] == "samples/x" and r["origin"]["sample"] == 17, r)
    check(r["samples"][0]["id"] == 17 and r["samples"][0]["share"] == "NaN" or
          r["samples"][0]["share"] is None, r["samples"])


@case
def expressions_by_execution(folder):
    """Light and full give the same steps; only light executes, and no more than it has to."""
    import h5py
    import numpy as np
    cfg = small_config(folder, steps=24)
    full, light = f"{folder}/full.h5", f"{folder}/light.h5"
    record(cfg, full, "--set", 'record.preset="full"')
    record(cfg, light, "--set", 'record.preset="light"')
    with h5py.File(full, "r") as f:
        fc1 = [stored(f, "fwd/fc1", k, 0, 0) for k in range(24)]
        weight = [f["keyframe/fc1.weight"][0]] + [stored(f, "param/fc1.weight", k)
                                                  for k in range(24)]
        # the last batch of an epoch is full here: drop_last
    absmax = [float(np.abs(v).max()) for v in fc1]
    part = [float(v[0:4, 2:5].astype(np.float64).mean()) for v in fc1]
    ratio = [float(np.linalg.norm(b.astype(np.float64) - a) / np.linalg.norm(a.astype(np.float64)))
             for a, b in zip(weight, weight[1:])]

    def expect(expression, holds, executed):
        step = next(k for k in range(24) if holds(k))
        a, b = bisect(full, "--when", expression), bisect(light, "--when", expression)
        check(a["step"] == b["step"] == step, (expression, step, a, b))
        check(a["judged_by_execution"] == 0, (expression, a))
        check(b["judged_by_execution"] == executed(step), (expression, b))
    high = sorted(absmax)[18]
    expect(f"absmax(fwd/fc1) >= {high * (1 - 1e-12)}", lambda k: absmax[k] >= high, lambda k: k + 1 - (k // 5 + 1))
    expect("absmax(fc1) > 0 if step > 12", lambda k: k > 12, lambda k: 1)
    middle = sorted(part)[18]
    expect(f"mean(fwd/fc1[0:4,2:5]) > {middle - 1e-9}", lambda k: part[k] > middle - 1e-9,
           lambda k: k + 1)
    low = sorted(ratio[1:])[3]
    expect(f"update_ratio(fc1.weight) < {low * (1 + 1e-9)}",
           lambda k: ratio[k] < low * (1 + 1e-9), lambda k: k + 1)
    # a site that is there at some steps only
    r = bisect(light, "--when", "eval/loss > 0")
    check(r["step"] == 3 and r["steps_without_value"] == 3 and r["judged_by_execution"] == 0, r)
    run("bisect", light, "--when", "eval/loss > 0", "--steps", "0:2", code=125)
    check(bisect(light, "--when", "eval/loss > 0 or step == 1")["step"] == 1, "or")


@case
def ranks_are_compared(folder):
    """A fault in one rank's parameters is found at its step, from any rank's file."""
    cfg, sets = small_config(folder, steps=10), ["--set", "engine.ranks_in_process=2"]
    record(cfg, f"{folder}/a.h5", *sets)
    r = bisect(f"{folder}/a.h5", "--when", "rankdiff > 0", code=1)
    check(r["judged_from_records"] == 10 and r["steps_without_value"] == 0, r)
    record(cfg, f"{folder}/b.h5", *sets, "--set",
           'inject=({step=6;rank=1;site="param/fc1.weight";kind="bitflip";})')
    for trace in (f"{folder}/b.h5", f"{folder}/b.rank1.h5"):
        for expression in ("rankdiff(param/*) > 0", "rankdiff > 0", "rankdiff(fc1.weight)"):
            r = bisect(trace, "--when", expression)
            check(r["step"] == 6 and r["judged_by_execution"] == 0, (trace, expression, r))
    run("bisect", f"{folder}/b.h5", "--when", "rankdiff(grad/fc2.bias)", "--steps", ":6", code=1)
    done = run("bisect", f"{folder}/b.h5", "--when", "rankdiff(fwd/*)", code=2)
    check("is one rank's" in done.stderr, done.stderr)
    os.remove(f"{folder}/b.rank1.h5")
    done = run("bisect", f"{folder}/b.h5", "--when", "rankdiff", code=125)
    check("only 1 can be read" in done.stderr, done.stderr)


@case
def expressions_are_refused(folder):
    trace = f"{folder}/a.h5"
    record(small_config(folder, steps=3), trace)
    for expression, code, words in (
            ("los > 10", 2, "col 1: unknown metric 'los'\n    los > 10\n    ^\n"
                            "hint: did you mean 'loss'?"),
            ("step > 3 and absmax(grad/fc1.wieght) > 1", 2,
             "^\nhint: did you mean 'grad/fc1.weight'?"),
            ("loss", 2, "col 1: this is a number"),
            ("loss > ", 2, "col 8: expected a number"),
            ("mean(fc1[0,99]) > 0", 2, "index 2 takes nothing of fwd/fc1, whose shape is (10, 19)"),
            ("rankdiff(param/*) > 0", 125, "this trace has one")):
        done = run("bisect", trace, "--when", expression, code=code)
        check(words in done.stderr and done.stdout == "", f"{expression}: {done.stderr}")
    run("bisect", trace, "--steps", "2:7", code=2)
    run("bisect", f"{folder}/none.h5", code=3)


@case
def bisect_without_a_graph(folder):
    """A trace of another program: what is recorded is judged, what is not cannot be."""
    trace = f"{folder}/own.h5"
    subprocess.run([os.path.join(BUILD, "examples", "c", "record_sgd"),
                    "/usr/share/datasets/fashion-mnist", "20", trace], check=True,
                   stdout=subprocess.DEVNULL)
    losses = rows(trace)["loss"]
    r = bisect(trace, "--when", f"loss < {float(losses[7]) * (1 + 1e-9)}")
    check(r["step"] == next(k for k in range(20) if losses[k] <= losses[7]), r)
    check("another program" in r["not_executed"], r)
    run("bisect", trace, "-q", code=1)
    # values of fwd/logits are there at every tenth step only
    r = bisect(trace, "--when", "max(fwd/logits[0,:]) < 1e9", "--steps", "10:")
    check(r["step"] == 10 and r["judged_by_execution"] == 0, r)
    done = run("bisect", trace, "--when", "max(fwd/logits[0,:]) > 1e9", code=125)
    check("step 1 has to be executed for" in done.stderr, done.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        CASES[sys.argv[1]](where)
