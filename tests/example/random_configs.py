#!/usr/bin/env python3
"""Random configs from a grammar: each trains two steps and verifies, or is refused with a message.

    random_configs.py COUNT [SEED]

Environment as e2e.py. A failure prints the config; COUNT 1 and the seed it names repeat it.
"""
import random
import re
import subprocess
import sys
import tempfile

import e2e

INITS = ["default", "zeros", "normal", "xavier_uniform", "kaiming_normal"]


class Grammar:
    """Ops that mostly fit their input; what does not fit has to be refused."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *choices):
        return self.rng.choice(choices)

    def any_shape(self):
        kinds = ["relu", "gelu", "silu", "tanh", "sigmoid", "dropout", "softmax", "layer_norm",
                 "rms_norm", "batch_norm"]
        kind = self.pick(*kinds)
        keys = {"gelu": f'approximate = "{self.pick("none", "tanh")}";',
                "dropout": f"p = {self.pick('0.0', '0.25', '0.9')};",
                "batch_norm": f"sync = {self.pick('false', 'true')};",
                "layer_norm": f"dims = {self.pick(1, 1, 2)};"}.get(kind, "")
        return f'{{ op = "{kind}"; {keys} }}'

    def linear(self):
        return (f'{{ op = "linear"; out = {self.rng.randint(1, 9)}; bias = '
                f'{self.pick("true", "false")}; init = "{self.pick(*INITS)}"; }}')

    def convolution(self):
        return (f'{{ op = "conv2d"; out = {self.pick(1, 2, 4)}; kernel = {self.pick(1, 2, 3)}; stride '
                f'= {self.pick(1, 1, 2)}; padding = {self.pick(0, 1)}; groups = {self.pick(1, 1, 2)}; }}')

    def pooling(self):
        kind = self.pick("max_pool2d", "avg_pool2d")
        return f'{{ op = "{kind}"; kernel = 2; stride = {self.pick(1, 2)}; }}'

    def attention(self):
        heads = self.pick(1, 2, 3)
        return (f'{{ op = "attention"; heads = {heads}; causal = {self.pick("true", "false")}; rotary = '
                f'{self.pick("false", "false", "true")}; dropout = {self.pick("0.0", "0.3")}; }}')

    def residual(self):
        body = ", ".join(self.any_shape() for _ in range(self.rng.randint(1, 2)))
        return (f'{{ op = "residual"; repeat = {self.pick(1, 1, 2)}; body = ( {body} ); }}')

    def model(self, kind):
        ops = []
        if kind == "image":
            for _ in range(self.rng.randint(0, 3)):
                ops.append(self.pick(self.convolution(), self.pooling(), self.any_shape(),
                                     self.residual()))
            ops.append(self.pick('{ op = "flatten"; }', '{ op = "flatten"; }',
                                 '{ op = "global_avg_pool"; }'))
            for _ in range(self.rng.randint(0, 3)):
                ops.append(self.pick(self.linear(), self.any_shape(), self.residual()))
            ops.append('{ op = "linear"; out = 5; }')
        else:
            width = self.pick(4, 6)
            ops.append(f'{{ op = "embedding"; name = "tok"; dim = {width}; }}')
            if self.rng.random() < 0.5:
                ops.append(f'{{ op = "position"; kind = "{self.pick("learned", "sinusoidal")}"; }}')
            for _ in range(self.rng.randint(1, 3)):
                body = self.pick(self.attention(), self.any_shape())
                ops.append(self.pick(body, f'{{ op = "residual"; body = ( {body} ); }}'))
            ops.append(self.pick('{ op = "linear"; name = "head"; tie = "tok"; bias = false; }',
                                 '{ op = "linear"; name = "head"; out = 256; }'))
        return ",\n  ".join(ops)

    def optimizer(self):
        kind = self.pick("sgd", "adam", "adamw", "adadelta", "adagrad", "rmsprop", "lion")
        groups = self.pick("", 'groups = ( { match = [ "*.bias" ]; lr_scale = 0.5; } );')
        return f'{{ kind = "{kind}"; lr = 0.01; {groups} }}'

    def loss(self, kind):
        if kind == "text" or self.rng.random() < 0.7:
            return (f'{{ kind = "cross_entropy"; reduction = "{self.pick("mean", "sum")}"; '
                    f'label_smoothing = {self.pick("0.0", "0.1")}; }}')
        return f'{{ kind = "{self.pick("mse", "l1", "smooth_l1", "bce")}"; }}'

    def schedule(self):
        return self.pick('{ kind = "constant"; }', '{ kind = "cosine"; warmup = 1; }',
                         '{ kind = "expression"; expression = "0.95^step"; }')

    def config(self):
        kind = self.pick("image", "image", "text")
        data = ('kind = "idx"; train = { images = "train-x.gz"; labels = "train-y.gz"; }; transforms = '
                '( { op = "scale"; by = 0.01; } );' if kind == "image" else
                'kind = "text"; train = { text = "text.txt"; }; tokens = { kind = "byte"; context = '
                f'{self.pick(3, 8)}; }};')
        return f"""seed = {self.rng.randint(0, 99)};
steps = 2;
data = {{ {data} batch = {self.rng.randint(1, 8)}; }};
model = (
  {self.model(kind)} );
loss = {self.loss(kind)};
optimizer = {self.optimizer()};
schedule = {self.schedule()};
clip = {{ norm = {self.pick("0.0", "1.0")}; value = {self.pick("0.0", "0.5")}; }};
engine = {{ precision = "{self.pick("f32", "f32", "bf16")}"; lanes = {self.pick(1, 1, 2, 3)}; accumulate = {self.pick(1, 1, 2)}; }};
record = {{ preset = "{self.pick("light", "standard", "full")}"; keyframe = 1; }};
"""


def tdbg(*args):
    return subprocess.run([e2e.TDBG, *map(str, args)], capture_output=True, text=True, timeout=120)


def run_one(folder, seed):
    """Trained and verified, or refused. Returns which; says what is wrong and exits otherwise."""
    text = Grammar(random.Random(seed)).config()
    config, trace = f"{folder}/random.cfg", f"{folder}/random.h5"
    with open(config, "w") as file:
        file.write(text)

    def fail(what, done):
        sys.exit(f"seed {seed}: {what}, exit code {done.returncode}\n{text}\n{done.stderr[-3000:]}")

    done = tdbg("record", config, "-o", trace, "--force", "-q")
    if done.returncode == 2:
        if not re.search(r"random\.cfg:\d+: error: ", done.stderr):
            fail("refused without a place in the config", done)
        return "refused"
    if done.returncode != 0:
        fail("record failed", done)
    done = tdbg("replay", trace, "--verify", "-q")
    if done.returncode != 0 or "verified 2 of 2 steps" not in done.stdout:
        fail("verify failed", done)
    return "trained"


def main():
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    seen = {"trained": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        e2e.small_config(folder)
        with open(f"{folder}/text.txt", "w") as file:
            file.write("The quick brown fox jumps over the lazy dog. " * 20)
        for seed in range(first, first + count):
            seen[run_one(folder, seed)] += 1
    print(f"{count} configs: {seen['trained']} trained and verified, {seen['refused']} refused")
    if count >= 50 and (seen["trained"] < count // 3 or seen["refused"] == 0):
        sys.exit("the grammar makes too few configs of one kind")


if __name__ == "__main__":
    main()
