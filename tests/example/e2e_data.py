#!/usr/bin/env python3
"""End-to-end tests of data sets: every format records, verifies without its files, and the samples in
the trace are those of the files; transforms; init_from. Called like e2e.py, on which it builds."""
import gzip
import json
import os
import re
import struct
import sys

import e2e
from e2e import check, info, record, run, stored, verified, write_idx

CASES, case = e2e.case_table()
CONFIG = """
seed = 3;
steps = 4;
data = {{ batch = 6; {data} }};
model = ( {model} );
loss = {{ {loss} }};
optimizer = {{ kind = "sgd"; lr = 0.01; }};
eval = {{ every = 2; }};
record = {{ preset = "full"; keyframe = 2; }};
"""
CLASSIFY = '{ op = "flatten"; }, { op = "linear"; name = "fc"; out = 10; }'


def train(folder, data, model=CLASSIFY, loss="", *args, files=()):
    """Records four steps and verifies them after the files are gone; the open trace."""
    import h5py
    traces = sum(name.endswith(".trace.h5") for name in os.listdir(folder))
    config, trace = f"{folder}/data.cfg", f"{folder}/{traces}.trace.h5"
    with open(config, "w") as f:
        f.write(CONFIG.format(data=data, model=model, loss=loss))
    record(config, trace, *args)
    for name in files:
        os.unlink(f"{folder}/{name}")
    out = verified(trace)
    check("4 of 4 steps" in out and " 0 differ" in out, out)
    run("fsck", trace)
    run(os.path.join(e2e.SOURCE, "tests", "trace", "check_h5py.py"), trace, program=sys.executable)
    return h5py.File(trace, "r")


def samples(f, name="train"):
    """x and y of a set in order of their ids."""
    import numpy as np
    order = np.argsort(f[f"samples/{name}/id"][:])
    return f[f"samples/{name}/x"][:][order], f[f"samples/{name}/y"][:][order]


def images(seed, *shape):
    import numpy as np
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@case
def npy_records(folder):
    import numpy as np
    x, y = images(1, 24, 3, 4), np.arange(24) % 10
    for kind in ("|u1", ">f4", "<f8", "<i2", "<f2"):
        np.save(f"{folder}/x.npy", x.astype(kind))
        np.save(f"{folder}/y.npy", y.astype(">i4"))
        f = train(folder, 'kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; split = 0.25;',
                  files=("x.npy", "y.npy"))
        got_x, got_y = samples(f)
        check(len(got_x) == 18 and got_x.dtype == (np.uint8 if kind == "|u1" else np.float32), kind)
        check(got_y.dtype == np.int64 and f["samples/train"].attrs["classes"] >= 9, kind)
        both = np.concatenate([got_x, samples(f, "eval")[0]]).reshape(24, 12)
        rows = sorted(map(tuple, both.tolist()))
        check(rows == sorted(map(tuple, x.reshape(24, 12).tolist())), kind)
        first = stored(f, "input/x", 0, 0, 0)
        batch = f["samples/train/batch"][0]
        check((first == got_x[batch].astype(np.float32)).all(), kind)


@case
def numbers_are_predicted(folder):
    """Values as targets, from npy and csv, with the losses that take them."""
    import numpy as np
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/y.npy", y)
    f = train(folder, 'kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; split = 0.1;',
              '{ op = "linear"; out = 2; }', 'kind = "mse";')
    check(f["samples/train/y"].shape[1:] == (2,) and f["samples/train/y"].dtype == np.float32, "y")
    with open(f"{folder}/t.csv", "w") as out:
        out.write("a,price,b\n" + "".join(f"{a},{p},{b}\n" for a, p, b in x))
    f = train(folder, 'kind = "csv"; train = { csv = "t.csv"; }; csv = { target = "price"; }; '
              'test = { csv = "t.csv"; };', '{ op = "linear"; out = 1; }', 'kind = "mse";')
    got_x, got_y = samples(f, "eval")
    check((got_x == x[:, [0, 2]].astype(np.float32)).all(), "columns")
    check((got_y[:, 0] == x[:, 1].astype(np.float32)).all(), "target")


@case
def csv_classes_record(folder):
    rows = [(i * 0.5, -i, i % 3) for i in range(18)]
    with open(f"{folder}/t.csv", "w") as out:
        out.write("".join(f"{a},{b},{c}\n" for a, b, c in rows))
    f = train(folder, 'kind = "csv"; train = { csv = "t.csv"; }; split = 0.2;',
              '{ op = "linear"; out = 3; }')
    check(f["samples/train"].attrs["classes"] == 3, "classes")


@case
def cifar10_records(folder):
    """With the transforms that such images get; what they make is what numpy makes."""
    import numpy as np
    x = images(3, 12, 3, 32, 32)
    for part in range(2):
        with open(f"{folder}/{part}.bin", "wb") as out:
            for i in range(6 * part, 6 * part + 6):
                out.write(bytes([i % 10]) + x[i].tobytes())
    data = """kind = "cifar10"; train = { images = ["0.bin", "1.bin"]; };
        test = { images = "1.bin"; };
        transforms = ( { op = "scale"; by = 0.00392156886; }, { op = "flip"; },
                       { op = "crop"; size = [32, 32]; padding = 4; },
                       { op = "channels"; order = "gray"; }, { op = "resize"; size = [16, 20]; } );"""
    f = train(folder, data, CLASSIFY, "", "--set", "engine.lanes=2")
    got_x, got_y = samples(f)
    check((got_x == x).all() and (got_y == np.arange(12) % 10).all(), "samples")
    names = f["sites"]["name"]
    shapes = {n.decode(): tuple(s[:k]) for n, s, k in
              zip(names, f["sites"]["shape"], f["sites"]["ndim"])}
    check(shapes["input/x.0.scale"] == (3, 3, 32, 32) and shapes["input/x"] == (3, 1, 16, 20),
          shapes)
    seen = set()
    for step in range(4):
        for lane in range(2):
            ids = f["samples/train/batch"][step][3 * lane:3 * lane + 3]
            scaled = stored(f, "input/x.0.scale", step, lane, 0)
            flipped = stored(f, "input/x.1.flip", step, lane, 0)
            cropped = stored(f, "input/x.2.crop", step, lane, 0)
            gray = stored(f, "input/x.3.channels", step, lane, 0)
            check((scaled == x[ids] * np.float32(0.00392156886)).all(), "scale")
            for i in range(3):
                mirrored = (flipped[i] == scaled[i][:, :, ::-1]).all()
                check(mirrored or (flipped[i] == scaled[i]).all(), "flip")
                padded = np.pad(flipped[i], ((0, 0), (4, 4), (4, 4)))
                places = [(a, b) for a in range(9) for b in range(9)
                          if (padded[:, a:a + 32, b:b + 32] == cropped[i]).all()]
                check(len(places) == 1, "crop")
                seen.add((bool(mirrored), *places[0]))
            weights = np.array([0.2989, 0.587, 0.114]).reshape(1, 3, 1, 1)
            check(np.abs((cropped * weights).sum(1) - gray[:, 0]).max() < 1e-6, "gray")
    check(len(seen) > 12, f"{len(seen)} choices")
    again = f"{folder}/again.h5"
    record(f"{folder}/data.cfg", again, "--set", "engine.lanes=2", "--threads", 3, "--isa",
           "portable")
    check(info(again)["chain"] == info(f"{folder}/0.trace.h5")["chain"], "threads, isa")


@case
def augmentation_depends_on_sample_and_epoch(folder):
    """The same sample has the same picture in an epoch, whatever the batch and lane it is in."""
    import h5py
    import numpy as np
    np.save(f"{folder}/x.npy", images(4, 12, 8, 8))
    np.save(f"{folder}/y.npy", np.arange(12) % 10)
    train(folder, 'kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; '
          'test = { x = "x.npy"; y = "y.npy"; }; '
          'transforms = ( { op = "crop"; size = [6, 6]; padding = 2; }, { op = "flip"; } );')
    pictures = []
    for batch, steps in ((6, 4), (4, 6)):
        trace = f"{folder}/{batch}.h5"
        record(f"{folder}/data.cfg", trace, "--set", f"data.batch={batch}", "--steps", steps)
        seen = {}
        with h5py.File(trace) as f:
            for step in range(steps):
                x = stored(f, "input/x", step, 0, 0)
                for i, sample in enumerate(f["samples/train/batch"][step]):
                    seen[step * batch // 12, int(sample)] = x[i].tobytes()
        pictures.append(seen)
    check(pictures[0] == pictures[1] and len(pictures[0]) == 24, "pictures")
    changed = sum(pictures[0][0, i] != pictures[0][1, i] for i in range(12))
    check(changed >= 8, f"{changed} of 12 pictures changed")


@case
def hwc_images_record(folder):
    import numpy as np
    x = images(5, 12, 7, 5, 3)
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/y.npy", np.arange(12) % 10)
    f = train(folder, 'kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; '
              'test = { x = "x.npy"; y = "y.npy"; }; transforms = '
              '( { op = "channels"; layout = "hwc"; from = "rgb"; order = "bgr"; } );')
    ids = f["samples/train/batch"][1]
    want = x[ids].transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32)
    check((stored(f, "input/x", 1, 0, 0) == want).all(), "bgr, chw")


@case
def hdf5_records(folder):
    import h5py
    import numpy as np
    x, y = images(6, 24, 3, 4), np.arange(24) % 10
    with h5py.File(f"{folder}/d.h5", "w") as f:
        f.create_dataset("images", data=x.astype(">i2"), chunks=(5, 3, 4), compression="gzip")
        f.create_dataset("labels/fine", data=y.astype(np.uint16))
        f.create_dataset("half", data=x.astype(np.float16))
    train(folder, 'kind = "hdf5"; train = { file = "d.h5"; x = "half"; y = "labels/fine"; }; '
          'split = 0.2;')
    f = train(folder, 'kind = "hdf5"; train = { file = "d.h5"; x = "images"; y = "labels/fine"; }; '
              'test = { file = "d.h5"; };', files=("d.h5",))
    got_x, got_y = samples(f, "eval")
    check((got_x == x).all() and (got_y == y).all(), "samples")


@case
def idx_of_other_types(folder):
    import numpy as np
    x, y = images(7, 12, 3, 4), np.arange(12) % 10
    with gzip.open(f"{folder}/x.gz", "wb") as f:
        f.write(struct.pack(">BBBBIII", 0, 0, 13, 3, 12, 3, 4) + x.astype(">f4").tobytes())
    write_idx(f"{folder}/y.gz", y.astype(np.uint8).tobytes(), (12,))
    f = train(folder, 'kind = "idx"; train = { images = "x.gz"; labels = "y.gz"; }; '
              'test = { images = "x.gz"; labels = "y.gz"; };')
    check((samples(f)[0] == x).all(), "samples")


@case
def repeat_fills_the_last_batch(folder):
    import numpy as np
    np.save(f"{folder}/x.npy", images(8, 8, 3))
    np.save(f"{folder}/y.npy", np.arange(8) % 10)
    f = train(folder, 'kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; '
              'test = { x = "x.npy"; y = "y.npy"; }; sampler = { pad = "repeat"; };')
    batches = f["samples/train/batch"][:]
    check((f["steps"]["samples"] == 6).all() and (f["steps"]["epoch"] == [0, 0, 1, 1]).all(), "steps")
    for epoch in (0, 1):
        ids = batches[2 * epoch:2 * epoch + 2].reshape(-1)
        check(sorted(ids[:8]) == list(range(8)) and (ids[8:] == ids[:4]).all(), ids)


@case
def fingerprints_do_not_change(folder):
    """A data set is known again, whatever version of tdbg recorded it: --resume relies on that."""
    config = e2e.small_config(folder)
    record(config, f"{folder}/a.h5")
    dataset = json.loads(info(f"{folder}/a.h5")["dataset"])
    check(dataset["train"]["fingerprint"] == "0x2308149067cf6f10", dataset)
    check(dataset["test"]["fingerprint"] == "0xbf824c8bd71a179f", dataset)


def has_op(name):
    return f'op = "{name}"' in run("--help-config").stdout


@case
def text_records(folder):
    """Character tokens through an embedding, and bytes of packed text."""
    text = "so much depends upon a red wheel barrow glazed with rain water " * 3
    with open(f"{folder}/t.txt", "w") as out:
        out.write(text)
    with gzip.open(f"{folder}/t.gz", "wt") as out:
        out.write(text)
    if not has_op("embedding"):
        print("no embedding: the tokens are looked at, nothing is trained")
        return
    letters = sorted(set(text))
    model = '{ op = "embedding"; dim = 8; }, { op = "linear"; out = %d; }'
    for kind, name, vocab in (("char", "t.txt", len(letters)), ("byte", "t.gz", 256)):
        f = train(folder, 'kind = "text"; train = { text = "%s"; }; split = 0.1; '
                  'tokens = { kind = "%s"; context = 5; };' % (name, kind), model % vocab)
        check(f["samples/train"].attrs["vocab"] == vocab, kind)
        x, y = samples(f)
        ids = f["samples/train/id"][:]
        number = {c: i for i, c in enumerate(letters)} if kind == "char" else \
            {c: ord(c) for c in letters}
        tokens = [number[c] for c in text]
        for k in sorted(ids):
            row = sorted(ids).index(k)
            check(list(x[row]) == tokens[5 * k:5 * k + 5], "tokens")
            check(list(y[row]) == tokens[5 * k + 1:5 * k + 6], "targets")
        dataset = json.loads(info(f.filename)["dataset"])
        check(("vocab_fingerprint" in dataset["train"]) == (kind == "char"), dataset)


def documented_vocabulary(path):
    """What docs/trace-format.md's lines print of the first sample."""
    import h5py
    with open(os.path.join(e2e.SOURCE, "docs", "trace-format.md")) as doc:
        blocks = re.findall(r"```python\n(.*?)```", doc.read(), re.S)
    lines = [b for b in blocks if "run/vocabulary" in b]
    check(len(lines) == 1, lines)
    with h5py.File(path, "r") as f:
        said = []
        exec(lines[0], {"f": f, "print": said.append})  # our own text
        return said[0], int(f["samples/train/id"][0])


@case
def vocabularies_are_recorded(folder):
    """The characters of the tokens are in each file of a run, in packed and recovered ones, and in forks."""
    text = "so much depends \u4e0a\u4e00\u8f86\u7ea2 e\u0301 \U0001f600 wheel barrow\n" * 6
    with open(f"{folder}/t.txt", "w") as out:
        out.write(text)
    model = '{ op = "embedding"; dim = 8; }, { op = "linear"; out = %d; }' % len(set(text))
    data = 'kind = "text"; train = { text = "t.txt"; }; split = 0.1; ' \
        'tokens = { kind = "char"; context = 8; };'
    f = train(folder, data, model, "", "--set", "engine.lanes=2", "--set", "engine.ranks_in_process=2")
    whole, rank1 = f.filename, f.filename[:-3] + ".rank1.h5"
    f.close()
    f = train(folder, data, model)
    one, packed, mended, fork = f.filename, f"{folder}/p.h5", f"{folder}/m.h5", f"{folder}/f.h5"
    f.close()
    run("pack", one, "--steps", "2:3", "-q", "-o", packed)
    with open(one, "rb") as source, open(f"{folder}/cut.h5", "wb") as out:
        torn = bytearray(source.read())
        torn[48:200] = bytes(152)  # the root group: the skeleton has another one
        out.write(torn)
    run("info", f"{folder}/cut.h5", code=3)
    run("recover", f"{folder}/cut.h5", "-o", mended)
    run("replay", one, "--from", 2, "--set", "optimizer.lr=0.02", "-q", "-o", fork)
    for path in (whole, rank1, one, packed, mended, fork):
        said, k = documented_vocabulary(path)
        check(said == text[8 * k:8 * k + 8], f"{path}: {said!r}")
        shown = run("info", path).stdout
        check(f"vocabulary    {len(set(text))} characters" in shown, shown)
        check(info(path)["vocabulary_tokens"] == len(set(text)), path)
        run("fsck", path)
    f = train(folder, data.replace('"char"', '"byte"'), model.replace(str(len(set(text))), "256"))
    check("vocabulary" not in f["run"] and info(f.filename)["vocabulary_tokens"] == 0, "bytes")


def exact_perplexity(f):
    """Over the evaluation set, in binary64, by the parameters behind the last step."""
    import numpy as np
    table, weight, bias = (stored(f, f"param/{n}", 3).astype(np.float64)
                           for n in ("embedding1.weight", "linear1.weight", "linear1.bias"))
    x, y = samples(f, "eval")
    logits = table[x] @ weight.T + bias
    losses = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, y[..., None], -1)[..., 0]
    return np.exp(losses.mean())


@case
def info_tells_the_perplexity(folder):
    """exp of the mean loss of tokens, of the last step and of its evaluation; of nothing else."""
    import numpy as np
    with open(f"{folder}/t.txt", "w") as out:
        out.write("so much depends upon a red wheel barrow glazed with rain water " * 3)
    data = 'kind = "text"; train = { text = "t.txt"; }; split = 0.2; tokens = { context = 5; };'
    model = '{ op = "embedding"; dim = 8; }, { op = "linear"; out = 256; }'

    def told(*args, loss=""):
        f = train(folder, data, model, loss, *args)
        said = info(f.filename)
        return f, said["perplexity"], said["evaluation"]["perplexity"], run("info", f.filename).stdout

    f, batch, whole, text = told()
    mean = np.mean(stored(f, "loss/sample", 3, 0, 0).astype(np.float64)) / 5
    check(abs(batch - np.exp(mean)) < 1e-4 * batch, f"training: {batch}, {np.exp(mean)}")
    check(abs(whole - exact_perplexity(f)) < 1e-4 * whole, f"{whole}, {exact_perplexity(f)}")
    for name, value in (("loss", batch), ("evaluation", whole)):
        shown = re.search(rf"^{name} .*, perplexity ([0-9.]+)", text, re.M)
        check(shown and abs(float(shown.group(1)) - value) < 1e-4 * value, text)
    _, batch, whole, text = told(loss='reduction = "sum";')
    check(batch is None and whole > 1 and text.count("perplexity") == 1, "a sum is no mean")
    _, batch, whole, text = told(loss="label_smoothing = 0.1;")
    check(batch is None and whole is None and "perplexity" not in text, "smoothed")
    np.save(f"{folder}/x.npy", images(1, 24, 3, 4))
    np.save(f"{folder}/y.npy", np.arange(24) % 10)
    f = train(folder, 'kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; split = 0.25;')
    said = info(f.filename)
    check(said["perplexity"] is None and said["evaluation"]["perplexity"] is None, "classes")
    check(0 <= said["evaluation"]["accuracy"] <= 1 and said["evaluation"]["loss"] > 0, said)


def write_safetensors(path, tensors, **change):
    """tensors: name -> (dtype, numpy array)."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)], **change}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def init_config(folder):
    """Eight samples, two linear layers, weights from init_from.path as --set gives it."""
    import numpy as np
    np.save(f"{folder}/x.npy", images(9, 12, 5))
    np.save(f"{folder}/y.npy", np.arange(12) % 3)
    with open(f"{folder}/init.cfg", "w") as f:
        f.write(CONFIG.format(
            data='kind = "npy"; train = { x = "x.npy"; y = "y.npy"; }; '
                 'test = { x = "x.npy"; y = "y.npy"; }; '
                 'transforms = ( { op = "scale"; by = 0.01; } );', loss="",
            model='{ op = "linear"; name = "a"; out = 4; }, { op = "linear"; name = "b"; out = 3; }'))
    return f"{folder}/init.cfg"


def init_record(folder, path, *args, code=0, name="init"):
    done = record(f"{folder}/init.cfg", f"{folder}/{name}.h5", "--force", "--set",
                  f'init_from={{ path = "{path}"; {" ".join(args)} }}', code=code)
    return done.stderr


def weights(trace, keyframe=0):
    import h5py
    with h5py.File(trace) as f:
        return {k: f["keyframe"][k][keyframe] for k in ("a.weight", "a.bias", "b.weight", "b.bias")}


def same(a, b):
    return all((a[k] == b[k]).all() for k in a)


@case
def init_from_safetensors_and_hdf5(folder):
    import h5py
    import numpy as np
    init_config(folder)
    rng = np.random.default_rng(1)
    want = {"a.weight": rng.normal(size=(4, 5)).astype(np.float32),
            "a.bias": rng.normal(size=4).astype(np.float32),
            "b.weight": rng.normal(size=(3, 4)).astype(np.float32),
            "b.bias": rng.normal(size=3).astype(np.float32)}
    f32 = {k: ("F32", v) for k, v in want.items()}
    f32["a.num_batches_tracked"] = ("I64", np.array(3))
    write_safetensors(f"{folder}/w.safetensors", f32)
    init_record(folder, "w.safetensors")
    check(same(weights(f"{folder}/init.h5"), want), "f32")
    check(" 0 differ" in verified(f"{folder}/init.h5"), "verify")
    write_safetensors(f"{folder}/w.safetensors",
                      {k: ("F16", v.astype(np.float16)) for k, v in want.items()})
    init_record(folder, "w.safetensors")
    check(same(weights(f"{folder}/init.h5"), {k: v.astype(np.float16) for k, v in want.items()}),
          "f16")
    bf16 = {k: (v.view(np.uint32) >> 16).astype(np.uint16) for k, v in want.items()}
    write_safetensors(f"{folder}/w.safetensors", {k: ("BF16", v) for k, v in bf16.items()})
    init_record(folder, "w.safetensors")
    check(same(weights(f"{folder}/init.h5"),
               {k: (v.astype(np.uint32) << 16).view(np.float32) for k, v in bf16.items()}), "bf16")
    with h5py.File(f"{folder}/w.h5", "w") as f:
        for name, value in want.items():
            f.create_dataset(name, data=value.astype(np.float64))
    init_record(folder, "w.h5")
    check(same(weights(f"{folder}/init.h5"), want), "HDF5")


@case
def init_from_what_does_not_fit(folder):
    import numpy as np
    init_config(folder)
    good = {"a.weight": ("F32", np.zeros((4, 5), np.float32)),
            "a.bias": ("F32", np.zeros(4, np.float32)),
            "b.weight": ("F32", np.ones((3, 4), np.float32)),
            "b.bias": ("F32", np.zeros(3, np.float32))}
    path = f"{folder}/w.safetensors"
    write_safetensors(path, {k.replace("b.weight", "b.weights"): v for k, v in good.items()})
    text = init_record(folder, "w.safetensors", code=2)
    check("lacks b.weight" in text and "the file has 'b.weights' for 'b.weight'" in text, text)
    check("the model has no b.weights" in text, text)
    init_record(folder, "w.safetensors", "strict = false;")
    got = weights(f"{folder}/init.h5")
    check((got["a.weight"] == 0).all() and (got["b.weight"] != 1).all(), "not strict")
    write_safetensors(path, {**good, "a.bias": ("F32", np.zeros(5, np.float32))})
    text = init_record(folder, "w.safetensors", "strict = false;", code=2)
    check("a.bias has shape (5) in the file, but the model wants (4)" in text, text)
    text = init_record(folder, "nothing", code=2)
    check("No such file" in text, text)
    for change, reason in (({"dtype": "F8_E4M3"}, "type"), ({"shape": [1 << 40, 1 << 40]}, "larger"),
                           ({"data_offsets": [0, 1 << 40]}, "beyond"),
                           ({"data_offsets": [8, 0]}, "beyond"), ({"shape": [1]}, "wants"),
                           ({"shape": [-1]}, "dimensions"), ({"more": 1}, "unknown key")):
        write_safetensors(path, good, **change)
        text = init_record(folder, "w.safetensors", code=2)
        check("cannot take weights" in text and reason in text, f"{change}: {text}")
    write_safetensors(path, good)
    whole = open(path, "rb").read()
    import random
    rng = random.Random(4)
    for _ in range(60):  # damaged files are refused or hold other numbers
        bad = bytearray(whole[:rng.randrange(1, len(whole) + 1)])
        for _ in range(rng.randrange(4)):
            bad[rng.randrange(min(len(bad), 400))] = rng.randrange(256)
        open(path, "wb").write(bad)
        done = record(f"{folder}/init.cfg", f"{folder}/bad.h5", "--force", "--set",
                      'init_from.path="w.safetensors"', code=None)
        check(done.returncode in (0, 2), done.stderr)


@case
def init_from_a_trace(folder):
    config = init_config(folder)
    record(config, f"{folder}/first.h5")
    import h5py
    with h5py.File(f"{folder}/first.h5") as f:
        third = {k: stored(f, "param/" + k, 2) for k in ("a.weight", "a.bias", "b.weight", "b.bias")}
        last = {k: stored(f, "param/" + k, 3) for k in third}
    init_record(folder, "first.h5", "step = 2;")
    check(same(weights(f"{folder}/init.h5"), weights(f"{folder}/first.h5", 1)), "a keyframe")
    init_record(folder, "first.h5", "step = 3;")
    check(same(weights(f"{folder}/init.h5"), third), "between keyframes")
    init_record(folder, "first.h5")
    check(same(weights(f"{folder}/init.h5"), last), "after the last step")
    text = init_record(folder, "first.h5", "step = 5;", code=2)
    check("the states before steps 0 to 4" in text, text)
    check(" 0 differ" in verified(f"{folder}/init.h5"), "verify")


if __name__ == "__main__":
    e2e.main(CASES)
