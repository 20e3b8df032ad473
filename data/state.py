"""The state of the data: one small JSON, the same for all hosts, from which any number of hosts goes on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError
from ..schema import identity
from .block_order import REVISION
from .libraries import libraries
from .mixture import Segment
from .orders import kind_of_order
from .source import Source
from .spec import DataSpec
from .tokenizers import Tokenizer

LOG = logging.getLogger("diptych.data")
VERSION = 2
ALONE = "train"  # the name of the one source that is no mixture
MEANING = {
    "version": "the format of the data's state",
    "seed": "seed",
    "manifest": "the content of data.train or data.mixture (names, sizes and counts of the shards, in order)",
    "tokenizer": "the file of data.tokenizer.path (or data.tokenizer.kind and preset), which decides the token ids,",
    "pipeline": "what is done to samples (data.image_size, resize, augment, order, text_key and the rest of data, "
    "model.text.context_length)",
}


def data_state(
    spec: DataSpec,
    *,
    sources: Mapping[str, Source],
    tokenizer: Tokenizer,
    context_length: int,
    seed: int,
    samples: int,
    segments: Sequence[Segment] | None = None,
) -> dict[str, Any]:
    """{"version", "samples", "seed", "manifest", "tokenizer", "pipeline", "mixture": [[first position, {name: weight}], ...], "libraries"}.

    `samples` were drawn so far in the run, the rest says from what.
    """
    kind = kind_of_order(spec, samples=sum(map(len, sources.values())))
    changes = identity(spec) | {"order": kind if kind == "exact" else [kind, REVISION], "context_length": context_length}
    for name in ("tokenizer", *(("streams", "block_shards") if kind == "exact" else ())):
        del changes[name]
    return {
        "version": VERSION,
        "samples": samples,
        "seed": seed,
        "manifest": _digest([[name, sources[name].fingerprint] for name in sorted(sources)]),
        "tokenizer": tokenizer.fingerprint,
        "pipeline": _digest(changes),
        "mixture": [[segment.first, dict(segment.weights)] for segment in segments or mixture_segments(spec, {})],
        "libraries": libraries(spec),
    }


def mixture_segments(spec: DataSpec, saved: Mapping[str, Any]) -> list[Segment]:
    """The weights of the sources: those of the state `saved`, then the recipe's from where it ends, if they differ.

    saved: empty at the start of a run. Where it names other sources (`--force-data`), the recipe's weights count from the first sample on.
    """
    weights = {name: part.weight for name, part in sorted(spec.mixture.items())} or {ALONE: 1.0}
    samples = saved.get("samples", 0)
    segments = [Segment(first, earlier) for first, earlier in saved.get("mixture", []) if first < samples]
    if not segments or segments[-1].weights.keys() != weights.keys():
        return [Segment(0, weights)]
    return segments if segments[-1].weights == weights else [*segments, Segment(samples, weights)]


def check_state(saved: Mapping[str, Any], current: Mapping[str, Any], *, force: bool = False) -> None:
    """Raises UserError where a run that left `saved` would not see the same samples in the same order from `current` on.

    Another version of a library that makes the samples is logged: it changes some of them at most.

    force: the reason is logged instead. A state of another format is refused all the same: its `samples` may mean something else.
    """
    for name, meaning in MEANING.items():
        if saved.get(name) == current[name]:
            continue
        reason = f"{meaning} differs from the checkpoint's ({name} was {_short(saved.get(name))}, is {_short(current[name])})"
        if not force or name == "version":
            raise UserError(
                f"{reason}, so the run would not go on with the same samples; accepted is what it was, --force-data, or another --workdir"
            )
        LOG.warning("--force-data: %s; the run goes on with other samples", reason)
    before = saved.get("libraries", {})
    for name, now in current["libraries"].items():
        if name in before and before[name] != now:
            LOG.warning(
                "%s is %s and was %s up to the checkpoint: some of the samples to come may differ a little", name, now, before[name]
            )


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _short(value: Any) -> Any:
    return value[:12] if isinstance(value, str) else value
