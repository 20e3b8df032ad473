"""Seconds a training step of `clip_emoji`: Diptych against open_clip 3.3, in turn, in one run on one machine.

usage: DIPTYCH_PARITY=1 PYTHONPATH=../shared/tools python benchmarks/vs_open_clip_step.py [--data DIR] [--rounds N] [--steps N]

Needs the `parity` extra and torchvision. Both train the recipe's model in float32 with its batch, crop and optimizer, data included:
each framework in a process of its own, which does nothing while the other runs. Prints the median of each, and their ratio round by round.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def open_clip_steps(data: str) -> Iterator[None]:
    """open_clip as its trainer runs it, one step each time; images are decoded and resized beforehand, in memory."""
    import io
    import tarfile

    import numpy as np
    import open_clip
    import torch
    from open_clip.loss import ClipLoss
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from PIL import Image

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images, captions = [], []
    for shard in sorted(path for vendor in ("noto", "twemoji") for path in Path(data).glob(f"{vendor}-train-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member).read()  # type: ignore[union-attr]
                if member.name.endswith(".png"):
                    images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB").resize((48, 48), Image.Resampling.BICUBIC)))
                elif member.name.endswith(".txt"):
                    captions.append(content.decode())
    pixels, tokens = np.stack(images), open_clip.SimpleTokenizer(context_length=16)(captions)
    vision = CLIPVisionCfg(layers=6, width=192, head_width=64, patch_size=8, image_size=48)
    text = CLIPTextCfg(context_length=16, vocab_size=49408, width=192, heads=3, layers=4)
    model = CLIP(embed_dim=192, vision_cfg=vision, text_cfg=text).train()
    decay = [p for n, p in model.named_parameters() if p.ndim >= 2 and "logit_scale" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "logit_scale" in n]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), eps=1e-6)
    loss_of = ClipLoss()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))

    def crop(image: np.ndarray) -> np.ndarray:
        side = round(48 * math.sqrt(rng.uniform(0.8, 1)))
        top, left = rng.integers(0, 48 - side + 1, 2)
        return np.asarray(Image.fromarray(image[top : top + side, left : left + side]).resize((48, 48), Image.Resampling.BICUBIC))

    while True:
        chosen = rng.permutation(len(pixels))[:256]
        batch = np.stack([crop(image) for image in pixels[chosen]])
        x = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255 - mean) / std
        loss = loss_of(*model(x, tokens[chosen])[:3])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        yield


def diptych_steps(data: str) -> Iterator[None]:
    """The recipe as `diptych train` runs it, one step each time."""
    import jax

    from diptych.pretrain.checkpoint import Checkpoints
    from diptych.pretrain.feed import Feed
    from diptych.pretrain.job import Job
    from diptych.pretrain.recipe import load_recipe
    from diptych.pretrain.run import begin, prepare
    from diptych.pretrain.step import make_step

    recipe = load_recipe(f"clip_emoji:{data}", ["mesh.fsdp=1"])
    with tempfile.TemporaryDirectory() as folder:
        run = prepare(recipe, Path(folder), job=Job())
        with jax.set_mesh(run.mesh), Checkpoints(Path(folder), recipe.checkpoint) as checkpoints:
            state = begin(run, checkpoints).state
            feed = Feed(run.stream(0), run.mesh, batch_size=recipe.train.batch_size)
            step = jax.jit(make_step(run.learner, run.optimizer), donate_argnums=0)
            while True:
                state, metrics = step(state, next(feed))
                feed.prefetch(metrics)
                jax.block_until_ready(metrics)
                yield


WORKERS: dict[str, Callable[[str], Iterator[None]]] = {"open_clip": open_clip_steps, "diptych": diptych_steps}


def work(name: str, data: str) -> None:
    """A worker: for each number read, that many steps after an uncounted one (it comes back from idling); prints the seconds a step."""
    steps = WORKERS[name](data)
    for line in sys.stdin:
        next(steps)
        start = time.perf_counter()
        for _ in range(int(line)):
            next(steps)
        print((time.perf_counter() - start) / int(line), flush=True)


def start(name: str, data: str) -> subprocess.Popen[str]:
    from diptych.launch.environment import settings

    command = [sys.executable, __file__, "--data", data, "--worker", name]
    own = settings() if name == "diptych" else {}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | own)


def ask(worker: subprocess.Popen[str], steps: int) -> float:
    assert worker.stdin and worker.stdout
    worker.stdin.write(f"{steps}\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/emoji", help="the folder of the emoji shards (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured (%(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="steps a measurement (%(default)s)")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.worker, arguments.data)
    workers = {name: start(name, arguments.data) for name in WORKERS}
    for worker in workers.values():
        ask(worker, 4)  # warm-up: compile, fill caches
    rounds = [{name: ask(worker, arguments.steps) for name, worker in workers.items()} for _ in range(arguments.rounds)]
    for worker in workers.values():
        worker.kill()
    ratios = [seconds["open_clip"] / seconds["diptych"] for seconds in rounds]
    result = {f"{name}_seconds_per_step": statistics.median(seconds[name] for seconds in rounds) for name in WORKERS}
    result |= {"open_clip_over_diptych": statistics.median(ratios), "lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
    for name, value in result.items():
        print(f"{name:32} {value:.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
