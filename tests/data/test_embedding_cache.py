import dataclasses
import pickle

import numpy as np
import pytest

from diptych.data.bad import BadSample
from diptych.data.embedding_cache import EmbeddingCache, image_fingerprint
from diptych.data.embedding_part import PartHeader, new_part, part_path, read_part, read_parts, write_header
from diptych.data.order import Drawn
from diptych.data.spec import DataSpec, DecodeSpec
from diptych.errors import UserError

DIM = 4


class Source:
    """Samples of which a cache knows only how many there are."""

    def __init__(self, name, samples):
        self.fingerprint, self._samples = name * 16, samples

    def __len__(self):
        return self._samples


def rows(source, first, stop):
    return np.arange(first, stop)[:, None] + np.full(DIM, ord(source.fingerprint[0]) * 1000, np.float32)


def write(folder, source, *, parts, skip=(), **changes):
    for part in set(range(parts)) - set(skip):
        first, stop = len(source) * part // parts, len(source) * (part + 1) // parts
        header = PartHeader(
            tower="image", weights="w", preprocessing="p", dtype="float32", manifest=source.fingerprint, samples=len(source),
            first=first, stop=stop, dim=DIM,
        )  # fmt: skip
        path = part_path(folder, source.fingerprint, part=part, parts=parts)
        with new_part(path, rows=stop - first, dim=DIM) as array:
            array[:] = rows(source, first, stop)
        write_header(path, dataclasses.replace(header, **changes))


A, B = Source("a", 10), Source("b", 7)


def opened(folder, **sources):
    return EmbeddingCache(folder, sources=sources, preprocessing="p")


def test_rows_are_found_by_source_and_number_in_another_process_too(tmp_path):
    write(tmp_path, A, parts=3)
    write(tmp_path, B, parts=2, dtype="bfloat16", bad=(5,), reasons=("no image among txt",))
    cache = opened(tmp_path, second=B, first=A)
    for there in (cache, pickle.loads(pickle.dumps(cache))):
        assert (there.weights, there.dim, there.dtypes) == ("w", DIM, ("bfloat16", "float32"))
        for number, source in enumerate((A, B)):
            for sample in set(range(len(source))) - ({5} if source is B else set()):
                np.testing.assert_array_equal(there.read(Drawn(number, sample)), rows(source, sample, sample + 1)[0])
        with pytest.raises(BadSample) as bad:
            there.read(Drawn(1, 5))
        assert bad.value.reason == "no image among txt"
    assert len(pickle.dumps(cache)) < 5000, "the arrays stay on disk"


def test_a_part_counts_when_it_is_complete(tmp_path):
    write(tmp_path, A, parts=2, skip={1})
    path = part_path(tmp_path, A.fingerprint, part=1, parts=2)
    with pytest.raises(RuntimeError), new_part(path, rows=5, dim=DIM):
        raise RuntimeError
    assert not path.exists() and read_part(path) is None and len(list(path.parent.iterdir())) == 2
    with new_part(path, rows=5, dim=DIM):
        pass
    assert read_part(path) is None and len(read_parts(tmp_path, A.fingerprint)) == 1
    with pytest.raises(UserError, match=r"data\.embeddings = .* lacks sample 5 of the 10 of first; accepted is"):
        opened(tmp_path, first=A)


def test_parts_of_another_split_are_no_hindrance(tmp_path):
    write(tmp_path, A, parts=3)
    write(tmp_path, A, parts=2, skip={1})
    cache = EmbeddingCache(tmp_path, sources={"a": A}, preprocessing="p")
    assert len(cache._sources[0]) == 3


@pytest.mark.parametrize("wanted", ["old", "new", "third"])
def test_of_several_towers_the_one_that_is_asked_for(tmp_path, wanted):
    write(tmp_path, A, parts=2, weights="old")
    write(tmp_path, A, parts=3, weights="new")
    write(tmp_path, A, parts=4, weights="third", skip={3})
    write(tmp_path, B, parts=1, weights="old")
    write(tmp_path, B, parts=2, weights="new")

    def towers():
        return EmbeddingCache(tmp_path, sources={"a": A, "b": B}, preprocessing="p", weights=wanted).weights

    if wanted == "third":
        with pytest.raises(UserError, match=r"lacks sample 7 of the 10 of a; accepted is"):
            towers()
    else:
        assert towers() == wanted


def test_what_does_not_fit_is_refused(tmp_path):
    write(tmp_path, A, parts=1)
    with pytest.raises(UserError, match=r"data\.embeddings = .* holds no embeddings of the samples of second"):
        opened(tmp_path, first=A, second=B)
    write(tmp_path, B, parts=1, weights="v")
    with pytest.raises(UserError, match=r"was made by several towers \(w and v\)"):
        opened(tmp_path, first=A, second=B)
    with pytest.raises(UserError, match="was made from images with other settings of data"):
        EmbeddingCache(tmp_path, sources={"first": A}, preprocessing="q")


@pytest.mark.parametrize("broken", ["{", "[]", '{"version": 2}', '{"version": 1, "dim": 3}'])
def test_a_broken_header_is_refused(tmp_path, broken):
    write(tmp_path, A, parts=1)
    path = part_path(tmp_path, A.fingerprint, part=0, parts=1)
    path.with_suffix(".json").write_text(broken)
    with pytest.raises(UserError, match=r"is no part of an embedding cache \(.*\); accepted are files"):
        opened(tmp_path, first=A)


def test_an_array_of_another_shape_is_refused(tmp_path):
    write(tmp_path, A, parts=1, dim=3)
    with pytest.raises(UserError, match=r"holds float32\(10, 4\), where part-00000-of-00001.json says otherwise"):
        opened(tmp_path, first=A)


def test_the_fingerprint_is_of_all_that_decides_the_image_and_of_nothing_else():
    base = DataSpec(image_size=32)
    others = [
        DataSpec(image_size=16),
        DataSpec(image_size=32, resize="squash"),
        DataSpec(image_size=32, interpolation="bilinear"),
        DataSpec(image_size=32, resize_first=40),
        DataSpec(image_size=32, preset="imagenet"),
        DataSpec(image_size=32, decode=DecodeSpec(backend="simplejpeg")),
        DataSpec(image_size=32, decode=DecodeSpec(exif="rotate")),
    ]
    found = [image_fingerprint(spec) for spec in (base, *others)]
    assert len(set(found)) == len(found)
    assert image_fingerprint(dataclasses.replace(base, threads=9, text_key="json:a", train=("b.tar",))) == found[0]
    assert image_fingerprint(DataSpec(image_size=32, preset="openai_clip")) == found[0]
