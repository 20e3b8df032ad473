import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import diptych
from diptych.data.eval_set import EvalSet
from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.checkpoint import restore_params
from diptych.pretrain.encode import array_rows, make_encoders
from diptych.pretrain.export.encoder import SIZES
from diptych.pretrain.export.export import export_run
from diptych.pretrain.learner import make_learner
from diptych.pretrain.spec import EvalSpec
from diptych.sharding.layouts import named_leaves
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

NEWER = '{"format": "diptych-encoder", "version": 9}'
TEXTS = ["a red square", "blue", "a pale white square " * 20]


def embeddings(recipe, workdir, pictures):
    """Of the newest checkpoint by the trainer's forward pass on its mesh."""
    learner = make_learner(recipe, make_mesh(recipe.mesh))
    tokens = load_tokenizer(recipe.data.tokenizer)(TEXTS, recipe.model.text.context_length)
    with jax.set_mesh(learner.mesh):
        _, params = restore_params(workdir, learner, step=None)
        encoders = make_encoders(learner, batch_size=8)
        return {"images": encoders.images(params, array_rows(pictures)), "texts": encoders.texts(params, tokens)}


@pytest.fixture(scope="module")
def encoder(exported):
    return diptych.load(exported)


@pytest.fixture(scope="module")
def pictures(shard, squares_recipe):
    """The 24 images as training's evaluations see them."""
    return EvalSet((str(shard),), spec=squares_recipe.data, setting="eval").images(0, 24)


@pytest.fixture(scope="module")
def trainers(trained, squares_recipe, pictures):
    """Embeddings of the trainer's own forward pass."""
    return embeddings(squares_recipe, trained, pictures)


def test_embeddings_equal_the_trainers(encoder, pictures, trainers):
    images, texts = encoder.encode_image(pictures), encoder.encode_text(TEXTS)
    assert images.dtype == texts.dtype == np.float32 and images.shape == (24, 32)
    np.testing.assert_allclose(images, trainers["images"], atol=1e-5)
    np.testing.assert_allclose(texts, trainers["texts"], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module")
def bfloat16_run(squares_recipe, tmp_path_factory):
    """A run of towers that compute in bfloat16, on one device: its recipe, its folder and its exported model."""
    from diptych.pretrain.train import train

    bfloat16, one = dataclasses.replace(squares_recipe.train, dtype="bfloat16"), MeshSpec(replica=1, fsdp=1, tensor=1)
    recipe = dataclasses.replace(squares_recipe, train=bfloat16, mesh=one, eval=EvalSpec())
    workdir, out = tmp_path_factory.mktemp("bfloat16"), tmp_path_factory.mktemp("models") / "bfloat16"
    train(recipe, workdir)
    export_run(workdir, out)
    return recipe, workdir, out


def test_a_bfloat16_run_exports_its_float32_weights(bfloat16_run):
    recipe, workdir, out = bfloat16_run
    learner = make_learner(recipe, make_mesh(recipe.mesh))
    with jax.set_mesh(learner.mesh):
        params = named_leaves(restore_params(workdir, learner, step=None)[1])
    weights = load_file(out / "model.safetensors")
    assert weights.keys() == params.keys()
    for name, value in weights.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, params[name], err_msg=name)
    assert any(not np.array_equal(value, value.astype(jnp.bfloat16)) for value in weights.values()), "nothing tells them from bfloat16"


def test_embeddings_of_a_bfloat16_run_equal_its_float32_evaluation(bfloat16_run, pictures):
    recipe, workdir, out = bfloat16_run
    model, found = diptych.load(out), {}
    exported = {"images": model.encode_image(pictures), "texts": model.encode_text(TEXTS)}
    for dtype in ("float32", "bfloat16"):
        found[dtype] = embeddings(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, dtype=dtype)), workdir, pictures)
    for name, value in exported.items():
        np.testing.assert_allclose(value, found["float32"][name], atol=1e-5)
        difference = np.abs(value - found["bfloat16"][name]).max()
        assert 1e-5 < difference < 2e-2, "the trainer's own towers round to bfloat16, and no more than that"


@pytest.mark.parametrize(
    "changes",
    [{"image": {"mean": [0.5, 0.5, 0.5]}}, {"image": {"std": [0.5, 0.5, 0.5]}}, {"image": {"activation": "quick_gelu"}}],
    ids=str,
)
def test_the_comparison_sees_a_wrong_config(exported, tmp_path, pictures, trainers, changes):
    wrong = shutil.copytree(exported, tmp_path / "wrong")
    content = json.loads((wrong / "config.json").read_text())
    content["model"]["image"] |= changes["image"]
    (wrong / "config.json").write_text(json.dumps(content))
    assert np.abs(diptych.load(wrong).encode_image(pictures) - trainers["images"]).max() > 1e-4


def test_an_image_may_come_in_any_form(encoder, pictures, tmp_path):
    wanted = encoder.encode_image(pictures[:3])
    for index, picture in enumerate(pictures[:3]):
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    mixed = [str(paths[0]), Image.open(paths[1]), pictures[2]]
    for images in (paths, mixed, list(pictures[:3]), [Image.fromarray(picture).convert("RGBA") for picture in pictures[:3]]):
        np.testing.assert_allclose(encoder.encode_image(images), wanted, atol=1e-6)
    for image in (paths[0], str(paths[0]), Image.open(paths[0]), pictures[0]):
        np.testing.assert_allclose(encoder.encode_image(image), wanted[:1], atol=1e-6)


def test_images_of_other_sizes_go_through_the_evaluation_transform(encoder, shard, squares_recipe):
    large = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    centre = Image.fromarray(large).resize((48, 32), Image.Resampling.BICUBIC).crop((8, 0, 40, 32))
    np.testing.assert_allclose(encoder.encode_image(large), encoder.encode_image(centre), atol=1e-6)


def test_a_text_may_come_alone_and_nothing_gives_nothing(encoder):
    np.testing.assert_allclose(encoder.encode_text("blue"), encoder.encode_text(TEXTS)[1:2], atol=1e-6)
    assert encoder.encode_text([]).shape == encoder.encode_image([]).shape == (0, 32)


def test_batches_are_padded_to_a_few_sizes(encoder):
    texts = [f"{colour} {number}" for number in range(70) for colour in ("red", "blue", "green", "white")]
    whole = encoder.encode_text(texts)
    for count in (1, 2, 5, 17, 63, 280):
        np.testing.assert_allclose(encoder.encode_text(texts[:count]), whole[:count], atol=1e-6)
    assert encoder._text._cache_size() <= len(SIZES)


def test_the_objectives_numbers(encoder, trained, squares_recipe):
    assert encoder.embed_dim == 32 and encoder.logit_bias == 0.0
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=0.1) and encoder.logit_scale != pytest.approx(1 / 0.07, rel=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.png", r"image nowhere.png cannot be read \(No such file"),
        (__file__, r"image .*test_encoder.py cannot be used \(image cannot be decoded"),
        (np.zeros((4, 4, 3), np.float32), r"image number 0 cannot be used \(an array float32\[4, 4, 3\]\)"),
        ([np.zeros((4, 4), np.uint8)], r"image number 0 cannot be used \(an array uint8\[4, 4\]\)"),
        ([None], r"image number 0 cannot be used \(a NoneType\)"),
    ],
    ids=["absent", "no image", "float", "grey", "none"],
)
def test_what_is_no_image_is_named(encoder, image, message):
    with pytest.raises(UserError, match=message):
        encoder.encode_image(image)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, r"cannot be read \(No such file or directory\); accepted is a folder that `diptych export` wrote$"),
        (
            lambda folder: (folder / "config.json").write_text("{"),
            r"holds no exported model \(config.json is of something else\)",
        ),
        (
            lambda folder: (folder / "config.json").write_text('{"format": "diptych-encoder", "version": 9}'),
            r"has format version 9 in its config.json; accepted is 1",
        ),
        (
            lambda folder: (folder / "config.json").write_text('{"format": "diptych-encoder", "version": 1}'),
            r"has a config.json in which .*missing",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), r"is not whole \(model.safetensors is missing\); accepted"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), r"is broken \(model.safetensors: .*\); accepted"),
        (lambda folder: (folder / "sentencepiece.model").unlink(), r"is not whole \(sentencepiece.model is missing\); accepted"),
    ],
    ids=["absent", "no json", "version", "no fields", "no weights", "cut weights", "no tokenizer"],
)
def test_a_spoilt_folder_is_refused_in_a_sentence(exported, tmp_path, spoil, message):
    folder = shutil.copytree(exported, tmp_path / "model")
    spoil(folder)
    with pytest.raises(UserError, match=rf"^path = {folder} {message}"):
        diptych.load(folder)


def test_weights_of_another_model_are_refused(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    content["model"]["text"]["vocab_size"] = 65
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"model.text.embedding has the shape \(64, 32\); accepted is \(65, 32\)"):
        diptych.load(folder)
