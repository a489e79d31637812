#!/usr/bin/env python3
"""The strict convolution on a GPU beside PyTorch's in float32 without TF32, shape by shape.

    bench/gpu/conv_bench.py [BUILD]

BUILD is a build folder (default: build) with bench/bench-gpu-conv. Prints, per shape, milliseconds
and TFLOP/s of y, dx and dweight, and PyTorch's time over ours: above 1, ours is faster. cuDNN may
choose its fastest algorithm (benchmark mode). Without torch that sees a GPU: our times alone.
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
if torch:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True

SAMPLES, SAMPLE_MS, PARAMETERS = 11, 4.0, 9


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


def torch_ms(n, c, h, w, o, groups, kernel, stride, padding):
    x = torch.randn(n, c, h, w, device="cuda")
    weight = torch.randn(o, c // groups, kernel, kernel, device="cuda")
    bias, pairs = torch.randn(o, device="cuda"), ([stride] * 2, [padding] * 2, [1] * 2)
    with torch.no_grad():
        dy = torch.randn_like(torch.conv2d(x, weight, bias, *pairs, groups))

        def backward(*mask):
            return lambda: torch.ops.aten.convolution_backward(
                dy, x, weight, None, *pairs, False, [0, 0], groups, mask)
        return [median_ms(lambda: torch.conv2d(x, weight, bias, *pairs, groups)),
                median_ms(backward(True, False, False)), median_ms(backward(False, True, False))]


def main():
    parser = argparse.ArgumentParser(usage="bench/gpu/conv_bench.py [BUILD]")
    parser.add_argument("build", nargs="?", default="build")
    program = os.path.join(parser.parse_args().build, "bench", "bench-gpu-conv")
    lines = subprocess.run([program], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    peer = f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}" if torch else "no torch"
    print(f"{lines[0]}; {peer}\n")
    print("| N | C | H | W | O | groups | kernel | stride | padding "
          + "".join(f"| {p} ms | TFLOP/s | torch / ours " for p in ("y", "dx", "dweight")) + "|")
    print("|" + "---:|" * 18)
    for line in lines[2:]:
        fields = line.split()
        shape, ours = fields[:PARAMETERS], fields[PARAMETERS + 1:]
        peers = torch_ms(*map(int, shape)) if torch else [None] * 3
        cells = list(shape)
        for i, theirs in enumerate(peers):
            ms = float(ours[2 * i])
            cells += [f"{ms:.4f}", ours[2 * i + 1], f"{theirs / ms:.2f}" if theirs else "-"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
