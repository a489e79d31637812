#!/usr/bin/env python3
"""End-to-end tests of traces in other shapes: pack, export, segments, windows. Called like e2e.py, on
which it builds."""
import os
import shutil
import subprocess
import sys

import e2e
from e2e import (BUILD, DIVERGING, SOURCE, TDBG, check, edit, info, record, run, site_row,
                 small_config, stored, verified)

CASES, case = e2e.case_table()


def load_npy(*args):
    """tdbg export --format npy of these arguments, read by numpy."""
    import io
    import numpy as np
    done = subprocess.run([TDBG, "export", *map(str, args), "--format", "npy"],
                          capture_output=True)
    check(done.returncode == 0, done.stderr.decode())
    return np.load(io.BytesIO(done.stdout)), done.stderr.decode()


@case
def documented_zones_find_steps(folder):
    """The program of docs/trace-format.md, /zones, finds what a look at every step finds."""
    import h5py
    import numpy as np
    n_found = 0
    with open(os.path.join(SOURCE, "docs", "trace-format.md"), encoding="utf-8") as doc:
        code = doc.read().split("## /zones")[1].split("```python\n")[1].split("```")[0]
    for seed in range(1, 6):
        subprocess.run([os.path.join(BUILD, "tests", "test-trace-roundtrip"), "make",
                        f"{folder}/{seed}.h5", str(seed)], check=True)
        with h5py.File(f"{folder}/{seed}.h5") as f:
            names = [s.decode() for s in f["sites"]["name"]]
            known = {"np": np, "names": names}
            exec(code, known)  # pylint: disable=exec-used
            for i, name in enumerate(names):
                want = [int(s) for s in f["steps"]["step"][f["stats/nans"][:, i] > 0]]
                if names.index(name) == i:
                    check(known["steps_with_nan"](f, name) == want, f"{seed}.h5: {name}")
                    n_found += len(want)
    check(n_found > 50, n_found)


@case
def exported_npy_equals_h5py(folder):
    """A full trace stores everything; a light one computes the same, step after step."""
    import h5py
    import numpy as np
    config = small_config(folder, batch=11, data="drop_last = false;")
    cut = ("--set", "engine.lanes=3", "--set", "engine.accumulate=2")
    full, light = f"{folder}/full.h5", f"{folder}/light.h5"
    record(config, full, *cut, "--set", "record.preset=full")
    record(config, light, *cut, "--set", "record.preset=light")
    with h5py.File(full) as f:
        for site in ("grad/fc1.weight", "param/fc2.bias", "hyper/lr"):
            want = np.stack([stored(f, site, k) for k in range(12)])
            for trace in (full, light):
                have, _ = load_npy(trace, site)
                check(have.dtype == want.dtype and have.shape == want.shape, f"{site} shape")
                check(have.tobytes() == want.tobytes(), f"{site} of {trace}")
                have, _ = load_npy(trace, site, "--steps", "3:6")
                check(have.tobytes() == want[3:7].tobytes(), f"{site} of {trace}, 3:6")
                have, _ = load_npy(trace, site, "--step", 7)
                check(have.shape == want.shape[1:] and have.tobytes() == want[7].tobytes(), site)
        want = np.stack([stored(f, "fwd/fc1", k, lane=1, micro=0) for k in range(12)])
        for trace in (full, light):
            have, note = load_npy(trace, "fwd/fc1", "--lane", 1, "--micro", 0)
            check(have.tobytes() == want.tobytes() and "1 of 12 steps" in note, note)
            have, note = load_npy(trace, "fwd/fc1", "--lane", 1, "--micro", 0, "--step", 8)
            check(have.shape == (1, 19) and note == "", f"a short batch: {have.shape} {note}")
            check(have.tobytes() == want[8, :1].tobytes(), "a short batch")
            have, note = load_npy(trace, "eval/loss")
            want_eval = np.stack([stored(f, "eval/loss", k) for k in (3, 7, 11)])
            check(have.tobytes() == want_eval.tobytes(), "eval/loss")
            check("3 of 12" in note, note)
            have, _ = load_npy(trace, "state/fc1.weight")
            after = np.stack([stored(f, "param/fc1.weight", k) for k in range(11)])
            check(have[1:].tobytes() == after.tobytes(), "state")
            have, _ = load_npy(trace, "samples/x", "--step", 0)
            ids, _ = load_npy(trace, "samples/id", "--step", 0)
            check(ids.dtype == np.int64 and have.dtype == np.uint8, "types of samples")
            row_of = list(f["samples/train/id"][:])
            for x, i in zip(have, ids):
                check(x.tobytes() == f["samples/train/x"][row_of.index(i)].tobytes(), "a sample")


@case
def exported_types_keep_their_bits(folder):
    """Random bits of every type, NaN payloads too; bf16 becomes float32."""
    import numpy as np
    sys.path.insert(0, os.path.join(SOURCE, "tests", "trace"))
    import check_h5py
    np.seterr(over="ignore")
    seen = set()
    for seed in range(1, 13):
        trace = f"{folder}/{seed}.h5"
        subprocess.run([os.path.join(BUILD, "tests", "test-trace-roundtrip"), "make", trace,
                        str(seed)], check=True)
        t = check_h5py.Trace(trace)
        row = t.steps[0]
        for site in t.sites:
            dtype, want = site["dtype"].decode(), t.values(site, row)
            if dtype in seen or want is None or want.size == 0:
                continue
            seen.add(dtype)
            part = [w for o, n in (("--lane", site["lane"]), ("--micro", site["micro"])) if n >= 0
                    for w in (o, n)]
            have, note = load_npy(trace, site["name"].decode(), "--step", int(row["step"]), *part)
            check(have.shape == want.shape, f"{dtype}: {have.shape} {want.shape}")
            if dtype == "bf16":
                check("no bf16" in note and have.dtype == np.float32, note)
                want = want.astype(np.uint32) << 16
            check(have.tobytes() == np.ascontiguousarray(want).tobytes(), dtype)
    check(seen == set(check_h5py.BYTES), seen)


@case
def exported_text_reads_back(folder):
    import csv
    import numpy as np
    trace = f"{folder}/a.h5"
    record(DIVERGING, trace, "--steps", 60)
    for site, last in (("loss", 60), ("grad/fc3.bias", 3), ("samples/id", 2)):
        want, _ = load_npy(trace, site, "--steps", f":{last - 1}")
        path = f"{folder}/x.csv"
        run("export", trace, site, "--steps", f":{last - 1}", "--format", "csv", "-o", path,
            "--force")
        rows = list(csv.reader(open(path)))
        check(rows[0] == ["step", *(f"index{d}" for d in range(want.ndim - 1)), "value"], rows[0])
        check(len(rows) == want.size + 1, f"{site}: {len(rows)} rows")
        for *index, value in rows[1:]:
            have = np.array(value).astype(want.dtype)
            check(have.tobytes() == want[tuple(map(int, index))].tobytes() or
                  np.isnan(have) and np.isnan(want[tuple(map(int, index))]), f"{site} {index}")
    lines = run("export", trace, "grad/fc3.bias", "--steps", "4:6", "--format", "json").stdout
    shown = [run("show", trace, "grad/fc3.bias", "--step", s, "--values", "--json").stdout
             for s in (4, 5, 6)]
    check(lines == "".join(shown), lines)
    out = f"{folder}/x.npy"
    for args, code, text in ((("loss",), 2, "which format"),
                             (("loss", "--format", "xls"), 2, "npy, csv or json"),
                             (("loss", "--format", "npy", "--step", 1, "--steps", ":"), 2,
                              "exclude each other"),
                             (("loss", "--format", "npy", "--steps", "9:3"), 2, "before it begins"),
                             (("loss", "--format", "npy", "--step", 60), 2, "steps 0 to 59"),
                             (("lss", "--format", "npy"), 2, "did you mean 'loss'"),
                             (("eval/loss", "--format", "npy", "--step", 3), 2, "not evaluated"),
                             (("loss", "--lane", 1, "--format", "npy"), 2, "not for that lane")):
        done = run("export", trace, *args, "-o", out, code=code)
        check(text in done.stderr, f"{args}: {done.stderr}")
        check(not os.path.exists(out), f"{args} left a file")
    run("export", trace, "loss", "--format", "npy", "-o", out)
    before = open(out, "rb").read()
    done = run("export", trace, "hyper/lr", "--format", "npy", "-o", out, code=2)
    check("--force" in done.stderr and open(out, "rb").read() == before, done.stderr)
    check("cannot create" in run("export", trace, "loss", "--format", "npy", "-o",
                                 f"{folder}/no/x.npy", code=4).stderr, "no such folder")


def check_part(trace, part, n, reader):
    """A packed file verifies alone, is the trace as far as it goes, and fits the document."""
    check(f"verified {n} of {n} steps" in verified(part), f"{part} verifies")
    check(f"same: {n} steps" in run("diff", trace, part).stdout, f"{part} is the same")
    done = subprocess.run([sys.executable, reader, part], capture_output=True, text=True)
    check(done.returncode == 0, f"{part}: {done.stdout}{done.stderr}")
    a, b = info(trace), info(part)
    for key in ("uuid", "config", "config_path", "environment", "dataset", "graph", "preset",
                "planned_steps", "sites", "tdbg_version"):
        check(a[key] == b[key], f"{key} of {part}")
    check(b["closed"] and b["steps"] == n and b["n_samples"] <= a["n_samples"], part)
    for key in ("values_raw", "samples_raw"):
        check(b["bytes"][key] <= a["bytes"][key], f"{key} of {part}")


@case
def packed_parts_verify_alone(folder):
    """All presets, cut and uncut, with and without a keyframe before the part; no data set."""
    import h5py
    reader = os.path.join(SOURCE, "tests", "trace", "check_h5py.py")
    for preset, lanes, accumulate in (("light", 1, 1), ("standard", 3, 2), ("full", 3, 2)):
        config = small_config(folder, batch=11, data="drop_last = false;")
        trace, part = f"{folder}/{preset}.h5", f"{folder}/part.h5"
        record(config, trace, "--set", f"record.preset={preset}", "--set",
               f"engine.lanes={lanes}", "--set", f"engine.accumulate={accumulate}")
        for name in [n for n in os.listdir(folder) if n.endswith(".gz")]:
            os.unlink(f"{folder}/{name}")
        run("pack", trace, "-q")
        check_part(trace, f"{folder}/{preset}-packed.h5", 12, reader)
        # keyframes stand before 0, 5 and 10; steps 3, 7 and 11 evaluate; step 8 is a short batch
        for steps, n, keyframes, evaluates in (("5:9", 5, [5], True), ("7:11", 5, [7, 10], True),
                                               ("8:10", 3, [8, 10], False), (":6", 7, [0, 5], True),
                                               ("8:8", 1, [8], False), ("11:", 1, [11], True)):
            run("pack", trace, "--steps", steps, "-o", part, "--force", "-q")
            check_part(trace, part, n, reader)
            with h5py.File(part) as f:
                check(list(f["keyframe/step"][:]) == keyframes, f"{steps}: keyframes")
                used = {int(i) for i in f["samples/train/batch"][:].ravel() if i >= 0}
                check(used == {int(i) for i in f["samples/train/id"][:]}, f"{steps}: samples")
                check(len(f["samples/eval/id"]) == (23 if evaluates else 0), f"{steps}: eval")
        done = run("pack", trace, "--steps", "7:9")
        check("steps 7 to 9" in done.stderr and "computed from step 5" in done.stderr, done.stderr)
        os.unlink(trace)
        check("3 of 3" in verified(f"{folder}/{preset}-7-9.h5"), "without the trace")
        run("pack", f"{folder}/{preset}-7-9.h5", "--steps", "9:", "-o", part, "--force", "-q")
        check_part(f"{folder}/{preset}-7-9.h5", part, 1, reader)  # a part of a part
        a, b = (run("show", t, "fwd/fc1", "--step", 8, "--values").stdout
                for t in (f"{folder}/{preset}-packed.h5", f"{folder}/{preset}-7-9.h5"))
        check(a == b and a, "show of a part")


@case
def pack_refuses(folder):
    """Ranges that are none, files that exist, and traces in which something does not agree."""
    import numpy as np
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(small_config(folder), good)
    for steps, text in (("10:5", "ends before it begins"), ("5", "wants a range"),
                        ("a:b", "wants a range"), ("1:2:3", "wants a range"),
                        ("-1:3", "wants a range"), ("9" * 30 + ":", "wants a range"),
                        ("5:12", "has steps 0 to 11"), ("12:", "has steps 0 to 11")):
        done = run("pack", good, f"--steps={steps}", code=2)
        check(text in done.stderr, f"{steps}: {done.stderr}")
    run("pack", good, "-q")
    check("--force" in run("pack", good, code=2).stderr, "hint")
    check("itself" in run("pack", good, "-o", good, "--force", code=2).stderr, "onto itself")
    check("12 of 12" in verified(good), "the trace is as it was")
    run("pack", good, "-o", f"{folder}/no/such.h5", code=4)

    def flip_value(f):
        site = f["sites"][site_row(f, "grad/fc1.weight")]
        at = site["packed_offset"]
        row = f["packed/grad/f32"][6]
        row[at] = np.nextafter(row[at], np.float32(9))
        f["packed/grad/f32"][6] = row

    def flip_chain(f):
        rows = f["steps"][:]
        rows["chain"][6, 0] ^= np.uint64(1)
        f["steps"][:] = rows

    def flip_keyframe(f):
        f["keyframe/fc1.weight"][1] = np.nextafter(f["keyframe/fc1.weight"][1], np.float32(9))

    def lose_sample(f):
        ids = f["samples/train/batch"][6]
        f["samples/train/id"][list(f["samples/train/id"][:]).index(ids[0])] = \
            (set(range(95)) - set(f["samples/train/id"][:])).pop()

    for change, steps, text in ((flip_value, ":", "grad/fc1.weight at step 6"),
                                (flip_chain, ":", "chain main does not follow from the digests of "
                                 "step 6"),
                                (flip_keyframe, "4:6", "state/fc1.weight at step 5"),
                                (flip_keyframe, "7:9", "first difference: site state/fc1.weight"),
                                (lose_sample, "5:7", "cannot pack step 6")):
        shutil.copy(good, bad)
        edit(bad, change)
        done = run("pack", bad, "--steps", steps, "-o", f"{folder}/x.h5", code=3)
        check(text in done.stderr and "bad.h5" in done.stderr, f"{text}: {done.stderr}")
        check(not os.path.exists(f"{folder}/x.h5"), "half a file is none")
        run("pack", bad, "--steps", "10:", "-o", f"{folder}/x.h5", "-q")  # none of it is in here
        os.unlink(f"{folder}/x.h5")


@case
def segments_are_one_trace(folder):
    """A trace in several files verifies, packs and equals one in one file; a part missing is said."""
    config = small_config(folder, steps=60)
    record(config, f"{folder}/one.h5")
    record(config, f"{folder}/s.h5", "--set", "record.segment_gib=0.00001")
    files = sorted(n for n in os.listdir(folder) if n.startswith("s.seg"))
    check(len(files) >= 3, f"files: {files}")
    check("60 of 60 steps" in verified(f"{folder}/s.h5"), "verifies")
    check("same: 60 steps" in run("diff", f"{folder}/s.h5", f"{folder}/one.h5").stdout, "the same")
    check(info(f"{folder}/s.h5")["chain"] == info(f"{folder}/one.h5")["chain"], "chain")
    run("pack", f"{folder}/s.h5", "-q", "-o", f"{folder}/p.h5")
    check("same: 60 steps" in run("diff", f"{folder}/p.h5", f"{folder}/one.h5").stdout, "packed")
    for site in ("grad/fc1.weight", "samples/x", "fwd/fc2"):
        a, b = (run("show", f"{folder}/{t}.h5", site, "--step", 57, "--values").stdout
                for t in ("s", "one"))
        check(a == b and a, f"show {site}")
    os.rename(f"{folder}/s.seg2.h5", f"{folder}/away.h5")
    steps = info(f"{folder}/s.h5")["steps"]
    check(0 < steps < 60, f"{steps} steps without the third file")
    shutil.copy(f"{folder}/one.h5", f"{folder}/s.seg2.h5")
    check(info(f"{folder}/s.h5")["steps"] == steps, "a file of another run is none of its own")
    open(f"{folder}/s.seg2.h5", "wb").write(open(f"{folder}/away.h5", "rb").read()[:5000])
    done = run("info", f"{folder}/s.h5", "--json")
    check("s.seg2.h5 cannot be used" in done.stderr, done.stderr)


@case
def window_keeps_the_last_steps(folder):
    config = small_config(folder, steps=113)
    record(config, f"{folder}/one.h5")
    record(config, f"{folder}/w.h5", "--set", "record.window=20")
    about = info(f"{folder}/w.h5")
    check(20 <= about["steps"] <= 45 and about["first_step"] + about["steps"] == 113, str(about))
    check(len([n for n in os.listdir(folder) if n.startswith("w.")]) == 2, os.listdir(folder))
    check(f"{about['steps']} of {about['steps']} steps" in verified(f"{folder}/w.h5"), "verifies")
    check("same: " in run("diff", f"{folder}/w.h5", f"{folder}/one.h5").stdout, "the same")
    # a loss that is not finite makes the window permanent
    record(config, f"{folder}/bad.h5", "--set", "record.window=20", "--set", "optimizer.lr=1e30")
    about = info(f"{folder}/bad.h5")
    check(about["first_step"] == 0 and about["steps"] == 113, "kept from the first step on")


if __name__ == "__main__":
    e2e.main(CASES)
