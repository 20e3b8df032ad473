"""A trained model in a program: images and texts to unit vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ...data.tokenizers import Tokenizer
from ...errors import UserError
from ...sharding.axes import Axes
from ...sharding.layouts import named_leaves, path_name
from ..models.blocks import Compute
from ..models.dual_encoder import build_model
from .config import WEIGHTS, ExportConfig, not_exported, read_config
from .images import ImageLike, as_list, load_images
from .scales import scale_and_bias
from .tokenizer import exported_tokenizer

# Rows are padded to the next of these sizes: so many compiles at most, whatever is asked.
SIZES = (1, 4, 16, 64, 256)


class Encoder:
    """The two towers of a trained model, in float32 on one device.

    embed_dim: E. logit_scale: what training multiplied cosines with. logit_bias: what it added, 0 where it had none (`scales.py`).
    """

    def __init__(self, config: ExportConfig, weights: Mapping[str, np.ndarray], tokenizer: Tokenizer):
        """weights: dotted name -> float32 array, as `model.safetensors` has them; they must fit `config.model`."""
        module = nnx.eval_shape(lambda: build_model(config.model, image_size=config.image_size, compute=Compute(), rngs=nnx.Rngs(0)))
        graph, state = nnx.split(module)
        shapes = nnx.as_pure(state)
        check_weights(shapes, weights)
        self.config = config
        self.embed_dim = config.model.embed_dim
        self.logit_scale, self.logit_bias = scale_and_bias(weights)
        self._tokenizer = tokenizer
        self._params = jax.device_put(jax.tree.map_with_path(lambda path, _: weights[f"model.{path_name(path)}"], shapes))
        self._image = jax.jit(lambda params, images: nnx.merge(graph, params).encode_image(images, axes=Axes()))
        self._text = jax.jit(lambda params, tokens: nnx.merge(graph, params).encode_text(tokens, axes=Axes()))

    def encode_image(self, images: ImageLike | Sequence[ImageLike]) -> np.ndarray:
        """Paths, PIL images or arrays uint8[H, W, 3], one or several, or an array uint8[B, H, W, 3] -> float32[B, E] of unit length.

        Raises UserError that names an image that cannot be read.
        """
        found = as_list(images)
        return self._encode(self._image, len(found), lambda start, stop: load_images(found[start:stop], self.config))

    def encode_text(self, texts: str | Sequence[str]) -> np.ndarray:
        """Texts -> float32[B, E] of unit length; what is longer than the context is cut."""
        found = [texts] if isinstance(texts, str) else list(texts)
        length = self.config.model.text.context_length
        return self._encode(self._text, len(found), lambda start, stop: self._tokenizer(found[start:stop], length))

    def _encode(self, encode: Callable[[Any, np.ndarray], jax.Array], count: int, rows_of: Callable[[int, int], np.ndarray]) -> np.ndarray:
        embeddings = np.zeros((count, self.embed_dim), np.float32)
        for start in range(0, count, SIZES[-1]):
            rows = rows_of(start, min(start + SIZES[-1], count))
            size = next(size for size in SIZES if size >= len(rows))
            padding = [(0, size - len(rows)), *[(0, 0)] * (rows.ndim - 1)]
            with jax.default_matmul_precision("float32"):
                encoded = encode(self._params, np.pad(rows, padding))
            embeddings[start : start + len(rows)] = np.asarray(encoded)[: len(rows)]
        return embeddings


def load(path: str | os.PathLike[str]) -> Encoder:
    """The model in a folder that `diptych export` wrote. Raises UserError where a file is missing, broken, or of another version."""
    return open_model(Path(path), setting="path")


def open_model(folder: Path, *, setting: str) -> Encoder:
    """As `load`. setting: what the folder is called where the user gives it."""
    config = read_config(folder, setting=setting)
    if not (folder / WEIGHTS).is_file():
        raise not_exported(folder, f"is not whole ({WEIGHTS} is missing)", setting=setting)
    try:
        weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise not_exported(folder, f"is broken ({WEIGHTS}: {error})", setting=setting) from None
    return Encoder(config, weights, exported_tokenizer(folder, config, setting=setting))


def check_weights(shapes: Any, weights: Mapping[str, np.ndarray | jax.ShapeDtypeStruct], *, where: str = WEIGHTS) -> None:
    """Raises UserError that names the first parameter that is missing or of another shape. where: what `weights` are called."""
    for name, wanted in named_leaves(shapes).items():
        found = weights.get(f"model.{name}")
        if found is None or found.shape != wanted.shape:
            has = "is missing" if found is None else f"has the shape {found.shape}"
            raise UserError(f"{where}: model.{name} {has}; accepted is {wanted.shape}, as config.json describes the model")
