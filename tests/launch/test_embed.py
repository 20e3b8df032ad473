import json
import re
import sys
import types

import numpy as np
import pytest
from PIL import Image

from diptych.launch import embed
from diptych.launch.cli import main


@pytest.fixture
def encoder(monkeypatch):
    """Stands for an exported model: an image's vector counts its path, a text's its length."""

    def vectors(items):
        return np.array([[len(item), 1.0] for item in items], np.float32)

    fake = types.SimpleNamespace(encode_image=vectors, encode_text=vectors)
    monkeypatch.setitem(sys.modules, "diptych.pretrain.export.encoder", types.SimpleNamespace(open_model=lambda folder, *, setting: fake))


def test_embeddings_are_written_in_order(tmp_path, capsys, encoder):
    for name in ("b.png", "a.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "texts.txt").write_text("\n".join("x" * (index % 7) for index in range(1, 301)))
    out = tmp_path / "deep" / "emb.npz"
    argv = [
        "embed",
        str(tmp_path),
        "--images",
        str(tmp_path / "*.png"),
        "--texts",
        str(tmp_path / "texts.txt"),
        "--out",
        str(out),
        "--json",
    ]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"images": 2, "texts": 300, "out": str(out)}
    with np.load(out, allow_pickle=False) as arrays:
        assert list(arrays["image_paths"]) == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
        assert arrays["image"].dtype == arrays["text"].dtype == np.float32
        assert arrays["text"].shape == (300, 2) and list(arrays["text"][:, 0]) == [len(text) for text in arrays["texts"]]
    assert [path.name for path in out.parent.iterdir()] == ["emb.npz"]


def test_texts_alone(tmp_path, encoder):
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    assert main(["embed", "model", "--texts", str(tmp_path / "texts.txt"), "--out", str(tmp_path / "emb.npz")]) == 0
    with np.load(tmp_path / "emb.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"texts", "text"}


@pytest.mark.parametrize("place", ["texts.txt/emb.npz", "folder"])
def test_an_out_that_cannot_be_written_is_found_before_the_work(tmp_path, capsys, monkeypatch, place):
    monkeypatch.setitem(sys.modules, "diptych.pretrain.export.encoder", types.SimpleNamespace(open_model=None))  # the work would fail
    (tmp_path / "folder").mkdir()
    (tmp_path / "texts.txt").write_text("one")
    assert main(["embed", "model", "--texts", str(tmp_path / "texts.txt"), "--out", str(tmp_path / place)]) == 2
    assert re.search(r"--out = .* cannot be written \((Not|Is) a directory\); accepted is a file", capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "texts.txt"]


@pytest.mark.parametrize("name", ["emb.npy", "emb", "emb.NPZ"])
def test_an_out_in_another_format_is_refused_before_the_work(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "diptych.pretrain.export.encoder", types.SimpleNamespace(open_model=None))  # the work would fail
    (tmp_path / "texts.txt").write_text("one")
    assert main(["embed", "model", "--texts", str(tmp_path / "texts.txt"), "--out", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert f"{name} does not end in .npz, the format that is written; accepted is a name such as embeddings.npz" in said


def test_the_folder_of_a_cache_has_no_suffix_of_a_file(tmp_path, capsys):
    out = tmp_path / "cache.npz"
    assert main(["embed", "--config", "clip_emoji", "--config.data.augment.crop_scale=1,1", "--out", str(out)]) == 2
    assert f"--out = {out} is the name of a file, and --config = clip_emoji fills a folder; accepted is" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_nothing_is_left_of_an_embedding_that_fails(tmp_path, monkeypatch, encoder, error):
    def full(file, **arrays):
        file.write(b"begun")
        raise error

    monkeypatch.setattr(embed.np, "savez", full)
    (tmp_path / "texts.txt").write_text("one")
    assert main(["embed", "model", "--texts", str(tmp_path / "texts.txt"), "--out", str(tmp_path / "emb.npz")]) in (2, 130)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "MODEL is not given; accepted is the folder that `diptych export` wrote, or --config"),
        (["model", "--config", "clip_emoji"], "MODEL = model does not go with --config = clip_emoji; accepted is one of the two"),
        (["--texts", "a.txt", "--config", "clip_emoji"], "--texts = a.txt does not go with --config = clip_emoji"),
        (["model", "--texts", "texts.txt", "--parts", "2"], "--parts = 2 is of --config, which is not given; accepted is none"),
        (["model", "--texts", "texts.txt", "--part", "0"], "--part = 0 is of --config, which is not given; accepted is none"),
        (["--config", "clip_emoji", "--parts", "0"], "--parts = 0 is out of range; accepted is a number from 1"),
        (["--config", "clip_emoji", "--parts", "2", "--part", "2"], "--part = 2 is out of range; accepted is 0 to --parts - 1 = 1"),
        (
            ["--config", "clip_emoji"],
            "data.augment.crop_scale = (0.8, 1.0) makes another image of a sample each time, so that no embedding",
        ),
        (["--config", "clip_emoji", "--config.data.augment.crop_scale=1,1"], "train.init.path = none leaves the image tower without"),
    ],
)
def test_a_cache_that_cannot_be_written_is_answered_in_one_sentence(tmp_path, capsys, more, sentence):
    assert main(["embed", *more, "--out", str(tmp_path / "cache")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"diptych: {sentence}") and "accepted" in said and said.count("\n") == 1
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_is_no_exported_model_is_named_by_its_argument(tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("one")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    for folder, why, hint in (
        ("nowhere", "cannot be read (No such file or directory)", ""),
        (
            "run",
            "holds no exported model (config.json: No such file or directory)",
            f", and `diptych export --workdir {tmp_path / 'run'} --out OUT` makes one of this run",
        ),
    ):
        assert main(["embed", str(tmp_path / folder), "--texts", str(tmp_path / "texts.txt"), "--out", str(tmp_path / "x.npz")]) == 2
        sentence = f"diptych: MODEL = {tmp_path / folder} {why}; accepted is a folder that `diptych export` wrote{hint}\n"
        assert capsys.readouterr().err == sentence
