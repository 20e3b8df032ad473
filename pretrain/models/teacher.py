"""A trained model whose embeddings a student learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..spec import ModelSpec
from .blocks import Compute
from .dual_encoder import DualEncoder
from .image_inputs import images_of
from .parameters import parameter, zeros

PREFIX = "teacher_"  # of the names of its outputs


class Teacher(nnx.Module):
    """The two towers of a trained model, and `logit_scale`, the log of what its training multiplied cosines with. No gradient passes."""

    def __init__(self, spec: ModelSpec, *, image_size: int, compute: Compute, rngs: nnx.Rngs):
        compute = dataclasses.replace(compute, remat="none")  # there is nothing to make again
        self.towers = DualEncoder(spec, image_size=image_size, compute=compute, rngs=rngs)
        self.logit_scale = parameter(zeros, (), rngs=rngs)

    def __call__(self, batch: Mapping[str, jax.Array], *, needs: frozenset[str], axes: Axes) -> dict[str, jax.Array]:
        """The named outputs that are needed, f32[b, E'] each, without any draw.

        teacher_image_embedding, teacher_text_embedding: unit vectors; teacher_image_query: the image's times exp(logit_scale).
        """
        with jax.named_scope("teacher"):
            found = {}
            if needs & {"teacher_image_embedding", "teacher_image_query"}:
                found["teacher_image_embedding"] = self.towers.encode_image(images_of(batch), axes=axes)
                found["teacher_image_query"] = jnp.exp(self.logit_scale[...]) * found["teacher_image_embedding"]
            if "teacher_text_embedding" in needs:
                found["teacher_text_embedding"] = self.towers.encode_text(batch["text"], axes=axes)
            return {name: jax.lax.stop_gradient(found[name]) for name in sorted(needs)}
