#!/usr/bin/env python3
"""End-to-end tests of tdbg report: one well-formed page that loads nothing and runs nothing, with what
tdbg diff says; and how it looks in Chromium, where that is installed.

    e2e_report.py CASE       runs one case (tests/meson.build lists them)
"""
import html
import html.parser
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

import e2e
from e2e import check, record, run, small_config

CASES, case = e2e.case_table()
VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x01\x9b"


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and gathers what there is."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.texts, self.urls = [], {}, [], [], []
        self.rows, self.row = [], None
        self.feed(text)
        self.close()
        check(not self.open, f"left open: {self.open}")
        check(len(self.ids) == len(set(self.ids)), f"ids {self.ids}")

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            check(not name.startswith("on"), f"handler {name} of {tag}")
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.urls.append(value)
        if tag == "tr":
            self.row = []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        check(self.open and self.open[-1] == tag, f"</{tag}> in {self.open} at {self.getpos()}")
        self.open.pop()
        if tag == "tr":
            self.rows.append(self.row)
            self.row = None

    def handle_data(self, data):
        self.texts.append(data)
        if self.row is not None and data.strip():
            self.row.append(data.strip())


def sets(*keys):
    return [word for key in keys for word in ("--set", key)]


def report(out, *args):
    run("report", *args, "-o", out, "--force")
    with open(out, encoding="utf-8") as f:
        text = f.read()
    page = Page(text)
    check("script" not in page.tags and "iframe" not in page.tags, page.tags)
    check(set(page.urls) <= {"data:,"}, f"loads nothing: {page.urls}")
    check(not re.search(r"url\(|@import|https?://", text), "the style loads nothing")
    check("default-src 'none'" in text, "a policy")
    return page


def two_runs(folder):
    config, a, b = small_config(folder, steps=30), f"{folder}/a.h5", f"{folder}/b.h5"
    record(config, a)
    record(config, b, *sets("optimizer.lr=0.02", "eval.every=6"))
    return a, b


@case
def a_page_says_what_diff_says(folder):
    a, b = two_runs(folder)
    page = report(f"{folder}/r.html", a, b)
    said = json.loads(run("diff", a, b, "--json", code=1).stdout)
    first, rows = said["first"], page.rows
    check(["step", str(first["step"])] in rows and ["tensor", first["site"]] in rows, rows[:8])
    element = first["elements"]["first"]
    row = [r for r in rows if r[:1] == ["first"]][0]
    check(float(row[2]) == float(f"{element['a']:.9g}") and
          float(row[3]) == float(f"{element['b']:.9g}") and int(row[-1]) == element["ulp"], row)
    for d in said["config"]:
        check([d["key"], d["a"], d["b"]] in rows, f"{d} in {rows}")
    for site in said["growth"]["sites"]:
        label = site["site"] + (f" lane {site['lane']}" if site["lane"] >= 0 else "") + \
            (f" micro {site['micro']}" if site["micro"] >= 0 else "")
        numbers = ["–" if v is None else "0" if v == 0 else f"{v:.2e}" for v in site["relative"]]
        check([label, *numbers] in rows, f"{label} {numbers}")
    differ = [r for r in rows if r and r[-1] in ("≠ first", "≠ differs")]
    check(len(differ) == first["sites_differ"] and differ[0][1] == first["site"], differ)
    check(set(page.ids) == {"first", "differences", "curves", "growth", "sites", "runs"}, page.ids)
    check(page.tags["figure"] >= 5 and page.tags["svg"] > 2 * page.tags["figure"], page.tags)
    # the curves go through every step
    with open(f"{folder}/r.html") as f:
        paths = re.findall(r'<path class="line s0" d="([^"]*)"', f.read())
    check(max(len(re.findall("[ML]", p)) for p in paths) == 30, "30 steps of loss")


@case
def pages_of_all_kinds(folder):
    """One run, equal runs, runs that cannot be compared, runs with NaN, and of several ranks."""
    a, b = two_runs(folder)
    page = report(f"{folder}/one.html", a)
    check("first" not in page.ids and "growth" not in page.ids and page.tags["figure"] >= 3, page.ids)
    check(any(r[1:2] == ["param/fc2.bias"] and len(r) == 10 for r in page.rows), "statistics")
    page = report(f"{folder}/same.html", a, a)
    check("= The same bits" in page.texts and "growth" not in page.ids, page.texts[:30])
    run("pack", a, "--steps", ":5", "-o", f"{folder}/x.h5")
    run("pack", a, "--steps", "20:", "-o", f"{folder}/y.h5")
    page = report(f"{folder}/none.html", f"{folder}/x.h5", f"{folder}/y.h5")
    check("? Cannot judge" in page.texts, page.texts[:30])
    record(f"{folder}/small.cfg", b, "--force", *sets('optimizer={kind="sgd";lr=1e30;}'))
    page = report(f"{folder}/nan.html", a, b)
    check(any("not finite from step" in t for t in page.texts), "the legend says so")
    ranks = f"{folder}/ranks.h5"
    record(f"{folder}/small.cfg", ranks, *sets("engine.ranks_in_process=2"))
    page = report(f"{folder}/ranks.html", a, ranks)
    check(any("lanes 1 and 2" in t for t in page.texts), "the note")
    # a long run is thinned out: the file does not grow with it
    record(f"{folder}/small.cfg", b, "--force", "--steps", 5000, *sets("record.preset=light",
                                                                       "eval.every=0"))
    report(f"{folder}/long.html", b)
    size = os.path.getsize(f"{folder}/long.html")
    check(size < 400000, f"{size} bytes")


@case
def a_page_takes_a_tolerance(folder):
    """The same verdict, step, tensor and elements as diff says with it."""
    config, a, b, again = small_config(folder, steps=12), *(f"{folder}/{n}.h5" for n in "abc")
    record(config, a)
    record(config, b, *sets("optimizer.lr=0.0100005"))
    record(config, again, *sets('inject=({step=3;site="reduce_out/fc1.weight";kind="scale";element=7;})'))
    seen = set()
    for args in (("--rtol", "1e-4"), ("--rtol", "1e-3", "--atol", "1e-6"), ("--ulp", "2000"),
                 ("--atol", "1e3"), ("--noise", again)):
        said = json.loads(run("diff", a, b, *args, "--json", code=None).stdout)
        page = report(f"{folder}/r.html", a, b, *args)
        text = "".join(page.texts)
        check(f"tdbg report {a} {b} {' '.join(args)}" in page.texts, "the command")
        check(f"Tolerance: {' '.join(args)}." in text and "bit for bit" not in text, text[:900])
        seen.add((said["verdict"], said.get("first", {}).get("step")))
        if said["verdict"] == "same":
            check("= The same within the tolerance" in page.texts, page.texts[:30])
            continue
        first = said["first"]
        check(f"They part beyond the tolerance at step {first['step']}, in {first['site']}" in text, text[:900])
        check(any(r[:1] == ["first"] and float(r[2]) == float(f"{first['elements']['first']['a']:.9g}")
                  for r in page.rows), page.rows[:12])
        check(f"{first['elements']['differ']} of {first['elements']['elements']} elements differ by more "
              "than the tolerance" in text, text)
    check(len(seen) >= 3, f"different answers: {seen}")
    for args, words in (((a, "--rtol", "1e-3"), "this is one"), ((a, b, "--rtol", "x"), "'--rtol' wants"),
                        ((a, b, "--ulp", "-3"), "--ulp")):
        done = run("report", *args, "-o", f"{folder}/n.html", code=2)
        check(words in done.stderr and not os.path.exists(f"{folder}/n.html"), done.stderr)


@case
def hostile_texts_are_only_text(folder):
    """Whatever stands in a trace or its name is shown, not obeyed."""
    import h5py
    import numpy as np
    a, b = two_runs(folder)
    bad = f"{folder}/<b onclick=alert(3)>\"'&.h5"
    shutil.copy(b, bad)

    def set_text(f, name, text):
        raw = text.encode("latin1")
        del f[name]
        f[name] = np.bytes_(raw)
        f[name].attrs["digest"] = e2e.mix_digest(np.frombuffer(raw, "u1"))
    with h5py.File(bad, "r+") as f:
        set_text(f, "run/environment", '{"host":"' + HOSTILE.replace('"', '\\"') + '"}')
        set_text(f, "run/dataset", HOSTILE)
    for args in ((bad,), (a, bad), (bad, a)):
        page = report(f"{folder}/r.html", *args)
        check("img" not in page.tags and page.tags.get("b", 1) == 1, page.tags)
        text = "".join(page.texts)
        check("<script>alert(1)</script>" in text and "onclick=alert(3)" in text, "as text")
        check("\x01" not in text and "\ufffd" in text, "no control characters, no broken UTF-8")


@case
def reports_are_not_overwritten(folder):
    a, b = two_runs(folder)
    out = f"{folder}/r.html"
    run("report", a, b, "-o", out)
    done = run("report", a, "-o", out, code=2)
    check("exists already" in done.stderr and "--force" in done.stderr, done.stderr)
    with open(out) as f:
        check(run("report", a, b, "-o", "-").stdout == f.read(), "the standard output")
    for args, text in (((a, b), "into which file?"), ((), "too few arguments"),
                       ((a, b, a, "-o", out), "unexpected argument"),
                       ((a, "-o", f"{folder}/none/r.html"), "none/r.html")):
        done = run("report", *args, code=None)
        check(done.returncode in (2, 4) and text in done.stderr, f"{args}: {done.stderr}")
    done = run("report", f"{folder}/none.h5", "-o", f"{folder}/n.html", code=3)
    check(not os.path.exists(f"{folder}/n.html"), done.stderr)


# --- in a browser ---

def read_png(path):
    """(width, height, rows of RGB bytes) of an 8-bit PNG without interlacing."""
    with open(path, "rb") as f:
        data = f.read()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    check(depth == 8 and kind in (2, 6), f"PNG of depth {depth}, type {kind}")
    step, at, packed = 3 if kind == 2 else 4, 8, b""
    while at < len(data):
        n, name = struct.unpack(">I4s", data[at:at + 8])
        if name == b"IDAT":
            packed += data[at + 8:at + 8 + n]
        at += 12 + n
    raw, rows, above = zlib.decompress(packed), [], bytearray(width * step)
    for y in range(height):
        filtered = raw[y * (width * step + 1)]
        row = bytearray(raw[y * (width * step + 1) + 1:(y + 1) * (width * step + 1)])
        for i in range(len(row)):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            if filtered == 1:
                row[i] = (row[i] + left) & 255
            elif filtered == 2:
                row[i] = (row[i] + above[i]) & 255
            elif filtered == 3:
                row[i] = (row[i] + (left + above[i]) // 2) & 255
            elif filtered == 4:
                near = min((abs(above[i] - corner), 0, left), (abs(left - corner), 1, above[i]),
                           (abs(left + above[i] - 2 * corner), 2, corner))[2]
                row[i] = (row[i] + near) & 255
        rows.append(row)
        above = row
    return width, height, [[bytes(r[i:i + 3]) for i in range(0, len(r), step)] for r in rows]


def chromium(folder, page, width, *args, dark=False):
    """What Chromium prints, and on stderr what the page's console says."""
    command = [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu",
               "--hide-scrollbars", f"--user-data-dir={folder}/profile", "--enable-logging=stderr",
               f"--window-size={width},1100", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
               *args, f"file://{page}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, done.stderr)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    check(not console, f"the console is silent: {console}")
    return done.stdout


PROBE = """<!DOCTYPE html><html style="color-scheme: light dark"><body style="margin:0">
<iframe style="border:0;width:%dpx;height:1100px" srcdoc="%s"></iframe>
<script>
  const frame = document.querySelector('iframe');
  frame.addEventListener('load', () => {
    const w = frame.contentWindow, d = w.document;
    const shown = [...d.querySelectorAll('figure>svg')]
      .filter(s => w.getComputedStyle(s).display != 'none');
    const out = document.createElement('pre');
    out.id = 'probe';
    out.textContent = JSON.stringify({width: w.innerWidth, scroll: d.documentElement.scrollWidth,
      plots: shown.map(s => s.getAttribute('class')),
      scale: shown.map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width),
      background: w.getComputedStyle(d.body).backgroundColor,
      color: w.getComputedStyle(d.body).color});
    document.body.append(out);
  });
</script></body></html>"""


def layout(folder, page, width, dark=False):
    """Widths and letters, measured from outside in a frame of that width: a window is at least 500
    pixels wide."""
    with open(page, encoding="utf-8") as f:
        text = html.escape(f.read(), quote=True)
    with open(f"{folder}/probe.html", "w", encoding="utf-8") as f:
        f.write(PROBE % (width, text))
    dom = chromium(folder, f"{folder}/probe.html", width, "--dump-dom", dark=dark)
    return json.loads(re.search(r'<pre id="probe">(.*?)</pre>', dom).group(1))


def luminance(text):
    red, green, blue = (int(v) for v in re.findall(r"\d+", text)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@case
def pages_in_a_browser(folder):
    """At 1200 and 400 pixels, light and dark: no console message, nothing wider than the window,
    letters of the plots not scaled away, and a picture that is not blank."""
    if not shutil.which("chromium"):
        print("skipped: no chromium")
        sys.exit(77)
    a, b = two_runs(folder)
    pages = {"two": (a, b), "one": (a,)}
    for name, args in pages.items():
        page = f"{folder}/{name}.html"
        run("report", *args, "-o", page)
        for width in (1200, 400):
            for dark in (False, True):
                got = layout(folder, page, width, dark)
                check(got["width"] == width and got["scroll"] <= width, f"{name} {width}: {got}")
                check(len(got["plots"]) >= 3 and
                      set(got["plots"]) == {"wide" if width == 1200 else "narrow"}, got)
                check(all(0.9 <= s <= 1.3 for s in got["scale"]), f"{name} {width}: {got['scale']}")
                light = luminance(got["background"]), luminance(got["color"])
                check(light[0] < 0.15 and light[1] > 0.8 if dark else
                      light[0] > 0.9 and light[1] < 0.2, f"{name} dark={dark}: {light}")
                shot = f"{folder}/{name}-{width}-{'dark' if dark else 'light'}.png"
                chromium(folder, page, width, f"--screenshot={shot}", dark=dark)
                w, h, rows = read_png(shot)
                colours = {p for row in rows[::3] for p in row[::3]}
                check((w, h) == (width, 1100) and len(colours) > 40, f"{shot}: {len(colours)} colours")
                if os.environ.get("TDBG_SCREENSHOTS"):
                    shutil.copy(shot, os.environ["TDBG_SCREENSHOTS"])


if __name__ == "__main__":
    e2e.main(CASES)
