#!/usr/bin/env python3
"""End-to-end tests of traces that earlier schemas wrote. Called like e2e.py, on which it builds.

    e2e_fixtures.py --fixture NAME   records tests/trace/fixtures/NAME.h5 and NAME.json, for a new schema
"""
import json
import os
import sys
import tempfile

import e2e
from e2e import SOURCE, check, info, run, small_config, verified

CASES, case = e2e.case_table()
FIXTURES = os.path.join(SOURCE, "tests", "trace", "fixtures")
FIXTURE_SITES = ("samples/x", "grad/fc1.weight", "fwd/relu1", "optim/fc2.weight.exp_avg_sq")
FIXTURE_FACTS = ("uuid", "first_step", "steps", "planned_steps", "batch", "seed", "loss", "chains",
                 "config", "n_keyframes", "n_samples", "sites")


def fixture_facts(trace):
    """What a trace says: stored tensors and ones that have to be computed again."""
    said = info(trace)
    facts = {key: said[key] for key in FIXTURE_FACTS}
    facts["shown"] = [json.loads(run("show", trace, site, "--step", step, "--stats", "--values",
                                     "--json").stdout)
                      for site in FIXTURE_SITES for step in (0, 7, 11)]
    return facts


def says(said, expected):
    """Is all of `expected` in what is said? A later program may say more."""
    if isinstance(expected, dict):
        return isinstance(said, dict) and all(says(said.get(k), v) for k, v in expected.items())
    if isinstance(expected, list):
        return len(said) == len(expected) and all(map(says, said, expected))
    return said == expected


def make_fixture(name):
    """Never for a schema that has one: a fixture is what the program of its time wrote."""
    path = os.path.join(FIXTURES, name)
    with tempfile.TemporaryDirectory(prefix="tdbg-e2e-") as folder:
        small_config(folder)
        run("record", "small.cfg", "-o", path + ".h5", "-q", "--set", "record.preset=standard",
            "--set", "engine.lanes=1", cwd=folder)
    with open(path + ".json", "w") as f:
        json.dump(fixture_facts(path + ".h5"), f, indent=1)
        f.write("\n")


@case
def old_traces_stay_readable(folder):
    """Every trace in tests/trace/fixtures, recorded by an earlier schema: info, show, verify, diff."""
    names = sorted(n[:-3] for n in os.listdir(FIXTURES) if n.endswith(".h5"))
    check("v1.0" in names, names)
    for name in names:
        trace = os.path.join(FIXTURES, name + ".h5")
        with open(os.path.join(FIXTURES, name + ".json")) as f:
            expected = json.load(f)
        said = fixture_facts(trace)
        for key, value in expected.items():
            check(says(said[key], value), f"{name}: {key} is {said[key]} instead of {value}")
        out = verified(trace)
        check(out.startswith("verified 12 of 12 steps") and "0 differ" in out, f"{name}: {out}")
        check("same: 12 steps" in run("diff", trace, trace).stdout, name)
        run("replay", trace)
        for other in names:
            run("diff", trace, os.path.join(FIXTURES, other + ".h5"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fixture"]:
        make_fixture(sys.argv[2])
    else:
        e2e.main(CASES)
