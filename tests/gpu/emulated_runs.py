#!/usr/bin/env python3
"""End-to-end tests of tdbg on an emulated GPU: the CPU repeats every bit, and what keeps a GPU from
being used is said.

    emulated_runs.py CASE      runs one case (tests/gpu/meson.build lists them); --list prints all

Environment: TDBG_BUILD is the build folder, TDBG_SOURCE the source folder.
"""
import glob
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "example"))
import e2e  # noqa: E402
from e2e import BUILD, SOURCE, check, info, run, small_config  # noqa: E402

EMULATED = os.path.join(BUILD, "tests", "gpu", "tdbg-emulated")
os.environ.setdefault("TDBG_WRITER", os.path.join(BUILD, "trace", "tdbg-writer"))
CASES, case = e2e.case_table()

# Small enough for fibers: what each example is given.
EXAMPLES = {
    "fashion_mlp": ["data.batch=8"],
    "fashion_mlp_diverging": ["data.batch=8"],
    "fashion_cnn": ["data.batch=2"],
    "fashion_ddp": ["data.batch=4", "engine.lanes=2"],
    "fashion_vit": ["data.batch=1"],
    "text_gpt": ["data.batch=2", "data.tokens.context=16"],
}
TOO_LARGE = {"gpt2_124m"}


def on_gpu(*args, code=0, **gpus):
    """Runs tdbg with an emulated GPU; gpus: TDBG_EMULATED_* that are set."""
    os.environ.update(gpus)
    try:
        return run(*args, code=code, program=EMULATED)
    finally:
        for name in gpus:
            del os.environ[name]


def device(trace):
    return json.loads(info(trace)["environment"])


def sets(keys):
    return [word for key in keys for word in ("--set", key)]


def same_on_both(config, folder, keys=(), verifies=True, gpus="1"):
    """Records on the GPU and on the CPU, and lets each verify the other. Returns the two traces."""
    gpu, cpu = f"{folder}/gpu.h5", f"{folder}/cpu.h5"
    words = [*sets(keys), "--force", "-q"]
    on_gpu("record", config, "-o", gpu, "--device", "cuda", *words, TDBG_EMULATED_GPUS=gpus)
    run("record", config, "-o", cpu, "--device", "cpu", *words)
    check(info(gpu)["chain"] == info(cpu)["chain"], f"the chain of {config} with {keys}")
    check(device(gpu)["device"] == "cuda" and device(cpu)["device"] == "cpu", "the devices")
    out = run("diff", cpu, gpu, "--deep").stdout  # the values, too
    check(re.search(r"^same: \d+ steps, \d+ sites", out, re.M), out)
    if verifies:
        out = run("replay", gpu, "--verify", "-q").stdout
        check(out.endswith(", 0 differ\n"), out)
        out = on_gpu("replay", cpu, "--verify", "-q", "--device", "cuda").stdout
        check(out.endswith(", 0 differ\n"), out)
    return gpu, cpu


def example(name, folder):
    same_on_both(os.path.join(SOURCE, "examples", f"{name}.cfg"), folder,
                 ["steps=3", "eval.every=3", "eval.batches=1", *EXAMPLES[name]])


def add_example(name):
    def one(folder):
        example(name, folder)
    one.__name__ = f"example_{name}"
    case(one)


for each in EXAMPLES:
    add_example(each)


@case
def every_example_has_a_case(_):
    names = {os.path.splitext(os.path.basename(p))[0]
             for p in glob.glob(os.path.join(SOURCE, "examples", "*.cfg"))}
    check(names == set(EXAMPLES) | TOO_LARGE, f"examples {names}")


@case
def ways_of_the_engine(folder):
    """What reads or writes tensors beside the kernels: taps, weights of samples, clipping, folds."""
    config = small_config(folder, steps=6)
    same_on_both(config, folder)
    same_on_both(config, folder, ["record.preset=\"full\"", "engine.lanes=3"])
    same_on_both(config, folder, ["record.preset=\"light\"", "engine.lanes=2",
                                  "engine.accumulate=2", "record.keyframe=2"])
    same_on_both(config, folder, ["engine.precision=\"bf16\""])
    same_on_both(config, folder, ["clip={norm=0.5;value=0.1;}", "freeze=[\"fc1.bias\"]"])
    same_on_both(config, folder, [
        "clip.norm=0.5", 'optimizer={kind="rmsprop"; lr=0.01; momentum=0.5; weight_decay=0.1; '
        'groups=({match=["*.bias"]; weight_decay=0.0; lr_scale=0.5;});}'])
    same_on_both(config, folder, ["drop_samples=[3,14,15,92]"])
    same_on_both(config, folder, ["loss={class_weights=[1.0,2.0,3.0,0.5,1.0];ignore_index=2;"
                                  "label_smoothing=0.1;}"])


@case
def faults_are_planted(folder):
    """A flipped bit in a tensor of the device: the same trace as with one of the host."""
    config = small_config(folder, steps=6)
    fault = 'inject=({step=3;rank=0;site="grad/fc1.weight";kind="bitflip";element=17;bit=30;})'
    gpu, _ = same_on_both(config, folder, [fault], verifies=False)
    out = run("replay", gpu, "--verify", "-q", code=1).stdout
    check("grad/fc1.weight" in out and "step 3" in out, out)
    stale = 'inject=({step=3;rank=0;site="param/fc2.bias";kind="stale";element=2;})'
    same_on_both(config, folder, [stale], verifies=False)


GPT = """
seed = 3;
steps = 4;
data = {{
  kind = "text"; train = {{ text = [ "{text}" ]; }};
  tokens = {{ kind = "byte"; context = 11; }}; split = 0.2;
  batch = 4;
}};
model = (
  {{ op = "embedding"; name = "tok"; dim = 32; vocab = 259; init = "normal"; }},
  {{ op = "position"; name = "pos"; init = "normal"; }},
  {{ op = "residual"; name = "mix"; body = (
      {{ op = "layer_norm"; name = "norm"; }},
      {{ op = "attention"; name = "attn"; causal = true; {attention} }} ); }},
  {{ op = "linear"; name = "up"; out = 40; }},
  {{ op = "gelu"; approximate = "tanh"; }},
  {{ op = "linear"; name = "down"; out = 32; }},
  {{ op = "dropout"; name = "drop"; p = 0.1; }},
  {{ op = "rms_norm"; name = "last"; }},
  {{ op = "linear"; name = "head"; tie = "tok"; bias = false; }}
);
loss = {{ kind = "cross_entropy"; }};
optimizer = {{ kind = "adamw"; lr = 0.01; }};
eval = {{ every = 2; batches = 1; }};
engine = {{ precision = "bf16"; math = "fast"; }};
"""


def write_gpt(folder, attention="heads = 2;"):
    text, config = f"{folder}/text", f"{folder}/gpt.cfg"
    with open(text, "w") as f:
        f.write("".join(f"{n} bottles of beer on the wall, {n - 1} left. " for n in range(99, 60, -1)))
    with open(config, "w") as f:
        f.write(GPT.format(text=text, attention=attention))
    return config


def record_fast(config, trace, *keys):
    on_gpu("record", config, "-o", trace, "--device", "cuda", "--force", "-q", *sets(keys),
           TDBG_EMULATED_GPUS="1")
    return info(trace)["chain"]


def verify_fast(trace, code=0):
    return on_gpu("replay", trace, "--verify", "-q", "--device", "cuda", code=code,
                  TDBG_EMULATED_GPUS="1").stdout


def last_loss(trace):
    return float(re.search(r"^loss +([0-9.]+) at", run("info", trace).stdout, re.M).group(1))


@case
def fast_keeps_16_bits(folder):
    """engine.math = "fast" in bf16: activations of 16 bits, attention in one call, rows of logits
    apart. Its bits do not hang on what taps look at, and it is near what strict gives."""
    config, trace, cpu = write_gpt(folder), f"{folder}/gpu.h5", f"{folder}/cpu.h5"
    chain = record_fast(config, trace)
    for keys in (['record.preset="light"', "record.keyframe=2"], ['record.preset="full"']):
        check(record_fast(config, trace, *keys) == chain, f"the chain with {keys}")
        check(verify_fast(trace).endswith(", 0 differ\n"), f"{keys} is not verified")
    run("replay", trace, "--verify", "-q", code=125)
    run("record", config, "-o", cpu, "--device", "cpu", "-q", *sets(['engine.math="strict"']))
    check(abs(last_loss(trace) - last_loss(cpu)) < 0.02, (last_loss(trace), last_loss(cpu)))
    # The emulated products are the strict ones: what parts first is the first that is not.
    out = run("diff", cpu, trace, code=125).stdout
    check("step 0, site fwd/mix.attn.context" in out, out)


@case
def fast_in_16_bits_takes_all_ways(folder):
    """The same with what the engine does beside the kernels: lanes, micro-batches, samples without
    weight; and attention that no call takes whole."""
    config, trace = write_gpt(folder), f"{folder}/gpu.h5"
    chain = record_fast(config, trace)
    dropped = f"drop_samples={list(range(60))}"
    for keys in (["engine.lanes=2", "engine.accumulate=2"], [dropped],
                 ["loss={label_smoothing=0.1;}"]):
        check(record_fast(config, trace, *keys) != chain, f"{keys} change nothing")
        check(verify_fast(trace).endswith(", 0 differ\n"), f"{keys} is not verified")
    for attention in ("heads = 4; kv_heads = 2; rotary = true;", "heads = 2; dropout = 0.2;",
                      "heads = 8;"):
        record_fast(write_gpt(folder, attention), trace, 'record.preset="full"')
        check(verify_fast(trace).endswith(", 0 differ\n"), f"{attention} is not verified")


@case
def fast_in_32_bits(folder):
    """Products and attention by cuBLAS in f32: those that stand in for the library's add in the
    order of ours, so that the bits are those of strict, but where heads that share keys are added
    by the library; and no cuBLAS at all."""
    trace, cpu = f"{folder}/a.h5", f"{folder}/b.h5"
    keys = ['engine.precision="f32"', 'record.preset="full"']
    for attention, same in (("heads = 4;", True), ("heads = 4; kv_heads = 2;", False)):
        config = write_gpt(folder, attention)
        record_fast(config, trace, *keys)
        check(device(trace)["cublas"] == 130000, "the version of cuBLAS")
        check(verify_fast(trace).endswith(", 0 differ\n"), "it is not verified")
        run("record", config, "-o", cpu, "--force", "--device", "cpu", "-q",
            *sets([*keys, 'engine.math="strict"']))
        check((info(trace)["chain"] == info(cpu)["chain"]) == same, f"the chain with {attention}")
        check(abs(last_loss(trace) - last_loss(cpu)) < 1e-4, (last_loss(trace), last_loss(cpu)))
    said = on_gpu("record", config, "-o", trace, "--force", "--device", "cuda", code=4,
                  TDBG_EMULATED_CUBLAS="none").stderr
    check("engine.math = \"fast\" needs cuBLAS: libcublas.so: no such emulated library" in said, said)


LOOK = 4 * 6  # launches in graphs of the look that is taken when a GPU is opened


def count(config, trace, steps, keys=(), **gpus):
    """What the emulated GPU was given in a recording of so many steps: alone and in graphs."""
    counts = f"{trace}.counts"
    if os.path.exists(counts):
        os.remove(counts)
    on_gpu("record", config, "-o", trace, "--device", "cuda", "--force", "-q", "--steps", steps,
           *sets(["eval.every=0", "record.keyframe=1000", *keys]), TDBG_EMULATED_GPU_COUNTS=counts,
           **gpus)
    with open(counts) as f:
        lines = f.readlines()
    check(len(lines) == 1, f"one process uses the GPU: {lines}")
    return json.loads(lines[0])


@case
def launches_are_repeated(folder):
    """In a step like those before, all goes out in a few graphs that are there, but for what lies
    between copies of samples; little of it has other arguments, and no memory is taken."""
    config, gpt, trace = small_config(folder), write_gpt(folder), f"{folder}/a.h5"
    standard, light = 'record.preset="standard"', 'record.preset="light"'
    # most that may go out alone, most graphs, most changed arguments; all of a step
    for which, keys, alone, graphs, changed in (
            (config, [light], 3, 2, 1),       # the step of adamw
            (config, [standard], 3, 2, 10),   # and the place of what is recorded
            (gpt, [light], 3, 3, 3)):         # and the key of dropout, twice; products of cuBLAS
        few, more = (count(which, trace, steps, keys) for steps in (4, 7))
        step = {name: (more[name] - few[name]) / 3 for name in few}
        check(step["built"] == 0, f"{which}: the graphs are made once, {few} {more}")
        check(step["allocated"] == 0, f"{which}: memory is taken once, {few} {more}")
        check(step["alone"] <= alone and step["in_graphs"] > 20, f"{which} {keys}: {step}")
        check(step["graphs"] <= graphs and step["changed"] <= changed, f"{which} {keys}: {step}")


@case
def steps_without_graphs(folder):
    """The same trace where there are to be none, and where a tap may disturb the steps."""
    config, trace = small_config(folder), f"{folder}/a.h5"
    check(count(config, trace, 6)["in_graphs"] > LOOK, "there are graphs")
    chain = info(trace)["chain"]
    counts = count(config, trace, 6, TDBG_CUDA_GRAPHS="0")
    check(counts["in_graphs"] == 0 and counts["alone"] > 100, counts)
    check(info(trace)["chain"] == chain, "the chain without graphs")
    check(device(trace)["gpu"]["graphs"] == "TDBG_CUDA_GRAPHS=0", device(trace))
    fault = 'inject=({step=99;rank=0;site="grad/fc1.weight";kind="bitflip";element=17;bit=30;})'
    disturbed = count(config, trace, 6, [fault])
    check(disturbed["alone"] > 100 and disturbed["in_graphs"] < 100, disturbed)
    more = count(config, trace, 9, [fault])
    check(more["in_graphs"] == disturbed["in_graphs"] and more["alone"] > disturbed["alone"], more)


@case
def graphs_that_fail(folder):
    """From the first look on, or in the middle of the run: the trace is right, and it is said why
    there are no graphs; once."""
    config, trace = small_config(folder), f"{folder}/a.h5"
    words = ("record", config, "-o", trace, "--device", "cuda", "--force")
    on_gpu(*words, "-q")
    chain = info(trace)["chain"]
    for variable, value, at_once, text in (
            ("GRAPHS", "stale", True, "a small graph that was tried gave wrong numbers"),
            ("GRAPH_FAILS", "cudaGraphCreate:1+", True,
             "cudaGraphCreate failed for a graph of 6 launches that begins with fill: out of "
             "memory"),
            ("GRAPH_FAILS", "cudaGraphLaunch:9+", False, r"cudaGraphLaunch failed for a graph of "
             r"\d+ launches that begins with [^:]+: unknown error"),
            ("GRAPH_FAILS", "cudaGraphExecKernelNodeSetParams:12+", False,
             r"cudaGraphExecKernelNodeSetParams failed for a graph of \d+ launches")):
        said = on_gpu(*words, **{f"TDBG_EMULATED_{variable}": value}).stderr
        warnings = re.findall(r"^tdbg: warning: .*", said, re.M)
        check(len(warnings) == 1 and re.match(
            "tdbg: warning: the GPU goes without CUDA graphs: " + text, warnings[0]), said)
        check(info(trace)["chain"] == chain, f"the chain with {value}")
        graphs = device(trace)["gpu"]["graphs"]
        check(re.match(text, graphs) if at_once else graphs == "yes", graphs)
        out = run("replay", trace, "--verify", "-q").stdout
        check(out.endswith(", 0 differ\n"), out)


@case
def ranks_share_gpus(folder):
    """Two ranks in one process, on one GPU and on two, as on the CPU, and each alone."""
    config = small_config(folder, steps=4)
    for gpus in ("1", "2"):
        gpu, _ = same_on_both(config, folder, ["engine.ranks_in_process=2"], gpus=gpus)
        second = f"{folder}/gpu.rank1.h5"
        for trace, number in ((gpu, 0), (second, 1)):
            check(device(trace)["gpu"]["number"] == number % int(gpus), device(trace))
        out = on_gpu("replay", second, "--rank", 1, "--verify", "-q", "--device", "cuda").stdout
        check(out.endswith(", 0 differ\n"), out)


@case
def synchronised_norms_fold_over_ranks(folder):
    config = small_config(folder, steps=3)
    model = ('model=({op="flatten";},{op="linear";name="fc1";out=8;},{op="reshape";dims=[8,1,1];},'
             '{op="batch_norm";name="bn";sync=true;},{op="flatten";},{op="linear";name="fc2";out=5;})')
    same_on_both(config, folder, [model, "engine.ranks_in_process=2"])


@case
def runs_go_on(folder):
    """Resumed and forked on another device than before."""
    config = small_config(folder, steps=6)
    gpu, cpu = same_on_both(config, folder)
    on_gpu("record", "--resume", cpu, "--at-step", 5, "-q", "-o", f"{folder}/more.h5", "--device",
           "cuda", "--steps", 8)
    run("record", "--resume", gpu, "--at-step", 5, "-q", "-o", f"{folder}/less.h5", "--device",
        "cpu", "--steps", 8)
    chains = [info(f"{folder}/{name}.h5")["chain"] for name in ("more", "less")]
    check(chains[0] == chains[1], f"chains {chains}")
    fork = ("replay", cpu, "--from", 2, "--set", "optimizer.lr=0.02", "-q", "-o")
    on_gpu(*fork, f"{folder}/f.h5", "--device", "cuda")
    run(*fork, f"{folder}/g.h5")
    check(info(f"{folder}/f.h5")["chain"] == info(f"{folder}/g.h5")["chain"], "forks")
    check(device(f"{folder}/f.h5")["device"] == "cuda", "the fork's device")


@case
def without_a_gpu(folder):
    config, trace = small_config(folder, steps=1), f"{folder}/a.h5"
    cuda = ("record", config, "-o", trace, "--device", "cuda")
    auto = ("record", config, "-o", trace, "--force")
    said = on_gpu(*cuda, code=4, TDBG_EMULATED_GPUS="0").stderr
    check("error: no GPU can be used: no NVIDIA GPU is visible to this process\n" in said, said)
    check("hint: engine.device = \"cpu\" gives the same bits" in said, said)
    check(not os.path.exists(trace), "no trace is left")
    said = on_gpu(*auto, TDBG_EMULATED_GPUS="0").stderr
    check("; cpu " in said and "warning" not in said, said)
    check(device(trace)["device"] == "cpu", "auto takes the CPU")
    said = on_gpu(*cuda, "--force", code=4, TDBG_EMULATED_GPUS="old").stderr
    check("the NVIDIA driver is for CUDA 11.4, and this tdbg was built with CUDA 13.0" in said, said)
    said = on_gpu(*auto, TDBG_EMULATED_GPUS="old").stderr
    check("warning: the CPU computes: no GPU can be used: the NVIDIA driver is" in said, said)
    said = on_gpu(*cuda, "--force", code=4, TDBG_EMULATED_GPU_CAPABILITY="70").stderr
    check("GPU 0 (emulated GPU) is too old: compute capability 7.0" in said, said)
    said = on_gpu("replay", trace, "--verify", "--device", "cuda", code=4,
                  TDBG_EMULATED_GPUS="0").stderr
    check("no GPU can be used" in said, said)
    said = run("replay", trace, "--verify", "--device", "gpu", code=2).stderr
    check("there is no device 'gpu': accepted are auto, cpu and cuda" in said, said)


@case
def with_a_gpu(folder):
    """auto takes it, and the trace says which it was."""
    config, trace = small_config(folder, steps=1), f"{folder}/a.h5"
    said = on_gpu("record", config, "-o", trace).stderr
    check("; cuda emulated GPU\n" in said, said)
    gpu = device(trace)["gpu"]
    check(gpu == {"name": "emulated GPU", "number": 0, "compute_capability": "9.0",
                  "multiprocessors": 3, "cuda_driver": "13.0", "cuda_runtime": "13.0",
                  "graphs": "yes"}, gpu)


@case
def out_of_memory(folder):
    """What there was no memory for, what all needs, and what is free; with that it runs."""
    config, trace = small_config(folder, steps=1), f"{folder}/a.h5"
    words = ("record", config, "-o", trace, "--device", "cuda")
    said = on_gpu(*words, code=4, TDBG_EMULATED_GPU_BYTES="100000").stderr
    match = re.search(r"no memory on cuda \(emulated GPU\) for [\w ]+ \([\d.]+ \w+\): the run needs "
                      r"([\d.]+) (\w+) in all, and ([\d.]+) KiB of ([\d.]+) KiB are free\n"
                      r"hint: a smaller data.batch needs less", said)
    check(match and match[3] == match[4] == "97.7", said)
    check(not os.path.exists(trace), "no trace is left")
    on_gpu(*words, TDBG_EMULATED_GPU_BYTES="100000000")


if __name__ == "__main__":
    e2e.main(CASES)
