"""Some recipes, compiled for TPUs that are not there, need the memory and the collectives that their files say. About a minute each."""

import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from diptych.launch.plan_golden import COMPILED, compiled_golden
from diptych.pretrain.recipe import load_recipe

FOLDER = Path(__file__).parent / "compiled"
NEAR = 0.02  # of bytes and FLOPs; a smaller change wants no new file


@pytest.mark.skipif(
    os.environ.get("DIPTYCH_PLAN") != "1", reason="compiles for a minute each; DIPTYCH_PLAN=1 runs it, with libtpu installed"
)
@pytest.mark.parametrize("name", COMPILED)
def test_recipe_compiles_as_its_file_says(name):
    pytest.importorskip("libtpu", reason="libtpu, the compiler for TPUs, is not installed: pip install '.[plan]'")
    golden, here = json.loads((FOLDER / f"{name}.json").read_text()), f"libtpu {version('libtpu')}"
    if golden["compiler"] != here:
        pytest.skip(f"the file was made with {golden['compiler']}, and here is {here}; diptych plan --golden makes it anew")
    found, expected = flat(compiled_golden(name)), flat(golden)
    remake = f"if the change is meant: diptych plan --golden --config {name}"
    assert found.keys() == expected.keys(), remake
    for place, value in expected.items():
        assert found[place] == (pytest.approx(value, rel=NEAR) if isinstance(value, float) else value), f"{place}; {remake}"


def flat(values, place=""):
    """Dotted name -> value."""
    if not isinstance(values, dict):
        return {place: values}
    return {name: each for key, inner in values.items() for name, each in flat(inner, f"{place}.{key}").items()}


def test_every_file_names_its_compiler():
    for name in COMPILED:
        assert json.loads((FOLDER / f"{name}.json").read_text())["compiler"].startswith("libtpu ")


@pytest.mark.parametrize(("name", "most"), [("siglip_vit_b16", 1.5), ("siglip_so400m_14", 4.0)])
def test_pods_have_room(name, most):
    """GiB a chip of v5e:16x16 at batch 32,768 and 224 pixels; big_vision's steps need 4.01 and 15.29."""
    golden = json.loads((FOLDER / f"{name}.json").read_text())
    assert (golden["topology"], golden["overrides"]) == ("v5e:16x16", ["train.remat=full"])
    assert load_recipe(name).train.batch_size == 32_768 and load_recipe(name).data.image_size == 224
    assert golden["peak_hbm_gib"] <= most
