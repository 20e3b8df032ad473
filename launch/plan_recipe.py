"""From a recipe and a topology to a plan."""

from __future__ import annotations

import dataclasses

import jax

from ..errors import UserError
from ..pretrain.check_devices import on_devices
from ..pretrain.learner import make_learner
from ..pretrain.lowering import trace_step, trace_towers
from ..pretrain.model_flops import model_flops
from ..pretrain.spec import Recipe
from ..sharding.mesh import mesh_over
from ..sharding.plan import plan_step
from ..sharding.plan_cache import PlanCache
from ..sharding.topology import Topology
from .plan_result import GIB, RecipePlan


def plan_recipe(recipe: Recipe, topology: Topology, *, cache: PlanCache | None = None) -> RecipePlan:
    """The plan of a recipe's step; the mesh and the remat policy that it leaves open are those of the hardware's preset, as in training.

    UserError where the mesh or the batch does not fit the topology.
    """
    here = placed(recipe, topology)
    mesh = mesh_over(here.mesh, topology.devices)
    full = model_flops(unscheduled(here), mesh)
    params = sum(array.size for array in jax.tree.leaves(make_learner(here, mesh).shapes))
    plan = plan_step(trace_step(here, mesh), mesh, topology, cache=cache)
    shorter = here.data.size_schedule or here.data.text_schedule
    return RecipePlan(recipe=here, plan=plan, params=params, model_flops=full, mean_step=model_flops(here, mesh) / full if shorter else 1.0)


def unscheduled(recipe: Recipe) -> Recipe:
    """The recipe whose images and captions always have their full size, which is what a plan compiles."""
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, size_schedule=None, text_schedule=None))


def placed(recipe: Recipe, topology: Topology) -> Recipe:
    """The recipe with mesh and remat policy filled in; UserError where they do not fit all devices of the topology."""
    count = len(topology.devices)
    here = on_devices(recipe, device_count=count, device_kind=topology.devices[0].device_kind)
    if (used := here.mesh.replica * here.mesh.fsdp * here.mesh.tensor) != count:
        raise UserError(
            f"mesh.replica x mesh.fsdp x mesh.tensor = {used} leaves out devices of --topology = {topology.name}; "
            f"accepted is a product of {count}"
        )
    return here


def split_temporaries(found: RecipePlan, *, cache: PlanCache | None = None) -> dict[str, float]:
    """The temporaries of the towers alone, and what the loss adds to them."""
    if found.plan.weight.memory is None:
        return {}
    mesh = found.device_mesh
    towers = plan_step(trace_towers(found.recipe, mesh), mesh, found.plan.topology, cache=cache)
    if towers.weight.memory is None:
        return {}
    alone, together = towers.weight.memory.temporaries, found.plan.weight.memory.temporaries
    return {"activations_gib": min(alone, together) / GIB, "loss_gib": max(together - alone, 0) / GIB}
