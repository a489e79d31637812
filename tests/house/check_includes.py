#!/usr/bin/env python3
"""Fails on any #include edge that the folder order does not allow.

    check_includes.py [ROOT]       checks a source tree
    check_includes.py --self-test  makes trees with forbidden edges and demands that each is found

Order (docs/architecture.md): base <- kernels <- engine; base <- trace; {engine, trace} <- recorder;
{engine, trace, recorder} <- replay <- check <- tui; cli sees all. include/tdbg.h stands alone: the
library behind it (trace/libtdbg*) sees it and trace/, the examples see nothing else of tdbg.
"""
import os
import re
import sys
import tempfile

MAY_INCLUDE = {
    "base": {"base"},
    "kernels": {"base", "kernels"},
    "engine": {"base", "kernels", "engine"},
    "trace": {"base", "trace", "include"},
    "recorder": {"base", "engine", "trace", "recorder"},
    "replay": {"base", "engine", "trace", "recorder", "replay"},
    "check": {"base", "engine", "trace", "recorder", "replay", "check"},
    "tui": {"base", "trace", "replay", "check", "tui"},
    "cli": {"base", "kernels", "engine", "trace", "recorder", "replay", "check", "tui", "cli"},
    "include": set(),
    "examples": set(),
}
# System headers that only some files may see: header pattern, file pattern, who that is.
GUARDED = [
    (r"(hdf5|H5\w+)\.h$", r"^trace/", "trace/"),
    (r"(ncurses|curses|term)\w*\.h$|^ncursesw/", r"^tui/", "tui/"),
    (r"^(cuda|cublas|cooperative_groups|nv)\w*\.h$",
     r"^kernels/(gpu\.h|blas\w*\.c|\w+\.cuh?)$|^engine/backend_cuda\w*\.c$|^bench/gpu/",
     "kernels/gpu.h, blas*.c, *.cu and engine/backend_cuda*.c"),
    (r"^(mpi|nccl)\.h$", r"^engine/\w*comm\w*\.", "engine's comm files"),
    (r"^libconfig\.h$", r"^base/config\w*\.c$", "base/config*.c"),
    (r"^(zstd|xxhash)\.h$", r"^trace/", "trace/"),
    (r"^tdbg\.h$", r"^examples/", "examples/"),
    (r"^(?!stddef\.h$|stdint\.h$)", r"^(?!include/)", "other folders than include/"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# And who may see those through kernels/gpu.h and the headers of kernels/ that include it.
GPU_FILES = re.compile(r"^kernels/((\w*gpu\w*|blas\w*)\.c|\w+\.(h|cuh?))$|^bench/gpu/|"
                       r"^engine/(backend_cuda\w*|comm_nccl)\.c$")
GENERATED = {"tdbg_build.h"}
# Headers of tests/gpu/emulation/, and who includes them.
EMULATION = {"gpu_emulation.h": "kernels/gpu.h", "gpu_mma_emulation.h": "kernels/gpu_mma.h"}


def sources(root):
    for folder in MAY_INCLUDE:
        for where, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cu", ".cuh")):
                    yield os.path.relpath(os.path.join(where, name), root)


def find_gpu_headers(includes):
    """kernels/gpu.h and each header of kernels/ that includes one of these; includes: by path."""
    found, before = {"kernels/gpu.h"}, 0
    while len(found) > before:
        before = len(found)
        found |= {path for path, targets in includes.items()
                  if re.match(r"kernels/\w+\.(h|cuh)$", path) and found & targets}
    return found


def check_include(root, path, line, quote, target, gpu_headers):
    folder = path.split(os.sep)[0]
    if quote == "<":
        for header, allowed, who in GUARDED:
            if re.search(header, target) and not re.search(allowed, path):
                return f"{path}:{line}: only {who} may include <{target}>"
        return None
    if target in GENERATED:
        return None if folder == "cli" else f"{path}:{line}: only cli may include {target}"
    if target in EMULATION:
        return None if path == EMULATION[target] else f"{path}:{line}: only " \
            f"{EMULATION[target]} may include {target}"
    if target in gpu_headers and not GPU_FILES.search(path):
        return f"{path}:{line}: only GPU files may include {target}"
    if not os.path.exists(os.path.join(root, target)):
        return f'{path}:{line}: "{target}" is not a path from the root of the source'
    library = path.startswith("trace/libtdbg")
    if target == "include/tdbg.h" and not library or \
            target.startswith("trace/libtdbg") and not library:
        return f"{path}:{line}: only trace/libtdbg* may include {target}"
    if target == "trace/writer.h" and library:
        return f"{path}:{line}: the library writes through trace/libtdbg_sink.h only"
    if target.split("/")[0] not in MAY_INCLUDE[folder]:
        return f"{path}:{line}: {folder} may not include {target.split('/')[0]} ({target})"
    if folder == "tui" and target.startswith("trace/") and \
            target not in ("trace/reader.h", "trace/schema.h"):
        return f"{path}:{line}: tui may include only trace/reader.h and trace/schema.h of trace"
    return None


def check_tree(root):
    faults, seen, lines = [], {}, []
    for path in sources(root):
        name = os.path.basename(path)
        if name in seen:
            faults.append(f"{path}:1: {seen[name]} has the same name; names are unique in the tree")
        seen[name] = path
        with open(os.path.join(root, path), encoding="utf-8") as f:
            for line, text in enumerate(f, 1):
                match = INCLUDE.match(text)
                if match:
                    lines.append((path, line, *match.groups()))
    includes = {}
    for path, _, _, target in lines:
        includes.setdefault(path, set()).add(target)
    gpu_headers = find_gpu_headers(includes)
    for each in lines:
        fault = check_include(root, *each, gpu_headers)
        if fault:
            faults.append(fault)
    return faults


def self_test():
    cases = [
        ("base/a.c", '#include "kernels/k.h"', "base may not include kernels"),
        ("kernels/a.c", '#include "engine/e.h"', "kernels may not include engine"),
        ("engine/a.c", '#include "trace/t.h"', "engine may not include trace"),
        ("trace/a.c", '#include "engine/e.h"', "trace may not include engine"),
        ("recorder/a.c", '#include "replay/r.h"', "recorder may not include replay"),
        ("replay/a.c", '#include "check/c.h"', "replay may not include check"),
        ("check/a.c", '#include "tui/u.h"', "check may not include tui"),
        ("tui/a.c", '#include "engine/e.h"', "tui may not include engine"),
        ("tui/a.c", '#include "trace/t.h"', "only trace/reader.h"),
        ("tui/a.c", "#include <hdf5.h>", "only trace/ may include"),
        ("engine/a.c", "#include <mpi.h>", "comm files"),
        ("replay/a.c", "#include <cuda_runtime.h>", "backend_cuda*.c may include"),
        ("kernels/relu_cpu.c", "#include <cuda_runtime_api.h>", "backend_cuda*.c may include"),
        ("engine/cuda.c", "#include <cuda_runtime_api.h>", "backend_cuda*.c may include"),
        ("engine/memory.c", '#include "kernels/gpu.h"', "only GPU files may include"),
        ("kernels/a_cpu.c", '#include "kernels/gpu.h"', "only GPU files may include"),
        ("kernels/a_cpu.c", '#include "kernels/tile.h"', "only GPU files may include kernels/tile.h"),
        ("engine/a.c", '#include "kernels/tile.h"', "only GPU files may include kernels/tile.h"),
        ("kernels/a.cu", '#include "gpu_emulation.h"', "only kernels/gpu.h may include"),
        ("kernels/gpu.h", '#include "gpu_mma_emulation.h"', "only kernels/gpu_mma.h may include"),
        ("cli/a.c", "#include <ncurses.h>", "only tui/ may include"),
        ("cli/a.c", '#  include "nothing.h"', "is not a path"),
        ("cli/e.h", "", "names are unique"),
        ("include/a.h", '#include "trace/t.h"', "include may not include trace"),
        ("include/a.h", "#include <stdio.h>", "other folders than include/"),
        ("examples/c/a.c", '#include "trace/t.h"', "examples may not include trace"),
        ("examples/c/a.c", "#include <hdf5.h>", "only trace/ may include"),
        ("cli/a.c", "#include <tdbg.h>", "only examples/ may include"),
        ("trace/a.c", '#include "include/tdbg.h"', "only trace/libtdbg* may include"),
        ("trace/a.c", '#include "trace/libtdbg_impl.h"', "only trace/libtdbg* may include"),
        ("trace/libtdbg_x.c", '#include "trace/writer.h"', "through trace/libtdbg_sink.h only"),
    ]
    for path, text, wanted in cases:
        with tempfile.TemporaryDirectory() as root:
            for header in ("kernels/k.h", "kernels/gpu.h", "engine/e.h", "trace/t.h",
                           "replay/r.h", "check/c.h", "tui/u.h", "include/tdbg.h",
                           "trace/libtdbg_impl.h", "trace/writer.h"):
                os.makedirs(os.path.join(root, os.path.dirname(header)), exist_ok=True)
                open(os.path.join(root, header), "w").close()
            with open(os.path.join(root, "kernels/tile.h"), "w") as f:
                f.write('#include "kernels/gpu.h"\n')
            assert check_tree(root) == [], "a tree without edges has no faults"
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w") as f:
                f.write(text + "\n")
            faults = check_tree(root)
            assert len(faults) == 1 and wanted in faults[0], (path, text, faults)
    print(f"{len(cases)} forbidden edges were found")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    faults = check_tree(sys.argv[1] if len(sys.argv) > 1 else ".")
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
