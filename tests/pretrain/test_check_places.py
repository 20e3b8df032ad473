"""Shards that are not where the recipe says are named first, with how to point elsewhere."""

import pytest

from diptych import configs
from diptych.errors import UserError
from diptych.launch.cli import main
from diptych.pretrain.check_places import check_places
from diptych.pretrain.recipe import load_recipe


def test_missing_shards_are_named_before_the_tokenizer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", "clip_emoji:emoji", "--workdir", "run"]) == 2
    assert capsys.readouterr().err == (
        f"diptych: data.train = 'emoji/noto-train-*.tar' matches no file from the current folder, {tmp_path}; accepted is the place of "
        "the shards, as --config.data.train=PLACE or --config clip_emoji:PLACE (the folder of the emoji shards; CLIP's merges are looked "
        "for in `text` beside it)\n"
    )


def test_one_look_at_each_pattern_that_is_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-0.tar").write_bytes(b"")
    for there in ("a-{0..3}.tar", "a-*.tar", f"file://{tmp_path}/a-0.tar", "s3://bucket/none-*.tar", "a-{0.tar"):
        check_places(load_recipe("clip_emoji", [f"data.train={there}"]))
    check_places(load_recipe("clip_emoji", ["data.source=shapes:8x8"]))
    for missing in ("b-{0..3}.tar", "a-0.tar,b-*.tar", "@list.txt", "shards.json"):
        with pytest.raises(UserError, match=r"^data\.train = '[b@s].*' matches no file from the current folder, "):
            check_places(load_recipe("clip_emoji", [f"data.train={missing}"]))
    with pytest.raises(UserError, match=r"^data\.mixture\.a\.source = 'b-\*\.tar' matches no file .* as --config.data.mixture.a.source="):
        check_places(load_recipe("clip_emoji", ["data.train=()", "data.mixture.a.source=webdataset:b-*.tar"]))


@pytest.mark.parametrize("name", configs.names())
def test_every_recipe_says_what_its_argument_is(name):
    assert configs.argument(name).startswith(("the folder ", "the shard pattern"))
