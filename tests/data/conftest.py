"""Small shards, written anew for each test run, and a tokenizer that needs no file."""

import dataclasses
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from diptych.data.index import index_shards
from diptych.data.pipeline import TrainStream
from diptych.data.spec import AugmentSpec, DataSpec
from diptych.data.token_rows import token_rows

WORDS = ["a", "red", "green", "blue", "small", "large", "cat", "dog", "on", "the", "mat", "under", "one", "tree"]


class Words:
    """One id a word; 1 ends, 0 pads."""

    vocab_size, eos_id, pad_id, fingerprint = 64, 1, 0, "words"

    def __call__(self, texts, context_length):
        ids = [[*(2 + sum(word.encode()) % 60 for word in text.split()), self.eos_id] for text in texts]
        return token_rows(ids, length=context_length, eos_id=self.eos_id, pad_id=self.pad_id)


@pytest.fixture(scope="session")
def words():
    return Words()


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="session")
def write_shard():
    """write_shard(path, {name: bytes}): a tar of these members in order."""

    def write(path, members, *, format=tarfile.USTAR_FORMAT):
        with tarfile.open(path, "w", format=format) as shard:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
        return str(path)

    return write


@pytest.fixture(scope="session")
def sample_members():
    """sample_members(n) -> {suffix: bytes} of sample n: a noise image of its own size, a caption of 1 to 12 words."""

    def make(number):
        random = np.random.default_rng(number)
        image = random.integers(0, 256, (int(random.integers(20, 40)), int(random.integers(20, 40)), 3), dtype=np.uint8)
        caption = " ".join(random.choice(WORDS, int(random.integers(1, 13)))).encode()
        return {"png": png(image), "txt": caption, "json": json.dumps({"name": f"n{number}", "code": number}).encode()}

    return make


@pytest.fixture
def shards(tmp_path, write_shard, sample_members):
    """Pattern of three shards with 40 samples; `shards(bad={3: {"png": b""}})` changes members, None removes one."""

    def make(*, bad=None, count=40, folder=tmp_path):
        for shard in range(3):
            members = {}
            for number in range(shard * count // 3, (shard + 1) * count // 3):
                content = sample_members(number) | (bad or {}).get(number, {})
                members |= {f"{number:04d}.{suffix}": data for suffix, data in content.items() if data is not None}
            write_shard(folder / f"s-{shard}.tar", members)
        return [f"{folder}/s-{{0..2}}.tar"]

    return make


BATCH, LENGTH = 8, 16


@pytest.fixture(scope="session")
def spec():
    """Small images, with random crops and flips."""
    return DataSpec(image_size=16, resize_first=20, augment=AugmentSpec(crop_scale=(0.4, 1.0), flip=0.5))


@pytest.fixture
def make_stream(words, spec):
    """make_stream(patterns, slots=..., counted=..., start=..., seed=..., **changes of the spec): batches of 8 in all, 16 tokens each."""

    def make(patterns, *, slots=range(BATCH), counted=None, start=0, seed=0, views=None, **changes):
        sources = {"train": index_shards(patterns, setting="data.train")}
        changed = dataclasses.replace(spec, **changes)
        slots = np.asarray(slots)
        return TrainStream(
            changed,
            sources=sources,
            tokenizer=words,
            context_length=LENGTH,
            batch_size=BATCH,
            seed=seed,
            slots=slots,
            counted=counted,
            start=start,
            views=views,
        )

    return make


@pytest.fixture
def batches(make_stream):
    """batches(patterns, n, ...): the first n batches of a stream."""

    def take(patterns, count, **options):
        stream = make_stream(patterns, **options)
        try:
            return [next(stream) for _ in range(count)]
        finally:
            stream.close()

    return take


@pytest.fixture
def global_batches(batches):
    """global_batches(patterns, n, parts, ...): what hosts that feed the slots of `parts` see together."""

    def take(patterns, count, parts, **options):
        hosts = [batches(patterns, count, slots=part, **options) for part in parts]
        return [_joined(step) for step in zip(*hosts, strict=True)]

    return take


def _joined(rows):
    order = np.argsort(np.concatenate([row["slot"] for row in rows]))
    return {name: np.concatenate([row[name] for row in rows])[order] for name in rows[0]}


@pytest.fixture(scope="session")
def assert_same():
    """assert_same(left, right): two lists of batches are equal bit for bit."""

    def check(left, right):
        assert len(left) == len(right)
        for a, b in zip(left, right):
            assert a.keys() == b.keys()
            for name in a:
                assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name

    return check
