import jax
import numpy as np
import pytest

from diptych.errors import UserError
from diptych.pretrain.evaluators.zero_shot import ZeroShot

NAMES = tuple("abcdefg")


def test_prompts_of_a_class_are_averaged(make_task, fake_encoders, one_device):
    task = make_task(3, members={"cls": ["0", "1", "1"]}, class_names=("cat", "dog"), templates=("a {}", "the {}"))
    texts = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], np.float32)
    images = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    with jax.set_mesh(one_device):
        metrics = ZeroShot(task)(fake_encoders(images=images, texts=texts), None)
    assert metrics == {"top1": pytest.approx(2 / 3), "chance": 0.5, "classes": 2.0}


def test_a_class_counts_by_direction_not_by_length_of_its_mean(make_task, fake_encoders, one_device):
    task = make_task(1, members={"cls": ["0"]}, class_names=("a", "b"), templates=("x {}", "y {}"))
    texts = np.array([[1, 0.0, 0], [-0.6, 0.8, 0], [0.8, 0, 0.6], [0.8, 0, 0.6]], np.float32)
    with jax.set_mesh(one_device):
        metrics = ZeroShot(task)(fake_encoders(images=np.array([[0.6, 0.8, 0]], np.float32), texts=texts), None)
    assert metrics["top1"] == 1.0


def test_top5_with_more_than_five_classes(make_task, fake_encoders, one_device):
    task = make_task(7, members={"json:group": list(NAMES)}, class_names=NAMES, class_key="json:group")
    scores = np.tile(np.arange(7, 0, -1, dtype=np.float32), (7, 1))
    with jax.set_mesh(one_device):
        metrics = ZeroShot(task)(fake_encoders(images=scores, texts=np.eye(7, dtype=np.float32)), None)
    assert metrics["top1"] == pytest.approx(1 / 7) and metrics["top5"] == pytest.approx(5 / 7)
    assert metrics["chance"] == pytest.approx(1 / 7) and metrics["chance_top5"] == pytest.approx(5 / 7)


def test_every_prompt_is_tokenized_class_by_class(make_task, tmp_path):
    (tmp_path / "names.txt").write_text("cat\n\ndog\n")
    (tmp_path / "templates.txt").write_text("a {}\n{}\n")
    files = {"class_names": (f"file:{tmp_path}/names.txt",), "templates": (f"file:{tmp_path}/templates.txt",)}
    tokens = ZeroShot(make_task(1, members={"cls": ["1"]}, **files))._tokens
    assert [bytes(row.astype(np.uint8)).rstrip(b"\0") for row in tokens] == [b"a cat", b"cat", b"a dog", b"dog"]


@pytest.mark.parametrize("field", ["class_names", "templates"])
def test_a_file_that_is_not_utf8_is_named(make_task, tmp_path, field):
    (tmp_path / "latin.txt").write_bytes("caf\xe9 {}".encode("latin-1"))
    with pytest.raises(UserError, match=rf"eval.tasks.t.{field} = 'file:.*latin.txt' cannot be read \(.*utf-8.*\); accepted is a UTF-8"):
        ZeroShot(make_task(1, members={"cls": ["0"]}, **{"class_names": NAMES, field: (f"file:{tmp_path}/latin.txt",)}))


@pytest.mark.parametrize(
    ("value", "spec", "message"),
    [
        ("h", {}, r"eval.tasks.t.class_key = 'cls' has the class 'h'.*eval.tasks.t.class_names, or indices from 0 to 6"),
        ("7", {}, r"eval.tasks.t.class_key = 'cls' has the class '7'"),
        ("0", {"templates": ("a {}", "a picture")}, r"eval.tasks.t.templates has 'a picture'"),
        ("0", {"class_names": ("file:nowhere.txt",)}, r"eval.tasks.t.class_names = 'file:nowhere.txt' names no file"),
        ("0", {"class_names": ()}, r"eval.tasks.t.class_names is empty"),
    ],
)
def test_mistakes_are_found_when_it_is_made(make_task, value, spec, message):
    with pytest.raises(UserError, match=message):
        ZeroShot(make_task(1, members={"cls": [value]}, **{"class_names": NAMES, **spec}))
