"""So400m's 4,304 hidden units are 16 x 269: on 256 chips no large parameter may stay whole for that."""

import jax
import pytest

from diptych.pretrain.check_devices import check_devices
from diptych.pretrain.learner import make_learner
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.layouts import is_layout, named_leaves
from diptych.sharding.mesh import abstract_mesh

P = jax.P


@pytest.mark.parametrize("fsdp", [64, 128])
def test_no_parameter_above_a_megabyte_is_replicated(fsdp):
    recipe = load_recipe("siglip_so400m_14", [f"mesh.fsdp={fsdp}"])
    sizes = check_devices(recipe, device_count=256)
    learner = make_learner(recipe, abstract_mesh(replica=sizes.replica, fsdp=sizes.fsdp, tensor=1))
    layouts = named_leaves(learner.layouts, is_leaf=is_layout)
    assert layouts["model.image.blocks.layers.mlp.down"] == P(None, None, "fsdp")
    for name, array in named_leaves(learner.shapes).items():
        assert "fsdp" in layouts[name] or array.size * 4 < 2**20, f"{name} {array.shape} is replicated"
        for size, axes in zip(array.shape, layouts[name]):
            assert axes is None or size % fsdp == 0


def test_the_preset_of_v5e_takes_it():
    found = check_devices(load_recipe("siglip_so400m_14"), device_count=256, device_kind="TPU v5 lite")
    assert (found.replica, found.fsdp, found.tensor) == (4, 64, 1)
