#!/usr/bin/env python3
"""End-to-end tests of lanes and micro-batches: whatever a batch is cut into, the mathematics is that
of the whole batch. Needs torch for the references. Called like e2e.py, on which it builds."""
import re

import e2e
from e2e import check, golden_chains, info, record, run, stored, verified
from whole_batch import (NORMS, PADDED, Bound, Cut, batch_of, check_all, check_norms, cut_sets,
                         exact_step, image_config, image_losses, lengths_of, libraries, masks_of,
                         padded_config, padded_losses, token_config, token_losses, torch_agrees)

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def cuts_of_images_only_round_differently(folder):
    """3 steps for each of 5 x 3 ways to cut a batch: convolution, norms, dropout, residual. The
    longest sums forward and back are those over pixels, features and samples."""
    depth = 2 * (9 + 64 + 5 * 24 + 2 * 24 + 5) + 64 + 35
    check_all(folder, image_config(folder), image_losses, ["drop"], depth, range(1, 8))


@case
def cuts_of_tokens_only_round_differently(folder):
    """The same with attention and targets that do not count, so that lanes have different divisors;
    the output's weight is the embedding's."""
    depth = 2 * (5 * 12 + 12 + 4 + 7 + 7 + 12 + 12 + 8) + 7 * 35
    check_all(folder, token_config(folder), token_losses, ["r.attn.dropout"], depth, (1, 2, 7))


@case
def padding_is_not_attended_to(folder):
    """Key padding from the data: lengths, gradients and parameters against float64, for every cut;
    without the mask the same comparison fails."""
    h5py, np, torch = libraries()
    check(torch_agrees(torch), "the reference is not what torch computes")
    config, trace = padded_config(folder, np), f"{folder}/a.h5"
    depth = 2 * (5 * 12 + 12 + 4 + 7 + 7 + 12 + 12 + 8) + 7 * 35
    check_all(folder, config, padded_losses, ["r.attn.dropout"], depth, (1, 3))
    record(config, trace, "--force", *cut_sets(2, 2))
    check("3 of 3 steps" in verified(trace), "verifies")
    check(info(trace)["chain"] == golden_chains()["padded_2x2"], f"golden {info(trace)['chain']}")
    with h5py.File(trace) as f:
        cut = Cut(f, 2, 2)
        for step in range(3):
            x = torch.from_numpy(batch_of(np, f, step)[0])
            exact = lengths_of(torch, x, 0).numpy()
            check((cut.batched(np, "input/length", step) == exact).all(), f"lengths of step {step}")
            check(0 in exact and 7 in exact, "samples of all lengths")
    seeing = padded_config(folder, np, PADDED.replace("heads", "padding_mask = false; heads"), "seeing")
    record(seeing, trace, "--force")
    with h5py.File(trace) as f:
        cut, bound = Cut(f, 1, 1), Bound(np, depth)
        mask = masks_of(np, torch, cut, ["r.attn.dropout"])[0]
        total, size, counts = exact_step(torch, padded_losses, cut, 0, batch_of(np, f, 0), mask)
        name = "r.attn.in_proj_weight"
        error = bound.error(stored(f, "grad/" + name, 0), total[name].numpy(), size[name].numpy(),
                            float(counts.sum()))
        check(error > 10, f"seeing the padding passes: {error}")


@case
def synchronised_norms_are_those_of_the_whole_batch(folder):
    """Gradients, parameters and running statistics against float64 with the statistics of the
    micro-batch in all lanes. Norms that are not synchronised fail the same comparison."""
    h5py, np, torch = libraries()
    config, trace = image_config(folder, NORMS), f"{folder}/a.h5"
    apart = image_config(folder, NORMS.replace("sync = true;", ""), "apart")
    bound = Bound(np, 2 * (9 + 64 + 24 + 5 + 2 * 50) + 64 + 35)
    for lanes in (1, 2, 3, 4):
        for accumulate in (1, 2):
            record(config, trace, "--force", *cut_sets(lanes, accumulate))
            with h5py.File(trace) as f:
                worst = check_norms(np, torch, Cut(f, lanes, accumulate), bound)
            check(worst <= 1, f"{lanes} lanes of {accumulate}: {worst} of what is allowed")
    print(f"largest error {bound.worst:.2g} of what is allowed")
    record(apart, trace, "--force", *cut_sets(2, 1))
    with h5py.File(trace) as f:
        worst = check_norms(np, torch, Cut(f, 2, 1), bound)
    check(worst > 10, f"statistics of each lane pass: {worst}")


@case
def synchronised_norms_record_and_verify(folder):
    """The same bits on every instruction set and number of threads, from every keyframe, resumed, in
    bf16; and with parts and whole micro-batches that have no sample."""
    config, whole = image_config(folder, NORMS), f"{folder}/whole.h5"
    split = ["--set", "data.split=0.2", "--set", "eval.every=2", "--steps", 5]
    for lanes, accumulate, precision in ((4, 2, "f32"), (8, 4, "f32"), (3, 1, "bf16")):
        sets = [*split, *cut_sets(lanes, accumulate), "--set", f"engine.precision={precision}"]
        record(config, whole, "--force", *sets)
        check("5 of 5 steps" in verified(whole), sets)
        check("2 of 2 steps" in verified(whole, "--from", 3), sets)
        golden = golden_chains()[f"synchronised_{lanes}x{accumulate}_{precision}"]
        check(info(whole)["chain"] == golden, f"golden chain {info(whole)['chain']}")
        for option, value in (("--isa", "portable"), ("--threads", 1), ("--threads", 5)):
            record(config, f"{folder}/b.h5", "--force", *sets, option, value)
            check("same: 5 steps" in run("diff", whole, f"{folder}/b.h5").stdout, sets)
        record(config, f"{folder}/light.h5", "--force", *sets, "--set", "record.preset=light", "--set",
               "record.keyframe=5")
        for site in ("fwd/bn1.sum_in", "fwd/r.bn2.spread_out", "bwd/bn1.sum_out"):
            shown = [run("show", t, site, "--step", 4, "--values").stdout
                     for t in (whole, f"{folder}/light.h5")]
            check(shown[0] == shown[1] and shown[0].strip(), f"{site} computed again")
        run("record", "--resume", whole, "--at-step", 3, "-o", f"{folder}/b.h5", "-q", "--force")
        check("same: 2 steps" in run("diff", whole, f"{folder}/b.h5").stdout, "resumed")


@case
def synchronised_norms_have_the_same_bits_on_any_ranks(folder):
    """Four lanes in one rank, in two and in four, each with the sums of the others."""
    config, chains = image_config(folder, NORMS), []
    for ranks in (1, 2, 4):
        record(config, f"{folder}/{ranks}.h5", *cut_sets(4, 2), "--set",
               f"engine.ranks_in_process={ranks}")
        chains.append(info(f"{folder}/{ranks}.h5")["chain"])
    check(chains[1:] == chains[:1] * 2, f"chains {chains}")


@case
def one_lane_is_synchronised_with_itself(folder):
    """Every tensor that both have is the same with and without sync."""
    config = image_config(folder, NORMS)
    apart = image_config(folder, NORMS.replace("sync = true;", ""), "apart")
    record(config, f"{folder}/a.h5", "--set", "engine.accumulate=2")
    record(apart, f"{folder}/b.h5", "--set", "engine.accumulate=2")
    out = run("diff", f"{folder}/a.h5", f"{folder}/b.h5").stdout
    check(re.search(r"^same: 3 steps, 1[0-9][0-9] sites", out, re.M), out)


@case
def the_row_of_padding_begins_with_zeros(folder):
    """As in torch, whatever the rest begins with, and it stays so where nothing else reads it."""
    h5py, np, _ = libraries()
    model = ('{ op = "embedding"; name = "e"; dim = 12; INIT PAD }, { op = "layer_norm"; }, '
             '{ op = "linear"; name = "out"; out = 9; }')
    for init in ("", 'init = "kaiming_uniform";'):
        table = {}
        for pad in ("", "padding_idx = 0;", "padding_idx = 8;"):
            config = padded_config(folder, np, model.replace("INIT", init).replace("PAD", pad))
            record(config, f"{folder}/a.h5", "--force", "--set", "optimizer.weight_decay=0.0")
            with h5py.File(f"{folder}/a.h5") as f:
                table[pad] = f["keyframe/e.weight"][0], stored(f, "param/e.weight", 2)
        for pad, row in (("padding_idx = 0;", 0), ("padding_idx = 8;", 8)):
            first, last = table[pad]
            others = [i for i in range(9) if i != row]
            check((first[row] == 0).all() and (last[row] == 0).all(), f"{init} row {row} is zero")
            check((first[others] == table[""][0][others]).all(), "the others are as without it")
            check((last[others] != first[others]).any(), "the others learn")
        check((table[""][0] != 0).all(), "without padding_idx nothing is zero")


@case
def padding_is_refused(folder):
    """Where there is nothing that could be padding."""
    config = padded_config(folder, libraries()[1])
    err = record(config, f"{folder}/a.h5", "--set", 'data.inputs="values"', code=2).stderr
    check("padded.cfg:6: error: the samples are values" in err and 'inputs = "tokens"' in err, err)
    longer = ('model=({op="embedding"; dim=12;}, {op="reshape"; dims=[14, 6];}, {op="attention"; '
              'heads=2;}, {op="reshape"; dims=[7, 12];}, {op="linear"; out=9;})')
    err = record(config, f"{folder}/a.h5", "--set", longer, code=2).stderr
    check("cannot tell padding (data.tokens.pad)" in err and "padding_mask = false" in err, err)
    record(config, f"{folder}/a.h5", "--set", longer.replace("heads=2", "heads=2; padding_mask=false"))


if __name__ == "__main__":
    e2e.main(CASES)
