"""Goldens: what every recipe lowers to, and what the compiler made of some of them, as files that a change must be seen to change.

Lowered: on an abstract mesh, in a second each, without a compiler: parameters, layouts, and the collectives as they are written in the
program, each as often as the text says it (a loop's body once). Compiled: with the compiler's version, as another one may differ.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ..pretrain.check_devices import check_devices
from ..pretrain.learner import make_learner
from ..pretrain.lowering import lower_step
from ..pretrain.recipe import load_recipe
from ..sharding.layouts import is_layout, named_leaves
from ..sharding.mesh import abstract_mesh
from ..sharding.topology import find_topology
from .plan_recipe import plan_recipe
from .plan_result import GIB, RecipePlan
from .plan_tables import entry

SMALL = ("quickstart", "clip_emoji", "clip_emoji_best")
POD = {"replica": 4, "fsdp": 64, "tensor": 4}
ONE = {"replica": 1, "fsdp": 1, "tensor": 1}
# Recipes that CI compiles anew: two that the memory of a pod is judged by, and a small one with another objective.
COMPILED = {
    "siglip_vit_b16": ("v5e:16x16", ("train.remat=full",)),
    "siglip_so400m_14": ("v5e:16x16", ("train.remat=full",)),
    "quickstart": ("v5e:2x4", ("train.dtype=bfloat16",)),
}
COLLECTIVE = re.compile(r"\bstablehlo\.(all_gather|all_reduce|reduce_scatter|collective_permute|all_to_all)\b")


def lowered_golden(name: str) -> dict[str, Any]:
    """What a recipe is before any compiler has seen it."""
    mesh = ONE if name in SMALL else POD
    recipe = load_recipe(name, [f"mesh.{axis}={size}" for axis, size in mesh.items()])
    check_devices(recipe, device_count=mesh["replica"] * mesh["fsdp"] * mesh["tensor"])
    learner = make_learner(recipe, abstract_mesh(**mesh))
    layouts = named_leaves(learner.layouts, is_leaf=is_layout)
    shapes = named_leaves(learner.shapes)
    text = lower_step(recipe, abstract_mesh(**mesh), platform="tpu").as_text()
    return {
        "recipe": name,
        "mesh": mesh,
        "params": sum(array.size for array in jax.tree.leaves(learner.shapes)),
        "collectives": dict(sorted(Counter(COLLECTIVE.findall(text)).items())),
        "layouts": {leaf: parameter_line(array.shape, layouts[leaf]) for leaf, array in sorted(shapes.items())},
    }


def parameter_line(shape: tuple[int, ...], layout: jax.P) -> str:
    """`12 x 768 x 2304: ., fsdp, tensor`."""
    return f"{' x '.join(map(str, shape))}: {', '.join(map(entry, layout))}".strip(": ")


def compiled_golden(name: str) -> dict[str, Any]:
    """What the compiler makes of a recipe: memory to a MiB, and the collectives of a step."""
    topology, overrides = COMPILED[name]
    return compiled_values(plan_recipe(load_recipe(name, list(overrides)), find_topology(topology)), overrides)


def compiled_values(found: RecipePlan, overrides: tuple[str, ...]) -> dict[str, Any]:
    """The plan as a golden file has it: of each kind of collective how many a step, and the MiB of the whole arrays."""
    plan = found.plan
    return {
        "recipe": found.recipe.name,
        "overrides": list(overrides),
        "topology": plan.topology.name,
        "mesh": dict(plan.mesh),
        "compiler": plan.topology.compiler,
        "peak_hbm_gib": round(plan.weight.needed / GIB, 3),
        "model_tflops_per_step": round(found.model_flops / 1e12, 1),
        "collectives": {
            f"{row.kind} of {row.scope or '-'} over {' + '.join(row.axes)}": {"count": int(row.count), "mib": round(row.bytes / 2**20, 3)}
            for row in plan.weight.traffic
        },
    }


def write_goldens(folder: Path, names: tuple[str, ...]) -> list[str]:
    """Makes the files of these recipes anew, compiled ones included; returns what was written."""
    written = []
    for name in names:
        written.append(write(folder / "lowered" / f"{name}.json", lowered_golden(name)))
        if name in COMPILED:
            written.append(write(folder / "compiled" / f"{name}.json", compiled_golden(name)))
    return written


def write(path: Path, values: Mapping[str, Any]) -> str:
    """One file, with a line a value, so that a change is easy to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1) + "\n")
    return str(path)
