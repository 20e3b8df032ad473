"""In which form a contrastive term visits all pairs of a batch, and what that costs a device."""

from __future__ import annotations

import dataclasses
import math

FLOAT = 4  # bytes: embeddings, logits and their gradients are float32
FORMS = ("gather", "chunked", "ring")
# Above this the logits of a device's rows are no longer made in one piece; XLA holds two to three buffers of that size at once.
GATHER_BYTES = 64 << 20
# Above this the gathered embeddings and their gradient are more than the loss may take, and they travel instead.
GATHERED_BYTES = 512 << 20
# Of every row of a device, embeddings and gradients that exist at a time while keys go around.
RING_ROWS = 6
# One piece of logits, where they are made in pieces.
TILE_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class PairForm:
    """How b rows of queries meet all B = devices x b rows of keys.

    name: `gather` (all keys come at once, one tile b x B), `chunked` (all keys come at once, tiles b x chunk), or `ring` (keys go around,
    b rows at a time, tiles b x chunk). chunk: keys in a tile. The bytes are of one device: logits_bytes of all b x B logits, tile_bytes of
    those that exist at a time, gathered_bytes of the keys that come to stay and of their gradient.
    """

    name: str
    chunk: int
    logits_bytes: int
    tile_bytes: int
    gathered_bytes: int

    def __str__(self) -> str:
        """One line for people."""
        sizes = {"logits": self.logits_bytes, "a tile": self.tile_bytes, "gathered": self.gathered_bytes}
        return f"{self.name}, {self.chunk} keys a tile; MiB a device: " + ", ".join(f"{k} {v / 2**20:.1f}" for k, v in sizes.items())


def choose_form(*, rows: int, devices: int, width: int, form: str = "auto", chunk: int | None = None, ring_rows: int = 0) -> PairForm:
    """The form for `rows` = b on each of `devices` that share the batch, embeddings of `width` = E.

    form: as `objective.form`; `auto` takes the first that is small enough: `gather` where all logits of a device are at most 64 MiB,
    `chunked` where the gathered keys and their gradient are at most 512 MiB (or one device holds them all), else `ring`.
    chunk: as `objective.chunk`; absent: as many keys as a tile of 16 MiB holds, at least 128.
    ring_rows: keys f32[E] that the term holds in the ring beside those that go around; with these, `ring` must also be the smaller one.
    """
    keys = rows * devices
    logits, gathered = FLOAT * rows * keys, 2 * FLOAT * keys * width
    if form == "auto":
        smaller = not ring_rows or FLOAT * (RING_ROWS * rows + ring_rows) * width < gathered
        travels = gathered > GATHERED_BYTES and devices > 1 and smaller
        form = "gather" if logits <= GATHER_BYTES else "ring" if travels else "chunked"
    most = {"gather": keys, "chunked": keys, "ring": rows}[form]
    fitting = max(128, 2 ** int(math.log2(max(1, TILE_BYTES // (FLOAT * rows)))))
    columns = most if form == "gather" else min(most, chunk or fitting)
    return PairForm(
        name=form,
        chunk=columns,
        logits_bytes=logits,
        tile_bytes=FLOAT * rows * columns,
        gathered_bytes=0 if form == "ring" or devices == 1 else gathered,
    )
