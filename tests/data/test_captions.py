"""Which text of a sample becomes its caption."""

import collections
import dataclasses
import json

import numpy as np
import pytest

from diptych.data.bad import BadSample
from diptych.data.captions import caption_of, captions_of, choose, is_random
from diptych.data.clean import CLEANINGS
from diptych.data.eval_set import EvalSet
from diptych.data.order import generator
from diptych.data.sample import Sample
from diptych.data.spec import CaptionSpec, DataSpec

LINES = "first line\n\n  second line \nthird\n"
BOTH = {"txt": 0.25, "json:made": 0.75}


def sample(**members):
    content = {name: (json.dumps(value) if name == "json" else value).encode() for name, value in members.items()}
    return Sample("a.tar", "0", content)


def spec(text_key="txt", **caption):
    return DataSpec(text_key=text_key, caption=CaptionSpec(**caption))


def drawn(raw, asked, count=400):
    return collections.Counter(caption_of(raw, asked, generator(0, position, "caption")) for position in range(count))


def test_by_default_the_text_as_it_is():
    assert drawn(sample(txt=LINES), spec()) == {LINES: 400}
    assert caption_of(sample(txt="a", json={"name": 7}), spec(text_key="json:name"), None) == "7"


def test_lines():
    raw = sample(txt=LINES)
    assert drawn(raw, spec(lines="first")) == {"first line": 400}
    counts = drawn(raw, spec(lines="random"))
    assert counts.keys() == {"first line", "second line", "third"} and min(counts.values()) > 100
    assert caption_of(raw, spec(lines="random"), None) == "first line"


def test_a_list_in_a_json_is_lines():
    raw = sample(json={"captions": ["one\nline", "two"]})
    assert drawn(raw, spec(text_key="json:captions", lines="random")).keys() == {"one line", "two"}
    assert caption_of(raw, spec(text_key="json:captions"), None) == "one line\ntwo"


def test_sources_are_drawn_by_their_probabilities():
    counts = drawn(sample(txt="original", json={"made": "synthetic"}), spec(sources={"txt": 0.5, "json:made": 1.5}), 2000)
    assert counts.keys() == {"original", "synthetic"} and abs(counts["original"] / 2000 - 0.25) < 0.03
    assert drawn(sample(txt="original", json={"made": "synthetic"}), spec(sources={"txt": 0.0, "json:made": 1.0})) == {"synthetic": 400}


@pytest.mark.parametrize("made", [{}, {"made": " \n"}, {"made": ["", ""]}, {"made": None}, {"made": "\ud800"}])
def test_a_text_that_is_absent_or_blank_gives_its_share_to_the_others(made):
    raw = sample(txt="original", json=made)
    assert drawn(raw, spec(sources=BOTH)) == {"original": 400}
    assert caption_of(raw, spec(sources=BOTH), None) == "original"


def test_the_evaluations_choice_is_the_most_probable():
    raw = sample(txt="original", json={"made": "synthetic"})
    assert caption_of(raw, spec(sources=BOTH), None) == "synthetic"
    assert caption_of(raw, spec(sources={"json:made": 1.0, "txt": 1.0}), None) == caption_of(
        raw, spec(sources={"txt": 1, "json:made": 1}), None
    )


@pytest.mark.parametrize("members", [{}, {"json": {}}, {"json": [1]}, {"json": {"made": {"a": 1}}}])
def test_a_sample_without_any_text_is_bad(members):
    with pytest.raises(BadSample, match=r"json.*no member txt"):
        caption_of(sample(**members) if members else Sample("a.tar", "0", {}), spec(sources=BOTH), None)


def test_text_that_cannot_be_read_is_bad():
    for content in (b"\xff\xfe", b"a\x80"):
        with pytest.raises(BadSample, match="txt is not UTF-8 text"):
            caption_of(Sample("a.tar", "0", {"txt": content}), spec(), None)
    for content, reason in ((b'{"made": "\\ud800"}', "json:made is not UTF-8 text"), (b"[" * 100_000, "json cannot be parsed")):
        with pytest.raises(BadSample, match=reason):
            caption_of(Sample("a.tar", "0", {"json": content}), spec(text_key="json:made"), None)


def test_a_blank_caption_is_a_caption():
    assert [caption_of(sample(txt=" \n"), spec(lines=lines), None) for lines in ("all", "first", "random")] == [" \n", "", ""]


def test_templates():
    raw, templates = sample(txt="cat {}"), ("a photo of {}.", "{} or {}")
    assert drawn(raw, spec(templates=templates)).keys() == {"a photo of cat {}.", "cat {} or cat {}"}
    assert caption_of(raw, spec(templates=templates), None) == "a photo of cat {}."


def test_the_sentence_is_cleaned_whole():
    raw = sample(txt="The  CAT_&amp; “dog”.")
    cleaned = {name: caption_of(raw, spec(templates=("A: {}",), clean=name), None) for name in CLEANINGS}
    assert cleaned == {
        "none": "A: The  CAT_&amp; “dog”.",
        "clip": 'a: the cat_& "dog".',
        "siglip": "a the cat amp “dog”",
        "big_vision": "a: the  cat_&amp; “dog”",
    }


@pytest.mark.parametrize(
    ("caption", "random"),
    [
        ({}, False),
        ({"lines": "first"}, False),
        ({"templates": ("a {}",)}, False),
        ({"sources": {"txt": 1.0, "alt": 0.0}}, False),
        ({"lines": "random"}, True),
        ({"templates": ("a {}", "{}")}, True),
        ({"sources": {"txt": 1.0, "alt": 0.1}}, True),
    ],
)
def test_what_is_random(caption, random):
    assert is_random(CaptionSpec(**caption)) == random
    raw = sample(txt="a\nb", alt="c")
    assert (len(drawn(raw, spec(**caption))) > 1) == random


def test_the_choice_of_one_does_not_move_that_of_another():
    raw = sample(txt=LINES, json={"made": "x\ny\nz"})
    plain = [
        choose(captions_of(raw, asked), asked.caption, generator(0, p, "caption")) for asked in [spec(lines="random")] for p in range(50)
    ]
    asked = spec(lines="random", templates=("{}", "{}"))
    assert [caption_of(raw, asked, generator(0, p, "caption")) for p in range(50)] == plain


CAPTION = CaptionSpec(sources={"txt": 0.5, "json:name": 0.5}, lines="random", templates=("a {}", "one {}", "the {}"))
BAD = {4: {"png": b"broken"}, 9: {"txt": None, "json": None}}
HOSTS = ([np.arange(0, 3), np.arange(3, 8)], [np.arange(0, 4), np.arange(4, 8)])


def test_all_hosts_workers_and_starts_see_the_same_captions(shards, batches, global_batches, assert_same):
    patterns = shards(bad=BAD)
    options = {"caption": CAPTION, "max_bad_fraction": 0.5}
    whole = batches(patterns, 12, **options)
    for parts in HOSTS:
        assert_same(global_batches(patterns, 12, parts, **options), whole)
    assert_same(batches(patterns, 12, workers=2, **options), whole)
    assert_same(batches(patterns, 12, cache_mb=10, threads=3, **options), whole)
    assert_same(batches(patterns, 5, start=7 * 8, **options), whole[7:])
    assert any(not np.array_equal(a["text"], b["text"]) for a, b in zip(whole, batches(patterns, 12, seed=1, **options)))


def test_a_sample_has_other_captions_in_other_epochs(shards, batches):
    plain, random = (batches(shards(), 15, caption=caption) for caption in (CaptionSpec(), CAPTION))
    found = [len({row.tobytes() for batch in made for row in batch["text"]}) for made in (plain, random)]
    assert found[0] <= 40 < found[1]


def test_evaluation_takes_the_same_caption_each_time(shards, spec, monkeypatch, tmp_path):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    patterns = shards(bad={3: {"txt": None}, 5: {"txt": None, "json": None}})
    asked = dataclasses.replace(spec, caption=dataclasses.replace(CAPTION, sources={"txt": 0.9, "json:name": 0.1}))
    captions = EvalSet(patterns, spec=asked, setting="x").captions()
    assert captions == EvalSet(patterns, spec=asked, setting="x").captions()
    assert len(captions) == 39 and captions[3] == "a n3" and all(caption.startswith("a ") for caption in captions)
    assert len(EvalSet(patterns, spec=spec, setting="x")) == 38
