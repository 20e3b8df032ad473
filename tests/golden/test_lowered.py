"""Every recipe, lowered on an abstract mesh, is what its file says: what changes there is seen in a review."""

import json
from pathlib import Path

import pytest

from diptych import configs
from diptych.launch.plan_golden import POD, lowered_golden

FOLDER = Path(__file__).parent / "lowered"
REMAKE = "if the change is meant, remake the file: diptych plan --golden --config {}"


@pytest.mark.parametrize("name", configs.names())
def test_recipe_lowers_as_its_file_says(name):
    path = FOLDER / f"{name}.json"
    assert path.is_file(), REMAKE.format(name)
    found = lowered_golden(name)
    assert found == json.loads(path.read_text()), REMAKE.format(name)
    if found["mesh"] == POD:
        assert {"all_gather", "all_reduce", "reduce_scatter"} <= set(found["collectives"])


def test_every_file_is_of_a_recipe():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(configs.names())
