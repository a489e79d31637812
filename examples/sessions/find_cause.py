#!/usr/bin/env python3
"""From a loss that is NaN to its cause, in the terminal: a session that anybody can repeat.

    python3 examples/sessions/find_cause.py                        prints what is typed and shown
    python3 examples/sessions/find_cause.py --transcript s.md      writes it to a file

Records examples/fashion_mlp_diverging.cfg, opens the recording at 80x24, and goes from the first key
to the op that made the first infinite number, to why it did, and to a proof. After each key the
script checks that the screen says what the text says. docs/tui.md shows the transcript.
"""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from session import expect, main  # noqa: E402

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fashion_mlp_diverging.cfg")
STEP = 14  # the first one whose loss is not finite


def run(session):
    session.command("record", os.path.abspath(CONFIG), "-o", "diverging.h5", "-q")
    session.open("replay diverging.h5 --ascii", "step 0/400", "steps 0..399")
    expect("!!!!" in session.row_with("1.7e24"), "the chart marks steps without a loss")
    session.show("`tdbg replay diverging.h5` opens it. Almost the whole run has no loss: where a step has "
                 "none, because it is NaN, the chart has a `!`.")

    session.press("c", f"finding: nan or inf was false at {STEP - 1}, true at {STEP}")
    focus = session.row_with(">!")
    expect(focus.split()[0] == ">!fwd/fc3" and focus.split()[-1] == "26", focus)
    session.show(f"`c` runs to the first thing that goes wrong. It is step {STEP}, the first tensor with "
                 "infinite values is `fwd/fc3`, and the loss of the step before was 1.7e+24 already.")

    session.press("o", "op 23 linear: inputs are finite, |max| 2.2e+28, output has inf, sample 10584")
    session.press("<F3>", "inputs of op 23")
    expect(re.search(r">!  23 fwd +linear +fwd/fc3 ", session.row_with(">!")), "the op")
    expect("|max| 5.44e16" in session.row_with("state/fc3.weight "), "its weights")
    session.show("`o` asks where that began: the step is executed again, and what is not finite is followed "
                 "back to the op whose inputs were finite. `F3` shows it among the ops of the step: op 23, "
                 "the linear layer `fc3`, overflows. It multiplies activations of 2e+28 with weights of "
                 "5e+16, so this layer is where it shows, and not why.")

    session.press("<Enter>", "view: HISTOGRAM+HEAT", "[0, 0] = ")
    expect(session.row_with("fwd/fc3").split()[2] == "64x10" and "inf 26" in session.row_with("rms"),
           "the tensor")
    session.show("`Enter` opens the tensor: a row for each sample of the batch, a column for each class. Blocks with "
                 "infinite values are `I`, all of them in one class, and of many samples: no single one is to blame.")

    session.press("<F8>", "12 findings", "non-finite gradient norm")
    session.press("/fwd/fc3<Enter>", "why: made by linear: 0 NaN, 26 Inf")
    expect(re.search(rf"error +{STEP} +386  non-finite tensor +fwd/fc3", session.row_with(">!")),
           "the finding")
    session.show("`F8` lists all that is wrong, and says of each finding why it is one and what to try. "
                 "Everything begins at this step: nothing is wrong before it but numbers that grow.")

    session.press(f"<F9>:{STEP - 1}<Enter>", f"step {STEP - 1}/400", "2.51e7")
    expect(float(session.row_with("> fc1.weight").split()[-1]) > 1e7, "its update then")
    session.press(":4<Enter>", "step 4/400")
    ratio = float(session.row_with("> fc1.weight").split()[-1])
    expect(ratio > 1, f"update {ratio}")
    expect("lr 3 " in session.row_with("sgd  lr"), "the learning rate")
    session.show("So what makes them grow? `F9` is the optimizer, and `:4` the step at which it becomes visible: "
                 f"`update` says that one update changes `fc1.weight` by {ratio} times its own norm, where "
                 "0.001 is usual. Ten steps later it is 2.5e+7 times. The learning rate is 3, and the "
                 "warm-up has not even reached it.")

    session.press(":goto 0<Enter>", "step 0/400")
    session.press(":whatif optimizer.lr=0.01<Enter>", "whatif has ended", "compares the two runs")
    said = " ".join(row.strip() for row in session.rows[3:10])
    found = re.search(r"last loss ([\d.]+); that of diverging.h5 there: nan", said)
    expect(found and float(found.group(1)) < 1, said)
    session.show("Is it that? `:whatif` executes the run again from here with this one thing changed, with the same "
                 f"initial parameters and samples: it ends with a loss of {found.group(1)}. The learning "
                 "rate is the cause.")
    session.close()


if __name__ == "__main__":
    main(run, "Finds the cause of a NaN loss in the terminal.")
