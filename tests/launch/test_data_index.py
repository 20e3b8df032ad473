"""`diptych data index` from the command line."""

import json
import os

import pytest

from diptych.data import indexing
from diptych.launch.cli import main


def run(capsys, *words):
    code = main(["data", "index", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def shards(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    assert main(["data", "make", "shapes:25x32", "--out", str(tmp_path / "made"), "--samples", "10"]) == 0
    capsys.readouterr()
    return tmp_path / "made"


def test_one_line_of_json_a_table_and_plain_lines_in_a_log(shards, capsys):
    code, out, err = run(capsys, shards / "*.tar", "--out", shards / "all.json", "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 0 and "reading the headers of 3 of 3 shards" in err and "\x1b" not in err
    assert (result["shards"], result["samples"], result["shards_read"], result["repeated_keys"]) == (3, 25, 3, 0)
    assert result["bytes"] == sum(file.stat().st_size for file in shards.glob("*.tar"))
    assert "fingerprint" in out and result["fingerprint"] == json.loads((shards / "all.json").read_text())["fingerprint"]
    assert result["manifest"] == str(shards / "all.json")


def test_the_same_again_reads_nothing_and_scan_reads_all(shards, capsys):
    for words, read in (([], 3), ([], 0), (["--scan"], 3), (["--scan", "--threads", 1], 3)):
        code, out, _ = run(capsys, shards / "*.tar", "--out", shards / "all.json", "--json", *words)
        assert code == 0 and json.loads(out.splitlines()[-1])["shards_read"] == read


def test_training_finds_what_was_indexed_without_out(shards, capsys, monkeypatch):
    _, out, _ = run(capsys, shards / "*.tar", "--json")
    monkeypatch.setattr(indexing, "read_shard", None)
    assert main(["data", "stats", str(shards / "*.tar"), "--json"]) == 0
    stats = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stats["fingerprint"] == json.loads(out.splitlines()[-1])["fingerprint"]


def test_a_count_that_is_wrong_is_passed_over_by_scan_alone(shards, capsys):
    (shards / "shard-00001_stats.json").write_text(json.dumps({"successes": 9}))
    code, _, err = run(capsys, shards / "*.tar", "--out", shards / "all.json")
    assert code == 2 and "holds 10 samples where shard-00001_stats.json says 9" in err
    assert run(capsys, shards / "*.tar", "--out", shards / "all.json", "--scan")[0] == 0
    assert main(["data", "stats", str(shards / "all.json")]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none-*.tar"], "PATTERN = 'none-*.tar' matches no file"),
        (["x.tar", "--out", "x.txt"], "x.txt is not the name of a manifest; accepted is a local file that ends in .json"),
        (["x.tar", "--out", "gs://bucket/x.json"], "gs://bucket/x.json is not the name of a manifest"),
        (["x.tar", "--out", "taken.json"], "taken.json is there already and is no manifest"),
        (["x.tar", "--threads", "0"], "--threads = 0 is not a number of threads"),
        (["x.tar", "--thread"], "--thread is not an argument of diptych data index; did you mean --threads?"),
        (["x.tar"], "PATTERN has 'x.tar', which is cut short at byte 700"),
        ([], "see diptych data index --help"),
    ],
)
def test_mistakes_are_one_sentence(shards, capsys, monkeypatch, words, sentence):
    monkeypatch.chdir(shards)
    (shards / "taken.json").write_text("{}")
    os.truncate(shards / "shard-00000.tar", 700)
    (shards / "shard-00000.tar").rename(shards / "x.tar")
    code, out, err = run(capsys, *words)
    assert code == 2 and sentence in err and not out and (shards / "taken.json").read_text() == "{}"


def test_tools_are_loaded_when_they_are_asked_for(capsys):
    assert main(["data", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(tool in out for tool in ("index", "tokenizer", "make", "inspect", "bench", "stats"))
    assert main(["data", "index", "--help"]) == 0
    assert "--threads N" in capsys.readouterr().out
    assert main(["data", "indx"]) == 2
    assert "choose from" in capsys.readouterr().err
