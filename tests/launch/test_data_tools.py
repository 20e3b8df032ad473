"""`diptych data make`, `inspect` and `stats`, from the command line."""

import io
import json
import tarfile

import pytest

from diptych.launch.cli import main


def run(capsys, *words):
    code = main(["data", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def shards(tmp_path, capsys):
    code, _, _ = run(capsys, "make", "shapes:50x32", "--out", tmp_path / "made", "--samples", 20)
    assert code == 0
    return tmp_path / "made"


def test_made_shards_are_counted(shards, capsys):
    assert sorted(file.name for file in shards.iterdir()) == [f"shard-0000{n}.tar" for n in range(3)]
    code, out, _ = run(capsys, "stats", shards / "*.tar", "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (result["samples"], result["shards"], result["samples_per_shard_min"]) == (50, 3, 10)


def test_make_does_not_touch_a_folder_that_is_there(shards, capsys):
    code, _, err = run(capsys, "make", "shapes:50x32", "--out", shards)
    assert code == 2 and f"--out = {shards} is there already" in err
    code, _, err = run(capsys, "make", "shapes:x", "--out", shards.parent / "other")
    assert code == 2 and not (shards.parent / "other").exists()


def test_inspect_lists_bad_samples_by_shard_and_draws(shards, capsys):
    with tarfile.open(shards / "shard-0000x.tar", "w") as tar:
        for name, content in (("a.png", b"not an image"), ("a.txt", b"a caption")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sheet = shards / "sheet.png"
    code, out, _ = run(capsys, "inspect", shards / "*.tar", "--out", sheet, "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (result["samples"], result["looked_at"], result["bad"]) == (51, 51, 1)
    assert (result["width_min"], result["width_max"]) == (32, 32)
    [[shard, reason, count]] = result["bad_by_shard"]
    assert shard.endswith("shard-0000x.tar") and count == 1 and "cannot be decoded" in reason
    assert f"bad: 1 in {shard}" in out
    assert result["bad_samples"] == [[shard, "a", reason]] and f"bad: a in {shard}: {reason}" in out
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_inspect_looks_at_a_part(shards, capsys):
    code, out, _ = run(capsys, "inspect", shards / "*.tar", "--samples", 7, "--json")
    assert code == 0 and json.loads(out.splitlines()[-1])["looked_at"] == 7
    code, _, err = run(capsys, "inspect", shards / "*.tar", "--samples", 0)
    assert code == 2 and "--samples = 0" in err


def test_bench_measures_each_stage_and_the_loader(tiny_config, capsys):
    code, out, _ = run(capsys, "bench", "--config", tiny_config, "--samples", 64, "--batch-size", 16, "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 0
    assert all(result[stage] > 0 for stage in ("read", "decode", "augment", "tokenize", "all_stages", "loader"))
    assert result["all_stages"] < min(result[stage] for stage in ("read", "decode", "augment", "tokenize"))


def test_bench_takes_a_batch_that_the_streams_divide(tiny_config, capsys):
    words = ("bench", "--config", tiny_config, "--samples", 96, "--config.data.order=block", "--config.data.streams=96")
    code, _, err = run(capsys, *words)
    assert code == 0, err
    code, _, err = run(capsys, *words, "--batch-size", 64)
    assert code == 2 and "--batch-size = 64 is not divisible by data.streams = 96" in err


def test_a_source_that_says_where_it_is_needs_no_pattern(capsys):
    for tool in ("inspect", "stats"):
        code, out, _ = run(capsys, tool, "--source", "shapes:20x16", "--json")
        assert code == 0 and json.loads(out.splitlines()[-1])["samples"] == 20
        code, _, err = run(capsys, tool)
        assert code == 2 and "PATTERN is empty" in err
        code, _, err = run(capsys, tool, "x.tar", "--source", "shapes:20x16")
        assert code == 2 and "accepted is one of the two" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("make", "shapes:9x16", "--out", "made", "--name", "../escaped"), "--name = '../escaped' cannot begin the name of a file"),
        (("make", "shapes:9x16", "--out", "made", "--name", "100%"), "--name = '100%' cannot begin the name of a file"),
        (("make", "zip:x", "--out", "made"), "KIND:WHERE = 'zip:x' is unknown"),
        (("inspect", "--source", "shapes:9x16", "--out", "sheet.foo"), "--out = sheet.foo cannot be written; accepted is a .png"),
        (("stats", "no.tar"), "PATTERN = 'no.tar' matches no file"),
    ],
)
def test_mistakes_are_a_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *words)
    assert code == 2 and sentence in err and not list(tmp_path.iterdir())


def test_shards_that_cannot_be_read_are_a_sentence(shards, capsys):
    manifest = shards.parent / "m.json"
    assert run(capsys, "index", shards / "*.tar", "--out", manifest)[0] == 0
    (shards / "shard-00001.tar").unlink()
    code, _, err = run(capsys, "inspect", manifest)
    assert code == 2 and "shard-00001.tar" in err and "Traceback" not in err
