#!/usr/bin/env python3
"""Fused attention in bfloat16 on a GPU beside PyTorch's, shape by shape.

    bench/gpu/attention_bench.py [BUILD]

BUILD is a build folder (default: build) with bench/gpu/bench-gpu-attention. Prints, per shape,
milliseconds and TFLOP/s forward and backward, and PyTorch's time over ours: above 1, ours is faster.
PyTorch's is scaled_dot_product_attention with its flash kernel where it has one, on tensors of
(rows, heads, tokens, dim) that are views of a packed one. Without torch that sees a GPU: our times
alone.
"""
from beside_torch import median_ms, print_table, torch


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


if __name__ == "__main__":
    print_table("attention_bench.py", "bench-gpu-attention", f"torch {torch and torch.__version__}",
                ("rows", "tokens", "heads", "kv heads", "dim", "causal"), ("out", "dqkv"), torch_ms)
