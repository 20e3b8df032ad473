import dataclasses
import json

import pytest

from diptych import UserError
from diptych.data.index import index_shards
from diptych.data.pipeline import check_state, data_state
from diptych.data.spec import AugmentSpec


@pytest.fixture
def state_of(words, spec):
    """state_of(patterns, seed=..., context_length=..., samples=..., **changes of the spec)."""

    def make(patterns, *, seed=0, context_length=16, samples=64, **changes):
        changed, index = dataclasses.replace(spec, **changes), index_shards(patterns, setting="data.train")
        return data_state(changed, index=index, tokenizer=words, context_length=context_length, seed=seed, samples=samples)

    return make


def test_state_is_small_json_and_the_same_run_goes_on(shards, state_of):
    state = json.loads(json.dumps(state_of(shards())))
    assert state.keys() == {"version", "samples", "seed", "manifest", "tokenizer", "pipeline"} and state["samples"] == 64
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
    with pytest.raises(UserError, match="version was None, is 1"):
        check_state({}, saved)


def test_another_tokenizer_is_refused_by_name(shards, state_of):
    saved = state_of(shards())
    with pytest.raises(
        UserError, match=r"the file of data.tokenizer.path .* differs from the checkpoint's \(tokenizer was other, is words\)"
    ):
        check_state(saved | {"tokenizer": "other"}, saved)
