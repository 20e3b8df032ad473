"""What is refused of the settings of self-supervision and distillation."""

from types import SimpleNamespace

import numpy as np
import pytest

from diptych.data.spec import ViewsSpec
from diptych.errors import UserError
from diptych.pretrain.evaluators.evaluator import Task
from diptych.pretrain.evaluators.loss import Loss
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.spec import EvalTaskSpec
from diptych.pretrain.views import wanted_views
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


class Samples:
    """Five images; the views of number n have the value n everywhere."""

    def __len__(self):
        return 5

    def captions(self):
        return [""] * 5

    def images(self, start, stop):
        return np.zeros((stop - start, 16, 16, 3), np.uint8)

    def views(self, start, stop, *, views):
        return np.broadcast_to(np.arange(start, stop, dtype=np.uint8).reshape(-1, 1, 1, 1, 1), (stop - start, 2, 16, 16, 3))


TERM = "objective.terms.self_supervised=1"
WRONG = [
    (["objective.self_supervised.projector="], "objective.self_supervised.projector is empty; accepted are one or more widths"),
    (
        ["objective.self_supervised.temperature=0"],
        "objective.self_supervised.temperature = 0.0 is out of range; accepted is a number above 0",
    ),
    (["objective.distillation.temperature=0"], "objective.distillation.temperature = 0.0 is out of range; accepted is a number above 0"),
    (["objective.distillation.distance=l1"], "objective.distillation.distance = 'l1' is unknown; accepted is mse or cosine"),
    (["data.views.blur=2"], "data.views.blur = 2.0 is out of range; accepted is a number from 0 to 1"),
    (["data.augment.blur_sigma=2,1"], "data.augment.blur_sigma = (2.0, 1.0) is out of range; accepted are two rising numbers from 0"),
    (
        ["data.views.crop_scale=0.2,2"],
        "data.views.crop_scale = (0.2, 2.0) is out of range; accepted are two rising numbers above 0, up to 1",
    ),
    (
        [TERM, "data.views.crop_scale=1,1", "data.views.crop_ratio=1,1"],
        "data.views.crop_scale = (1.0, 1.0) shows all of the image in both views of objective.terms.self_supervised",
    ),
    (
        [TERM, "data.size_schedule.seq_lens=9,16", "data.size_schedule.patch_size=8"],
        "data.size_schedule.seq_lens = (9, 16) does not go with objective.terms.self_supervised, whose views are square",
    ),
]


@pytest.mark.parametrize(("overrides", "sentence"), WRONG, ids=lambda value: value[-1] if isinstance(value, list) else "")
def test_wrong_settings_are_answered_in_a_sentence(overrides, sentence):
    with pytest.raises(UserError) as error:
        load_recipe("clip_emoji", overrides)
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value)


def test_views_are_made_only_where_a_term_compares_them():
    assert wanted_views(load_recipe("clip_emoji")) is None
    assert wanted_views(load_recipe("clip_emoji", [TERM, "data.views.grey=0.5"])).grey == 0.5
    assert wanted_views(load_recipe("clip_emoji", ["objective.terms.self_supervised=0"])) is None


def test_an_evaluation_of_the_loss_reads_views_where_a_term_compares_them():
    seen = []
    encoders = SimpleNamespace(mesh=make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)), loss=lambda _, batch: (seen.append(batch) or 0.0, {}))
    task = Task(
        name="t",
        spec=EvalTaskSpec(kind="loss", negatives=2),
        samples=Samples(),
        tokenize=lambda texts: np.zeros((len(texts), 4), np.int32),
        image_size=16,
        views=ViewsSpec(),
    )
    assert Loss(task)(encoders, None) == {"loss": 0.0}
    assert [batch["image_views"].shape for batch in seen] == [(2, 2, 16, 16, 3)] * 2
    assert np.array_equal(seen[1]["image_views"][:, 0, 0, 0, 0], [2, 3])
