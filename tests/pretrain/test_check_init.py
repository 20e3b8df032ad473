"""What a run starts from, where it makes no sense."""

import dataclasses

import pytest

from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.init_weights import init_weights
from diptych.pretrain.learner import make_learner
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.mesh import abstract_mesh

WRONG = {
    ("train.init.path=models/first", "train.init.parameters=model("): "train.init.parameters has 'model(' (",
    (r"train.init.parameters=model\.image\..*",): (
        r"train.init.parameters = ('model\\.image\\..*',) are of train.init.path, which is none; accepted is a folder"
    ),
}


@pytest.mark.parametrize("overrides", WRONG, ids=" ".join)
def test_wrong_settings_are_answered_in_one_sentence(overrides):
    with pytest.raises(UserError) as answer:
        load_recipe("clip_emoji", overrides)
    assert str(answer.value).startswith(WRONG[overrides])
    assert "accepted" in str(answer.value) and "\n" not in str(answer.value)


def test_a_tower_that_would_stay_as_it_was_drawn_is_refused(squares_recipe):
    def fresh(*freeze):
        recipe = dataclasses.replace(squares_recipe, optimizer=dataclasses.replace(squares_recipe.optimizer, freeze=freeze))
        learner = make_learner(recipe, abstract_mesh(replica=1, fsdp=1, tensor=1))
        return init_weights(recipe, learner, load_tokenizer(recipe.data.tokenizer))

    with pytest.raises(UserError, match=r"^optimizer.freeze freezes model.text, of which train.init.path gives nothing, .* accepted is"):
        fresh(r"model\.text\..*")
    assert fresh(r"model\.image\.patch") is None  # a patch embedding that stays as it was drawn is done on purpose (MoCo v3)
