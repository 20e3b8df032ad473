"""The limit of bad samples, from broken shards through training, checkpoints and restarts."""

import dataclasses
import re

import numpy as np
import pytest

from diptych.data.index import index_shards
from diptych.errors import UserError
from diptych.pretrain.job import Job
from diptych.pretrain.run import prepare
from diptych.pretrain.run_folder import saved_steps
from diptych.pretrain.spec import EvalSpec
from diptych.pretrain.train import train
from diptych.pretrain.writers import read_metrics
from diptych.sharding.spec import MeshSpec

BATCH, FIRST, LAST = 64, 8, 18


@pytest.fixture(scope="module")
def recipe(squares_recipe, shard, tmp_path_factory):
    """One device, 24 squares of which three are broken: after 1,000 draws some 110 were bad."""
    broken = tmp_path_factory.mktemp("broken") / "squares-000.tar"
    content = bytearray(shard.read_bytes())
    found = [match.start() for match in re.finditer(b"IHDR", content)]
    for number in (2, 11, 19):
        content[found[number] : found[number] + 4] = b"XXXX"
    broken.write_bytes(content)
    assert len(index_shards([str(broken)], setting="data.train")) == 24
    return dataclasses.replace(
        squares_recipe,
        data=dataclasses.replace(squares_recipe.data, train=(str(broken),), max_bad_fraction=0.05),
        train=dataclasses.replace(squares_recipe.train, batch_size=BATCH, steps=LAST),
        optimizer=dataclasses.replace(squares_recipe.optimizer, schedule="constant"),
        mesh=MeshSpec(fsdp=1),
        eval=EvalSpec(),
        checkpoint=dataclasses.replace(squares_recipe.checkpoint, every=5),
    )


@pytest.fixture(scope="module")
def bad(recipe, tmp_path_factory):
    """int64[steps]: bad draws up to and with each step, by the batches themselves."""
    stream = prepare(recipe, tmp_path_factory.mktemp("nowhere"), job=Job()).stream(0)
    found = np.cumsum([next(stream)["bad"].sum() for _ in range(LAST)])
    stream.close()
    return found


def test_it_holds_over_restarts(recipe, bad, tmp_path):
    begun = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, steps=FIRST))
    assert train(begun, tmp_path)["bad_samples"] == bad[FIRST - 1] > 0.05 * FIRST * BATCH  # fewer than 1,000 draws: not judged

    judged = int(np.argmax(bad + BATCH * np.arange(1, LAST + 1) >= 1000)) + 1
    assert FIRST < judged < LAST
    said = f"data.max_bad_fraction = 0.05 is exceeded: {bad[judged - 1]} of {judged * BATCH + bad[judged - 1]} samples were bad"
    with pytest.raises(UserError, match=said):
        train(recipe, tmp_path)
    assert max(saved_steps(tmp_path)) == judged // 5 * 5

    allowed = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, max_bad_fraction=0.2))
    assert train(allowed, tmp_path)["bad_samples"] == bad[-1]
    assert {record["step"]: record["bad_samples"] for record in read_metrics(tmp_path) if "bad_samples" in record} == {
        step: bad[step - 1] for step in range(1, LAST + 1)
    }
