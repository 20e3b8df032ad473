"""Temporaries per device of value and gradient of a contrastive loss alone, compiled for TPU slices that are not here.

usage: python benchmarks/loss_memory.py [--term sigmoid|softmax] [--topology T ...] [--mesh M] [--batch B ...] [--form F ...] [--json]
mesh: replica x fsdp x tensor, such as 4x64x1; absent, all chips are on fsdp.

naive is big_vision's loss, all N x N pairs in `jax.jit` over arrays sharded by rows (trainers/proj/image_text/siglip.py; for softmax both
log-softmaxes of the same logits); the others are the forms of `objective.form`. Embeddings are float32[B, 768] and stay where they are:
they are arguments and their gradients results, neither counts. Where XLA says that a program does not fit the chip, its figure for
what does not is taken (the whole program, or its temporaries), and marked with *. Needs libtpu.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import topologies

from diptych.pretrain.objectives.forms import choose_form
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec
from diptych.sharding.axes import mesh_axes
from diptych.sharding.layouts import batch_layout
from diptych.sharding.memory import used_when_full
from diptych.sharding.spec import AXES

P = jax.P
WIDTH = 768
MIB = 2**20
TOPOLOGIES = ("v5e:2x4", "v5e:16x16", "v5p:8x8x16")
BATCHES = (8192, 32_768, 262_144, 1_048_576)
FORMS = ("naive", "gather", "chunked", "ring")


@dataclasses.dataclass(frozen=True)
class Result:
    """One compile. fits: whether XLA took it; if not, temp_mib is what it says the whole program needs. auto: `auto` takes this form."""

    term: str
    topology: str
    mesh: str
    batch: int
    form: str
    temp_mib: float
    fits: bool
    auto: bool
    compile_seconds: float


def naive(term: str) -> Callable[..., jax.Array]:
    """(images, texts, log scale, bias) -> loss, in the global view."""

    def sigmoid(images: jax.Array, texts: jax.Array, log_scale: jax.Array, bias: jax.Array) -> jax.Array:
        logits = jnp.dot(images, texts.T) * jnp.exp(log_scale) + bias
        labels = -jnp.ones_like(logits) + 2 * jnp.eye(len(logits))
        return jnp.mean(-jnp.sum(jax.nn.log_sigmoid(labels * logits), axis=-1))

    def softmax(images: jax.Array, texts: jax.Array, log_scale: jax.Array, bias: jax.Array) -> jax.Array:
        logits = jnp.dot(images, texts.T) * jnp.exp(log_scale)
        by_image, by_text = (jnp.diagonal(jax.nn.log_softmax(logits, axis)) for axis in (1, 0))
        return -jnp.mean(by_image + by_text) / 2

    return {"sigmoid": sigmoid, "softmax": softmax}[term]


def ours(term: str, form: str, mesh: jax.sharding.Mesh) -> Callable[..., jax.Array]:
    """The same from the term as it is trained, per-device code on the mesh."""
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    graph, state = nnx.split(Objective(ObjectiveSpec(terms={term: 1.0}, form=form), model=ModelSpec(), rngs=nnx.Rngs(0)))
    names = nnx.as_pure(state)["terms"][term]

    def local(images: jax.Array, texts: jax.Array, log_scale: jax.Array, bias: jax.Array) -> jax.Array:
        given = {name: value for name, value in (("logit_scale", log_scale), ("logit_bias", bias)) if name in names}
        module = nnx.merge(graph, axes.vary({"terms": {term: given}}))
        return module({"image_embedding": images, "text_embedding": texts}, {}, axes=axes).loss

    return lambda *arguments: jax.shard_map(local, in_specs=(rows, rows, P(), P()), out_specs=P())(*arguments)


def compiled_bytes(loss: Callable[..., jax.Array], *, batch: int, mesh: jax.sharding.Mesh) -> tuple[int, bool]:
    """(temporaries of one device, whether it fits)."""
    rows, one = jax.NamedSharding(mesh, batch_layout(mesh)), jax.NamedSharding(mesh, P())
    embeddings = jax.ShapeDtypeStruct((batch, WIDTH), jnp.float32, sharding=rows)
    scalar = jax.ShapeDtypeStruct((), jnp.float32, sharding=one)
    gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)), out_shardings=(one, (rows, rows, one, one)))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        lowered = gradients.trace(embeddings, embeddings, scalar, scalar).lower(lowering_platforms=("tpu",))
    try:
        return lowered.compile().memory_analysis().temp_size_in_bytes, True
    except jax.errors.JaxRuntimeError as error:
        needed = used_when_full(error)
        if needed is None:
            raise
        return needed, False


def measure(*, term: str, topology: str, sizes: tuple[int, ...] | None, batch: int, form: str) -> Result:
    """One compile of `form` for a slice; sizes: of the mesh, absent: all chips on fsdp."""
    devices = topologies.get_topology_desc(topology, platform="tpu").devices
    kind = jax.sharding.AxisType.Auto if form == "naive" else jax.sharding.AxisType.Explicit
    mesh = jax.sharding.Mesh(np.array(devices).reshape(sizes or (1, -1, 1)), AXES, axis_types=(kind,) * 3)
    start = time.perf_counter()
    used, fits = compiled_bytes(naive(term) if form == "naive" else ours(term, form, mesh), batch=batch, mesh=mesh)
    sharing = math.prod(mesh.devices.shape[:2])
    chosen = choose_form(rows=batch // sharing, devices=sharing, width=WIDTH)
    return Result(
        term=term,
        topology=topology,
        mesh="x".join(map(str, mesh.devices.shape)),
        batch=batch,
        form=form,
        temp_mib=round(used / MIB, 1),
        fits=fits,
        auto=form == chosen.name,
        compile_seconds=round(time.perf_counter() - start, 1),
    )


def table(results: list[Result]) -> str:
    """A line a slice and batch, a column a form, MiB; in brackets what `auto` takes, * what XLA refuses."""
    cells: dict[tuple[str, str, str, int], dict[str, str]] = {}
    for r in results:
        text = f"{r.temp_mib:,.1f}{'' if r.fits else '*'}"
        cells.setdefault((r.term, r.topology, r.mesh, r.batch), {})[r.form] = f"[{text}]" if r.auto else text
    forms = list(dict.fromkeys(r.form for r in results))
    lines = [f"{'term':8} {'slice':11} {'mesh':>9} {'batch':>9} " + " ".join(f"{form:>13}" for form in forms)]
    for (term, topology, mesh, batch), row in cells.items():
        lines.append(f"{term:8} {topology:11} {mesh:>9} {batch:9,} " + " ".join(f"{row.get(form, ''):>13}" for form in forms))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """See the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--term", nargs="+", default=["sigmoid"], choices=("sigmoid", "softmax"))
    parser.add_argument("--topology", nargs="+", default=TOPOLOGIES)
    parser.add_argument("--mesh", type=lambda text: tuple(map(int, text.split("x"))), metavar="RxFxT")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--form", nargs="+", default=FORMS, choices=FORMS)
    parser.add_argument("--json", action="store_true")
    given: Any = parser.parse_args(arguments)
    results = []
    for term in given.term:
        for topology in given.topology:
            for batch in given.batch:
                results += [measure(term=term, topology=topology, sizes=given.mesh, batch=batch, form=form) for form in given.form]
    print(json.dumps([dataclasses.asdict(result) for result in results]) if given.json else table(results))


if __name__ == "__main__":
    main()
