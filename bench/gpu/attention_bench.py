#!/usr/bin/env python3
"""Fused attention in bfloat16 on a GPU beside PyTorch's, shape by shape.

    bench/gpu/attention_bench.py [BUILD]

BUILD is a build folder (default: build) with bench/gpu/bench-gpu-attention. Prints, per shape,
milliseconds and TFLOP/s forward and backward, and PyTorch's time over ours: above 1, ours is faster.
PyTorch's is scaled_dot_product_attention with its flash kernel where it has one, on tensors of
(rows, heads, tokens, dim) that are views of a packed one. Without torch that sees a GPU: our times
alone.
"""
import argparse
import os
import subprocess

try:
    import torch
    if not torch.cuda.is_available():
        torch = None
except ImportError:
    torch = None

SAMPLES, SAMPLE_MS, PARAMETERS = 11, 4.0, 6


def block_ms(function, times):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(times):
        function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / times


def median_ms(function):
    block_ms(function, 4)
    times = int(SAMPLE_MS / max(block_ms(function, 4), 1e-3)) + 1
    return sorted(block_ms(function, times) for _ in range(SAMPLES))[SAMPLES // 2]


def torch_ms(rows, tokens, heads, kv_heads, dim, causal):
    """Forward, and the gradients of what was forwarded once."""
    packed = torch.randn(rows, tokens, heads + 2 * kv_heads, dim, device="cuda",
                         dtype=torch.bfloat16)
    parts = [x.transpose(1, 2).detach().requires_grad_()
             for x in packed.split([heads, kv_heads, kv_heads], dim=2)]

    def forward():
        return torch.nn.functional.scaled_dot_product_attention(
            *parts, is_causal=bool(causal), enable_gqa=heads != kv_heads)
    y = forward()
    dy = torch.randn_like(y)
    with torch.no_grad():
        forward_ms = median_ms(forward)
    return [forward_ms, median_ms(lambda: torch.autograd.grad(y, parts, dy, retain_graph=True))]


def main():
    parser = argparse.ArgumentParser(usage="bench/gpu/attention_bench.py [BUILD]")
    parser.add_argument("build", nargs="?", default="build")
    program = os.path.join(parser.parse_args().build, "bench", "gpu", "bench-gpu-attention")
    lines = subprocess.run([program], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    print(f"{lines[0]}; {'torch ' + torch.__version__ if torch else 'no torch'}\n")
    print("| rows | tokens | heads | kv heads | dim | causal "
          + "".join(f"| {p} ms | TFLOP/s | torch / ours " for p in ("out", "dqkv")) + "|")
    print("|" + "---:|" * 12)
    for line in lines[2:]:
        fields = line.split()
        shape, ours = fields[:PARAMETERS], fields[PARAMETERS:]
        peers = torch_ms(*map(int, shape)) if torch else [None] * 2
        cells = list(shape)
        for i, theirs in enumerate(peers):
            ms = float(ours[2 * i])
            cells += [f"{ms:.4f}", ours[2 * i + 1], f"{theirs / ms:.2f}" if theirs else "-"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
