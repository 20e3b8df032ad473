"""All tests run on eight simulated CPU devices."""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

if "DIPTYCH_CACHE" not in os.environ:  # tests leave the user's cache alone; pytest's workers share this one
    os.environ["DIPTYCH_CACHE"] = tempfile.mkdtemp(prefix="diptych-cache-")
    atexit.register(shutil.rmtree, os.environ["DIPTYCH_CACHE"], ignore_errors=True)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # see launch/environment.py
# In one order: see launch/environment.py. Without the last optimizations programs compile in 57% of the time, and tests do little else.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_enable_concurrency_optimized_scheduler=false --xla_backend_optimization_level=0")

import numpy as np
import pytest

from diptych.data.pipeline import EvalSet
from diptych.data.sentence_piece import train_sentencepiece
from diptych.data.write_shapes import write_shapes
from diptych.pretrain.spec import (
    DataSpec,
    DecoderSpec,
    ImageTowerSpec,
    ModelSpec,
    ObjectiveSpec,
    OptimizerSpec,
    Recipe,
    TextTowerSpec,
    TrainSpec,
)

IMAGE = dict(depth=2, width=32, heads=4, patch_size=8)
TEXT = dict(depth=2, width=32, heads=4, vocab_size=64, context_length=8, eos_id=63)


def tiny_model(kind):
    if kind == "clip":
        return ModelSpec(image=ImageTowerSpec(**IMAGE), text=TextTowerSpec(**TEXT), embed_dim=32)
    if kind == "siglip":
        image = ImageTowerSpec(**IMAGE, pool="map", projection="none", init="big_vision", norm_first="none")
        text = TextTowerSpec(**TEXT, pool="last", attention="bidirectional", projection="linear_bias", init="big_vision")
        return ModelSpec(image=image, text=text, embed_dim=32)
    image = ImageTowerSpec(**IMAGE, pool="attentional", pool_queries=8, pool_heads=4)
    return ModelSpec(image=image, text=TextTowerSpec(**TEXT, pool="cls"), decoder=DecoderSpec(depth=2, heads=4), embed_dim=32)


TERMS = {"clip": {"softmax": 1.0}, "siglip": {"sigmoid": 1.0}, "coca": {"softmax": 1.0, "captioning": 2.0}}


@pytest.fixture(autouse=True)
def silent_again():
    """The command line makes the package's loggers speak; the next test starts with them as they were."""
    yield
    logging.getLogger("diptych").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def tiny_recipe():
    """A recipe of a few thousand parameters that any mesh of eight devices divides: `tiny_recipe("clip" | "siglip" | "coca")`."""

    def make(kind="clip", *, dtype="float32", remat="none", batch_size=16, steps=20):
        return Recipe(
            model=tiny_model(kind),
            objective=ObjectiveSpec(terms=TERMS[kind], max_scale=None if kind == "siglip" else 100.0),
            data=DataSpec(image_size=32),
            optimizer=OptimizerSpec(peak_lr=1e-2, warmup_steps=5),
            train=TrainSpec(batch_size=batch_size, steps=steps, dtype=dtype, remat=remat),
        )

    return make


@pytest.fixture(scope="session")
def random_batch():
    """Batch number `step` of noise with captions that end at different places."""

    def make(step=0, *, size=16):
        rng = np.random.default_rng(step)
        text = rng.integers(1, 60, (size, 8)).astype(np.int32)
        for row, end in zip(text, rng.integers(2, 8, size)):
            row[end], row[end + 1 :] = 63, 0
        image = rng.integers(0, 256, (size, 32, 32, 3)).astype(np.uint8)
        return {"image": image, "text": text, "slot": np.arange(size, dtype=np.int32)}

    return make


@pytest.fixture(scope="session")
def environment():
    """Variables of a process with so many CPU devices. Programs of one come out of a cache that all tests share; no others may."""

    def make(devices):
        shared = {"JAX_ENABLE_COMPILATION_CACHE": "true", "JAX_COMPILATION_CACHE_DIR": os.environ["DIPTYCH_CACHE"] + "/xla"}
        return os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | (shared if devices == 1 else {})

    return make


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory):
    """A few hundred rendered scenes as shards, with a tokenizer trained on their captions."""
    folder = tmp_path_factory.mktemp("shapes") / "data"
    write_shapes(folder, train_samples=256, heldout_samples=64, size=32, seed=0)
    captions = EvalSet((str(folder / "shapes-train-*.tar"),), spec=DataSpec(image_size=32), setting="data.train").captions()
    train_sentencepiece(captions, vocab_size=256, out=folder / "tokenizer.model", seed=0)
    return folder


@pytest.fixture(scope="session")
def tiny_config(shapes_folder):
    """`--config` of the tests' own recipe on those scenes."""
    return f"{Path(__file__).parent / 'tiny.py'}:{shapes_folder}"
