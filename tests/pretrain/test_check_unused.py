"""Settings that would do nothing, and nobody would know."""

import dataclasses

import pytest

from diptych.errors import UserError
from diptych.pretrain.check_unused import FORMED, NESTED, OPTIMIZERS, READERS, SCALED
from diptych.pretrain.objectives.contrastive import Contrastive
from diptych.pretrain.objectives.objective import TERMS
from diptych.pretrain.objectives.term import Term
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.spec_objective import DistillationSpec, ObjectiveSpec
from diptych.pretrain.spec_optimizer import OptimizerSpec

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
    (
        (COCA, "objective.terms.captioning=0"),
        "model.decoder = (depth = 12, heads = 8, mlp_dim = none, attention = causal, parallel = 0) is read by none of "
        "objective.terms = softmax; accepted is none, or with a weight above 0 captioning",
    ),
    (
        (EMOJI, "objective.mochi.hardest=32"),
        "objective.mochi.hardest = 32 is read by none of objective.terms = softmax; accepted is 64, or",
    ),
    ((EMOJI, "objective.terms.mochi=0", "objective.mochi.with_query=0"), "objective.mochi.with_query = 0 is read by none of"),
    ((EMOJI, "objective.m2mix.alpha=1"), "objective.m2mix.alpha = 1 is read by none of objective.terms = softmax; accepted is 0.5, or"),
    (
        (EMOJI, "objective.cyclip.in_modal=0"),
        "objective.cyclip.in_modal = 0 is read by none of objective.terms = softmax; accepted is 0.25",
    ),
    (
        (EMOJI, "objective.self_supervised.projector=8,8"),
        "objective.self_supervised.projector = (8, 8) is read by none of objective.terms = softmax; accepted is (4096, 4096, 256), or",
    ),
    ((EMOJI, "data.views.flip=0"), "data.views.flip = 0 is read by none of objective.terms = softmax; accepted is 0.5, or with a weight"),
    ((EMOJI, "objective.captioning.vocab_chunk=64"), "objective.captioning.vocab_chunk = 64 is read by none of"),
    ((EMOJI, "objective.distillation.temperature=0.1"), "objective.distillation.temperature = 0.1 is read by none of"),
    (
        (EMOJI, "objective.distillation.teacher_dim=8"),
        "objective.distillation.teacher_dim = 8 is read by none of objective.terms = softmax;",
    ),
    (
        (EMOJI, "objective.terms.distillation_logits=1", "objective.distillation.teacher=t", "objective.distillation.distance=cosine"),
        "objective.distillation.distance = cosine is read by none of objective.terms = distillation_logits, softmax; accepted is mse, or",
    ),
    ((EMOJI, "objective.init_bias=-5"), "objective.init_bias = -5 is read by none of objective.terms = softmax; accepted is -10, or"),
    (
        (EMOJI, WITHOUT, "objective.terms.cyclip=1", "objective.form=ring"),
        "objective.form = ring is read by none of objective.terms = cyclip; accepted is auto, or with a weight above 0 ",
    ),
    (
        (EMOJI, WITHOUT, "objective.terms.cyclip=1", "objective.chunk=64"),
        "objective.chunk = 64 is read by none of objective.terms = cyclip; accepted is none, or",
    ),
    (
        (COCA, WITHOUT, "objective.scale=fixed"),
        "objective.scale = fixed is read by none of objective.terms = captioning; accepted is learnt",
    ),
    (
        (EMOJI, "optimizer.muon.momentum=0.9"),
        "optimizer.muon.momentum = 0.9 is not read by optimizer.name = adamw; accepted is 0.95, or optimizer.name = muon",
    ),
    (
        (EMOJI, "optimizer.name=muon", "optimizer.adafactor.min_factored=8"),
        "optimizer.adafactor.min_factored = 8 is not read by optimizer.name = muon; accepted is 32, or optimizer.name = adafactor",
    ),
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


READ = [
    (EMOJI, "objective.terms.mochi=1", "objective.mochi.hardest=32"),
    (EMOJI, "objective.terms.self_supervised=1", "data.views.flip=0", "objective.self_supervised.temperature=0.2"),
    (EMOJI, WITHOUT, "objective.terms.self_supervised=1", "objective.form=ring", "objective.chunk=64"),
    (SIGLIP, "objective.init_bias=-5", "objective.form=chunked", "objective.scale=fixed"),
    (SIGLIP, "objective.terms.sigmoid=0", "objective.terms.cyclip=1"),  # the recipe's scale is no reason to refuse another term
    (COCA, "objective.captioning.vocab_chunk=1024", WITHOUT),
    (EMOJI, "optimizer.name=muon", "optimizer.muon.momentum=0.9"),
]


@pytest.mark.parametrize("given", READ, ids=" ".join)
def test_what_is_read_is_accepted(given):
    load_recipe(given[0], given[1:])


def test_nested_widths_are_of_every_term_that_has_pairs():
    contrastive = {name: term for name, term in TERMS.items() if issubclass(term, Contrastive)}
    assert sorted(name for name, term in contrastive.items() if term.__call__ is Contrastive.__call__) == list(NESTED)
    assert sorted(contrastive) == sorted(SCALED)


def test_the_form_is_of_every_term_that_chooses_one():
    assert sorted(name for name, term in TERMS.items() if term.form is not Term.form) == sorted(FORMED)


def test_every_setting_of_a_term_or_an_optimizer_has_its_readers():
    of_all = {"terms", "init_scale", "max_scale"}
    settings = {f"objective.{field.name}" for field in dataclasses.fields(ObjectiveSpec) if field.name not in of_all | {"distillation"}}
    settings |= {f"objective.distillation.{field.name}" for field in dataclasses.fields(DistillationSpec)}
    assert {path for path in READERS if path.startswith("objective.")} == settings
    groups = {field.name for field in dataclasses.fields(OptimizerSpec) if dataclasses.is_dataclass(field.default)}
    assert {f"optimizer.{name}" for name in groups} == set(OPTIMIZERS)
    assert {reader for readers in READERS.values() for reader in readers} <= set(TERMS)
