#!/usr/bin/env python3
"""From two runs that should be the same to the bit that is not, in the terminal: a session that
anybody can repeat.

    python3 examples/sessions/bisect_two.py                        prints what is typed and shown
    python3 examples/sessions/bisect_two.py --transcript s.md      writes it to a file

Records examples/fashion_ddp.cfg with four ranks twice, the second time with a fault planted in what
one rank contributes to a sum and with keys changed that cannot matter; compares both in the
terminal, and lets bisect prove the cause by executing it. After each key the script checks that the
screen says what the text says. docs/tui-screens.md shows the transcript.
"""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from session import expect, main  # noqa: E402

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fashion_ddp.cfg")
STEP, RANK, SITE, ELEMENT, BIT = 21, 2, "reduce_in/fc1.weight", 17, 3
FAULT = (f'\ninject = ( {{ step = {STEP}; rank = {RANK}; site = "{SITE}"; kind = "bitflip"; '
         f'element = {ELEMENT}; bit = {BIT}; }} );\n')


def record(session):
    common = ["-q", "--steps", "40", "--set", "data.batch=64", "--set", "engine.ranks_in_process=4"]
    with open(CONFIG, encoding="utf-8") as f:
        text = f.read()
    with open(os.path.join(session.folder, "bad.cfg"), "w", encoding="utf-8") as f:
        f.write(text + FAULT)
    session.command("record", os.path.abspath(CONFIG), "-o", "good.h5", *common)
    session.command("record", "bad.cfg", "-o", "bad.h5", *common, "--set", "eval.every=20")


def run(session):
    record(session)
    session.open("diff --tui --ascii good.h5 bad.h5", f"first divergence: step {STEP} {SITE} of rank {RANK}")
    session.show("Two runs of the same training by four ranks, which should have the same bits; their losses look "
                 "alike. `tdbg diff --tui good.h5 bad.h5` finds at once where they part, by binary search in the "
                 "hash chains.")

    session.press("C", f"step {STEP}/40", f"the first is {SITE} of rank {RANK}")
    focus = session.row_with(">~")
    expect(focus.startswith(f">~{SITE} ") and focus.endswith(" 1/200k"), focus)
    session.show("`C` goes there: to the step, to the file of the rank, and to the tensor, which is what this rank "
                 "put into the sum over all ranks. The tensors in sight are compared by themselves: one element "
                 "of 200k differs, by 1.5e-8.")

    session.press("<Enter>", "1 of 200704 elements differ")
    element = re.search(r"\[0, 17\] +A ([\d.]+) +B ([\d.]+) +differs", session.row_with("[0, 17]"))
    expect(element and element.group(1) != element.group(2), "the element")
    session.press(":bisect<Enter>", "bisect has the answer", "cause: 1 of 1 difference",
                  f"contribution of rank {RANK} to fc1.weight in step {STEP}",
                  "changed in the good run: the bad run's bits", "changed back in the bad run: other bits",
                  "its inputs were recorded, and give other bits")
    expect(session.row_with(" of the bad run, ").startswith(
        f">    step {STEP} of the bad run, {SITE} lane {RANK}: bit {BIT} of [0, {ELEMENT}]"), "the bit")
    session.show("`Enter` shows the element, `[0, 17]`, of both. But is it the cause, and of what? `:bisect` takes the "
                 "differences one by one from one run into the other and executes it. Bit 3 of that element has "
                 "flipped on its way from rank 2 into the sum. Put into the good run it gives the bits of the bad "
                 "run, and taken out of the bad run those of the good one: that is the proof. What it was computed "
                 "from is recorded, and gives other bits, so a machine is at fault, and no key of the config.")

    session.press("<Enter>", f"step {STEP}, {SITE}  (:out shows the answer again)", f"rank {RANK}/4")
    expect(session.row_with(">~").startswith(f">~{SITE} "), "the tensor again")
    session.show("`Enter` on the line goes to the place that it names, and `:out` comes back to the answer.")
    session.close()


if __name__ == "__main__":
    main(run, "Finds the one bit in which two runs differ, and proves it.")
