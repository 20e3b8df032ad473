"""From a recipe and a topology to a plan."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from flax import nnx

from ..errors import UserError
from ..pretrain.check_devices import on_devices
from ..pretrain.learner import Learner, make_learner
from ..pretrain.lowering import trace_step, trace_towers
from ..pretrain.model_flops import flops_by_shape
from ..pretrain.objectives.forms import PairForm
from ..pretrain.spec import Recipe
from ..pretrain.step_shape import shapes_of_run
from ..sharding.mesh import mesh_over
from ..sharding.plan import plan_step
from ..sharding.plan_cache import PlanCache
from ..sharding.topology import Topology
from .plan_result import GIB, RecipePlan


def plan_recipe(recipe: Recipe, topology: Topology, *, cache: PlanCache | None = None) -> RecipePlan:
    """The plan of a recipe's step; the mesh and the remat policy that it leaves open are those of the hardware's preset, as in training.

    Where schedules change the shapes of batches, it is of the run's largest step, by FLOPs: what that needs is what the run needs.
    UserError where the mesh or the batch does not fit the topology.
    """
    here = placed(recipe, topology)
    mesh = mesh_over(here.mesh, topology.devices)
    flops, shares = flops_by_shape(here, mesh), shapes_of_run(here)
    largest = max(flops, key=lambda shape: flops[shape])
    learner = make_learner(here, mesh)
    plan = plan_step(trace_step(here, mesh, shape=largest), mesh, topology, cache=cache)
    mean = sum(share * flops[shape] for shape, share in shares.items())
    return RecipePlan(
        recipe=here,
        plan=plan,
        params=sum(array.size for array in jax.tree.leaves(learner.shapes)),
        model_flops=flops[largest],
        forms=forms_of(learner),
        shape=largest,
        mean_step=mean / flops[largest],
    )


def forms_of(learner: Learner) -> Mapping[str, PairForm]:
    """How the terms that visit pairs do so in the step."""
    devices = learner.mesh.shape["replica"] * learner.mesh.shape["fsdp"]
    objective = nnx.merge(learner.graph, learner.shapes).objective
    return objective.forms(learner.recipe.train.batch_size // devices, devices=devices)


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
    towers = plan_step(trace_towers(found.recipe, mesh, shape=found.shape), mesh, found.plan.topology, cache=cache)
    if towers.weight.memory is None:
        return {}
    alone, together = towers.weight.memory.temporaries, found.plan.weight.memory.temporaries
    return {"activations_gib": min(alone, together) / GIB, "loss_gib": max(together - alone, 0) / GIB}
