"""A locked image tower: it starts from an exported model, is not trained, and its embeddings may be read instead of made."""

import dataclasses
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diptych.data.embedding_part import read_parts
from diptych.data.open_sources import open_sources
from diptych.data.spec import SizeScheduleSpec
from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.accumulate import loss_and_gradients
from diptych.pretrain.check import check
from diptych.pretrain.checkpoint import restore_params
from diptych.pretrain.embed_data import embed_training_data
from diptych.pretrain.export.config import Origin
from diptych.pretrain.export.export import write
from diptych.pretrain.frozen_run import keep_frozen
from diptych.pretrain.init_weights import check_init, open_weights, tower_fingerprint
from diptych.pretrain.job import Job
from diptych.pretrain.learner import make_learner
from diptych.pretrain.locked import find_cache
from diptych.pretrain.lowering import trace_step
from diptych.pretrain.model_flops import model_flops
from diptych.pretrain.run import prepare
from diptych.pretrain.run_folder import write_recipe
from diptych.pretrain.spec import CheckpointSpec, EvalSpec, InitSpec
from diptych.pretrain.train import train
from diptych.sharding.flops import count_products
from diptych.sharding.layouts import named_leaves, path_name
from diptych.sharding.mesh import abstract_mesh, make_mesh
from diptych.sharding.spec import MeshSpec

IMAGE = r"model\.image\..*"
WHOLE = abstract_mesh(replica=1, fsdp=1, tensor=1)


def changed(recipe, path, value):
    """The recipe with the setting at a dotted path."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(recipe, **{name: changed(getattr(recipe, name), rest, value) if rest else value})


def export(recipe, folder, *, seed=0):
    """An exported model of noise, as `recipe` describes it."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    shapes = named_leaves(make_learner(recipe, WHOLE).shapes)
    weights = {name: np.asarray(0.2 * rng.standard_normal(shape.shape), np.float32) for name, shape in shapes.items()}
    weights["objective.terms.softmax.logit_scale"] = np.full((), 1, np.float32)  # within its bounds
    origin = Origin(recipe="squares", hash="", manifest="", steps=1, samples=1)
    write(folder, recipe, tokenizer=load_tokenizer(recipe.data.tokenizer), origin=origin, weights=weights, metrics="", name="model")
    return folder


@pytest.fixture(scope="module")
def locked(squares_recipe, tmp_path_factory):
    """A recipe whose image tower is that of an exported model, and stays so."""
    recipe = dataclasses.replace(squares_recipe, eval=EvalSpec(batch_size=8), checkpoint=CheckpointSpec(), mesh=MeshSpec(fsdp=1))
    recipe = changed(recipe, "log.writers", ("jsonl",))
    for tower in ("image", "text"):
        recipe = changed(recipe, f"model.{tower}.depth", 1)
    folder = export(recipe, tmp_path_factory.mktemp("exported") / "model")
    recipe = changed(recipe, "train.init", InitSpec(path=str(folder), parameters=(IMAGE,)))
    return changed(recipe, "optimizer.freeze", (IMAGE,))


@pytest.fixture(scope="module")
def cache(locked, tmp_path_factory):
    """The embeddings of its training data, in two parts."""
    folder = tmp_path_factory.mktemp("cache")
    found = embed_training_data(locked, folder, parts=2)
    assert (found.parts, found.known, found.samples, found.bad) == (2, 0, 24, 0)
    return folder


def first_step(recipe, workdir):
    """Loss and norm of the gradient of the first step, from the exported weights."""
    run = prepare(recipe, workdir, job=Job())
    stream, weights = run.stream(0), open_weights(recipe)
    batch = {name: rows for name, rows in next(stream).items() if name != "bad"}
    stream.close()
    with jax.set_mesh(run.mesh):
        params = jax.tree.map_with_path(lambda path, _: jnp.asarray(weights.read(path_name(path))), run.learner.shapes)
        step = jax.jit(lambda *given: loss_and_gradients(run.learner, *given))
        program = step.lower(params, batch, jnp.int32(0)).compile(compiler_options={"xla_backend_optimization_level": 0})
        output, gradients = program(params, batch, jnp.int32(0))
    assert not any(name.startswith("model.image.") for name in named_leaves(gradients))
    return [float(output.loss), float(optax.tree.norm(gradients))]


def test_training_on_the_cache_is_training_on_the_images(locked, cache, tmp_path):
    again = embed_training_data(locked, cache, parts=2)
    assert (again.parts, again.known) == (0, 2), "what is there is kept"
    warm = changed(locked, "train.init.parameters", (".*",))  # the text tower too: fresh parameters are slow to compile
    cached = changed(changed(warm, "data.embeddings", str(cache)), "mesh", MeshSpec(replica=1, fsdp=2))
    train(cached, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([lines[0]["loss"], lines[0]["grad_norm"]], first_step(warm, tmp_path / "images"), rtol=1e-5)
    weights = open_weights(locked)
    for name, value in named_leaves(restore_params(tmp_path, make_learner(cached, make_mesh(MeshSpec(fsdp=1))), step=2)[1]).items():
        assert np.array_equal(value, weights.read(name)) == name.startswith("model.image."), name
    assert json.loads((tmp_path / "frozen.json").read_text()) == {"image": tower_fingerprint(weights, "image")}


def begun(recipe, workdir):
    """The folder of a run that has saved a checkpoint, of which nothing is in it but that it is there."""
    workdir.mkdir()
    keep_frozen(workdir, recipe, make_learner(recipe, WHOLE))
    write_recipe(workdir, recipe)
    (workdir / "checkpoints" / "1").mkdir(parents=True)
    return workdir


@pytest.fixture(scope="module")
def other(locked, cache, tmp_path_factory):
    """Another tower, exported, and a cache that says it is of that."""
    there = tmp_path_factory.mktemp("other")
    model, embeddings = export(locked, there / "model", seed=1), shutil.copytree(cache, there / "cache")
    theirs = tower_fingerprint(open_weights(changed(locked, "train.init.path", str(model))), "image")
    for path in embeddings.rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": theirs}))
    return {"train.init.path": str(model), "data.embeddings": str(embeddings)}


TOWER = r"train\.init\.path = .* holds another image tower \(fingerprint \w{12}\) than the frozen one of the run in .*run, "
CACHE = r"data\.embeddings = .*cache was made by an image tower with fingerprint"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [(("train.init.path", "data.embeddings"), TOWER), (("train.init.path",), TOWER), (("data.embeddings",), CACHE)],
    ids=["both", "tower", "cache"],
)
def test_a_run_goes_on_with_its_own_frozen_tower_alone(locked, cache, other, tmp_path, settings, sentence):
    recipe = changed(locked, "data.embeddings", str(cache))
    workdir = begun(recipe, tmp_path / "run")
    prepare(recipe, workdir, job=Job())
    for path in settings:
        recipe = changed(recipe, path, other[path])
    with pytest.raises(UserError, match=sentence + r".*; accepted is"):
        prepare(recipe, workdir, job=Job())


def test_a_tower_that_no_cache_reads_may_be_gone_but_not_another(locked, other, tmp_path):
    workdir = begun(locked, tmp_path / "run")
    for path in (None, str(tmp_path / "gone"), str(shutil.copytree(locked.train.init.path, tmp_path / "moved"))):
        prepare(changed(locked, "train.init.path", path), workdir, job=Job())
    with pytest.raises(UserError, match=TOWER + r"\w{12}; accepted is train\.init\.path = none, "):
        prepare(changed(locked, "train.init.path", other["train.init.path"]), workdir, job=Job())


def test_a_tower_of_which_a_part_was_fresh_gets_no_cache_later(locked, cache, tmp_path):
    workdir = begun(changed(locked, "train.init.parameters", (r"model\.image\.blocks\..*",)), tmp_path / "run")
    with pytest.raises(UserError, match=TOWER + "which was in part fresh; accepted is the model"):
        prepare(changed(locked, "data.embeddings", str(cache)), workdir, job=Job())


def test_a_locked_tower_costs_its_forward_pass_alone_and_a_cached_one_nothing(locked, cache):
    def image_flops(recipe):
        products = count_products(trace_step(recipe, WHOLE).jaxpr.jaxpr)
        return sum(flops for product, flops in products.items() if product.scope == "image_tower")

    forward = jax.make_jaxpr(make_learner(locked, WHOLE).encode_image)
    with jax.sharding.use_abstract_mesh(WHOLE.abstract_mesh):
        pixels = jax.ShapeDtypeStruct((locked.train.batch_size, 32, 32, 3), jnp.uint8)
        once = count_products(forward(make_learner(locked, WHOLE).shapes, pixels).jaxpr).total()
    assert image_flops(locked) == once and image_flops(changed(locked, "optimizer.freeze", ())) > 2.2 * once
    cached = changed(locked, "data.embeddings", str(cache))
    assert image_flops(cached) == 0 and model_flops(locked, WHOLE) - model_flops(cached, WHOLE) == once


def refused(recipe, sentence, workdir):
    workdir.mkdir(exist_ok=True)
    with pytest.raises(UserError) as error:
        train(recipe, workdir)
    assert re.match(sentence, str(error.value)), error.value
    assert "accepted" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "train.init.path",
            "nowhere",
            r"train\.init\.path = nowhere cannot be read \(No such file or directory\); accepted is a folder that `diptych export` wrote$",
        ),
        (
            "train.init.parameters",
            (r"model\.vision.*",),
            r"train\.init\.parameters has 'model\\\\\.vision\.\*', which matches no parameter",
        ),
        ("model.image.heads", 2, r"model\.image\.heads = 2 is 4 in train\.init\.path = "),
        ("model.image.activation", "quick_gelu", r"model\.image\.activation = quick_gelu is gelu in train\.init\.path = "),
        ("data.image_size", 16, r"data\.image_size = 16 is 32 in train\.init\.path = "),
        (
            "objective.terms",
            {"sigmoid": 1.0},
            r"train\.init\.parameters = .* names objective\.terms\.sigmoid\.logit_bias \(\), and .* lacks it",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(locked, tmp_path, path, value, sentence):
    recipe = changed(locked, "train.init.parameters", (".*",)) if path == "objective.terms" else locked
    refused(changed(changed(recipe, "optimizer.freeze", ()), path, value), sentence, tmp_path)


def test_a_text_tower_comes_with_its_tokenizer(locked):
    recipe = changed(locked, "train.init.parameters", (r"model\.text\..*",))
    other = type("Other", (), {"fingerprint": "another"})()
    with pytest.raises(UserError, match=r"data\.tokenizer gives other token ids than that of train\.init\.path = .*; accepted is"):
        check_init(recipe, make_learner(recipe, WHOLE), other, open_weights(recipe))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("optimizer.freeze", (r"model\.image\.blocks\..*",), r"optimizer\.freeze = .* leaves model\.image\.class_token to train"),
        ("train.init.parameters", (r"model\.image\.blocks\..*",), r"train\.init\.parameters = .* leaves model\.image\.class_token fresh"),
        ("data.resize", "squash", r"data\.embeddings = .* was made from images with other settings of data"),
        ("train.init.path", None, r"data\.embeddings = .* was made by an image tower with fingerprint"),
        ("data.embeddings", "nowhere", r"data\.embeddings = nowhere holds no embeddings of the samples of train"),
        (
            "objective.terms",
            {"softmax": 1.0, "self_supervised": 1.0},
            r"objective\.terms\.self_supervised reads more of an image than its embedding, which is all that data\.embeddings = .* holds",
        ),
    ],
)
def test_a_cache_that_would_give_other_numbers_is_refused(locked, cache, tmp_path, path, value, sentence):
    recipe = changed(locked, "data.embeddings", str(cache))
    if path == "train.init.path":
        value = str(export(locked, tmp_path / "other", seed=1))
    refused(changed(recipe, path, value), sentence, tmp_path / "run")


def test_a_cache_in_other_arithmetic_is_said_and_not_refused(locked, cache, caplog):
    [source] = open_sources(locked.data).values()
    for dtype in ("float32", "bfloat16"):
        recipe = changed(changed(locked, "data.embeddings", str(cache)), "train.dtype", dtype)
        with caplog.at_level("INFO", "diptych"):
            find_cache(recipe, make_learner(recipe, WHOLE), {"train": source})
        said = f"data.embeddings = {cache} was computed in float32, and the run in train.dtype = {dtype}:"
        assert (said in caplog.text) == (dtype == "bfloat16")
    with pytest.raises(
        UserError, match=r"holds part-00000-of-00002.npy of another tower, other images or another train.dtype; accepted is"
    ):
        embed_training_data(recipe, cache, parts=2)


def test_a_part_that_is_missing_is_named_by_its_first_sample(locked, cache, tmp_path):
    [source] = open_sources(locked.data).values()
    first, second = read_parts(cache, source.fingerprint)
    folder = tmp_path / "cache" / first.path.parent.name
    folder.mkdir(parents=True)
    for path in (first.path, first.path.with_suffix(".json")):
        (folder / path.name).write_bytes(path.read_bytes())
    assert second.header.first == 12
    refused(
        changed(locked, "data.embeddings", str(tmp_path / "cache")), r"data\.embeddings = .* lacks sample 12 of the 24 of train", tmp_path
    )


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("data.augment.flip", 0.5, "data.augment.flip = 0.5 makes another image of a sample each time"),
        ("data.size_schedule", SizeScheduleSpec(sizes=(16,), patch_size=8), "data.size_schedule makes images of several sizes"),
        ("model.image.patch_dropout", 0.5, "model.image.patch_dropout = 0.5 leaves out other patches each time"),
        ("train.init.path", None, "train.init.path = none leaves the image tower without trained weights"),
    ],
)
def test_what_changes_from_step_to_step_is_refused_by_the_recipe(locked, path, value, sentence):
    with pytest.raises(UserError) as error:
        check(changed(changed(locked, "data.embeddings", "cache"), path, value))
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value)
