"""How weights and gradients travel in a compiled step: read from its HLO, as XLA:CPU writes it for eight devices, and libtpu for 1,024."""

import dataclasses
import math
import os
import re

import jax
import pytest

from diptych.pretrain.learner import make_learner
from diptych.pretrain.lowering import lower_step
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.collectives import collectives
from diptych.sharding.hlo import parse
from diptych.sharding.hlo_text import compile_step
from diptych.sharding.layouts import is_layout, named_leaves
from diptych.sharding.mesh import make_mesh, mesh_over
from diptych.sharding.placement import placement_of
from diptych.sharding.spec import MeshSpec

# XLA:CPU need not make fast machine code of what is only read: half of its time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
FLOAT32, BFLOAT16 = 4, 2


@dataclasses.dataclass(frozen=True)
class Step:
    """A compiled step.

    text: its HLO. found: its collectives. batch: rows. sharded: bytes of the parameters that fsdp shards, in the type that they travel in.
    whole: of the others. matrix: of the largest one of a layer. alone: of each parameter that stands in no stack. embeddings: bytes of the
    whole batch's, in float32.
    """

    text: str
    found: list
    batch: int
    embeddings: int
    fsdp: int
    sharded: int
    whole: int
    matrix: int
    alone: set

    def of(self, kind, *axes):
        """Of weights and their gradients."""
        return [each for each in self.found if each.kind == kind and each.axes == axes and each.bytes != self.embeddings]


def compiled_step(recipe, mesh, *, platform, itemsize, options):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        lowered = lower_step(recipe, mesh, platform=platform)
        text = compile_step(lowered, platform=platform, options=options).text
    learner = make_learner(recipe, mesh)
    layouts = named_leaves(learner.layouts, is_leaf=is_layout)
    shapes = {name: array.shape for name, array in named_leaves(learner.shapes).items()}
    sharded = {name: shape for name, shape in shapes.items() if "fsdp" in layouts[name]}
    return Step(
        text=text,
        found=collectives(parse(text), placement_of(mesh)),
        batch=recipe.train.batch_size,
        embeddings=FLOAT32 * recipe.train.batch_size * recipe.model.embed_dim,
        fsdp=mesh.shape["fsdp"],
        sharded=itemsize * sum(math.prod(shape) for shape in sharded.values()),
        whole=itemsize * sum(math.prod(shape) for name, shape in shapes.items() if name not in sharded),
        matrix=itemsize * max(math.prod(shape[1:]) for name, shape in sharded.items() if ".layers." in name),
        alone={itemsize * math.prod(shape) for name, shape in sharded.items() if ".layers." not in name},
    )


def total(found):
    return sum(each.bytes * each.times for each in found)


def check_what_is_gathered(step):
    """Nothing that fsdp gathers is larger than one matrix of one layer, but for the parameters that stand in no stack."""
    gathers = step.of("all-gather", "fsdp")
    assert gathers and {each.bytes for each in gathers if each.bytes > step.matrix} <= step.alone
    assert not [each for each in step.found if each.kind == "all-to-all"]
    assert not re.search(rf"\[(\d+,)*{step.batch},{step.batch}\]", step.text), "logits of all pairs"


def check_embeddings(step):
    """The whole batch's are gathered, and their gradients sent home by reduce-scatter, never summed on all devices."""
    assert {each.kind for each in step.found if each.bytes == step.embeddings} == {"all-gather", "reduce-scatter"}


@pytest.fixture(scope="module")
def cpu_step(tiny_recipe):
    """Five layers, as a weight has copies elsewhere; a batch of a size that nothing else has."""
    recipe = tiny_recipe("siglip", remat="full", batch_size=48)
    image, text = (dataclasses.replace(part, depth=5) for part in (recipe.model.image, recipe.model.text))
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, image=image, text=text))
    return compiled_step(recipe, make_mesh(MeshSpec(replica=2, fsdp=4, tensor=1)), platform="cpu", itemsize=FLOAT32, options=QUICK)


def test_no_stack_is_gathered_whole_and_nothing_goes_to_all(cpu_step):
    check_what_is_gathered(cpu_step)


def test_gradients_leave_by_reduce_scatter_and_one_sum_over_replicas(cpu_step):
    """The token table's too: all bytes that fsdp shards are reduce-scattered, once; what is summed over fsdp besides is replicated."""
    assert total(cpu_step.of("reduce-scatter", "fsdp")) == cpu_step.sharded
    over_replicas = cpu_step.of("all-reduce", "replica")
    assert total(over_replicas) == cpu_step.sharded // cpu_step.fsdp and {each.times for each in over_replicas} == {1}
    everywhere = [each for each in cpu_step.found if each.kind == "all-reduce" and "fsdp" in each.axes]
    assert total(everywhere) < 1.1 * cpu_step.whole + 1024
    assert {each.times for each in everywhere} == {1}


def test_embeddings_are_gathered_and_their_gradients_scattered(cpu_step):
    check_embeddings(cpu_step)


@pytest.fixture(scope="module")
def pod_step():
    """SigLIP B/16 as it is trained, on 1,024 chips."""
    if os.environ.get("DIPTYCH_PLAN") != "1":
        pytest.skip("compiles for a minute; DIPTYCH_PLAN=1 runs it, with libtpu installed")
    pytest.importorskip("libtpu", reason="libtpu, the compiler for TPUs, is not installed: pip install '.[plan]'")
    from diptych.sharding.topology import find_topology

    recipe = load_recipe("siglip_vit_b16", ["mesh.replica=16", "mesh.fsdp=64", "train.remat=full"])
    return compiled_step(recipe, mesh_over(recipe.mesh, find_topology("v5p:8x8x16").devices), platform="tpu", itemsize=BFLOAT16, options={})


def test_a_pod_gathers_no_stack_whole_and_sends_nothing_to_all(pod_step):
    check_what_is_gathered(pod_step)


def test_a_pods_gradients_leave_by_reduce_scatter_and_one_sum_over_replicas(pod_step):
    """libtpu pads what it scatters to whole tiles, and sums some vectors that fsdp shards whole: hence the margins, of 5% and less."""
    scattered = total(pod_step.of("reduce-scatter", "fsdp"))
    assert 0.95 * pod_step.sharded <= scattered <= 1.4 * pod_step.sharded
    over_replicas = pod_step.of("all-reduce", "replica")
    assert total(over_replicas) <= 1.4 * pod_step.sharded * FLOAT32 // BFLOAT16 // pod_step.fsdp
    assert {each.times for each in over_replicas} == {1}
    everywhere = [each for each in pod_step.found if each.kind == "all-reduce" and "fsdp" in each.axes]
    assert total(everywhere) < 1.2 * pod_step.whole * FLOAT32 // BFLOAT16 + 2**20


def test_a_pod_gathers_embeddings_and_scatters_their_gradients(pod_step):
    check_embeddings(pod_step)
