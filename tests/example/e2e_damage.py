#!/usr/bin/env python3
"""End-to-end tests of damage: what verify, show and all other commands say of it, tdbg recover, tdbg
fsck. Called like e2e.py, on which it builds."""
import json
import os
import re
import shutil
import subprocess
import sys

import e2e
from e2e import (MLP, SOURCE, TDBG, check, edit, info, mix_digest, record, run, site_row, small_config,
                 verified)

READER = os.path.join(SOURCE, "tests", "trace", "check_h5py.py")
CASES, case = e2e.case_table()


def read(path):
    with open(path, "rb") as f:
        return bytearray(f.read())


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def others_read(trace):
    """h5dump, and the reader that knows only the document and h5py."""
    done = subprocess.run(["h5dump", "-d", "/digest", trace], capture_output=True, text=True)
    check(done.returncode == 0, f"h5dump {trace}: {done.stderr}")
    done = subprocess.run([sys.executable, READER, trace], capture_output=True, text=True)
    check(done.returncode == 0, f"{trace}: {done.stdout}{done.stderr}")


def chunk(trace, dataset, number):
    """Where a chunk is in the file: offset, bytes."""
    import h5py
    with h5py.File(trace) as f:
        where = f[dataset].id.get_chunk_info(number)
    return where.byte_offset, where.size


@case
def recover_gets_steps_back(folder):
    """No superblock, and half a file: what is recovered verifies, and everybody reads it."""
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(small_config(folder, steps=70), good)
    out = run("recover", good).stdout
    check("nothing to do: 70 steps, 0 to 69" in out, out)
    whole = read(good)
    damaged = {"no superblock": bytes(4096) + whole[4096:], "cut": whole[:len(whole) * 3 // 4]}
    for name, data in damaged.items():
        write(bad, data)
        done = run("info", bad, code=3)
        out = run("recover", bad).stdout
        check("rebuilt from" in out and f"{bad}.damaged" in out, out)
        check(read(f"{bad}.damaged") == data, "the damaged file is kept")
        n = info(bad)["steps"]
        check(n == 70 if name != "cut" else 16 <= n < 70, f"{name}: {n} steps")
        check(not info(bad)["closed"], "it was cut off")
        check(f"verified {n} of {n} steps" in verified(bad), f"{name} verifies")
        check(f"same: {n} steps" in run("diff", good, bad).stdout, f"{name} is the same run")
        check("sound" in run("fsck", bad).stdout, name)
        others_read(bad)
        done = run("recover", bad)
        check("every program can open it" in done.stdout, done.stdout)
        os.unlink(f"{bad}.damaged")
    write(bad, damaged["no superblock"])
    check(run("recover", bad, "-o", f"{folder}/new.h5", "-q").stdout == "", "quiet")
    check(read(bad) == damaged["no superblock"], "with -o the file stays as it is")
    check("same: 70 steps" in run("diff", good, f"{folder}/new.h5").stdout, "-o")
    done = run("recover", bad, "-o", f"{folder}/new.h5", code=2)
    check("exists already" in done.stderr, done.stderr)


@case
def recover_after_a_kill(folder):
    """Everybody is killed: tdbg reads the file as it is; others do after recover."""
    import h5py
    trace = f"{folder}/killed.h5"
    config = small_config(folder, steps=100000)
    said, say = os.pipe()
    process = subprocess.Popen([TDBG, "record", config, "-o", trace, "-q", "--announce-fd", str(say)],
                               pass_fds=[say])
    os.close(say)
    steps = 0
    with os.fdopen(said) as lines:
        for line in lines:
            steps = int(line) + 1
            if steps > 200:
                break
        # a writer of its own process would only empty its queue: it has to die as well
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
            children = f.read()
        for pid in [*map(int, children.split()), process.pid]:
            os.kill(pid, 9)
        process.wait()
        lines.read()  # ends when the last one who could write is gone
    check(info(trace)["steps"] >= steps, "what was announced is there")
    out = run("recover", trace).stdout
    check("other programs can open it again" in out or "rebuilt" in out or "nothing to do" in out, out)
    n = info(trace)["steps"]
    check(n >= steps, f"{n} of {steps} announced steps")
    with h5py.File(trace) as f:
        check(len(f["steps"]) == n and f.attrs["closed"] == 0, "h5py opens it")
    check("sound" in run("fsck", trace).stdout, "sound")
    check(f"verified {n} of {n} steps" in verified(trace), "verifies")


@case
def recover_gives_up_cleanly(folder):
    config = small_config(folder, steps=2)
    record(config, f"{folder}/good.h5")
    files = {"empty": b"", "text": b"seed = 1;\n" * 100, "cut": read(f"{folder}/good.h5")[:700]}
    for name, data in files.items():
        path = f"{folder}/{name}.h5"
        write(path, data)
        before = sorted(os.listdir(folder))
        done = run("recover", path, code=3)
        check(f"nothing of {path} can be recovered" in done.stderr, done.stderr)
        check(read(path) == data and sorted(os.listdir(folder)) == before, "nothing has changed")
    done = run("recover", f"{folder}/missing.h5", code=3)
    check("No such file" in done.stderr, done.stderr)


@case
def recover_mends_every_file(folder):
    """A recording in several files, each without its superblock; later ones lack earlier samples."""
    good, bad = f"{folder}/run.h5", f"{folder}/bad"
    record(small_config(folder, steps=150), good, "--set", "record.segment_gib=0.00001",
           "--set", "record.keyframe=10")
    names = sorted(n for n in os.listdir(folder) if n.startswith("run") and n.endswith(".h5"))
    check(len(names) > 2, names)
    os.mkdir(bad)
    for name in names:
        write(f"{bad}/{name}", bytes(48) + read(f"{folder}/{name}")[48:])
    run("info", f"{bad}/run.h5", code=3)
    out = run("recover", f"{bad}/run.h5").stdout
    check(out.count("rebuilt from") == len(names), out)
    check("150 steps" not in out and "not complete" not in out, out)
    check("verified 150 of 150 steps" in verified(f"{bad}/run.h5"), "all of them")
    check("sound, and cut off: 150 steps" in run("fsck", f"{bad}/run.h5").stdout, "fsck")
    check("same: 150 steps" in run("diff", good, f"{bad}/run.h5").stdout, "same")
    out = run("recover", f"{bad}/run.h5").stdout
    check(out.count("nothing to do") == len(names), out)
    last = f"{bad}/{names[-1]}"
    at, size = chunk(last, "digest", 0)
    data = read(last)
    data[at + size // 2] ^= 1
    write(last, data)
    out = run("fsck", f"{bad}/run.h5", code=3).stdout
    check("digest: " in out and "damaged" in out, out)


def fsck_json(trace, code=3):
    return json.loads(run("fsck", trace, "--json", code=code).stdout)


@case
def fsck_names_the_damage(folder):
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    config = small_config(folder, steps=60)
    record(config, good, "--set", "record.preset=full", "--set", "record.keyframe=20")
    out = run("fsck", good).stdout
    check(out.startswith(f"{good}: sound: 60 steps") and out.count("\n") == 1, out)
    check(fsck_json(good, code=0)["sound"], "JSON of a sound one")
    data = read(good)
    at, size = chunk(good, "samples/train/batch", 1)  # steps 16 to 31
    data[at + size // 2] ^= 0x20
    at, size = chunk(good, "keyframe/fc1.weight", 2)  # before step 40
    data[at + size // 2] ^= 0x01
    write(bad, data)
    out = run("fsck", bad, code=3).stdout
    for line in ("  steps 16 to 31: samples/train/batch: ",
                 "  step 40, site state/fc1.weight: keyframe/fc1.weight: ",
                 "  damaged: 17 of 60 steps\n", "  can be executed again: steps 0 to 15\n"):
        check(line in out, f"{line!r} is not in\n{out}")
    check(run("fsck", bad, "-q", code=3).stdout == "", "quiet")
    report = fsck_json(bad)["files"][0]
    check(report["damaged_steps"] == 17 and not report["sound"], report)
    check([{"first_step": 0, "last_step": 15}] == report["executable"], report["executable"])
    check({(f["first_step"], f["last_step"]) for f in report["faults"]} == {(16, 31), (40, 40)},
          report["faults"])
    # what says that a site is damaged is true of no other step
    run("show", bad, "grad/fc1.weight", "--step", 50)


@case
def a_damaged_keyframe_costs_no_step(folder):
    """What lies behind a keyframe that cannot be read is computed from the one before it."""
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(small_config(folder, steps=60), good, "--set", "record.preset=light",
           "--set", "record.keyframe=20")
    data = read(good)
    at, size = chunk(good, "keyframe/fc1.weight", 2)
    data[at + size // 2] ^= 0x01
    write(bad, data)
    report = fsck_json(bad)["files"][0]
    check([{"first_step": 0, "last_step": 59}] == report["executable"], report["executable"])
    show = ("fwd/fc2", "--step", 47, "--values", "--json")
    check(run("show", bad, *show).stdout == run("show", good, *show).stdout, "the same value")


@case
def fsck_looks_at_all_ranks(folder):
    """Files of other ranks are checked where they are there."""
    first, second = f"{folder}/run.h5", f"{folder}/run.rank1.h5"
    record(small_config(folder), first)
    write(second, read(first))

    def make_rank(rank):
        def change(f):
            f.attrs.modify("world_size", 2)
            f.attrs.modify("rank", rank)
        return change
    edit(first, make_rank(0))
    edit(second, make_rank(1))
    out = run("fsck", first).stdout
    check(f"{first}: sound" in out and f"{second}: sound" in out, out)
    at, size = chunk(second, "digest", 0)
    data = read(second)
    data[at + size // 2] ^= 0x04
    write(second, data)
    out = run("fsck", first, code=3).stdout
    check(f"{first}: sound" in out and f"{second}: damaged" in out, out)
    check([f["rank"] for f in fsck_json(first)["files"] if not f["sound"]] == [1], "rank 1")
    os.unlink(second)
    out = run("fsck", first).stdout
    check("not there, so rank 1 was not checked" in out, out)


INDEX_BLOCKS = (b"EAHD", b"EAIB", b"EADB")  # of extensible arrays: HDF5's index of the chunks
WARNING = "the index of {} is damaged; chunks were found by their trailers"


def torn(data, places):
    """A copy in which a byte after each of these signatures is another."""
    bad = bytearray(data)
    for at in places:
        bad[at + 20] ^= 0x5a
    return bad


def places_of(data, *signatures):
    return [m.start() for s in signatures for m in re.finditer(re.escape(s), data)]


def answers(trace, folder):
    """What commands say of a trace, and what they write."""
    run("export", trace, "grad/fc2.weight", "--format", "npy", "-o", f"{folder}/x.npy", "--force")
    text = [verified(trace), run("show", trace, "grad/fc1.weight", "--step", 7).stdout,
            run("show", trace, "param/fc2.bias", "--step", 31).stdout,
            run("info", trace, "--json").stdout]
    return [t.replace(trace, "TRACE") for t in text] + [read(f"{folder}/x.npy")]


@case
def a_torn_index_is_read_past(folder):
    """Every command goes on by the chunks' trailers and warns once; fsck reports it."""
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(small_config(folder, steps=60), good, "--set", "record.preset=full")
    whole, wanted = read(good), answers(good, folder)
    check("verified 60 of 60 steps" in wanted[0], wanted[0])
    tears = [[at] for at in places_of(whole, *INDEX_BLOCKS)[::9]]
    tears += [places_of(whole, s) for s in INDEX_BLOCKS] + [places_of(whole, *INDEX_BLOCKS)]
    check(len(tears) > 10 and all(tears), tears)
    for places in tears:
        write(bad, torn(whole, places))
        check(answers(bad, folder) == wanted, f"{places}: other answers")
        out = run("fsck", bad, code=3).stdout
        check("the index of its chunks is damaged" in out and "damaged: 0 of 60 steps" in out
              and "can be executed again: steps 0 to 59" in out, out)
    done = run("replay", bad, "--verify", "-q")
    check(done.stderr.count(WARNING.format(bad)) == 1, done.stderr)
    done = run("diff", good, bad)
    check("same: 60 steps" in done.stdout and WARNING.format(bad) in done.stderr, done.stderr)
    run("pack", bad, "-o", f"{folder}/packed.h5")
    check("sound: 60 steps" in run("fsck", f"{folder}/packed.h5").stdout, "packed")
    done = run("recover", bad)
    check("rebuilt from" in done.stdout and not done.stderr, done.stdout + done.stderr)
    check("sound" in run("fsck", bad).stdout and answers(bad, folder)[:3] == wanted[:3], "rebuilt")


@case
def a_torn_header_is_read_past(folder):
    """The header of each dataset that grows while it is recorded: rows are those of its chunks."""
    import h5py
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(small_config(folder, steps=40), good, "--set", "record.preset=full")
    whole, wanted, headers = read(good), answers(good, folder), []
    with h5py.File(good) as f:
        f.visititems(lambda name, o: headers.append(h5py.h5o.get_info(o.id).addr)
                     if isinstance(o, h5py.Dataset) and o.chunks else None)
    check(len(headers) > 20, headers)
    for places in [[at] for at in headers[::4]] + [headers]:
        write(bad, torn(whole, places))
        check(answers(bad, folder) == wanted, f"{places}: other answers")
        check("its header is damaged" in run("fsck", bad, code=3).stdout, f"{places}: fsck")


@case
def a_chunk_without_index_and_trailer_is_lost(folder):
    """Neither leads to it: an error that names it, in every command that needs it."""
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(small_config(folder, steps=60), good, "--set", "record.preset=full")
    whole = read(good)
    for dataset, number, commands in (
            ("digest", 1, (("replay", bad, "--verify", "-q"),)),
            ("steps", 3, (("info", bad), ("diff", good, bad))),
            ("packed/grad/f32", 0, (("show", bad, "grad/fc1.weight", "--step", 0),))):
        at, size = chunk(good, dataset, number)
        data = torn(whole, places_of(whole, *INDEX_BLOCKS))
        data[at + size - 1] ^= 1  # the trailer's checksum
        write(bad, data)
        for command in commands:
            done = run(*command, code=3)
            check(f"{dataset}: a chunk cannot be found" in done.stderr, done.stderr)
        out = run("fsck", bad, code=3).stdout
        check(f"{dataset}: a chunk cannot be found" in out and "damaged: 0 of" not in out, out)


@case
def verify_finds_a_flipped_bit(folder):
    """In a sample and in keyframes, with file checksums and digests rewritten to match."""
    import numpy as np
    config = small_config(folder)
    record(config, f"{folder}/good.h5")
    trace = f"{folder}/bad.h5"

    def flip_sample(f, rewrite):
        x = f["samples/train/x"][3]
        x.ravel()[5] ^= 1
        f["samples/train/x"][3] = x
        if not rewrite:
            return
        batch = f["samples/train/batch"][:]
        row_of = {int(i): r for r, i in enumerate(f["samples/train/id"][:])}
        column = site_row(f, "samples/x")
        for step, ids in enumerate(batch):
            rows = [row_of[int(i)] for i in ids if i >= 0]
            words = np.concatenate([f["samples/train/x"][r].ravel() for r in rows])
            f["digest"][step, column] = mix_digest(words)

    def flip_keyframe(index, step):
        def change(f, rewrite):
            w = f["keyframe/fc1.weight"][index]
            w.view(np.uint32).ravel()[17] ^= 1
            f["keyframe/fc1.weight"][index] = w
            if rewrite:
                f["digest"][step, site_row(f, "state/fc1.weight")] = mix_digest(
                    w.view(np.uint32).ravel())
        return change

    # With its digest rewritten a flipped value is found where it first acts, or where it was made.
    for change, names in ((flip_sample, ("samples/", "input/x")),
                          (flip_keyframe(0, 0), ("state/fc1.weight", "fwd/fc1")),
                          (flip_keyframe(2, 10), ("state/fc1.weight", "state/fc1.weight"))):
        for rewrite in (False, True):
            name = names[rewrite]
            shutil.copy(f"{folder}/good.h5", trace)
            edit(trace, lambda f: change(f, rewrite))
            done = run("replay", trace, "--verify", "-q", code=None)
            text = done.stdout + done.stderr
            wanted = (1,) if rewrite else (1, 3)
            check(done.returncode in wanted and name in text, f"{name} {rewrite}: {text}")
    shutil.copy(f"{folder}/good.h5", trace)

    def flip_chain(f):
        rows = f["steps"][:]
        rows["chain"][4, 0] ^= np.uint64(1)
        f["steps"][:] = rows
    edit(trace, flip_chain)
    check("chain main" in verified(trace, code=1), "a rewritten chain")


@case
def damaged_values_are_named(folder):
    """A byte flipped in the file where a gradient lies: named, never believed, never a crash."""
    import h5py
    good, bad = f"{folder}/good.h5", f"{folder}/bad.h5"
    record(MLP, good, "--steps", 20)
    # a dataset's chunk is one step, one of packed tensors 16 here
    for dataset, number, site, step, sound in (("t/grad/fc1.weight", 6, "grad/fc1.weight", 6, 5),
                                               ("packed/grad/f32", 1, "grad/fc3.bias", 16, 15)):
        with h5py.File(good) as f:
            chunk = f[dataset].id.get_chunk_info(number)
        data = bytearray(open(good, "rb").read())
        data[chunk.byte_offset + chunk.size // 2] ^= 0x10
        open(bad, "wb").write(data)
        done = run("replay", bad, "--verify", "-q", code=3)
        check(dataset in done.stderr and f"step {step}" in done.stderr, done.stderr)
        done = run("show", bad, site, "--step", step, code=3)
        check(site in done.stderr, done.stderr)
        run("show", bad, site, "--step", sound)
    done = run("export", bad, "grad/fc3.bias", "--step", 16, "--format", "npy", "-o",
               f"{folder}/x.npy", code=3)
    check("grad/fc3.bias at step 16" in done.stderr, done.stderr)
    check(not os.path.exists(f"{folder}/x.npy"), "half an export is none")
    done = run("pack", bad, "-q", code=3)
    check("at step 16" in done.stderr, done.stderr)
    check(not os.path.exists(f"{folder}/bad-packed.h5"), "half a file is none")


@case
def bad_traces_are_refused(folder):
    import h5py
    record(small_config(folder), f"{folder}/good.h5")
    good = open(f"{folder}/good.h5", "rb").read()
    files = {"empty": b"", "text": b"seed = 1;\n" * 100, "cut": good[:700],
             "half": good[:len(good) // 2]}
    for name, data in files.items():
        open(f"{folder}/{name}.h5", "wb").write(data)
    with h5py.File(f"{folder}/other.h5", "w") as f:
        f["x"] = [1, 2, 3]
    shutil.copy(f"{folder}/good.h5", f"{folder}/newer.h5")

    def newer(f):
        schema = f.attrs["schema"]
        schema[0] = 99
        f.attrs.modify("schema", schema)
    edit(f"{folder}/newer.h5", newer)
    for name in (*files, "other", "newer", "missing"):
        for command in (("info",), ("replay",), ("replay", "--verify"),
                        ("show", "loss", "--step", "0"), ("pack",),
                        ("export", "loss", "--format", "csv"), ("diff", f"{folder}/good.h5")):
            args = [command[0], f"{folder}/{name}.h5", *command[1:]]
            done = run(*args, code=3)
            check(done.stderr.startswith("tdbg: error: ") and f"{name}.h5" in done.stderr,
                  done.stderr)
    check("99" in run("info", f"{folder}/newer.h5", code=3).stderr, "says which version")


if __name__ == "__main__":
    e2e.main(CASES)
