"""The captioning term: CoCa's, with parallel prediction CapPa's, and with a prefix SimVLM's."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.caption_draws import prefix_lengths
from ..models.text_tower import end_positions
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .label_likelihoods import label_log_likelihoods, vocab_chunk
from .term import Term, TermOutput, register


@register("captioning")
class Captioning(Term):
    """Cross-entropy of the next token (Yu et al., 2022, eq. 3), the mean over all label tokens of the global batch:

        L = - sum_{i, t in P(i)} log p(y_i,t+1 | what the decoder sees, image_i) / sum_i |P(i)|

        tokens       a  red  cat  EOS  pad
        labels      red cat  EOS   .    .       `.`: no label; what follows the end token is never one

    P(i), and what is seen when the label of place t is predicted, `model.decoder` says:

        causal              y_<=t       P(i) = {0 .. end_i - 1}
        causal, parallel    nothing     the same, for this fraction of the samples (CapPa: Tschannen et al., 2023, section 3)
        prefix              y_<=t       P(i) = {p_i - 1 .. end_i - 1}, no label within the prefix (SimVLM: Wang et al., 2022, eq. 3)

    In an evaluation nothing is drawn: no sample is parallel, the prefix is the first token alone, and the losses of all three compare.

    Logits of n = b (T - 1) places exist for c = `objective.captioning.vocab_chunk` columns of the vocabulary at a time. Floats of memory
    beside hidden states and the gathered table: 3 n c + n D + D V / tensor, instead of 3 n V / tensor. A device sums 3 n floats, and n D
    in the gradient, over tensor; over fsdp the table is gathered, D V / tensor, and its gradient leaves by a reduce-scatter.
    """

    needs = ("hidden", "unembedding")
    pairwise = False
    perplexities = ("caption_perplexity",)

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.eos_id = model.text.eos_id
        self.has_prefix = model.decoder is not None and model.decoder.attention == "prefix"
        self.vocab_chunk = spec.captioning.vocab_chunk

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        tokens, table = batch["text"], needed["unembedding"]
        hidden, labels = needed["hidden"][:, :-1].reshape(-1, len(table)), tokens[:, 1:].reshape(-1)
        chunk = vocab_chunk(rows=len(hidden), columns=table.shape[1], chunk=self.vocab_chunk)
        likelihoods = label_log_likelihoods(hidden, labels, table, chunk=chunk, axes=axes)
        count = jnp.maximum(self.weight(batch, axes=axes, random=random), 1.0)  # no label at all: a loss of 0
        loss = -axes.sum(jnp.where(self._predicted(tokens, random).reshape(-1), likelihoods, 0.0).sum()) / count
        return TermOutput(loss=loss, metrics={"caption_perplexity": jnp.exp(loss)})

    def weight(self, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None) -> jax.Array:
        """The label tokens of all devices."""
        return axes.sum(self._predicted(batch["text"], random).sum().astype(jnp.float32))

    def _predicted(self, tokens: jax.Array, random: Randomness | None) -> jax.Array:
        """Which places of i32[B, T] but the last have a label, P(i): bool[B, T - 1]."""
        ends, places = end_positions(tokens, self.eos_id), jnp.arange(tokens.shape[1] - 1)
        first = prefix_lengths(ends, random=random) - 1 if self.has_prefix else jnp.zeros_like(ends)
        return (places >= first[:, None]) & (places < ends[:, None])
