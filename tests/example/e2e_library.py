#!/usr/bin/env python3
"""End-to-end tests of the public library: its examples, what tdbg makes of their recordings, and the
installation. Called like e2e.py, on which it builds."""
import json
import os
import re
import shutil
import subprocess
import sys

import e2e
from e2e import BUILD, SOURCE, TDBG, check, info, run, sanitizers

DATA = "/usr/share/datasets/fashion-mnist"
EXAMPLES = os.path.join(SOURCE, "examples", "c")
CASES, case = e2e.case_table()


def call(*command, env=None, code=0):
    """Runs any program; fails with the command that repeats it. None in env takes a variable away."""
    command = [str(c) for c in command]
    variables = {k: v for k, v in {**os.environ, **(env or {})}.items() if v is not None}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode != code:
        sys.exit(f"exit code {done.returncode} instead of {code}\nrepeat: {' '.join(command)}\n"
                 f"{done.stdout}{done.stderr}")
    return done.stdout


def example(name, *args, code=0):
    return call(os.path.join(BUILD, "examples", "c", name), *args, code=code)


def public_functions():
    with open(os.path.join(SOURCE, "include", "tdbg.h")) as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    return sorted(set(re.findall(r"\b(tdbg_\w+)\(", text)))


@case
def library_examples_record_and_read(folder):
    trace = f"{folder}/a.h5"
    example("record_sgd", DATA, 60, trace)
    text = example("read_trace", trace)
    check("steps 60, batch 64" in text and "grad/fc1.weight" in text, text)
    losses = [float(x) for x in re.findall(r"loss (\S+) ", text)]
    check(len(losses) >= 12 and losses[-1] < 0.6 * losses[0], f"it learns: {losses}")
    shown = json.loads(run("show", trace, "grad/fc1.bias", "--step", 7, "--values", "--stats",
                           "--json").stdout)
    text = example("read_trace", trace, "grad/fc1.bias", 7)
    values = [float(x) for line in text.splitlines()[3:] for x in line.split()]
    check(values == shown["values"] and len(values) == 32, "values by the library and by show")
    check(f"mean {shown['stats']['mean']:.9g}" in text, text)
    check("not stored" in example("read_trace", trace, "fwd/logits", 7), "digest only")
    # and a trace of tdbg's own
    text = example("read_trace", os.path.join(SOURCE, "tests", "trace", "fixtures", "v1.0.h5"))
    check("(standard)" in text and "steps 12" in text, text)
    example("read_trace", f"{folder}/missing.h5", code=1)
    example("read_trace", code=2)
    example("record_sgd", folder, 10, trace, code=1)
    if sanitizers() == "none":
        reader = os.path.join(SOURCE, "tests", "trace", "check_h5py.py")
        check("values agree" in call(sys.executable, reader, trace), "the documented format")


@case
def library_recordings_have_no_graph(folder):
    """What can be done with a recording of another program, and what is said of what cannot."""
    a, b = f"{folder}/a.h5", f"{folder}/b.h5"
    example("record_sgd", DATA, 30, a)
    example("record_sgd", DATA, 30, b, 0.11)
    said = info(a)
    check((said["numerics_version"], said["preset"], said["graph"]) == (0, "library", ""), said)
    check("record_sgd 1.0" in said["environment"], said["environment"])
    check("recorded by another program" in run("info", a).stdout, "info says so")
    check("lowest" in run("replay", a).stdout, "the summary")
    done = run("replay", a, "--verify", code=125)
    check("recorded by another program: no graph to execute" in done.stderr, done.stderr)
    done = run("show", a, "fwd/logits", "--step", 3, code=3)
    check("no graph to execute" in done.stderr, done.stderr)
    run("show", a, "fwd/logits", "--step", 10)
    run("show", a, "state/fc1.weight", "--step", 0)
    run("show", a, "samples/x", "--step", 29)
    check("same: 30 steps" in run("diff", a, a).stdout, "a run and itself")
    out = run("diff", a, b, code=1).stdout
    check("lr: 0.1 -> 0.11" in out and "seed" not in out, out)
    check("first difference: step 0, site param/fc1.weight (sgd)" in out, out)
    fixture = os.path.join(SOURCE, "tests", "trace", "fixtures", "v1.0.h5")
    out = run("diff", a, fixture, code=1).stdout
    check("first difference" in out, out)


def installed_paths(root):
    """Folders of the installation by what they hold."""
    wanted = {"tdbg": "bin", "tdbg.h": "include", "tdbg.pc": "pc", "libtdbg.so.0": "lib",
              "libtdbg_h5zstd.so": "plugin", "tdbg.1": "man", "tdbg-writer": "writer"}
    found = {}
    for where, _, names in os.walk(root):
        for name in names:
            if name in wanted:
                found[wanted[name]] = where
    check(set(found) == set(wanted.values()), f"installed: {found}")
    return found


def compile_examples(paths, root, folder):
    """As a user does: with pkg-config, strictly, as C and the header as C++ too."""
    env = {"PKG_CONFIG_PATH": paths["pc"], "PKG_CONFIG_SYSROOT_DIR": root}
    flags = call("pkg-config", "--cflags", "--libs", "tdbg", env=env).split()
    check("-ltdbg" in flags and not any("hdf5" in f for f in flags), flags)
    if sanitizers() != "none":
        flags.append("-fsanitize=" + sanitizers())
    for name in ("record_sgd", "read_trace"):
        call("cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1",
             f"{EXAMPLES}/{name}.c", "-o", f"{folder}/{name}", *flags, "-lz", "-lm")
    with open(f"{folder}/header.cc", "w") as f:
        f.write("#include <tdbg.h>\nint main() { return tdbg_rec_due(nullptr, 0); }\n")
    if shutil.which("c++"):
        call("c++", "-pedantic", "-Wall", "-Wextra", "-Werror", f"{folder}/header.cc", "-o",
             f"{folder}/header", *flags)


@case
def library_is_installed(folder):
    root, trace = f"{folder}/root", f"{folder}/a.h5"
    call("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root)
    paths = installed_paths(root)
    compile_examples(paths, root, folder)
    names = call("nm", "-D", "--defined-only", os.path.join(paths["lib"], "libtdbg.so.0"))
    exported = sorted({line.split()[2].split("@")[0] for line in names.splitlines()
                       if line.split()[1] == "T"})
    check(exported == public_functions(), f"exported: {exported}")
    libs = {"LD_LIBRARY_PATH": paths["lib"]}
    call(f"{folder}/record_sgd", DATA, 20, trace, env=libs)
    check("steps 20" in call(f"{folder}/read_trace", trace, env=libs), "read_trace")
    tdbg = os.path.join(paths["bin"], "tdbg")
    check("record_sgd 1.0" in call(tdbg, "info", trace), "tdbg info")
    call(tdbg, "show", trace, "grad/fc1.weight", "--step", 7)
    check("same: 20 steps" in call(tdbg, "diff", trace, trace), "tdbg diff")
    if sanitizers() != "none":
        return  # programs that are not built with a sanitizer cannot load a plugin that is
    plugin = {"HDF5_PLUGIN_PATH": paths["plugin"]}
    shown = json.loads(call(TDBG, "show", trace, "grad/fc1.weight", "--step", 7, "--values",
                           "--json"))
    script = (f"import h5py; f = h5py.File({trace!r});"
              "print([float(f'{float(x):.9g}') for x in f['t/grad/fc1.weight'][7].ravel()])")
    check(json.loads(call(sys.executable, "-c", script, env=plugin)) == shown["values"], "h5py")
    out = call("h5dump", "-d", "/t/grad/fc1.weight", "-s", "7,0,0", "-c", "1,1,10", trace,
               env=plugin)
    check("(7,0,0)" in out, out)
    call("h5dump", "-d", "/t/grad/fc1.weight", trace, env={"HDF5_PLUGIN_PATH": folder}, code=1)
    looks = call(sys.executable, "-c", "import h5py; print(h5py.h5pl.get(0).decode())",
                 env={"HDF5_PLUGIN_PATH": None}).strip()
    with open(os.path.join(BUILD, "meson-info", "intro-buildoptions.json")) as f:
        options = {o["name"]: o["value"] for o in json.load(f)}
    if options["prefix"] in ("/usr", "/usr/local") and not options["hdf5_plugin_dir"]:
        check(paths["plugin"] == root + looks, f"h5py looks in {looks}, not {paths['plugin']}")


if __name__ == "__main__":
    e2e.main(CASES)
