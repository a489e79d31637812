#!/usr/bin/env python3
"""Compares every case of the op-case table with PyTorch on the CPU.

    compare_torch.py TEST_OPS [--table]

TEST_OPS --dump writes what tdbg computed; here the same is computed by torch in float64, the
reference, and in float32, for comparison. An error is given in units in the last place (ULP) of a
float32 of the size of the value, or of the root mean square of its tensor where the value is
smaller: sums of terms of that size cannot be better. --table prints the table of docs/numerics.md.
Exit status 77 (skipped) where there is no torch.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("skipped: no torch for this python")
    sys.exit(77)


def errors_in_ulp(value, exact):
    exact = exact.astype(np.float64)
    rms = np.sqrt(np.mean(exact ** 2)) if exact.size else 0.0
    size = np.maximum(np.abs(exact), max(rms, 1e-30))
    ulp = 2.0 ** (np.floor(np.log2(size)) - 23)
    wrong = np.isnan(value) != np.isnan(exact)
    return float(np.max(np.where(wrong, np.inf, np.nan_to_num(np.abs(value - exact) / ulp)),
                        initial=0.0))


class Case:
    def __init__(self, folder, spec):
        self.folder, self.spec = folder, spec
        self.name = spec["name"]

    def load(self, what):
        return np.load(os.path.join(self.folder, f"{self.name}.{what}.npy"))

    def compute(self, dtype):
        """What torch gives, as a dict of arrays."""
        spec = self.spec
        x = torch.from_numpy(self.load("x"))
        x = x.long() if spec["tokens"] else x.to(dtype).requires_grad_()
        p = {n: torch.from_numpy(self.load("param." + n)).to(dtype).requires_grad_()
             for n in spec["params"]}
        b = {n: torch.from_numpy(self.load("before." + n)).to(dtype) for n in spec["buffers"]}
        scope = {"torch": torch, "F": F, "x": x, "p": p, "b": b, "after": {}}
        exec(spec["torch"], scope)  # our own table
        y = scope["y"]
        result = {"y": y.detach().numpy()}
        if not spec["evaluates"]:
            y.backward(torch.from_numpy(self.load("dy")).to(dtype))
            if not spec["tokens"]:
                result["dx"] = x.grad.numpy()
            for n in spec["params"]:
                result["grad." + n] = p[n].grad.numpy()
        for n, value in scope["after"].items():
            result["after." + n] = value.detach().numpy()
        return result

    def compare(self):
        """{tensor: (ours, torch's own)} in ULP."""
        exact, single = self.compute(torch.float64), self.compute(torch.float32)
        ours = {name: self.load(name) for name in exact}
        for name, value in exact.items():
            if ours[name].shape != value.shape:
                raise AssertionError(f"{self.name}: {name} has shape {ours[name].shape}, "
                                     f"torch gives {value.shape}")
        return {name: (errors_in_ulp(ours[name], value), errors_in_ulp(single[name], value))
                for name, value in exact.items()}


def worst(errors, side):
    return max(e[side] for e in errors)


def main():
    test_ops, table = sys.argv[1], "--table" in sys.argv
    torch.set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([test_ops, "--dump", folder], check=True)
        with open(os.path.join(folder, "cases.json")) as file:
            specs = json.load(file)
        if table:
            print(f"| case | result: tdbg | torch {torch.__version__} | gradients: tdbg | torch |")
            print("|---|---|---|---|---|")
        for spec in specs:
            if not spec["torch"]:
                assert spec["reason"], f"{spec['name']}: neither torch nor a reason"
                continue
            result = Case(folder, spec).compare()
            forward = [e for n, e in result.items() if n == "y" or n.startswith("after.")]
            backward = [e for n, e in result.items() if n == "dx" or n.startswith("grad.")]
            bad = {n: e[0] for n, e in result.items() if not e[0] <= spec["max_ulp"]}
            if bad:
                failed += 1
                print(f"FAILED {spec['name']}: more than {spec['max_ulp']} ULP from float64: {bad}")
            if table:
                cells = [spec["name"]] + [f"{worst(g, i):.1f}" if g else ""
                                          for g in (forward, backward) for i in (0, 1)]
                print("| " + " | ".join(cells) + " |")
    print(f"{len(specs)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
