"""Settings that would do nothing, and nobody would know."""

import pytest

from diptych.errors import UserError
from diptych.pretrain.check_unused import NESTED
from diptych.pretrain.objectives.contrastive import Contrastive
from diptych.pretrain.objectives.objective import TERMS
from diptych.pretrain.recipe import load_recipe

EMOJI, SIGLIP, COCA = "clip_emoji", "siglip_vit_b16", "coca_vit_b32"
WITHOUT = "objective.terms.softmax=0"
WRONG = [
    (
        (SIGLIP, "objective.label_smoothing=0.1"),
        "objective.label_smoothing = 0.1 is read by none of objective.terms = sigmoid; accepted is 0, or with a weight above 0 "
        "softmax or unicl",
    ),
    ((EMOJI, WITHOUT, "objective.terms.mochi=1", "objective.label_smoothing=0.1"), "objective.label_smoothing = 0.1 is read by none of"),
    (
        (EMOJI, WITHOUT, "objective.terms.cyclip=1", "objective.matryoshka.widths=48,96"),
        "objective.matryoshka.widths = (48, 96) is read by none of objective.terms = cyclip; accepted is an empty list, or",
    ),
    (
        (EMOJI, "objective.distillation.teacher=models/teacher"),
        "objective.distillation.teacher = models/teacher is read by none of objective.terms = softmax; accepted is none, or",
    ),
    ((COCA, "objective.terms.captioning=0"), "model.decoder = 12 layers is read by none of objective.terms = softmax; accepted is none"),
    (
        (EMOJI, "data.size_schedule.sizes=32", "data.size_schedule.patch_size=8", "data.size_schedule.until=600"),
        "data.size_schedule.until = 600 is never reached in train.steps = 400; accepted is at most 400, or none",
    ),
    (
        (EMOJI, "data.text_schedule.length=8", "data.text_schedule.until=99999999"),
        "data.text_schedule.until = 99999999 is never reached in train.steps = 400; accepted is at most 400, or none",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG, ids=[" ".join(given) for given, _ in WRONG])
def test_what_would_do_nothing_is_answered_in_one_sentence(given, sentence):
    config, *overrides = given
    with pytest.raises(UserError) as answer:
        load_recipe(config, overrides)
    assert str(answer.value).startswith(sentence)
    assert "accepted" in str(answer.value) and "\n" not in str(answer.value)


def test_nested_widths_are_of_every_term_that_has_pairs():
    contrastive = {name: term for name, term in TERMS.items() if issubclass(term, Contrastive)}
    assert sorted(name for name, term in contrastive.items() if term.__call__ is Contrastive.__call__) == list(NESTED)
