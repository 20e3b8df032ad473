import numpy as np
import pytest
from PIL import Image

from diptych.pretrain.plots import draw_run, loss_curve, retrieval_curve, series, similarity_picture
from diptych.pretrain.spec import LogSpec
from diptych.pretrain.writers import make_writers

RECALLS = {f"emoji/{way}_r{depth}": 0.01 * depth for way in ("i2t", "t2i") for depth in (1, 5, 10)}
RECORDS = [
    {"step": 1, "loss": 5.0},
    {"step": 2, "loss": 4.0},
    {"step": 2, **RECALLS, "emoji/chance": 0.001, "emoji/candidates": 1000.0, "val/loss": 4.5},
    {"step": 3, "loss": float("nan")},
]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def has_colour(path, colour):
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return bool((np.abs(pixels(path) - wanted).sum(-1) < 12).any())


def test_the_last_record_of_a_step_counts():
    assert series([{"step": 2, "loss": 1.0}, {"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}], "loss") == ([1, 2], [3.0, 2.0])


def test_the_loss_curve_shows_training_and_held_out(tmp_path):
    loss_curve(RECORDS, tmp_path / "loss.png")
    loss_curve(RECORDS[:2], tmp_path / "training.png")
    assert has_colour(tmp_path / "loss.png", "#0072B2") and has_colour(tmp_path / "loss.png", "#D55E00")
    assert not has_colour(tmp_path / "training.png", "#D55E00")


def test_the_retrieval_curve_has_chance_and_a_panel_for_each_task(tmp_path):
    retrieval_curve(RECORDS, tmp_path / "one.png")
    retrieval_curve([*RECORDS, {"step": 2, **{f"b{k}": v for k, v in RECORDS[2].items()}}], tmp_path / "two.png")
    assert has_colour(tmp_path / "one.png", "#777777")
    assert pixels(tmp_path / "two.png").shape[1] == 2 * pixels(tmp_path / "one.png").shape[1]


@pytest.mark.parametrize("count", [1, 8])
def test_the_similarity_picture_shows_every_image(tmp_path, count):
    colours = [(250, 20 * index, 7) for index in range(count)]
    images = np.broadcast_to(np.array(colours, np.uint8)[:, None, None], (count, 16, 16, 3))
    similarity_picture(images, ["a caption"] * count, np.eye(count, dtype=np.float32), tmp_path / "similarity.png")
    shown = {tuple(colour) for colour in pixels(tmp_path / "similarity.png").reshape(-1, 3)}
    assert set(colours) <= shown


def test_a_run_is_drawn_from_its_metrics(tmp_path):
    assert draw_run(tmp_path) == []
    writer = make_writers(LogSpec(writers=("jsonl",)), tmp_path, resumed_step=0)
    for record in RECORDS:
        writer.write(record["step"], {name: value for name, value in record.items() if name != "step"})
    writer.close()
    assert [path.name for path in draw_run(tmp_path)] == ["loss.png", "retrieval.png"]
