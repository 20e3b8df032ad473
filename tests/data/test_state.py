import dataclasses
import importlib.metadata
import json
import logging

import pytest

from diptych import UserError
from diptych.data.index import index_shards
from diptych.data.libraries import libraries
from diptych.data.mixture import Segment
from diptych.data.pipeline import check_state, data_state, mixture_segments
from diptych.data.spec import AugmentSpec, CaptionSpec, DataSpec, DecodeSpec, PartSpec, TokenizerSpec


@pytest.fixture
def state_of(words, spec):
    """state_of(patterns, seed=..., context_length=..., samples=..., **changes of the spec)."""

    def make(patterns, *, seed=0, context_length=16, samples=64, **changes):
        changed, sources = dataclasses.replace(spec, **changes), {"train": index_shards(patterns, setting="data.train")}
        return data_state(changed, sources=sources, tokenizer=words, context_length=context_length, seed=seed, samples=samples)

    return make


def test_state_is_small_json_and_the_same_run_goes_on(shards, state_of):
    state = json.loads(json.dumps(state_of(shards())))
    assert (
        state.keys() == {"version", "samples", "seed", "manifest", "tokenizer", "pipeline", "mixture", "libraries"}
        and state["samples"] == 64
    )
    check_state(state, state_of(shards(), samples=0, threads=7, cache_mb=3, text_lengths=(8, 16), max_bad_fraction=0.5))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed differs from the checkpoint's"),
        ({"image_size": 32}, "data.image_size, resize"),
        ({"resize": "squash"}, "pipeline was"),
        ({"resize_first": None}, "pipeline was"),
        ({"text_key": "json:name"}, "pipeline was"),
        ({"augment": AugmentSpec(flip=0.5)}, "pipeline was"),
        ({"context_length": 12}, "pipeline was"),
        ({"decode": DecodeSpec(backend="pillow_draft")}, "pipeline was"),
        ({"order": "block", "streams": 4}, "pipeline was"),
    ],
)
def test_changed_data_is_refused(shards, state_of, changes, named):
    saved = state_of(shards())
    with pytest.raises(UserError, match=named):
        check_state(saved, state_of(shards(), **changes))


def test_changed_shards_are_refused(shards, state_of):
    saved = state_of(shards())
    with pytest.raises(UserError, match=r"the content of data.train .* differs"):
        check_state(saved, state_of([shards()[0].replace("0..2", "0..1")]))
    with pytest.raises(UserError, match="version was None, is 2"):
        check_state({}, saved)


def test_another_tokenizer_is_refused_by_name(shards, state_of):
    saved = state_of(shards())
    with pytest.raises(
        UserError, match=r"the file of data.tokenizer.path .* differs from the checkpoint's \(tokenizer was other, is words\)"
    ):
        check_state(saved | {"tokenizer": "other"}, saved)


def test_a_block_order_of_another_revision_is_refused(shards, state_of, monkeypatch):
    exact, block = state_of(shards()), state_of(shards(), order="block", streams=4)
    monkeypatch.setattr("diptych.data.state.REVISION", 1)
    check_state(exact, state_of(shards()))
    with pytest.raises(UserError, match="pipeline was"):
        check_state(block, state_of(shards(), order="block", streams=4))


def test_what_changes_nothing_is_not_refused(shards, state_of):
    saved = state_of(shards())
    for changes in ({"order": "exact"}, {"streams": 8}, {"block_shards": 1}, {"workers": 3}):
        check_state(saved, state_of(shards(), **changes))
    check_state(state_of(shards(), order="block", streams=4), state_of(shards(), order="block", streams=4, train=("elsewhere",)))


def test_other_data_can_be_forced_but_no_other_format(shards, state_of, caplog):
    saved = state_of(shards())
    with caplog.at_level(logging.WARNING, logger="diptych.data"):
        check_state(saved, state_of(shards(), seed=1, image_size=32), force=True)
    assert [record.message.split()[1] for record in caplog.records] == ["seed", "what"]
    with pytest.raises(UserError, match="the format of the data's state differs"):
        check_state(saved | {"version": 1}, saved, force=True)


def test_another_version_of_a_library_is_told_but_not_refused(shards, state_of, caplog):
    now = state_of(shards())
    old = now | {"libraries": now["libraries"] | {"pillow": "pillow 9.0.0", "ftfy": "1.0", "gone": "3"}}
    with caplog.at_level(logging.WARNING, logger="diptych.data"):
        check_state(old, now)
        check_state({name: value for name, value in now.items() if name != "libraries"}, now)  # a state of earlier times
    told = [record.message for record in caplog.records]
    assert len(told) == 2 and told[0].startswith(f"pillow is {now['libraries']['pillow']} and was pillow 9.0.0 up to the checkpoint")
    assert told[1].startswith(f"ftfy is {importlib.metadata.version('ftfy')} and was 1.0 up")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"pillow", "ftfy", "tokenizers"}),
        ({"tokenizer": TokenizerSpec(preset="clip_hf")}, {"pillow", "tokenizers"}),
        ({"tokenizer": TokenizerSpec(kind="sentencepiece", preset="siglip")}, {"pillow", "sentencepiece"}),
        ({"tokenizer": TokenizerSpec(kind="sentencepiece", preset="siglip2")}, {"pillow", "sentencepiece", "tokenizers"}),
        ({"tokenizer": TokenizerSpec(kind="huggingface"), "caption": CaptionSpec(clean="clip")}, {"pillow", "ftfy", "tokenizers"}),
        (
            {"decode": DecodeSpec(backend="simplejpeg", resizer="cykooz")},
            {"pillow", "simplejpeg", "cykooz-resizer", "ftfy", "tokenizers"},
        ),
    ],
)
def test_the_libraries_are_those_in_use(settings, names):
    found = libraries(DataSpec(**settings))
    assert found.keys() == names and all(found.values())


def mixed(**weights):
    return DataSpec(mixture={name: PartSpec(weight=weight) for name, weight in weights.items()})


def test_weights_change_from_where_a_state_ends():
    begun = mixture_segments(mixed(b=1, a=3), {})
    assert begun == [Segment(0, {"a": 3, "b": 1})]
    saved = {"samples": 64, "mixture": [[0, {"a": 3, "b": 1}]]}
    assert mixture_segments(mixed(a=3, b=1), saved) == begun
    changed = mixture_segments(mixed(a=1, b=1), saved)
    assert changed == [*begun, Segment(64, {"a": 1, "b": 1})]
    again = {"samples": 64, "mixture": [[0, {"a": 3, "b": 1}], [64, {"a": 1, "b": 1}]]}
    assert mixture_segments(mixed(a=3, b=1), again) == begun  # nothing was drawn with the others
    assert mixture_segments(DataSpec(), {}) == [Segment(0, {"train": 1.0})]
    assert mixture_segments(DataSpec(), again) == [Segment(0, {"train": 1.0})]  # other data, which were forced
