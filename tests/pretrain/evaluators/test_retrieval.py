import json

import jax
import numpy as np
import pytest

from diptych.pretrain.evaluators.retrieval import Retrieval


def rotated(count, by):
    """The text of sample i lies beside the image of sample i + by."""
    images = np.eye(count, dtype=np.float32)
    return {"images": images, "texts": np.roll(images, by, axis=1)}


def test_only_the_sample_itself_is_right_without_id_key(make_task, fake_encoders, one_device):
    retrieval = Retrieval(make_task(20))
    with jax.set_mesh(one_device):
        perfect, shifted = (retrieval(fake_encoders(**rotated(20, by)), None) for by in (0, 1))
    assert perfect["i2t_r1"] == perfect["t2i_r1"] == perfect["i2t_median_rank"] == 1.0
    # The right answer ties at zero with 18 wrong ones, and one wrong one is above it.
    assert shifted["i2t_r1"] == shifted["t2i_r10"] == 0.0 and shifted["t2i_median_rank"] == 20.0
    assert perfect["chance"] == pytest.approx(1 / 20) and perfect["candidates"] == 20
    assert perfect["chance_r10"] == pytest.approx(1 / 2) and perfect["chance_median_rank"] == 10.0


def test_samples_with_the_same_id_are_right_for_each_other(make_task, fake_encoders, one_device):
    ids = [json.dumps(index // 2) for index in range(20)]
    retrieval = Retrieval(make_task(20, id_key="json:codepoint", members={"json:codepoint": ids}))
    with jax.set_mesh(one_device):
        metrics = retrieval(fake_encoders(**rotated(20, 1)), None)
    assert metrics["i2t_r1"] == metrics["t2i_r1"] == 0.5
    assert metrics["chance"] == pytest.approx(2 / 20)


def test_positives_differ_from_query_to_query(make_task):
    ids = ["a"] * 3 + ["b"]
    facts = Retrieval(make_task(4, id_key="txt", members={"txt": ids}))._facts
    assert facts["chance"] == pytest.approx((3 * 3 / 4 + 1 / 4) / 4)
    assert facts["chance_r5"] == 1.0
