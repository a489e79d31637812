#!/usr/bin/env python3
"""Torture: recordings that are killed, run out of disk, get I/O errors, are read while they are
written, and files that were changed afterwards. Whatever happens, what was announced is there.

    torture.py [SUITE...] [--part N] [--seed S]

--part N runs one part in N of the full counts (1,000 kills of the trainer and of the writer, 100
sizes of disk, 10,000 changed files). Environment: TDBG_BUILD, TDBG_SOURCE; TDBG_TORTURE_KEEP is a
folder for traces that failed. Exit code 0: all passed; 1: something failed; 77: nothing failed, but
a suite could not run here.
"""
import argparse
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import (NotRun, Failure, Recording, TDBG, e2e, has_announce, has_command, judge, keep,
                     need, read_info, tdbg)

# Threads that wait for each other on a busy machine would be most of the time.
QUICK = ["--set", "eval.every=0", "--threads", "1"]
SUITES, ROWS, FAILURES, MISSING = {}, [], [], []
FULL = {"kill_trainer": 1000, "kill_writer": 1000, "disk_full": 100, "io_errors": 400, "torn_writes": 400,
        "changed_files": 400, "changed_files_in_process": 10000, "live_readers": 20}


def suite(function):
    SUITES[function.__name__] = function
    return function


class Count:
    """One row of the table."""

    def __init__(self, name):
        self.name, self.runs, self.announced, self.verified = name, 0, 0, 0
        self.opened = self.recovered = self.empty = self.failed = 0
        self.late, self.trail_s, self.note = 0, 0.0, ""

    def add(self, j, announced):
        self.runs += 1
        self.announced += announced + 1
        self.verified += j.steps
        self.opened += j.opened
        self.recovered += j.recovered
        self.empty += not j.opened and not j.recovered

    def fail(self, text, trace=None):
        self.failed += 1
        kept = f" (kept: {trace})" if trace else ""
        FAILURES.append(f"{self.name}, run {self.runs}: {text}{kept}")


class Place:
    """Configs and a folder for traces."""

    def __init__(self, folder, seed, part):
        self.folder, self.part = folder, part
        self.rng = random.Random(seed)
        self.small = e2e.small_config(folder, steps=10000000)

    def count(self, name):
        return max(1, FULL[name] // self.part)

    def trace(self, name="t.h5"):
        path = os.path.join(self.folder, name)
        for old in glob.glob(path + "*"):
            os.unlink(old)
        return path

    def config(self, i):
        """Mostly the small network, whose steps are quick, and now and then the example."""
        if i % 10 == 9:
            return e2e.MLP, ["--set", "steps=100000", *QUICK]
        return self.small, QUICK

    def delay(self):
        """Seconds until a kill: in the middle of starting now and then."""
        return self.rng.uniform(0, 0.05) if self.rng.random() < 0.1 else self.rng.uniform(0, 0.4)


def judged(count, recording, place, trails=True):
    """Judges one killed recording into the table."""
    try:
        j = judge(recording.trace, recording.announced)
        count.add(j, recording.announced)
        over, seconds = recording.trail() if trails else (0, 0)
        count.late += over > 1
        count.trail_s = max(count.trail_s, seconds)
        if over > 3:
            raise Failure(f"the last announcement was {seconds:.2f} s before the kill")
    except Failure as failure:
        count.runs += 1
        kept = keep(recording.trace, place.folder) if "TDBG_TORTURE_KEEP" in os.environ else None
        count.fail(str(failure), kept)


@suite
def kill_trainer(place):
    count = Count("kill -9 of the trainer")
    for i in range(place.count("kill_trainer")):
        config, options = place.config(i)
        preset = place.rng.choice(["light", "standard", "full"])
        r = Recording(config, place.trace(f"trainer-{i}.h5"), "-q", "--set",
                      f"record.preset={preset}", *options)
        delay = place.delay()
        if delay > 0.05 and has_announce():
            r.listen(30, until_first=True)
        r.listen(delay)
        r.kill()
        judged(count, r, place)
        place.trace(f"trainer-{i}.h5")
    if not has_announce():
        MISSING.append("kill_trainer without --announce-fd: opening and verifying only")
    return count


@suite
def kill_writer(place):
    """The writer dies: recording stops with a message and exit code 4, training goes on to its
    end."""
    need(has_announce(), "--announce-fd")
    count = Count("kill -9 of the writer")
    codes, seen = {}, False
    for i in range(place.count("kill_writer")):
        config, options = place.config(i)
        trace, delay = place.trace(f"writer-{i}.h5"), place.delay()
        steps = 6000 if config == place.small else 200
        r = Recording(config, trace, *options, "--set", f"steps={steps}")
        if delay > 0.05:
            r.listen(30, until_first=True)
        r.listen(delay)
        writers = r.writers()
        seen = seen or bool(writers)
        r.killed_at = time.monotonic()
        for pid in writers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was just done
        code = r.wait()
        codes[code] = codes.get(code, 0) + 1
        if code not in (0, 4):
            count.fail(f"record ended with {code}: {r.messages}")
        elif code == 4 and r.announced >= 0 and f"step {steps}/{steps}" not in r.messages:
            count.fail(f"training did not finish: {r.messages}")
        elif code == 4 and "tdbg: " not in r.messages.strip().split("\n")[-1]:
            count.fail(f"no message: {r.messages!r}")
        judged(count, r, place, trails=False)
        place.trace(f"writer-{i}.h5")
    if not seen:
        raise NotRun("there is no process tdbg-writer")
    count.note = ", ".join(f"{n} x exit {c}" for c, n in sorted(codes.items()))
    return count


def mount(folder, kib):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tdbg-torture", folder],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise NotRun(f"no tmpfs can be mounted here: {done.stderr.strip()}")


@suite
def disk_full(place):
    """Training finishes, recording stops with exit code 4, the trace opens and verifies; or there is
    none, where not even what a trace begins with fits."""
    count = Count("disk full")
    n, codes = place.count("disk_full"), {}
    folder = os.path.join(place.folder, "disk")
    os.mkdir(folder)
    for i in range(n):
        kib = 8 + int(3000 * ((i + place.rng.random()) / n) ** 2) * 4
        mount(folder, kib)
        try:
            preset = place.rng.choice(["standard", "full"])
            trace = os.path.join(folder, "t.h5")
            r = Recording(place.small, trace, "--set", "steps=3000", "--set",
                          f"record.preset={preset}", *QUICK, messages=place.trace("messages"))
            code = r.wait()
            codes[code] = codes.get(code, 0) + 1
            judge_full(count, r, code, f"{kib} KiB")
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    count.note = ", ".join(f"{k} x exit {c}" for c, k in sorted(codes.items()))
    return count


def judge_full(count, r, code, what):
    try:
        if code not in (0, 4):
            raise Failure(f"{what}: record ended with {code}: {r.messages[-500:]}")
        if code == 4 and "tdbg: " not in r.messages.strip().split("\n")[-1]:
            raise Failure(f"{what}: no message: {r.messages[-500:]}")
        if os.path.exists(r.trace):
            j = judge(r.trace, r.announced)
            count.add(j, r.announced)
            if code == 0 and j.steps != 3000:
                raise Failure(f"{what}: exit code 0, but {j.steps} steps {j.why}")
            if "3000/3000" not in r.messages:
                raise Failure(f"{what}: training did not finish: {r.messages[-500:]}")
        else:
            count.runs += 1
            count.empty += 1
            if code == 0 or r.announced >= 0:
                raise Failure(f"{what}: exit code {code}, {r.announced} announced, but no trace")
    except Failure as failure:
        count.fail(str(failure))


@suite
def io_errors(place):
    """The N-th write, sync or truncation of the trace fails, once or from then on."""
    shim = os.path.join(e2e.BUILD, "tests", "libfail_io.so")
    need(os.path.exists(shim), "tests/libfail_io.so")
    count, codes = Count("I/O errors"), {}
    for i in range(place.count("io_errors")):
        call = place.rng.choice(["write", "write", "write", "sync", "truncate"])
        number = int(1.5 ** place.rng.uniform(0, 18))
        error = place.rng.choice(["EIO", "ENOSPC"])
        lasting = place.rng.choice(["once", "on"])
        env = {"LD_PRELOAD": shim, "TDBG_FAIL_IO": f"{call}:{number}:{error}:{lasting}",
               "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        trace, what = place.trace(f"io-{i}.h5"), env["TDBG_FAIL_IO"]
        r = Recording(place.small, trace, "--set", "steps=400", *QUICK, env=env)
        code = r.wait()
        codes[code] = codes.get(code, 0) + 1
        try:
            if code not in (0, 4):
                raise Failure(f"record ended with {code}: {r.messages[-300:]}")
            j = judge(trace, r.announced)
            count.add(j, r.announced)
            if code == 0 and j.steps != 400:
                raise Failure(f"exit code 0, but {j.steps} steps {j.why}")
        except Failure as failure:
            kept = keep(trace, place.folder) if "TDBG_TORTURE_KEEP" in os.environ else None
            count.fail(f"{what}: {failure}", kept)
        place.trace(f"io-{i}.h5")
    count.note = ", ".join(f"{n} x exit {c}" for c, n in sorted(codes.items()))
    return count


@suite
def torn_writes(place):
    """The writer is killed in the middle of a write, at a page's end: a block of HDF5's metadata is
    half new. Or between two writes, also those of its end. Everything that was announced is read
    all the same, with nothing done by hand."""
    shim = os.path.join(e2e.BUILD, "tests", "libfail_io.so")
    need(os.path.exists(shim), "tests/libfail_io.so")
    need(has_announce(), "--announce-fd")
    count, codes, n_torn = Count("kill -9 at a write"), {}, 0
    for i in range(place.count("torn_writes")):
        call, most, steps = place.rng.choice([("tear", 400, 1500), ("kill", 600, 40)])
        number, where = place.rng.randrange(1, most), place.rng.choice(["first", "last"])
        preset = place.rng.choice(["light", "standard", "full"])
        env = {"LD_PRELOAD": shim, "TDBG_FAIL_IO": f"{call}:{number}:KILL:{where}",
               "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        trace, what = place.trace(f"torn-{i}.h5"), f"{env['TDBG_FAIL_IO']}, {preset}"
        r = Recording(place.small, trace, "--set", f"steps={steps}", "--set",
                      f"record.preset={preset}", *QUICK, env=env)
        code = r.wait()
        codes[code] = codes.get(code, 0) + 1
        try:
            if code not in (0, 4):
                raise Failure(f"record ended with {code}: {r.messages[-300:]}")
            j = judge(trace, r.announced)
            if j.recovered and r.announced >= 0:
                raise Failure("it had to be recovered")
            count.add(j, r.announced)
            n_torn += j.opened and tdbg("fsck", trace).returncode == 3
        except Failure as failure:
            kept = keep(trace, place.folder) if "TDBG_TORTURE_KEEP" in os.environ else None
            count.fail(f"{what}: {failure}", kept)
        place.trace(f"torn-{i}.h5")
    count.note = (f"{n_torn} files with torn metadata, " +
                  ", ".join(f"{n} x exit {c}" for c, n in sorted(codes.items())))
    return count


def make_bases(place):
    """Sound traces of several presets, and one that was cut off."""
    bases = []
    for name, steps, sets in (("light", 12, ["record.preset=light"]), ("standard", 10, []),
                              ("full", 8, ["record.preset=full", "engine.lanes=2"])):
        path = place.trace(f"base-{name}.h5")
        options = [o for s in [*sets, f"steps={steps}"] for o in ("--set", s)]
        done = tdbg("record", place.small, "-o", path, "-q", *options)
        if done.returncode != 0:
            raise Failure(done.stderr)
        bases.append(path)
    path = place.trace("base-cut.h5")
    r = Recording(place.small, path, "-q", *QUICK)
    r.listen(30 if has_announce() else 0.3, until_first=True)
    r.kill()
    if os.path.getsize(path) < 1 << 20:
        bases.append(path)
    return bases


def change(data, rng):
    """Some bytes changed, moved, zeroed or cut off."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at, n = rng.randrange(len(data)), rng.randrange(1, 64)
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at + n] = bytes(rng.randrange(256) for _ in data[at:at + n])
        elif kind == 2:
            data[at:at + 8 * n] = bytes(len(data[at:at + 8 * n]))
        elif kind == 3:
            other = rng.randrange(len(data))
            piece = data[other:other + n]
            data[at:at + len(piece)] = piece
        elif rng.randrange(3) == 0 and at > 0:
            del data[at:]
    return bytes(data)


def commands_for(trace, other, out):
    return [("info", trace), ("info", trace, "--json"), ("show", trace, "grad/fc1.weight", "--step",
                                                         "3"),
            ("replay", trace), ("replay", trace, "--verify", "-q"), ("diff", trace, other),
            ("diff", other, trace),
            ("export", trace, "grad/fc2.weight", "--step", "2", "-o", out + ".npy", "--force"),
            ("pack", trace, "-o", out + ".h5", "--force"), ("fsck", trace), ("recover", trace)]


@suite
def changed_files(place):
    """Each through every command as a process of its own: no signal, no hang, a known exit code."""
    count = Count("changed files, each command")
    bases = make_bases(place)
    known = [c for c in ("info", "show", "replay", "diff", "export", "pack", "fsck", "recover")
             if has_command(c)]
    missing = {"export", "pack", "fsck", "recover"} - set(known)
    if missing:
        MISSING.append(f"changed_files without {', '.join(sorted(missing))}")
    codes = {}
    for i in range(place.count("changed_files")):
        with open(place.rng.choice(bases), "rb") as f:
            data = change(f.read(), place.rng)
        trace, out = place.trace("changed.h5"), place.trace("out")
        for command in commands_for(trace, bases[1], out):
            if command[0] not in known:
                continue
            with open(trace, "wb") as f:
                f.write(data)
            try:
                done = tdbg(*command, timeout=60)
                codes[done.returncode] = codes.get(done.returncode, 0) + 1
                if done.returncode not in (0, 1, 2, 3, 4, 125):
                    raise Failure(f"{' '.join(command)} ended with {done.returncode}: "
                                  f"{done.stderr[-2000:]}")
            except Failure as failure:
                path = os.path.join(place.folder, f"failed-{i}.h5")
                with open(os.path.join(os.environ.get("TDBG_TORTURE_KEEP", place.folder),
                                       f"changed-{i}.h5"), "wb") as f:
                    f.write(data)
                count.fail(str(failure), path)
        count.runs += 1
    count.note = ", ".join(f"{n} x exit {c}" for c, n in sorted(codes.items()))
    return count


@suite
def changed_files_in_process(place):
    """The commands' own code, run inside of one program on changed files."""
    program = os.path.join(e2e.BUILD, "tests", "fuzz-commands")
    need(os.path.exists(program), "tests/fuzz-commands")
    count = Count("changed files, in process")
    n = place.count("changed_files_in_process")
    done = subprocess.run([program, str(n), str(place.rng.randrange(1 << 30)), *make_bases(place)],
                          capture_output=True, text=True, errors="replace",
                          env=dict(os.environ, TDBG_FUZZ_KEEP=os.environ.get("TDBG_TORTURE_KEEP",
                                                                             "")))
    count.runs = n
    count.note = done.stdout.strip().split("\n")[-1]
    if done.returncode != 0:
        count.fail(done.stderr[-3000:])
    return count


READER = """
import h5py, sys, time
opened = time.monotonic()
deadline = opened + 60
reads = refused = 0
while time.monotonic() < deadline:
    try:
        f = h5py.File(sys.argv[1], "r", libver="latest", swmr=True)
    except OSError:  # for a moment at the end, while the writer has the file to itself
        if time.monotonic() - opened > 10:
            raise
        refused += 1
        continue
    opened = time.monotonic()
    for _ in range(5):
        f["steps"].refresh()
        n = len(f["steps"])
        if n:
            row = f["steps"][n - 1]
            assert row["step"] == n - 1, (row["step"], n)
            for name in ("digest", "t/grad/fc1.weight", "samples/train/batch"):
                if name in f:
                    f[name].refresh()
                    assert len(f[name]) >= n, (name, len(f[name]), n)
                    f[name][n - 1]
        reads += 1
    closed = f.attrs["closed"]
    f.close()
    print(reads, refused, flush=True)
    if closed:
        break
"""


@suite
def live_readers(place):
    """h5py and tdbg read a trace while it is written; neither fails, and the trace is whole."""
    count = Count("two readers on a live trace")
    done = subprocess.run(["/usr/bin/python3", "-c", "import h5py"], capture_output=True)
    if done.returncode != 0:
        raise NotRun("no h5py")
    python_reads = tdbg_reads = refused = 0
    for i in range(place.count("live_readers")):
        trace = place.trace(f"live-{i}.h5")
        r = Recording(place.small, trace, "-q", *QUICK, "--set",
                      f"record.preset={place.rng.choice(['standard', 'full'])}")
        try:
            while not os.path.exists(trace) or (read_info(trace)[0] is None):
                if r.process.poll() is not None:
                    raise Failure("record ended at once")
            reader = subprocess.Popen(["/usr/bin/python3", "-c", READER, trace],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            end, seen = time.monotonic() + 2, 0
            while time.monotonic() < end:
                info, why = read_info(trace)
                if info is None:
                    raise Failure(f"info: {why}")
                if info["steps"] < seen:
                    raise Failure(f"{info['steps']} steps after {seen}")
                seen = info["steps"]
                last = info["first_step"] + seen - 1
                done = tdbg("show", trace, "grad/fc1.weight", "--step", last)
                if done.returncode != 0:
                    raise Failure(f"show step {last}: {done.stderr}")
                tdbg_reads += 2
                r.listen(0.001)
            r.process.send_signal(signal.SIGINT)
            code = r.wait()
            info, why = read_info(trace)
            if code != 130 or info is None or not info["closed"]:
                reader.kill()
                reader.wait()
                raise Failure(f"record ended with {code} and did not close the trace: "
                              f"{r.messages}{why}")
            out, err = reader.communicate(timeout=90)
            if reader.returncode != 0:
                raise Failure(f"h5py: {err[-600:]}")
            reads, refusals = map(int, out.split("\n")[-2].split())
            python_reads += reads
            refused += refusals
            count.add(judge(trace, r.announced), r.announced)
        except Failure as failure:
            count.runs += 1
            count.fail(str(failure))
            if r.process.poll() is None:
                r.kill()
        place.trace(f"live-{i}.h5")
    count.note = (f"{python_reads} reads by h5py ({refused} times refused at the end), "
                  f"{tdbg_reads} by tdbg")
    return count


def print_table(rows):
    head = ("suite", "runs", "announced steps", "steps that verify", "opened as is", "recovered",
            "nothing yet", "late", "failed", "")
    lines = [head] + [(c.name, c.runs, c.announced, c.verified, c.opened, c.recovered, c.empty,
                       f"{c.late} (max {c.trail_s:.2f} s)", c.failed, c.note) for c in rows]
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(str(x).ljust(w) for x, w in zip(line, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("suites", nargs="*")
    parser.add_argument("--part", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    print(f"torture: seed {args.seed}, {TDBG}", flush=True)
    folder = tempfile.mkdtemp(prefix="tdbg-torture-",
                              dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        for name in args.suites or SUITES:
            start = time.monotonic()
            sub = os.path.join(folder, name)
            os.mkdir(sub)
            try:
                ROWS.append(SUITES[name](Place(sub, f"{args.seed} {name}", args.part)))
                print(f"torture: {name}: {time.monotonic() - start:.1f} s", flush=True)
            except NotRun as why:
                MISSING.append(f"{name} not run: {why}")
            shutil.rmtree(sub)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(ROWS)
    for text in MISSING:
        print(f"torture: {text}")
    for text in FAILURES[:20]:
        print(f"torture: FAILED: {text}")
    if FAILURES:
        print(f"torture: {len(FAILURES)} failed; repeat: torture.py {' '.join(args.suites)} "
              f"--part {args.part} --seed {args.seed}")
    sys.exit(1 if FAILURES else 77 if MISSING else 0)


if __name__ == "__main__":
    main()
