#!/usr/bin/env python3
"""End-to-end tests of bisect between two runs: the examples, budget and log, what is refused, and
`git bisect run`. e2e_causes.py has the corpus of causes.

    e2e_bisect_two.py CASE  runs one case (tests/meson.build lists them)
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import e2e
import e2e_causes
from e2e import BUILD, DIVERGING, MLP, TDBG, check, record, run
from e2e_causes import bisect, names, sets_of, write_data

CASES, case = e2e.case_table()


@case
def the_example_diverges_by_its_lr(folder):
    """Of configs and of their traces; and no more is executed than it takes."""
    c = bisect(MLP, DIVERGING)
    check(names(c) == [["optimizer.lr"]] and c["cause"]["verdict"] == "proved", c["cause"])
    check(c["question"] == "diverges(loss)" and c["keys_differ"] >= 6, c)
    # the good run and the bad one without its lr are run whole, which nothing can save
    check(800 < c["steps_executed"] < 1300, c["steps_executed"])
    text = run("bisect", MLP, DIVERGING, "-q").stdout
    check(re.search(r"\ncause: 1 of \d+ differences\n  optimizer.lr: 0.01 -> 3.0\n", text), text)
    check(f"executed {c['steps_executed']} steps" in text, text)
    a, b = f"{folder}/a.h5", f"{folder}/b.h5"
    record(MLP, a, "--set", 'record.preset="light"')
    record(DIVERGING, b, "--set", 'record.preset="light"')
    t = bisect(a, b)
    check(names(t) == names(c) and t["cause"]["bad_true_at"] == c["cause"]["bad_true_at"], t)
    check(400 < t["steps_executed"] < c["steps_executed"] - 390, t["steps_executed"])
    mixed = bisect(MLP, b)
    check(names(mixed) == names(c) and mixed["first_difference"]["bad_as_recorded"] is not None,
          mixed)
    first = bisect(a, b, "--first-difference")
    check(names(first) == [["data order"]] and first["steps_executed"] < 30, first)


@case
def a_fork_is_judged_from_where_it_begins(folder):
    """Nothing before the fork's first step is executed, and keys act from there on."""
    write_data(folder)
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    keys = {"optimizer": e2e_causes.SGD, "clip.norm": 0.0, "steps": 80, "record.keyframe": 20}
    record(f"{folder}/base.cfg", good, *sets_of(keys))
    run("replay", good, "--from", 40, "--set", "optimizer.lr=10.0", "--set",
        "optimizer.momentum=0.8", "-q", "-o", bad)
    for question, cause in ((["--first-difference"], "optimizer.lr"),
                            (["--when", "loss > 30"], "optimizer.lr")):
        r = bisect(good, bad, *question)
        check(names(r) == [[cause]] and r["from_step"] == 40, r)
        check(r["first_difference"]["step"] == 40 and r["first_difference"]["site"] == "hyper/lr", r)
        check(r["steps_executed"] < 200, r["steps_executed"])


@case
def a_keyframe_is_near(folder):
    """Runs that part late are not executed from the beginning."""
    write_data(folder)
    paths = [f"{folder}/{name}.h5" for name in ("a", "b")]
    schedule = '{kind="multistep";milestones=[70];gamma=%s;}'
    for path, gamma in zip(paths, (0.5, 0.4)):
        record(f"{folder}/base.cfg", path, *sets_of({"schedule": schedule % gamma, "steps": 80,
                                                     "record.keyframe": 8, "optimizer.eps": 1e-7}))
    r = bisect(*paths, "--first-difference")
    check(names(r) == [["schedule.gamma"]] and r["first_difference"]["step"] == 70, r)
    # from the keyframe before step 64 both side by side, twice more, and each trial the step alone
    check(r["from_step"] == 70 and r["steps_executed"] == 2 * 7 + 4 + r["cause"]["trials"], r)


@case
def a_resumed_run_has_other_batches(folder):
    """A run that goes on with another order of samples, and weights that somebody has touched."""
    import h5py
    write_data(folder)
    good, bad, other = (f"{folder}/{name}.h5" for name in ("good", "bad", "other"))
    record(f"{folder}/base.cfg", good)
    run("record", "--resume", good, "--at-step", 10, "--set", "seed=9", "-q", "-o", bad)
    r = bisect(good, bad, "--first-difference")
    check(names(r) == [["data order"]] and r["from_step"] == 10, r)
    check(r["first_difference"]["site"] == "samples/id" and r["first_difference"]["step"] == 10, r)
    check([k["key"] for k in r["cause"]["sets"][0]["differences"][0]["keys"]] == ["seed"], r)
    # the same config, data and order, and another tensor to begin with
    record(f"{folder}/base.cfg", f"{folder}/start.h5", "--steps", 1)
    with h5py.File(f"{folder}/start.h5") as f, h5py.File(f"{folder}/w.h5", "w") as g:
        for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"):
            g[name] = f["keyframe/" + name][0]
        g["fc2.weight"][3, 4] += 1
    record(f"{folder}/base.cfg", other, "--set", f'init_from={{path="{folder}/w.h5";}}')
    r = bisect(good, other, "--first-difference")
    check(names(r) == [["initial fc2.weight"]], r)
    check(r["first_difference"]["site"] == "state/fc2.weight", r)
    check(r["first_difference"]["elements"]["differ"] == 1, r["first_difference"]["elements"])


@case
def batches_that_are_enough_together(folder):
    """Two samples alone move one weight. The bad run sees both once more, in two steps, and it is over
    a threshold after the second: these two batches are enough, and neither alone; of a resumed run,
    too."""
    import h5py
    import numpy as np
    write_data(folder)
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    keys = {"data.train.x": '"x3.npy"', "data.train.y": '"y3.npy"', "steps": 18, "clip.norm": 0.0,
            "model": '({op="linear";name="fc";out=5;bias=false;init="zeros";})', "optimizer": '{kind="sgd";lr=0.1;}',
            "record.keyframe": 3}
    other = {**keys, "data.sampler.reshuffle": "false"}

    def record_both():
        record(f"{folder}/base.cfg", good, *sets_of(keys), "--force")
        record(f"{folder}/base.cfg", bad, *sets_of(other), "--force")
        with h5py.File(good) as f, h5py.File(bad) as g:
            return [h["samples/train/batch"][:] for h in (f, g)]
    x, y = np.load(f"{folder}/x.npy"), np.load(f"{folder}/y.npy")
    x[:, 11] = 0
    np.save(f"{folder}/x3.npy", x)
    np.save(f"{folder}/y3.npy", y)
    a, b = record_both()
    again = sorted(set(b[9:].ravel()) - set(a[9:].ravel()))  # that the bad run alone sees twice
    p = again[0]
    q = next(k for k in again if not any({p, k} <= set(batch) for batch in b))
    x[[p, q], 11], y[[p, q]] = 1, 2
    np.save(f"{folder}/x3.npy", x)
    np.save(f"{folder}/y3.npy", y)
    a, b = record_both()
    steps = [k for k in range(9, 18) if {p, q} & set(b[k])]
    check(len(steps) == 2, steps)
    weights = []
    for path in (good, bad):
        run("export", path, "param/fc.weight", "--format", "npy", "-o", f"{folder}/w.npy", "--force")
        weights.append(np.load(f"{folder}/w.npy").reshape(18, 5, 12)[:, 2, 11])
    good_end, first, both = weights[0][-1], weights[1][steps[0]], weights[1][-1]
    check(good_end < first < both, (good_end, first, both))
    when = ["--when", f"max(param/fc.weight[2,11]) > {(first + both) / 2}"]
    r = bisect(good, bad, *when)
    found = r["cause"]["sets"][0]["batches"]
    check(names(r) == [["data order"]] and r["cause"]["bad_true_at"] == steps[1], r["cause"])
    check(found == {"differ_from": 9, "enough": [[k, k] for k in steps], "least": True,
                    "changed_back": "false", "changed_back_at": 17}, found)
    text = run("bisect", good, bad, "-q", *when).stdout
    check(f"    the batches differ from step 9 on; enough are those of steps {steps[0]}" in text and
          "\n    they are changed back in the bad run, of its order alone: not true up to step 17\n" in text, text)
    # what a budget leaves is enough as well, but perhaps not the least; the log has what is known
    log, proved = f"{folder}/b.log", None
    for budget in range(r["steps_executed"] - 1, 0, -1):
        part = bisect(good, bad, *when, "--max-steps", budget, "--log", log, code=None)
        sets = part["cause"]["sets"] if part.get("cause") else []
        if sets and "batches" in sets[0] and not sets[0]["batches"]["least"]:
            proved = part
            break
    check(proved and proved["cause"]["verdict"] == "proved", proved)
    left = proved["cause"]["sets"][0]["batches"]
    check({k for k, _ in left["enough"]} >= set(steps) and left["changed_back"] == "unresolved", left)
    rest = bisect(good, bad, *when, "--resume", log)
    check(rest["cause"]["sets"][0]["batches"] == found and
          rest["cause"]["trials"] < r["cause"]["trials"], rest["cause"])
    # the same order of samples up to a resume, which begins its epoch anew
    run("record", "--resume", good, "--at-step", 9, "--set", "data.sampler.reshuffle=false", "-q", "-o",
        f"{folder}/resumed.h5")
    again = bisect(good, f"{folder}/resumed.h5", *when)
    check(again["cause"]["sets"][0]["batches"] == found and again["from_step"] == 9, again["cause"])


@case
def the_data_set_may_be_gone(folder):
    """Traces hold what is needed, unless the batch is cut otherwise."""
    write_data(folder)
    made = {}
    for name, keys in (("a", {}), ("order", {"seed": 9}), ("target", {"data.train.y": '"y2.npy"'}),
                       ("batch", {"data.batch": 12})):
        made[name] = f"{folder}/{name}.h5"
        record(f"{folder}/base.cfg", made[name], *sets_of(keys))
    for name in ("x", "y", "x2", "y2"):
        os.remove(f"{folder}/{name}.npy")
    check(names(bisect(made["a"], made["order"], "--first-difference")) == [["data order"]], "order")
    r = bisect(made["a"], made["target"], "--first-difference")
    check(names(r) == [["target of sample 17"]], r)
    check(r["cause"]["sets"][0]["differences"][0]["sample"] == e2e_causes.SAMPLE, r)
    done = run("bisect", made["a"], made["batch"], "-q", "--first-difference", code=125)
    check("cannot be tried without the data set" in done.stderr, done.stderr)


@case
def a_bisect_is_resumed(folder):
    write_data(folder)
    row = next(r for r in e2e_causes.ROWS if r.name == "lr and clipping")
    paths = e2e_causes.print_configs(folder, row)
    log = f"{folder}/b.log"
    whole = bisect(*paths)
    total = whole["steps_executed"]
    stopped = bisect(*paths, "--max-steps", total // 2, "--log", log, code=125)
    check(stopped["cause"]["verdict"] == "stopped", stopped["cause"])
    check(stopped["steps_executed"] == total // 2, stopped["steps_executed"])
    check(len(stopped["cause"]["sets"]) == 1, stopped["cause"])
    so_far = set(names(stopped)[0])
    check(so_far > set(row.cause), so_far)
    with open(log, "a") as f:
        f.write("00112233445566")  # a line that was being written
    rest = bisect(*paths, "--resume", log)
    check(names(rest) == names(whole) == [row.cause], rest)
    check(rest["steps_executed"] < total, (rest["steps_executed"], total))
    again = bisect(*paths, "--resume", log)
    check(names(again) == [row.cause] and again["cause"]["trials"] == 0, again["cause"])
    check(run("bisect", *paths, "-q", "--resume", log).stdout.startswith("config:"), "text")
    done = run("bisect", paths[1], paths[0], "-q", "--resume", log, code=2)
    check("log of other runs" in done.stderr, done.stderr)
    done = run("bisect", *paths, "-q", "--max-steps", 2, code=125)
    check("--max-steps 2" in done.stderr and done.stdout == "", done.stderr)


@case
def contributions_are_resumed(folder):
    """What ranks contributed is found again, and their trials are those of the log."""
    write_data(folder)
    row = next(r for r in e2e_causes.ROWS if r.name.startswith("of ten keys and a contribution"))
    paths = e2e_causes.record_pair(folder, row, "t", "--set", 'record.preset="standard"')
    log = f"{folder}/b.log"
    whole = bisect(*paths)
    check(names(whole) == [row.cause], whole["cause"])
    stopped = bisect(*paths, "--max-steps", whole["steps_executed"] - 100, "--log", log, code=125)
    check(stopped["cause"]["verdict"] == "stopped" and "fault" not in stopped, stopped["cause"])
    rest = bisect(*paths, "--resume", log)
    check(names(rest) == [row.cause] and rest["cause"]["verdict"] == "proved", rest["cause"])
    check(0 < rest["cause"]["trials"] < whole["cause"]["trials"], (rest["cause"], whole["cause"]))
    again = bisect(*paths, "--resume", log)
    check(names(again) == [row.cause] and again["cause"]["trials"] == 0, again["cause"])
    text = run("bisect", *paths, "-q", "--resume", log).stdout
    check("\n  contribution of rank 1 to fc1.weight in step 9\n    step 9 of the bad run, "
          "reduce_in/fc1.weight lane 1: it is multiplied by 100000000\n" in text, text)
    # another fault is another pair of runs
    record(f"{folder}/base.cfg", paths[1], *sets_of({**row.both, **row.bad, "inject":
           e2e_causes.inject(8, "reduce_in/fc1.weight", "scale", "rank=1;by=1e8;")}), "--force", "--set",
           'record.preset="standard"')
    check("log of other runs" in run("bisect", *paths, "-q", "--resume", log, code=2).stderr, "other")


@case
def a_contribution_that_is_not_stored(folder):
    """Its fault is found all the same, and the cause is not told wrongly."""
    write_data(folder)
    paths = [f"{folder}/{name}.h5" for name in ("good", "bad")]
    two = {"inject": e2e_causes.inject(6, "reduce_in/fc1.weight", "scale", "rank=1;by=1.7;")}
    for path, keys in zip(paths, ({}, two)):
        record(f"{folder}/base.cfg", path, *sets_of({**e2e_causes.RANKS, **keys}))
    r = bisect(*paths, "--first-difference")
    check(r["fault"]["site"] == "reduce_in/fc1.weight" and "cause" not in r, r)
    # a rank whose sum is wrong contributes other numbers from then on
    row = next(r for r in e2e_causes.ROWS if r.name == "bit of a sum on one rank")
    paths = e2e_causes.record_pair(folder, row, "split", "--set", 'record.preset="standard"')
    found = bisect(*paths, "--first-difference")
    check(found["fault"]["site"] == "reduce_out/fc1.weight" and found["fault"]["rank"] == 1, found)
    kinds = [(d["kind"], d.get("rank")) for d in found["differences"]]
    check(kinds == [], kinds)


@case
def rankdiff_between_two_runs(folder):
    """Ranks part by a fault only: it is the cause, beside other keys, too."""
    write_data(folder)
    good, bad, one = (f"{folder}/{n}.h5" for n in ("good", "bad", "one"))
    cfg, standard = f"{folder}/base.cfg", ["--set", 'record.preset="standard"', "--force"]
    ranks = {"engine.ranks_in_process": 4}
    record(cfg, good, *sets_of(ranks), *standard)
    record(cfg, bad, *sets_of({**ranks, "seed": 4, "inject":
           e2e_causes.inject(6, "optim/fc1.weight.exp_avg", more="rank=2;element=5;")}), *standard)
    record(cfg, one, *standard)
    for question, at in (("rankdiff > 0", 6), ("rankdiff(param/*) and step >= 6", 7)):
        r = bisect(good, bad, "--when", question)
        fault = r["fault"]
        check((fault["run"], fault["step"], fault["rank"], fault["site"]) ==
              ("bad", 6, 2, "optim/fc1.weight.exp_avg"), fault)
        check(r["question"] == question and r["bad_true_at"] == at and "cause" not in r, r)
        text = run("bisect", good, bad, "-q", "--when", question).stdout
        check(f"question: {question}\n  {good}: not true up to step 23\n  {bad}: true at step {at}\n"
              "cause: what " in text, text)
    for args, code, words in (
            ((bad, good, "rankdiff > 0"), 2, f"hint: tdbg bisect {good} {bad}"),
            ((good, bad, "rankdiff(hyper/lr)"), 125, "neither of the two runs"),
            ((bad, bad, "rankdiff"), 1, ""),
            ((good, bad, "rankdiff > 0 and absmax(param/*) > 0"), 2, "alone, or with step, loss"),
            ((good, cfg, "rankdiff > 0"), 125, f"{cfg} is a config"),
            ((cfg, bad, "rankdiff > 0"), 125, f"{cfg} is a config"),
            ((one, bad, "rankdiff > 0"), 125, "this trace has one")):
        done = run("bisect", *args[:2], "-q", "--when", args[2], code=code)
        check(words in done.stderr, f"{args}: {done.stderr}")


@case
def a_stopped_bisect_is_resumed(folder):
    """SIGINT ends it with 130, and the log is as far as it came."""
    write_data(folder)
    long = {"steps": 60000}  # the bad run without its lr is executed whole, after the log has begun
    row = e2e_causes.Row("long", {"optimizer.lr": 0.2, "optimizer.eps": 1e-6}, None, both=long)
    paths = e2e_causes.print_configs(folder, row)
    log = f"{folder}/b.log"
    running = subprocess.Popen([TDBG, "bisect", *paths, "-q", "--log", log, "--when", "lr > 0.05"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while running.poll() is None:
        if os.path.exists(log) and len(open(log).readlines()) >= 2:
            running.send_signal(signal.SIGINT)
            break
    out, err = running.communicate()
    check(running.returncode == 130 and out == "", f"{running.returncode}: {out}{err}")
    n = len(open(log).readlines())
    r = bisect(*paths, "--resume", log, "--when", "lr > 0.05")
    check(names(r) == [["optimizer.lr"]] and r["cause"]["verdict"] == "proved", r["cause"])
    check(r["cause"]["trials"] + n == len(open(log).readlines()), (n, r["cause"]))


@case
def questions_are_refused(folder):
    write_data(folder)
    a, b, own = f"{folder}/a.h5", f"{folder}/b.h5", f"{folder}/own.h5"
    record(f"{folder}/base.cfg", a)
    record(f"{folder}/base.cfg", b, "--set", "optimizer.lr=0.02")
    subprocess.run([os.path.join(BUILD, "examples", "c", "record_sgd"),
                    "/usr/share/datasets/fashion-mnist", "5", own], check=True,
                   stdout=subprocess.DEVNULL)
    for args, code, words in (
            ((b, a, "--when", "lr > 0.015"), 2, f"hint: tdbg bisect {a} {b}"),
            ((a, b, "--when", "lr > 5"), 125, "neither of the two runs"),
            ((a, b, "--when", "lr > 0"), 125, "both of the two runs"),
            ((a, b, "--when", "los > 1"), 2, "did you mean 'loss'?"),
            ((a, b, "--when", "max(fwd/fc9) > 1"), 2, "no site matches"),
            ((a, own), 125, "another program"),
            ((a, f"{folder}/none.h5"), 3, "none.h5"),
            ((a, f"{folder}/none.cfg"), 2, "none.cfg"),
            ((a, b, "--steps", "1:2"), 2, "wants one run"),
            ((a, "--first-difference"), 2, "want two runs"),
            ((a, b, "--when", "nan", "--first-difference"), 2, "two questions"),
            ((a, b, b), 2, "unexpected argument"),
            ((), 2, "too few arguments"),
            ((a, b, "--resume", f"{folder}/none.log"), 4, "none.log"),
            ((a, b, "--git-bisect", "--when", "nan"), 125, "either"),
            ((a, "--git-bisect"), 125, "either")):
        done = run("bisect", *args, "-q", code=code)
        check(words in done.stderr and done.stdout == "", f"{args}: {done.stderr}")


@case
def commits_are_judged(folder):
    """`git bisect run` finds the commit that changed the bits."""
    write_data(folder)
    golden, cfg = f"{folder}/golden.h5", f"{folder}/base.cfg"
    with open(cfg) as f:  # a shorter run evaluates at other steps, and has another schedule
        text = f.read().replace("batch = 10;", "batch = 10; split = 0.2;")
    with open(cfg, "w") as f:
        f.write(text + 'eval = { every = 6; };\nschedule = { kind = "cosine"; };\n')
    record(cfg, golden, "--set", 'record.preset="standard"', "--steps", 9)
    bad = f"{folder}/bad.cfg"
    with open(cfg) as f, open(bad, "w") as g:
        g.write(f.read().replace("lr = 0.01", "lr = 0.0100001"))
    with open(f"{folder}/broken.cfg", "w") as f:
        f.write("seed = ;")
    left = set(os.listdir(tempfile.gettempdir()))
    for args, code, words in (((golden, cfg), 0, "good: "), ((golden, bad), 1, "site hyper/lr"),
                              ((golden, golden), 0, "good: "), ((golden, f"{folder}/broken.cfg"), 125, ""),
                              ((f"{folder}/none.h5", cfg), 125, ""), ((golden, f"{folder}/none"), 125, ""),
                              ((cfg, "--when", "lr > 0.01"), 0, "good: "),
                              ((bad, "--when", "lr > 0.01"), 1, "at step 0"),
                              ((golden, "--when", "lr > 0.01"), 0, "good: "),
                              ((cfg, "--when", "nonsense"), 125, ""), ((cfg, "--wat"), 125, "")):
        done = run("bisect", "--git-bisect", *args, code=code)
        check(words in done.stdout and (code == 125) == (done.stderr != ""), f"{args}: {done}")
    new = [n for n in set(os.listdir(tempfile.gettempdir())) - left if n.startswith("tdbg-bisect")]
    check(not new, f"left behind: {new}")
    if not shutil.which("git"):
        return
    repo = f"{folder}/repo"
    os.mkdir(repo)

    def git(*args):
        return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *args], cwd=repo,
                              check=True, capture_output=True, text=True).stdout
    git("init", "-q")
    with open(cfg) as f:
        text = f.read().replace('"x.npy"', f'"{folder}/x.npy"').replace('"y.npy"', f'"{folder}/y.npy"')
    for k in range(12):
        if k == 7:
            text = text.replace("p = 0.25", "p = 0.26")
        broken = k in (5, 8)  # these cannot be judged
        with open(f"{repo}/train.cfg", "w") as f:
            f.write("nonsense" if broken else text + f"# {k}\n")
        git("add", "-A")
        git("commit", "-qm", f"commit {k}")
    git("bisect", "start", "HEAD", "HEAD~11")
    said = git("bisect", "run", TDBG, "bisect", "--git-bisect", golden, "train.cfg")
    check(re.search(r"is the first bad commit(.|\n)*commit 7\n", said), said)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        CASES[sys.argv[1]](where)
