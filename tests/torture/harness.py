"""What the torture suites share: starting a recording, listening to what it announces, finding the
writer process, and judging the trace that is left."""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "example"))
import e2e  # noqa: E402  small_config() and the environment

TDBG = e2e.TDBG
# The bound on what is announced late: the larger of so many steps and so many seconds' worth.
TRAIL_STEPS, TRAIL_S = 20, 1.0
PATIENCE_S = 120  # nothing here takes as long; a command that does hangs


class NotRun(Exception):
    """This build or this machine lacks what the suite needs."""


class Failure(Exception):
    pass


def tdbg(*args, env=None, timeout=PATIENCE_S):
    command = [TDBG, *map(str, args)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              timeout=timeout, env=dict(os.environ, **(env or {})))
    except subprocess.TimeoutExpired:
        raise Failure(f"hangs: {' '.join(command)}") from None
    if "Sanitizer" in done.stderr or "runtime error: " in done.stderr:
        raise Failure(f"a sanitizer reports: {' '.join(command)}\n{done.stderr[-3000:]}")
    return done


def has_command(name):
    return tdbg("help", name).returncode == 0


def has_option(command, option):
    return option in tdbg("help", command).stdout


def need(condition, what):
    if not condition:
        raise NotRun(f"this build has no {what}")


class Recording:
    """A running `tdbg record` and the steps that it has announced."""

    def __init__(self, config, trace, *args, env=None, messages=None):
        self.trace, self.announced, self.first = trace, -1, None
        self.times = []  # (seconds, step) of announcements
        command = [TDBG, "record", config, "-o", trace, *map(str, args)]
        read_end, write_end = os.pipe()
        if has_announce():
            command += ["--announce-fd", str(write_end)]
        self.command = command
        self.messages_path = messages or trace + ".stderr"  # not on a disk that gets full
        self.stderr = open(self.messages_path, "w+")
        self.process = subprocess.Popen(command, pass_fds=[write_end], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.stderr,
                                        env=dict(os.environ, **(env or {})))
        os.close(write_end)
        self.pipe, self.rest = read_end, b""

    def listen(self, seconds, until_first=False):
        """Takes announcements for so long, or until the recording ends. True: it still runs."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or (until_first and self.announced >= 0):
                return self.process.poll() is None
            if not select.select([self.pipe], [], [], left)[0]:
                continue
            if not self._take():
                return False

    def _take(self):
        data = os.read(self.pipe, 65536)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            step = int(line)
            if step <= self.announced:
                raise Failure(f"announced {step} after {self.announced}")
            self.announced = step
            self.times.append((time.monotonic(), step))
        return bool(data)

    def kill(self, number=signal.SIGKILL):
        self.killed_at = time.monotonic()
        self.process.send_signal(number)
        self.wait()

    def wait(self, seconds=PATIENCE_S):
        """Exit code; takes what was announced until the end."""
        end = time.monotonic() + seconds
        while self._alive_and_open(end):
            pass
        try:
            code = self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"hangs: {' '.join(self.command)}") from None
        self.stderr.seek(0)
        self.messages = self.stderr.read()
        self.stderr.close()
        os.close(self.pipe)
        os.unlink(self.messages_path)
        return code

    def _alive_and_open(self, end):
        if time.monotonic() > end:
            return False
        ready = select.select([self.pipe], [], [], 0.1)[0]
        if ready:
            return self._take()
        return self.process.poll() is None

    def writers(self):
        """Process numbers of the tdbg-writer of this recording: the one that has its trace open."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/comm") as f:
                    if not f.read().startswith("tdbg-writer"):
                        continue
                links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in
                         os.listdir(f"/proc/{entry}/fd")]
            except OSError:
                continue  # it has just ended
            if os.path.realpath(self.trace) in links:
                found.append(int(entry))
        return found

    def trail(self):
        """Steps by which the last announcement trailed the kill, estimated from the rate, beyond
        the allowed number; and the seconds."""
        if len(self.times) < 2:
            return 0.0, 0.0
        (t0, s0), (t1, s1) = self.times[0], self.times[-1]
        rate = (s1 - s0) / max(1e-6, t1 - t0)
        seconds = max(0.0, self.killed_at - t1)
        return seconds * rate / max(TRAIL_STEPS, TRAIL_S * rate), seconds


_announce = None


def has_announce():
    global _announce
    if _announce is None:
        _announce = has_option("record", "--announce-fd")
    return _announce


class Judgement:
    """What a trace that was cut off is found to hold."""

    def __init__(self):
        self.steps = 0  # that verify; first step to the last
        self.first = 0
        self.opened = self.recovered = False
        self.why = ""


def read_info(trace):
    done = tdbg("info", trace, "--json")
    if done.returncode < 0 or done.returncode >= 100:
        raise Failure(f"info ended with {done.returncode}: {done.stderr}")
    if done.returncode != 0:
        return None, done.stderr.strip()
    return json.loads(done.stdout), ""


def judge(trace, announced):
    """Opens the trace, with the help of `tdbg recover` where that is needed, and verifies it. Raises
    Failure where less than what was announced is there."""
    j = Judgement()
    info, j.why = read_info(trace) if os.path.exists(trace) else (None, "no file")
    j.opened = info is not None
    if info is None and os.path.exists(trace) and has_command("recover"):
        done = tdbg("recover", trace)
        if done.returncode < 0 or done.returncode >= 100:
            raise Failure(f"recover ended with {done.returncode}: {done.stderr}")
        if done.returncode == 0:
            info, j.why = read_info(trace)
            j.recovered = info is not None
    if info is None:
        if announced >= 0:
            raise Failure(f"step {announced} was announced, but nothing opens: {j.why}")
        return j
    verify(trace, info, j)
    if j.first + j.steps - 1 < announced:
        raise Failure(f"step {announced} was announced, but only {j.steps} steps are there")
    return j


def verify(trace, info, j):
    """All steps of a short trace; of a long one the first, the last, and what a seed picks."""
    first, n = info["first_step"], info["steps"]
    last = first + n - 1
    ranges = [(first, last)]
    if n > 2500:
        middle = first + (n * 2654435761 % n if n else 0)
        ranges = [(first, first + 199), (middle, min(last, middle + 199)), (last - 999, last)]
    for a, b in ranges:
        done = tdbg("replay", trace, "--verify", "-q", "--threads", 1, "--from", a, "--to", b)
        wanted = f"verified {b - a + 1} of {b - a + 1} steps"
        if done.returncode != 0 or not done.stdout.startswith(wanted):
            raise Failure(f"steps {a} to {b} do not verify (code {done.returncode}): "
                          f"{done.stdout}{done.stderr}")
    j.first, j.steps = first, n


def keep(trace, folder):
    """Puts a trace that failed aside; returns where."""
    path = os.path.join(os.environ.get("TDBG_TORTURE_KEEP", folder), os.path.basename(trace))
    if os.path.exists(trace) and os.path.abspath(path) != os.path.abspath(trace):
        shutil.move(trace, path)
    return path
