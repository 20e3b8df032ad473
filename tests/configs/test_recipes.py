"""Every recipe loads, says where its numbers come from, and is the paper's."""

import importlib
from pathlib import Path

import pytest

from diptych import configs
from diptych.pretrain.check_devices import check_devices
from diptych.pretrain.recipe import load_recipe

RECIPES = (
    *("clip_emoji", "clip_emoji_best", "clip_vit_b16", "clip_vit_b32", "clip_vit_l14", "coca_2b", "coca_vit_b32"),
    *("quickstart", "siglip_so400m_14", "siglip_vit_b16"),
)


def test_the_recipes_are_there():
    assert set(RECIPES) <= set(configs.names())


@pytest.mark.parametrize("name", configs.names())
def test_recipe_loads_on_one_device_and_names_its_source(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    check_devices(recipe, device_count=1)
    assert "et al., 20" in (importlib.import_module(f"diptych.configs.{name}").__doc__ or "")


@pytest.mark.parametrize("name", configs.names())
def test_the_argument_says_where_the_data_is(name):
    assert any("elsewhere" in pattern for pattern in load_recipe(f"{name}:elsewhere").data.train)


def test_clip_emoji_is_the_reference_run():
    recipe = load_recipe("clip_emoji")
    image, text, optimizer = recipe.model.image, recipe.model.text, recipe.optimizer
    assert (image.width, image.depth, image.heads, image.patch_size, recipe.data.image_size) == (192, 6, 3, 8, 48)
    assert (text.width, text.depth, text.heads, text.context_length, text.pool, text.attention) == (192, 4, 3, 16, "eos", "causal")
    assert (optimizer.peak_lr, optimizer.weight_decay, optimizer.warmup_steps, optimizer.schedule) == (1e-3, 0.1, 50, "cosine")
    assert (optimizer.betas, optimizer.eps, optimizer.grad_clip) == ((0.9, 0.98), 1e-6, 1.0)
    assert (recipe.train.batch_size, recipe.train.steps, recipe.train.dtype) == (256, 400, "float32")
    assert (recipe.data.augment.crop_scale, recipe.data.augment.crop_ratio, recipe.data.resize_first) == ((0.8, 1.0), (1.0, 1.0), 48)


def test_clip_emoji_finds_its_data_beside_the_checkout():
    root = Path(__file__).resolve().parents[2]
    if not (root / "../shared/data/emoji").is_dir():
        pytest.skip("the emoji shards are not beside the checkout")
    recipe = load_recipe("clip_emoji")
    assert (root / recipe.data.tokenizer.path).is_file()
    for pattern in (*recipe.data.train, *(pattern for task in recipe.eval.tasks.values() for pattern in task.data)):
        assert list(root.glob(pattern)) or list((root / pattern).parent.glob(Path(pattern).name)), pattern


@pytest.mark.parametrize(
    ("name", "batch_size", "steps", "peak_lr", "embed_dim"),
    [
        ("clip_vit_b32", 32_768, 390_625, 5e-4, 512),
        ("clip_vit_b16", 32_768, 390_625, 5e-4, 512),
        ("clip_vit_l14", 32_768, 390_625, 4e-4, 768),
        ("siglip_vit_b16", 32_768, 1_220_703, 1e-3, 768),
        ("siglip_so400m_14", 32_768, 1_220_703, 1e-3, 1152),
        ("coca_vit_b32", 65_536, 500_000, 8e-4, 512),
        ("coca_2b", 65_536, 500_000, 8e-4, 1408),
    ],
)
def test_large_recipes_are_the_papers(name, batch_size, steps, peak_lr, embed_dim):
    recipe = load_recipe(name)
    assert (recipe.train.batch_size, recipe.train.steps, recipe.optimizer.peak_lr) == (batch_size, steps, peak_lr)
    assert (recipe.model.embed_dim, recipe.train.dtype) == (embed_dim, "bfloat16")


@pytest.mark.parametrize("name", ["siglip_vit_b16", "siglip_so400m_14"])
def test_siglip_sees_what_its_released_weights_saw(name):
    data = load_recipe(name).data
    assert (data.preset, data.tokenizer.preset) == ("siglip", "siglip")
