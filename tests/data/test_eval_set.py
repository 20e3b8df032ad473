import dataclasses
import io
import logging
import os

import numpy as np
import pytest
from PIL import Image

from diptych import UserError
from diptych.data.decode import decode
from diptych.data.pipeline import EvalSet
from diptych.data.spec import AugmentSpec, DataSpec
from diptych.data.transforms import evaluated, evaluation

# The training augmentation has no part in evaluation.
SPEC = DataSpec(image_size=16, resize="squash", resize_first=40, augment=AugmentSpec(crop_scale=(0.4, 1.0), flip=0.5), threads=3)
BAD = {3: {"png": b"no image"}, 11: {"txt": None}, 39: {"png": None}}


@pytest.mark.parametrize("cache_mb", [0, 1])
def test_samples_come_in_order_with_the_evaluation_transform(shards, sample_members, cache_mb):
    data = EvalSet(shards(), spec=dataclasses.replace(SPEC, cache_mb=cache_mb), setting="eval.tasks.x.data")
    expected = [sample_members(number) for number in range(40)]
    assert len(data) == 40
    assert data.captions() == [members["txt"].decode() for members in expected]
    assert data.member("json:name") == [f"n{number}" for number in range(40)]
    assert data.member("json:code") == [str(number) for number in range(40)]
    images = data.images(5, 20)
    assert images.dtype == np.uint8
    assert np.array_equal(images, [evaluation(decode(members["png"]), size=16, resize="squash") for members in expected[5:20]])
    images[:] = 0
    assert data.images(5, 20).any()
    assert data.images(40, 40).shape == (0, 16, 16, 3)


def test_bad_samples_are_left_out_everywhere(shards, caplog):
    good = EvalSet(shards(), spec=SPEC, setting="eval.tasks.x.data")
    kept = [number for number in range(40) if number not in BAD]
    captions, names, images = good.captions(), good.member("json:name"), good.images(0, 40)
    data = EvalSet(shards(bad=BAD), spec=SPEC, setting="eval.tasks.x.data")
    with caplog.at_level(logging.WARNING, logger="diptych.data"):
        for _ in range(2):
            assert len(data) == 37
            assert data.captions() == [captions[number] for number in kept]
            assert data.member("json:name") == [names[number] for number in kept]
            assert np.array_equal(data.images(0, 37), images[kept])
    assert len(caplog.records) == 4 and caplog.records[-1].message == "3 of 40 samples of eval.tasks.x.data are bad and left out"
    assert any(
        "0011" in record.message and "no member txt; it is left out of eval.tasks.x.data" in record.message for record in caplog.records
    )


def test_empty_captions_are_captions(shards):
    data = EvalSet(shards(bad={5: {"txt": b""}}), spec=SPEC, setting="eval.tasks.x.data")
    assert len(data) == 40 and data.captions()[5] == ""


def test_refusals(tmp_path, shards):
    with pytest.raises(UserError, match=r"eval.tasks.x.data = 'no.tar' matches no file"):
        EvalSet(["no.tar"], spec=SPEC, setting="eval.tasks.x.data")
    data = EvalSet(shards(), spec=SPEC, setting="eval.tasks.x.data")
    with pytest.raises(UserError, match=r"eval.tasks.x.data has the sample 0000 in .*s-0.tar without 'cls' \(no member cls\)"):
        data.member("cls")
    with pytest.raises(UserError, match=r"without 'json:group' \(json has no text 'group'\)"):
        data.member("json:group")
    unusable = EvalSet(shards(), spec=dataclasses.replace(SPEC, text_key="caption"), setting="eval.tasks.x.data")
    with pytest.raises(UserError, match=r"eval.tasks.x.data holds no usable sample; accepted are samples with an image and caption"):
        len(unusable)


def test_io_errors_are_not_bad_samples(tmp_path, shards):
    data = EvalSet(shards(), spec=SPEC, setting="eval.tasks.x.data")
    os.truncate(tmp_path / "s-1.tar", 0)
    with pytest.raises(OSError, match=r"s-1.tar has changed since it was indexed"):
        len(data)


def test_a_later_start_knows_what_is_bad_and_decodes_nothing(shards, monkeypatch, tmp_path):
    patterns = shards(bad=BAD)
    first = EvalSet(patterns, spec=SPEC, setting="x")
    captions, images = first.captions(), first.images(0, 37)
    decoded = []
    monkeypatch.setattr("diptych.data.eval_set.evaluated", lambda image, spec: decoded.append(image) or evaluated(image, spec))
    later = EvalSet(patterns, spec=SPEC, setting="x")
    assert len(later) == 37 and later.captions() == captions and not decoded
    assert np.array_equal(later.images(0, 37), images) and len(decoded) == 37
    other = EvalSet(patterns, spec=dataclasses.replace(SPEC, text_key="json:name"), setting="x")
    assert len(other) == 38  # asked for another caption, all are looked through again
    os.utime(tmp_path / "s-0.tar", (0, 0))
    decoded.clear()
    assert len(EvalSet(patterns, spec=SPEC, setting="x")) == 37 and len(decoded) >= 37


def test_what_is_remembered_may_be_lost(shards, monkeypatch, tmp_path):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    patterns = shards(bad=BAD)
    assert len(EvalSet(patterns, spec=SPEC, setting="x")) == 37
    (file,) = (tmp_path / "cache" / "eval").iterdir()
    for content in ("", "{}", "[1]"):
        file.write_text(content)
        assert len(EvalSet(patterns, spec=SPEC, setting="x")) == 37
    monkeypatch.setenv("DIPTYCH_CACHE", "/proc/nowhere")
    assert len(EvalSet(patterns, spec=SPEC, setting="x")) == 37


@pytest.mark.parametrize("changes", [{"resize": "shortest"}, {"resize": "shortest", "image_size": 1600}, {"preset": "openai_clip"}])
@pytest.mark.parametrize("squash_first", [True, False])
def test_what_is_too_elongated_depends_on_how_images_are_resized(shards, monkeypatch, tmp_path, changes, squash_first):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    squash = DataSpec(image_size=224, resize="squash")
    line = np.zeros((1, 4000 if "image_size" not in changes else 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(line).save(file, "png")
    patterns = shards(bad={3: {"png": file.getvalue()}}, count=6)
    cases = [(squash, 6), (dataclasses.replace(squash, **changes), 5)]
    for spec, good in cases if squash_first else cases[::-1]:
        data = EvalSet(patterns, spec=spec, setting="x")
        assert len(data) == good and len(data.images(0, good)) == good
