"""`diptych data tokenizer`, from the command line."""

import io
import json
import tarfile

import pytest

from diptych.data.spec import TokenizerSpec
from diptych.data.tokenizers import load_tokenizer
from diptych.launch.cli import main


@pytest.fixture
def shards(tmp_path, write_captions):
    return write_captions(tmp_path / "a.tar", [(f"a red cat number {n}", [f"crimson {n}", "feline"]) for n in range(30)])


@pytest.fixture
def write_captions():
    """write_captions(path, [(txt, list in json)]): a tar; txt None: no such member."""

    def write(path, captions):
        with tarfile.open(path, "w") as tar:
            for number, (text, others) in enumerate(captions):
                members = {"txt": text, "json": json.dumps({"made": others})}
                for suffix, content in members.items():
                    if content is not None:
                        info = tarfile.TarInfo(f"{number:03d}.{suffix}")
                        info.size = len(content.encode())
                        tar.addfile(info, io.BytesIO(content.encode()))
        return path

    return write


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))


def run(capsys, *words):
    code = main(["data", "tokenizer", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_trains_on_captions(shards, tmp_path, capsys):
    out = tmp_path / "words.model"
    code, printed, _ = run(capsys, shards, "--out", out, "--vocab-size", 60, "--json")
    result = json.loads(printed.splitlines()[-1])
    assert code == 0 and (result["captions"], result["bad_samples"], result["eos_id"], result["pad_id"]) == (30, 0, 1, 0)
    tokenizer = load_tokenizer(TokenizerSpec(kind="sentencepiece", path=str(out)))
    assert tokenizer.fingerprint == result["fingerprint"] and tokenizer.vocab_size == result["vocab_size"] <= 60
    assert len(tokenizer.encode("red cat")) < len(tokenizer.encode("der tac"))


def test_the_same_shards_give_the_same_bytes_and_other_texts_others(shards, tmp_path, capsys):
    files = [tmp_path / name for name in "abcd"]
    made = ("--text-key", "json:made")
    for file, options in zip(files, ((), (), ("--text-key", "txt", *made), (*made, "--model", "unigram")), strict=True):
        code, _, err = run(capsys, shards, "--out", file, "--vocab-size", 40, *options)
        assert code == 0, err
    contents = [file.read_bytes() for file in files]
    assert contents[0] == contents[1] and len(set(contents)) == 3


def test_bad_samples_are_counted_and_samples_limited(write_captions, tmp_path, capsys):
    shards = write_captions(tmp_path / "b.tar", [(None if n % 10 == 5 else "" if n % 10 == 6 else f"cat {n}", []) for n in range(40)])
    for options, found in (((), (32, 8)), (("--samples", 20), (16, 4)), (("--samples", 3), (3, 0))):
        code, printed, err = run(capsys, shards, "--out", tmp_path / "x", "--vocab-size", 40, "--json", *options)
        result = json.loads(printed.splitlines()[-1])
        assert code == 0, err
        assert (result["captions"], result["bad_samples"]) == found


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_no_caption_is_passed_over(write_captions, tmp_path, capsys, model):
    longest, reserved, too_long = ("zebra " * 11_000)[: 1 << 16], "quick \u2585 jumps " * 500, "vexing" * 12_000
    shards = write_captions(tmp_path / "c.tar", [(longest, []), (reserved, []), (too_long, [])])
    code, printed, err = run(capsys, shards, "--out", tmp_path / "x", "--vocab-size", 40, "--model", model, "--json")
    assert code == 0, err
    result = json.loads(printed.splitlines()[-1])
    assert (result["captions"], result["bad_samples"]) == (2, 1)
    tokenizer = load_tokenizer(TokenizerSpec(kind="sentencepiece", path=str(tmp_path / "x")))
    unknown = 2
    assert unknown not in tokenizer.encode("zebra quick jumps") and unknown in tokenizer.encode("vexing")


def test_mistakes(shards, write_captions, tmp_path, capsys):
    blank = write_captions(tmp_path / "blank.tar", [("\u200b", []), ("\u2585", [])])
    out = tmp_path / "words.model"
    for words, sentence in (
        ((shards, "--vocab-size", 60), "--out is not given"),
        ((shards, "--out", out), "--vocab-size = none is not a number above 0"),
        ((shards, "--out", tmp_path / "no/x", "--vocab-size", 60), "cannot be written; accepted is a file in a folder"),
        ((shards, "--out", tmp_path, "--vocab-size", 60), f"--out = {tmp_path} is a folder; accepted is the file"),
        ((shards, "--out", out, "--vocab-size", 0), "--vocab-size = 0 is not a number above 0"),
        ((shards, "--out", out, "--vocab-size", 60, "--samples", 0), "--samples = 0 is not a number above 0"),
        *(
            (
                (shards, "--out", out, "--vocab-size", size, "--model", model),
                f"--vocab-size = {size} is out of range; accepted is 4 to 16777216",
            )
            for size in (1, 2, 3, 3_000_000_000)
            for model in ("bpe", "unigram")
        ),
        ((blank, "--out", out, "--vocab-size", 60), "--vocab-size = 60 finds no letters in the captions; accepted are captions with"),
        ((shards, "--out", out, "--vocab-size", 60, "--source", "foo"), "--source = 'foo' is unknown"),
        (("--out", out, "--vocab-size", 60), "PATTERN is empty"),
        ((shards, "--out", out, "--vocab-size", 5), "--vocab-size = 5 leaves out letters of the captions; accepted is "),
        ((shards, "--out", out, "--vocab-size", 60, "--text-key", "cap"), "--text-key = cap has no words in 30 samples"),
        ((tmp_path / "none.tar", "--out", out, "--vocab-size", 60), "none.tar"),
    ):
        code, _, err = run(capsys, *words)
        assert code == 2 and sentence in err.splitlines()[-1]
    assert not out.exists() and sorted(tmp_path.glob("tmp*")) == []
