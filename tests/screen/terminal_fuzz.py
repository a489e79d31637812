#!/usr/bin/env python3
"""Random keys, commands, sizes and bytes over real recordings: whole ones, one that was cut off, of
several ranks, of tokens, and two beside each other.

    terminal_fuzz.py keys            1,000 events for each, two seeds, inside of one program
    terminal_fuzz.py keys_long       10,000 events, three seeds, more recordings (suite long)
    terminal_fuzz.py raw_bytes       bytes that no keyboard sends, into the real program
    terminal_fuzz.py raw_bytes_long  the same for longer (suite long)

On failure the seed and what went in are printed. With sanitizers: ./bootstrap sanitize, and for the long ones
meson test -C build-asan --setup long terminal-fuzz-keys-long terminal-fuzz-raw-bytes-long.
"""
import os
import random
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ.get("TDBG_SOURCE", "."), "tests", "screen"))
from terminal import Terminal, case, check, e2e  # noqa: E402

e2e.CASES.clear()  # ours instead

FUZZ_TERMINAL = os.path.join(e2e.BUILD, "tests", "fuzz-terminal")
TOKENS = """
seed = 1; steps = 12;
data = { kind = "text"; train = { text = "text.txt"; };
  tokens = { kind = "char"; context = 20; }; batch = 4; };
model = ( { op = "embedding"; name = "tok"; dim = 8; }, { op = "position"; name = "pos"; },
  { op = "attention"; name = "attn"; heads = 2; causal = true; },
  { op = "linear"; name = "head"; out = %d; bias = false; } );
loss = { kind = "cross_entropy"; };
optimizer = { kind = "adamw"; lr = 0.01; };
record = { preset = "light"; };
"""
TEXT = "the quick brown fox jumps over the lazy dog, \u4e2d\u6587 e\u0301 \u00fc\n" * 40


def record(folder, name, *sets, steps=60):
    args = [word for s in sets for word in ("--set", s)]
    e2e.record(e2e.small_config(folder, steps=steps), f"{folder}/{name}.h5", *args)
    return f"{folder}/{name}.h5"


def record_cut(folder):
    """A recording that was killed, and whose file lost its end."""
    trace = f"{folder}/cut.h5"
    recorder = subprocess.Popen([e2e.TDBG, "record", e2e.small_config(folder, steps=100000000), "-o",
                                 trace, "-q"], stderr=subprocess.DEVNULL, start_new_session=True)
    while e2e.run("info", trace, code=None).returncode != 0:
        check(recorder.poll() is None, "the recording runs")
    os.killpg(recorder.pid, signal.SIGKILL)
    recorder.wait()
    with open(trace, "rb") as f:
        whole = f.read()
    for share in (90, 95, 99, 100):  # a keyframe may be in the part that is lost
        with open(trace, "wb") as f:
            f.write(whole[:len(whole) * share // 100])
        if e2e.run("info", trace, code=None).returncode == 0:
            return trace
    sys.exit("failed: a recording that was killed cannot be opened")


def record_tokens(folder):
    with open(f"{folder}/text.txt", "w", encoding="utf-8") as f:
        f.write(TEXT)
    with open(f"{folder}/text.cfg", "w", encoding="utf-8") as f:
        f.write(TOKENS % len(set(TEXT)))
    e2e.record(f"{folder}/text.cfg", f"{folder}/tokens.h5")
    return f"{folder}/tokens.h5"


def record_two(folder):
    """Two runs of two ranks, one of which learns faster."""
    common = ("engine.ranks_in_process=2", 'record.preset="light"')
    return ",".join((record(folder, "two", *common, steps=20),
                     record(folder, "other", *common, "optimizer.lr=0.02", steps=20)))


def fuzz(count, seeds, traces):
    for seed in seeds:
        done = subprocess.run([FUZZ_TERMINAL, str(count), str(seed), *traces], capture_output=True,
                              encoding="utf-8", errors="backslashreplace")
        check(done.returncode == 0, f"fuzz-terminal {count} {seed} {' '.join(traces)}\n"
              f"{done.stdout[-2000:]}{done.stderr[-20000:]}")


@case
def keys(folder):
    traces = [record(folder, "a", steps=400), record_cut(folder)]
    fuzz(1000, (1, 2), traces)
    fuzz(400, (3,), [record_two(folder)])


@case
def keys_long(folder):
    traces = [record(folder, "a", steps=400), record_cut(folder), record_tokens(folder),
              record(folder, "diverging", "optimizer.lr=1e25"),
              record(folder, "ranks", "engine.ranks_in_process=4", "data.batch=20"), record_two(folder)]
    e2e.record(e2e.DIVERGING, f"{folder}/example.h5")
    fuzz(10000, (1, 2, 3), [*traces, f"{folder}/example.h5"])


def some_bytes(rng):
    """What a keyboard, a paste or a broken line may send."""
    kind = rng.randrange(9)
    if kind == 0:
        return bytes(rng.randrange(1, 256) for _ in range(rng.randrange(1, 30)))
    if kind == 1:  # pasted, as terminals mark it, with or without its end
        inside = rng.choice([b"goto 5", b":q", b"loss > 0.5\nnan\r\n", b"\xc3\x28\xff", "中文é".encode()])
        return b"\033[200~" + inside * rng.randrange(1, 4) + rng.choice([b"\033[201~", b"", b"\033[201"])
    if kind == 2:  # a command line of noise
        return b":" + bytes(rng.choice(b" abcdefgnoprstx0123456789()[]<>=*/.,'\"%\\\t\x7f\x80\xc3\xe4\xff")
                            for _ in range(rng.randrange(40))) + rng.choice([b"\r", b"\033", b"\n"])
    if kind == 3:  # unknown escape sequences, and cut ones (but of mice: curses waits for their end)
        return b"\033" + rng.choice([b"[", b"O", b"[<0;999999999999;3M", b"[<64;1;1M", b"[1;5Z",
                                     b"]0;x", b"P", b"[M\x20\xff\x21", b"[99~", b"OZ", b"[3;"])
    if kind == 4:  # UTF-8 that is cut, too long, or of no character
        return rng.choice([b"\xe4\xb8", b"\xf0\x9f\x98\x80", b"\xf8\x88\x80\x80\x80", b"\xed\xa0\x80",
                           b"\xc0\x80", b"\xef\xbf\xbf", b"e\xcc\x81" * 5])
    if kind == 5:
        return b"\033[<%d;%d;%d%s" % (rng.randrange(70), rng.randrange(90), rng.randrange(30),
                                      rng.choice([b"M", b"m"]))
    return bytes(rng.choice(b"nNsSfFcCgGlhkjmzbBwoiudrRxvL0123456789/]['@+-=eyt? \t\r\x03\x0c\x1b")
                 for _ in range(rng.randrange(1, 12)))


def send_bytes(traces, seed, count):
    """The program answers after all of it, shows a whole screen, and ends as it should."""
    rng = random.Random(seed)
    command = ["replay", traces[0]] if len(traces) == 1 else ["diff", "--tui", *traces]
    os.chdir(os.path.dirname(traces[0]))  # files that commands write
    terminal, log = None, []
    try:
        for _ in range(count):
            if terminal is None:
                terminal, log = Terminal(*command, LC_ALL=rng.choice(["C", "C.UTF-8"])), []
                terminal.wait_idle()
            event = rng.choice([(80, 24), (160, 50), (1, 1), (40, 10), (7, 3)]) if rng.randrange(30) == 0 else \
                some_bytes(rng)
            log.append(event)
            if not terminal.feed(event):
                check(terminal.end() == 0, "exit code of a program that was left")
                terminal = None
        if terminal:
            terminal.feed((80, 24))
            terminal.feed(b"\033\033\033")  # out of prompts and questions
            terminal.check(b"step" in terminal.redraw(), "a whole screen at the end")
            terminal.check(terminal.end("Q") == 0, "exit code")
    except (SystemExit, OSError) as error:
        sys.exit(f"what went in, of seed {seed}: {log}\n{error}")


@case
def raw_bytes(folder):
    send_bytes([record(folder, "a", steps=100)], 1, 400)
    send_bytes(record_two(folder).split(","), 2, 200)


@case
def raw_bytes_long(folder):
    one, two = record(folder, "a", steps=400), record_two(folder).split(",")
    tokens = record_tokens(folder)
    for seed in range(10):
        send_bytes([one], seed, 2000)
        send_bytes(two, seed, 1000)
        send_bytes([tokens], seed, 1000)


if __name__ == "__main__":
    e2e.main()
