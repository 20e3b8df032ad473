"""What else fits: the largest batch, or the fastest remat policy and mesh, found by compiling a bounded number of steps."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping

from ..errors import UserError
from ..pretrain.spec import Recipe
from ..sharding.plan_cache import PlanCache
from ..sharding.topology import Topology
from .plan_recipe import placed
from .plan_result import RecipePlan
from .plan_tried import Search, best, rank

REMATS = ("none", "dots", "full")
FINENESS = 16  # the largest batch is found to within so small a part of it
LEAP = 8  # times the largest that fits: further a line through small batches is not believed


def search(
    goal: str, recipe: Recipe, topology: Topology, *, compiles: int, report: Callable[[RecipePlan], None], cache: PlanCache | None = None
) -> Search:
    """goal: `batch` or `speed`. UserError where the recipe as it is does not go onto the topology."""
    found = Search(recipe=placed(recipe, topology), topology=topology, compiles=compiles, report=report, cache=cache)
    (search_batch if goal == "batch" else search_speed)(found)
    return found


def search_batch(found: Search) -> None:
    """Batches of the recipe's mesh and remat policy."""
    mesh, train = found.recipe.mesh, found.recipe.train
    unit = mesh.replica * mesh.fsdp * train.accumulate
    needed: dict[int, int] = {}
    rows: int | None = train.batch_size // unit
    while rows and not found.spent:
        bigger = dataclasses.replace(train, batch_size=rows * unit)
        plan = found.plan(dataclasses.replace(found.recipe, train=bigger))
        if plan is None:  # how much it would have needed is not known
            return
        needed[rows] = plan.plan.weight.needed
        rows = next_rows(needed, usable=plan.plan.usable)


def next_rows(needed: Mapping[int, int], *, usable: float) -> int | None:
    """How many rows of a device to try after those whose bytes are `needed`; None where the largest that fits is known.

    Twice or half as many until there are two points; then where the line through the nearest two meets `usable`, rounded down to a
    sixteenth (a power of two).
    """
    fits = max((rows for rows, size in needed.items() if size <= usable), default=0)
    full = min((rows for rows, size in needed.items() if size > usable), default=None)
    if len(needed) == 1 or not fits:
        return 2 * fits if fits else (full or 0) // 2 or None
    nearest = sorted(needed, key=lambda rows: abs(needed[rows] - usable))[:2]
    low, high = sorted(nearest)
    slope = (needed[high] - needed[low]) / (high - low)
    guess = int(high + (usable - needed[high]) / slope) if slope > 0 else 2 * fits
    step = 1 << max((guess // FINENESS).bit_length() - 1, 0)
    rows = min(max(guess // step * step, fits + step), LEAP * fits)
    if full is not None and rows >= full:
        rows = full - step
    return rows if rows > fits else None


def search_speed(found: Search) -> None:
    """Remat policies on the recipe's mesh, its own first, then meshes with the best of them.

    fsdp, then tensor, twice or half as wide as long as that helps.
    """
    own = found.recipe.train.remat
    for remat in (own, *(remat for remat in REMATS if remat != own)):
        if not found.spent:
            found.plan(dataclasses.replace(found.recipe, train=dataclasses.replace(found.recipe.train, remat=remat)))
    for axis, wider in itertools.product(("fsdp", "tensor"), (True, False)):
        climb(found, axis=axis, wider=wider)


def climb(found: Search, *, axis: str, wider: bool) -> None:
    """From the best so far along one axis of the mesh, until that helps no more."""
    before = best(found, goal="speed")
    for recipe in meshes(before.recipe, found.topology, axis=axis, wider=wider):
        if found.spent or found.seen(recipe):
            return
        after = found.plan(recipe)
        if after is None or rank(after) >= rank(before):
            return
        before = after


def meshes(recipe: Recipe, topology: Topology, *, axis: str, wider: bool) -> Iterator[Recipe]:
    """The recipe on meshes whose axis is twice, four times ... (or a half ...) as wide, as far as it goes; replica is the rest."""
    size = getattr(recipe.mesh, axis)
    while True:
        size, odd = (2 * size, 0) if wider else divmod(size, 2)
        if odd or not size:
            return
        try:
            yield placed(dataclasses.replace(recipe, mesh=dataclasses.replace(recipe.mesh, replica=-1, **{axis: size})), topology)
        except UserError:
            return
