"""What benchmarks beside PyTorch on a GPU share: its times, and the table of both. `torch` is None
without a torch that sees a GPU: then the table has our times alone."""
import argparse
import os
import subprocess

try:
    import torch
    if not torch.cuda.is_available():
        torch = None
except ImportError:
    torch = None

SAMPLES, SAMPLE_MS = 11, 4.0


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


def print_table(script, program, peer, parameters, results, torch_ms, between=0):
    """Runs bench/gpu/PROGRAM of the build folder that the command line names. Its lines, below two of
    head, have the parameters, `between` other fields, and milliseconds and TFLOP/s per result;
    torch_ms(*parameters) gives milliseconds per result."""
    parser = argparse.ArgumentParser(usage=f"bench/gpu/{script} [BUILD]")
    parser.add_argument("build", nargs="?", default="build")
    path = os.path.join(parser.parse_args().build, "bench", "gpu", program)
    lines = subprocess.run([path], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    print(f"{lines[0]}; {peer if torch else 'no torch'}\n")
    print("".join(f"| {p} " for p in parameters)
          + "".join(f"| {r} ms | TFLOP/s | torch / ours " for r in results) + "|")
    print("|" + "---:|" * (len(parameters) + 3 * len(results)))
    for line in lines[2:]:
        fields = line.split()
        cells, ours = fields[:len(parameters)], fields[len(parameters) + between:]
        peers = torch_ms(*map(int, cells)) if torch else [None] * len(results)
        for i, theirs in enumerate(peers):
            ms = float(ours[2 * i])
            cells += [f"{ms:.4f}", ours[2 * i + 1], f"{theirs / ms:.2f}" if theirs else "-"]
        print("| " + " | ".join(cells) + " |", flush=True)
