"""Models that are trained in lanes and micro-batches, and what torch says in float64 about each step
of the whole batch: gradients, how far they may be from that, and parameters. For e2e_lanes.py."""
import sys

from e2e import check, info, record, stored, write_idx

LANES, MICRO_BATCHES = (1, 2, 3, 4, 8), (1, 2, 4)
UNIT = 2.0 ** -24  # what one operation in f32 rounds off at most, relative

COMMON = """
seed = 11;
steps = 3;
optimizer = {{ kind = "sgd"; lr = 0.05; momentum = 0.9; weight_decay = 0.01; }};
record = {{ preset = "full"; keyframe = 1; }};
data = {{ {data} drop_last = false; }};
model = ( {model} );
loss = {{ {loss} }};
"""
IMAGES = """
{ op = "conv2d"; name = "conv"; out = 4; kernel = 3; padding = 1; }, { op = "relu"; },
{ op = "max_pool2d"; kernel = 2; }, { op = "flatten"; },
{ op = "linear"; name = "fc"; out = 24; }, { op = "layer_norm"; name = "norm"; },
{ op = "dropout"; name = "drop"; p = 0.3; },
{ op = "residual"; name = "r"; body = ( { op = "gelu"; }, { op = "linear"; name = "a"; out = 24; } ); },
{ op = "rms_norm"; name = "rms"; }, { op = "linear"; name = "out"; out = 5; }
"""
TOKENS = """
{ op = "embedding"; name = "e"; dim = 12; }, { op = "position"; name = "pos"; },
{ op = "residual"; name = "r"; body = ( { op = "layer_norm"; name = "norm"; },
  { op = "attention"; name = "attn"; heads = 3; causal = true; dropout = 0.2; } ); },
{ op = "tanh"; }, { op = "linear"; name = "out"; tie = "e"; bias = false; }
"""


def libraries():
    try:
        import h5py
        import numpy as np
        import torch
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    torch.set_num_threads(1)
    return h5py, np, torch


def image_config(folder, model=IMAGES, name="images"):
    """80 images of 8 x 8: two batches of 35 and one of 10, which leaves parts without a sample."""
    import random
    rng = random.Random(5)
    write_idx(f"{folder}/x.gz", bytes(rng.randrange(256) for _ in range(80 * 64)), (80, 8, 8))
    write_idx(f"{folder}/y.gz", bytes(rng.randrange(5) for _ in range(80)), (80,))
    data = ('kind = "idx"; train = { images = "x.gz"; labels = "y.gz"; }; batch = 35; '
            'transforms = ( { op = "scale"; by = 0.015625; } );')
    with open(f"{folder}/{name}.cfg", "w") as f:
        f.write(COMMON.format(data=data, model=model, loss=""))
    return f"{folder}/{name}.cfg"


def token_config(folder):
    """80 samples of 7 characters; spaces do not count, of which samples have any number."""
    import random
    rng = random.Random(6)
    with open(f"{folder}/t.txt", "w") as f:
        f.write("".join(rng.choice(" " * (i // 60) + "abcdefg") for i in range(80 * 7 + 1)))
    data = ('kind = "text"; train = { text = "t.txt"; }; tokens = { kind = "char"; context = 7; }; '
            'batch = 35;')
    with open(f"{folder}/tokens.cfg", "w") as f:
        f.write(COMMON.format(data=data, model=TOKENS, loss="ignore_index = 0;"))
    return f"{folder}/tokens.cfg"


def batch_of(np, f, step):
    """x and y of a step's global batch, in order."""
    row_of = {int(i): r for r, i in enumerate(f["samples/train/id"][:])}
    rows = [row_of[int(i)] for i in f["samples/train/batch"][step] if i >= 0]
    return (np.stack([f["samples/train/x"][r] for r in rows]),
            np.stack([f["samples/train/y"][r] for r in rows]).astype(np.int64))


class Cut:
    """A recording that was cut into lanes and micro-batches."""

    def __init__(self, f, lanes, accumulate):
        self.f, self.lanes, self.accumulate = f, lanes, accumulate
        self.names = [s["name"].decode()[5:] for s in f["sites"][:] if
                      s["name"].startswith(b"grad/")]

    def parameters(self, torch, step):
        return {n: torch.from_numpy(self.f["keyframe/" + n][step]).double() for n in self.names}

    def parts(self, n):
        """(lane, micro-batch, its samples) of a global batch of n."""
        for lane in range(self.lanes):
            first, end = (k * n // self.lanes for k in (lane, lane + 1))
            for micro in range(self.accumulate):
                lo, hi = (first + k * (end - first) // self.accumulate for k in (micro, micro + 1))
                yield lane, micro, range(lo, hi)

    def micro_batches(self, n):
        """The samples of each micro-batch in all lanes."""
        return [[i for _, m, rows in self.parts(n) if m == micro for i in rows]
                for micro in range(self.accumulate)]

    def batched(self, np, name, step):
        """A site of the parts, as one tensor of the whole batch."""
        n = int(self.f["steps"][step]["samples"])
        return np.concatenate([part(self.f, name, step, lane, micro)[:len(rows)]
                               for lane, micro, rows in self.parts(n)])


def part(f, name, step, lane, micro):
    """One (lane, micro-batch) of a site, as docs/trace-format.md says."""
    site = [s for s in f["sites"][:] if (s["name"], s["lane"], s["micro"]) ==
            (name.encode(), lane, micro)][0]
    if site["store"] != b"dataset":
        return stored(f, name, step, lane, micro)
    data = f["t/" + name]
    shape = [int(d) for d in site["shape"][:site["ndim"]]]
    extra = data.ndim - 1 - len(shape)
    slot = data[(step,) + (lane, micro)[:extra]]
    n = 1
    for d in shape:
        n *= d
    return slot.ravel()[:n].reshape(shape)


def image_losses(torch, p, x, y, mask, micro_batches):
    """The loss of every image, and how many targets count in each."""
    import torch.nn.functional as F
    h = F.conv2d(x.double().unsqueeze(1) * 0.015625, p["conv.weight"], p["conv.bias"], padding=1)
    h = F.max_pool2d(F.relu(h), 2).flatten(1)
    h = F.layer_norm(F.linear(h, p["fc.weight"], p["fc.bias"]), (24,), p["norm.weight"],
                     p["norm.bias"])
    h = h * mask["drop"] / 0.7
    h = h + F.linear(F.gelu(h), p["r.a.weight"], p["r.a.bias"])
    h = h / torch.sqrt((h * h).mean(-1, keepdim=True) + 1e-5) * p["rms.weight"]
    h = F.linear(h, p["out.weight"], p["out.bias"])
    return F.cross_entropy(h, y, reduction="none"), torch.ones(len(y))


def attend(torch, q, k, v, hidden, mask):
    """Softmax over the keys that are not hidden, all +0 where all are; dropout with p = 0.2."""
    e = torch.exp(q @ k.transpose(2, 3) / 2).masked_fill(hidden, 0.0)
    total = e.sum(-1, keepdim=True)
    return (e / torch.where(total > 0, total, torch.ones_like(total)) * mask / 0.8) @ v


def token_losses(torch, p, x, y, mask, micro_batches, pad=None):
    """TOKENS, where attention is causal, or with pad PADDED, where it does not see padding."""
    import torch.nn.functional as F
    h = F.embedding(x.long(), p["e.weight"], padding_idx=pad) + p["pos.weight"]
    q = F.linear(F.layer_norm(h, (12,), p["r.norm.weight"], p["r.norm.bias"]),
                 p["r.attn.in_proj_weight"], p["r.attn.in_proj_bias"])
    q, k, v = q.view(len(x), 7, 9, 4).transpose(1, 2).split(3, 1)
    if pad is None:
        hidden = torch.ones(7, 7).triu(1).bool()
    else:
        hidden = (torch.arange(7) >= lengths_of(torch, x, pad)[:, None])[:, None, None]
    a = attend(torch, q, k, v, hidden, mask["r.attn.dropout"])
    h = h + F.linear(a.transpose(1, 2).reshape(len(x), 7, 12), p["r.attn.out_proj.weight"],
                     p["r.attn.out_proj.bias"])
    h = F.linear(torch.tanh(h), p["e.weight"])
    losses = F.cross_entropy(h.flatten(0, 1), y.flatten(), ignore_index=0, reduction="none")
    return losses.view(y.shape).sum(1), (y != 0).sum(1).double()


def lengths_of(torch, x, pad):
    """Tokens of each sample up to the last one that is no padding."""
    places = torch.arange(1, x.shape[1] + 1)
    return torch.where(x != pad, places, torch.zeros_like(places)).max(1).values


def norm(torch, h, micro_batches, weight, bias, seen):
    """Batch norm in training; seen collects mean and unbiased variance of each micro-batch."""
    out = torch.zeros_like(h)
    dims = [0] + list(range(2, h.dim()))
    per_channel = [-1] + [1] * (h.dim() - 2)
    for rows in micro_batches:
        if not rows:
            continue
        x = h[rows]
        mean, var = x.mean(dims, keepdim=True), x.var(dims, unbiased=False, keepdim=True)
        count = x.numel() // x.shape[1]
        seen.append((mean.detach().flatten().numpy(),
                     (var.detach().flatten() * count / (count - 1)).numpy()))
        out[rows] = ((x - mean) / torch.sqrt(var + 1e-5) * weight.view(per_channel) +
                     bias.view(per_channel))
    return out


def norm_losses(torch, p, x, y, mask, micro_batches):
    """NORMS; mask["seen"] collects the statistics of each norm."""
    import torch.nn.functional as F
    h = F.conv2d(x.double().unsqueeze(1) * 0.015625, p["conv.weight"], padding=1)
    h = F.relu(norm(torch, h, micro_batches, p["bn1.weight"], p["bn1.bias"], mask["bn1"]))
    h = F.linear(F.max_pool2d(h, 2).flatten(1), p["fc.weight"])
    h = F.gelu(norm(torch, h, micro_batches, p["r.bn2.weight"], p["r.bn2.bias"],
                    mask["r.bn2"])) + h
    h = F.linear(h, p["out.weight"], p["out.bias"])
    return F.cross_entropy(h, y, reduction="none"), torch.ones(len(y))


def exact_step(torch, losses_of, cut, step, batch, mask):
    """({parameter: sum of the samples' gradients}, {parameter: sum of their sizes}, targets that
    count in each sample), in float64 from the parameters before the step."""
    p = {n: v.requires_grad_() for n, v in cut.parameters(torch, step).items()}
    x, y = (torch.from_numpy(a) for a in batch)
    total, size = ({n: torch.zeros_like(v) for n, v in p.items()} for _ in range(2))
    losses, counts = losses_of(torch, p, x, y, mask, cut.micro_batches(len(x)))
    for i in range(len(x)):
        grads = torch.autograd.grad(losses[i], list(p.values()), retain_graph=True)
        for n, g in zip(p, grads):
            total[n] += g
            size[n] += g.abs()
    return total, size, counts


class Bound:
    """How far a gradient may be from the float64 one.

    A gradient is a sum of the samples' gradients g_n. Each term of it passes through at most
    `depth` rounded operations on its way forward and back, each of which changes it by UNIT of its
    size at most; terms that are sums themselves are no larger than those that they are made of, for
    which the rms of the tensor stands where they cancel. To first order the error of an element is
    below depth * UNIT * (sum over n of |g_n| + the tensor's rms of that), whatever the order of the
    sums, and so whatever lanes and micro-batches are."""

    def __init__(self, np, depth):
        self.np, self.depth, self.worst = np, depth, 0.0

    def error(self, got, total, size, divisor):
        """Error beside what is allowed: wrong above 1."""
        np = self.np
        allowed = self.depth * UNIT * (size + np.sqrt(np.mean(size ** 2))) / divisor
        return float(np.max(np.abs(got - total / divisor) / np.maximum(allowed, 1e-30)))


def lane_divisors(cut, counts):
    """How many targets count in each lane."""
    n = len(counts)
    edges = [k * n // cut.lanes for k in range(cut.lanes + 1)]
    return [float(counts[lo:hi].sum()) for lo, hi in zip(edges, edges[1:])]


def per_lane(np, cut, name, step, counts):
    """The mistake that this is about: every lane divided by its own number of targets."""
    share = [part(cut.f, "reduce_in/" + name, step, lane, -1).astype(np.float64) / count
             for lane, count in enumerate(lane_divisors(cut, counts)) if count > 0]
    return sum(share) / len(share)


def check_update(np, cut, name, step, grad):
    """SGD with momentum from the recorded gradient: a few roundings per element."""
    f = cut.f
    before = f["keyframe/" + name][step].astype(np.float64)
    velocity = f[f"keyframe/{name}.momentum_buffer"][step].astype(np.float64)
    velocity = 0.9 * velocity + grad + float(np.float32(0.01)) * before
    after = before - float(np.float32(0.05)) * velocity
    allowed = 8 * UNIT * (np.abs(before) + np.abs(velocity) + np.abs(grad)) + 1e-30
    error = np.max(np.abs(stored(f, "param/" + name, step) - after) / allowed)
    check(error <= 1, f"param/{name} step {step}: {error} of what is allowed")


def check_run(np, torch, losses_of, cut, masks, bound, planted):
    """Gradients and parameters of all steps. planted collects, for each step with uneven lanes, how
    wrong a divisor per lane would have been at the parameter where it shows most."""
    for step in range(3):
        batch = batch_of(np, cut.f, step)
        total, size, counts = exact_step(torch, losses_of, cut, step, batch, masks[step])
        divisor, wrong = float(counts.sum()), []
        for name in cut.names:
            exact, scale = total[name].numpy(), size[name].numpy()
            got = stored(cut.f, "grad/" + name, step).astype(np.float64)
            error = bound.error(got, exact, scale, divisor)
            bound.worst = max(bound.worst, error)
            check(error <= 1, f"grad/{name} step {step}, {cut.lanes} lanes of {cut.accumulate}: "
                              f"{error} of what is allowed")
            check_update(np, cut, name, step, got)
            wrong.append(bound.error(per_lane(np, cut, name, step, counts), exact, scale, divisor))
        if len(set(lane_divisors(cut, counts))) > 1:
            planted.append(max(wrong))


def masks_of(np, torch, cut, sites):
    """What dropout kept, from the cut in one part: it hangs on the sample's place in the batch."""
    return [{name: torch.from_numpy(cut.batched(np, "fwd/" + name, step) != 0).double()
             for name in sites} for step in range(3)]


def cut_sets(lanes, accumulate):
    return ["--set", f"engine.lanes={lanes}", "--set", f"engine.accumulate={accumulate}"]


def check_all(folder, config, losses_of, dropouts, depth, threads):
    h5py, np, torch = libraries()
    bound, planted, chains, masks = Bound(np, depth), [], set(), None
    for lanes in LANES:
        for accumulate in MICRO_BATCHES:
            sets = cut_sets(lanes, accumulate)
            trace, seen = f"{folder}/a.h5", []
            for n in threads:
                record(config, trace, *sets, "--force", "--threads", n)
                seen.append(info(trace)["chains"])
            check(all(c == seen[0] for c in seen), f"threads change bits: {sets}")
            chains.add(seen[0]["main"])
            with h5py.File(trace) as f:
                cut = Cut(f, lanes, accumulate)
                masks = masks or masks_of(np, torch, cut, dropouts)
                check_run(np, torch, losses_of, cut, masks, bound, planted)
    check(len(chains) > 10, f"cuts round differently: {len(chains)}")
    check(len(planted) >= 24 and min(planted) > 1, f"a divisor per lane passes: {min(planted)}")
    print(f"largest error {bound.worst:.2g} of what is allowed; a divisor per lane is beyond it "
          f"{min(planted):.0f} to {max(planted):.0f} times")


PADDED = """
{ op = "embedding"; name = "e"; dim = 12; padding_idx = 0; }, { op = "position"; name = "pos"; },
{ op = "residual"; name = "r"; body = ( { op = "layer_norm"; name = "norm"; },
  { op = "attention"; name = "attn"; heads = 3; dropout = 0.2; } ); },
{ op = "tanh"; }, { op = "linear"; name = "out"; tie = "e"; bias = false; }
"""


def padded_config(folder, np, model=PADDED, name="padded"):
    """80 samples of 0 to 7 tokens, filled up with token 0, which is also among the others; what
    follows a token is to be predicted, but not the padding."""
    rng = np.random.default_rng(8)
    x = rng.integers(0, 9, (80, 8))
    x[np.arange(8) >= rng.integers(0, 9, (80, 1))] = 0
    np.save(f"{folder}/tx.npy", x[:, :7])
    np.save(f"{folder}/ty.npy", x[:, 1:])
    with open(f"{folder}/{name}.cfg", "w") as f:
        f.write(COMMON.format(
            data='kind = "npy"; train = { x = "tx.npy"; y = "ty.npy"; }; batch = 35; '
                 'tokens = { pad = 0; };', model=model, loss="ignore_index = 0;"))
    return f"{folder}/{name}.cfg"


def padded_losses(*args):
    return token_losses(*args, pad=0)


def torch_agrees(torch):
    """attend() is torch's attention with a key_padding_mask."""
    import torch.nn.functional as F
    torch.manual_seed(1)
    x, w, o = (torch.randn(*shape).double() for shape in ((4, 7, 12), (36, 12), (12, 12)))
    hidden = torch.arange(7) >= torch.tensor([1, 3, 6, 7])[:, None]
    q, k, v = F.linear(x, w).view(4, 7, 9, 4).transpose(1, 2).split(3, 1)
    ours = attend(torch, q, k, v, hidden[:, None, None], 0.8).transpose(1, 2).reshape(4, 7, 12)
    theirs, _ = F.multi_head_attention_forward(
        *[x.transpose(0, 1)] * 3, 12, 3, w, None, None, None, False, 0.0, o, None,
        key_padding_mask=hidden)
    return bool(((F.linear(ours, o) - theirs.transpose(0, 1)).abs() < 1e-12).all())


NORMS = """
{ op = "conv2d"; name = "conv"; out = 4; kernel = 3; padding = 1; bias = false; },
{ op = "batch_norm"; name = "bn1"; sync = true; }, { op = "relu"; },
{ op = "max_pool2d"; kernel = 2; }, { op = "flatten"; },
{ op = "linear"; name = "fc"; out = 24; bias = false; },
{ op = "residual"; name = "r"; body = (
    { op = "batch_norm"; name = "bn2"; sync = true; momentum = 0.3; }, { op = "gelu"; } ); },
{ op = "linear"; name = "out"; out = 5; }
"""
MOMENTUM = {"bn1": 0.1, "r.bn2": 0.3}


def check_running(np, cut, seen, step):
    """Running statistics after a step, one set, from those before it: a few roundings each."""
    f = cut.f
    for name, momentum in MOMENTUM.items():
        for k, what in enumerate(("running_mean", "running_var")):
            exact = f[f"keyframe/{name}.{what}"][step].astype(np.float64)
            size = np.abs(exact)
            for statistics in seen[name]:
                exact = (1 - momentum) * exact + momentum * statistics[k]
                size = size + np.abs(statistics[k])
            got = stored(f, f"param/{name}.{what}", step).astype(np.float64)
            worst = np.max(np.abs(got - exact) / (200 * UNIT * size))
            check(worst <= 1, f"{name}.{what} step {step}: {worst} of what is allowed")
    check(not [n for n in f["keyframe"] if ".lane" in n], "one set of running statistics")


def check_norms(np, torch, cut, bound):
    """Steps of whole batches: a part of one sample has no statistics to speak of."""
    for step in range(2):
        seen = {name: [] for name in MOMENTUM}
        total, size, counts = exact_step(torch, norm_losses, cut, step, batch_of(np, cut.f, step),
                                         seen)
        worst = max(bound.error(stored(cut.f, "grad/" + n, step), total[n].numpy(),
                                size[n].numpy(), float(counts.sum())) for n in cut.names)
        if worst > 1:
            return worst
        bound.worst = max(bound.worst, worst)
        check_running(np, cut, seen, step)
    return bound.worst
