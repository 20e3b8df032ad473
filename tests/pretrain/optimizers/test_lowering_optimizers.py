"""Each optimizer's step on each large recipe, lowered for 1,024 devices that are not there: it keeps the layouts of all that it touches."""

import math

import jax
import pytest

from diptych import configs
from diptych.pretrain.checkpoint import targets
from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.state import state_layouts, state_shapes
from diptych.sharding.layouts import is_layout, named_leaves
from diptych.sharding.mesh import abstract_mesh

P = jax.P
SMALL = ("quickstart", "clip_emoji", "clip_vit_b16", "clip_vit_b32")  # the last two are clip_vit_l14, narrower
LARGE = [name for name in configs.names() if name not in SMALL]
MESH = abstract_mesh(replica=64, fsdp=8, tensor=2)


@pytest.mark.parametrize("name", ["adafactor", "lion", "muon", "lamb"])
@pytest.mark.parametrize("config", LARGE)
def test_an_optimizers_step_lowers_for_a_pod(config, name):
    recipe = load_recipe(config, [f"optimizer.name={name}", "optimizer.adaptive_clip=0.01", "optimizer.layer_decay=0.9"])
    learner, optimizer = make_learner(recipe, MESH), make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    with jax.sharding.use_abstract_mesh(MESH):
        shapes, layouts = state_shapes(learner, optimizer), state_layouts(learner, optimizer)
        params, opt = targets((shapes.params, shapes.opt), (layouts.params, layouts.opt), MESH)
        traced = jax.jit(optimizer.update).trace(params, opt, params)
        text = traced.lower(lowering_platforms=("tpu",)).as_text()
    for path, made in named_leaves(jax.tree.map(lambda x: x.sharding, traced.out_info)).items():
        given = named_leaves((params, opt))[path].sharding
        assert tuple(made.spec) == tuple(given.spec) + (None,) * (len(made.spec) - len(given.spec)), path
    assert ("all_to_all" in text) == (name == "muon")


def test_a_statistic_over_one_dimension_keeps_the_sharding_of_the_other():
    recipe = load_recipe("clip_vit_l14", ["optimizer.name=adafactor"])
    learner, optimizer = make_learner(recipe, MESH), make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    shapes, layouts = (
        named_leaves(state_shapes(learner, optimizer).opt),
        named_leaves(state_layouts(learner, optimizer).opt, is_leaf=is_layout),
    )
    rows = next(name for name in shapes if name.endswith("rows.model.image.blocks.layers.mlp.up"))
    columns = rows.replace("rows", "columns")
    assert (shapes[rows].shape, layouts[rows]) == ((24, 1024, 1), P(None, "fsdp", None))
    assert (shapes[columns].shape, layouts[columns]) == ((24, 1, 4096), P(None, None, "tensor"))
    moments = {
        name: math.prod(shape.shape) for name, shape in shapes.items() if ".rows." in name or ".columns." in name or ".whole." in name
    }
    assert sum(moments.values()) < 0.01 * sum(math.prod(shape.shape) for shape in jax.tree.leaves(learner.shapes))
