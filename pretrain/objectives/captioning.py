"""The captioning term of CoCa."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.text_tower import end_positions
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .term import Term, TermOutput, register


def label_log_likelihoods(hidden: jax.Array, labels: jax.Array, unembedding: jax.Array, *, axes: Axes) -> jax.Array:
    """log p(label) for each place: hidden f[b, T, D], labels i32[b, T], unembedding f[D, V / tensor] -> f32[b, T].

    The vocabulary is sharded over the tensor axis: one max and one sum of f32[b, T] over it.
    """
    # Products of bfloat16 are exact in one pass; HIGHEST would make those of their gradients, float32 x bfloat16, many times dearer.
    precision = jax.lax.Precision.HIGHEST if hidden.dtype == jnp.float32 else None
    logits = jnp.einsum("btd,dv->btv", hidden, unembedding, precision=precision, preferred_element_type=jnp.float32)
    shift = axes.tensor_max(logits.max(-1))
    log_total = jnp.log(axes.total(jnp.exp(logits - shift[..., None]).sum(-1))) + shift
    local = labels - axes.tensor_index() * logits.shape[-1]
    here = (local >= 0) & (local < logits.shape[-1])
    mine = jnp.take_along_axis(logits, jnp.where(here, local, 0)[..., None], axis=-1)[..., 0]
    return axes.total(jnp.where(here, mine, 0.0)) - log_total


@register("captioning")
class Captioning(Term):
    """Cross-entropy of the next token (Yu et al., 2022, eq. 3), the mean over all label tokens of the global batch:

        L = - sum_{i,t} [t <= end_i] log p(y_it | y_i,<t, image_i) / sum_i end_i

        tokens     a  red  cat  EOS  pad
        labels    red cat  EOS   .    .        `.`: no label; what follows the end token is never one

    Logits are made for one sample at a time and made again for the gradient: memory O(T V / tensor) floats; communication is two sums of
    f32[T] over tensor a sample.
    """

    needs = ("hidden", "unembedding")
    pairwise = False
    perplexities = ("caption_perplexity",)

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.eos_id = model.text.eos_id

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        tokens, hidden = batch["text"], needed["hidden"]
        labels, valid = tokens[:, 1:], self._valid(tokens)

        def sample(row: tuple[jax.Array, jax.Array]) -> jax.Array:
            return label_log_likelihoods(row[0][None], row[1][None], needed["unembedding"], axes=axes)[0]

        likelihoods = jax.lax.map(jax.checkpoint(sample), (hidden[:, :-1], labels))
        count = jnp.maximum(self.weight(batch, axes=axes), 1.0)  # no label at all: a loss of 0
        loss = -axes.sum(jnp.where(valid, likelihoods, 0.0).sum()) / count
        return TermOutput(loss=loss, metrics={"caption_perplexity": jnp.exp(loss)})

    def weight(self, batch: Mapping[str, jax.Array], *, axes: Axes) -> jax.Array:
        """The label tokens of all devices."""
        return axes.sum(self._valid(batch["text"]).sum().astype(jnp.float32))

    def _valid(self, tokens: jax.Array) -> jax.Array:
        """Which places of i32[B, T] but the last have a label, bool[B, T - 1]."""
        return jnp.arange(tokens.shape[1] - 1)[None] < end_positions(tokens, self.eos_id)[:, None]
