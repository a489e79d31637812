#!/usr/bin/env python3
"""End-to-end tests of what goes wrong around tdbg: files that are none, full or limited files,
processes that stop, names that are taken, removed or moved, standard files that are closed. Called
like e2e.py, on which it builds."""
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys

import e2e
from e2e import TDBG, check, record, run, small_config, verified

CASES, case = e2e.case_table()
ENDLESS = ("--set", "steps=10000000", "--set", "eval.every=0")
PATIENCE_S = 60


def names(folder):
    return sorted(n for n in os.listdir(folder) if not n.endswith((".gz", ".cfg")))


def content(path):
    with open(path, "rb") as f:
        return f.read()


class Running:
    """A recording that goes on until it is told to stop; it has announced a step."""

    def __init__(self, config, trace, *args, inherits=()):
        self.pipe, write_end = os.pipe()
        self.process = subprocess.Popen(
            [TDBG, "record", config, "-o", trace, "-q", "--announce-fd", str(write_end), *ENDLESS,
             *args], pass_fds=[write_end, *inherits], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.close(write_end)
        self.announced(1)

    def announced(self, n):
        """Waits for so many further announcements."""
        while n > 0:
            check(select.select([self.pipe], [], [], PATIENCE_S)[0], "a step is announced")
            data = os.read(self.pipe, 4096)
            check(data, "recording goes on")
            n -= data.count(b"\n")

    def silent(self, seconds):
        """No announcement comes for so long."""
        for _ in range(1000000):  # steps that were in the queue
            if not select.select([self.pipe], [], [], seconds)[0]:
                return True
            os.read(self.pipe, 1 << 20)
        return False

    def writer(self):
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as f:
                    text = f.read()
            except OSError:
                continue
            name, rest = text[text.index("(") + 1:].rsplit(")", 1)
            if name == "tdbg-writer" and int(rest.split()[1]) == self.process.pid:
                return int(entry)
        sys.exit("failed: there is no tdbg-writer")

    def end(self, code=130):
        self.process.send_signal(signal.SIGINT)
        data = b"x"
        while data:
            check(select.select([self.pipe], [], [], PATIENCE_S)[0], "the program ends")
            data = os.read(self.pipe, 1 << 20)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        os.close(self.pipe)
        check(self.process.returncode == code, f"exit code {self.process.returncode}: {err}")
        return err


def limited(limit, value, *args):
    def set_limit():
        resource.setrlimit(limit, (value, value))
    return subprocess.run([TDBG, *map(str, args)], capture_output=True, text=True,
                          preexec_fn=set_limit, timeout=PATIENCE_S)


def make_strange(folder):
    """Things of the file system that are no regular files."""
    os.mkfifo(f"{folder}/pipe")
    os.mkdir(f"{folder}/directory")
    os.symlink("nowhere", f"{folder}/link")
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{folder}/socket")
    s.close()
    made = ["pipe", "directory", "link", "socket"]
    try:
        os.mknod(f"{folder}/device", 0o20666, os.makedev(1, 3))
        made.append("device")
    except PermissionError:
        pass  # only root can
    return made


@case
def outputs_that_are_no_files(folder):
    config, trace = small_config(folder), f"{folder}/a.h5"
    record(config, trace)
    strange = make_strange(folder)
    before = {n: os.lstat(f"{folder}/{n}") for n in strange}
    for name in strange:
        path = f"{folder}/{name}"
        for force in ([], ["--force"]):
            for args in (["record", config], ["pack", trace],
                         ["export", trace, "loss", "--format", "npy"]):
                err = run(*args, "-o", path, *force, code=2).stderr
                check(err.startswith("tdbg: error: ") and err.count("\n") == 1 and name in err, err)
        run("recover", trace, "-o", path, code=2)
        after = os.lstat(path)
        check(after.st_ino == before[name].st_ino and after.st_mode == before[name].st_mode, name)
    check(names(folder) == sorted(["a.h5", *strange]), names(folder))
    err = run("record", config, "-o", "", code=2).stderr
    check("empty" in err, err)
    real = f"{folder}/real.h5"
    os.symlink("real.h5", f"{folder}/to-real.h5")
    record(config, real)
    record(config, f"{folder}/to-real.h5", "--force", "--steps", 3)
    check(os.path.islink(f"{folder}/to-real.h5"), "the link is still one")
    check("3 of 3 steps" in verified(real), "the file behind the link is the new one")


@case
def a_failed_overwrite_keeps_the_old_file(folder):
    config, trace = small_config(folder), f"{folder}/a.h5"
    record(config, trace)
    old = content(trace)
    run("record", config, "-o", trace, "--force", "--set", "optimizer.lr=-1", code=2)
    run("record", config, "-o", trace, "--force", "--set", "data.train.images=\"none.gz\"", code=2)
    os.rename(f"{folder}/train-x.gz", f"{folder}/kept.gz")
    with open(f"{folder}/train-x.gz", "wb") as f:
        f.write(content(f"{folder}/kept.gz")[:200])
    run("record", config, "-o", trace, "--force", code=2)
    os.rename(f"{folder}/kept.gz", f"{folder}/train-x.gz")
    small = 100 << 10
    done = limited(resource.RLIMIT_FSIZE, small, "record", config, "-o", trace, "--force")
    check(done.returncode == 4 and "no file can be larger" in done.stderr, done.stderr)
    npy, packed = f"{folder}/a.npy", f"{folder}/p.h5"
    for path, args in ((npy, ["export", trace, "fwd/fc1", "--format", "csv"]),
                       (packed, ["pack", trace])):
        with open(path, "w") as f:
            f.write("of somebody")
        done = limited(resource.RLIMIT_FSIZE, 1 << 10, *args, "-o", path, "--force")
        check(done.returncode == 4 and done.stderr.startswith("tdbg: error: "), done.stderr)
        check(content(path) == b"of somebody", path)
        run(*args, "-o", path, "--force")
        check(content(path) != b"of somebody", path)
    check(content(trace) == old, "the old trace is what it was")
    check(names(folder) == ["a.h5", "a.npy", "p.h5"], names(folder))
    check("12 of 12 steps" in verified(packed), "the packed trace")


@case
def a_killed_overwrite_keeps_the_old_file(folder):
    """kill -9 of pack at any moment: the old file or the new one, and the next call cleans up."""
    config, trace, packed = small_config(folder), f"{folder}/a.h5", f"{folder}/p.h5"
    record(config, trace, "--steps", 200)
    run("pack", trace, "--steps", "0:1", "-o", packed)
    for i in range(12):
        p = subprocess.Popen([TDBG, "pack", trace, "-o", packed, "--force", "-q"])
        try:
            p.wait(0.01 * i)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        out = verified(packed)
        check("2 of 2 steps" in out or "200 of 200 steps" in out, out)
    run("pack", trace, "-o", packed, "--force")
    check(names(folder) == ["a.h5", "p.h5"], names(folder))


@case
def two_recordings_to_one_file(folder):
    config, trace, other = small_config(folder), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, other)
    first = Running(config, trace)
    for args in (["record", config], ["pack", other],
                 ["export", other, "loss", "--format", "csv"]):
        for force in ([], ["--force"]):
            err = run(*args, "-o", trace, *force, code=2).stderr
            check("a.h5 is being recorded already" in err, err)
    first.announced(3)
    first.end()
    n = e2e.info(trace)["steps"]
    check(f"{n} of {n} steps" in verified(trace), "the first recording is whole")
    many = [subprocess.Popen([TDBG, "record", config, "-o", trace, "--force", "-q"],
                             stderr=subprocess.PIPE, text=True) for _ in range(5)]
    ends = [(p.communicate()[1], p.returncode) for p in many]
    check(all(code == 0 or (code == 2 and "already" in err) for err, code in ends), ends)
    check(any(code == 0 for _, code in ends), ends)
    check("12 of 12 steps" in verified(trace), "one of them is there, whole")
    check(names(folder) == ["a.h5", "b.h5"], names(folder))


@case
def names_of_later_files(folder):
    """What a recording would go on in may be of an earlier one."""
    config, trace = small_config(folder), f"{folder}/a.h5"
    cut = ("--set", "record.segment_gib=0.0001", "--set", "steps=100")
    record(config, trace, *cut)
    check(names(folder)[:2] == ["a.h5", "a.seg1.h5"], names(folder))
    os.unlink(trace)
    old = content(f"{folder}/a.seg1.h5")
    err = record(config, trace, *cut, code=2).stderr
    check("a.seg1.h5 exists already" in err, err)
    check(content(f"{folder}/a.seg1.h5") == old and not os.path.exists(trace), "nothing changed")
    record(config, trace, *cut, "--force")
    check("100 of 100 steps" in verified(trace), "all files are of the new recording")


@case
def largest_size_of_a_file(folder):
    """ulimit -f: a limit that is met while recording leaves a trace that opens and verifies."""
    config, trace = small_config(folder), f"{folder}/a.h5"
    for kib, opens in ((40, False), (400, False), (1500, True), (3000, True), (18000, True)):
        done = limited(resource.RLIMIT_FSIZE, kib << 10, "record", config, "-o", trace, "--force",
                       "--set", "steps=4000", "--set", "record.preset=full", "--set",
                       "eval.every=0")
        check(done.returncode == 4, f"{kib} KiB: {done.returncode} {done.stderr}")
        check("no file can be larger than" in done.stderr or "File too large" in done.stderr,
              done.stderr)
        check(os.path.exists(trace) == opens, f"{kib} KiB: {names(folder)}")
        if opens:
            check("trained 4000 steps" in done.stderr, done.stderr)
            n = e2e.info(trace)["steps"]
            check(n > 10 and f"{n} of {n} steps" in verified(trace), f"{kib} KiB: {n} steps")
            run("fsck", trace, "-q")


@case
def little_memory(folder):
    """ulimit -v: it works, or it says why not."""
    config, trace = small_config(folder), f"{folder}/a.h5"
    record(config, f"{folder}/b.h5")
    if limited(resource.RLIMIT_AS, 500 << 20, "--version").returncode != 0:
        print("not run: this build (a sanitizer's) takes more memory than that to start")
        return
    worked = 0
    for mib in (50, 80, 120, 200, 300, 500):
        done = limited(resource.RLIMIT_AS, mib << 20, "record", config, "-o", trace, "--force",
                       "-q", "--threads", 1)
        check(done.returncode in (0, 4), f"{mib} MiB: {done.returncode} {done.stderr}")
        check(done.returncode == 0 or "tdbg: error: " in done.stderr, f"{mib}: {done.stderr}")
        worked += done.returncode == 0
        done = limited(resource.RLIMIT_AS, mib << 20, "info", f"{folder}/b.h5")
        check(done.returncode in (0, 4), f"{mib} MiB: {done.returncode} {done.stderr}")
    check(worked > 0 and "12 of 12" in verified(trace), f"{worked} recordings")


@case
def stopped_processes(folder):
    """SIGSTOP of the writer: the training waits. Of the trainer: the writer does."""
    config, trace = small_config(folder), f"{folder}/a.h5"
    r = Running(config, trace, "--set", "record.preset=full")
    writer = r.writer()
    os.kill(writer, signal.SIGSTOP)
    check(r.silent(0.5), "a stopped writer announces nothing")
    os.kill(writer, signal.SIGCONT)
    r.announced(100)
    os.kill(r.process.pid, signal.SIGSTOP)
    check(r.silent(1.5), "a stopped trainer has nothing recorded")
    check("steps = 10000000" in run("info", trace).stdout, "others read meanwhile")
    os.kill(r.process.pid, signal.SIGCONT)
    r.announced(100)
    r.end()
    n = e2e.info(trace)["steps"]
    check(n > 200, f"{n} steps")
    out = verified(trace, "--from", n - 200)
    check("201 of" not in out and "200 of 200 steps" in out, out)
    run("fsck", trace, "-q")


@case
def removed_or_moved_while_recording(folder):
    config, trace, moved = small_config(folder), f"{folder}/a.h5", f"{folder}/b.h5"
    r = Running(config, trace)
    os.unlink(trace)
    with open(trace, "w") as f:
        f.write("of somebody else")
    check(r.silent(1), "recording stops; the training goes on")
    err = r.end()
    check("was removed while it was written" in err, err)
    check(content(trace) == b"of somebody else", "the file of somebody else")
    os.unlink(trace)
    r = Running(config, trace)
    os.rename(trace, moved)
    r.announced(50)
    r.end()
    n = e2e.info(moved)["steps"]
    check(e2e.info(moved)["closed"] and f"{n} of {n}" in verified(moved), "closed where it is")
    check(names(folder) == ["b.h5"], names(folder))


def shell(command, folder):
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True,
                          env=dict(os.environ, T=TDBG), timeout=PATIENCE_S)


@case
def standard_files(folder):
    """Closed ones are not taken for the trace; a full or closed output is an error; nobody who
    stops reading the progress stops the training."""
    small_config(folder)
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = shell(f'exec {closed}; "$T" record small.cfg -o a.h5 --force', folder)
        check(done.returncode == 0, f"{closed}: {done.stderr}")
        check("12 of 12 steps" in verified(f"{folder}/a.h5"), closed)
        done = shell(f'exec {closed}; "$T" info a.h5', folder)
        check(done.returncode == (4 if " >&-" in f" {closed}" else 0), f"{closed}: {done}")
    for command in ("info a.h5", "show a.h5 loss --step 3", "replay a.h5", "diff a.h5 a.h5",
                    "replay a.h5 --verify -q", "export a.h5 loss --format csv", "fsck a.h5",
                    "recover a.h5", "--version", "--help", "--help-config"):
        done = shell(f'"$T" {command} >/dev/full', folder)
        check(done.returncode == 4 and "tdbg: error: cannot write" in done.stderr,
              f"{command}: {done.returncode} {done.stderr}")
    done = shell('"$T" record small.cfg -o a.h5 --force --steps 2000 2>&1 | true', folder)
    check("2000 of 2000 steps" in verified(f"{folder}/a.h5"), "training went on")
    done = shell('"$T" record small.cfg -o b.h5 --announce-fd 77', folder)
    check(done.returncode == 2 and not os.path.exists(f"{folder}/b.h5"), done.stderr)


@case
def writer_keeps_nothing_open(folder):
    """Whoever waits for a descriptor of the program to be closed does not wait for the writer."""
    config = small_config(folder)
    inherits = [fd for _ in range(4) for fd in os.pipe()]
    r = Running(config, f"{folder}/a.h5", inherits=inherits)
    of_program = os.listdir(f"/proc/{r.process.pid}/fd")
    writer = r.writer()
    links = {int(fd): os.readlink(f"/proc/{writer}/fd/{fd}")
             for fd in os.listdir(f"/proc/{writer}/fd")}
    r.end()
    check(len(of_program) > len(inherits), "the program has them")
    wanted = ("socket:", "/memfd:", "pipe:", folder)
    check(links[0] == links[1] == "/dev/null", links)
    rest = [v for fd, v in links.items() if fd > 2]
    check(all(v.startswith(wanted) for v in rest), links)
    check(sum(v.startswith("pipe:") for v in rest) == 1, links)


def with_writer(path, folder):
    """What recording through that tdbg-writer says; it may not begin a file."""
    done = subprocess.run([TDBG, "record", f"{folder}/small.cfg", "-o", f"{folder}/a.h5", "-q"],
                          capture_output=True, text=True, env=dict(os.environ, TDBG_WRITER=path),
                          timeout=PATIENCE_S)
    check(names(folder) == [], names(folder))
    check(done.stderr.startswith("tdbg: error: ") and done.stderr.count("\n") == 1, done.stderr)
    return done.returncode, done.stderr


def version():
    return run("--version").stdout.split()[1]


@case
def a_writer_of_another_build(folder):
    small_config(folder)
    other = os.path.join(e2e.BUILD, "tests", "tdbg-writer-of-another-build")
    code, err = with_writer(other, folder)
    check(code == 2, err)
    for path, protocol in ((TDBG, "[1-9][0-9]*"), (other, "0")):
        told = rf"{re.escape(os.path.realpath(path))} is version {version()}, protocol {protocol} \("
        check(re.search(told, err), f"{told}: {err}")


OLD_HELLO_BYTES, OLD_ANSWER_BYTES = 56, 504  # of before there were greetings


@case
def a_writer_without_greeting(folder):
    """One of an earlier version, which refuses what it does not understand; and no writer at all."""
    small_config(folder)
    old = f"{folder}/old.gz"  # a name that names() leaves out
    for text, code, said in (
            (f"#!{sys.executable}\nimport os\nos.read(3, {OLD_HELLO_BYTES})\n"
             f"os.write(3, b'not valid'.ljust({OLD_ANSWER_BYTES}, b'\\0'))\n", 2,
             f"{TDBG} is version {version()}, protocol 1 "),
            ("#!/bin/sh\n", 4, "the writer process has ended")):
        with open(old, "w") as f:
            f.write(text)
        os.chmod(old, 0o755)
        got, err = with_writer(old, folder)
        check(got == code and said in err, f"{got}: {err}")
        check(code == 4 or f"{old} is an earlier version, or no part of tdbg" in err, err)


@case
def a_program_without_greeting(folder):
    """One of an earlier version is told in the form that it reads, whatever else it sends first."""
    ours, theirs = socket.socketpair()
    writer = os.path.join(e2e.BUILD, "trace", "tdbg-writer")
    command = ["sh", "-c", f'exec 3<&{theirs.fileno()} 4</dev/null; exec "$0"', writer]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as p:
        theirs.close()
        ours.settimeout(PATIENCE_S)
        ours.sendall(bytes(OLD_HELLO_BYTES) + bytes(1 << 20))
        answer = b""
        while len(answer) < OLD_ANSWER_BYTES:
            data = ours.recv(OLD_ANSWER_BYTES - len(answer))
            check(data, f"an answer: {answer}")
            answer += data
        ours.close()
        check(p.wait(PATIENCE_S) == 1, "it ends")
    text = answer[4:].rstrip(b"\0").decode()
    check(int.from_bytes(answer[:4], "little") != 0, "it is an error")
    check(f"{os.path.realpath(sys.executable)} is an earlier version" in text, text)
    check(f"{os.path.realpath(writer)} is version {version()}, protocol 1 " in text, text)


@case
def strange_paths(folder):
    config = small_config(folder)
    data = os.path.join(folder, "o w", "\u00fc \u00f1")
    os.makedirs(data)
    for name in os.listdir(folder):
        if name.endswith((".gz", ".cfg")):
            os.rename(f"{folder}/{name}", f"{data}/{name}")
    del config
    trace = os.path.join("o w", "\u65e5\u672c \u8a9e.h5")
    run("record", f"{data}/small.cfg", "-o", trace, "-q", cwd=folder)
    check("12 of 12 steps" in verified(f"{folder}/{trace}"), trace)
    run("pack", trace, "--steps", "3:7", cwd=folder)
    run("export", trace, "loss", "--format", "npy", "-o", "-x y.npy", cwd=folder)
    run("record", "small.cfg", "-q", "--steps", 3, cwd=data)
    check(os.path.exists(f"{data}/trace.h5"), "record.path is relative to the config")
    check(names(f"{folder}/o w") == sorted(["\u00fc \u00f1", "\u65e5\u672c \u8a9e.h5",
                                            "\u65e5\u672c \u8a9e-3-7.h5"]), names(f"{folder}/o w"))
    for path in ("nodir/x.h5", "nodir/", f"{data}/small.cfg/x.h5"):
        err = run("record", f"{data}/small.cfg", "-o", path, cwd=folder, code=4).stderr
        check(err.startswith(f"tdbg: error: cannot create {path}: "), err)


@case
def no_traces(folder):
    """Every command says in one line what is wrong with what is no trace."""
    import h5py
    record(small_config(folder), f"{folder}/a.h5")
    strange = [n for n in make_strange(folder) if n != "link"]
    for name, data in (("empty", b""), ("text", b"hello\n"), ("noise", os.urandom(3000)),
                       ("x.jpg", b"\xff\xd8\xff\xe0JFIF" + bytes(5000))):
        with open(f"{folder}/{name}", "wb") as f:
            f.write(data)
    with h5py.File(f"{folder}/other.h5", "w") as f:
        f["x"] = [1, 2, 3]
    before = names(folder)
    for name in (*strange, "link", "empty", "text", "noise", "x.jpg", "other.h5", "none",
                 "none/x.h5", "text/x.h5", ""):
        for args in (["info", name], ["info", name, "--json"], ["show", name, "loss", "--step", 0],
                     ["replay", name], ["replay", name, "--verify"], ["diff", name, "a.h5"],
                     ["diff", "a.h5", name], ["pack", name], ["fsck", name], ["recover", name],
                     ["export", name, "loss", "--format", "csv"]):
            done = run(*args, cwd=folder, code=3)
            check(done.stderr.startswith("tdbg: error: ") and done.stderr.count("\n") == 1,
                  f"{args}: {done.stderr}")
            check(done.stdout == "", f"{args}: {done.stdout}")
    check(names(folder) == before, names(folder))
    run("record", "text", cwd=folder, code=2)
    err = run("record", "none.cfg", cwd=folder, code=2).stderr
    check(err == "tdbg: error: cannot read none.cfg: No such file or directory\n", err)


@case
def recover_writes_its_output(folder):
    """Where nothing is wrong with a trace too."""
    record(small_config(folder), f"{folder}/a.h5")
    out = run("recover", f"{folder}/a.h5", "-o", f"{folder}/b.h5").stdout
    check("nothing had to be mended: 12 steps, 0 to 11" in out, out)
    check(content(f"{folder}/a.h5") == content(f"{folder}/b.h5"), "a copy")


@case
def interrupted_commands_leave_nothing(folder):
    config, trace = small_config(folder), f"{folder}/a.h5"
    record(config, trace, "--steps", 3000)
    for name, args in (("x.csv", ["export", trace, "fwd/fc1", "--format", "csv"]),
                       ("p.h5", ["pack", trace])):
        for number in (signal.SIGINT, signal.SIGTERM):
            p = subprocess.Popen([TDBG, *args, "-o", f"{folder}/{name}"],
                                 stderr=subprocess.PIPE, text=True)
            while p.poll() is None and not os.path.exists(f"{folder}/{name}.tdbg-new"):
                pass
            p.send_signal(number)
            _, err = p.communicate(timeout=PATIENCE_S)
            check(p.returncode in (0, 128 + number), f"{name}: {p.returncode} {err}")
            if p.returncode == 0:  # it was done before the signal came
                os.unlink(f"{folder}/{name}")
            check(names(folder) == ["a.h5"], f"{name}: {names(folder)}")
    with open(trace, "r+b") as f:
        f.truncate(os.path.getsize(trace) // 2)
    with open(f"{trace}.recovering", "w") as f:
        f.write("of a recovery that was killed")
    check("rebuilt from" in run("recover", trace).stdout, "recover")
    check(names(folder) == ["a.h5", "a.h5.damaged"], names(folder))


if __name__ == "__main__":
    e2e.main(CASES)
