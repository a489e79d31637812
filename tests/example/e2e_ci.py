#!/usr/bin/env python3
"""End-to-end tests of tdbg ci: a golden file of hash chains, written and compared.

    e2e_ci.py CASE       runs one case (tests/meson.build lists them)
"""
import json
import os
import xml.etree.ElementTree as xml

import e2e
from e2e import check, info, record, run, small_config

CASES, case = e2e.case_table()


def sets(*keys):
    return [word for key in keys for word in ("--set", key)]


def ci(config, golden, *args, code=0):
    return json.loads(run("ci", config, "--golden", golden, "--json", *args, code=code).stdout)


def columns(golden):
    """{chain: [h(0), h(1), ...]} of a golden file."""
    with open(golden) as f:
        lines = [line.split() for line in f]
    names = [line[1:] for line in lines if line[:1] == ["chains"]][0]
    steps = [line[2:] for line in lines if line[:1] == ["step"]]
    return {name: [s[i] for s in steps] for i, name in enumerate(names)}


@case
def a_golden_file_holds_the_chains_of_a_run(folder):
    """They are those of a recording, whatever computes it; nothing else is left behind."""
    config, golden, trace = small_config(folder), f"{folder}/chain.txt", f"{folder}/a.h5"
    os.mkdir(f"{folder}/tmp")
    os.environ["TMPDIR"] = f"{folder}/tmp"
    run("ci", config, "--golden", golden, "--update", "--steps", 9)
    record(config, trace, "--steps", 9, *sets("record.keyframe=1000"))
    chains = {k: int(v, 16) for k, v in info(trace)["chains"].items() if int(v, 16)}
    last = {name: int(hashes[-1], 16) for name, hashes in columns(golden).items()}
    check(last == chains, f"{last} and {chains}")
    for args in (("--threads", 1), ("--isa", "portable"), sets("record.preset=light"),
                 sets("record.keyframe=3")):
        report = ci(config, golden, *args)
        check((report["verdict"], report["steps"]) == ("same", 9), f"{args}: {report}")
    # ranks have the bits of as many lanes
    run("ci", config, "--golden", f"{folder}/two.txt", "--update", *sets("engine.lanes=2"))
    report = ci(config, f"{folder}/two.txt", *sets("engine.ranks_in_process=2"))
    check(report["verdict"] == "same" and report["config"] == [], report)
    report = ci(config, f"{folder}/two.txt", code=1)
    check(report["step"] == 0 and report["chains"][0] == "samples", report)
    check(os.listdir(f"{folder}/tmp") == [], "the trace is gone")
    out = run("ci", config, "--golden", golden).stdout
    check(out.startswith("same: 9 steps, "), out)


@case
def the_first_step_and_chain_are_named(folder):
    config, golden, junit = small_config(folder), f"{folder}/chain.txt", f"{folder}/out.xml"
    run("ci", config, "--golden", golden, "--update")
    with open(golden) as f:
        before = f.read()
    for step, site, chain in ((0, "grad/fc2.bias", "grad"), (7, "param/fc1.weight", "param"),
                              (19, "optim/fc1.weight.exp_avg", "optim")):
        fault = f'inject=({{step={step};site="{site}";kind="bitflip";element=1;}})'
        report = ci(config, golden, *sets(fault), "--junit", junit, code=1)
        check((report["verdict"], report["step"], report["chains"][0]) == ("differs", step, chain),
              report)
        suite = xml.parse(junit).getroot()
        cases = {c.get("name"): c for c in suite}
        bad = [name for name, c in cases.items() if c.find("failure") is not None]
        check(int(suite.get("tests")) == len(cases) == len(columns(golden)) and
              int(suite.get("failures")) == len(bad) and chain in bad and "samples" not in bad,
              xml.tostring(suite))
        message = cases[chain].find("failure").get("message")
        check(f"from step {step} on" in message and chain in message, message)
    report = ci(config, golden, *sets("optimizer.lr=0.02"), code=1)
    check([(d["key"], d["a"], d["b"]) for d in report["config"]] ==
          [("optimizer.lr", "0.01", "0.02")] and report["chains"][0] == "hyper", report)
    # another network: other sites, so that every step differs
    report = ci(config, golden, *sets("clip.norm=1.0"), code=1)
    check(report["only_now"] == ["clip"] and report["only_golden"] == [], report)
    out = run("ci", config, "--golden", golden, *sets("clip.norm=1.0"), code=1).stdout
    check("chains only in this training: clip" in out and "clip.norm: 0 -> 1" in out, out)
    report = ci(config, golden, "--steps", 5, "--junit", junit, code=1)
    check(report["steps"] == 5 and report["golden_steps"] == 20, report)
    names = [c.get("name") for c in xml.parse(junit).getroot()]
    check("steps" in names, names)
    with open(golden) as f:
        check(f.read() == before, "only --update writes")
    run("ci", config, "--golden", golden, "--update", *sets("optimizer.lr=0.02"))
    check(ci(config, golden, *sets("optimizer.lr=0.02"))["verdict"] == "same", "updated")


@case
def what_ci_cannot_judge(folder):
    config, golden, junit = small_config(folder), f"{folder}/chain.txt", f"{folder}/out.xml"
    run("ci", config, "--golden", golden, "--update", "--steps", 4)
    with open(golden) as f:
        text = f.read()
    with open(golden, "w") as f:
        f.write(text.replace("numerics 1\n", "numerics 2\n"))
    check(ci(config, golden)["verdict"] == "same", "the same bits are the same")
    report = ci(config, golden, *sets("seed=4"), "--junit", junit, code=125)
    check(report["verdict"] == "cannot judge" and "numerics version 2" in report["reason"], report)
    suite = xml.parse(junit).getroot()
    check(suite.get("failures") == "0" and int(suite.get("skipped")) > 5, xml.tostring(suite))
    out = run("ci", config, "--golden", golden, *sets("seed=4"), code=125).stdout
    check("cannot judge: " in out, out)


@case
def golden_files_that_are_none(folder):
    config, golden = small_config(folder), f"{folder}/chain.txt"
    run("ci", config, "--golden", golden, "--update", "--steps", 3)
    with open(golden) as f:
        lines = f.read().splitlines()
    at = {word: next(i for i, line in enumerate(lines) if line.startswith(word))
          for word in ("tdbg-ci", "numerics", "config", "chains", "step")}

    def changed(word, text):
        return lines[:at[word]] + ([text] if text is not None else []) + lines[at[word] + 1:]
    step = lines[at["step"]]
    for bad, line, said in (
            (["hello"], 1, "does not begin with 'tdbg-ci'"), ([], 1, "ends before its first line"),
            (changed("tdbg-ci", "tdbg-ci x"), 2, "'x' is no version"),
            (changed("numerics", "numerics -1"), 3, "no numerics version"),
            (changed("numerics", None), len(lines), "ends before its numerics"),
            (changed("config", "config x"), 4, "'x' has no value"),
            (changed("chains", "chains"), at["chains"] + 1, "no chains"),
            (changed("chains", "chains main nain"), at["chains"] + 1, "no chain 'nain'"),
            (changed("chains", "chains main main"), at["chains"] + 1, "second time"),
            (changed("chains", None), at["chains"] + 1, "'step' is not known here"),
            (changed("step", step[:-1]), at["step"] + 1, "16 hexadecimal digits"),
            (changed("step", step + " 0123456789abcdef"), at["step"] + 1, "more hashes"),
            (changed("step", step.replace("step 0", "step 1")), at["step"] + 1, "step 0 should"),
            (lines[:at["step"]], at["step"] + 1, "ends before its steps"),
            (lines + ["frob"], len(lines) + 1, "'frob' is not known")):
        with open(golden, "w") as f:
            f.write("\n".join(bad) + "\n" if bad else "")
        done = run("ci", config, "--golden", golden, code=2)
        check(f"{golden}:{line}: error: " in done.stderr and said in done.stderr,
              f"line {line}, {said}: {done.stderr}")
    with open(golden, "w") as f:
        f.write("\n".join(changed("tdbg-ci", "tdbg-ci 2")) + "\n")
    check("is of format 2" in run("ci", config, "--golden", golden, code=3).stderr, "too new")
    done = run("ci", config, "--golden", f"{folder}/none.txt", code=2)
    check("none.txt" in done.stderr and "--update" in done.stderr, done.stderr)
    check("which golden file?" in run("ci", config, code=2).stderr, "no file")
    for name in ("train-x.gz", "train-y.gz"):
        os.unlink(f"{folder}/{name}")
    run("ci", config, "--golden", f"{folder}/new.txt", "--update", code=2)
    check(not os.path.exists(f"{folder}/new.txt"), "nothing is written for what did not train")


if __name__ == "__main__":
    e2e.main(CASES)
