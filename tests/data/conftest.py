"""Small shards, written anew for each test run, and a tokenizer that needs no file."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

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
