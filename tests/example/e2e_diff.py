#!/usr/bin/env python3
"""End-to-end tests of tdbg diff: what it compares, where it finds the first difference, tolerances,
changed values, and how the difference grows. What it says is computed once more with NumPy.

    e2e_diff.py CASE       runs one case (tests/meson.build lists them)
"""
import json
import os
import shutil

import e2e
from e2e import check, record, run, small_config

CASES, case = e2e.case_table()
FULL = ("--set", "record.preset=full")


def sets(*keys):
    return [word for key in keys for word in ("--set", key)]


def diff(a, b, *args, code=1):
    return json.loads(run("diff", a, b, "--json", *args, code=code).stdout)


def keys(differences):
    return {d["key"]: (d["a"], d["b"]) for d in differences}


def parts(f):
    """Sites of a trace in order: (name, lane, micro)."""
    return [(s["name"].decode(), int(s["lane"]), int(s["micro"])) for s in f["sites"][:]]


def first_by_numpy(a, b, differs):
    """(step, name, flat element, values) of the first that differs, over all sites of full traces;
    step 0 on, sites in dataflow order."""
    import h5py
    import numpy as np
    with h5py.File(a) as fa, h5py.File(b) as fb:
        order = parts(fa)
        for step in range(min(len(fa["steps"]), len(fb["steps"]))):
            for name, lane, micro in order:
                values = values_of(fa, fb, name, lane, micro, step)
                if values is None:
                    continue
                bad = np.flatnonzero(differs(*(v.ravel() for v in values)))
                if len(bad):
                    return step, name, int(bad[0]), len(bad), [v.ravel() for v in values]
    return None


def values_of(fa, fb, name, lane, micro, step):
    sites = fa["sites"][:]
    site = sites[(sites["name"] == name.encode()) & (sites["lane"] == lane) &
                 (sites["micro"] == micro)][0]
    if site["store"] not in (b"packed", b"dataset") or step % site["value_every"] or \
            name.startswith("eval/"):
        return None
    return [e2e.stored(f, name, step, lane, micro) for f in (fa, fb)]


@case
def what_the_runs_are_comes_first(folder):
    """Config, environment, data and the lists of sites, before anything is compared."""
    config, a, b = small_config(folder), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a, "--isa", "portable")
    record(config, b, "--threads", 1, "--isa", "avx2", *sets("record.preset=light"))
    report = diff(a, b, code=0)
    check(report["verdict"] == "same" and report["reason"] is None, report)
    env, ran = keys(report["environment"]), keys(report["run"])
    check(env["isa"] == ("\"portable\"", "\"avx2\"") and "time" not in env, env)
    check(ran == {"preset": ("standard", "light")}, ran)
    check(report["data"] == [] and not report["data_differs"], report["data"])
    # a layer more, another batch, other data
    other = f"{folder}/other"
    os.mkdir(other)
    e2e.write_idx(f"{other}/train-x.gz", bytes(range(100)) * 12, (100, 3, 4))
    e2e.write_idx(f"{other}/train-y.gz", bytes(i % 5 for i in range(100)), (100,))
    shutil.copy(f"{folder}/test-x.gz", other)
    shutil.copy(f"{folder}/test-y.gz", other)
    with open(config) as f, open(f"{other}/small.cfg", "w") as g:
        text = f.read().replace("batch = 10", "batch = 20")
        g.write(text.replace('{ op = "linear"; name = "fc2"; out = 5; }',
                             '{ op = "linear"; name = "mid"; out = 7; }, '
                             '{ op = "linear"; name = "fc2"; out = 5; }'))
    record(f"{other}/small.cfg", b, "--force")
    report = diff(a, b)
    check(report["data_differs"] and "train.samples" in keys(report["data"]), report["data"])
    check(keys(report["run"])["batch"] == ("10", "20"), report["run"])
    check("param/mid.weight" in report["only_b"] and report["only_a"] == [], report["only_b"])
    check("param/fc2.weight: f32 (5, 19) and f32 (5, 7)" in report["reshaped"], report["reshaped"])
    check(any("a step of A is not a step of B" in n for n in report["notes"]), report["notes"])
    # the first layer begins with the same numbers; what is compared first and differs are its inputs
    check(report["first"]["step"] == 0, report["first"])


@case
def the_chains_are_read_few_times(folder):
    """Wherever the runs part: the step that h5py finds, with 2 + 2 log2(steps) rows at most."""
    import h5py
    import numpy as np
    config, a = small_config(folder, steps=200), f"{folder}/a.h5"
    record(config, a)
    for step in (0, 1, 77, 128, 198, 199):
        b = f"{folder}/{step}.h5"
        record(config, b, *sets(f'inject=({{step={step};site="grad/fc2.bias";kind="bitflip";'
                                'element=3;})'))
        report = diff(a, b)
        with h5py.File(a) as fa, h5py.File(b) as fb:
            at = np.argwhere(fa["digest"][:] != fb["digest"][:])[0]
            name = fa["sites"][int(at[1])]["name"].decode()
        first = report["first"]
        check((first["step"], first["site"]) == (int(at[0]), name) == (step, "grad/fc2.bias"),
              f"{first} and {at}")
        check(report["chain_reads"] <= 2 + 2 * 8 + 18, report["chain_reads"])
        check(first["elements"]["first"]["index"] == [3] and first["elements"]["differ"] == 1, first)
        a_bits, b_bits = (int(first["elements"]["first"][k], 16) for k in ("a_bits", "b_bits"))
        check(bin(a_bits ^ b_bits).count("1") == 1, first)
        check(first["elements"]["first"]["ulp"] == abs(a_bits - b_bits), first)


@case
def evaluations_at_other_steps_are_no_difference(folder):
    """A shorter run evaluates after its last step; what both evaluated is compared all the same."""
    config, a, b = small_config(folder, steps=30), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a, *sets("eval.every=8"))
    record(config, b, "--steps", 21, *sets("eval.every=8"))
    check(diff(a, b, code=0)["steps_compared"] == 21, "shorter")
    record(config, b, "--force", *sets("eval.every=3"))
    check(diff(a, b, code=0)["steps_compared"] == 30, "more often")
    record(config, b, "--force", *sets("eval.every=8", "eval.batches=1"))
    first = diff(a, b)["first"]
    check((first["step"], first["site"]) == (7, "eval/loss"), first)
    record(config, b, "--force", *sets("eval.every=3", "eval.batches=1"))
    first = diff(a, b)["first"]
    check((first["step"], first["site"]) == (23, "eval/loss"), first)


@case
def deep_finds_changed_values(folder):
    """A stored value is changed, its digest is not: only --deep sees it."""
    config, a, b = small_config(folder, steps=20), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a, *FULL)
    good = diff(a, a, "--deep", code=0)
    check(good["deep"]["values_read"] > 2 * 20 * 20, good["deep"])

    def flip(f):
        import numpy as np
        site = f["sites"][e2e.site_row(f, "param/fc1.weight")]
        packed = f["packed/param/f32"]
        row = packed[13]
        row.view(np.uint32)[site["packed_offset"] + 25] ^= 1 << 12
        packed[13] = row
    shutil.copy(a, b)
    e2e.edit(b, flip)
    check(diff(a, b, code=0)["verdict"] == "same", "digests are trusted")
    for one, two, which in ((a, b, "b"), (b, a, "a")):
        report = diff(one, two, "--deep")
        changed, first = report["deep"]["changed"], report["first"]
        check((changed["in"], changed["step"], changed["site"]) == (which, 13, "param/fc1.weight"),
              changed)
        check((first["step"], first["site"]) == (13, "param/fc1.weight"), first)
        check(first["elements"]["first"]["index"] == [2, 1] and first["elements"]["differ"] == 1 and
              first["elements"]["first"]["ulp"] == 1 << 12, first)
    # the runs part before it: that is told, and the changed value is not reached
    record(config, f"{folder}/c.h5", *FULL, *sets("optimizer.lr=0.02"))
    report = diff(f"{folder}/c.h5", b, "--deep")
    check(report["first"]["step"] == 0 and "changed" not in report["deep"], report["first"])
    out = run("diff", a, b, "--deep", code=1).stdout
    check("the value of param/fc1.weight at step 13 is not that of its digest" in out, out)


@case
def tolerances_are_as_numpy_says(folder):
    """The first step, site and element beyond a tolerance, and their number, of full traces; from
    digests alone, by execution, the same."""
    import numpy as np
    config = small_config(folder, steps=16)
    a, b = f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a, *FULL)
    record(config, b, *FULL, *sets("optimizer.lr=0.0100005"))
    for preset in ("standard", "light"):
        record(config, f"{folder}/a-{preset}.h5", *sets(f"record.preset={preset}"))
        record(config, f"{folder}/b-{preset}.h5", *sets(f"record.preset={preset}",
                                                        "optimizer.lr=0.0100005"))

    def ulp(x, y):
        bits = [v.view(np.int32).astype(np.int64) for v in (x, y)]
        x, y = (np.where(v < 0, -(v & 0x7fffffff), v) for v in bits)
        return np.abs(x - y)

    def beyond(rtol, atol):
        return lambda x, y: np.abs(x.astype(float) - y) > \
            atol + rtol * np.maximum(np.abs(x.astype(float)), np.abs(y))
    seen = set()
    for args, differs in (
            (("--rtol", "1e-4"), beyond(1e-4, 0)), (("--rtol", "1e-2"), beyond(1e-2, 0)),
            (("--atol", "1e-5"), beyond(0, 1e-5)),
            (("--rtol", "1e-3", "--atol", "1e-6"), beyond(1e-3, 1e-6)),
            (("--ulp", "2000"), lambda x, y: ulp(x, y) > 2000)):
        step, name, element, n, values = first_by_numpy(a, b, differs)
        report = diff(a, b, *args)
        first = report["first"]
        got = first["elements"]["first"]
        check((first["step"], first["site"]) == (step, name), f"{args}: {first}, not {step} {name}")
        check(first["elements"]["differ"] == n and got["a"] == values[0][element] and
              got["b"] == values[1][element], f"{args}: {first}, not {n}")
        check(report["tolerance"]["bits_differ_from_step"] == 0, report["tolerance"])
        other = diff(f"{folder}/a-standard.h5", f"{folder}/b-standard.h5", *args)
        check(other["first"] == first and other["tolerance"]["steps_executed"] > 0, other["first"])
        seen.add((step, name))
    check(len(seen) >= 4, f"different answers: {seen}")
    loose = diff(a, b, "--atol", "1e3", code=0)
    check(loose["verdict"] == "same" and loose["tolerance"]["tensors_compared"] > 100, loose)
    # light has no digests of most tensors between keyframes: what it has is judged by execution
    check(diff(f"{folder}/a-light.h5", f"{folder}/b-light.h5", "--atol", "1e3",
               code=0)["verdict"] == "same", "light")
    for text in ("x", "-1", "nan", "1e", ""):
        done = run("diff", a, b, "--rtol", text, code=2)
        check("'--rtol' wants a number" in done.stderr, done.stderr)


@case
def a_repeat_gives_the_tolerance(folder):
    """--noise: each tensor may differ by 4 times what A and its repeat have differed by so far."""
    import h5py
    import numpy as np
    config = small_config(folder, steps=12)
    a, repeat = f"{folder}/a.h5", f"{folder}/a2.h5"
    record(config, a, *FULL)
    # a repeat that differs a little in the gradients, as one on a GPU would
    record(config, repeat, *FULL, *sets('inject=({step=3;site="reduce_out/fc1.weight";'
                                        'kind="scale";element=7;})'))
    b, c = f"{folder}/b.h5", f"{folder}/c.h5"
    shutil.copy(repeat, b)
    check(diff(a, b, "--noise", repeat, code=0)["verdict"] == "same", "the repeat itself")
    record(config, c, *FULL, *sets('inject=({step=5;site="reduce_out/fc2.bias";kind="bitflip";'
                                   'element=2;})'))
    bits = diff(a, c)
    check(bits["first"]["step"] == 5 and bits["first"]["site"] == "reduce_out/fc2.bias", bits)
    report = diff(a, c, "--noise", repeat)

    with h5py.File(a) as fa, h5py.File(repeat) as fr, h5py.File(c) as fc:
        noise, found = {}, None
        for step in range(12):
            for name, lane, micro in parts(fa):
                values = values_of(fa, fr, name, lane, micro, step)
                if values is None or step < 5:
                    continue
                x, y = (v.astype(float) for v in values)
                z = e2e.stored(fc, name, step, lane, micro).astype(float)
                noise[name] = max(noise.get(name, 0), np.abs(x - y).max())
                bad = np.abs(x - z).max() > 4 * noise[name]
                if bad and not found:
                    found = step, name, 4 * noise[name]
    first = report["first"]
    check((first["step"], first["site"]) == found[:2], f"{first}, not {found}")
    check(first["allowed_by_noise"] == found[2], f"{first}, not {found}")
    done = run("diff", a, c, "--noise", f"{folder}/none.h5", code=3)
    check("none.h5" in done.stderr, done.stderr)
    short = f"{folder}/short.h5"
    record(config, short, *FULL, "--steps", 4)
    report = diff(a, c, "--noise", short, code=125)
    check(report["verdict"] == "cannot judge" and "has no step 5" in report["reason"], report)


@case
def renamed_layers_are_paired_by_place(folder):
    """A layer has another name and everything else is equal: its tensors are compared all the same."""
    import h5py
    config, a = small_config(folder, steps=12), f"{folder}/a.h5"
    both = sets("model[3].init=zeros", "model[3].bias=false")
    names = sets("model[2].name=in", "model[3].name=head.out")
    record(config, a, *both)

    def compare(name, *more, code):
        b = f"{folder}/{name}.h5"
        record(config, b, *both, *more)
        return diff(a, b, code=code), run("diff", a, b, code=code).stdout
    # zeros do not hang on the name, so that the runs are the same
    same, text = compare("same", *names, code=0)
    with h5py.File(a) as f:
        own = [n.decode() for n in f["sites"]["name"] if b"/fc2" in n or b"/relu1" in n]
        n_sites = len(f["sites"])
    check(same["sites_renamed"] == len(own) > 10 and same["sites_compared"] == n_sites, same)
    check(same["renamed"] == ["fc2 -> head.out", "relu1 -> in"] and not same["only_a"] + same["only_b"], same)
    check(f"by place, op and shape: {len(own)}: fc2 -> head.out, relu1 -> in\n" in text, text)
    # what differs in a renamed tensor is found in it, and named as in A
    bit, text = compare("bit", *names, *sets('inject=({step=7;site="grad/head.out.weight";kind="bitflip";element=5;})'),
                        code=1)
    first = bit["first"]
    check((first["step"], first["site"]) == (7, "grad/fc2.weight") and
          first["elements"]["differ"] == 1 and first["elements"]["first"]["index"] == [0, 5], first)
    check(any(s["site"] == "grad/fc2.weight" for s in bit["growth"]["sites"]), bit["growth"]["sites"])
    lr, text = compare("lr", *names, *sets("optimizer.lr=0.0100001"), code=1)
    check(lr["first"]["site"] == "hyper/lr" and lr["first"]["step"] == 0, lr["first"])
    near = diff(a, f"{folder}/lr.h5", "--atol", "1e-3", code=0)
    check(near["verdict"] == "same" and near["tolerance"]["tensors_compared"] > 10, near)
    # of another shape, op or place they are other layers
    for name, *more in (("shape", "model[3].out=7"), ("op", 'model[2]={op="gelu";name="other";}'),
                        ("more", 'model=({op="flatten";},{op="linear";name="fc1";out=19;},'
                                 '{op="relu";name="in";},{op="relu";name="r2";},'
                                 '{op="linear";name="head.out";out=5;bias=false;init="zeros";})')):
        other, _ = compare(name, *([] if name == "more" else names), *sets(*more), code=None)
        check(other["sites_renamed"] == 0 and other["renamed"] == [] and other["only_a"], f"{name}: {other}")


@case
def other_cuts_are_compared_as_whole_batches(folder):
    """Lanes and micro-batches: the parts are put together, so that what is computed per sample is
    the same, and the first sum over samples is where the bits part."""
    config, a = small_config(folder, steps=4, batch=12), f"{folder}/a.h5"
    record(config, a)
    for cut in (("engine.lanes=4",), ("engine.accumulate=3",), ("engine.lanes=2",
                                                               "engine.accumulate=2")):
        b = f"{folder}/b.h5"
        record(config, b, "--force", *sets(*cut))
        report = diff(a, b)
        first = report["first"]
        check(report["sites_by_parts"] >= 12 and first["step"] == 0, report["sites_by_parts"])
        check((first["site"] == "loss" or first["site"].startswith("reduce_out/")) and
              first["lane"] == -1, f"{cut}: {first}")
        check(any("reason enough for other bits" in n for n in report["notes"]), report["notes"])
        check(any(s.startswith("loss/sum: ") for s in report["reshaped"]),
              report["reshaped"])
        near = diff(a, b, "--rtol", "1e-3", "--atol", "1e-5", code=0)
        check(near["verdict"] == "same" and near["tolerance"]["tensors_compared"] > 60, near)
        # other samples: the first tensor of the whole batch, with its elements
        record(config, b, "--force", *sets("seed=5", *cut))
        first = diff(a, b)["first"]
        check((first["site"], first["lane"], first["elements"]["elements"]) ==
              ("samples/id", -1, 12), first)
        ids = [json.loads(run("show", t, "samples/id", "--step", 0, "--values", "--json",
                              *args).stdout)["values"]
               for t, args in ((a, ()), (b, ()))]
        got = first["elements"]["first"]
        check(got["a"] == ids[0][0] and got["b"] == ids[1][0], f"{got} {ids}")


@case
def growth_is_as_numpy_says(folder):
    import h5py
    import numpy as np
    config, a, b = small_config(folder, steps=21), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a, *FULL)
    record(config, b, *FULL, *sets('inject=({step=6;site="grad/fc1.weight";kind="scale";'
                                   'by=1.5;})'))
    growth = diff(a, b)["growth"]
    check(growth["steps"] == [6, 7, 8, 10, 14, 20], growth["steps"])
    rows = {(r["site"], r["lane"]): r for r in growth["sites"]}
    with h5py.File(a) as fa, h5py.File(b) as fb:
        check(len(rows) > 25, rows.keys())
        for name in ("grad/fc1.weight", "param/fc1.weight", "param/fc2.bias", "fwd/relu1"):
            lane = 0 if name.startswith("fwd") else -1
            row = rows[(name, lane)]
            for k, step in enumerate(growth["steps"]):
                x, y = (v.astype(float) for v in values_of(fa, fb, name, lane, lane, step))
                relative = np.sqrt(((x - y) ** 2).mean()) / np.sqrt((x ** 2).mean())
                check(abs(row["relative"][k] - relative) <= 1e-9 * relative, f"{name} {step}")
                check(row["largest"][k] == np.abs(x - y).max(), f"{name} {step}")
        losses = [float(fb["steps"][s]["loss"]) for s in growth["steps"]]
        check(growth["loss_b"] == losses, losses)
    # standard traces store less; --execute computes the rest, to the same numbers
    for t, extra in ((a, ()), (b, ("optimizer.lr=0.011",))):
        record(config, t, "--force", *sets("record.preset=standard", *extra))
    few, all_ = (diff(a, b, *more)["growth"]["sites"] for more in ((), ("--execute",)))
    check(len(few) < len(all_) and len(all_) > 25, f"{len(few)} {len(all_)}")
    named = {(r["site"], r["lane"]): r for r in all_}
    for row in few:
        other = named[(row["site"], row["lane"])]
        known = [k for k, v in enumerate(row["relative"]) if v is not None]
        check(known and all(row["relative"][k] == other["relative"][k] for k in known), row)


@case
def what_cannot_be_judged_is_said(folder):
    """Exit 125 with a reason, in text and JSON; sameness is judged all the same."""
    config, a, b = small_config(folder, steps=10), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a)
    for steps, name in ((":2", "x"), ("6:", "y")):
        run("pack", a, "--steps", steps, "-o", f"{folder}/{name}.h5")
    report = diff(f"{folder}/x.h5", f"{folder}/y.h5", code=125)
    check(report["verdict"] == "cannot judge" and "no step in common" in report["reason"], report)
    out = run("diff", f"{folder}/x.h5", f"{folder}/y.h5", code=125).stdout
    check("cannot judge: " in out, out)

    def newer(f):
        f.attrs["numerics_version"] = 2
    record(config, b, *sets("optimizer.lr=0.011"))
    shutil.copy(a, f"{folder}/same.h5")
    for trace in (b, f"{folder}/same.h5"):
        e2e.edit(trace, newer)
    report = diff(a, b, code=125)
    check("numerics versions 1 and 2" in report["reason"] and report["first"]["step"] == 0, report)
    check(diff(a, f"{folder}/same.h5", code=0)["verdict"] == "same", "the same bits")

    def fast(f):
        text = bytes(f["run/environment"][()]).replace(b'"math":"strict"', b'"math":"fast"')
        del f["run/environment"]
        f["run/environment"] = __import__("numpy").bytes_(text)
        f["run/environment"].attrs["digest"] = e2e.mix_digest(
            __import__("numpy").frombuffer(text, "u1"))
    record(config, b, "--force", *sets("optimizer.lr=0.011"))
    e2e.edit(b, fast)
    report = diff(a, b, code=125)
    check("run B was computed with engine.math" in report["reason"], report)
    check(diff(a, b, "--rtol", "1e-9")["verdict"] == "differs", "with a tolerance it can be judged")


if __name__ == "__main__":
    e2e.main(CASES)
