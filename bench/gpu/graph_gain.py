#!/usr/bin/env python3
"""Training steps per second with CUDA graphs and without, one table.

    bench/gpu/graph_gain.py [BUILD] [--only NAMES] [--rounds N] [--math strict]

bench-train trains each example twice at a time, one of the two with TDBG_CUDA_GRAPHS=0; blocks of steps
alternate, medians over the rounds. Recording is off. Both have to come to the same loss, bit by bit.
"""
import argparse
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "examples")
# name: steps of a block
CASES = {"fashion_mlp": 1000, "fashion_cnn": 500, "fashion_vit": 300, "text_gpt": 150}
WARM_UP = 30


class Side:
    """A training that waits for numbers of steps."""

    def __init__(self, build, name, math, graphs):
        config = os.path.join(EXAMPLES, name + ".cfg")
        self.process = subprocess.Popen(
            [os.path.join(build, "bench", "bench-train"), config, "4", "eval.every=0",
             "steps=1000000", "engine.device=cuda", f"engine.math={math}"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "TDBG_CUDA_GRAPHS": graphs})

    def run(self, steps):
        """Seconds, and the loss of the last step."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if len(words) != 2:
            sys.exit("bench-train has ended (above)")
        return float(words[0]), words[1]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(build, name, math, rounds):
    sides, rates = [Side(build, name, math, graphs) for graphs in ("0", "1")], ([], [])
    for i in range(rounds + 1):
        steps = CASES[name] if i > 0 else WARM_UP
        done = [side.run(steps) for side in sides]
        if done[0][1] != done[1][1]:
            sys.exit(f"{name}, {math}: the loss is {done[0][1]} without graphs and {done[1][1]} "
                     "with them")
        for rate, (seconds, _) in zip(rates, done if i > 0 else ()):
            rate.append(steps / seconds)
    for side in sides:
        side.close()
    return [statistics.median(rate) for rate in rates]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--math", choices=("strict", "fast", "both"), default="both")
    args = parser.parse_args()
    print("| example | math | without graphs, steps/s | with graphs, steps/s | ratio |\n"
          "|---|---|---|---|---|")
    for name in CASES:
        if args.only and name not in args.only.split(","):
            continue
        for math in ("strict", "fast") if args.math == "both" else (args.math,):
            without, with_graphs = compare(args.build, name, math, args.rounds)
            print(f"| {name} | {math} | {without:.1f} | {with_graphs:.1f} | "
                  f"{with_graphs / without:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
