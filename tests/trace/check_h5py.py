#!/usr/bin/python3
"""Reads a trace with h5py and numpy alone, as docs/trace-format.md says, and checks that values,
digests, statistics, chains and samples agree with each other.

usage: HDF5_PLUGIN_PATH=<folder of the zstd plugin> check_h5py.py trace.h5
"""
import sys

import h5py
import numpy as np

U64 = np.uint64
BYTES = {"f32": 4, "f64": 8, "bf16": 2, "f16": 2, "u8": 1, "i32": 4, "i64": 8}


def mix(i, w):
    x = (i << U64(32) | i >> U64(32)) ^ w
    x *= U64(0xBF58476D1CE4E5B9)
    x ^= x >> U64(32)
    x *= U64(0x3C79AC492BA7B653)
    x ^= x >> U64(29)
    return x


def bits(values, dtype):
    """32-bit words of a tensor, widened to 64 bits."""
    a = np.ascontiguousarray(values)
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint32}[BYTES[dtype]]
    return a.reshape(-1).view(kind).astype(U64)


def digest(values, dtype):
    w = bits(values, dtype)
    n = U64(len(w))
    total = mix(np.arange(len(w), dtype=U64), w).sum(dtype=U64) if len(w) else U64(0)
    tail = mix(np.array([~U64(0)]), np.array([(n ^ n >> U64(32)) & U64(0xFFFFFFFF)]))
    return int(total + tail[0])


def read_row(dataset, row, dtype):
    """dataset[row]; bf16 as uint16 bits, which a conversion to float32 would not keep for NaN."""
    if dtype != "bf16":
        return dataset[row]
    out = np.empty(dataset.shape[1:], np.uint16)
    file_space = dataset.id.get_space()
    file_space.select_hyperslab((row,) + (0,) * out.ndim, (1,) + out.shape)
    memory_space = h5py.h5s.create_simple((1,) + out.shape)
    dataset.id.read(memory_space, file_space, out, dataset.id.get_type())
    return out


def sum_rows(dataset, row, dtype):
    """The value of a row of differences: all from the last whole one on, as unsigned integers."""
    whole = row - row % int(dataset.attrs["whole_every"])
    total = dataset[whole]
    assert total.dtype == np.dtype(f"<u{BYTES[dtype]}")
    for r in range(whole + 1, row + 1):
        folded = np.asarray(dataset[r])
        sign = np.zeros_like(folded) - (folded & folded.dtype.type(1))
        total = total + ((folded >> folded.dtype.type(1)) ^ sign)
    kind = {"f32": "<f4", "f64": "<f8", "bf16": "<u2", "f16": "<f2", "u8": "u1", "i32": "<i4",
            "i64": "<i8"}[dtype]
    return np.asarray(total).view(kind)


def numbers(values, dtype):
    if dtype == "bf16":
        values = (values.ravel().astype(np.uint32) << 16).view(np.float32)
    return np.asarray(values, dtype=np.float64).ravel()


MASK = (1 << 64) - 1


def absorb(h, d):
    h ^= d
    h = h * 0x9E3779B97F4A7C15 & MASK
    h ^= h >> 32
    h = h * 0xD6E8FEB86659FD93 & MASK
    h ^= h >> 32
    return h + 1 & MASK


def absorb_text(h, text):
    for c in text.encode():
        h = absorb(h, c)
    return absorb(h, 0x100)


def text(x):
    return x.decode() if isinstance(x, bytes) else x


def part(batch, lanes, accumulate, lane, micro):
    first, end = 0, batch
    if lane >= 0:
        first, end = lane * batch // lanes, (lane + 1) * batch // lanes
    if micro >= 0:
        n, start = end - first, first
        first, end = start + micro * n // accumulate, start + (micro + 1) * n // accumulate
    return first, end - first


def check_counts(group):
    """Attributes since 1.2: class indexes and tokens are below them."""
    for attribute, name in (("classes", "y"), ("vocab", "x")):
        limit = int(group.attrs.get(attribute, 0))
        assert limit == 0 or len(group[name]) == 0 or \
            (group[name][:].min() >= 0 and group[name][:].max() < limit), attribute


class Trace:
    def __init__(self, path):
        self.f = h5py.File(path, "r")
        f = self.f
        assert text(f.attrs["format"]) == "tdbg trace"
        assert tuple(f.attrs["schema"]) in [(1, minor) for minor in range(6)]
        assert f.attrs["closed"] in (0, 1)
        self.sites = f["sites"][:]
        self.steps = f["steps"][:]
        self.first = int(self.steps["step"][0])
        self.lanes = int(f["run"].attrs["lanes"])
        self.accumulate = int(f["run"].attrs["accumulate"])
        for name in ("config", "inject", "environment", "dataset", "graph", "config_source"):
            words = f["run"][name].asstr()[()]
            raw = np.frombuffer(words.encode(), np.uint8)
            assert digest(raw, "u8") == int(f["run"][name].attrs["digest"]), name
        self.rows = {s: {int(i): r for r, i in enumerate(f[f"samples/{s}/id"][:])}
                     for s in ("train", "eval") if s in f["samples"]}
        for name in self.rows:
            check_counts(f["samples"][name])
        if "vocabulary" in f["run"]:
            start = f["run/vocabulary/start"][:]
            assert start.dtype == np.int64 and f["run/vocabulary/bytes"].dtype == np.uint8
            assert start[0] == 0 and (np.diff(start) >= 0).all() and len(start) > 1
            assert start[-1] == len(f["run/vocabulary/bytes"])

    def due(self, site, row):
        every = int(site["digest_every"])
        here = every > 0 and int(row["step"]) % every == 0
        return here and (text(site["stage"]) != "eval" or row["evaluated"] == 1)

    def n_valid(self, site, row):
        """Valid extent of dimension 0, or None where all is valid."""
        if not site["batched"] or text(site["stage"]) == "eval":
            return None
        return part(int(row["samples"]), self.lanes, self.accumulate, int(site["lane"]),
                    int(site["micro"]))

    def values(self, site, row):
        """What is stored of a site at a step, cut to what is valid; None: nothing."""
        f, step, store = self.f, int(row["step"]), text(site["store"])
        name, stage = text(site["name"]), text(site["stage"])
        tensor = name.split("/", 1)[-1]
        span = self.n_valid(site, row)
        if stage == "eval" and not row["evaluated"]:
            return None
        if store == "samples":
            ids = f["samples/train/batch"][step - self.first][span[0]:span[0] + span[1]]
            if tensor == "id":
                return ids
            data = f["samples/train/" + tensor]
            out = [data[self.rows["train"][int(i)]] for i in ids]
            return np.array(out, data.dtype).reshape((len(out),) + data.shape[1:])
        if store == "keyframe":
            at = np.flatnonzero(f["keyframe/step"][:] == step)
            if len(at) == 0:
                return None
            return read_row(f["keyframe/" + tensor], int(at[0]), text(site["dtype"]))
        if store not in ("dataset", "packed", "delta") or step % int(site["value_every"]):
            return None
        if store == "packed":
            return self.packed(site, row, span)
        d = f[f"delta/{stage}/{tensor}" if store == "delta" else f"t/{stage}/{tensor}"]
        assert int(d.attrs["every"]) == site["value_every"]
        r = (step - self.first) // int(site["value_every"])
        if store == "delta":
            v = sum_rows(d, r, text(site["dtype"]))
        else:
            v = read_row(d, r, text(site["dtype"]))
        axes = text(d.attrs["axes"])
        if "lane" in axes:
            v = v[int(site["lane"]) - int(d.attrs["first_lane"])]
        if "micro" in axes:
            v = v[int(site["micro"])]
        return v if span is None else v[:span[1]]


    def packed(self, site, row, span):
        dtype, shape = text(site["dtype"]), tuple(site["shape"][:site["ndim"]])
        d = self.f[f"packed/{text(site['stage'])}/{dtype}"]
        assert int(d.attrs["every"]) == site["value_every"]
        r = (int(row["step"]) - self.first) // int(site["value_every"])
        at = int(site["packed_offset"])
        v = read_row(d, r, dtype)[at:at + int(np.prod(shape, dtype=int))].reshape(shape)
        if span is not None:
            assert not v[span[1]:].view(np.uint8).any()
            v = v[:span[1]]
        return v

    def check_residuals(self):
        """They cannot be added to anything here; but they have to be there."""
        for site in self.sites:
            if text(site["store"]) != "residual":
                continue
            tensor = text(site["name"]).split("/", 1)[-1]
            d = self.f[f"residual/{text(site['stage'])}/{tensor}"]
            assert d.dtype == np.dtype(f"<u{BYTES[text(site['dtype'])]}")
            due = [s for s in self.steps["step"] if s % site["value_every"] == 0]
            assert len(d) == len(due) and int(d.attrs["every"]) == site["value_every"]

    def check_packed(self):
        """Offsets run through the sites of a stage and dtype without gaps."""
        ends = {}
        for site in self.sites:
            if text(site["store"]) != "packed":
                assert site["packed_offset"] == -1
                continue
            key = f"packed/{text(site['stage'])}/{text(site['dtype'])}"
            assert site["packed_offset"] == ends.get(key, 0), site
            ends[key] = ends.get(key, 0) + int(np.prod(site["shape"][:site["ndim"]], dtype=int))
        for key, n in ends.items():
            d = self.f[key]
            assert d.shape[1] == max(n, 1)
            row_bytes = d.shape[1] * BYTES[key.split("/")[-1]]
            assert d.chunks[0] == min(max(262144 // row_bytes, 1), 16), (key, d.chunks)


def check_stats(f, r, i, v):
    finite = v[np.isfinite(v)]
    assert f["stats/zeros"][r, i] == np.count_nonzero(v == 0)
    assert f["stats/nans"][r, i] == np.count_nonzero(np.isnan(v))
    assert f["stats/infs"][r, i] == np.count_nonzero(np.isinf(v))
    if len(finite) == 0:
        assert np.isnan(f["stats/min"][r, i])
        return
    assert f["stats/min"][r, i] == finite.min() and f["stats/max"][r, i] == finite.max()
    scale = np.abs(finite).max()
    with np.errstate(over="ignore", invalid="ignore"):
        assert abs(f["stats/mean"][r, i] - finite.mean()) <= 1e-12 * scale * len(finite) or \
            not np.isfinite(finite.sum())
        rms = np.sqrt((finite * finite).mean())
        assert not np.isfinite(rms) or np.isclose(f["stats/rms"][r, i], rms, rtol=1e-9)


def check_range(zone, name, values):
    """Low and high of the values that are not NaN; NaN where there are none."""
    values = np.asarray(values)[~np.isnan(values)]
    low, high = zone[name + "_low"], zone[name + "_high"]
    if len(values) == 0:
        assert np.isnan(low) and np.isnan(high), name
    else:
        assert low == values.min() and high == values.max(), (name, low, high)


def check_zone_of_site(zone, of_steps):
    """of_steps: statistics of the site at the steps of the zone, by their names."""
    columns = ("min", "max", "mean", "rms")
    counts = sum(of_steps[c].astype(np.int64) for c in ("zeros", "nans", "infs"))
    there = ~np.isnan(of_steps["min"]) | (counts > 0)
    finite = there & ~np.isnan(of_steps["min"])
    assert zone["recorded"] == there.sum() and zone["finite"] == finite.sum()
    for c in columns:
        check_range(zone, c, of_steps[c][finite])
    for c in ("zeros", "nans", "infs"):
        some = of_steps[c][there]
        assert zone[c + "_low"] == (some.min() if len(some) else 0), c
        assert zone[c + "_high"] == (some.max() if len(some) else 0), c


def check_zones(f, steps, digests):
    """Every zone says what the rows of its steps say. Returns how many there are."""
    if "zones" not in f:
        return 0
    length, n_zones = int(f["zones/steps"].attrs["steps"]), len(f["zones/steps"])
    assert n_zones == len(steps) // length, (n_zones, len(steps), length)
    stats = {c: f[f"stats/{c}"][:] for c in ("min", "max", "mean", "rms", "zeros", "nans", "infs")}
    for z in range(n_zones):
        rows = slice(z * length, (z + 1) * length)
        part, zone = steps[rows], f["zones/steps"][z]
        assert zone["first"] == part["step"][0] and zone["evaluated"] == part["evaluated"].sum()
        for c in ("epoch", "samples", "loss", "lr", "grad_norm"):
            check_range(zone, c, part[c])
        for c in ("loss", "lr", "grad_norm"):
            assert zone[c + "_nans"] == np.isnan(part[c]).sum()
        for i, of_site in enumerate(f["zones/stats"][z]):
            check_zone_of_site(of_site, {c: v[rows, i] for c, v in stats.items()})
            h = 0
            for d in digests[rows, i]:
                h = absorb(h, int(d))
            assert h == int(f["zones/digest"][z, i])
    return n_zones


def chain_starts(t, names):
    sites = [s for s in t.sites if s["digest_every"] > 0]
    dtypes = list(BYTES)
    out = []
    for name in names:
        covered = [s for s in sites if covers(name, s)]
        h = 0x7464626763686169
        for s in covered:
            h = absorb_text(h, text(s["name"]))
            h = absorb(h, dtypes.index(text(s["dtype"])) << 8 | int(s["ndim"]))
            h = absorb(h, int(s["lane"] + 1) << 32 | int(s["micro"] + 1))
            for d in s["shape"][:s["ndim"]]:
                h = absorb(h, int(d))
        out.append(h if covered else 0)
    return out


def covers(chain, site):
    if chain != "main":
        return text(site["stage"]) == chain
    return site["lane"] == -1 and text(site["stage"]) in ("grad", "loss")


def main(path):
    t = Trace(path)
    f, n_values = t.f, 0
    names = text(f["steps"].attrs["chains"]).split(",")
    chains = [int(c) for c in f["steps"].attrs.get("chain_before", chain_starts(t, names))]
    assert len(chains) == len(names)
    assert t.first > 0 or chains == chain_starts(t, names)
    digests = f["digest"][:]
    t.check_packed()
    t.check_residuals()
    assert digests.shape == (len(t.steps), len(t.sites))
    for r, row in enumerate(t.steps):
        assert row["step"] == t.first + r
        for i, site in enumerate(t.sites):
            due, v = t.due(site, row), t.values(site, row)
            if not due:
                assert digests[r, i] == 0 and np.isnan(f["stats/min"][r, i])
            elif v is not None:
                n_values += 1
                assert digest(v, text(site["dtype"])) == int(digests[r, i]), (row, site)
                check_stats(f, r, i, numbers(v, text(site["dtype"])))
            if due:
                for c, name in enumerate(names):
                    if covers(name, site):
                        chains[c] = absorb(chains[c], int(digests[r, i]))
        assert [int(c) for c in row["chain"]] == chains, row["step"]
    n_zones = check_zones(f, t.steps, digests)
    print(f"{path}: {len(t.steps)} steps, {len(t.sites)} sites, {n_values} values agree, and "
          f"{n_zones} zones")


if __name__ == "__main__":
    np.seterr(over="ignore", invalid="ignore")
    main(sys.argv[1])
