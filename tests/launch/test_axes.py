import types

import pytest

from diptych.errors import UserError
from diptych.launch.axes import plan


def module(asked=None):
    return types.SimpleNamespace(__name__="mine") if asked is None else types.SimpleNamespace(__name__="mine", sweep=lambda: asked)


def ids(axes, asked=None):
    return [run.id for run in plan(axes, module(asked))]


def test_axes_are_crossed():
    runs = plan(["optimizer.peak_lr=3e-4,1e-3", "seed=0,1"], module())
    assert [run.id for run in runs] == ["peak_lr=0.0003,seed=0", "peak_lr=0.0003,seed=1", "peak_lr=0.001,seed=0", "peak_lr=0.001,seed=1"]
    assert runs[1].overrides == ["optimizer.peak_lr=0.0003", "seed=1"]


def test_ids_depend_neither_on_the_order_of_axes_nor_on_how_a_value_is_written():
    first = ids(["optimizer.peak_lr=3e-4,1e-3", "seed=0,1"])
    assert set(first) == set(ids(["seed=1,0", "optimizer.peak_lr=0.001,0.0003"]))
    assert ids(["optimizer.peak_lr=3e-4,0.0003,3.0e-4"]) == ["peak_lr=0.0003"]


def test_names_are_as_long_as_they_must_be():
    assert ids(["model.image.depth=2", "model.text.depth=3", "seed=0"]) == ["image.depth=2,text.depth=3,seed=0"]


def test_ids_are_safe_folder_names_and_tell_values_apart():
    found = ids(["data.train=a/{0..1}.tar,a_{0..1}.tar", "name=x y"])
    assert len(set(found)) == 2
    assert all("/" not in each and " " not in each and len(each) < 120 for each in found)
    assert found == ids(["data.train=a/{0..1}.tar,a_{0..1}.tar", "name=x y"])
    long = "/".join(["folder"] * 40)
    assert len(set(ids([f"data.train={long}/a.tar,{long}/b.tar"]))) == 2


def test_tuples_are_values_of_an_axis():
    runs = plan(["data.augment.crop_scale=(0.5,1),(0.8,1)"], module())
    assert [run.settings["data.augment.crop_scale"] for run in runs] == [(0.5, 1.0), (0.8, 1.0)]


def test_a_recipe_may_declare_axes_or_points():
    assert ids([], {"seed": [0, 1], "optimizer.peak_lr": [1e-3]}) == ["peak_lr=0.001,seed=0", "peak_lr=0.001,seed=1"]
    assert ids([], [{"seed": 1}, {"optimizer.decay_steps": None, "data.augment.crop_scale": (0.5, 1)}])[0] == "seed=1"
    assert ids(["train.steps=5"], [{"seed": 1}, {"seed": 2}]) == ["seed=1,steps=5", "seed=2,steps=5"]


def test_the_command_line_wins_over_the_recipe():
    assert ids(["seed=5"], {"seed": [0, 1], "optimizer.peak_lr": [1e-3]}) == ["peak_lr=0.001,seed=5"]


@pytest.mark.parametrize("asked", ["seed", {"seed": 1}, [1], {"sed": [1]}, {"seed": ["x"]}])
def test_wrong_declarations(asked):
    with pytest.raises(UserError, match=r"accepted|did you mean"):
        plan([], module(asked))
