"""What the processes of a job must know alike. It goes from host to host: a collective of the devices outside the step could hang."""

from __future__ import annotations

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
        self._read: list[str] = []  # keys that all have read once they have come to a later call of `gather`

    def agree(self, decide: Callable[[], T], *, seconds: int = TIMEOUT_SECONDS) -> T:
        """What `decide` returns on process 0, which alone calls it; anything that JSON holds.

        A UserError there is raised by all. Raises jax's DEADLINE_EXCEEDED where process 0 says nothing for `seconds`.
        """
        if jax.process_count() == 1:
            return decide()
        key = f"diptych/agreed/{next(self._calls)}"
        self._read.append(key)
        answer = self._tell(key, decide) if jax.process_index() == 0 else json.loads(store().blocking_key_value_get(key, seconds * 1000))
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

    def gather(self, value: Any, *, seconds: int = TIMEOUT_SECONDS) -> list[Any]:
        """The `value` of every process, in order of the processes; anything that JSON holds. None, empty and 0 are left out.

        Raises jax's DEADLINE_EXCEEDED where one of them says nothing for `seconds`.
        """
        if jax.process_count() == 1:
            return [value] if value else []
        key = f"diptych/gathered/{next(self._calls)}"
        if value:
            store().key_value_set(f"{key}/values/{jax.process_index():08d}", json.dumps(value))
        if store().key_value_increment(f"{key}/told", 1) == jax.process_count():
            store().key_value_set(f"{key}/all", "told")
        store().blocking_key_value_get(f"{key}/all", seconds * 1000)
        self._forget()
        self._read.append(key)
        return [json.loads(text) for _, text in sorted(store().key_value_dir_get(f"{key}/values"))]

    def _forget(self) -> None:
        """All processes are here: what earlier calls left is read."""
        if jax.process_index() == 0:
            for key in self._read:
                store().key_value_delete(key)  # and all below it
        self._read.clear()


def store() -> Any:
    """The key-value store that jax's coordinator keeps for the job."""
    return distributed.global_state.client
