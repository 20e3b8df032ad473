"""The loss of a batch and its gradient, at once or by microbatch: the same numbers up to rounding."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ..sharding.axes import Axes, mesh_axes
from ..sharding.layouts import batch_layout
from .frozen import join, kept, split
from .learner import Batch, Learner
from .objectives.term import TermOutput
from .randomness import step_randomness

P = jax.P


def loss_and_gradients(learner: Learner, params: Any, batch: Batch, step: jax.Array) -> tuple[TermOutput, Any]:
    """The objective of a training step, and its gradient with regard to the trained parameters; None at the frozen ones.

    With `train.accumulate` = k above 1 a device holds the activations of 1/k of its rows at a time, and the loss is still that of the whole
    batch: see `accumulated`.
    """
    if learner.recipe.train.accumulate > 1:
        local = functools.partial(accumulated, learner, axes=mesh_axes(learner.mesh))
        specs = (learner.layouts, batch_layout(learner.mesh), P())
        return jax.shard_map(local, in_specs=specs, out_specs=(P(), kept(learner.layouts, learner.trained)))(params, batch, step)
    trained, frozen = split(params, learner.trained)

    def loss(trained: Any) -> tuple[jax.Array, Any]:
        return learner.loss(join(trained, frozen), batch, step)

    (value, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
    return TermOutput(loss=value, metrics=metrics), gradients


def accumulated(learner: Learner, params: Any, batch: Batch, step: jax.Array, *, axes: Axes) -> tuple[TermOutput, Any]:
    """GradCache (Gao et al., 2021, "Scaling deep contrastive learning batch size under memory limited setup", section 3.3) on a mesh.

    Per-device code, on this device's b rows in k microbatches:

        1  outputs z of all microbatches, no gradient kept          b x what the pairwise terms read
        2  the pairwise terms' loss of the whole batch, dL/dz, and the gradient of their own parameters
        3  for each microbatch: outputs again, with the same draws, and the gradient of <z, dL/dz> + (its share) x (the other terms)

    A share is the microbatch's part of `Term.weight`, so that the others are the mean over the whole batch as well. It costs one more
    forward pass, and the gathers over fsdp of a step once for each microbatch and pass. Parameters are cast to varying once: microbatches
    add up the gradients of this device's shards, which are summed over replicas once a step. Not exact for a tower with batch norm, whose
    statistics would be a microbatch's.
    """
    trained, frozen = split(params, learner.trained)
    varying, summed = jax.vjp(axes.vary, trained)
    with learner.compute.full_products():
        output, gradients = _by_microbatch(learner, varying, axes.vary(frozen), batch, step, axes=axes)
    return output, summed(gradients)[0]


def _by_microbatch(learner: Learner, trained: Any, frozen: Any, batch: Batch, step: jax.Array, *, axes: Axes) -> tuple[TermOutput, Any]:
    parts = jax.tree.map(lambda rows: rows.reshape(learner.recipe.train.accumulate, -1, *rows.shape[1:]), batch)
    merged = lambda trained: nnx.merge(learner.graph, join(trained, frozen))  # noqa: E731
    draws = lambda part: step_randomness(learner.recipe.seed, step, part["slot"])  # noqa: E731
    objective = merged(trained).objective
    pairwise, others = objective.names(pairwise=True), objective.names(pairwise=False)
    read = objective.needs_of(pairwise)
    whole = {name: objective.terms[name].weight(batch, axes=axes, random=draws(batch)) for name in others}

    def outputs(part: Batch) -> dict[str, jax.Array]:
        return merged(trained).outputs(part, needs=read, axes=axes, random=draws(part))

    def pairwise_loss(trained: Any, outputs: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, TermOutput]]:
        found = merged(trained).objective.found(pairwise, outputs, batch, axes=axes, random=draws(batch))
        return objective.weighted(found), found

    cached = jax.tree.map(lambda z: z.reshape(-1, *z.shape[2:]), jax.lax.map(outputs, parts))
    (_, found), (gradients, cotangents) = jax.value_and_grad(pairwise_loss, argnums=(0, 1), has_aux=True)(trained, cached)

    def microbatch(gradients: Any, given: tuple[Batch, dict[str, jax.Array]]) -> tuple[Any, Any]:
        part, cotangents = given
        shares = {name: share(objective.terms[name].weight(part, axes=axes, random=draws(part)), whole[name]) for name in others}

        def forward(trained: Any) -> tuple[Any, dict[str, TermOutput]]:
            module, random = merged(trained), draws(part)
            outputs = module.outputs(part, needs=objective.needs, axes=axes, random=random)
            found = module.objective.found(others, outputs, part, axes=axes, random=random)
            shared = {name: TermOutput(loss=shares[name] * output.loss, metrics={}) for name, output in found.items()}
            return ({name: outputs[name] for name in read}, objective.weighted(shared)), found

        _, pull, found = jax.vjp(forward, trained, has_aux=True)
        return jax.tree.map(jnp.add, gradients, pull((cotangents, jnp.float32(1)))[0]), (found, shares)

    cotangents = jax.tree.map(lambda z: z.reshape(learner.recipe.train.accumulate, -1, *z.shape[1:]), cotangents)
    gradients, (by_part, shares) = jax.lax.scan(microbatch, gradients, (parts, cotangents))
    found |= {name: objective.terms[name].whole(by_part[name], shares[name]) for name in others}
    return objective.total(found), gradients


def share(part: jax.Array, whole: jax.Array) -> jax.Array:
    """part / whole; 0 where there is nothing at all."""
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0.0)
