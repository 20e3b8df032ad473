"""Matryoshka representations: a contrastive term on nested widths of the embeddings."""

from __future__ import annotations

from collections.abc import Callable

import jax

from ..models.dual_encoder import unit
from ..spec_objective import MatryoshkaSpec
from .term import TermOutput


def nested(pairs: Callable[[jax.Array, jax.Array], TermOutput], images: jax.Array, texts: jax.Array, *, spec: MatryoshkaSpec) -> TermOutput:
    """The term on whole embeddings and on the first entries of them (Kusupati et al., 2022, eq. 1; unit length again, section 4.2):

        L = term(z, t) + sum_m c_m term(z[:m] / |z[:m]|, t[:m] / |t[:m]|)

        z      | 1 .. 64 | .. 128 | ...... 256 | ................. E |
               |--m = 64-|
               |----- m = 128 ----|
               |---------- m = 256 ------------|        each has its own loss; scale and bias are shared

    pairs: the term on unit vectors f32[b, m]. The metrics are those of whole embeddings, and `NAME_m` for each width, `loss_m` among them.
    Costs as much as the term itself for each width, in proportion to m. A device keeps for the gradient of each width 2 b m floats (the cut
    rows) and, but for `ring`, B m (the keys of all); the logits of one width exist at a time. It sends what the term does in its form, with
    m in the place of E, for each width: sum_m m / E of the term's own on top.
    """
    output = pairs(images, texts)
    loss, metrics = output.loss, dict(output.metrics)
    weights = spec.weights or (1.0,) * len(spec.widths)
    for width, weight in zip(spec.widths, weights, strict=True):
        part = pairs(unit(images[:, :width]), unit(texts[:, :width]))
        loss += weight * part.loss
        metrics |= {f"{name}_{width}": value for name, value in {"loss": part.loss, **part.metrics}.items()}
    return TermOutput(loss=loss, metrics=metrics)
