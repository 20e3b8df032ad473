"""What `diptych quickstart` makes besides the model: its data, its tokenizer, and the similarity picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..data.pipeline import EvalSet
from ..data.sentence_piece import train_sentencepiece
from ..data.shapes import caption, class_names, train_scenes
from ..data.spec import DataSpec
from ..data.write_shapes import write_shapes

TRAIN_SAMPLES, HELDOUT_SAMPLES, RENDERED_SIZE, SEED = 12_000, 1_024, 64, 0
PICTURED = 8


def prepare_data(folder: Path, *, vocab_size: int) -> None:
    """Shards, `classes.txt` and `tokenizer.model` in `folder`; what is there already is kept."""
    columns = (TextColumn("rendering"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("rendering", total=TRAIN_SAMPLES + HELDOUT_SAMPLES)
        write_shapes(
            folder,
            train_samples=TRAIN_SAMPLES,
            heldout_samples=HELDOUT_SAMPLES,
            size=RENDERED_SIZE,
            seed=SEED,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    tokenizer = folder / "tokenizer.model"
    if not tokenizer.exists():
        part = folder / "tokenizer.part"
        train_sentencepiece(map(caption, train_scenes(TRAIN_SAMPLES, seed=SEED)), vocab_size=vocab_size, out=part, seed=SEED)
        os.replace(part, tokenizer)
    (folder / "classes.txt").write_text("\n".join(class_names()) + "\n")


def draw_similarity(model: Path, folder: Path, path: Path) -> None:
    """Draws the similarities of a few held-out scenes and captions, as the exported model sees them."""
    from ..pretrain.export.encoder import load
    from ..pretrain.plots import similarity_picture

    heldout = EvalSet((str(folder / "shapes-heldout-*.tar"),), spec=DataSpec(image_size=RENDERED_SIZE), setting="data")
    images, captions = heldout.images(0, PICTURED), heldout.captions()[:PICTURED]
    encoder = load(model)
    similarity = encoder.encode_image(images) @ encoder.encode_text(captions).T
    similarity_picture(images, captions, np.asarray(similarity), path)
