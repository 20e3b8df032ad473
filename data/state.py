"""The state of the data: one small JSON, the same for all hosts, from which any number of hosts goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .index import Index
from .spec import DataSpec
from .tokenizers import Tokenizer

VERSION = 1
MEANING = {
    "version": "the format of the data's state",
    "seed": "seed",
    "manifest": "the content of data.train (names, sizes and counts of the shards, in order)",
    "tokenizer": "the file of data.tokenizer.path (or data.tokenizer.kind and preset), which decides the token ids,",
    "pipeline": "what is done to samples (data.image_size, resize, resize_first, augment, order, source, text_key, "
    "model.text.context_length)",
}


def data_state(spec: DataSpec, *, index: Index, tokenizer: Tokenizer, context_length: int, seed: int, samples: int) -> dict[str, Any]:
    """{"version", "samples", "seed", "manifest", "tokenizer", "pipeline"}: `samples` were drawn so far, the rest says from what."""
    changes = {
        "source": spec.source,
        "order": spec.order,
        "image_size": spec.image_size,
        "resize": spec.resize,
        "resize_first": spec.resize_first,
        "augment": dataclasses.asdict(spec.augment),
        "text_key": spec.text_key,
        "context_length": context_length,
    }
    pipeline = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()
    return {
        "version": VERSION,
        "samples": samples,
        "seed": seed,
        "manifest": index.fingerprint,
        "tokenizer": tokenizer.fingerprint,
        "pipeline": pipeline,
    }


def check_state(saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Raises UserError where a run that left `saved` would not see the same samples in the same order from `current` on."""
    for name, meaning in MEANING.items():
        if saved.get(name) != current[name]:
            raise UserError(
                f"{meaning} differs from the checkpoint's ({name} was {_short(saved.get(name))}, is {_short(current[name])}), "
                "so the run would not go on with the same samples; accepted is what it was, or another --workdir"
            )


def _short(value: Any) -> Any:
    return value[:12] if isinstance(value, str) else value
