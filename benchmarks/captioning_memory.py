"""Temporaries per device of value and gradient of the captioning term alone, of all columns at once and in pieces of the vocabulary.

usage: python benchmarks/captioning_memory.py [--topology T | --devices N] [--rows B] [--tensor N] [--chunk C ...]

Shapes of `coca_2b`: 64 tokens, width 1408, 64,000 words; hidden states are bfloat16[B / (replica fsdp), 64, 1408] on a device, the output
bfloat16[1408, 64000] in shards over fsdp (and columns over tensor), gathered in the loss as in training. --topology compiles for TPUs that
are not here (libtpu; one process at a time), --devices for as many CPU devices. chunk 0: `auto`, as a recipe has it; -1: all columns.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import topologies

from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec, TextTowerSpec
from diptych.pretrain.spec_objective import CaptioningSpec
from diptych.sharding.axes import mesh_axes
from diptych.sharding.layouts import batch_layout, on_mesh
from diptych.sharding.spec import AXES

P = jax.P
TOKENS, WIDTH, WORDS, EOS = 64, 1408, 64_000, 1


def temporaries(mesh: jax.sharding.Mesh, *, rows: int, chunk: int, platform: str) -> int:
    """Bytes of a device. rows: of the global batch."""
    spec = ObjectiveSpec(terms={"captioning": 1.0}, captioning=CaptioningSpec(vocab_chunk={0: None, -1: WORDS}.get(chunk, chunk)))
    graph, state = nnx.split(Objective(spec, model=ModelSpec(text=TextTowerSpec(eos_id=EOS, vocab_size=WORDS)), rngs=nnx.Rngs(0)))
    axes, by_row, table_layout = mesh_axes(mesh), batch_layout(mesh), on_mesh(P("fsdp", "tensor"), mesh)

    def local(hidden: jax.Array, shard: jax.Array, text: jax.Array) -> jax.Array:
        table = axes.whole(axes.vary(shard), table_layout, dtype=jnp.dtype(jnp.bfloat16))
        return nnx.merge(graph, state)({"hidden": hidden, "unembedding": table}, {"text": text}, axes=axes).loss

    layouts = (by_row, table_layout, by_row)
    shapes = (((rows, TOKENS, WIDTH), jnp.bfloat16), ((WIDTH, WORDS), jnp.float32), ((rows, TOKENS), jnp.int32))
    given = [jax.ShapeDtypeStruct(*shape, sharding=jax.NamedSharding(mesh, layout)) for shape, layout in zip(shapes, layouts, strict=True)]
    loss = jax.shard_map(local, mesh=mesh, in_specs=layouts, out_specs=P())
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        lowered = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).trace(*given).lower(lowering_platforms=(platform,))
    return int(lowered.compile().memory_analysis().temp_size_in_bytes)


def main(arguments: list[str] | None = None) -> None:
    """See the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topology")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--rows", type=int, default=64, help="of one device that holds a part of the batch")
    parser.add_argument("--tensor", type=int, default=1)
    parser.add_argument("--chunk", nargs="+", type=int, default=(-1, 0))
    given = parser.parse_args(arguments)
    if given.topology is None:
        jax.config.update("jax_num_cpu_devices", given.devices)
        devices, platform = jax.devices(), "cpu"
    else:
        devices, platform = topologies.get_topology_desc(given.topology, platform="tpu").devices, "tpu"
    shards = np.array(devices).reshape(1, -1, given.tensor)
    mesh = jax.sharding.Mesh(shards, AXES, axis_types=(jax.sharding.AxisType.Explicit,) * 3)
    for chunk in given.chunk:
        used = temporaries(mesh, rows=given.rows * shards.shape[1], chunk=chunk, platform=platform)
        name = {0: "auto", -1: "all columns"}.get(chunk, f"{chunk} columns")
        print(
            f"{given.topology or platform} x {len(devices)}, {given.rows} rows a device, {name:>12}: {used / 2**20:9,.1f} MiB", flush=True
        )


if __name__ == "__main__":
    main()
