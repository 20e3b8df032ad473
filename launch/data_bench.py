"""`diptych data bench`: how fast a recipe's samples are read, stage by stage on one core, and by the whole loader."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UserError
from .arguments import add_config, given_config
from .report import print_values

SEED = 0
BATCHES_AHEAD = 4  # not measured: the loader has them ready before the clock starts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data bench`."""
    add_config(parser)
    parser.add_argument("--samples", metavar="N", type=int, default=2000, help="samples to measure (2,000)")
    parser.add_argument("--batch-size", metavar="N", type=int, help="samples a batch of the loader (64, or data.streams)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prints and returns samples a second of each stage on one core, and of the loader with `data.threads` and `data.workers`."""
    for name, number in (("--samples", args.samples), ("--batch-size", args.batch_size)):
        if number is not None and number < 1:
            raise UserError(f"{name} = {number} is not a number of samples; accepted is 1 or more")

    from ..data.open_sources import open_sources
    from ..data.tokenizers import load_tokenizer
    from ..pretrain.recipe import load_recipe

    recipe = load_recipe(given_config(args), args.overrides)
    tokenizer = load_tokenizer(recipe.data.tokenizer)
    sources = open_sources(recipe.data)
    batch_size = chosen_batch_size(args.batch_size, recipe.data, sources)
    result = {
        **stages(recipe, sources=sources, tokenizer=tokenizer, samples=args.samples),
        "loader": loader(recipe, sources=sources, tokenizer=tokenizer, samples=args.samples, batch_size=batch_size),
        "threads": recipe.data.threads,
        "workers": recipe.data.workers,
        "cores": os.cpu_count(),
    }
    print_values(result, title="samples a second: stages on one core, then the loader")
    return result


def chosen_batch_size(given: int | None, spec: Any, sources: Any) -> int:
    """--batch-size, or the least multiple of the order's streams from 64 on. UserError where the streams do not divide what was given."""
    from ..data.orders import kind_of_order

    block = kind_of_order(spec, samples=sum(map(len, sources.values()))) == "block"
    streams = spec.streams if block else 1
    if given is not None and given % streams:
        raise UserError(f"--batch-size = {given} is not divisible by data.streams = {streams}; accepted is a multiple of {streams}")
    return given or -(-64 // streams) * streams


def stages(recipe: Any, *, sources: Any, tokenizer: Any, samples: int) -> dict[str, float]:
    """Samples a second of reading, decoding (with what may be cached), augmenting, tokenizing, and of all of it in turn."""
    from ..data.bad import BadSample
    from ..data.captions import caption_of
    from ..data.decode import picture_of
    from ..data.order import generator
    from ..data.orders import make_order
    from ..data.state import mixture_segments
    from ..data.transforms import augmented, is_random, needed_side, prepare

    spec = recipe.data
    segments = mixture_segments(spec, {})
    order = make_order(spec, sources=sources, segments=segments, seed=SEED)
    named = [sources[name] for name in sorted(sources)]
    clock = dict.fromkeys(("read", "decode", "augment", "tokenize"), 0.0)

    def timed(stage: str, function: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        made = function()
        clock[stage] += time.perf_counter() - begin
        return made

    for position in range(samples):
        source, number = order(position)
        raw = timed("read", lambda: named[source].read(number))  # noqa: B023  (called at once)
        try:
            image = timed("decode", lambda: prepare(picture_of(raw, spec.decode, needed=needed_side(spec)), spec))  # noqa: B023
            timed("tokenize", lambda: tokenizer([caption_of(raw, spec, None)], recipe.model.text.context_length))  # noqa: B023
        except BadSample:
            continue
        if is_random(spec.augment):
            timed("augment", lambda: np.asarray(augmented(image, spec, generator(SEED, position, "augment"))))  # noqa: B023
    return {name: samples / seconds for name, seconds in clock.items() if seconds} | {"all_stages": samples / sum(clock.values())}


def loader(recipe: Any, *, sources: Any, tokenizer: Any, samples: int, batch_size: int) -> float:
    """Samples a second of the training stream, from its first batch on."""
    from ..data.embedding_cache import open_embeddings
    from ..data.pipeline import TrainStream
    from ..pretrain.views import wanted_views

    stream = TrainStream(
        recipe.data,
        sources=sources,
        tokenizer=tokenizer,
        context_length=recipe.model.text.context_length,
        batch_size=batch_size,
        seed=SEED,
        slots=np.arange(batch_size),
        views=wanted_views(recipe),
        embeddings=open_embeddings(recipe.data, sources),
    )
    try:
        for _ in range(BATCHES_AHEAD):
            next(stream)
        begin, batches = time.perf_counter(), max(samples // batch_size, 1)
        for _ in range(batches):
            next(stream)
        return batches * batch_size / (time.perf_counter() - begin)
    finally:
        stream.close()
