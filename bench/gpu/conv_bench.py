#!/usr/bin/env python3
"""The strict convolution on a GPU beside PyTorch's in float32 without TF32, shape by shape.

    bench/gpu/conv_bench.py [BUILD]

BUILD is a build folder (default: build) with bench/gpu/bench-gpu-conv. Prints, per shape, milliseconds
and TFLOP/s of y, dx and dweight, and PyTorch's time over ours: above 1, ours is faster. cuDNN may
choose its fastest algorithm (benchmark mode). Without torch that sees a GPU: our times alone.
"""
from beside_torch import median_ms, print_table, torch

if torch:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


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


if __name__ == "__main__":
    print_table("conv_bench.py", "bench-gpu-conv",
                torch and f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}",
                ("N", "C", "H", "W", "O", "groups", "kernel", "stride", "padding"),
                ("y", "dx", "dweight"), torch_ms, between=1)
