import types

import jax
import numpy as np
import pytest

from diptych.pretrain.evaluators.evaluator import Task
from diptych.pretrain.spec import EvalTaskSpec
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


class FakeSamples:
    """A data set in memory; `members` maps key specs to values."""

    def __init__(self, images, **members):
        self._images, self._members = images, members

    def __len__(self):
        return len(self._images)

    def captions(self):
        return self._members.get("txt", [""] * len(self))

    def member(self, key_spec):
        return self._members[key_spec]

    def labels(self, key_spec):
        return np.array(self._members[key_spec], np.int32)

    def images(self, start, stop):
        return self._images[start:stop]


@pytest.fixture
def make_task():
    """A task named `t` over images of the given count; the tokens of a text are its first eight bytes."""

    def tokenize(texts):
        return np.array([list(text.encode()[:8].ljust(8, b"\0")) for text in texts], np.int32)

    def make(count, *, images=None, members=None, **spec):
        images = np.zeros((count, 32, 32, 3), np.uint8) if images is None else images
        samples = FakeSamples(images, **(members or {}))
        return Task(name="t", spec=EvalTaskSpec(data=("x.tar",), **spec), samples=samples, tokenize=tokenize, image_size=32)

    return make


@pytest.fixture
def fake_encoders(one_device):
    """Encoders that give these embeddings, whatever they are asked."""

    def make(*, images, texts):
        return types.SimpleNamespace(mesh=one_device, images=lambda params, rows: images, texts=lambda params, tokens: texts)

    return make


@pytest.fixture(scope="session")
def one_device():
    return make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1))


@pytest.fixture(params=[(1, 1, 1), (2, 2, 2), (1, 8, 1)], ids=str)
def mesh(request):
    mesh = make_mesh(MeshSpec(replica=request.param[0], fsdp=request.param[1], tensor=request.param[2]))
    with jax.set_mesh(mesh):
        yield mesh
