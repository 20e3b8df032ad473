"""What the processes of a job must know alike. It goes from host to host: a collective of the devices outside the step could hang."""

from __future__ import annotations

import collections
import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src import distributed  # the coordinator's key-value store has no public name yet

from ..errors import UserError

T = TypeVar("T")
TIMEOUT_SECONDS = 600


class Job:
    """The processes of this job, one object in each; all of them make the same calls in the same order. One process talks to nobody."""

    def __init__(self) -> None:
        self._calls = itertools.count()
        self._sums: collections.Counter[str] = collections.Counter()

    def agree(self, decide: Callable[[], T]) -> T:
        """What `decide` returns on process 0, which alone calls it; anything that JSON holds.

        A UserError there is raised by all. Raises jax's DEADLINE_EXCEEDED where process 0 says nothing for ten minutes.
        """
        if jax.process_count() == 1:
            return decide()
        key = f"diptych/agreed/{next(self._calls)}"
        answer = (
            self._tell(key, decide) if jax.process_index() == 0 else json.loads(store().blocking_key_value_get(key, TIMEOUT_SECONDS * 1000))
        )
        if "refused" in answer:
            raise UserError(answer["refused"])
        return answer["value"]

    def _tell(self, key: str, decide: Callable[[], Any]) -> dict[str, Any]:
        try:
            answer = {"value": decide()}
        except UserError as error:
            answer = {"refused": str(error)}
        store().key_value_set(key, json.dumps(answer))
        return answer

    def add(self, name: str, amount: int) -> int:
        """Adds to a sum over all processes and returns it as it stands: what another process adds at the same time may be missing."""
        if jax.process_count() == 1:
            self._sums[name] += amount
            return self._sums[name]
        return store().key_value_increment(f"diptych/sums/{name}", amount)


def store() -> Any:
    """The key-value store that jax's coordinator keeps for the job."""
    return distributed.global_state.client
