"""Labels of samples, from the shards to the batch and to the held-out set."""

import dataclasses

import numpy as np
import pytest

from diptych import UserError
from diptych.data.pipeline import EvalSet
from diptych.data.spec import DataSpec
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.step import batch_shapes
from diptych.sharding.mesh import abstract_mesh

LABELS = {3: {"cls": b"7"}, 5: {"cls": b" 0\n"}, 8: {"cls": b"-4"}}
BAD = {11: {"cls": b"cat"}, 12: {"cls": b"4294967296"}}


def test_a_label_goes_with_its_sample_and_absent_ones_are_negative(make_stream, shards, sample_members, words):
    stream = make_stream(shards(bad=LABELS | BAD), label_key="cls")
    given = [next(stream) for _ in range(10)]
    stream.close()
    assert all(batch["label"].dtype == np.int32 and batch["label"].shape == (8,) for batch in given)
    found = {(text.tobytes(), label) for batch in given for text, label in zip(batch["text"], batch["label"].tolist())}
    captions = {number: words([sample_members(number)["txt"].decode()], 16)[0].tobytes() for number in range(40)}
    assert found == {(caption, {3: 7, 5: 0}.get(number, -1)) for number, caption in captions.items() if number not in BAD}
    reasons = {reason for counts in stream.bad.take(80).values() for reason in counts}
    assert reasons == {"cls is no whole number", "cls is above 2147483647"}


def test_labels_of_a_json_in_training_and_in_evaluation(batches, shards):
    patterns = shards()
    (batch,) = batches(patterns, 1, label_key="json:code")
    assert len(set(batch["label"].tolist())) == 8 and set(batch["label"].tolist()) <= set(range(40))
    assert EvalSet(patterns, spec=DataSpec(image_size=16), setting="x").labels("json:code").tolist() == list(range(40))


def test_an_evaluation_refuses_a_label_that_is_no_number(shards):
    data = EvalSet(shards(bad=LABELS), spec=DataSpec(image_size=16), setting="eval.tasks.x.data")
    assert data.labels("cls")[:9].tolist() == [-1, -1, -1, 7, -1, 0, -1, -1, -1]
    data = EvalSet(shards(bad=BAD), spec=DataSpec(image_size=16), setting="eval.tasks.x.data")
    with pytest.raises(UserError, match=r"eval.tasks.x.data has the sample 0011 in .* with a bad label \(cls is no whole number\)"):
        data.labels("cls")


def test_the_batch_that_is_compiled_for_has_labels_where_a_term_reads_them():
    terms = ["objective.terms.softmax=0", "objective.terms.unicl=1"]
    recipe = load_recipe("clip_emoji", [*terms, "data.label_key=json:class"])
    mesh = abstract_mesh(replica=1, fsdp=1, tensor=1)
    assert batch_shapes(recipe, mesh)["label"].shape == (recipe.train.batch_size,)
    assert "label" not in batch_shapes(dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, label_key=None)), mesh)
    with pytest.raises(UserError, match=r"data.label_key = 'cls' is read by objective.terms.unicl alone, which has no weight; accepted"):
        load_recipe("clip_emoji", ["data.label_key=cls"])
    with pytest.raises(UserError, match=r"data.label_key has 'CLS', and members have names without capitals"):
        load_recipe("clip_emoji", [*terms, "data.label_key=CLS"])
