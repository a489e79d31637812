#!/usr/bin/env python3
"""End-to-end tests of the tdbg program: record, verify, show, diff, signals. The other e2e_*.py build
on the functions here.

    e2e.py CASE             runs one case (tests/meson.build lists them); e2e.py --list prints all

Environment: TDBG_BUILD is the build folder, TDBG_SOURCE the source folder.
"""
import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(os.environ.get("TDBG_BUILD", "build"))
SOURCE = os.path.abspath(os.environ.get("TDBG_SOURCE", "."))
TDBG = os.path.join(BUILD, "tdbg")
MLP = os.path.join(SOURCE, "examples", "fashion_mlp.cfg")
CNN = os.path.join(SOURCE, "examples", "fashion_cnn.cfg")
DIVERGING = os.path.join(SOURCE, "examples", "fashion_mlp_diverging.cfg")
os.environ["HDF5_PLUGIN_PATH"] = os.path.join(BUILD, "trace")
COMMANDS = ("record", "info", "show", "replay", "diff", "pack", "export", "fsck", "recover",
            "bisect", "report", "ci")


def case_table():
    """A table of cases by their names, and the decorator that adds a function to it."""
    cases = {}

    def case(function):
        cases[function.__name__] = function
        return function
    return cases, case


CASES, case = case_table()


def run(*args, code=0, program=TDBG, cwd=None):
    """Runs tdbg; fails with the command that repeats it when the exit code is another."""
    command = [program, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    if code is not None and done.returncode != code:
        sys.exit(f"exit code {done.returncode} instead of {code}\nrepeat: {' '.join(command)}\n"
                 f"{done.stdout}{done.stderr}")
    return done


def check(condition, text):
    if not condition:
        sys.exit(f"failed: {text}")


def sanitizers():
    """What the build was told to check at run time: "none", "address,undefined"."""
    with open(os.path.join(BUILD, "meson-info", "intro-buildoptions.json")) as f:
        return next(o["value"] for o in json.load(f) if o["name"] == "b_sanitize")


def record(config, trace, *args, **kwargs):
    return run("record", config, "-o", trace, "-q", *args, **kwargs)


def info(trace):
    return json.loads(run("info", trace, "--json").stdout)


def golden_chains():
    with open(os.path.join(SOURCE, "tests", "example", "golden_chains.json")) as f:
        return json.load(f)


def write_idx(path, array_bytes, dims):
    with gzip.open(path, "wb") as f:
        f.write(struct.pack(">BBBB", 0, 0, 8, len(dims)) + struct.pack(f">{len(dims)}I", *dims))
        f.write(array_bytes)


SMALL = """
seed = 3;
steps = {steps};
data = {{ kind = "idx";
  train = {{ images = "train-x.gz"; labels = "train-y.gz"; }};
  test = {{ images = "test-x.gz"; labels = "test-y.gz"; }};
  batch = {batch}; {data}
  transforms = ( {{ op = "scale"; by = 0.01; }} );
}};
model = ( {{ op = "flatten"; }}, {{ op = "linear"; name = "fc1"; out = 19; }}, {{ op = "relu"; }},
          {{ op = "linear"; name = "fc2"; out = 5; }} );
optimizer = {{ kind = "adamw"; lr = 0.01; }};
eval = {{ every = 4; }};
record = {{ keyframe = 5; }};
"""


def small_config(folder, steps=12, batch=10, data=""):
    """A tiny data set of 95 + 23 samples of 3 x 4 pixels, and a config that trains on it."""
    import random
    rng = random.Random(7)
    for name, n in (("train", 95), ("test", 23)):
        write_idx(f"{folder}/{name}-x.gz", bytes(rng.randrange(256) for _ in range(n * 12)),
                  (n, 3, 4))
        write_idx(f"{folder}/{name}-y.gz", bytes(rng.randrange(5) for _ in range(n)), (n,))
    path = f"{folder}/small.cfg"
    with open(path, "w") as f:
        f.write(SMALL.format(steps=steps, batch=batch, data=data))
    return path


def stored(f, name, step, lane=-1, micro=-1):
    """The stored value of a small site, or of a larger one of the whole step, found as
    docs/trace-format.md says."""
    sites = f["sites"][:]
    site = sites[(sites["name"] == name.encode()) & (sites["lane"] == lane) &
                 (sites["micro"] == micro)][0]
    row = (step - f["steps"][0]["step"]) // site["value_every"]
    if site["store"] == b"dataset":
        return f["t/" + name][row]
    shape, at, n = site["shape"][:site["ndim"]], site["packed_offset"], 1
    for extent in shape:
        n *= extent
    packed = f[f"packed/{site['stage'].decode()}/{site['dtype'].decode()}"]
    return packed[row, at:at + n].reshape(shape)


def verified(trace, *args, code=0):
    return run("replay", trace, "--verify", "-q", *args, code=code).stdout


@case
def mlp_records_and_verifies(folder):
    record(MLP, f"{folder}/a.h5")
    out = verified(f"{folder}/a.h5")
    check(re.match(r"verified 400 of 400 steps, \d+ sites, 0 differ\n$", out), out)
    check(info(f"{folder}/a.h5")["chain"] == golden_chains()["fashion_mlp"], "golden chain")
    out = verified(f"{folder}/a.h5", "--from", 120, "--to", 130)
    check(out.startswith("verified 11 of 11 steps"), out)
    run("replay", f"{folder}/a.h5", "--verify", "--from", 400, code=2)
    summary = run("replay", f"{folder}/a.h5").stdout
    check("400" in summary and "loss" in summary, summary)


@case
def cnn_records_and_verifies(folder):
    for option, value in (("--threads", 1), ("--threads", 7), ("--isa", "portable")):
        trace = f"{folder}/{value}.h5"
        record(CNN, trace, "--steps", 6, "--set", "eval.every=6", "--set", "eval.batches=1",
               option, value)
        check(info(trace)["chain"] == golden_chains()["fashion_cnn_6"], f"{option} {value}")
    out = verified(f"{folder}/7.h5")
    check(re.match(r"verified 6 of 6 steps, \d+ sites, 0 differ\n$", out), out)


@case
def verify_needs_no_data_set(folder):
    config = small_config(folder)
    record(config, f"{folder}/a.h5")
    for name in os.listdir(folder):
        if name.endswith(".gz"):
            os.unlink(f"{folder}/{name}")
    check("12 of 12 steps" in verified(f"{folder}/a.h5"), "verify without the data set")


@case
def threads_and_isa_do_not_change_bits(folder):
    chains = {}
    variants = [("--threads", t) for t in (1, 2, 7)]
    variants += [("--isa", i) for i in ("portable", "avx2", "avx512")]
    for option, value in variants:
        trace = f"{folder}/{value}.h5"
        done = record(MLP, trace, "--steps", 20, "--set", "eval.batches=2", option, value,
                      code=None)
        if done.returncode == 2 and option == "--isa" and "not" in done.stderr:
            continue  # this processor lacks it
        check(done.returncode == 0, done.stderr)
        chains[value] = info(trace)["chains"]
    check(len(chains) >= 4, f"variants that ran: {list(chains)}")
    for value, chain in chains.items():
        check(chain == chains[1], f"{value} differs from 1 thread")
    check(chains[1]["main"] == golden_chains()["fashion_mlp_20"], "golden chain")


@case
def optimization_does_not_change_bits(folder):
    chains = []
    for program in (TDBG, os.path.join(BUILD, "tests", "tdbg-O0")):
        trace = f"{folder}/{len(chains)}.h5"
        short = ("--steps", 6, "--set", "eval.batches=1")
        record(MLP, trace, *short, program=program)
        chains.append(info(trace)["chains"])
        for isa in ("portable", "avx2"):
            if record(MLP, trace, *short, "--isa", isa, "--force", program=program,
                      code=None).returncode == 0:
                chains.append(info(trace)["chains"])
    check(len(chains) >= 4 and all(c == chains[0] for c in chains), "-O0 and -O3")


@case
def diff_names_the_cause(folder):
    a, b = f"{folder}/a.h5", f"{folder}/b.h5"
    record(MLP, a, "--steps", 30)
    record(MLP, b, "--steps", 30, "--threads", 1)
    out = run("diff", a, b).stdout
    check("same: 30 steps" in out, out)
    record(MLP, b, "--steps", 30, "--set", "seed=2", "--force")
    out = run("diff", a, b, code=1).stdout
    check("seed: 42 -> 2" in out and "first difference: step 0, site samples/id" in out, out)
    record(MLP, b, "--steps", 30, "--set", "optimizer.lr=0.011", "--force")
    out = run("diff", a, b, code=1).stdout
    check("optimizer.lr: 0.01 -> 0.011" in out, out)
    check("first difference: step 0, site hyper/lr" in out, out)
    check("0.00999999978 and 0.0109999999" in out, out)
    report = json.loads(run("diff", a, b, "--json", code=1).stdout)
    check(report["first"]["site"] == "hyper/lr" and report["first"]["step"] == 0, report)
    check(report["reads"] <= 100, report["reads"])


@case
def diff_finds_a_late_difference(folder):
    """The schedule changes the learning rate at its 20th step only."""
    config = small_config(folder, steps=40)
    a, b = f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a, "--set", 'schedule={kind="cosine";}')
    record(config, b, "--set", 'schedule={kind="cosine";lr_min=1e-9;}')
    out = run("diff", a, b, code=1).stdout
    step = int(re.search(r"first difference: step (\d+), site hyper/lr", out).group(1))
    values = [[json.loads(run("show", t, "hyper/lr", "--step", s, "--values", "--json").stdout)
               ["values"][0] for t in (a, b)] for s in (step - 1, step)]
    check(values[0][0] == values[0][1] and values[1][0] != values[1][1], values)


@case
def show_equals_h5py(folder):
    import h5py
    import numpy as np
    trace = f"{folder}/a.h5"
    record(MLP, trace, "--steps", 8)
    with h5py.File(trace) as f:
        weight = f["t/grad/fc1.weight"][7]
        check("t/grad/fc3.bias" not in f, "small tensors are packed")
        for site in ("grad/fc1.weight", "grad/fc3.bias", "grad/fc2.weight"):
            shown = json.loads(run("show", trace, site, "--step", 7, "--values", "--json").stdout)
            values = np.array(shown["values"], dtype=np.float32)
            check(values.tobytes() == stored(f, site, 7).tobytes(), site)
    text = run("show", trace, "grad/fc1.weight", "--step", 7, "--values").stdout.split()
    check(np.array(text, dtype=np.float32).tobytes() == weight.tobytes(), "text values")
    dump = subprocess.run(["h5dump", "-H", trace], capture_output=True, text=True)
    check(dump.returncode == 0 and "fc1.weight" in dump.stdout, "h5dump -H")
    dump = subprocess.run(["h5dump", "-d", "/packed/grad/f32", "-s", "7,0", "-c", "1,10", trace],
                          capture_output=True, text=True)
    check(dump.returncode == 0 and "(7,0)" in dump.stdout, "h5dump through the plugin: " +
          dump.stderr)


@case
def documented_format_is_enough(folder):
    """check_h5py.py, which knows docs/trace-format.md only, reads real and random traces."""
    record(small_config(folder), f"{folder}/0.h5", "--set", "engine.lanes=3", "--set",
           "engine.accumulate=2", "--set", "record.preset=full")
    record(small_config(folder, data="drop_last = false;"), f"{folder}/1.h5")
    record(MLP, f"{folder}/2.h5", "--steps", 12)
    for seed in range(3, 9):
        maker = os.path.join(BUILD, "tests", "test-trace-roundtrip")
        subprocess.run([maker, "make", f"{folder}/{seed}.h5", str(seed)], check=True)
    reader = os.path.join(SOURCE, "tests", "trace", "check_h5py.py")
    for i in range(9):
        done = subprocess.run([sys.executable, reader, f"{folder}/{i}.h5"], capture_output=True,
                              text=True)
        check(done.returncode == 0, f"{i}.h5: {done.stdout}{done.stderr}")


@case
def show_recomputes_what_is_not_stored(folder):
    """Any tensor of any step in a light trace equals what a full trace stored live."""
    config = small_config(folder, steps=12)
    full, light = f"{folder}/full.h5", f"{folder}/light.h5"
    record(config, full, "--set", "record.preset=full")
    record(config, light, "--set", "record.preset=light")
    check(info(full)["chain"] == info(light)["chain"], "chain of two presets")
    run("diff", full, light)
    names = {s["name"] for s in info(full)["sites"] if not s["name"].startswith("state/")}
    check(len(names) > 30, names)
    for name in sorted(names):
        step = 11 if name.startswith("eval/") else 7
        a, b = (run("show", t, name, "--step", step, "--values", "--json").stdout
                for t in (full, light))
        check(a == b, f"{name} at step {step}")
    run("show", full, "eval/loss", "--step", 6, code=2)


@case
def lanes_and_micro_batches(folder):
    config = small_config(folder, batch=11, data="drop_last = false;")
    for lanes, accumulate in ((1, 1), (2, 1), (3, 2), (4, 1), (7, 1), (1, 4)):
        cut = ("--set", f"engine.lanes={lanes}", "--set", f"engine.accumulate={accumulate}")
        a, b = f"{folder}/a.h5", f"{folder}/b.h5"
        record(config, a, *cut, "--force", "--threads", 1)
        record(config, b, *cut, "--force", "--threads", 7)
        check("same: 12 steps" in run("diff", a, b).stdout, cut)
        check("12 of 12 steps" in verified(a), cut)
    # Another cut is another order of rounding: other bits, nearly the same loss.
    losses = [info(t)["loss"] for t in (a, b)]
    record(config, b, "--force", "--set", "engine.lanes=3")
    other = info(b)["loss"]
    check(abs(losses[0] - other) < 1e-3 and run("diff", a, b, code=1), "lanes round differently")


@case
def schedule_optimizer_loss_variants(folder):
    config = small_config(folder, steps=15, data="shuffle = false;")
    variants = [
        ('optimizer={kind="sgd";lr=0.1;momentum=0.9;nesterov=true;weight_decay=0.01;}',),
        ('optimizer={kind="sgd";lr=0.1;}', "loss.reduction=sum"),
        ('schedule={kind="cosine";warmup=4;lr_min=0.001;}',),
        ('schedule={kind="constant";warmup=5;}', "data.sampler.reshuffle=false"),
        ("record.preset=full", 'record.stages={fwd="off";bwd="every:3";}'),
        ("record.preset=light", 'record.stages={param="digest";}'),
    ]
    seen = set()
    for variant in variants:
        sets = [word for v in variant for word in ("--set", v)]
        record(config, f"{folder}/v.h5", "--force", *sets)
        check("15 of 15 steps" in verified(f"{folder}/v.h5"), variant)
        seen.add(info(f"{folder}/v.h5")["chain"])
    check(len(seen) == 5, f"variants of the training have chains of their own: {len(seen)}")


@case
def diverging_run_verifies(folder):
    trace = f"{folder}/bad.h5"
    record(DIVERGING, trace)
    check("400 of 400 steps" in verified(trace), "a run with NaN verifies")
    loss = info(trace)["loss"]
    check(loss is None or loss > 10, f"the loss blew up: {loss}")
    run("replay", trace)


@case
def epochs_and_print_config(folder):
    config = small_config(folder)
    full = f"{folder}/full.cfg"
    text = run("record", config, "--print-config", "--set", "epochs=2").stdout
    check("# --set" in text and "# default" in text and f"# {config}:" in text, text)
    with open(full, "w") as f:
        f.write(text)
    record(config, f"{folder}/a.h5", "--set", "epochs=2")
    record(full, f"{folder}/b.h5")
    check(info(f"{folder}/a.h5")["steps"] == 18, "2 epochs of 9 steps")
    run("diff", f"{folder}/a.h5", f"{folder}/b.h5")


@case
def never_overwrites_without_force(folder):
    config = small_config(folder)
    record(config, f"{folder}/a.h5")
    before = open(f"{folder}/a.h5", "rb").read()
    done = record(config, f"{folder}/a.h5", code=2)
    check("--force" in done.stderr, done.stderr)
    check(open(f"{folder}/a.h5", "rb").read() == before, "the trace is untouched")
    record(config, f"{folder}/a.h5", "--force")


@case
def interrupt_closes_a_valid_trace(folder):
    config = small_config(folder, steps=1000000)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        trace = f"{folder}/{code}.h5"
        process = subprocess.Popen([TDBG, "record", config, "-o", trace], stderr=subprocess.PIPE,
                                   text=True)
        while "recording" not in process.stderr.readline():
            check(process.poll() is None, "record ended early")
        process.send_signal(number)
        process.stderr.read()
        check(process.wait() == code, f"exit code {process.returncode}")
        check(info(trace)["closed"], "closed")
        check("0 differ" in verified(trace), "verifies")


def edit(trace, change):
    import h5py
    with h5py.File(trace, "r+") as f:
        change(f)


def mix_digest(words):
    """docs/trace-format.md in numpy: the digest of an array of 32-bit words."""
    import numpy as np
    with np.errstate(over="ignore"):
        def mix(i, w):
            x = ((i << np.uint64(32)) | (i >> np.uint64(32))) ^ w
            x = x * np.uint64(0xBF58476D1CE4E5B9)
            x ^= x >> np.uint64(32)
            x = x * np.uint64(0x3C79AC492BA7B653)
            return x ^ (x >> np.uint64(29))
        n = len(words)
        total = mix(np.arange(n, dtype=np.uint64), words.astype(np.uint64)).sum(dtype=np.uint64)
        last = mix(np.array([2**64 - 1], dtype=np.uint64),
                   np.array([(n ^ n >> 32) & 0xFFFFFFFF], dtype=np.uint64))[0]
        return total + last


def site_row(f, name):
    names = [n.decode() if isinstance(n, bytes) else n for n in f["sites"]["name"]]
    return names.index(name)


@case
def command_line_errors(folder):
    for args, text in ((["recrd"], "the most similar command is 'record'"),
                       (["record"], "too few arguments"),
                       (["record", MLP, "--stpes", "3"], "did you mean '--steps'?"),
                       (["record", MLP, "--steps", "x"], "wants an integer"),
                       (["show", "a.h5", "loss"], "--step"),
                       (["replay", "a.h5", "--from", "3"], "belong to --verify"),
                       (["record", MLP, "--isa", "mmx"], "mmx")):
        done = run(*args, code=2)
        check(text in done.stderr, f"{args}: {done.stderr}")
    record(small_config(folder), f"{folder}/a.h5")
    done = run("show", f"{folder}/a.h5", "grad/fc1.wieght", "--step", "1", code=2)
    check("did you mean 'grad/fc1.weight'?" in done.stderr, done.stderr)
    for command in COMMANDS:
        text = run(command, "--help").stdout
        check(text == run("help", command).stdout and "Examples:" in text, command)
    check("optimizer" in run("--help-config").stdout, "--help-config")
    check("numerics version 1" in run("--version").stdout, "--version")


def config_document():
    return ("# train.cfg\n\n"
            "A config is in libconfig's syntax. One spelling of a key serves the config, `--set "
            "key=value`, the trace\nand all messages. Unknown keys are errors; a list of numbers is "
            "`[...]` or `(...)`; paths are relative to\nthe config file. `tdbg record CFG "
            "--print-config` prints the whole effective config and where each\nvalue came from. "
            "`--steps`, `--threads`, `--device` and `--set` are stronger than the file, the file "
            "than the defaults.\n\nThe list below is what `tdbg --help-config` prints.\n\n```\n" +
            run("--help-config").stdout + "```\n")


@case
def documents_are_true(folder):
    """docs/config.md is generated from the option tables; the manual page lists every option."""
    path = os.path.join(SOURCE, "docs", "config.md")
    if os.environ.get("TDBG_UPDATE_GOLDEN"):
        open(path, "w").write(config_document())
    check(open(path).read() == config_document(), "docs/config.md is not what --help-config says")
    page = open(os.path.join(SOURCE, "docs", "man", "tdbg.1")).read().replace("\\-", "-")
    for command in COMMANDS:
        section = page.split(f".SS {command}\n")[1].split("\n.SS ")[0]
        options = re.findall(r"--[a-z][a-z-]*", run(command, "--help").stdout.split("Options:")[1])
        for option in set(options) - {"--help"}:
            check(option in section, f"{option} of {command} is not in the manual page")


@case
def malformed_configs(folder):
    """tests/config/NAME.cfg gives exactly tests/config/NAME.txt and exit code 2."""
    base = os.path.join(SOURCE, "tests", "config")
    names = sorted(n[:-4] for n in os.listdir(base) if n.endswith(".cfg"))
    check(len(names) >= 20, f"{len(names)} configs")
    for name in names:
        done = run("record", f"{name}.cfg", "-o", f"{folder}/x.h5", cwd=base, code=2)
        golden = os.path.join(base, f"{name}.txt")
        if os.environ.get("TDBG_UPDATE_GOLDEN"):
            open(golden, "w").write(done.stderr)
        check(done.stderr == open(golden).read(), f"{name}:\n{done.stderr}")
        check(not os.path.exists(f"{folder}/x.h5"), f"{name} left a trace behind")


@case
def mlp_learns(folder):
    """>= 87 % test accuracy on Fashion-MNIST in 10 epochs (suite long)."""
    trace = f"{folder}/a.h5"
    record(MLP, trace, "--set", "epochs=10", "--set", "record.preset=light")
    last = info(trace)["steps"] - 1
    shown = run("show", trace, "eval/accuracy", "--step", last, "--values").stdout
    print(f"test accuracy after 10 epochs: {100 * float(shown):.2f} %")
    check(float(shown) >= 0.87, shown)


def main(cases=CASES):
    if sys.argv[1:] == ["--list"]:
        print("\n".join(cases))
        return
    for name in sys.argv[1:] or cases:
        with tempfile.TemporaryDirectory(prefix="tdbg-e2e-") as folder:
            cases[name](folder)
        print(f"{name}: ok")


if __name__ == "__main__":
    main()
