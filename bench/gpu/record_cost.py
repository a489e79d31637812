#!/usr/bin/env python3
"""What recording costs a training on a GPU: steps per second with and without it, in one run.

    bench/gpu/record_cost.py [BUILD] [--only NAMES]

bench-train runs a config without recording; `tdbg record` runs it with the presets light and
standard, and says in its trace when each step began. Medians over the steps behind the first ones.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "examples")
# name: (steps, of which the first are not counted, keys)
CASES = {
    "fashion_mlp": (400, 50, []),
    "fashion_cnn": (400, 50, []),
    "text_gpt": (300, 50, []),
    "gpt2_124m": (25, 5, []),
}


def without(build, config, steps, first, sets):
    process = subprocess.run(
        [f"{build}/bench/bench-train", config, "4", "eval.every=0", "steps=1000000",
         "engine.device=cuda", *sets], input=f"{first}\n" + "1\n" * (steps - first),
        capture_output=True, text=True, check=True)
    return statistics.median(float(line.split()[0]) for line in process.stdout.splitlines()[1:])


def with_preset(build, config, steps, first, sets, preset, folder):
    trace = os.path.join(folder, "a.h5")
    words = [f"{build}/tdbg", "record", config, "-o", trace, "--force", "-q", "--steps", str(steps),
             "--device", "cuda", "--set", "eval.every=0", "--set", f"record.preset={preset}"]
    for key in sets:
        words += ["--set", key]
    subprocess.run(words, check=True)
    os.environ["HDF5_PLUGIN_PATH"] = os.path.join(build, "trace")
    import h5py  # looks for the plugin when it is loaded
    with h5py.File(trace, "r") as f:
        starts = f["steps"]["start_ns"][first:]
    times = [(b - a) * 1e-9 for a, b in zip(starts, starts[1:])]
    return statistics.median(times), os.path.getsize(trace)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print("| example | not recorded, ms a step | light | | standard | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (steps, first, sets) in CASES.items():
            if args.only and name not in args.only.split(","):
                continue
            config = os.path.join(EXAMPLES, name + ".cfg")
            base = without(args.build, config, steps, first, sets)
            row = f"| {name} | {base * 1e3:.3f} |"
            for preset in ("light", "standard"):
                seconds, size = with_preset(args.build, config, steps, first, sets, preset, folder)
                row += f" {seconds * 1e3:.3f} ms, {size / 2**20:.0f} MiB | {seconds / base:.2f}x |"
            print(row, flush=True)


if __name__ == "__main__":
    sys.exit(main())
