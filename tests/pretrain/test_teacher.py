"""A student that learns from an exported model: what of the teacher is checked, what it gives, and where its parameters are."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.accumulate import loss_and_gradients
from diptych.pretrain.checkpoint import Checkpoints, items_of, targets
from diptych.pretrain.export.config import Origin
from diptych.pretrain.export.export import export_run, write
from diptych.pretrain.job import Job
from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.run import begin, prepare
from diptych.pretrain.spec import InitSpec
from diptych.pretrain.spec_objective import DistillationSpec, SelfSupervisedSpec
from diptych.pretrain.state import state_layouts, state_shapes
from diptych.pretrain.step import batch_shapes
from diptych.pretrain.teacher_files import check_teacher, teacher_of
from diptych.pretrain.train import train
from diptych.sharding.layouts import named_leaves
from diptych.sharding.mesh import abstract_mesh
from diptych.sharding.spec import MeshSpec

ALL = ("distillation_embedding", "distillation_logits", "distillation_similarity")
ONE = MeshSpec(replica=1, fsdp=1, tensor=1)
ORIGIN = Origin(recipe="squares", hash="a" * 64, manifest="b" * 64, steps=2, samples=16)


@pytest.fixture(scope="module")
def shallow(squares_recipe):
    towers = {part: dataclasses.replace(getattr(squares_recipe.model, part), depth=1) for part in ("image", "text")}
    return dataclasses.replace(squares_recipe, model=dataclasses.replace(squares_recipe.model, **towers))


@pytest.fixture(scope="module")
def teacher(shallow, tmp_path_factory):
    """An exported model that nobody trained: parameters drawn here."""
    folder = tmp_path_factory.mktemp("models") / "teacher"
    folder.mkdir()
    shapes = make_learner(shallow, abstract_mesh(replica=1, fsdp=1, tensor=1)).shapes
    rng = np.random.default_rng(0)
    weights = {name: 0.2 * rng.standard_normal(leaf.shape, np.float32) for name, leaf in named_leaves(shapes).items()}
    weights["objective.terms.softmax.logit_scale"] = np.full((), 3, np.float32)
    tokenizer = load_tokenizer(shallow.data.tokenizer)
    write(folder, shallow, tokenizer=tokenizer, origin=ORIGIN, weights=weights, metrics="", name="teacher")
    return folder


@pytest.fixture
def student(shallow, teacher):
    """A recipe that learns from it in all three ways, and from views of its images."""
    terms = {"self_supervised": 1.0, **dict.fromkeys(ALL, 1.0)}
    objective = dataclasses.replace(
        shallow.objective,
        terms=terms,
        self_supervised=SelfSupervisedSpec(projector=(32, 16)),
        distillation=DistillationSpec(teacher=str(teacher)),
    )
    return dataclasses.replace(shallow, objective=objective)


def distilling(recipe, **changes):
    distillation = dataclasses.replace(recipe.objective.distillation, **changes)
    return dataclasses.replace(recipe, objective=dataclasses.replace(recipe.objective, distillation=distillation))


def with_model(recipe, part, **changes):
    tower = dataclasses.replace(getattr(recipe.model, part), **changes)
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, **{part: tower}))


REFUSED = [
    (
        lambda r: distilling(r, teacher="nowhere"),
        "= nowhere cannot be read (No such file or directory); accepted is a folder that `diptych export` wrote",
    ),
    (
        lambda r: dataclasses.replace(r, data=dataclasses.replace(r.data, image_size=64)),
        "has images of so many pixels: 32, and data.image_size = 64; accepted is data.image_size = 32, or another teacher",
    ),
    (
        lambda r: with_model(r, "text", context_length=9),
        "has captions of so many tokens: 8, and model.text.context_length = 9; accepted is",
    ),
    (lambda r: distilling(r, teacher_dim=7), "has an embedding of so many numbers: 32, and objective.distillation.teacher_dim = 7;"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_a_teacher_that_does_not_go_with_the_recipe_is_refused(student, change, sentence):
    with pytest.raises(UserError) as error:
        teacher_of(change(student), tensor=1)
    assert str(error.value).startswith("objective.distillation.teacher = ") and sentence in str(error.value)


def test_a_mesh_that_cuts_the_teachers_heads_is_refused(student):
    with pytest.raises(UserError, match=r"has 4 heads, which mesh.tensor = 8 does not divide; accepted is a divisor"):
        teacher_of(student, tensor=8)


def test_a_folder_that_is_no_exported_model_is_refused(student, tmp_path):
    wrote = r"^objective.distillation.teacher = \S* holds no exported model \(config.json: .*\); accepted is a folder that .* wrote"
    with pytest.raises(UserError, match=wrote + "$"):
        teacher_of(distilling(student, teacher=str(tmp_path)), tensor=1)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(UserError, match=wrote + r", and `diptych export --workdir \S* --out OUT` makes one of this run$"):
        teacher_of(distilling(student, teacher=str(tmp_path)), tensor=1)


def test_weights_and_token_ids_are_judged_before_any_compile(student, teacher, tmp_path):
    tokenizer, shapes = load_tokenizer(student.data.tokenizer), make_learner(student, abstract_mesh(replica=1, fsdp=1, tensor=1)).shapes
    check_teacher(student, tokenizer, shapes=shapes)
    with pytest.raises(UserError, match=r"reads other token ids than data.tokenizer.path = .*; accepted is its tokenizer"):
        check_teacher(student, type("Other", (), {"fingerprint": "0" * 64}), shapes=shapes)
    folder = shutil.copytree(teacher, tmp_path / "copy")
    weights = load_file(teacher / "model.safetensors")
    del weights["objective.terms.softmax.logit_scale"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"has no logit_scale, which objective.terms.distillation_logits reads"):
        check_teacher(distilling(student, teacher=str(folder)), tokenizer, shapes=shapes)
    del weights["model.image.patch"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"^objective.distillation.teacher = \S*, model.safetensors: model.image.patch is missing; accepted is \("
    ):
        check_teacher(distilling(student, teacher=str(folder)), tokenizer, shapes=shapes)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"^objective.distillation.teacher = \S* is broken \(model.safetensors: .*\); accepted is"):
        check_teacher(distilling(student, teacher=str(folder)), tokenizer, shapes=shapes)


def test_a_term_without_a_teacher_is_refused():
    overrides = ["objective.terms.distillation_similarity=1", "objective.distillation.teacher=none"]
    with pytest.raises(UserError, match=r"objective.terms.distillation_similarity needs objective.distillation.teacher, which is none"):
        load_recipe("clip_emoji", overrides)


def test_nothing_is_trained_kept_or_saved_of_a_teacher(student):
    mesh = abstract_mesh(replica=2, fsdp=2, tensor=2)
    student = dataclasses.replace(student, train=dataclasses.replace(student.train, ema_decay=0.9))
    learner, optimizer = make_learner(student, mesh), make_optimizer(student.optimizer, steps=2)
    state, layouts = state_shapes(learner, optimizer), state_layouts(learner, optimizer)
    assert not any(jax.tree.leaves(learner.trained["teacher"])) and all(jax.tree.leaves(learner.trained["model"]))
    for part in (state.opt, state.ema, items_of(state)):
        assert named_leaves(part) and not any("teacher" in name for name in named_leaves(part))
    sharded = named_leaves(layouts.params["teacher"], is_leaf=lambda leaf: isinstance(leaf, jax.P))
    assert sharded["towers.image.blocks.layers.mlp.up"] == jax.P(None, "fsdp", "tensor")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_step_traces_over_all_axes_without_a_gradient_of_the_teacher(student, accumulate):
    student = dataclasses.replace(student, train=dataclasses.replace(student.train, accumulate=accumulate))
    mesh = abstract_mesh(replica=2, fsdp=2, tensor=2)
    learner = make_learner(student, mesh)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        params = targets(learner.shapes, learner.layouts, mesh)
        given = (params, batch_shapes(student, mesh), jax.ShapeDtypeStruct((), np.int32))
        output, gradients = jax.eval_shape(lambda *given: loss_and_gradients(learner, *given), *given)
    assert output.loss.shape == () and output.metrics.keys() >= {f"loss/{name}" for name in student.objective.terms}
    assert named_leaves(gradients).keys() == {name for name in named_leaves(learner.shapes) if not name.startswith("teacher.")}


def test_a_student_trains_and_is_restored_and_exported_without_its_teacher(student, teacher, tmp_path, caplog):
    terms = {"distillation_embedding": 1.0, "distillation_similarity": 1.0, "self_supervised": 1.0}
    student = dataclasses.replace(
        student,
        objective=dataclasses.replace(student.objective, terms=terms),
        mesh=ONE,
        train=dataclasses.replace(student.train, steps=1, ema_decay=0.9, init=InitSpec(path=str(teacher), parameters=(r"model\..*",))),
        eval=dataclasses.replace(student.eval, tasks={}),
    )
    workdir = tmp_path / "run"
    workdir.mkdir()
    metrics = train(student, workdir)
    assert metrics["loss/self_supervised"] > 1 and metrics["grad_norm"] > 0
    assert metrics["loss/distillation_embedding"] < 1e-9 and abs(metrics["loss/distillation_similarity"]) < 1e-5  # it starts as its teacher

    with Checkpoints(workdir, student.checkpoint) as checkpoints:
        restored = named_leaves(begin(prepare(student, workdir, job=Job()), checkpoints).state.params)
    saved = load_file(teacher / "model.safetensors")
    np.testing.assert_array_equal(restored["teacher.towers.text.embedding"], saved["model.text.embedding"])
    assert float(restored["teacher.logit_scale"]) == 3
    assert not np.array_equal(restored["model.text.embedding"], saved["model.text.embedding"])

    other = shutil.copytree(teacher, tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text().replace('"steps": 2', '"steps": 4'))
    caplog.clear()
    with (
        caplog.at_level("INFO", "diptych"),
        pytest.raises(UserError, match=r"other is not what the run in .*run learnt from, squares after 2"),
    ):
        prepare(distilling(student, teacher=str(other)), workdir, job=Job())
    assert "resuming with" not in caplog.text  # what is refused was not accepted first
    retouched = shutil.copytree(teacher, tmp_path / "retouched")
    save_file(saved | {"model.text.embedding": saved["model.text.embedding"] + 1}, retouched / "model.safetensors")
    with pytest.raises(UserError, match=r"retouched is not what the run in .*run learnt from, squares after 2 steps"):
        prepare(distilling(student, teacher=str(retouched)), workdir, job=Job())
    kept = json.loads((workdir / "teacher.json").read_text())
    (workdir / "teacher.json").write_text(json.dumps({"origin": kept["origin"]}))  # as earlier runs left it
    prepare(student, workdir, job=Job())
    with pytest.raises(UserError, match=r"other is not what the run in .*run learnt from, squares after 2 steps \(identity a{12}\);"):
        prepare(distilling(student, teacher=str(other)), workdir, job=Job())
    hidden = shutil.move(teacher, tmp_path / "gone")
    try:
        export_run(workdir, tmp_path / "model")
    finally:
        shutil.move(hidden, teacher)
    assert not any("teacher" in name for name in load_file(tmp_path / "model/model.safetensors"))
