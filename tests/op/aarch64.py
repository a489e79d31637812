#!/usr/bin/env python3
"""The kernels on aarch64: builds them and their tests for it and runs these under qemu-user, with the
golden hashes that x86-64 has.

    aarch64.py [TEST...]

Only what needs no library is built, so no cross file and no foreign packages are wanted: apt install
gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user. Exit status 77 (skipped) where one of them is
missing. TDBG_SOURCE is the source folder.
"""
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.path.abspath(os.environ.get("TDBG_SOURCE", "."))
COMPILER = "aarch64-linux-gnu-gcc"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-ffp-contract=off", "-fno-math-errno",
         "-fno-trapping-math", "-DTDBG_ISA_PORTABLE=TDBG_ISA_PORTABLE", "-pthread", "-I" + SOURCE,
         "-I" + os.path.join(SOURCE, "tests", "op"), "-I" + os.path.join(SOURCE, "tests", "op", "aarch64")]
BASE = ["digest", "digest_fast", "digest_block", "philox", "convert", "status", "strbuf", "copy", "site"]
# losses, optimizers and ops read configs, which wants libconfig
TESTS = {
    "kernels": ["test_kernels", "kernel_table"],
    "kernel-values": ["test_kernel_values"],
    "gemm": ["test_gemm", "every_cpu"],
    "conv2d": ["test_conv2d", "every_cpu"],
    "pool2d": ["test_pool2d", "every_cpu"],
    "sequence": ["test_sequence", "every_cpu"],
    "attention": ["test_attention", "every_cpu"],
    "activations": ["test_activations"],
    "norm": ["test_norm", "norm_reference"],
    "transform-image": ["test_transform_image"],
}


def find_tools():
    for tool in (COMPILER, "qemu-aarch64"):
        if not shutil.which(tool):
            print(f"skipped: no {tool}")
            sys.exit(77)


def compile_one(folder, path):
    out = os.path.join(folder, os.path.basename(path)[:-2] + ".o")
    done = subprocess.run([COMPILER, *FLAGS, "-c", path, "-o", out], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{path}:\n{done.stderr}")
    return out


def run_test(folder, name, objects):
    program = os.path.join(folder, name)
    done = subprocess.run([COMPILER, "-static", "-pthread", *objects, "-lm", "-o", program],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{name}:\n{done.stderr}")
    done = subprocess.run(["qemu-aarch64", program], capture_output=True, text=True)
    said = done.stdout.count("ok ")
    print(f"{name}: {said} tests, exit code {done.returncode}\n{done.stderr}", end="", flush=True)
    return done.returncode == 0 and said > 0


def main():
    find_tools()
    names = sys.argv[1:] or list(TESTS)
    sources = [os.path.join(SOURCE, "base", f + ".c") for f in BASE]
    sources += sorted(glob.glob(os.path.join(SOURCE, "kernels", "*.c")))
    files = sorted({f for n in names for f in TESTS[n]})
    parts = [os.path.join(SOURCE, "tests", "op", f + ".c") for f in files]
    with tempfile.TemporaryDirectory(prefix="tdbg-aarch64-") as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda path: compile_one(folder, path), sources + parts))
        common = objects[:len(sources)]
        fine = list(pool.map(lambda n: run_test(folder, n, common + [
            os.path.join(folder, f + ".o") for f in TESTS[n]]), names))
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
