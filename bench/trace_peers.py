#!/usr/bin/env python3
"""What h5py does with the same data; for bench/trace. Prints one JSON object per line.

    trace_peers.py gzip TRACE            h5py's gzip-4 on recorded gradients of three steps
    trace_peers.py open TRACE            h5py opens a long trace and reads rows at random
"""
import json
import random
import statistics
import sys
import time

import h5py


def gzip(path):
    with h5py.File(path, "r") as f:
        last = len(f["steps"]) - 1
        for name in ("grad/fc1.weight", "param/fc1.weight"):
            for step in (1, last // 2, last):
                data = f["t/" + name][step]
                with h5py.File("peer", "w", driver="core", backing_store=False) as out:
                    start = time.thread_time()
                    out.create_dataset("x", data=data, chunks=data.shape, compression="gzip",
                                       compression_opts=4)
                    seconds = time.thread_time() - start
                    packed = out["x"].id.get_storage_size()
                print(json.dumps({"part": "codec", "tensor": f"{name} step {step}",
                                  "kind": "recorded", "method": "h5py gzip -4",
                                  "bytes": data.nbytes, "packed": packed,
                                  "mb_s": data.nbytes / seconds / 1e6}))


def open_and_read(path):
    opening, first, following = [], [], []
    rng = random.Random(1)
    for _ in range(15):
        start = time.perf_counter()
        f = h5py.File(path, "r")
        opening.append(time.perf_counter() - start)
        n = len(f["steps"])
        start = time.perf_counter()
        f["t/grad/p003"][rng.randrange(n)]
        first.append(time.perf_counter() - start)
        for _ in range(100):
            start = time.perf_counter()
            f["t/grad/p003"][rng.randrange(n)]
            following.append(time.perf_counter() - start)
        f.close()
    print(json.dumps({"part": "h5py open", "open_ms": 1e3 * statistics.median(opening),
                      "first_ms": 1e3 * statistics.median(first),
                      "next_ms": 1e3 * statistics.median(following)}))


if __name__ == "__main__":
    {"gzip": gzip, "open": open_and_read}[sys.argv[1]](sys.argv[2])
