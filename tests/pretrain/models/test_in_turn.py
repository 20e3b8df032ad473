"""The image tower's gradient waits for the text tower's, where both are trained."""

import dataclasses
import re

from diptych.pretrain.lowering import lower_step
from diptych.sharding.mesh import abstract_mesh

BARRIER = re.compile(r"stablehlo\.optimization_barrier .* : (.*)")


def waiting(recipe):
    """What waits for each other in the step, by its types."""
    return BARRIER.findall(lower_step(recipe, abstract_mesh(replica=2, fsdp=2, tensor=2), platform="cpu").as_text())


def test_embedding_and_first_text_vectors_wait_for_each_other_there_and_back(tiny_recipe):
    assert waiting(tiny_recipe("siglip")) == ["tensor<4x32xf32>, tensor<4x8x32xf32>"] * 2


def test_a_frozen_tower_is_not_asked_for_a_gradient(tiny_recipe):
    recipe = tiny_recipe("siglip")
    frozen = dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, freeze=(r"model\.text\..*",)))
    assert waiting(frozen) == []
