"""The training data of a recipe through its locked image tower, once: what `data.embeddings` reads."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data.bad import BadSample
from ..data.decode import picture_of
from ..data.embedding_cache import image_fingerprint
from ..data.embedding_part import PartHeader, new_part, part_path, read_part, write_header
from ..data.open_sources import open_sources
from ..data.read_in_order import readers
from ..data.source import Source
from ..data.spec import DataSpec
from ..data.tokenizers import load_tokenizer
from ..data.transforms import needed_side, prepare
from ..errors import UserError
from ..sharding.layouts import places
from ..sharding.mesh import make_mesh
from .check_devices import fitting_mesh
from .check_embeddings import check_embeddable
from .encode import Encoders, Rows, make_encoders
from .frozen import join
from .init_weights import init_weights, tower_fingerprint
from .learner import Learner, make_learner
from .locked import TOWER, check_locked, locked_weights
from .spec import Recipe

BATCHES = 16  # whose embeddings are in memory together


@dataclasses.dataclass(frozen=True)
class Embedded:
    """parts: that were written; known: that were there already. samples, bad: in both together."""

    parts: int
    known: int
    samples: int
    bad: int


def embed_training_data(
    recipe: Recipe, out: Path, *, parts: int = 1, part: int | None = None, track: Callable[[range], Iterator[int]] = iter
) -> Embedded:
    """Writes the embeddings of all training samples into the folder `out`, in `parts` files a source; those that are there are kept.

    part: the one of them that is written, as several machines may write one each; absent: all, one after the other.
    track: goes through the batches of a part, and shows how far it is.
    One process; as many of its devices as divide the recipe. Raises UserError as `check_embeddable` and `check_locked`, and where a part
    is there that another tower or other data made.
    """
    check_embeddable(recipe)
    learner = make_learner(recipe, make_mesh(fitting_mesh(recipe, device_count=jax.device_count())))
    check_locked(recipe, learner)
    sources = open_sources(recipe.data)
    weights = tower_fingerprint(locked_weights(recipe, learner), TOWER)
    encoders = make_encoders(learner, batch_size=recipe.eval.batch_size)
    params: Any = None
    headers, written = list[PartHeader](), 0
    for source in sources.values():
        for number in range(parts) if part is None else (part,):
            path = part_path(out, source.fingerprint, part=number, parts=parts)
            header = new_header(recipe, source, weights=weights, part=number, parts=parts)
            found = read_part(path)
            if found is None:
                params = some_params(recipe, learner) if params is None else params
                header = write_part(path, header, recipe, source, encoders=encoders, params=params, track=track)
                written += 1
            elif dataclasses.replace(found.header, bad=(), reasons=()) != header:
                raise UserError(
                    f"--out = {out} holds {path.name} of another tower, other images or another train.dtype; accepted is another folder"
                )
            else:
                header = found.header
            headers.append(header)
    samples, bad = sum(header.stop - header.first for header in headers), sum(len(header.bad) for header in headers)
    return Embedded(parts=written, known=len(headers) - written, samples=samples, bad=bad)


def new_header(recipe: Recipe, source: Source, *, weights: str, part: int, parts: int) -> PartHeader:
    """Of part `part` of `parts` equal ones, before it is known which samples are bad."""
    samples = len(source)
    return PartHeader(
        tower=TOWER,
        weights=weights,
        preprocessing=image_fingerprint(recipe.data),
        dtype=recipe.train.dtype,
        manifest=source.fingerprint,
        samples=samples,
        first=samples * part // parts,
        stop=samples * (part + 1) // parts,
        dim=recipe.model.embed_dim,
    )


def some_params(recipe: Recipe, learner: Learner) -> Any:
    """The parameters with which the recipe starts to train."""
    assert isinstance(learner.mesh, jax.sharding.Mesh)
    with jax.set_mesh(learner.mesh):
        given = init_weights(recipe, learner, load_tokenizer(recipe.data.tokenizer))
        return jax.jit(lambda given: join(given, learner.init()), out_shardings=places(learner.layouts, learner.mesh))(given)


def write_part(
    path: Path,
    header: PartHeader,
    recipe: Recipe,
    source: Source,
    *,
    encoders: Encoders,
    params: Any,
    track: Callable[[range], Iterator[int]],
) -> PartHeader:
    """Embeds the samples first .. stop - 1; returns the header with those of them that are bad."""
    images = TrainingImages(recipe.data, source)
    step = BATCHES * encoders.batch_size
    with new_part(path, rows=header.stop - header.first, dim=header.dim) as array, jax.set_mesh(encoders.mesh):
        for start in track(range(header.first, header.stop, step)):
            stop = min(start + step, header.stop)
            array[start - header.first : stop - header.first] = encoders.images(params, images.rows(start, stop))
        for sample in images.bad:
            array[sample - header.first] = 0.0
    bad = sorted(images.bad)
    header = dataclasses.replace(header, bad=tuple(bad), reasons=tuple(images.bad[sample] for sample in bad))
    write_header(path, header)
    return header


class TrainingImages:
    """The images of a source as training sees them without augmentation. bad: why an image cannot be read, by number."""

    def __init__(self, spec: DataSpec, source: Source):
        self._spec, self._source, self._needed = spec, source, needed_side(spec)
        self.bad: dict[int, str] = {}

    def rows(self, start: int, stop: int) -> Rows:
        """Samples start .. stop - 1; a bad one is black."""
        shape = (self._spec.image_size, self._spec.image_size, 3)
        return Rows(count=stop - start, shape=shape, dtype=np.uint8, read=lambda first, last: self._read(start + first, start + last))

    def _read(self, start: int, stop: int) -> np.ndarray:
        with concurrent.futures.ThreadPoolExecutor(readers(self._source, threads=self._spec.threads)) as pool:
            return np.stack(list(pool.map(self._image, range(start, stop))))

    def _image(self, sample: int) -> np.ndarray:
        try:
            raw = self._source.read(sample)
            return np.asarray(prepare(picture_of(raw, self._spec.decode, needed=self._needed), self._spec))
        except BadSample as bad:
            self.bad[sample] = bad.reason
            return np.zeros((self._spec.image_size, self._spec.image_size, 3), np.uint8)
