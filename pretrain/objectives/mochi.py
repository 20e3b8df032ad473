"""Contrastive learning with mixed hard negatives: MoCHi, between images and texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from ..models.dual_encoder import unit
from ..randomness import Randomness
from ..spec_objective import MochiSpec
from .contrastive import Contrastive, mean_of_batch, places
from .forms import TILE_BYTES
from .forms_negatives import negative_odds
from .hardest import Hardest, hardest_negatives
from .term import TermOutput, register


@register("mochi")
class MoCHi(Contrastive):
    """InfoNCE of which each query has more negatives, mixed from its hardest (Kalantidis et al., 2020, sections 4.1 and 4.2), both ways:

        L = 1/2B sum_i [ l(z_i; t) + l(t_i; z) ]
        l(q; k) = -log( exp(s q . k+) / ( sum_j exp(s q . k_j) + sum_h exp(s q . h) + sum_h' exp(s q . h') ) )
        h  = (a n + (1 - a) n') / |.|,   a  in (0, 1)           n, n': of the N = `hardest` keys of other samples most like q
        h' = (b q + (1 - b) n ) / |.|,   b in (0, 1/2)

        labels      t1 t2 t3 t4 | h  h  h' |
                z1   1  .  .  . | .  .  .  |      the mixed ones are each row's own
                z2   .  1  .  . | .  .  .  |

    `mixed` h and `with_query` h' are drawn for each query in each step, n, a and b evenly, by the query's slot; no gradient goes into them.
    The paper's keys are a memory of one modality, here they are the texts of the batch for an image, and its images for a text, and take
    gradients as in `softmax`, which this term is in an evaluation. In the paper mixing begins after some epochs without; a sample that says
    the same as another is a hard negative too.

    A device holds b rows; c keys are in a tile. Floats of memory beside the embeddings, and floats that a device sends, for either way:

        form      memory                          communication
        gather    4 b (B + N) + 2 B E             all-gather B E, reduce-scatter B E
        chunked   4 b (c + N) + 2 B E             the same
        ring      4 b (c + N) + 6 b E + b N E     ppermutes through all devices, four times: 5 B E; on N devices or fewer keys are
                               (or + B E)         gathered for the mixtures: 5 B E as well

    and 16 MiB for the mixed negatives, which are made for some rows at a time.
    """

    def pairs(
        self, images: jax.Array, texts: jax.Array, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        of_images, right = self.one_way(images, texts, axes=axes, draws=None if random is None else random.of_rows("mochi_i2t"))
        of_texts, _ = self.one_way(texts, images, axes=axes, draws=None if random is None else random.of_rows("mochi_t2i"))
        loss = (mean_of_batch(of_images, axes=axes) + mean_of_batch(of_texts, axes=axes)) / 2
        return TermOutput(loss=loss, metrics={"i2t_accuracy": mean_of_batch(right, axes=axes)})

    def ring_rows(self, rows: int, *, devices: int) -> int:
        """The bank of `hardest_negatives`."""
        return rows * min(self.spec.mochi.hardest, devices)

    def one_way(self, queries: jax.Array, keys: jax.Array, *, axes: Axes, draws: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """l(q; k), f32[b], and bool[b]: whether the positive is the largest of all keys. draws: a key a row, [b]."""
        form, scaled = self.form_of(keys, axes=axes), self.scaled(queries, axes=axes)
        own = (scaled * keys).sum(-1)
        odds, right = negative_odds(scaled, axes.vary(keys), own, places(len(queries), axes=axes), form, axes)
        if draws is not None:
            fixed = jax.lax.stop_gradient((queries, keys))
            hardest = hardest_negatives(*fixed, count=self.spec.mochi.hardest, form=form, axes=axes)
            odds = jnp.logaddexp(odds, mixed_odds(scaled, own, fixed[0], hardest, draws, spec=self.spec.mochi))
        return jax.nn.softplus(odds), right


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Draws:
    """What is drawn for one query. first, second: i32[mixed], which of the N; share: f32[mixed], of the first.

    other: i32[with_query]; query_share: f32[with_query], of the query.
    """

    first: jax.Array
    second: jax.Array
    share: jax.Array
    other: jax.Array
    query_share: jax.Array


def drawn(key: jax.Array, *, spec: MochiSpec) -> Draws:
    """The draws of one query from its key."""
    ends = [spec.mixed, 2 * spec.mixed, 3 * spec.mixed, 3 * spec.mixed + spec.with_query]
    even = jax.random.uniform(key, (ends[-1] + spec.with_query,), jnp.float32)
    first, second, share, other, query_share = jnp.split(even, ends)

    def which(even: jax.Array) -> jax.Array:
        return (even * spec.hardest).astype(jnp.int32)

    return Draws(first=which(first), second=which(second), share=share, other=which(other), query_share=query_share / 2)


def mixed(query: jax.Array, negatives: jax.Array, draws: Draws) -> jax.Array:
    """h and h' of one query f32[E] and its hardest negatives f32[N, E]: f32[mixed + with_query, E], rows of length one."""
    a, b = draws.share[:, None], draws.query_share[:, None]
    of_two = a * negatives[draws.first] + (1 - a) * negatives[draws.second]
    return unit(jnp.concatenate([of_two, b * query + (1 - b) * negatives[draws.other]]))


def mixed_odds(scaled: jax.Array, own: jax.Array, queries: jax.Array, hardest: Hardest, keys: jax.Array, *, spec: MochiSpec) -> jax.Array:
    """f32[b]: log-odds of the mixed negatives of each row against its positive.

    scaled f32[b, E] and own f32[b]: the queries with the scale, and their positives' logits; queries f32[b, E]: without it. The negatives
    are made for some rows at a time, and once: as they take no gradient, that of the queries is known with the value.
    """

    def row(given: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        scaled, own, query, place, key = given
        negatives = mixed(query, hardest.bank[place], drawn(key, spec=spec))
        logits = jnp.einsum("e,he->h", scaled, negatives, precision=jax.lax.Precision.HIGHEST) - own
        gradient = jnp.einsum("h,he->e", jax.nn.softmax(logits), negatives, precision=jax.lax.Precision.HIGHEST)
        return jax.nn.logsumexp(logits), gradient

    floats = (spec.hardest + 3 * (spec.mixed + spec.with_query)) * queries.shape[1]
    at_once = max(1, min(len(queries), TILE_BYTES // (4 * floats)))
    given = jax.lax.stop_gradient((scaled, own, queries))
    return with_gradient(*jax.lax.map(row, (*given, hardest.place, keys), batch_size=at_once), scaled, own)


@jax.custom_vjp
def with_gradient(odds: jax.Array, gradient: jax.Array, scaled: jax.Array, own: jax.Array) -> jax.Array:
    """The log-odds f32[b], with `gradient` f32[b, E] with regard to `scaled` f32[b, E], and -1 with regard to `own` f32[b]."""
    return odds


def _forward(odds: jax.Array, gradient: jax.Array, scaled: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
    return odds, gradient


def _backward(gradient: jax.Array, cotangent: jax.Array) -> tuple[None, None, jax.Array, jax.Array]:
    return None, None, cotangent[:, None] * gradient, -cotangent


with_gradient.defvjp(_forward, _backward)
