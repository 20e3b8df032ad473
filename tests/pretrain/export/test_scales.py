"""Which of several terms' scales is that of a model."""

import dataclasses

import jax
import numpy as np
import pytest

import diptych
from diptych.data.tokenizers import load_tokenizer
from diptych.pretrain.export.config import Origin
from diptych.pretrain.export.export import write
from diptych.pretrain.learner import make_learner
from diptych.pretrain.spec_objective import DistillationSpec
from diptych.pretrain.teacher import load_teacher
from diptych.sharding.layouts import named_leaves
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

ORIGIN = Origin(recipe="squares", hash="", manifest="", steps=1, samples=1)
TERMS = [  # of a model, with the one whose scale and bias it has
    (("distillation_logits", "m2mix", "softmax"), "softmax"),
    (("mochi", "softmax", "unicl"), "softmax"),
    (("mochi", "sigmoid"), "sigmoid"),
    (("sigmoid", "unicl"), "unicl"),
    (("distillation_logits", "m2mix", "mochi"), "mochi"),
    (("distillation_logits", "m2mix"), "distillation_logits"),
]


def with_terms(recipe, *terms, teacher=None):
    objective = dataclasses.replace(recipe.objective, terms=dict.fromkeys(terms, 1.0), distillation=DistillationSpec(teacher=teacher))
    return dataclasses.replace(recipe, objective=objective)


@pytest.fixture(scope="module")
def shallow(squares_recipe):
    towers = {part: dataclasses.replace(getattr(squares_recipe.model, part), depth=1) for part in ("image", "text")}
    return dataclasses.replace(squares_recipe, model=dataclasses.replace(squares_recipe.model, **towers))


@pytest.mark.parametrize(("terms", "wanted"), TERMS)
def test_scale_and_bias_are_those_of_the_term_that_trained_the_towers(shallow, tmp_path, terms, wanted):
    mesh, folder = make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)), tmp_path / "model"
    folder.mkdir()
    shapes = named_leaves(make_learner(with_terms(shallow, *(set(terms) - {"distillation_logits"})), mesh).shapes)
    weights = {name: np.zeros(leaf.shape, np.float32) for name, leaf in shapes.items()}
    weights |= {f"objective.terms.{term}.logit_scale": np.array(number + 1, np.float32) for number, term in enumerate(terms)}
    if "sigmoid" in terms:
        weights["objective.terms.sigmoid.logit_bias"] = np.array(-7, np.float32)
    write(folder, shallow, tokenizer=load_tokenizer(shallow.data.tokenizer), origin=ORIGIN, weights=weights, metrics="", name="model")

    log_scale, encoder = terms.index(wanted) + 1, diptych.load(folder)
    assert encoder.logit_scale == pytest.approx(np.exp(log_scale))
    assert encoder.logit_bias == (-7 if wanted == "sigmoid" else 0)
    learner = make_learner(with_terms(shallow, "distillation_logits", teacher=str(folder)), mesh)
    with jax.set_mesh(mesh):
        assert float(named_leaves(load_teacher(learner))["logit_scale"]) == log_scale
