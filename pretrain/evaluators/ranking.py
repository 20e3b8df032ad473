"""Ranks of right answers, computed over all devices, and what a random ranking would give."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from ..encode import array_rows, batch_shards, place, replicate

P = jax.P
SCORES_A_DEVICE = 2**24


def ranks(queries: np.ndarray, keys: np.ndarray, *, query_ids: np.ndarray, key_ids: np.ndarray, mesh: jax.sharding.Mesh) -> np.ndarray:
    """int32[Q]: for each query 1 + the number of wrong keys that score at least as high as its best right key.

    Ties, and scores that are not numbers, count against the model, so that embeddings that collapsed do not look perfect. A key is right
    where the ids are equal; every query has one. queries f32[Q, E] are sharded over the batch axes, in chunks that bound the memory to
    2^24 scores a device; keys f32[K, E] are whole on every device.
    """
    shards = batch_shards(mesh)
    size = shards * max(1, min(SCORES_A_DEVICE // len(keys), math.ceil(len(queries) / shards)))
    rows, ids = array_rows(queries), array_rows(query_ids.astype(np.int32))
    whole = replicate(keys, mesh), replicate(key_ids.astype(np.int32), mesh)
    chunks = [
        np.asarray(_ranks(place(rows, mesh, start=start, size=size), place(ids, mesh, start=start, size=size), *whole))
        for start in range(0, len(queries), size)
    ]
    return np.concatenate(chunks)[: len(queries)]


@jax.jit
def _ranks(queries: jax.Array, query_ids: jax.Array, keys: jax.Array, key_ids: jax.Array) -> jax.Array:
    scores = jnp.einsum("qe,ke->qk", queries, keys, precision=jax.lax.Precision.HIGHEST)
    right = query_ids[:, None] == key_ids[None]
    best = jnp.where(right, scores, -jnp.inf).max(1, keepdims=True)
    return jax.sharding.reshard(1 + jnp.sum(~right & ~(scores < best), 1), P())


def random_recall(positives: np.ndarray, *, candidates: int) -> np.ndarray:
    """f64[candidates]: at k - 1 the expected R@k of a random ranking, for queries with so many right answers among `candidates` each.

    The first k places of n hold none of p right answers with probability prod_{j<k} (n - p - j) / (n - j).
    """
    places = np.arange(candidates)
    counts, queries = np.unique(positives, return_counts=True)
    missed = [np.cumprod(np.maximum(candidates - count - places, 0) / (candidates - places)) for count in counts]
    return 1 - np.average(missed, axis=0, weights=queries)
