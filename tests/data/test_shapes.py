import dataclasses
import json

import numpy as np
import pytest

from diptych import UserError
from diptych.data.draw_shapes import render
from diptych.data.index import index_shards
from diptych.data.pipeline import EvalSet
from diptych.data.shapes import COLOURS, HELD_OUT, SHAPES, SIZES, Group, Scene, caption, class_names, heldout_scenes, train_scenes
from diptych.data.spec import DataSpec
from diptych.data.write_shapes import write_shapes

WRITE = dict(train_samples=30, heldout_samples=20, size=32, seed=0)


def pairs(scene):
    return {(group.colour, group.shape) for group in (scene.first, scene.second) if group}


def test_captions():
    first, second = Group(1, "small", "red", "circle"), Group(3, "large", "blue", "cross")
    assert caption(Scene(first, "above", second)) == "a small red circle above three large blue crosses"
    assert caption(Scene(second, "left of", first)) == "three large blue crosses left of a small red circle"
    assert caption(Scene(Group(2, "large", "pink", "heart"))) == "two large pink hearts"


def test_held_out_pairs_never_occur_in_training():
    assert len(set(HELD_OUT)) == 12
    assert {colour for colour, _ in HELD_OUT} == set(COLOURS) and {shape for _, shape in HELD_OUT} == set(SHAPES)
    train, heldout = list(train_scenes(5000, seed=1)), list(heldout_scenes(600, seed=1))
    seen = set().union(*map(pairs, train))
    assert seen == {(colour, shape) for colour in COLOURS for shape in SHAPES} - set(HELD_OUT)
    for scene in heldout:
        assert pairs(scene) & set(HELD_OUT) == {(scene.first.colour, scene.first.shape)}
    assert not {caption(scene) for scene in train} & {caption(scene) for scene in heldout}


def test_held_out_captions_differ_and_classes_are_even():
    scenes = list(heldout_scenes(600, seed=0))
    assert len({caption(scene) for scene in scenes}) == 600
    names = [scene.first.name for scene in scenes]
    assert sorted(set(names)) == sorted(class_names())
    assert {names.count(name) for name in class_names()} == {50}


def test_scenes_follow_the_seed():
    assert list(train_scenes(20, seed=3)) == list(train_scenes(20, seed=3)) != list(train_scenes(20, seed=4))


def test_rendering_is_a_function_of_the_scene():
    for scene in train_scenes(20, seed=0):
        image = render(scene, 48)
        assert image.shape == (48, 48, 3) and image.dtype == np.uint8
        assert np.array_equal(image, render(scene, 48))
        assert not np.array_equal(image, render(dataclasses.replace(scene, jitter=scene.jitter + 1), 48))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_shapes_have_their_colour_size_and_count(shape, colour):
    def painted(group):
        """Pixels near the colour, over a few jitters."""
        images = np.stack([render(Scene(group, jitter=jitter), 64) for jitter in range(4)]).astype(int)
        return (np.abs(images - COLOURS[colour]).max(-1) < 30).mean()

    area = {(count, size): painted(Group(count, size, colour, shape)) for count in (1, 3) for size in SIZES}
    assert 0.002 < area[1, "small"] < 0.4 * area[1, "large"]
    assert 2.2 < area[3, "large"] / area[1, "large"] < 3.8


@pytest.mark.parametrize(("relation", "axis", "sign"), [("above", 0, 1), ("below", 0, -1), ("left of", 1, 1), ("right of", 1, -1)])
def test_relations_hold(relation, axis, sign):
    for jitter in range(10):
        scene = Scene(Group(3, "large", "red", "square"), relation, Group(1, "small", "blue", "ring"), jitter)
        image = render(scene, 64).astype(int)
        red, blue = (np.argwhere(np.abs(image - COLOURS[colour]).max(-1) < 30)[:, axis] for colour in ("red", "blue"))
        assert sign * red.max() < sign * blue.min() if sign > 0 else red.min() > blue.max()


def test_written_shards_are_read_as_any_other(tmp_path):
    reports = []
    write_shapes(tmp_path / "shapes", **WRITE, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(done, 50) for done in range(1, 51)]
    assert len(index_shards([f"{tmp_path}/shapes/shapes-train-*.tar"], setting="data.train")) == 30
    data = EvalSet([f"{tmp_path}/shapes/shapes-heldout-00000.tar"], spec=DataSpec(image_size=32), setting="x")
    scenes = list(heldout_scenes(20, seed=0))
    assert data.captions() == [caption(scene) for scene in scenes]
    assert data.member("json:class") == [scene.first.name for scene in scenes]
    assert data.member("json:relation") == [scene.relation or "" for scene in scenes]
    assert np.array_equal(data.images(0, 20), [render(scene, 32) for scene in scenes])


def test_finished_folder_is_kept_and_another_is_not_touched(tmp_path):
    folder = tmp_path / "shapes"
    write_shapes(folder, **WRITE)
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    write_shapes(folder, **WRITE)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()} == before
    with pytest.raises(UserError, match=r"holds other files than shapes of .*; accepted is an empty or absent folder"):
        write_shapes(folder, **WRITE | {"seed": 1})
    write_shapes(tmp_path / "again", **WRITE)
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == {
        name: content for name, (content, _) in before.items()
    }


def test_interrupted_writing_leaves_nothing(tmp_path):
    def stop(done, total):
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shapes(tmp_path / "shapes", **WRITE, progress=stop)
    assert not list(tmp_path.iterdir())
    write_shapes(tmp_path / "shapes", **WRITE)
    assert json.loads((tmp_path / "shapes/shapes.json").read_text())["size"] == 32
